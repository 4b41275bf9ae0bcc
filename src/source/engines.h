// SPDX-License-Identifier: Apache-2.0
/*
 * The engines' pages: each target's /metrics is fetched at its interval and read through its
 * preset. A page gives one engine_sample; whatever goes wrong gives a failure with a reason, never
 * a zero. Slow or failing engines are asked less often (scrape.h). One thread, callbacks on the
 * loop.
 */
#pragma once

#include "core/signal/sample.h"
#include "source/scrape.h"

struct engines;
struct engine_preset; // core/engine/preset.h: a row of data

#define ENGINES_INTERVAL_NS (5 * 1000000000LL) // rendering costs the engine

struct engines_target {
    const char *key; // the caller's name of it, "namespace/pod"; unique in the set
    const char *url; // "http://10.0.0.7:8000/metrics"
    const struct engine_preset *preset; // borrowed for good
    int64_t interval_ns;                // 0: ENGINES_INTERVAL_NS
    int64_t fresh_ns; // older values are of no use: a slow page is asked in time; 0: no bound
    bool tls;         // https with engines_options.tls, else the system's trust
};

struct engines_options {
    uv_loop_t *loop;
    const struct net_tls_files *tls; // NULL: none; re-read when the files change
    const char *tls_server_name;     // NULL: the URL's host
    uint64_t seed;                   // of the phases
    // `requested_at_ns` (monotonic): when the page was asked for. Ages count from it: the values
    // are at least as young.
    void (*sample)(void *ctx, const char *key, const struct engine_sample *sample,
                   int64_t requested_at_ns);
    // Once a failed request. `failure`: enum fetch_failure or scrape_failure.
    void (*failure)(void *ctx, const char *key, int failure, const struct err *why);
    // Values that the preset looks for and the page does not have (`missing`), or has as nonsense
    // (`bad`): bits of enum engine_value, and both in words with the metrics' names ("" when all is
    // there again). Told when it changes, before the sample or the failure of the same page. May be
    // NULL.
    void (*gaps)(void *ctx, const char *key, uint32_t missing, uint32_t bad, const char *text);
    // The TLS files were re-read (why NULL) or could not be (the old ones stay). May be NULL.
    void (*tls_event)(void *ctx, const struct err *why);
    void *ctx;
};

int engines_new(struct engines **ret, const struct engines_options *options, struct err *e);
struct engines *engines_free(struct engines *x); // NULL-safe; not inside a callback

// The whole set: new keys start, gone ones stop (a running request is cancelled, nothing more is
// told about them), changed ones change. Strings are copied. A target that cannot be (a bad URL,
// a key twice) is refused as a whole set: ERR_INVALID with key and reason, the old set stays.
// Not inside a callback.
int engines_set_targets(struct engines *x, const struct engines_target *targets, size_t n,
                        struct err *e);

struct scrape_stats engines_stats(const struct engines *x);
void engines_each(const struct engines *x, void (*fn)(void *ctx, const struct scrape_status *s),
                  void *ctx);
