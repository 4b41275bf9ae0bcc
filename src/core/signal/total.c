// SPDX-License-Identifier: Apache-2.0
/* Totals: each ready pod gives an interval of its own; the workload's is their sum. */
#include "core/signal/total.h"

#include <math.h>

#include "base/clock.h"
#include "core/signal/pod.h"

// One pod's part. `whole`: lower is its value; else it is only what is known of it.
struct part {
    double lower, upper;
    bool whole;
    bool never; // it never gave the value
    bool shared, parts;
    uint32_t gaps;
    int64_t oldest_ns, newest_ns;
};

static const struct part NOTHING = {.oldest_ns = SIGNAL_TIME_UNKNOWN,
                                    .newest_ns = SIGNAL_TIME_UNKNOWN};

static bool is_fresh(int64_t at_ns, const struct signal_total_query *q) {
    return at_ns != SIGNAL_TIME_UNKNOWN && at_ns >= q->now_ns - q->max_age_ns;
}

static struct part of_gauge(const struct gauge *g, const struct signal_total_query *q) {
    struct part part = NOTHING;
    part.never = g->at_ns == SIGNAL_TIME_UNKNOWN;
    part.upper = q->ceiling;
    if (is_fresh(g->at_ns, q)) {
        part.whole = true;
        part.lower = part.upper = g->v;
        part.oldest_ns = part.newest_ns = g->at_ns;
    }
    return part;
}

static struct part of_window(const struct signal_window *w, int64_t served_ns,
                             const struct signal_total_query *q) {
    struct part part = NOTHING;
    int64_t newest_ns = signal_window_newest(w);
    double rate = 0;
    part.never = newest_ns == INT64_MIN;
    part.upper = q->ceiling;
    if (!is_fresh(newest_ns, q))
        return part;
    enum signal_rate known = signal_window_rate(w, q->window_ns, served_ns, &rate);
    if (known == SIGNAL_RATE_NONE)
        return part;
    part.lower = rate;
    part.whole = known == SIGNAL_RATE_FULL;
    part.upper = part.whole ? rate : rate + q->ceiling;
    part.oldest_ns = part.newest_ns = newest_ns;
    return part;
}

static struct part of_gpus(const struct pod *p, const struct signal_total_query *q) {
    struct part part = NOTHING;
    struct signal_level level;
    signal_join_pod_level(p->gpus, q->signal, q->now_ns, q->max_age_ns, &level);
    part.never = level.gpus == 0;
    part.shared = level.shared > 0;
    part.parts = level.parts > 0;
    part.gaps = level.gaps;
    part.upper = q->ceiling;
    if (level.known == 0)
        return part;
    uint32_t unknown = level.gpus - level.known;
    part.whole = unknown == 0;
    part.lower = level.sum / level.gpus;
    part.upper = part.lower + level.hidden / level.gpus;
    if (!part.whole)
        part.upper += q->ceiling * unknown / level.gpus;
    part.oldest_ns = level.oldest_ns;
    part.newest_ns = level.newest_ns;
    return part;
}

static const struct signal_window *window_of(const struct pod *p, enum signal s) {
    return s == SIGNAL_REQUEST_RATE ? &p->arrivals : &p->tokens;
}

static int64_t max64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/*
 * The window over which all pods are counted: the asked one, longer where it would begin in a hole
 * of some pod's pages. What came in a hole is a sum; to spread it evenly would count requests twice
 * that moved to another pod meanwhile, and a page that returns would raise. Over a stretch that
 * begins where the hole did, every pod's increase is exact, and so is their sum.
 */
static int64_t common_window(const struct signal_workload *w, const struct signal_total_query *q) {
    enum { PASSES = 4 }; // a longer window may begin in another pod's hole
    int64_t hole_ns = max64(q->window_ns / 4, w->history_ns / 20);
    int64_t window_ns = q->window_ns, before_ns = 0;
    for (int pass = 0; pass < PASSES && window_ns != before_ns; pass++) {
        before_ns = window_ns;
        for (size_t i = 0; i < w->ready.n + w->left.n; i++) {
            bool ready = i < w->ready.n;
            const struct pod *p = ready ? w->ready.items[i] : w->left.items[i - w->ready.n];
            const struct signal_window *pages = window_of(p, q->signal);
            int64_t newest_ns = signal_window_newest(pages);
            if (ready ? !is_fresh(newest_ns, q) : newest_ns <= q->now_ns - window_ns)
                continue;
            int64_t end_ns = ready ? newest_ns : q->now_ns;
            int64_t begin_ns = signal_window_begin(pages, end_ns - window_ns, hole_ns);
            window_ns = max64(window_ns, end_ns - begin_ns);
        }
    }
    return window_ns;
}

static int64_t served_ns(const struct signal_workload *w, const struct signal_total_query *q) {
    if (w->serving_since_ns == SIGNAL_TIME_UNKNOWN)
        return q->window_ns;
    return q->now_ns - w->serving_since_ns;
}

static struct part of_pod(const struct signal_workload *w, const struct pod *p,
                          const struct signal_total_query *q) {
    switch (q->signal) {
    case SIGNAL_REQUEST_RATE:
    case SIGNAL_TOKEN_RATE:
        return of_window(window_of(p, q->signal), served_ns(w, q), q);
    case SIGNAL_QUEUE:
        return of_gauge(&p->engine[ENGINE_QUEUE], q);
    case SIGNAL_RUNNING:
        return of_gauge(&p->engine[ENGINE_RUNNING], q);
    case SIGNAL_KV_CACHE:
        return of_gauge(&p->engine[ENGINE_KV_CACHE_RATIO], q);
    default:
        return of_gpus(p, q);
    }
}

static void take(struct signal_total *t, const struct part *part, const char *name) {
    t->lower += part->lower;
    t->upper += part->upper;
    t->known += part->whole;
    t->never += !part->whole && part->never;
    t->shared += !part->whole && part->shared;
    t->parts += part->whole && part->parts;
    t->gaps |= part->whole ? 0 : part->gaps;
    if (part->newest_ns == SIGNAL_TIME_UNKNOWN)
        return;
    if (t->newest_ns == SIGNAL_TIME_UNKNOWN || part->newest_ns > t->newest_ns)
        t->newest_ns = part->newest_ns;
    if (t->oldest_ns == SIGNAL_TIME_UNKNOWN || part->oldest_ns < t->oldest_ns)
        t->oldest_ns = part->oldest_ns;
    if (part->whole && name && (!t->max_pod || part->lower > t->max)) {
        t->max = part->lower;
        t->max_pod = name;
    }
}

// Arrivals of pods that have left, as far as they are in the window: requests that came, whoever
// serves their like now.
static double of_left(const struct signal_workload *w, const struct signal_total_query *q) {
    double amount = 0;
    for (size_t i = 0; i < w->left.n; i++) {
        const struct pod *p = w->left.items[i];
        const struct signal_window *window = window_of(p, q->signal);
        if (signal_window_newest(window) > q->now_ns - q->window_ns)
            amount += signal_window_since(window, q->now_ns - q->window_ns);
    }
    return amount * (double)NS_PER_S / (double)q->window_ns;
}

static void of_demand_source(const struct signal_workload *w, const struct signal_total_query *q,
                             struct signal_total *ret) {
    struct part part = NOTHING;
    part.upper = INFINITY;
    part.never = true;
    if (w->demand_provides >> DEMAND_REQUESTS_TOTAL & 1) {
        struct signal_total_query unbounded = *q;
        unbounded.ceiling = INFINITY; // nobody's capacity bounds what arrives
        part = of_window(&w->demand_arrivals, q->window_ns, &unbounded);
    }
    ret->pods = 1;
    take(ret, &part, NULL);
}

void signal_total(const struct signal_workload *w, const struct signal_total_query *q,
                  struct signal_total *ret) {
    *ret = (struct signal_total){.newest_ns = SIGNAL_TIME_UNKNOWN,
                                 .oldest_ns = SIGNAL_TIME_UNKNOWN};
    if (q->signal == SIGNAL_DEMAND) {
        of_demand_source(w, q, ret);
        return;
    }
    bool counted = q->signal == SIGNAL_REQUEST_RATE || q->signal == SIGNAL_TOKEN_RATE;
    struct signal_total_query all = *q;
    if (counted)
        all.window_ns = common_window(w, q);
    ret->pods = w->counts.ready;
    for (size_t i = 0; i < w->ready.n; i++) {
        struct part part = of_pod(w, w->ready.items[i], &all);
        take(ret, &part, w->ready.items[i]->name);
    }
    if (ret->pods && counted) {
        double left = of_left(w, &all);
        ret->lower += left;
        ret->upper += left;
    }
    if (ret->pods == 0) // nobody has measured it
        ret->upper = INFINITY;
    if (q->signal == SIGNAL_QUEUE && w->demand_provides >> DEMAND_WAITING & 1) {
        struct part part = of_gauge(&w->demand[DEMAND_WAITING], q);
        take(ret, &part, NULL);
        ret->known -= part.whole; // pods are counted, not the source
        ret->never -= !part.whole && part.never;
    }
}

bool signal_demand_gauge(const struct signal_workload *w, enum demand_value v, int64_t now_ns,
                         int64_t max_age_ns, double *ret) {
    const struct gauge *g = &w->demand[v];
    if (g->at_ns == SIGNAL_TIME_UNKNOWN || g->at_ns < now_ns - max_age_ns)
        return false;
    *ret = g->v;
    return true;
}

uint32_t signal_asleep(const struct signal_workload *w, int64_t now_ns, int64_t max_age_ns) {
    struct signal_total_query q = {.now_ns = now_ns, .max_age_ns = max_age_ns};
    uint32_t n = 0;
    for (size_t i = 0; i < w->ready.n; i++) {
        const struct gauge *awake = &w->ready.items[i]->engine[ENGINE_AWAKE];
        n += is_fresh(awake->at_ns, &q) && awake->v == 0;
    }
    return n;
}
