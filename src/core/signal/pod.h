// SPDX-License-Identifier: Apache-2.0
/* The inside of a workload, for core/signal only. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "core/signal/window.h"
#include "core/signal/work_state.h"
#include "core/signal/workload.h"

// Longer than any model takes to load: the pod has been ready before, or time was set.
#define WORKLOAD_START_MAX_NS (2 * 3600 * INT64_C(1000000000))

// A value as last shown; at_ns SIGNAL_TIME_UNKNOWN: never.
struct gauge {
    double v;
    int64_t at_ns;
};

struct pod {
    UT_hash_handle hh; // by name
    char *name;
    enum pod_state state;
    bool listed; // in the last set of pods; else it is kept for its arrivals alone
    bool was_ready;
    bool seen_starting; // its start was seen from the beginning
    int64_t started_ns; // as told, else first seen
    int64_t state_since_ns;
    struct signal_pod_gpus *gpus;
    struct gauge engine[ENGINE_VALUE_MAX];
    int64_t engine_at_ns;
    struct signal_window arrivals; // requests
    struct signal_window tokens;   // generated
    struct meter meter;
    struct pod_buckets buckets[ENGINE_HISTOGRAM_MAX];
};

struct signal_workload {
    struct signal_join *join;
    char *namespace_;
    struct signal_engine engine;
    uint32_t demand_provides, demand_uncounted;
    int64_t history_ns;
    bool told;        // pods were set before
    struct pod *pods; // all, by name
    struct VEC(struct pod *) ready;
    struct VEC(struct pod *) left; // not ready any more, arrivals still in the window
    struct signal_pods counts;
    int64_t serving_since_ns; // a pod has been ready all the time since
    struct gauge demand[DEMAND_VALUE_MAX];
    int64_t demand_at_ns;
    struct signal_window demand_arrivals;
    int64_t starts_ns[WORKLOAD_STARTS_KEPT]; // durations
    uint32_t starts_n;                       // ever seen
    bool starts_taken;                       // over, from another process: once
    struct work work;
};
