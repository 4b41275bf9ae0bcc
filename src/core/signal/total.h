// SPDX-License-Identifier: Apache-2.0
/*
 * A signal over the ready pods of a workload, as an interval (DESIGN 6.2): lower is the sum of what
 * is known, upper adds what the pods without a fresh value may hold at most. Starting pods
 * contribute nothing, terminating ones are nowhere.
 *
 * While no pod is ready, an engine's or a GPU's signal is unknown: nobody has measured it (lower 0,
 * upper unbounded). It is not zero.
 */
#pragma once

#include "core/signal/workload.h"

struct signal_total_query {
    enum signal signal;
    double ceiling;     // what one replica may hold at most; INFINITY: no bound
    int64_t window_ns;  // of rates
    int64_t max_age_ns; // an older value is unknown
    int64_t now_ns;
};

struct signal_total {
    double lower, upper;
    uint32_t pods;       // ready pods (1 for the demand source)
    uint32_t known;      // of them with a fresh, whole value
    uint32_t never;      // of the unknown: that never gave the value
    uint32_t parts;      // of the known: on shared GPUs, by what their own processes use
    uint32_t shared;     // of the unknown: on GPUs shared with other pods
    uint32_t gaps;       // of those: why (enum signal_part_gap)
    int64_t newest_ns;   // time of the newest value used; SIGNAL_TIME_UNKNOWN: none
    int64_t oldest_ns;   // time of the oldest value used
    double max;          // the largest pod's value
    const char *max_pod; // its name, until the next signal_workload_set_pods; NULL: none
};

void signal_total(const struct signal_workload *w, const struct signal_total_query *q,
                  struct signal_total *ret);

// A gauge of the demand source (waiting, in flight), if it is fresh. False: unknown.
bool signal_demand_gauge(const struct signal_workload *w, enum demand_value v, int64_t now_ns,
                         int64_t max_age_ns, double *ret);

// Ready pods whose engine is known to sleep: it holds its GPU and serves nothing until it is woken.
uint32_t signal_asleep(const struct signal_workload *w, int64_t now_ns, int64_t max_age_ns);
