// SPDX-License-Identifier: Apache-2.0
/*
 * A demand source's page through three selectors, two of which want the same metric: any bytes, in
 * pieces (the first byte says how large), mean the same as in one piece, and each value is known,
 * missing or bad, and one of them only.
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

static struct selector *selectors[DEMAND_VALUE_MAX];

static void make_selectors(void) {
    static const char *const texts[DEMAND_VALUE_MAX] = {
        [DEMAND_REQUESTS_TOTAL] = "r_total{code=\"200\"}",
        [DEMAND_WAITING] = "q",
        [DEMAND_INFLIGHT] = "q{a=\"b\",c=\"\"}",
    };
    for (int v = 0; v < DEMAND_VALUE_MAX && !selectors[v]; v++)
        require(selector_parse(&selectors[v], str_from(texts[v]), NULL) == 0);
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

static void check(const struct demand_page_result *r) {
    const struct demand_sample *s = &r->sample;
    uint32_t all = (1u << DEMAND_VALUE_MAX) - 1;
    require((s->valid & r->missing) == 0 && (s->valid & r->bad) == 0 && (r->missing & r->bad) == 0);
    require((s->valid | r->missing | r->bad) == all);
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
    struct demand_selectors sel;
    struct demand_page *pg;
    struct outcome whole, pieces;
    if (size == 0)
        return 0;
    make_selectors();
    for (int v = 0; v < DEMAND_VALUE_MAX; v++)
        sel.by_value[v] = selectors[v];
    require(demand_page_new(&pg, &sel, NULL) == 0);
    read_in(pg, (const char *)data + 1, size - 1, size, &whole);
    demand_page_reset(pg);
    read_in(pg, (const char *)data + 1, size - 1, data[0] % 67 + 1u, &pieces);
    demand_page_free(pg);
    same(&whole, &pieces);
    if (whole.rc == 0)
        check(&whole.res);
    return 0;
}
