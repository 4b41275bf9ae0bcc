// SPDX-License-Identifier: Apache-2.0
/* A demand source's page through its rule. */
#include "core/engine/demand.h"

#include <math.h>

#include "base/mem.h"
#include "core/engine/series.h"

// One term's sum so far.
struct slot {
    double value;
    uint32_t series;
    bool bad; // one of them is NaN, infinite or negative
};

struct demand_page {
    const struct demand_rule *rule;
    struct prom_parser parser;
    struct series_seen seen;
    uint64_t duplicates;
    size_t n_names;
    struct str names[DEMAND_VALUE_MAX * DEMAND_WAYS_MAX * DEMAND_TERMS_MAX];
    struct slot slots[DEMAND_VALUE_MAX][DEMAND_WAYS_MAX][DEMAND_TERMS_MAX];
};

static void slot_add(struct slot *slot, double v) {
    slot->series++;
    if (!isfinite(v) || v < 0)
        slot->bad = true;
    else
        slot->value += v;
}

// Calls `fn` for each term of the rule; stops at what is not 0.
static int each_term(struct demand_page *pg,
                     int (*fn)(void *ctx, const struct demand_rule_term *t, struct slot *slot),
                     void *ctx) {
    int r = 0;
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++)
        for (unsigned w = 0; pg->rule->ways[v][w].add[0].selector; w++)
            for (unsigned t = 0; pg->rule->ways[v][w].add[t].selector && r == 0; t++)
                r = fn(ctx, &pg->rule->ways[v][w].add[t], &pg->slots[v][w][t]);
    return r;
}

struct adding {
    struct demand_page *pg;
    const struct prom_sample *s;
    bool of_interest;
    struct err *e;
};

enum { REPEATED = 1 };

static int add_to_term(void *ctx, const struct demand_rule_term *t, struct slot *slot) {
    struct adding *a = ctx;
    if (!selector_matches(t->selector, a->s))
        return 0;
    bool repeated = false;
    int r = a->of_interest ? 0 : series_seen_before(&a->pg->seen, a->s, &repeated, a->e);
    if (r < 0)
        return r;
    if (repeated)
        return REPEATED;
    a->of_interest = true;
    slot_add(slot, a->s->value);
    return 0;
}

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct demand_page *pg = ctx;
    struct adding a = {.pg = pg, .s = s, .e = e};
    int r = each_term(pg, add_to_term, &a);
    if (r == REPEATED)
        pg->duplicates++;
    return r < 0 ? r : 0;
}

static int note_name(void *ctx, const struct demand_rule_term *t, struct slot *slot) {
    struct demand_page *pg = ctx;
    for (size_t i = 0; i < pg->n_names; i++)
        if (str_eq(pg->names[i], t->selector->name))
            return 0;
    pg->names[pg->n_names++] = t->selector->name;
    return 0;
}

int demand_page_new(struct demand_page **ret, const struct demand_rule *rule, struct err *e) {
    struct demand_page *pg = mem_zalloc(sizeof(*pg));
    if (!pg)
        return err_set(e, ERR_NOMEM, "no memory");
    pg->rule = rule;
    series_seen_init(&pg->seen);
    (void)each_term(pg, note_name, pg);
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
    pg->duplicates = 0;
    memset(pg->slots, 0, sizeof(pg->slots));
}

int demand_page_feed(struct demand_page *pg, const char *bytes, size_t n, struct err *e) {
    return prom_parser_feed(&pg->parser, bytes, n, e);
}

enum prom_fault demand_page_fault(const struct demand_page *pg) {
    return prom_parser_fault(&pg->parser);
}

// Whether the way is on the page; then its sum, and whether it can be trusted.
static bool read_way(const struct demand_rule_way *way, const struct slot *slots, double *sum,
                     bool *bad) {
    *sum = 0;
    *bad = false;
    for (unsigned t = 0; way->add[t].selector; t++) {
        if (slots[t].series == 0 && !way->add[t].optional)
            return false;
        if (way->add[t].witness)
            continue;
        *bad |= slots[t].bad;
        *sum += slots[t].value;
    }
    return true;
}

static void read_value(const struct demand_page *pg, unsigned v, struct demand_page_result *res) {
    for (unsigned w = 0; pg->rule->ways[v][w].add[0].selector; w++) {
        double sum;
        bool bad;
        if (!read_way(&pg->rule->ways[v][w], pg->slots[v][w], &sum, &bad))
            continue;
        if (bad || !isfinite(sum))
            res->bad |= 1u << v;
        else
            SAMPLE_SET(&res->sample, v, sum);
        return;
    }
    if (pg->rule->provides >> v & 1)
        res->missing |= 1u << v;
}

int demand_page_finish(struct demand_page *pg, bool complete, struct demand_page_result *ret,
                       struct err *e) {
    int r = prom_parser_finish(&pg->parser, complete, e);
    if (r < 0)
        return r;
    struct demand_page_result res = {.samples = pg->parser.samples, .duplicates = pg->duplicates};
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++)
        read_value(pg, v, &res);
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
