// SPDX-License-Identifier: Apache-2.0
/*
 * What the ready pods' token counters teach of a workload: the work of a request, how inter-token
 * latency falls with load (from which core/policy/capacity makes the capacity of a replica), and
 * the share of requests within a latency. It belongs to the workload: a changed trigger keeps it.
 *
 * Work is counted in tokens: one generated is 1, one of a prompt WORK_PROMPT_WEIGHT.
 *
 * Learning (reference study, section 5): under continuous batching a step takes
 * a + (tokens in it) x cost, so that y = 1 / (mean inter-token latency) falls in a straight line
 * with u, the work a second of one replica. Every 15 s the pods that were ready, awake and busy
 * through the last minute give one lesson (u, y): sums over them, u a replica. A lesson's weight
 * halves every 120 lessons (1800 s of lessons: a night without traffic forgets nothing).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/signal/sample.h"
#include "core/signal/workload.h"

// A prompt token costs so much of a generated one: the cost of a prefill token to that of a decode
// token at its mean context, 0.1073 ms : 0.9 ms (llama2-70b on four H100, Azure's conversations;
// bloom-176b 0.15). Only the mix matters, not the scale, which the learned capacity sets.
#define WORK_PROMPT_WEIGHT 0.12

struct signal_work {
    // Of a request, in tokens: over the last 600 s where 20 finished in them, else filled up to 20
    // with the last 20 that did. 0: not 20 have ever finished.
    double per_request;
    double finished;  // in the last 600 s
    double per_s;     // work done over the last minute by the pods that tell it: demand is not less
    uint32_t per_s_n; // those pods; 0: per_s is unknown

    uint32_t lessons; // ever
    // Lessons' weighted sums: weight, u, y, u u, u y.
    double weight, u, y, uu, uy;
    // The lesson of the smallest inter-token latency of the last 12 to 24 h of lessons, where the
    // engine ran nearest to its bare step; and the largest u.
    double light_u, light_y, seen_u;
    // Largest u while every pod had requests waiting for the whole minute, smoothed; 0: never, or
    // not for 12 h. No replica does more.
    double full_u;
};
void signal_work(const struct signal_workload *w, int64_t now_ns, struct signal_work *ret);

// Observations of all ready pods, counted up since the edges last changed (`epoch`).
struct signal_attained {
    uint32_t epoch;
    double edge_s; // the smallest edge that is not below the asked one
    double within, all;
};
// False: no page has had the histogram, or it has no finite edge so large.
bool signal_attained(const struct signal_workload *w, enum engine_histogram h, double target_s,
                     struct signal_attained *ret);
