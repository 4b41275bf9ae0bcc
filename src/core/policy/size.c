// SPDX-License-Identifier: Apache-2.0
/* Sizing of single signals. */
#include "core/policy/size.h"

#include <math.h>

#include "base/clock.h"
#include "base/limits.h"

// Quotients of decimal numbers miss whole numbers by the last bits: 4.2 / 0.6 is 7.000000000000001.
static const double FUZZ = 1e-9;

int32_t size_ceil(double need) {
    if (isinf(need))
        return WANT_UNBOUNDED;
    double v = ceil(need - FUZZ * (need > 1 ? need : 1));
    if (!(v > 0))
        return 0;
    return v < LIMIT_REPLICAS ? (int32_t)v : LIMIT_REPLICAS;
}

int32_t size_staffed(double need, double safety, double rho) {
    return size_ceil((need + safety * sqrt(need)) / rho);
}

bool size_exceeds(double need, int32_t n, double tolerance) {
    double bound = n * (1 + tolerance);
    return need > bound + FUZZ * (bound > 1 ? bound : 1);
}

double size_running(double running, uint32_t pods, double target, bool continuous_batching) {
    const double g = 0.62;
    if (!continuous_batching || pods == 0 || isinf(running))
        return running / target;
    double b = running / pods;
    return pods * b / (target * (1 - g) + g * b);
}

double size_rho(int64_t cold_start_ns) {
    return cold_start_ns > 0 && cold_start_ns <= 60 * NS_PER_S ? 1.05 : 1.0;
}

// The most that one replica may hold without our seeing it: its capacity for what sizes, the end of
// the scale for a percentage, no bound for a queue.
static double ceiling_of(const struct trigger_signal *s) {
    const struct signal_info *info = &signals[s->signal];
    if (info->kind == SIGNAL_LEVEL)
        return info->ceiling;
    return s->role == ROLE_CAPACITY ? s->target : INFINITY;
}

static const struct signal_external *query_of(const struct size_input *in, enum signal s) {
    return in->queries && s >= SIGNAL_PROMETHEUS ? &in->queries[s - SIGNAL_PROMETHEUS] : NULL;
}

// One replica's share of what sizes; 0: not known.
static double target_of(const struct size_input *in, const struct trigger_signal *s) {
    return s->signal == SIGNAL_WORK && s->target == 0 ? in->capacity->per_replica : s->target;
}

static double need_of(const struct size_input *in, const struct trigger_signal *s, double total,
                      uint32_t pods) {
    if (s->signal == SIGNAL_RUNNING)
        return size_running(total, pods, s->target, in->trigger->continuous_batching);
    if (total == 0)
        return 0;
    double target = target_of(in, s);
    return target > 0 ? total / target : INFINITY;
}

static enum tri breached(double need_lower, double need_upper, int32_t n, double tolerance) {
    if (size_exceeds(need_lower, n, tolerance))
        return TRI_TRUE;
    return size_exceeds(need_upper, n, tolerance) ? TRI_UNKNOWN : TRI_FALSE;
}

// Arrivals: at the demand source where it counts requests, and at the engines, which may prove
// more.
static void total_arrivals(const struct size_input *in, const struct signal_total_query *q,
                           struct signal_total *ret) {
    struct signal_total_query engines = *q, source = *q;
    engines.signal = SIGNAL_REQUEST_RATE;
    source.signal = SIGNAL_DEMAND;
    signal_total(in->workload, &engines, ret);
    if (!(signal_workload_demand_provides(in->workload) >> DEMAND_REQUESTS_TOTAL & 1))
        return;
    struct signal_total told;
    signal_total(in->workload, &source, &told);
    double least = fmax(ret->lower, told.lower);
    if (told.known)
        *ret = told;
    ret->lower = least;
    ret->upper = told.known ? fmax(told.upper, least) : INFINITY;
}

// Work: arrivals x work of a request. Before a request's work is known, what the engines do is the
// least that there is, and nobody knows the most; but nothing that arrives is no work.
static void total_work(const struct size_input *in, const struct signal_total_query *q,
                       struct signal_total *ret) {
    const struct record_capacity *c = in->capacity;
    struct signal_total_query arrivals = *q;
    double each = c->work_per_request;
    arrivals.ceiling = each > 0 && c->per_replica > 0 ? c->per_replica / each : INFINITY;
    total_arrivals(in, &arrivals, ret);
    bool idle = ret->upper == 0;
    ret->lower = each > 0 ? ret->lower * each : fmax(c->done_per_s, 0);
    ret->upper = idle ? 0 : each > 0 ? ret->upper * each : INFINITY;
    if (idle)
        ret->lower = 0;
    ret->max *= each;
}

// The total of what the signal sizes by.
static void total_of(const struct size_input *in, const struct signal_total_query *q,
                     struct signal_total *ret) {
    if (q->signal == SIGNAL_WORK) {
        total_work(in, q, ret);
        return;
    }
    if (q->signal >= SIGNAL_PROMETHEUS) {
        signal_external_total(query_of(in, q->signal), q, ret);
        return;
    }
    signal_total(in->workload, q, ret);
    if (q->signal != SIGNAL_RUNNING || !in->trigger->continuous_batching ||
        !(signal_workload_engine_provides(in->workload) >> ENGINE_QUEUE & 1) || ret->pods == 0)
        return;
    struct signal_total waiting;
    struct signal_total_query queue = *q;
    queue.signal = SIGNAL_QUEUE;
    queue.ceiling = 0; // a silent pod is one capacity, whatever of it waits
    signal_total(in->workload, &queue, &waiting);
    ret->lower += waiting.lower;
    ret->upper += waiting.upper;
}

// What the signal proves, and what it may still be, in replicas.
static void size_wants(const struct size_input *in, const struct trigger_signal *s, double lower,
                       double upper, struct record_signal *ret) {
    const struct trigger *t = in->trigger;
    ret->want_up = ret->want_down = -1;
    switch (s->sizing) {
    case SIZE_STAFFED:
        ret->want_up = size_staffed(lower, t->safety, in->rho);
        ret->want_down = size_staffed(upper, t->safety, in->rho);
        break;
    case SIZE_TARGET:
        ret->want_up = size_ceil(lower);
        ret->want_down = size_ceil(upper / (1 - t->down_margin));
        break;
    case SIZE_NONE:
        if (s->role == ROLE_GUARD)
            ret->want_up = size_ceil(lower);
        break;
    }
}

bool size_needs_mean(const struct trigger_signal *s) {
    return s->role == ROLE_CAPACITY &&
           (signals[s->signal].kind == SIGNAL_LEVEL || s->signal == SIGNAL_RUNNING);
}

void size_signal(const struct size_input *in, const struct trigger_signal *s, struct mean *mean,
                 struct record_signal *ret, struct signal_total *ret_total) {
    struct signal_total_query q = {.signal = s->signal,
                                   .ceiling = ceiling_of(s),
                                   .window_ns = in->trigger->rate_window_ns,
                                   .max_age_ns = in->trigger->max_age_ns,
                                   .now_ns = in->now_ns};
    total_of(in, &q, ret_total);
    if (mean)
        mean_add(mean, in->now_ns, in->trigger->rate_window_ns, ret_total->known > 0,
                 &ret_total->lower, &ret_total->upper);
    double lower = need_of(in, s, ret_total->lower, ret_total->pods);
    double upper = need_of(in, s, ret_total->upper, ret_total->pods);
    if (s->signal == SIGNAL_WORK && in->trigger->learns && upper > 0) {
        // Without a capacity nothing is proven; on a guess of it nothing is lowered.
        if (in->capacity->source == CAPACITY_UNKNOWN)
            lower = 0;
        if (in->capacity->source != CAPACITY_LEARNED)
            upper = INFINITY;
    }
    *ret = (struct record_signal){
        .signal = (uint8_t)s->signal,
        .role = (uint8_t)s->role,
        .sizing = (uint8_t)s->sizing,
        .breached = (uint8_t)breached(lower, upper, in->n, in->trigger->tolerance),
        .gated = s->gated,
        .lower = ret_total->lower,
        .upper = ret_total->upper,
        .target = target_of(in, s),
        .need_lower = lower,
        .need_upper = upper,
        .max = ret_total->max,
        .pods = ret_total->pods,
        .known = ret_total->known,
        .never = ret_total->never,
        .parts = ret_total->parts,
        .shared = ret_total->shared,
        .gaps = ret_total->gaps,
        .age_ns = ret_total->oldest_ns == SIGNAL_TIME_UNKNOWN ? -1
                                                              : in->now_ns - ret_total->oldest_ns,
    };
    const struct signal_external *x = query_of(in, s->signal);
    ret->query = (uint8_t)(x ? x->state : EXTERNAL_WAITING);
    size_wants(in, s, lower, upper, ret);
}

int32_t size_burst(const struct size_input *in, int64_t window_ns) {
    const struct trigger *t = in->trigger;
    int32_t most = 0;
    for (uint32_t i = 0; i < t->rule_n; i++) {
        const struct trigger_signal *s = &t->rule[i];
        if (s->signal != SIGNAL_DEMAND && s->signal != SIGNAL_REQUEST_RATE &&
            s->signal != SIGNAL_TOKEN_RATE && s->signal != SIGNAL_WORK &&
            s->signal < SIGNAL_PROMETHEUS)
            continue;
        struct signal_total_query q = {.signal = s->signal,
                                       .ceiling = INFINITY,
                                       .window_ns = window_ns,
                                       .max_age_ns = t->max_age_ns,
                                       .now_ns = in->now_ns};
        struct signal_total total;
        total_of(in, &q, &total);
        double need = target_of(in, s) > 0 ? need_of(in, s, total.lower, total.pods) : 0;
        int32_t want = s->sizing == SIZE_STAFFED ? size_staffed(need, t->safety, in->rho)
                                                 : size_ceil(need);
        if (want > most)
            most = want;
    }
    return most;
}
