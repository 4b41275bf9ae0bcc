// SPDX-License-Identifier: Apache-2.0
/*
 * What a PromQL query, or the name of a metric, of an existing trigger was about: which signal of
 * which engine, or the GPUs', in which unit. Read by Prometheus' tokens, not by its grammar: what
 * is not recognised is said to be unknown, never guessed.
 */
#pragma once

#include "base/arena.h"
#include "core/engine/preset.h"
#include "core/signal/signal.h"

enum query_about {
    QUERY_UNKNOWN,
    QUERY_SIGNAL,     // `signals`
    QUERY_GPU_MEMORY, // engines reserve it at their start: it says nothing
    QUERY_TTFT,       // latencies: an SLO, no load
    QUERY_TPOT,
};

struct query_reading {
    enum query_about about;
    uint32_t signals;                   // bits of enum signal
    const struct engine_preset *preset; // whose metric it is; NULL: any engine's
    const char *metric;                 // the first that was recognised; NULL
    bool ratio;                         // GPU activity of 0..1, not made a percentage
    bool averaged;                      // a mean (avg, or divided by a count): not a sum
    bool rate;                          // of a counter
    bool narrowed;                      // some selector names namespace, pod or container
    double quantile;                    // of histogram_quantile; 0: none
};

// `text`: a query, or a metric's name. Texts in the arena.
void query_read(struct str text, struct arena *a, struct query_reading *ret);
