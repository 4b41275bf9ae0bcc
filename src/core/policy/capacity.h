// SPDX-License-Identifier: Apache-2.0
/*
 * The capacity of one replica in work (tokens a second, core/signal/meter.h), learned without
 * overload, and the trim of all sizing by how many requests were within the SLO. Reference study,
 * section 5; what differs from it is said at each constant.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/work.h"

// From lessons and the SLO to the work a second that one replica does within it.
//
// The line y = y0 - s u goes through the lightest lesson (ul, yl); its slope is the weighted
// regression of the lessons about that point, with a prior of 20 lessons at u0:
//     s = (sum h (u-ul)(yl-y) + 20 u0^2 s0) / (sum h (u-ul)^2 + 20 u0^2),   u* = ul + (yl - yslo)/s
// with yslo = 1/(0.74 itl). With ul = 0 that is the study's formula, where y0 was known; a real y0
// is not, and the line through a lesson makes none necessary. Nobody has told u0 either: s0 is
// 1/16 of a step a token (a step twice as long with 16 tokens in it; llama2-70b: 32), so that a
// beginner's u0 = ul + 16 (yl - yslo) is below the truth and lessons raise it.
// Bounds: u0/3; the larger of u0 and 1.5 times what a replica was seen to do, and 12 u0; 0.9 of
// what a replica did with its queue never empty.
void capacity_learned(const struct signal_work *work, int64_t itl_ns, struct record_capacity *ret);

// The trim: ln(rho) moves by 0.1 a minute times (allowed share of misses - share of misses), where
// the allowed share is 0.7 (1 - sloGoal): 0.7 % at the default 0.99, so that the goal itself is
// kept. A miss is a request above the histogram's smallest edge not below the SLO, first token and
// inter-token latency added up (a request may miss both and is then counted twice: at most too
// careful). rho stays in 0.75..1.3. Fewer than 20 requests wait for more; what is unknown moves
// nothing.
struct trim {
    double ln; // added to the logarithm of the cold start's own rho
    int64_t at_ns;
    bool begun;
    bool stepped;  // ever
    double misses; // their share in the last step
    struct signal_attained last[ENGINE_HISTOGRAM_MAX];
};
// cold_start_ns 0: not known. Fills rho, trim, edges and shares of *ret and returns rho.
double trim_tick(struct trim *x, const struct trigger *t, const struct signal_workload *w,
                 int64_t now_ns, int64_t cold_start_ns, struct record_capacity *ret);
