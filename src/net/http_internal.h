// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of the HTTP server share: http_server.c owns listener, timer and list of
 * connections; http_conn.c turns bytes into requests; http_answer.c routes and answers;
 * http_pieces.c answers in pieces.
 */
#pragma once

#include "net/http1.h"
#include "net/http_server.h"

enum http_phase {
    HTTP_PHASE_HANDSHAKE,
    HTTP_PHASE_IDLE,   // between requests
    HTTP_PHASE_HEAD,   // a head is coming in
    HTTP_PHASE_BODY,   // its body is
    HTTP_PHASE_ANSWER, // a handler has it
    HTTP_PHASE_CLOSE,  // no more requests: closes when the last answer is written
};

struct http_request {
    struct http1 h;
    struct http_conn *conn; // NULL: the connection has ended
    const struct http_watch *watch;
    void *watch_ctx;
    bool begun;    // an answer in pieces has its head
    bool chunked;  // and is framed by chunks
    bool bodiless; // HEAD: the pieces go nowhere
    bool keep;     // what its head said about the connection
    bool starved;  // a piece was refused: `writable` is owed
};

struct http_conn {
    struct http_conn *next, *prev;
    struct http_server *server;
    struct net_stream *stream;
    struct http_request *request; // coming in, or at a handler
    struct buf in;                // bytes behind it, which wait for their turn
    uint64_t deadline_ms;         // of the phase, on the loop's clock
    uint64_t stall_ms;            // when the waiting output is looked at again; 0: none waited
    uint64_t taken_mark;          // bytes that the peer had taken then
    uint8_t phase;
    bool feeding; // http_conn.c is inside its loop over the input
    bool eof;     // the peer sends no more
    bool ends;    // closes behind the next answer
};

struct http_server {
    uv_loop_t *loop;
    struct net_listener *listener;
    struct net_tls *tls;
    struct net_timer *timer;
    const struct http_route *routes;
    const struct http_refusals *refusals;
    void *ctx;
    void (*refused)(void *ctx, const struct net_addr *peer, const struct err *why);
    struct http_timeouts timeouts;
    struct http_conn *conns;
    struct http_server_stats stats;
    struct net_addr addr;
    bool sweeping, closing;
    uint64_t grace_ms; // on the loop's clock
    void (*done)(void *ctx);
    void *done_ctx;
    int64_t date_s; // of `date`
    char date[40];
};

// http_conn.c
int http_conn_new(struct http_server *s, int fd); // takes fd; 0 or an error
void http_conn_check(struct http_conn *c, uint64_t now_ms);
void http_conn_set_phase(struct http_conn *c, enum http_phase phase);
void http_conn_end(struct http_conn *c); // idle: closes; else after the running answer
void http_conn_renew(struct http_conn *c);

// http_server.c
void http_server_add(struct http_server *s, struct http_conn *c);
void http_server_remove(struct http_server *s, struct http_conn *c);
const char *http_server_date(struct http_server *s);

// http_answer.c
enum http_framing { HTTP_FRAMING_LENGTH, HTTP_FRAMING_CHUNKED, HTTP_FRAMING_CLOSE };
// Of an answer without its body: 0, or the stream is being aborted.
int http_write_head(struct http_request *r, const struct http_answer *a, enum http_framing framing,
                    bool keep);
bool http_bodiless(const struct http_request *r, int status); // whether the answer has no body
void http_dispatch(struct http_request *r);
// Whether a route would take it; else answers 404, 405 or 501.
const struct http_route *http_route_find(struct http_request *r);
// Answers and closes the connection behind it.
void http_refuse(struct http_request *r, int status, const char *why);

// http_pieces.c
void http_request_tell_gone(struct http_request *r);     // once, to who watches
void http_request_tell_writable(struct http_request *r); // where it is owed
