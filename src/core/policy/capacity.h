// SPDX-License-Identifier: Apache-2.0
/*
 * The capacity of one replica in work (tokens a second, core/signal/work.h), learned without
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
// A line y = y0 - s u through the weighted mean of all lessons (um, ym). Its slope is the weighted
// regression about the lightest lesson (ul, yl), with a prior of 20 lessons at v = 0.15 u0:
//     s = (sum h (u-ul)(yl-y) + 20 v^2 s0) / (sum h (u-ul)^2 + 20 v^2),   u* = um + (ym - yslo)/s
// with yslo = 1/(0.74 itl). With ul = 0, yl = y0 and the line through that point it is the study's
// formula; but nobody has told the bare step. The lightest lesson stands for it: a slope about it
// is not flattened by the noise in u as a free regression's is. And through the mean, because
// that is where a service runs that is sized by u*: close to it the slope matters little. The prior
// is lighter than the study's, 20 u0^2 for lessons that are u away from its origin: a steady load,
// whose lessons lie close together, would never outweigh that. (0.08 to 0.3 for 0.15 do alike in
// test_capacity_learned and test_capacity_replay, where it was chosen.)
//
// Nobody has told u0 either: s0 is 1/16 of a step a token (a step twice as long with 16 tokens in
// it; llama2-70b: 32; long contexts: 12), so that a beginner's u0 = ul + 16 (yl - yslo) is rather
// below the truth than above, and lessons raise it.
// Bounds: u0/3; the larger of u0 and 1.5 times what a replica was seen to do, and 12 u0 (the
// study's 3 u0 is of a profiled one); 0.9 of what a replica did with its queue never empty.
void capacity_learned(const struct signal_work *work, int64_t itl_ns, struct record_capacity *ret);

// The trim: ln(rho) moves by 0.1 a minute times (allowed share of misses - share of misses), where
// the allowed share is 0.7 (1 - sloGoal): 0.7 % at the default 0.99, so that the goal itself is
// kept. A miss is a request above the histogram's smallest edge not below the SLO, first token and
// inter-token latency added up (a request may miss both and is then counted twice: at most too
// careful). rho stays in 0.75..1.3. Fewer than 20 requests wait for more; what is unknown moves
// nothing. Nor does what is observed while less than half of the replicas that were decided are
// ready, and two minutes longer: a service that was woken, or began far too small. Those misses are
// cured by the replicas that come, and a rho that they had lowered would take hours to rise. Not
// more than that: bursts that come again are what a lower rho is for (test_capacity_learned: frozen
// below four fifths, 92.6 % within the SLO where 98.4 % were).
struct trim {
    double ln; // added to the logarithm of the cold start's own rho
    int64_t at_ns;
    int64_t short_until_ns;
    bool begun;
    bool stepped;     // ever
    int64_t taken_ns; // over, when; 0: not, or a page has told since
    double misses;    // their share in the last step
    struct signal_attained last[ENGINE_HISTOGRAM_MAX];
};
struct trim_input {
    const struct trigger *trigger;
    const struct signal_workload *workload;
    int64_t now_ns;
    int64_t cold_start_ns; // 0: not known
    int32_t decided;       // replicas
    uint32_t ready;
};
// Fills rho, trim, edges and shares of *ret and returns rho.
double trim_tick(struct trim *x, const struct trim_input *in, struct record_capacity *ret);
