// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of engines and demand: the schedule of scrape.h. Targets are known by key; what a page
 * means is behind `ops`. A target's reader exists only while bytes of its page come.
 */
#pragma once

#include "base/buf.h"
#include "core/metrics/prom_parse.h"
#include "net/loop.h"
#include "source/scrape.h"

struct scraper;
struct scraper_target;

struct scraper_spec {
    const char *key, *url;
    const char *server_name; // https: the name in the certificate; NULL: the URL's host
    const char *form;        // POST this; NULL: GET
    const void *what; // how to read it; targets are the same only with the same pointer. Borrowed
    int64_t interval_ns;
    int64_t fresh_ns; // older values are of no use: a slow page is asked in time; 0: no bound
    bool tls;
};

// How targets are asked where it is not for a page of metrics. Strings are borrowed.
struct scraper_request {
    const char *accept;            // NULL: the text format
    uint64_t max_body_bytes;       // 0: LIMIT_METRICS_PAGE_BYTES
    const char *const *headers;    // as fetch_options'
    const struct fetch_auth *auth; // likewise
    // A slow target is asked as often as another, unless it takes half the interval; a failing one
    // half as often.
    bool steady;
};

struct scraper_ops {
    // A reader for one page; NULL: out of memory.
    void *(*open)(void *ctx, const void *what);
    void (*close)(void *ctx, const void *what, void *reader);
    int (*feed)(void *reader, const char *p, size_t n, struct err *e);
    // The page is whole: the owner tells its sample. Negative: it is not good.
    int (*finish)(void *ctx, struct scraper_target *target, void *reader, bool complete,
                  int64_t requested_at_ns, struct err *e);
    // Which reason (fetch_failure, scrape_failure) a failed feed or finish has.
    int (*reason)(void *reader, int code);
    // Where not NULL, the reader gets the body of another status than 200 too, and this may say in
    // *e better than the fetch did what it means.
    void (*refused)(void *reader, int status, struct err *e);
    // What the page of `missing` and `bad` lacks, in words.
    void (*describe)(const void *what, uint32_t missing, uint32_t bad, struct buf *text);
};

// What the user of engines, demand or exporters is told, with the context that it gave.
struct scraper_told {
    // ERR_AUTH: the page wants to know who reads it (401, 403).
    void (*failure)(void *ctx, const char *key, int failure, const struct err *why);
    void (*gaps)(void *ctx, const char *key, uint32_t missing, uint32_t bad, const char *text);
    void (*tls_event)(void *ctx, const struct err *why); // gaps, tls_event: may be NULL
    void *ctx;
};

struct scraper_options {
    uv_loop_t *loop;
    const struct net_tls_files *tls;
    const char *tls_server_name;
    uint64_t seed;
    uint32_t connect_ms, total_ms;
    unsigned pools; // of connections; 0: as thousands of targets need
    struct scraper_request request;
    const struct scraper_ops *ops; // borrowed
    void *ctx;                     // of ops
    struct scraper_told told;
};

int scraper_new(struct scraper **ret, const struct scraper_options *options, struct err *e);
struct scraper *scraper_free(struct scraper *s);
int scraper_set(struct scraper *s, const struct scraper_spec *specs, size_t n, struct err *e);
struct scrape_stats scraper_stats(const struct scraper *s);
void scraper_each(const struct scraper *s, void (*fn)(void *, const struct scrape_status *),
                  void *ctx);

const char *scraper_target_key(const struct scraper_target *t);
const void *scraper_target_what(const struct scraper_target *t);
// What a page lacked (bits of the owner's): told when it is another thing than after the page
// before.
void scraper_tell_gaps(struct scraper_target *t, uint32_t missing, uint32_t bad);

// What a fault of the page is called in counters: a page that is no metrics page at all is
// FETCH_HTML.
int scraper_fault_reason(enum prom_fault fault);

// The next time a target is asked, pure: `started` the last request, `took` its time, `failed` in a
// row (0: it was good), `phase` of the interval, `fresh` as in the spec. *ret_current: the interval
// with back-off.
int64_t scraper_next(int64_t started_ns, int64_t took_ns, unsigned failed, int64_t interval_ns,
                     int64_t phase_ns, int64_t fresh_ns, int64_t *ret_current_ns);
