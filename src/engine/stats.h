// SPDX-License-Identifier: Apache-2.0
/* What the engine counts, and its /metrics: vLLM's names, labels and buckets. */
#pragma once

#include "core/metrics/histogram.h"
#include "core/metrics/prom_write.h"
#include "core/queueing/station.h"

enum engine_refused {
    ENGINE_REFUSED_LOADING,
    ENGINE_REFUSED_QUEUE,
    ENGINE_REFUSED_DRAINING,
    ENGINE_REFUSED_MAX
};

struct engine_stats {
    uint64_t finished, aborted, bad; // bad: 4xx
    uint64_t refused[ENGINE_REFUSED_MAX];
    struct histogram ttft, itl, tpot, e2e, queue, inference, prefill, decode; // seconds
};

void engine_stats_init(struct engine_stats *s);
// A run of inter-token latencies, as the station tells them; ctx is a struct engine_stats.
void engine_stats_itl(void *ctx, const struct station_itl *run);
// Times of a request that has finished; arrived_ns: at the HTTP server.
void engine_stats_finish(struct engine_stats *s, const struct station_event *ev,
                         int64_t arrived_ns);

struct engine_page {
    const struct engine_stats *stats;
    const struct station_reading *reading;
    const char *model;
    enum station_kind kind;
    uint64_t kv_tokens;
    double started_s, cpu_s; // since 1970; of the process
};
// 0, ERR_LIMIT or ERR_NOMEM: *out is as it was.
int engine_page_write(const struct engine_page *p, enum prom_format format, struct buf *out);
