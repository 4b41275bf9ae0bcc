// SPDX-License-Identifier: Apache-2.0
/*
 * A demand source's metrics page (gateway, activator), read through three series selectors, each
 * optional: bytes in, in any split, one demand_sample out. Same shape as engine/page.h. Pure.
 */
#pragma once

#include "core/metrics/prom_parse.h"
#include "core/metrics/selector.h"
#include "core/signal/sample.h"

struct demand_page;

// By enum demand_value; NULL: not configured. Borrowed.
struct demand_selectors {
    const struct selector *by_value[DEMAND_VALUE_MAX];
};

struct demand_page_result {
    struct demand_sample sample; // each value: the sum of all series that its selector matches
    uint32_t missing;            // bit i: value i is configured and no series matched
    uint32_t bad;                // bit i: a matching series is NaN, infinite or negative: unknown
    uint64_t samples;
    uint64_t duplicates;
};

int demand_page_new(struct demand_page **ret, const struct demand_selectors *sel, struct err *e);
struct demand_page *demand_page_free(struct demand_page *pg);
void demand_page_reset(struct demand_page *pg);
int demand_page_feed(struct demand_page *pg, const char *bytes, size_t n, struct err *e);
// Fails only as prom_parser_finish() does: a page without a match is a sample with nothing known
// (a gateway's counters may appear with the first request).
int demand_page_finish(struct demand_page *pg, bool complete, struct demand_page_result *ret,
                       struct err *e);
enum prom_fault demand_page_fault(const struct demand_page *pg);

const char *demand_value_name(enum demand_value v); // "requestsTotal", "waiting", "inflight"
