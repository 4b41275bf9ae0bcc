// SPDX-License-Identifier: Apache-2.0
/* Holders of one GPU: distinct pods and containers, each in the spelling in which it was named. */
#include "core/exporter/holders.h"

#include "base/limits.h"

struct holder {
    struct holder *next;
    struct exporter_owner owner;
    int spelling;
};

static bool same(const struct holder *h, const struct str name[4], int spelling) {
    return h->spelling == spelling && str_eqc(name[0], h->owner.namespace_) &&
           str_eqc(name[1], h->owner.pod) && str_eqc(name[2], h->owner.container) &&
           str_eqc(name[3], h->owner.replica);
}

static int add(struct holders *h, struct arena *a, const struct str name[4], int spelling) {
    struct holder *x = arena_zalloc(a, sizeof(*x));
    char *copy[4];
    if (!x)
        return ERR_NOMEM;
    for (int i = 0; i < 4; i++)
        if (!(copy[i] = arena_strdup(a, name[i])))
            return ERR_NOMEM;
    x->owner = (struct exporter_owner){copy[0], copy[1], copy[2], copy[3]};
    x->spelling = spelling;
    x->next = h->first;
    h->first = h->last = x;
    h->n++;
    return 0;
}

int holders_take(struct holders *h, struct arena *a, const struct str fields[EXPORTER_FIELDS],
                 int *best) {
    int spelling = 0;
    while (spelling < EXPORTER_SPELLINGS && fields[EXPORTER_POD + spelling].n == 0)
        spelling++;
    if (spelling == EXPORTER_SPELLINGS)
        return 0;
    if (spelling < *best)
        *best = spelling;
    const struct str name[4] = {fields[EXPORTER_NAMESPACE + spelling],
                                fields[EXPORTER_POD + spelling],
                                fields[EXPORTER_CONTAINER + spelling], fields[EXPORTER_REPLICA]};
    if (h->last && same(h->last, name, spelling))
        return 0;
    for (struct holder *x = h->first; x; x = x->next)
        if (same(x, name, spelling)) {
            h->last = x;
            return 0;
        }
    bool usable = name[0].n > 0 && h->n < LIMIT_OWNERS_PER_GPU;
    for (int i = 0; i < 4; i++)
        usable &= name[i].n < KUBE_NAME_MAX;
    if (!usable) {
        h->doubt = true;
        return 0;
    }
    return add(h, a, name, spelling);
}

int holders_finish(const struct holders *h, struct arena *a, int best, struct exporter_gpu *g) {
    if (h->doubt || h->n == 0)
        return 0;
    struct exporter_owner *owners = arena_array(a, h->n, sizeof(*owners));
    if (!owners)
        return ERR_NOMEM;
    for (const struct holder *x = h->first; x; x = x->next)
        if (x->spelling == best)
            owners[g->n_owners++] = x->owner;
    g->owners = owners;
    g->owners_known = g->n_owners > 0;
    return 0;
}
