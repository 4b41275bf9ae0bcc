// SPDX-License-Identifier: Apache-2.0
/*
 * Demand sources: pages read through their rules. Sources whose rule did not change keep the one
 * they have, by which the scraper sees that they are the same.
 */
#include "source/demand.h"

#include "base/limits.h"
#include "base/mem.h"
#include "core/engine/demand.h"
#include "source/scraper.h"

enum { CONNECT_MS = 1000, TOTAL_MS = 3000 };

// How one source is read.
struct reading_rule {
    struct demand_rule *how;
    char *name; // of the source
    bool kept;  // in the next set too
};

struct demand {
    struct demand_options o;
    struct scraper *scraper;
    struct reading_rule **rules;
    size_t n_rules;
};

static void *page_open(void *ctx, const void *what) {
    const struct reading_rule *rule = what;
    struct demand_page *page;
    return demand_page_new(&page, rule->how, NULL) == 0 ? page : NULL;
}

static void page_close(void *ctx, const void *what, void *reader) {
    demand_page_free(reader);
}

static int page_feed(void *reader, const char *p, size_t n, struct err *e) {
    return demand_page_feed(reader, p, n, e);
}

static void describe(struct buf *text, const struct reading_rule *rule, uint32_t bits,
                     const char *intro) {
    if (!bits)
        return;
    buf_addf(text, "%s%s", text->len ? "; " : "", intro);
    const char *between = "";
    for (int i = 0; i < DEMAND_VALUE_MAX; i++) {
        if (!(bits >> i & 1))
            continue;
        buf_addf(text, "%s%s (%s)", between, demand_value_name((enum demand_value)i),
                 rule->how->text[i] ? rule->how->text[i] : "");
        between = ", ";
    }
}

static void page_describe(const void *what, uint32_t missing, uint32_t bad, struct buf *text) {
    describe(text, what, missing, "no series matches: ");
    describe(text, what, bad, "without a usable number: ");
}

static int page_finish(void *ctx, struct scraper_target *t, void *reader, bool complete,
                       int64_t requested_at_ns, struct err *e) {
    struct demand *d = ctx;
    struct demand_page_result r = {0};
    int rc = demand_page_finish(reader, complete, &r, e);
    if (rc < 0)
        return rc;
    scraper_tell_gaps(t, r.missing, r.bad);
    d->o.sample(d->o.ctx, scraper_target_key(t), &r.sample, requested_at_ns);
    return 0;
}

static int page_reason(void *reader, int code) {
    return scraper_fault_reason(demand_page_fault(reader));
}

static const struct scraper_ops demand_ops = {
    .open = page_open,
    .close = page_close,
    .feed = page_feed,
    .finish = page_finish,
    .reason = page_reason,
    .describe = page_describe,
};

int demand_new(struct demand **ret, const struct demand_options *options, struct err *e) {
    struct demand *d = mem_zalloc(sizeof(*d));
    if (!d)
        return err_set(e, ERR_NOMEM, "out of memory");
    d->o = *options;
    struct scraper_options so = {
        .loop = options->loop,
        .tls = options->tls,
        .tls_server_name = options->tls_server_name,
        .seed = options->seed,
        .connect_ms = CONNECT_MS,
        .total_ms = TOTAL_MS,
        .ops = &demand_ops,
        .ctx = d,
        .told = {options->failure, options->gaps, options->tls_event, options->ctx},
    };
    int r = scraper_new(&d->scraper, &so, e);
    if (r < 0) {
        mem_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

static void rule_free(struct reading_rule *rule) {
    if (!rule)
        return;
    demand_rule_free(rule->how);
    mem_free(rule->name);
    mem_free(rule);
}

struct demand *demand_free(struct demand *d) {
    if (!d)
        return NULL;
    scraper_free(d->scraper);
    for (size_t i = 0; i < d->n_rules; i++)
        rule_free(d->rules[i]);
    mem_free(d->rules);
    mem_free(d);
    return NULL;
}

static int rule_new(struct reading_rule **ret, const struct demand_source *source, struct err *e) {
    struct reading_rule *rule = mem_zalloc(sizeof(*rule));
    if (!rule)
        return err_set(e, ERR_NOMEM, "out of memory");
    rule->name = mem_strdup(source->name);
    int r = rule->name ? demand_rule_new(&rule->how, &source->rule, e)
                       : err_set(e, ERR_NOMEM, "out of memory");
    if (r < 0) {
        err_wrap(e, "demand %s", source->name);
        rule_free(rule);
        return r;
    }
    *ret = rule;
    return 0;
}

// The rule that the source had already, kept; else the new one.
static struct reading_rule *rule_keep(struct demand *d, struct reading_rule *rule) {
    for (size_t i = 0; i < d->n_rules; i++) {
        struct reading_rule *old = d->rules[i];
        if (old->kept || strcmp(old->name, rule->name) || !demand_rule_same(old->how, rule->how))
            continue;
        rule_free(rule);
        old->kept = true;
        return old;
    }
    return rule;
}

// Of two sets that share their kept rules, ends one: the old one after success, the new one after
// failure.
static void rules_drop(struct reading_rule **rules, size_t n) {
    for (size_t i = 0; rules && i < n; i++) {
        if (rules[i] && !rules[i]->kept)
            rule_free(rules[i]);
        else if (rules[i])
            rules[i]->kept = false;
    }
    mem_free(rules);
}

int demand_set_sources(struct demand *d, const struct demand_source *sources, size_t n,
                       struct err *e) {
    if (n > LIMIT_DEMAND_SOURCES)
        return err_set(e, ERR_LIMIT, "%zu demand sources, at most %d", n, LIMIT_DEMAND_SOURCES);
    CLEANUP_FREE struct scraper_spec *specs = mem_array(n ? n : 1, sizeof(*specs));
    struct reading_rule **rules = mem_array(n ? n : 1, sizeof(*rules));
    int r = specs && rules ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && r == 0; i++) {
        r = rule_new(&rules[i], &sources[i], e);
        if (r < 0)
            break;
        rules[i] = rule_keep(d, rules[i]);
        specs[i] = (struct scraper_spec){
            .key = sources[i].name,
            .url = sources[i].url,
            .what = rules[i],
            .interval_ns = sources[i].interval_ns ? sources[i].interval_ns : DEMAND_INTERVAL_NS,
            .tls = sources[i].tls,
        };
    }
    if (r == 0 && (r = scraper_set(d->scraper, specs, n, e)) < 0)
        err_wrap(e, "demand");
    if (r < 0) {
        rules_drop(rules, n);
        return r;
    }
    rules_drop(d->rules, d->n_rules);
    d->rules = rules;
    d->n_rules = n;
    return 0;
}

const struct demand_rule *demand_rule_of(const struct demand *d, const char *name) {
    for (size_t i = 0; i < d->n_rules; i++)
        if (strcmp(d->rules[i]->name, name) == 0)
            return d->rules[i]->how;
    return NULL;
}

struct scrape_stats demand_stats(const struct demand *d) {
    return scraper_stats(d->scraper);
}

void demand_each(const struct demand *d, void (*fn)(void *, const struct scrape_status *),
                 void *ctx) {
    scraper_each(d->scraper, fn, ctx);
}
