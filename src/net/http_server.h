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
struct http_request; // one request and its answer; lives until answered or its connection ends

struct http_route {
    const char *method; // "GET" answers HEAD too
    const char *path;   // exact, or a prefix when it ends with "/"
    void (*handle)(struct http_request *request, void *ctx);
};

struct http_server_options {
    const char *listen;
    struct net_tls *tls; // NULL: plain
    unsigned max_connections;
    const struct http_route *routes; // ends with .path NULL; borrowed
    void *ctx;
};

struct http_server_stats { // counters since start
    uint64_t requests, bad_requests, timeouts, connections_refused;
    unsigned connections;
};

int http_server_open(struct http_server **ret, uv_loop_t *loop,
                     const struct http_server_options *options, struct err *e);
// Stops accepting, lets running answers finish (at most `grace_ms`), then frees; `done` is called.
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

struct http_answer {
    int status;
    const char *content_type;
    const char *extra_headers; // "Name: value\r\n"..., or NULL
    struct str body;           // copied
    bool body_gzip;            // body is gzip: sends Content-Encoding
};
// Sends the whole answer. The request is gone after this.
void http_request_answer(struct http_request *r, const struct http_answer *a);
void http_request_answer_text(struct http_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
