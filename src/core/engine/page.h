// SPDX-License-Identifier: Apache-2.0
/*
 * An engine's metrics page, read through its preset: bytes in, in any split, one engine_sample out.
 * One object reads one page at a time and is reset for the next (it keeps its memory). Pure.
 */
#pragma once

#include "core/engine/preset.h"
#include "core/metrics/prom_parse.h"

struct engine_page;

struct engine_page_result {
    struct engine_sample sample;
    uint32_t missing;    // bit i: the preset names metrics for value i, none was on the page
    uint32_t bad;        // bit i: found, but NaN, infinite, negative or above its range: unknown
                         // ENGINE_HISTOGRAM_BIT(h) in both: of histogram h; it is bad when a count
                         // is, when counts fall along the edges, +Inf is not among them, ranks
                         // differ in their edges, or there are too many (LIMIT_ENGINE_BUCKETS)
    uint64_t samples;    // sample lines on the page
    uint64_t duplicates; // series of interest that came again: the first counts, as in Prometheus
};

int engine_page_new(struct engine_page **ret, const struct engine_preset *preset, struct err *e);
struct engine_page *engine_page_free(struct engine_page *pg);
void engine_page_reset(struct engine_page *pg);

// As prom_parser_feed(): a fault sticks, and the page gives no sample at all.
int engine_page_feed(struct engine_page *pg, const char *bytes, size_t n, struct err *e);
// `complete` as in prom_parser_finish(): the transport proved the end of the body. A page without a
// single value of the preset is ERR_NOTFOUND (wrong preset, wrong port, or metrics not enabled; the
// message says which names were looked for and how the engine is told to show them). *ret is set
// also then.
int engine_page_finish(struct engine_page *pg, bool complete, struct engine_page_result *ret,
                       struct err *e);
// The fault of the last failure, for counters.
enum prom_fault engine_page_fault(const struct engine_page *pg);

// "queue (vllm:num_requests_waiting), kvCache (vllm:kv_cache_usage_perc or ...)" for the bits of
// `values` (missing or bad, histograms too). 0, ERR_LIMIT, ERR_NOMEM.
int engine_page_describe(const struct engine_preset *p, uint32_t values, struct buf *out);
