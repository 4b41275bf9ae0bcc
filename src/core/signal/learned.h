// SPDX-License-Identifier: Apache-2.0
/*
 * What a workload has taught, in plain storage without pointers: another process goes on with it
 * where this one ends. Not in it is what pages tell anew within a window: counters' last values,
 * gauges, latency buckets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { WORK_POINTS = 48, WORK_GENERATIONS = 2, WORKLOAD_STARTS_KEPT = 8 };

// All ready pods together, counted up.
struct work_point {
    int64_t at_ns;
    double work, finished;
};

// The extremes of 12 h of lessons.
struct work_extremes {
    uint32_t lessons;
    double light_u, light_y, seen_u, full_u;
};

// The lessons, and the work of a request (core/signal/work.h says what they are).
struct work_learned {
    double work, finished; // counted up
    uint8_t head, n;       // ring of points
    struct work_point points[WORK_POINTS];
    double block_work, block_finished; // since the last block of 20
    double last_per_request;           // of the last block
    int64_t lesson_ns;                 // of the last lesson; 0: none
    uint32_t lessons;
    double weight, u, y, uu, uy;
    struct work_extremes extremes[WORK_GENERATIONS]; // [0] the present ones
};

struct signal_learned {
    struct work_learned work;
    uint32_t starts;                         // of the last cold starts
    int64_t starts_ns[WORKLOAD_STARTS_KEPT]; // how long each took, oldest first
};

struct signal_workload;
void signal_learned_of(const struct signal_workload *w, struct signal_learned *ret);
// Goes on with it, in place of what the pods' ages told of cold starts. False: not so, because a
// page has taught something here already, or more lessons were taken over before.
bool signal_learned_take(struct signal_workload *w, const struct signal_learned *x);
// Can anyone have learned this by now_ns? ERR_PARSE with the first thing that nobody can: what is
// not a number or negative, sums of no lessons, times ahead, counters that fall.
int signal_learned_check(const struct signal_learned *x, int64_t now_ns, struct err *e);
