// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1.1 server on a listener: GET, HEAD and POST on fixed routes, keep-alive, pipelining in
 * order, strict parsing (net/http1.h), bounded everything. Handlers run on the loop's thread and
 * answer at once or later, whole or in pieces (server-sent events, tokens as they come).
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

// How the server words what it refuses by itself (404, 405, 413, ...): a body for `why` into dst,
// of which at most cap bytes count; returns its length.
struct http_refusals {
    const char *content_type;
    size_t (*word)(char *dst, size_t cap, int status, const char *why);
};

struct http_server_options {
    const char *listen;
    struct net_tls *tls;                  // NULL: plain
    unsigned max_connections;             // 0: LIMIT_HTTP_CONNECTIONS
    const struct http_route *routes;      // ends with .path NULL; borrowed
    const struct http_refusals *refusals; // NULL: `why` as text/plain; borrowed
    void *ctx;
    struct http_timeouts timeouts;
    // Called with ctx when a client's TLS handshake fails (for the log); may be NULL.
    void (*refused)(void *ctx, const struct net_addr *peer, const struct err *why);
};

struct http_server_stats {         // counters since start
    uint64_t requests;             // handed to a route, or answered 404, 405, 501
    uint64_t bad_requests;         // refused by the codec
    uint64_t timeouts;             // slow heads and bodies, stalled readers; not idle ends
    uint64_t connections_refused;  // over max_connections, no memory, no descriptor
    uint64_t handshake_failures;   // TLS
    uint64_t certificates_refused; // of those: see struct grpc_server_stats
    unsigned connections;          // open now
};

int http_server_open(struct http_server **ret, uv_loop_t *loop,
                     const struct http_server_options *options, struct err *e);
// Stops accepting, ends idle connections, lets running answers finish (at most `grace_ms`), then
// frees and calls `done`, from the loop, never from inside this call.
void http_server_close(struct http_server *s, uint32_t grace_ms, void (*done)(void *), void *ctx);
// The connections of now end: idle ones at once, others after their answer. For what was verified
// when they began and no longer holds.
void http_server_renew(struct http_server *s);
const struct net_addr *http_server_addr(const struct http_server *s);
struct http_server_stats http_server_stats(const struct http_server *s);

// Of a request; views live until it is answered.
struct str http_request_method(const struct http_request *r);
struct str http_request_path(const struct http_request *r); // without the query, percent-decoded
// Value of one query parameter, percent-decoded into dst: 0, ERR_NOTFOUND, ERR_LIMIT, ERR_PARSE.
int http_request_param(const struct http_request *r, const char *name, char *dst, size_t cap);
struct str http_request_header(const struct http_request *r, const char *name); // {NULL,0}: absent
struct str http_request_body(const struct http_request *r);
// net_stream_peer_name(): by whose verified certificate it comes. "": none, or it has gone.
const char *http_request_peer_name(const struct http_request *r);
struct http1;
const struct http1 *http_request_http1(const struct http_request *r); // whole, for who passes it on
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
// An answer in pieces: begin, any number of pieces, then end or drop. Chunked; to HTTP/1.0 the end
// of the connection is the end of the answer; HEAD gets the head alone. `a` has no body.
void http_request_begin(struct http_request *r, const struct http_answer *a);
// 0; ERR_CLOSED: the connection has ended; ERR_AGAIN: LIMIT_HTTP_OUTPUT_HIGH_BYTES wait for a
// client that reads too slowly: nothing was taken, `writable` tells when to go on; ERR_LIMIT: a
// piece over LIMIT_HTTP_PIECE_BYTES; ERR_NOMEM: the connection is being aborted.
int http_request_send(struct http_request *r, struct str piece);
void http_request_end(struct http_request *r); // the request is gone after this
// Without an answer, or without the rest of one: resets the connection, so that the client sees
// that it got nothing whole. The request is gone after this.
void http_request_drop(struct http_request *r);

// What a handler that answers later may want to know. Both come from the loop, never from inside a
// call of http_request_*(), and may answer, send, end or drop.
struct http_watch {
    // Once: the connection has ended, or the client sends no more. A client that was killed looks
    // like the latter, so does one that only shut its sending side and still reads: as with nginx
    // and uvicorn it counts as gone where somebody watches. An answer is still owed. While requests
    // are pipelined behind this one, the socket is not read and it comes with the answer.
    void (*gone)(struct http_request *r, void *ctx);
    // After an ERR_AGAIN: all that waited was taken.
    void (*writable)(struct http_request *r, void *ctx);
};
// From the handler on, until the answer is over. `watch` is borrowed; its members may be NULL.
void http_request_watch(struct http_request *r, const struct http_watch *watch, void *ctx);
// text/plain; a newline is added.
void http_request_answer_text(struct http_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
