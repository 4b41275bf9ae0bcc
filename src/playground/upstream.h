// SPDX-License-Identifier: Apache-2.0
/*
 * One replica behind the gateway: a pool of keep-alive connections to its HTTP/1.1 server, and the
 * calls on them, one a connection at a time. The connection used last is used first.
 *
 * A kept connection may have been closed by the replica in the moment in which a request leaves
 * for it. When such a one ends before a byte of an answer came, the request is sent once more, on a
 * fresh connection; every other failure is the caller's to judge.
 */
#pragma once

#include <uv.h>

#include "net/addr.h"
#include "net/http1_answer.h"

struct upstream;
struct upstream_conn;

enum upstream_end {
    UPSTREAM_DONE,    // the whole answer has come
    UPSTREAM_REFUSED, // no connection could be made
    UPSTREAM_RESET,   // the connection ended before the answer did
    UPSTREAM_GARBAGE, // what came is no HTTP answer
};

struct upstream_call;

// From the loop, never from inside upstream_start(). The call may be cancelled inside each.
struct upstream_ops {
    void (*head)(struct upstream_call *c, const struct http1_answer *a); // once
    void (*body)(struct upstream_call *c, struct str piece);             // not empty
    void (*ended)(struct upstream_call *c, enum upstream_end end);       // once, last
};

struct upstream_call { // embedded in its owner
    const struct upstream_ops *ops;
    struct str head, body; // of the request, encoded; borrowed until the end
    // Private.
    struct upstream *up;
    struct upstream_conn *conn; // NULL: not under way
};

int upstream_new(struct upstream **ret, uv_loop_t *loop, const struct net_addr *addr,
                 struct err *e);
// No more calls: ends the idle connections. Calls under way go on; gone with the last of them.
void upstream_close(struct upstream *u);
// 0, or an error at once (then nothing is under way and `ended` is not called): ERR_IO, ERR_NOMEM,
// ERR_LIMIT: LIMIT_UPSTREAM_CONNECTIONS are busy.
int upstream_start(struct upstream *u, struct upstream_call *c);
// Ends the call, and its connection with it; `ended` is not called. No-op when not under way.
void upstream_cancel(struct upstream_call *c);
// While a call is paused its connection is not read, so that TCP holds the replica back.
void upstream_pause(struct upstream_call *c);
void upstream_resume(struct upstream_call *c);
