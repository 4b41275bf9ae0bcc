// SPDX-License-Identifier: Apache-2.0
/*
 * Demand sources: places that know of requests while no pod exists (a gateway, an activator). Each
 * is a page scraped each second and a rule how to read it (core/engine/demand_rule.h). Same rules
 * as engines.h: failures are failures, never zero.
 */
#pragma once

#include "core/engine/demand_rule.h"
#include "source/scrape.h"

struct demand;

#define DEMAND_INTERVAL_NS (1 * 1000000000LL)

struct demand_source {
    const char *name; // as the trigger's `demand` names it
    const char *url;
    struct demand_rule_spec rule;
    int64_t interval_ns; // 0: DEMAND_INTERVAL_NS
    bool tls;            // https with demand_options.tls, else the system's trust
};

struct demand_options {
    uv_loop_t *loop;
    const struct net_tls_files *tls; // NULL: none
    const char *tls_server_name;     // NULL: the URL's host
    uint64_t seed;
    void (*sample)(void *ctx, const char *name, const struct demand_sample *sample,
                   int64_t requested_at_ns);
    void (*failure)(void *ctx, const char *name, int failure, const struct err *why);
    // Values whose selector no series matched (`missing`), or whose series are nonsense (`bad`):
    // bits of enum demand_value, and both in words ("" when all is there again). Told when it
    // changes, before the sample. May be NULL.
    void (*gaps)(void *ctx, const char *name, uint32_t missing, uint32_t bad, const char *text);
    void (*tls_event)(void *ctx, const struct err *why); // as in engines.h
    void *ctx;
};

int demand_new(struct demand **ret, const struct demand_options *options, struct err *e);
struct demand *demand_free(struct demand *d); // NULL-safe; not inside a callback
// The whole set, as engines_set_targets(). The errors of demand_rule_new() with the source's name.
int demand_set_sources(struct demand *d, const struct demand_source *sources, size_t n,
                       struct err *e);
// How a source of the set is read; NULL: there is none of this name.
const struct demand_rule *demand_rule_of(const struct demand *d, const char *name);
struct scrape_stats demand_stats(const struct demand *d);
void demand_each(const struct demand *d, void (*fn)(void *ctx, const struct scrape_status *s),
                 void *ctx);
