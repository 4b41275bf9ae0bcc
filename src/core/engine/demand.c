// SPDX-License-Identifier: Apache-2.0
/* A demand source's page through its selectors. */
#include "core/engine/demand.h"

#include <math.h>

#include "base/mem.h"
#include "core/engine/series.h"

struct demand_page {
    struct demand_selectors sel;
    struct prom_parser parser;
    struct series_seen seen;
    size_t n_names;
    struct str names[DEMAND_VALUE_MAX];
    struct demand_page_result sum; // of the page so far; `missing` is made at the end
};

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct demand_page *pg = ctx;
    bool of_interest = false;
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++) {
        const struct selector *sel = pg->sel.by_value[v];
        if (!sel || !selector_matches(sel, s))
            continue;
        bool repeated = false;
        int r = of_interest ? 0 : series_seen_before(&pg->seen, s, &repeated, e);
        if (r < 0)
            return r;
        if (repeated) {
            pg->sum.duplicates++;
            return 0;
        }
        of_interest = true;
        if (!isfinite(s->value) || s->value < 0)
            pg->sum.bad |= 1u << v;
        else
            SAMPLE_SET(&pg->sum.sample, v, pg->sum.sample.v[v] + s->value);
    }
    return 0;
}

int demand_page_new(struct demand_page **ret, const struct demand_selectors *sel, struct err *e) {
    struct demand_page *pg = mem_zalloc(sizeof(*pg));
    if (!pg)
        return err_set(e, ERR_NOMEM, "no memory");
    pg->sel = *sel;
    series_seen_init(&pg->seen);
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++)
        if (sel->by_value[v])
            pg->names[pg->n_names++] = sel->by_value[v]->name;
    prom_parser_init(&pg->parser, on_sample, pg);
    prom_parser_select(&pg->parser, pg->names, pg->n_names);
    *ret = pg;
    return 0;
}

struct demand_page *demand_page_free(struct demand_page *pg) {
    if (pg) {
        prom_parser_done(&pg->parser);
        vec_done(&pg->seen);
        mem_free(pg);
    }
    return NULL;
}

void demand_page_reset(struct demand_page *pg) {
    prom_parser_reset(&pg->parser);
    vec_clear(&pg->seen);
    pg->sum = (struct demand_page_result){0};
}

int demand_page_feed(struct demand_page *pg, const char *bytes, size_t n, struct err *e) {
    return prom_parser_feed(&pg->parser, bytes, n, e);
}

enum prom_fault demand_page_fault(const struct demand_page *pg) {
    return prom_parser_fault(&pg->parser);
}

int demand_page_finish(struct demand_page *pg, bool complete, struct demand_page_result *ret,
                       struct err *e) {
    int r = prom_parser_finish(&pg->parser, complete, e);
    if (r < 0)
        return r;
    struct demand_page_result res = pg->sum;
    res.samples = pg->parser.samples;
    res.sample.valid &= ~res.bad;
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++)
        if (pg->sel.by_value[v] && !((res.sample.valid | res.bad) >> v & 1))
            res.missing |= 1u << v;
    *ret = res;
    return 0;
}

const char *demand_value_name(enum demand_value v) {
    static const char *const names[DEMAND_VALUE_MAX] = {
        [DEMAND_REQUESTS_TOTAL] = "requestsTotal",
        [DEMAND_WAITING] = "waiting",
        [DEMAND_INFLIGHT] = "inflight",
    };
    return names[v];
}
