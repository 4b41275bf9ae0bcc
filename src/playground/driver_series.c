// SPDX-License-Identifier: Apache-2.0
/* The classic triggers' Prometheus; see driver_series.h. */
#include "playground/driver_series.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "core/metrics/prom_parse.h"

#define LOOKBACK_NS (300 * NS_PER_S) // --query.lookback-delta
#define GPU_LABEL "gpu"
enum { GPUS_MAX = 64 }; // a mask's bits

void driver_series_end(struct driver_series_store *s, const char *target) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->series[i].target, target) != 0)
            s->series[kept++] = s->series[i];
    s->n = kept;
}

void driver_series_keep(struct driver_series_store *s, const char *const *targets, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < n; k++)
            if (strcmp(s->series[i].target, targets[k]) == 0) {
                s->series[kept++] = s->series[i];
                break;
            }
    s->n = kept;
}

struct scrape {
    struct driver_series_store *store;
    struct driver_series next;
    bool any; // a series of the queue was seen
};

static int add(struct driver_series_store *s, const struct driver_series *series, struct err *e) {
    if (s->n == LIMIT_PLAYGROUND_SERIES)
        return err_set(e, ERR_LIMIT, "more than %d series", LIMIT_PLAYGROUND_SERIES);
    s->series[s->n++] = *series;
    return 0;
}

static int gpu_of(const struct prom_sample *sample) {
    long long gpu;
    for (size_t i = 0; i < sample->n_labels; i++)
        if (str_eqc(sample->labels[i].name, GPU_LABEL) &&
            str_to_i64(sample->labels[i].value, &gpu) == 0 && gpu >= 0 && gpu < GPUS_MAX)
            return (int)gpu;
    return -1;
}

static int on_gpu(void *ctx, const struct prom_sample *sample, struct err *e) {
    struct scrape *c = ctx;
    if (sample->selected < 0)
        return 0;
    c->next.gpu = gpu_of(sample);
    c->next.value = sample->value;
    return c->next.gpu < 0 ? 0 : add(c->store, &c->next, e);
}

static int on_queue(void *ctx, const struct prom_sample *sample, struct err *e) {
    struct scrape *c = ctx;
    (void)e;
    if (sample->selected < 0)
        return 0;
    c->next.value += sample->value;
    c->any = true;
    return 0;
}

int driver_series_scraped(struct driver_series_store *s, const char *target, const char *metric,
                          struct str page, bool complete, int64_t at_ns, struct err *e) {
    bool is_agent = strcmp(target, DRIVER_AGENT_TARGET) == 0;
    struct scrape c = {.store = s, .next = {.gpu = DRIVER_SERIES_QUEUE, .at_ns = at_ns}};
    struct str name = str_from(metric);
    struct prom_parser p;
    driver_series_end(s, target);
    int r = str_copy(c.next.target, sizeof(c.next.target), str_from(target));
    if (r < 0)
        return err_set(e, r, "the target's name is longer than %d bytes", DRIVER_NAME_LEN - 1);
    prom_parser_init(&p, is_agent ? on_gpu : on_queue, &c);
    prom_parser_select(&p, &name, 1);
    r = prom_parser_feed(&p, page.p, page.n, e);
    if (r == 0)
        r = prom_parser_finish(&p, complete, e);
    prom_parser_done(&p);
    if (r == 0 && c.any)
        r = add(s, &c.next, e);
    if (r < 0)
        driver_series_end(s, target);
    return r;
}

static bool is_fresh(const struct driver_series *series, int64_t now_ns) {
    return now_ns - series->at_ns < LOOKBACK_NS;
}

struct total {
    double sum;
    size_t n;
    int64_t oldest_ns;
};

static void total_add(struct total *t, const struct driver_series *series) {
    t->sum += series->value;
    if (t->n == 0 || series->at_ns < t->oldest_ns)
        t->oldest_ns = series->at_ns;
    t->n++;
}

// The prometheus trigger takes NaN and infinity as it takes no answer (since v2.20).
static struct driver_query_answer answer(const struct total *t, double value) {
    bool empty = t->n == 0 || !isfinite(value);
    return (struct driver_query_answer){
        .empty = empty, .value = empty ? 0 : value, .at_ns = t->oldest_ns};
}

struct driver_query_answer driver_series_gpu_average(const struct driver_series_store *s,
                                                     uint64_t gpus, int64_t now_ns) {
    struct total t = {0};
    for (size_t i = 0; i < s->n; i++) {
        const struct driver_series *series = &s->series[i];
        if (series->gpu >= 0 && (gpus >> series->gpu & 1) && is_fresh(series, now_ns))
            total_add(&t, series);
    }
    return answer(&t, t.n ? t.sum / (double)t.n : 0);
}

struct driver_query_answer driver_series_queue_sum(const struct driver_series_store *s,
                                                   int64_t now_ns) {
    struct total t = {0};
    for (size_t i = 0; i < s->n; i++)
        if (s->series[i].gpu == DRIVER_SERIES_QUEUE && is_fresh(&s->series[i], now_ns))
            total_add(&t, &s->series[i]);
    return answer(&t, t.sum);
}
