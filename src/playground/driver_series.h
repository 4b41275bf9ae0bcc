// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus for the classic triggers: what was scraped last of each target, and the two queries
 * over it. A series lives until its target's next scrape lacks it, fails, or the target is no
 * longer discovered (Prometheus then writes a staleness marker), at most 5 min. Pure; time is an
 * argument.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "playground/driver_usage.h"

enum { DRIVER_SERIES_QUEUE = -1 };
#define DRIVER_AGENT_TARGET "agent"

struct driver_series {
    char target[DRIVER_NAME_LEN]; // DRIVER_AGENT_TARGET, or an engine's pod
    int gpu; // the agent's label gpu of gpu_utilization; DRIVER_SERIES_QUEUE: an engine's queue
    double value;
    int64_t at_ns;
};

struct driver_series_store { // zero it
    struct driver_series series[LIMIT_PLAYGROUND_SERIES];
    size_t n;
};

struct driver_query_answer {
    bool empty;    // no series: KEDA's prometheus trigger reads 0 (ignoreNullValues)
    double value;  // 0 when empty
    int64_t at_ns; // the oldest sample in it
};

// Of DRIVER_AGENT_TARGET's page: `metric` of each GPU; of an engine's: its sum over the page.
// ERR_PARSE, ERR_LIMIT, with the place; the target's series end then as after a scrape that failed.
// `complete`: the transport proved the page's end.
int driver_series_scraped(struct driver_series_store *s, const char *target, const char *metric,
                          struct str page, bool complete, int64_t at_ns, struct err *e);
// The scrape failed, or the target is gone.
void driver_series_end(struct driver_series_store *s, const char *target);
// Service discovery: targets that are not among them are gone.
void driver_series_keep(struct driver_series_store *s, const char *const *targets, size_t n);

// avg(gpu_utilization) over the GPUs of the mask, 0..100; and sum(queue).
struct driver_query_answer driver_series_gpu_average(const struct driver_series_store *s,
                                                     uint64_t gpus, int64_t now_ns);
struct driver_query_answer driver_series_queue_sum(const struct driver_series_store *s,
                                                   int64_t now_ns);
