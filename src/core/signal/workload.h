// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of one workload: its pods and their states, a window of each pod's engine, the
 * demand source's window, and (through the join) its pods' GPUs. Several triggers may be decided on
 * one workload; a workload has one engine preset and one demand source: two triggers that scrape
 * differently have two.
 *
 * One thread owns it. All times are monotonic nanoseconds of one clock; the caller passes `now`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "core/signal/join.h"
#include "core/signal/sample.h"
#include "core/signal/signal.h"

struct signal_workload;

#define SIGNAL_TIME_UNKNOWN INT64_MIN

enum pod_state {
    POD_STARTING, // exists, not Ready, never was or is restarting: counts in n, in no total
    POD_READY,
    POD_TERMINATING, // counts nowhere
};

struct signal_pod {
    struct str name;
    enum pod_state state;
    int64_t started_ns; // when it was created or started; SIGNAL_TIME_UNKNOWN
    int64_t ready_ns;   // when it first was ready; not after started_ns: not known
    struct str uid;     // the API's; empty: not known
};

// What an engine's preset says that the signals need.
struct signal_engine {
    uint32_t provides;      // bit i: its page is expected to have engine_value i
    bool requests_finished; // ENGINE_REQUESTS_TOTAL counts finished requests, not arrived ones
};

// `join` may be NULL (no GPU signals) and must outlive the workload. 0 or ERR_NOMEM.
int signal_workload_new(struct signal_workload **ret, struct str namespace_,
                        struct signal_join *join, const struct signal_engine *engine);
struct signal_workload *signal_workload_free(struct signal_workload *w);

// Which values the demand source is configured to give (bit i: demand_value i); 0: no source.
void signal_workload_set_demand(struct signal_workload *w, uint32_t provides);
// Its gauges that hold requests which its counter has not counted yet (bits; none at first): what
// arrived is the counter's increase and their change.
void signal_workload_set_demand_uncounted(struct signal_workload *w, uint32_t gauges);
// The longest rate window that anyone asks for (60 s until told otherwise).
void signal_workload_set_history(struct signal_workload *w, int64_t history_ns);

// The pods that there are now, in any order; those not listed are gone. What left the ready set
// stays in the rates until its arrivals fall out of the window (they were the workload's), and in
// no gauge. 0; ERR_NOMEM or ERR_LIMIT (LIMIT_PODS_PER_WORKLOAD): unchanged.
int signal_workload_set_pods(struct signal_workload *w, const struct signal_pod *pods, size_t n,
                             int64_t now_ns);

// One page of a pod, read at at_ns. False: no such pod, or not newer than the last (both ignored).
bool signal_workload_engine(struct signal_workload *w, struct str pod,
                            const struct engine_sample *sample, int64_t at_ns);
bool signal_workload_demand(struct signal_workload *w, const struct demand_sample *sample,
                            int64_t at_ns);

struct signal_pods {
    uint32_t ready, starting, terminating;
    uint32_t unborn; // of the starting: never seen Ready, so nothing runs or waits in them
    int64_t youngest_start_ns; // of the starting pods, the latest start; SIGNAL_TIME_UNKNOWN: none
                               // starts
};
void signal_workload_pods(const struct signal_workload *w, struct signal_pods *ret);
// Of the last eight starts, from beginning to Ready, as the pods tell them or as they were seen:
// the one that three quarters of them do not exceed, so that of four or more the longest, which may
// have waited for a place or an image, does not count. 0: none yet.
int64_t signal_workload_cold_start_ns(const struct signal_workload *w);
uint32_t signal_workload_engine_provides(const struct signal_workload *w);
uint32_t signal_workload_demand_provides(const struct signal_workload *w);
