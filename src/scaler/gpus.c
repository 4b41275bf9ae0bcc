// SPDX-License-Identifier: Apache-2.0
/* GPUs by identity, and the sides that tell them. */
#include "scaler/gpus.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"

const char *const gpu_source_names[GPU_SOURCES] = {"agent", "exporter"};

struct gpu_side {
    struct gpu_identity *of;
    struct gpu_side *next;
    struct signal_gpu *joined;
    enum gpu_source source;
    bool counts; // its holders are in the join
    bool owners_known;
    int64_t at_ns; // of its reading
};

// An agent may tell several MIG devices of one GPU instance: sides of one identity.
struct gpu_identity {
    UT_hash_handle hh;
    struct gpu_side *sides;
    char key[];
};

enum { KEY_MAX = GPU_UUID_MAX + 16 };

static void key_of(const struct agents_gpu *g, char key[KEY_MAX]) {
    if (g->parent_uuid[0])
        snprintf(key, KEY_MAX, "%s/gi%u", g->parent_uuid, g->gpu_instance_id);
    else
        snprintf(key, KEY_MAX, "%s", g->uuid);
}

static struct gpu_identity *identity_get(struct gpus *gpus, const char *key) {
    struct gpu_identity *x;
    HASH_FIND(hh, gpus->by_key, key, strlen(key), x);
    if (x)
        return x;
    size_t n = strlen(key) + 1;
    x = mem_zalloc(sizeof(*x) + n);
    if (!x)
        return NULL;
    memcpy(x->key, key, n);
    map_oom();
    HASH_ADD_KEYPTR(hh, gpus->by_key, x->key, n - 1, x);
    if (map_oom()) {
        mem_free(x);
        return NULL;
    }
    return x;
}

static void identity_put(struct gpus *gpus, struct gpu_identity *x) {
    if (x->sides)
        return;
    HASH_DEL(gpus->by_key, x);
    mem_free(x);
}

static struct gpu_side *side_new(struct gpus *gpus, enum gpu_source source,
                                 const struct agents_gpu *g) {
    char key[KEY_MAX];
    key_of(g, key);
    struct gpu_identity *x = identity_get(gpus, key);
    struct gpu_side *s = x ? mem_zalloc(sizeof(*s)) : NULL;
    if (!s || signal_gpu_new(gpus->join, &s->joined) < 0) {
        mem_free(s);
        if (x)
            identity_put(gpus, x);
        return NULL;
    }
    s->of = x;
    s->source = source;
    s->at_ns = INT64_MIN;
    s->next = x->sides;
    x->sides = s;
    return s;
}

static bool exporter_counts(const struct gpu_identity *x, int64_t now_ns) {
    bool exporter = false, exporter_knows = false, agent = false, agent_knows = false;
    for (const struct gpu_side *s = x->sides; s; s = s->next) {
        if (s->source == GPU_OF_EXPORTER) {
            exporter = true;
            exporter_knows |= s->owners_known;
        } else if (s->at_ns >= now_ns - GPUS_AGENT_FRESH_S * NS_PER_S) {
            agent = true;
            agent_knows |= s->owners_known;
        }
    }
    return exporter && (!agent || (exporter_knows && !agent_knows));
}

static void withdraw(struct gpus *gpus, struct gpu_side *s) {
    if (s->counts)
        gpus->counted[s->source]--;
    s->counts = false;
    // Nobody's: without new owners this needs no memory.
    (void)signal_gpu_set_owners(gpus->join, s->joined, true, NULL, 0);
}

static int set_owners(struct gpus *gpus, struct gpu_side *s, const struct agents_gpu *g) {
    struct signal_owner owners[LIMIT_OWNERS_PER_GPU];
    for (size_t i = 0; i < g->n_owners && i < LIMIT_OWNERS_PER_GPU; i++)
        owners[i] = (struct signal_owner){str_from(g->owners[i].namespace_),
                                          str_from(g->owners[i].pod)};
    // Over the limit the join says so and keeps the owners before, without values.
    return signal_gpu_set_owners(gpus->join, s->joined, g->owners_known, owners, g->n_owners);
}

int gpus_told(struct gpus *gpus, enum gpu_source source, const struct agents_gpu *g,
              unsigned changed, int64_t now_ns, void **user, bool *ret_counts) {
    struct gpu_side *s = *user;
    *ret_counts = false;
    if (!s) {
        s = side_new(gpus, source, g);
        if (!s)
            return ERR_NOMEM;
        *user = s;
    }
    s->at_ns = g->reading_at_ns;
    s->owners_known = g->owners_known;
    if (exporter_counts(s->of, now_ns) != (source == GPU_OF_EXPORTER)) {
        withdraw(gpus, s);
        return 0;
    }
    for (struct gpu_side *other = s->of->sides; other; other = other->next) {
        if (other->source == source || !other->counts)
            continue;
        withdraw(gpus, other);
        gpus->changes++;
    }
    int r = 0;
    if (!s->counts || (changed & (AGENTS_NEW | AGENTS_OWNERS)))
        r = set_owners(gpus, s, g);
    if (r == ERR_NOMEM)
        return r; // tried again when it is told again
    if (!s->counts)
        gpus->counted[source]++;
    s->counts = true;
    if (signal_gpu_set_shares(s->joined, g->shares_known, g->shares, g->n_shares) < 0 && r == 0)
        r = ERR_NOMEM; // its holders' parts are unknown until it is told again
    if (g->reading_at_ns != INT64_MIN)
        signal_gpu_set_reading(s->joined, g->reading, g->reading_at_ns, g->lost);
    *ret_counts = true;
    return r;
}

void gpus_removed(struct gpus *gpus, void *user) {
    struct gpu_side *s = user;
    if (!s)
        return;
    if (s->counts)
        gpus->counted[s->source]--;
    signal_gpu_free(gpus->join, s->joined);
    struct gpu_side **at = &s->of->sides;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    identity_put(gpus, s->of);
    mem_free(s);
}

bool gpus_counts(const void *user) {
    const struct gpu_side *s = user;
    return s && s->counts;
}

bool gpus_shared(const void *user) {
    const struct gpu_side *s = user;
    return s && signal_gpu_is_shared(s->joined);
}

int gpus_part(const struct gpus *gpus, const void *user, struct str namespace_, struct str pod,
              enum signal sig, struct signal_part *ret) {
    const struct gpu_side *s = user;
    const struct signal_pod_gpus *p = signal_join_pod_find(gpus->join, namespace_, pod);
    return p ? signal_join_part(s->joined, p, sig, ret) : PART_NO_UID;
}

bool gpus_owner_is_first(const struct agents_gpu *g, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(g->owners[k].pod, g->owners[i].pod) == 0 &&
            strcmp(g->owners[k].namespace_, g->owners[i].namespace_) == 0)
            return false;
    return true;
}

size_t gpus_pods(const struct agents_gpu *g) {
    size_t pods = 0;
    for (size_t i = 0; i < g->n_owners; i++)
        pods += gpus_owner_is_first(g, i);
    return pods;
}
