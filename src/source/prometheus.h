// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus servers of the scaler's own configuration, asked instant queries over their HTTP API
 * (POST /api/v1/query), each query once an interval. What an answer is worth stands in
 * web/prom_answer.h; a failure is told and never a number.
 *
 * The age of a value is that of its question. How old the samples behind it are is not known: a
 * plain selector reaches back for lookback_ns (the server's five minutes, where that is 0), rate()
 * over its range, and the server has scraped them some time before.
 */
#pragma once

#include "core/signal/external.h"
#include "source/scrape.h"
#include "web/fetch_auth.h"

struct prometheus;

struct prometheus_server {
    const char *name;
    const char *url;                 // in front of /api/v1/query
    const struct net_tls_files *tls; // NULL: the system's trust
    const char *tls_server_name;     // NULL: the URL's host
    struct fetch_auth_files auth;    // nothing: nobody
    const char *const *headers;      // "Name: value", ends with NULL; NULL: none. Borrowed
    int64_t interval_ns, timeout_ns;
    int64_t lookback_ns; // 0: the server's
};

struct prometheus_query {
    const char *key; // one of its own
    size_t server;   // index
    const char *text;
};

struct prometheus_options {
    uv_loop_t *loop;
    const struct prometheus_server *servers; // copied, save the headers
    size_t n_servers;
    uint64_t seed;
    // `x->state` always; value and time only with EXTERNAL_GOOD. `why` is "" then.
    void (*told)(void *ctx, const char *key, const struct signal_external *x, const char *why);
    void (*tls_event)(void *ctx, const char *server, const struct err *why); // as scraper_told's
    void *ctx;
};

// ERR_INVALID, ERR_IO, ERR_AUTH (files of certificates and secrets) with the server's name.
int prometheus_new(struct prometheus **ret, const struct prometheus_options *options,
                   struct err *e);
struct prometheus *prometheus_free(struct prometheus *p); // NULL-safe; not inside a callback
// The whole set, as engines_set_targets(): what was asked before goes on undisturbed.
int prometheus_set_queries(struct prometheus *p, const struct prometheus_query *queries, size_t n,
                           struct err *e);
struct scrape_stats prometheus_stats(const struct prometheus *p, size_t server);
// `s->key` is the query's.
void prometheus_each(const struct prometheus *p, size_t server,
                     void (*fn)(void *ctx, const struct scrape_status *s), void *ctx);
// The URL that a server's queries are sent to, for configurations: ERR_INVALID with the reason.
int prometheus_url_check(const char *url, struct err *e);
