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

static void total_of(const struct size_input *in, const struct signal_total_query *q,
                     struct signal_total *ret) {
    if (q->signal >= SIGNAL_PROMETHEUS)
        signal_external_total(query_of(in, q->signal), q, ret);
    else
        signal_total(in->workload, q, ret);
}

static double need_of(const struct size_input *in, const struct trigger_signal *s, double total,
                      uint32_t pods) {
    if (s->signal == SIGNAL_RUNNING)
        return size_running(total, pods, s->target, in->trigger->continuous_batching);
    return total / s->target;
}

static enum tri breached(double need_lower, double need_upper, int32_t n, double tolerance) {
    if (size_exceeds(need_lower, n, tolerance))
        return TRI_TRUE;
    return size_exceeds(need_upper, n, tolerance) ? TRI_UNKNOWN : TRI_FALSE;
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
    *ret = (struct record_signal){
        .signal = (uint8_t)s->signal,
        .role = (uint8_t)s->role,
        .sizing = (uint8_t)s->sizing,
        .breached = (uint8_t)breached(lower, upper, in->n, in->trigger->tolerance),
        .gated = s->gated,
        .lower = ret_total->lower,
        .upper = ret_total->upper,
        .target = s->target,
        .need_lower = lower,
        .need_upper = upper,
        .max = ret_total->max,
        .pods = ret_total->pods,
        .known = ret_total->known,
        .never = ret_total->never,
        .shared = ret_total->shared,
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
            s->signal != SIGNAL_TOKEN_RATE && s->signal < SIGNAL_PROMETHEUS)
            continue;
        struct signal_total_query q = {.signal = s->signal,
                                       .ceiling = INFINITY,
                                       .window_ns = window_ns,
                                       .max_age_ns = t->max_age_ns,
                                       .now_ns = in->now_ns};
        struct signal_total total;
        total_of(in, &q, &total);
        double need = total.lower / s->target;
        int32_t want = s->sizing == SIZE_STAFFED ? size_staffed(need, t->safety, in->rho)
                                                 : size_ceil(need);
        if (want > most)
            most = want;
    }
    return most;
}
