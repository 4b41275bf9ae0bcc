// SPDX-License-Identifier: Apache-2.0
/*
 * The signals by which a workload is scaled: one table of names, units, kinds and ceilings. What a
 * signal may do in a rule (its role) depends on the engine and belongs to core/policy/trigger.h.
 */
#pragma once

#include "base/limits.h"
#include "base/str.h"

enum signal {
    SIGNAL_REQUEST_RATE, // requests that arrived, a second, over the rate window
    SIGNAL_TOKEN_RATE,   // tokens generated, a second, over the rate window
    SIGNAL_WORK,         // work that arrived, in tokens a second: arrivals x work of a request
    SIGNAL_QUEUE,        // requests waiting: in the engines and, where named, at the demand source
    SIGNAL_RUNNING,      // requests being served
    SIGNAL_DEMAND,       // requests that arrived at the demand source, a second
    SIGNAL_KV_CACHE,     // ratio 0..1, the fullest rank of the pod
    SIGNAL_GPU_UTILIZATION, // percent, mean over the pod's GPUs
    SIGNAL_SM_ACTIVITY,     // percent, likewise
    SIGNAL_TENSOR_ACTIVITY, // percent, likewise
    SIGNAL_GPU_MEMORY,      // percent of the memory, likewise
    SIGNAL_POWER,           // watts, likewise
    // The trigger's Prometheus queries, in the order of their names; each is called
    // prometheus.NAME by its trigger (trigger_signal_name) and its records. Last in the list.
    SIGNAL_PROMETHEUS,
    SIGNAL_PROMETHEUS_LAST = SIGNAL_PROMETHEUS + LIMIT_TRIGGER_QUERIES - 1,
    SIGNAL_MAX,
};

// How a pod's value is made and summed (DESIGN 6.2).
enum signal_kind {
    SIGNAL_LOAD,  // the engine's sum; totals are sums of work
    SIGNAL_LEVEL, // how full a pod is; totals are sums of levels, so that total / target is
                  // replicas
};

enum signal_source { SIGNAL_FROM_ENGINE, SIGNAL_FROM_DEMAND, SIGNAL_FROM_GPU, SIGNAL_FROM_QUERY };

struct signal_info {
    const char *name; // metadata key, expressions, records: "requestRate"
    const char *unit; // after a number in a sentence: "/s", "%", " W", ""
    enum signal_kind kind;
    enum signal_source source;
    double ceiling;    // the most that one replica can show; INFINITY: no bound of its own
    double target_min; // allowed targets: target_min <= target <= target_max
    double target_max;
    const char *target_help; // what a target is: "percent of 1 to 100"
};
extern const struct signal_info signals[SIGNAL_MAX];
// Those with names of their own, so without the queries; for str_nearest, ends with NULL.
extern const char *const signal_names[SIGNAL_PROMETHEUS + 1];

int signal_by_name(struct str name); // of those; -1: none; exact case
