// SPDX-License-Identifier: Apache-2.0
/*
 * A demand source's page through a rule (the first byte chooses: selectors, two of which want the
 * same metric, or a preset with all its keys): any bytes, in pieces (the second byte says how
 * large), mean the same as in one piece, and each value that the rule provides is known, missing or
 * bad, and one of them only.
 */
#include <math.h>

#include "core/engine/demand.h"
#include "fuzz.h"

struct outcome {
    int rc;
    enum prom_fault fault;
    struct demand_page_result res;
    struct err e;
};

enum { RULES_MAX = 64 };

static struct demand_rule *rules[RULES_MAX];
static unsigned n_rules;

static void make_rules(void) {
    struct demand_rule_spec written = {.selector = {
                                           [DEMAND_REQUESTS_TOTAL] = "r_total{code=\"200\"}",
                                           [DEMAND_WAITING] = "q",
                                           [DEMAND_INFLIGHT] = "q{a=\"b\",c=\"\"}",
                                       }};
    require(demand_presets_n < RULES_MAX);
    require(demand_rule_new(&rules[n_rules++], &written, NULL) == 0);
    for (unsigned i = 0; i < demand_presets_n; i++) {
        const struct demand_preset *p = &demand_presets[i];
        struct demand_rule_spec spec = {.preset = p->name};
        for (int k = 0; k < DEMAND_KEY_MAX; k++)
            if ((p->required | p->optional) >> k & 1)
                spec.key[k] = p->defaults[k] ? p->defaults[k] : "1";
        require(demand_rule_new(&rules[n_rules++], &spec, NULL) == 0);
    }
}

static void read_in(struct demand_page *pg, const char *p, size_t n, size_t piece,
                    struct outcome *o) {
    *o = (struct outcome){0};
    for (size_t at = 0; at < n && o->rc == 0; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        char *copy = malloc(take);
        memcpy(copy, p + at, take);
        o->rc = demand_page_feed(pg, copy, take, &o->e);
        free(copy);
    }
    if (o->rc == 0)
        o->rc = demand_page_finish(pg, n % 2, &o->res, &o->e);
    o->fault = demand_page_fault(pg);
}

static void check(const struct demand_rule *rule, const struct demand_page_result *r) {
    const struct demand_sample *s = &r->sample;
    require((s->valid & r->missing) == 0 && (s->valid & r->bad) == 0 && (r->missing & r->bad) == 0);
    require((s->valid | r->missing | r->bad) == rule->provides);
    for (int v = 0; v < DEMAND_VALUE_MAX; v++)
        if (SAMPLE_HAS(s, v))
            require(isfinite(s->v[v]) && s->v[v] >= 0);
}

static void same(const struct outcome *a, const struct outcome *b) {
    require(a->rc == b->rc && a->fault == b->fault);
    if (a->rc < 0) {
        require_message(&a->e);
        require(strcmp(a->e.msg, b->e.msg) == 0);
        return;
    }
    require(a->res.samples == b->res.samples && a->res.duplicates == b->res.duplicates);
    require(a->res.sample.valid == b->res.sample.valid && a->res.bad == b->res.bad);
    for (int v = 0; v < DEMAND_VALUE_MAX; v++)
        if (SAMPLE_HAS(&a->res.sample, v))
            require(a->res.sample.v[v] == b->res.sample.v[v]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct demand_page *pg;
    struct outcome whole, pieces;
    if (n_rules == 0)
        make_rules();
    if (size < 2)
        return 0;
    const struct demand_rule *rule = rules[data[0] % n_rules];
    require(demand_page_new(&pg, rule, NULL) == 0);
    read_in(pg, (const char *)data + 2, size - 2, size, &whole);
    demand_page_reset(pg);
    read_in(pg, (const char *)data + 2, size - 2, data[1] % 67 + 1u, &pieces);
    demand_page_free(pg);
    same(&whole, &pieces);
    if (whole.rc == 0)
        check(rule, &whole.res);
    return 0;
}
