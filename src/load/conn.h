// SPDX-License-Identifier: Apache-2.0
/*
 * One connection of the load generator and the request on it: opened when it is first needed, kept
 * while the server keeps it. It never blocks; epoll tells once (edge-triggered) when it may go on.
 */
#pragma once

#include "load/record.h"
#include "load/sse.h"
#include "load/target.h"
#include "net/http1_answer.h"
#include "net/io.h"
#include "net/tls.h"

enum conn_state {
    CONN_CLOSED,
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_SENDING,
    CONN_WAITING, // for the answer or its rest
    CONN_IDLE,
};

struct conn {
    struct net_io io;
    enum conn_state state;
    bool is_stream;
    unsigned address;                       // of the target's
    struct conn *next_free;                 // idle or closed
    struct conn *prev, *next;               // in flight, in the order of their intended times
    int64_t intended_ns, sent_ns, event_ns; // monotonic; the last event of a stream
    uint32_t output;                        // tokens asked for
    struct str request;
    size_t request_at; // bytes that left
    struct buf out;    // of a request made for this connection
    struct sse sse;
    struct http1_answer answer;
};

// What all connections of a run share.
struct conn_shared {
    struct load_target *target;
    struct net_tls *tls; // NULL: plain
    struct load_record *record;
    int epoll;
    bool is_head;
    unsigned address; // the one to connect to: the first that ever answered
    bool address_good;
    char *read_buf;
    size_t read_cap;
};

enum conn_outcome {
    CONN_GOES_ON,
    CONN_ENDED,  // its request is over; recorded. The connection is idle or closed now
    CONN_UNUSED, // it was idle, and is closed now
};

// Sends c->request: on the idle connection, unless the server has closed it, or on a new one.
// `now_ns` is the time.
enum conn_outcome conn_start(struct conn *c, struct conn_shared *s, int64_t now_ns);
// epoll has told `events` of it.
enum conn_outcome conn_ready(struct conn *c, struct conn_shared *s, uint32_t events);
// The request's time is over: recorded, closed.
void conn_time_out(struct conn *c, struct conn_shared *s);
void conn_close(struct conn *c);
