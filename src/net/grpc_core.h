// SPDX-License-Identifier: Apache-2.0
/* Private to grpc_host.c, grpc_conn.c and grpc_call.c: what a server's connection is made of. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/random.h"
#include "net/grpc_conn.h"
#include "net/grpc_frame.h"
#include "net/h2.h"

struct grpc_entry { // one method in the table of paths
    const struct grpc_service *service;
    const struct grpc_method *method;
    UT_hash_handle hh;
    char path[]; // "/package.Service/Method"
};

struct grpc_host {
    struct grpc_host_options options;
    struct grpc_entry *entries;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *h2_options;
    uint8_t *hello; // our first frame, SETTINGS
    size_t hello_len;
    struct deadline_heap deadlines;
    struct random random;
    struct grpc_call *free_calls; // linked by `next`
    unsigned n_free_calls;
    struct grpc_host_stats stats;
};

enum grpc_conn_state {
    CONN_NEW,      // nothing came yet; there is no nghttp2 session
    CONN_GREETING, // bytes came, the client's SETTINGS not
    CONN_OPEN,
    CONN_NOTICED,  // GOAWAY(2^31-1) and PING are on their way
    CONN_DRAINING, // the real last id is: calls finish
    CONN_OVER,     // to be closed; `over` says why
};

struct grpc_conn {
    struct grpc_host *host;
    void *shell;
    const struct net_addr *peer;
    const char *peer_name;
    nghttp2_session *session;
    enum grpc_conn_state state;
    bool busy;    // inside recv or send: output follows by itself
    bool freeing; // no session any more
    bool pinged;  // a keepalive PING waits for its answer
    bool hello_sent;
    const uint8_t *out; // of hello, not sent yet
    size_t out_len;
    struct grpc_call *calls; // doubly linked
    unsigned n_calls;
    struct grpc_call *borrower;       // its message lies in the bytes being received
    size_t request_bytes, send_bytes; // of all calls
    struct h2_budget budget;
    struct deadline deadline;
    int64_t born_ns, alive_ns, idle_ns, state_ns, dies_ns;
    struct err over;
};

enum grpc_call_state {
    CALL_READING, // headers or messages come
    CALL_RUNNING, // the handler has it
    CALL_ENDED,   // the handler is done with it
};

struct grpc_call {
    struct grpc_conn *conn;
    struct grpc_call *next, *prev;
    int32_t stream; // -1: closed
    enum grpc_call_state state;
    const struct grpc_entry *entry; // NULL: unknown method
    // Request
    bool is_post, is_grpc, bad_encoding, bad_timeout, half_closed, has_message;
    size_t header_bytes;
    int64_t started_ns, timeout_ns; // timeout < 0: none
    struct grpc_reader reader;
    struct grpc_message message;
    struct arena arena;
    size_t request_bytes; // accounted for in conn and host
    struct deadline deadline;
    void (*on_end)(struct grpc_call *c, void *ctx);
    void *on_end_ctx;
    // Response
    bool submitted; // response HEADERS were handed to nghttp2
    int status;
    char *text;     // of the status; NULL: none
    struct buf out; // framed messages that nghttp2 has not taken
};

// grpc_host.c
struct grpc_call *
grpc_call_take(struct grpc_host *h); // zeroed but for memory kept; NULL: no memory
void grpc_call_put(struct grpc_host *h, struct grpc_call *c);
const struct grpc_entry *grpc_host_find(const struct grpc_host *h, struct str path);
int64_t grpc_host_now(const struct grpc_host *h);

// grpc_call.c: events of a call, from grpc_conn.c
struct grpc_call *grpc_call_begin(struct grpc_conn *conn, int32_t stream);
void grpc_call_header(struct grpc_call *c, struct str name, struct str value);
void grpc_call_headers_done(struct grpc_call *c);
void grpc_call_data(struct grpc_call *c, const uint8_t *p, size_t n);
void grpc_call_half_close(struct grpc_call *c);
void grpc_call_settle(struct grpc_call *c); // what it borrows goes away: copy it
void grpc_call_stream_closed(struct grpc_call *c);
void grpc_call_drain(struct grpc_call *c); // graceful end: a streaming call ends with OK

// grpc_conn.c: nghttp2 callbacks are set up for a host
int grpc_conn_callbacks(nghttp2_session_callbacks *cbs);
int grpc_conn_hello(struct grpc_host *h);   // makes h->hello, once: 0 or ERR_NOMEM
void grpc_conn_output(struct grpc_conn *c); // tells the shell, unless output follows by itself
