// SPDX-License-Identifier: Apache-2.0
/*
 * The rate that a run wants over time: straight pieces behind each other. As text (--rate):
 *     RATE                 for the whole of the given duration
 *     RATE@TIME            so many requests a second for so long
 *     FROM..TO@TIME        a ramp
 * and several of those with commas: "5..40@30s,40@1m,200@5s,0@10s".
 *
 * shape_time() maps a count of requests to the time at which the shape has wanted so many; uniform
 * arrivals are those of 0, 1, 2, ... and Poisson arrivals those of sums of exponential draws of
 * mean 1 (time rescaling: exact for any rate; Cinlar, Introduction to Stochastic Processes, 4.7).
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

struct shape_piece {
    double from, to; // requests a second
    double seconds;
    double start_s;     // of this piece
    double start_count; // requests wanted before it
};

struct shape {
    struct shape_piece pieces[LIMIT_LOAD_PIECES];
    unsigned n;
    double seconds, count; // of all
};

// `duration_ns`: how long a bare RATE lasts, and where every shape ends that is longer; 0: not
// given (a bare RATE lasts `fallback_ns`). ERR_INVALID, ERR_LIMIT with the place and the remedy.
int shape_parse(struct shape *ret, struct str text, int64_t duration_ns, int64_t fallback_ns,
                struct err *e);
// Seconds since the start at which `count` requests have been wanted; INFINITY from s->count on.
// `*piece` is where the search begins and ends: 0 at first, for counts that ascend.
double shape_time(const struct shape *s, double count, unsigned *piece);
// Requests wanted until a time: the inverse.
double shape_count(const struct shape *s, double at_s);
