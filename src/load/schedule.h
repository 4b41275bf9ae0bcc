// SPDX-License-Identifier: Apache-2.0
/*
 * When each request of a run is meant to leave, and how long its prompt and its answer are: from a
 * shape and a seed, or from a trace. Open loop: nothing here knows how the target fares.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "core/trace/trace.h"
#include "load/shape.h"

enum load_arrivals { LOAD_ARRIVALS_POISSON, LOAD_ARRIVALS_UNIFORM };

// Lengths in tokens. Drawn ones are log-normal around the means with LOAD_LENGTH_SPREAD, at least 1
// and at most 8 times the mean.
struct load_lengths {
    uint32_t prompt, output; // means; 0: requests have no lengths
    bool fixed;
};
// Standard deviation over mean; Azure's conversations have 0.96 (prompts) and 0.77 (answers).
#define LOAD_LENGTH_SPREAD 0.8

struct schedule_item {
    int64_t at_ns;           // since the start
    uint32_t prompt, output; // tokens; 0: no lengths
};

struct schedule {
    // One of the two.
    const struct shape *shape;
    const struct trace *trace;

    enum load_arrivals arrivals;
    struct load_lengths lengths; // for a trace: of rows without
    double speed;                // of a trace
    int64_t end_ns;              // requests from then on are left out

    // Private.
    struct random random, length_random; // apart: lengths do not move arrivals
    double count;
    size_t row;
    unsigned piece;
};

void schedule_init_shape(struct schedule *s, const struct shape *shape, enum load_arrivals arrivals,
                         struct load_lengths lengths, uint64_t seed);
// `speed` 2: twice as fast. `end_ns` 0: the whole trace.
void schedule_init_trace(struct schedule *s, const struct trace *trace, double speed,
                         int64_t end_ns, struct load_lengths lengths, uint64_t seed);
// The next request, times never descending; false after the last.
bool schedule_next(struct schedule *s, struct schedule_item *ret);
