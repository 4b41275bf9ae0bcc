// SPDX-License-Identifier: Apache-2.0
/*
 * A demand source's metrics page (gateway, activator), read through its rule: bytes in, in any
 * split, one demand_sample out. Same shape as engine/page.h. Pure.
 */
#pragma once

#include "core/engine/demand_rule.h"
#include "core/metrics/prom_parse.h"

struct demand_page;

struct demand_page_result {
    struct demand_sample sample; // each value: of its first way that is on the page, the sum of
                                 // all series that its selectors match
    uint32_t missing;            // bit i: the rule provides value i and no way was there
    uint32_t bad;                // bit i: a matching series is NaN, infinite or negative: unknown
    uint64_t samples;
    uint64_t duplicates;
};

// `rule` is borrowed.
int demand_page_new(struct demand_page **ret, const struct demand_rule *rule, struct err *e);
struct demand_page *demand_page_free(struct demand_page *pg);
void demand_page_reset(struct demand_page *pg);
int demand_page_feed(struct demand_page *pg, const char *bytes, size_t n, struct err *e);
// Fails only as prom_parser_finish() does: a page without a match is a sample with nothing known
// (a gateway's counters may appear with the first request).
int demand_page_finish(struct demand_page *pg, bool complete, struct demand_page_result *ret,
                       struct err *e);
enum prom_fault demand_page_fault(const struct demand_page *pg);

const char *demand_value_name(enum demand_value v); // "requestsTotal", "waiting", "inflight"
