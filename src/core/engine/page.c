// SPDX-License-Identifier: Apache-2.0
/*
 * An engine's page through its preset. At the start the row is laid out flat: a slot for each term
 * of each way of each value and then of each histogram, and a list of the names that slots want.
 * Samples are added up in all slots that want them; at the end each value takes its first way that
 * was there.
 */
#include "core/engine/page.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/engine/buckets.h"
#include "core/engine/series.h"

// One term's sum so far. The slots of a page stand in the row's order: by value, way, term, and the
// way's divisor last; then by histogram and way.
struct slot {
    const struct engine_term *term;
    enum engine_combine combine;
    int next; // slot that wants the same name, -1: none
    double value;
    uint32_t series;             // added so far
    bool bad;                    // one of them was NaN or infinite
    struct bucket_sums *buckets; // a histogram's; NULL: a value's
};

// Series that are copies of each other (struct engine_term).
struct copied {
    int slot;
    uint64_t of; // hash of what they have in common
    double largest;
};

struct engine_page {
    const struct engine_preset *preset;
    struct prom_parser parser;
    struct series_seen seen;
    struct VEC(struct copied) copies;
    uint64_t duplicates;
    struct slot *slots;
    size_t n_slots;
    struct bucket_sums *buckets; // of the histograms' slots
    size_t n_buckets;
    struct str *names; // that slots want
    int *first_slot;   // of each name
    size_t n_names;
};

static bool passes(const struct engine_filter *f, const struct prom_sample *s) {
    struct str value = series_label(s, str_from(f->label));
    switch (f->op) {
    case ENGINE_LABEL_IS:
        return str_eqc(value, f->value);
    case ENGINE_LABEL_NONE_OF:
        return value.n == 0 || !series_word_in(value, f->value);
    }
    return false;
}

static bool wanted(const struct engine_term *t, const struct prom_sample *s) {
    for (const struct engine_filter *f = t->where; f && f->label; f++)
        if (!passes(f, s))
            return false;
    return true;
}

// Of a series that has copies: by how much it exceeds the largest of them so far.
static int excess(struct engine_page *pg, int slot, const struct prom_sample *s, double *v) {
    uint64_t of = series_hash(s, pg->slots[slot].term->copies);
    for (size_t i = 0; i < pg->copies.n; i++) {
        struct copied *c = &pg->copies.items[i];
        if (c->slot != slot || c->of != of)
            continue;
        double before = c->largest;
        c->largest = *v > before ? *v : before;
        *v = c->largest - before;
        return 0;
    }
    struct copied c = {.slot = slot, .of = of, .largest = *v};
    return vec_push(&pg->copies, c);
}

static int slot_add(struct engine_page *pg, int i, const struct prom_sample *s) {
    struct slot *slot = &pg->slots[i];
    double v = s->value;
    if (!isfinite(v)) {
        slot->bad = true;
        v = 0;
    }
    int r = slot->term->copies ? excess(pg, i, s, &v) : 0;
    if (r < 0)
        return r;
    if (slot->series++ == 0)
        slot->value = v;
    else if (slot->combine == ENGINE_SUM)
        slot->value += v;
    else if (slot->combine == ENGINE_MAX ? v > slot->value : v < slot->value)
        slot->value = v;
    return 0;
}

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct engine_page *pg = ctx;
    bool of_interest = false;
    if (pg->n_names == 0) // the row has no page; no selection is every sample
        return 0;
    for (int i = pg->first_slot[s->selected]; i >= 0; i = pg->slots[i].next) {
        struct slot *slot = &pg->slots[i];
        if (!wanted(slot->term, s))
            continue;
        bool repeated = false;
        int r = of_interest ? 0 : series_seen_before(&pg->seen, s, &repeated, e);
        if (r < 0)
            return r;
        if (repeated) {
            pg->duplicates++;
            return 0;
        }
        of_interest = true;
        if (slot->buckets)
            slot->series++, bucket_sums_add(slot->buckets, s, slot->term->factor);
        else
            r = slot_add(pg, i, s);
        if (r < 0)
            return err_set(e, r, "no memory");
    }
    return 0;
}

static void add_slot(struct engine_page *pg, const struct engine_term *t,
                     enum engine_combine combine) {
    struct str name = str_from(t->name);
    size_t i = 0;
    while (i < pg->n_names && !str_eq(pg->names[i], name))
        i++;
    if (i == pg->n_names) {
        pg->names[pg->n_names++] = name;
        pg->first_slot[i] = -1;
    }
    pg->slots[pg->n_slots] = (struct slot){
        .term = t, .combine = combine, .next = pg->first_slot[i]};
    pg->first_slot[i] = (int)pg->n_slots++;
}

static unsigned way_terms(const struct engine_way *way) {
    unsigned n = 0;
    while (way->add[n].name)
        n++;
    return n;
}

static unsigned way_slots(const struct engine_way *way) {
    return way_terms(way) + (way->per ? 1 : 0);
}

static unsigned histogram_ways(const struct engine_preset *p, unsigned h) {
    unsigned n = 0;
    while (p->histograms[h].ways && p->histograms[h].ways[n].name)
        n++;
    return n;
}

static void lay_out(struct engine_page *pg) {
    for (unsigned v = 0; v < ENGINE_VALUE_MAX; v++)
        for (const struct engine_way *way = pg->preset->values[v].ways; way && way->add; way++) {
            for (unsigned t = 0; t < way_terms(way); t++)
                add_slot(pg, &way->add[t], way->combine);
            if (way->per)
                add_slot(pg, way->per, ENGINE_SUM);
        }
    size_t at = 0;
    for (unsigned h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        for (unsigned w = 0; w < histogram_ways(pg->preset, h); w++) {
            add_slot(pg, &pg->preset->histograms[h].ways[w], ENGINE_SUM);
            pg->slots[pg->n_slots - 1].buckets = &pg->buckets[at++];
        }
}

static size_t preset_slots(const struct engine_preset *p) {
    size_t n = 0;
    for (unsigned v = 0; v < ENGINE_VALUE_MAX; v++)
        for (const struct engine_way *way = p->values[v].ways; way && way->add; way++)
            n += way_slots(way);
    return n;
}

static size_t preset_buckets(const struct engine_preset *p) {
    size_t n = 0;
    for (unsigned h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        n += histogram_ways(p, h);
    return n;
}

int engine_page_new(struct engine_page **ret, const struct engine_preset *preset, struct err *e) {
    size_t buckets = preset_buckets(preset);
    size_t n = preset_slots(preset) + buckets;
    struct engine_page *pg = mem_zalloc(sizeof(*pg));
    if (!pg)
        return err_set(e, ERR_NOMEM, "no memory");
    pg->preset = preset;
    pg->slots = mem_array(n ? n : 1, sizeof(*pg->slots));
    pg->names = mem_array(n ? n : 1, sizeof(*pg->names));
    pg->first_slot = mem_array(n ? n : 1, sizeof(*pg->first_slot));
    pg->buckets = mem_array(buckets ? buckets : 1, sizeof(*pg->buckets));
    pg->n_buckets = buckets;
    series_seen_init(&pg->seen);
    vec_init(&pg->copies, n * LIMIT_PAGE_SERIES);
    prom_parser_init(&pg->parser, on_sample, pg);
    if (!pg->slots || !pg->names || !pg->first_slot || !pg->buckets) {
        engine_page_free(pg);
        return err_set(e, ERR_NOMEM, "no memory");
    }
    lay_out(pg);
    prom_parser_select(&pg->parser, pg->names, pg->n_names);
    *ret = pg;
    return 0;
}

struct engine_page *engine_page_free(struct engine_page *pg) {
    if (pg) {
        prom_parser_done(&pg->parser);
        vec_done(&pg->seen);
        vec_done(&pg->copies);
        mem_free(pg->slots);
        mem_free(pg->names);
        mem_free(pg->first_slot);
        mem_free(pg->buckets);
        mem_free(pg);
    }
    return NULL;
}

void engine_page_reset(struct engine_page *pg) {
    prom_parser_reset(&pg->parser);
    vec_clear(&pg->seen);
    vec_clear(&pg->copies);
    pg->duplicates = 0;
    for (size_t i = 0; i < pg->n_slots; i++) {
        pg->slots[i].value = 0;
        pg->slots[i].series = 0;
        pg->slots[i].bad = false;
    }
    for (size_t i = 0; i < pg->n_buckets; i++)
        bucket_sums_clear(&pg->buckets[i]);
}

int engine_page_feed(struct engine_page *pg, const char *bytes, size_t n, struct err *e) {
    return prom_parser_feed(&pg->parser, bytes, n, e);
}

enum prom_fault engine_page_fault(const struct engine_page *pg) {
    return prom_parser_fault(&pg->parser);
}

static bool way_present(const struct engine_way *way, const struct slot *slots) {
    for (unsigned i = 0; i < way_slots(way); i++)
        if (slots[i].series == 0 && !slots[i].term->optional)
            return false;
    return true;
}

static double slot_value(const struct slot *s) {
    return s->term->factor != 0 ? s->value * s->term->factor : s->value;
}

// The way's value; NaN when a series of it is not a number or the divisor is not positive.
static double way_value(const struct engine_way *way, const struct slot *slots) {
    double sum = 0;
    bool difference = false;
    unsigned n = way_terms(way);
    for (unsigned t = 0; t < n; t++) {
        if (slots[t].bad)
            return NAN;
        sum += slot_value(&slots[t]);
        difference |= way->add[t].factor < 0;
    }
    if (difference && sum < 0) // two gauges of one page are not read at the same instant
        sum = 0;
    if (!way->per)
        return sum;
    double per = slot_value(&slots[n]);
    return slots[n].bad || per <= 0 ? NAN : sum / per;
}

static bool in_range(enum engine_value v, double x) {
    bool ratio = v == ENGINE_KV_CACHE_RATIO || v == ENGINE_AWAKE;
    return isfinite(x) && x >= 0 && (!ratio || x <= 1);
}

// `slots` is the value's first. Returns the next value's.
static const struct slot *read_value(const struct engine_page *pg, enum engine_value v,
                                     const struct slot *slots, struct engine_page_result *res) {
    const struct engine_way *ways = pg->preset->values[v].ways;
    bool found = false;
    for (const struct engine_way *way = ways; way && way->add; way++) {
        if (!found && way_present(way, slots)) {
            double x = way_value(way, slots);
            if (in_range(v, x))
                SAMPLE_SET(&res->sample, v, x);
            else
                res->bad |= 1u << v;
            found = true;
        }
        slots += way_slots(way);
    }
    if (!found && ways)
        res->missing |= 1u << v;
    return slots;
}

// `slot` is the histogram's first. Returns the next one's.
static const struct slot *read_histogram(const struct engine_page *pg, enum engine_histogram h,
                                         const struct slot *slot, struct engine_page_result *res) {
    unsigned n = histogram_ways(pg->preset, h), w = 0;
    while (w < n && slot[w].series == 0)
        w++;
    if (w < n && !bucket_sums_read(slot[w].buckets, &res->sample.histograms[h]))
        res->bad |= ENGINE_HISTOGRAM_BIT(h);
    else if (w == n && n > 0)
        res->missing |= ENGINE_HISTOGRAM_BIT(h);
    return slot + n;
}

// The page is well-formed and tells nothing: names the first metrics that were looked for.
static int fail_empty(const struct engine_page *pg, const struct engine_page_result *res,
                      struct err *e) {
    const struct engine_preset *p = pg->preset;
    char names[256] = "";
    size_t at = 0;
    for (unsigned v = 0, n = 0; v < ENGINE_VALUE_MAX && n < 3; v++) {
        const char *metric = engine_preset_metric(p, (enum engine_value)v);
        if (!metric)
            continue;
        int w = snprintf(names + at, sizeof(names) - at, "%s%s", n++ ? ", " : "", metric);
        at += w > 0 && (size_t)w < sizeof(names) - at ? (size_t)w : 0;
    }
    return err_set(e, ERR_NOTFOUND,
                   "%llu samples, none of them of engine \"%s\" (looked for %s, ...): wrong port, "
                   "path or engine, or metrics not enabled%s%s",
                   (unsigned long long)res->samples, p->name, names, p->enable ? ": " : "",
                   p->enable ? p->enable : "");
}

int engine_page_finish(struct engine_page *pg, bool complete, struct engine_page_result *ret,
                       struct err *e) {
    int r = prom_parser_finish(&pg->parser, complete, e);
    if (r < 0)
        return r;
    struct engine_page_result res = {.samples = pg->parser.samples, .duplicates = pg->duplicates};
    const struct slot *slots = pg->slots;
    for (unsigned v = 0; v < ENGINE_VALUE_MAX; v++)
        slots = read_value(pg, (enum engine_value)v, slots, &res);
    for (unsigned h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        slots = read_histogram(pg, (enum engine_histogram)h, slots, &res);
    *ret = res;
    return res.sample.valid || res.bad ? 0 : fail_empty(pg, &res, e);
}

// "queue (vllm:num_requests_waiting)": value `i`, or the histogram of that bit.
static int describe(const struct engine_preset *p, unsigned i, struct buf *out) {
    bool value = i < ENGINE_VALUE_MAX;
    enum engine_histogram h = (enum engine_histogram)(i - ENGINE_VALUE_MAX);
    int r = buf_addf(out, "%s (",
                     value ? engine_value_name((enum engine_value)i) : engine_histogram_name(h));
    if (r == 0)
        r = value ? engine_preset_names(p, (enum engine_value)i, out)
                  : engine_preset_histogram_names(p, h, out);
    return r ? r : buf_add_byte(out, ')');
}

int engine_page_describe(const struct engine_preset *p, uint32_t values, struct buf *out) {
    size_t start = out->len;
    int r = 0;
    for (unsigned i = 0; i < ENGINE_VALUE_MAX + ENGINE_HISTOGRAM_MAX && r == 0; i++) {
        if (!(values >> i & 1))
            continue;
        if (out->len > start)
            r = buf_addc(out, ", ");
        r = r ? r : describe(p, i, out);
    }
    if (r < 0)
        buf_truncate(out, start);
    return r;
}
