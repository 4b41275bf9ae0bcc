// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1.1 server on a listener: GET, HEAD and POST on fixed routes, keep-alive, pipelining in
 * order, strict parsing (net/http1.h), bounded everything. Handlers run on the loop's thread and
 * answer at once or later.
 */
#pragma once

#include "base/buf.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"

struct http_server;
// One request; lives until it is answered, also when its connection ends before (the answer then
// goes nowhere). The handler owes exactly one answer, also while the server closes and after it.
struct http_request;

struct http_route {
    const char *method; // "GET" answers HEAD too
    const char *path;   // exact, or a prefix when it ends with "/" ("/" itself is exact)
    void (*handle)(struct http_request *request, void *ctx);
};

struct http_timeouts { // 0: the default of base/limits.h
    uint32_t head_ms;  // from the first byte (or accept) to the end of the head; TLS handshake
    uint32_t body_ms;  // from there to the end of the body
    uint32_t idle_ms;  // between requests
    uint32_t stall_ms; // in so long a peer must take LIMIT_HTTP_WRITE_STALL_BYTES of what waits
};

struct http_server_options {
    const char *listen;
    struct net_tls *tls;             // NULL: plain
    unsigned max_connections;        // 0: LIMIT_HTTP_CONNECTIONS
    const struct http_route *routes; // ends with .path NULL; borrowed
    void *ctx;
    struct http_timeouts timeouts;
};

struct http_server_stats {        // counters since start
    uint64_t requests;            // handed to a route, or answered 404, 405, 501
    uint64_t bad_requests;        // refused by the codec
    uint64_t timeouts;            // slow heads and bodies, stalled readers; not idle ends
    uint64_t connections_refused; // over max_connections, no memory, no descriptor
    uint64_t handshake_failures;  // TLS
    unsigned connections;         // open now
};

int http_server_open(struct http_server **ret, uv_loop_t *loop,
                     const struct http_server_options *options, struct err *e);
// Stops accepting, ends idle connections, lets running answers finish (at most `grace_ms`), then
// frees and calls `done`, from the loop, never from inside this call.
void http_server_close(struct http_server *s, uint32_t grace_ms, void (*done)(void *), void *ctx);
const struct net_addr *http_server_addr(const struct http_server *s);
struct http_server_stats http_server_stats(const struct http_server *s);

// Of a request; views live until it is answered.
struct str http_request_method(const struct http_request *r);
struct str http_request_path(const struct http_request *r);  // without the query, percent-decoded
struct str http_request_query(const struct http_request *r); // raw, without '?'
// Value of one query parameter, percent-decoded into dst: 0, ERR_NOTFOUND, ERR_LIMIT, ERR_PARSE.
int http_request_param(const struct http_request *r, const char *name, char *dst, size_t cap);
struct str http_request_header(const struct http_request *r, const char *name); // {NULL,0}: absent
struct str http_request_body(const struct http_request *r);
bool http_request_accepts_gzip(const struct http_request *r); // by Accept-Encoding's weights
struct http_offer;
// Which of the offers the client prefers: http1_prefers().
size_t http_request_prefers(const struct http_request *r, const struct http_offer *offers,
                            size_t n);

struct http_answer {
    int status;
    const char *content_type;  // NULL: none is sent
    const char *extra_headers; // "Name: value\r\n"..., or NULL; from the program, never from input
    struct str body;           // copied; too large for the write queue: answered with 500
    bool body_gzip;            // body is gzip: sends Content-Encoding
};
// Sends the whole answer. The request is gone after this.
void http_request_answer(struct http_request *r, const struct http_answer *a);
// text/plain; a newline is added.
void http_request_answer_text(struct http_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
