// SPDX-License-Identifier: Apache-2.0
/*
 * What one scrape said: of an engine (one pod's page, its models and ranks already added up as the
 * preset says) and of a demand source. Same idiom as gpu_reading: a value without its bit is
 * unknown, not zero.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum engine_value {
    ENGINE_QUEUE,                   // gauge: requests waiting
    ENGINE_RUNNING,                 // gauge: requests being served
    ENGINE_KV_CACHE_RATIO,          // gauge 0..1: the fullest rank
    ENGINE_REQUESTS_TOTAL,          // counter: requests finished (see preset: or arrived)
    ENGINE_PROMPT_TOKENS_TOTAL,     // counter: of prompts, without those that a prefix cache had,
                                    // where the engine tells them apart (they cost next to nothing)
    ENGINE_GENERATION_TOKENS_TOTAL, // counter
    ENGINE_ITL_SUM_S,               // inter-token latency histogram's sum
    ENGINE_ITL_COUNT,
    ENGINE_AWAKE, // gauge: 0 sleeps (holds its GPU, serves nothing), 1 serves; unknown:
                  // the engine has no such state
    ENGINE_VALUE_MAX,
};

enum engine_histogram {
    ENGINE_TTFT, // time to first token: one observation a request
    ENGINE_TPOT, // mean time per output token of a finished request; an engine without it: its
                 // inter-token latency, one observation a token
    ENGINE_HISTOGRAM_MAX,
};
// Where values and histograms share a mask, histograms stand behind the values.
#define ENGINE_HISTOGRAM_BIT(h) (1u << (ENGINE_VALUE_MAX + (unsigned)(h)))

// A histogram's counters as the page has them, over the pod's ranks and models. Ascending edges,
// the last is INFINITY, so that its count is the number of observations; counts never fall along
// the edges. n == 0: unknown.
struct engine_buckets {
    uint32_t n;
    double le_s[LIMIT_ENGINE_BUCKETS];
    double count[LIMIT_ENGINE_BUCKETS]; // of observations <= le_s
};

struct engine_sample {
    uint32_t valid; // bit i: v[i] is known
    double v[ENGINE_VALUE_MAX];
    struct engine_buckets histograms[ENGINE_HISTOGRAM_MAX];
};

enum demand_value {
    DEMAND_REQUESTS_TOTAL, // counter: requests that arrived
    DEMAND_WAITING,        // gauge: held or queued at the source
    DEMAND_INFLIGHT,       // gauge: being served behind the source
    DEMAND_VALUE_MAX,
};

struct demand_sample {
    uint32_t valid;
    double v[DEMAND_VALUE_MAX];
};

#define SAMPLE_SET(sample, i, value) ((sample)->v[i] = (value), (sample)->valid |= 1u << (i))
#define SAMPLE_HAS(sample, i) (((sample)->valid >> (i)) & 1u)
