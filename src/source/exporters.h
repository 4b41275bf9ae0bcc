// SPDX-License-Identifier: Apache-2.0
/*
 * GPUs read from exporters' pages (core/exporter): one page an address of each target, HOST:PORT or
 * a URL whose host is a name of any number of addresses. All pages feed one table of GPUs by
 * identity (a UUID, or a parent's UUID and a MIG instance): a GPU that two exporters tell counts
 * once, by the one that knows who holds it, else by the first while it answers.
 *
 * A reading is dated by the request, or earlier: an exporter repeats its last collection until the
 * next one, so values stand for `collect_interval_ns` after they were first seen, and from then on
 * grow old, though the page is still served (an exporter that is stuck shows itself by this where
 * the page has an energy counter or the time of the collection). A failed page leaves the last
 * readings with their times. A GPU that leaves a good page is lost, after three such pages removed.
 * One thread, callbacks on the loop.
 */
#pragma once

#include "source/agents.h"
#include "source/scrape.h"

struct exporters;

struct exporters_options {
    uv_loop_t *loop;
    const struct net_tls_files *tls; // of HOST:PORT targets (then https) and of https:// URLs
    const char *tls_server_name;     // NULL: the target's host
    const char *path;                // of targets that give none; NULL: "/metrics"
    int64_t interval_ns;             // 0: 10 s
    int64_t collect_interval_ns;     // how often exporters read the driver; 0: 30 s
    int64_t resolve_interval_ns;     // 0: 30 s
    int64_t forget_ns;               // GPUs of which nothing is heard; 0: 10 min
    uint64_t seed;
    const struct agents_resolver *resolver; // NULL: uv_getaddrinfo

    // As agents_ops (agents.h); `uuid` of a MIG instance is "GPU-.../gi13", with parent_uuid. Told
    // for each GPU of each good page, and when one is lost.
    void (*gpu)(void *ctx, const struct agents_gpu *gpu, unsigned changed, void **user);
    void (*gpu_removed)(void *ctx, const char *node, const char *uuid, void *user);
    // As in engines.h, with the page's URL (without its query) as key, but once: then not until
    // `recovered`.
    void (*failure)(void *ctx, const char *key, int failure, const struct err *why);
    void (*recovered)(void *ctx, const char *key);
    // Bits of enum exporter_lack.
    void (*gaps)(void *ctx, const char *key, uint32_t missing, uint32_t bad, const char *text);
    // The exporter answers and has not read its driver for three times collect_interval_ns, or does
    // again.
    void (*stuck)(void *ctx, const char *key, bool stuck);
    void (*resolve)(void *ctx, const char *target, const struct err *why);
    void (*tls_event)(void *ctx, const struct err *why);
    void *ctx;
};

// Is it HOST:PORT or a URL of an exporter? For configurations: ERR_INVALID, ERR_PARSE, ERR_LIMIT.
int exporters_target_check(const char *text, struct err *e);

int exporters_new(struct exporters **ret, const struct exporters_options *options, struct err *e);
struct exporters *exporters_free(struct exporters *x); // tells nothing more; NULL-safe
// The whole list, once. ERR_INVALID with the entry and the reason.
int exporters_set_targets(struct exporters *x, const char *const *targets, size_t n, struct err *e);

struct exporters_stats {
    struct scrape_stats scrape;
    size_t targets, gpus, stuck; // now
    uint64_t bad_values;         // taken as unknown: blanks, NaN, out of range
    uint64_t differing;          // told twice and differently on one page: unknown
    uint64_t duplicates;         // GPUs of a page that another exporter tells
    uint64_t resolve_failures, over_limit;
};
struct exporters_stats exporters_stats(const struct exporters *x);

struct exporters_page {
    const struct scrape_status *scrape;
    const char *target; // as configured
    const char *kind;   // "dcgm-exporter"; "" until a page was read
    const char *node;   // of its first GPU, ""
    size_t gpus, duplicates;
    bool pods_named; // the last good page names a pod
    bool alive;      // ... and would show a new collection
    bool stuck;
};
void exporters_each(const struct exporters *x,
                    void (*fn)(void *ctx, const struct exporters_page *page), void *ctx);
// `key`: the page that tells it.
void exporters_each_gpu(const struct exporters *x,
                        void (*fn)(void *ctx, const struct agents_gpu *gpu, const char *key),
                        void *ctx);
