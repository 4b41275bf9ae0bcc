// SPDX-License-Identifier: Apache-2.0
/*
 * Bounded HTTP(S) requests, GET or with content: libcurl's multi interface driven by the loop (one
 * uv_poll a socket, one timer). Everything has an end: the connect, the whole request, the head,
 * the body (counted after gunzip, so a compression bomb stops at the cap). Bytes are handed on as
 * they come. Redirects are an error that names where to, HTML is an error, no proxy and no
 * credentials come from the environment. Connections are kept and used again. One thread. The
 * program ignores SIGPIPE: OpenSSL under libcurl writes to a peer that has gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "net/tls.h"

// Why a fetch failed: stable names for counters and metric labels (fetch_failure_name).
enum fetch_failure {
    FETCH_OK,
    FETCH_RESOLVE,   // the name has no address
    FETCH_CONNECT,   // refused, unreachable, or not connected in time
    FETCH_TLS,       // the certificate or the handshake was refused, by either side
    FETCH_TIMEOUT,   // connected, but the answer did not end in time
    FETCH_STATUS,    // another status than 200 (any_success: 200 to 299)
    FETCH_REDIRECT,  // 3xx: not followed
    FETCH_HTML,      // a page for people
    FETCH_TOO_LARGE, // head or body over its cap
    FETCH_TRUNCATED, // the connection ended inside the answer
    FETCH_PROTOCOL,  // not HTTP, a broken chunk, a broken gzip
    FETCH_REFUSED,   // the receiver of the bytes said no
    FETCH_INTERNAL,  // out of memory, out of descriptors
    FETCH_SECRET,    // not asked: the file with our token or password is not readable
    FETCH_FAILURE_MAX,
};
const char *fetch_failure_name(enum fetch_failure f); // "ok", "resolve", "too_large", ...

struct fetch_pool; // one curl multi handle on one loop: connections, running requests
struct fetch_tls;  // how to trust and be trusted; shared by many requests
struct fetch_auth; // who we say we are: fetch_auth.h
struct fetch;      // one running request

int fetch_pool_new(struct fetch_pool **ret, uv_loop_t *loop, struct err *e);
// Cancels what runs (without `done`) and closes all connections. NULL-safe; allowed inside `done`.
// The loop must turn once more to let go of its handles.
struct fetch_pool *fetch_pool_free(struct fetch_pool *pool);

struct fetch_pool_stats {
    unsigned running, sockets;            // now; sockets: those with a request on them
    uint64_t started, finished;           // counters
    uint64_t failures[FETCH_FAILURE_MAX]; // of finished ones
    uint64_t connects;                    // new connections; the rest were used again
    uint64_t bytes;                       // bodies, after gunzip
};
struct fetch_pool_stats fetch_pool_stats(const struct fetch_pool *pool);

// Reads the files (paths are copied). `files->ca` NULL: the system's trust. `server_name` NULL: the
// URL's host; else SNI, the name that must match, and the Host header. ERR_IO, ERR_AUTH (a file
// that is no PEM) with the file's name.
int fetch_tls_new(struct fetch_tls **ret, const struct net_tls_files *files,
                  const char *server_name, struct err *e);
struct fetch_tls *fetch_tls_free(struct fetch_tls *tls);
// Looks at the files and reads them again when one changed: 1 reloaded, 0 unchanged, negative: not
// readable now, the old ones stay in use. Requests started later use the new files, on connections
// of their own: one that was made under the old trust is not used again.
int fetch_tls_reload_if_changed(struct fetch_tls *tls, struct err *e);

struct fetch_result {
    enum fetch_failure failure; // FETCH_OK: a 200 whose whole body was handed on
    struct err err;             // a sentence with the URL, without credentials or query
    int status;                 // 0: none came
    uint64_t body_bytes;        // handed on
    // The answer said where it ends (length or chunks) and ended there. False for a body that ends
    // with the connection, and for a compressed one (libcurl does not tell a cut gzip stream).
    bool complete;
    int64_t retry_after_ms;      // as the answer says, in seconds; -1: it does not
    int64_t started_ns, took_ns; // monotonic
};

struct fetch_options {
    const char *url;       // http:// or https://, no user:password@
    struct fetch_tls *tls; // NULL: the system's trust, no certificate; may go when it returns
    // https: the name that must match, as fetch_tls_new()'s, which wins; NULL: the URL's host.
    const char *server_name;
    const char *accept;         // Accept header, NULL: */*
    const char *const *headers; // more: "Name: value", ends with NULL; NULL: none
    const char *form;           // POST this application/x-www-form-urlencoded; NULL: GET
    const char *method;         // NULL: GET, or POST where there is a form or content
    struct str content;         // sent with `content_type`; p NULL: none
    const char *content_type;
    bool any_success;              // each of 200 to 299 is FETCH_OK
    const struct fetch_auth *auth; // NULL: none; its files are read now
    uint32_t connect_ms;           // name, connect, TLS
    uint32_t total_ms;             // the whole request; 0: it may go on (watches)
    uint64_t max_body_bytes;       // after gunzip
    // `body` gets those of another status too (the first LIMIT_FETCH_ERROR_BYTES), which stays
    // FETCH_STATUS.
    bool error_body;
    // Bytes of a success's body, as they come; false ends the request with FETCH_REFUSED. Must not
    // call fetch_*.
    bool (*body)(void *ctx, const char *p, size_t n);
    // Exactly once, from the loop, never from inside fetch_start(). The request is gone after it.
    void (*done)(void *ctx, const struct fetch_result *result);
    void *ctx;
};

// ERR_INVALID: the URL, with the reason. ERR_AUTH: a secret's file. The strings may go when it
// returns.
int fetch_start(struct fetch **ret, struct fetch_pool *pool, const struct fetch_options *options,
                struct err *e);
int fetch_status(const struct fetch *f); // of the answer so far: for `body`; 0: none
void fetch_cancel(struct fetch *f);      // no `done`; allowed inside another's `done`

// The check of fetch_start() alone, for configurations.
int fetch_url_check(const char *url, struct err *e);
// The URL as messages show it: user, password, query and fragment left out, bounded.
void fetch_url_redact(struct str url, char *dst, size_t cap);
