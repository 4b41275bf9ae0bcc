// SPDX-License-Identifier: Apache-2.0
/* Activity: what is known to be idle, and nothing else, is inactive. */
#include "core/policy/active.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/signal/total.h"

// A start of which nothing is known yet: nodes, images and models take minutes.
static const int64_t COLD_START_UNKNOWN_NS = 600 * NS_PER_S;

// Above, not above, or not known.
static enum tri above(double v, bool known, double activation) {
    if (v > activation)
        return TRI_TRUE; // a lower bound is enough
    return known ? TRI_FALSE : TRI_UNKNOWN;
}

static enum tri total_above(const struct trigger *t, const struct signal_workload *w, enum signal s,
                            int64_t now_ns) {
    struct signal_total_query q = {.signal = s,
                                   .ceiling = INFINITY,
                                   .window_ns = t->rate_window_ns,
                                   .max_age_ns = t->max_age_ns,
                                   .now_ns = now_ns};
    struct signal_total total;
    signal_total(w, &q, &total);
    return above(total.lower, !isinf(total.upper), t->activation);
}

static enum tri queries_above(const struct trigger *t, const struct signal_external *queries,
                              int64_t now_ns) {
    enum tri busy = TRI_FALSE;
    struct signal_total_query q = {.max_age_ns = t->max_age_ns, .now_ns = now_ns};
    for (uint32_t i = 0; i < t->query_n; i++) {
        struct signal_total total;
        signal_external_total(queries ? &queries[i] : NULL, &q, &total);
        busy = tri_or(busy, above(total.lower, total.known > 0, t->activation));
    }
    return busy;
}

enum tri active_demand(const struct trigger *t, const struct signal_workload *w,
                       const struct signal_external *queries, int64_t now_ns) {
    uint32_t provides = signal_workload_demand_provides(w);
    if (!provides && !t->query_n)
        return TRI_UNKNOWN;
    enum tri busy = queries_above(t, queries, now_ns);
    if (provides >> DEMAND_REQUESTS_TOTAL & 1)
        busy = tri_or(busy, total_above(t, w, SIGNAL_DEMAND, now_ns));
    for (int v = DEMAND_WAITING; v <= DEMAND_INFLIGHT; v++) {
        double gauge = 0;
        if (!(provides >> v & 1))
            continue;
        bool known = signal_demand_gauge(w, (enum demand_value)v, now_ns, t->max_age_ns, &gauge);
        busy = tri_or(busy, above(known ? gauge : 0, known, t->activation));
    }
    return busy;
}

// The engines, the demand source and the queries together.
static enum tri busy(const struct trigger *t, const struct signal_workload *w,
                     const struct signal_external *queries, int64_t now_ns) {
    static const struct {
        enum signal signal;
        enum engine_value value;
    } collected[] = {{SIGNAL_QUEUE, ENGINE_QUEUE},
                     {SIGNAL_RUNNING, ENGINE_RUNNING},
                     {SIGNAL_REQUEST_RATE, ENGINE_REQUESTS_TOTAL}};
    uint32_t provides = signal_workload_engine_provides(w);
    struct signal_pods pods;
    bool told = false; // by something
    signal_workload_pods(w, &pods);
    if (pods.ready == 0 && pods.terminating == 0 && pods.unborn > 0 && pods.unborn == pods.starting)
        provides = 0; // no engine has ever been ready: nothing runs or waits there
    enum tri result = TRI_FALSE;
    for (size_t i = 0; i < COUNT_OF(collected); i++) {
        if (!(provides >> collected[i].value & 1))
            continue;
        told = true;
        result = tri_or(result, total_above(t, w, collected[i].signal, now_ns));
    }
    if (signal_workload_demand_provides(w) || t->query_n) {
        told = true;
        result = tri_or(result, active_demand(t, w, queries, now_ns));
    }
    return told ? result : TRI_UNKNOWN;
}

static bool is_starting(const struct signal_workload *w, int64_t now_ns, int64_t cold_start_ns) {
    struct signal_pods pods;
    signal_workload_pods(w, &pods);
    int64_t allowed_ns = 2 * (cold_start_ns > 0 ? cold_start_ns : COLD_START_UNKNOWN_NS);
    return pods.starting > 0 && now_ns - pods.youngest_start_ns < allowed_ns;
}

enum active_reason active_decide(const struct trigger *t, const struct signal_workload *w,
                                 const struct signal_external *queries, int64_t now_ns, int32_t n,
                                 int64_t cold_start_ns) {
    if (n == 0) {
        enum tri demand = active_demand(t, w, queries, now_ns);
        return demand == TRI_TRUE    ? ACTIVE_DEMAND
               : demand == TRI_FALSE ? INACTIVE_ZERO_IDLE
                                     : INACTIVE_ZERO_UNKNOWN;
    }
    if (is_starting(w, now_ns, cold_start_ns))
        return ACTIVE_STARTING;
    enum tri result = busy(t, w, queries, now_ns);
    return result == TRI_TRUE ? ACTIVE_BUSY : result == TRI_FALSE ? INACTIVE_IDLE : ACTIVE_UNKNOWN;
}

bool active_is(enum active_reason r) {
    return r == ACTIVE_DEMAND || r == ACTIVE_STARTING || r == ACTIVE_BUSY || r == ACTIVE_UNKNOWN;
}
