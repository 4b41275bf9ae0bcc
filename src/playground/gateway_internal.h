// SPDX-License-Identifier: Apache-2.0
/*
 * What the gateway's files share: gateway.c owns the server, the replicas and the choice;
 * gateway_exchange.c one request on its way; gateway_page.c what the gateway says by itself.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "playground/gateway.h"
#include "playground/upstream.h"

enum { GATEWAY_NAME_LEN = 64 };

struct gateway_replica {
    struct gateway *g;
    struct upstream *up; // NULL: drained
    char name[GATEWAY_NAME_LEN], host[GATEWAY_NAME_LEN];
    uint64_t id;            // never used again
    unsigned requests;      // under way
    int64_t avoid_until_ns; // it refused a connection
    int64_t busy_ns;        // up to busy_since_ns
    int64_t busy_since_ns;  // while requests > 0
    bool removed;           // the owner has no pointer any more
};

enum exchange_state {
    EXCHANGE_HELD,    // waits for a replica
    EXCHANGE_ASKED,   // nothing was passed on
    EXCHANGE_PASSING, // its answer is being passed on in pieces
};

struct exchange {
    struct exchange *next, *prev;
    struct gateway *g;
    struct http_request *request;
    enum exchange_state state;
    struct gateway_replica *replica; // not HELD
    struct upstream_call call;
    struct buf head;   // of the request, for `host`
    struct buf fields; // of the answer
    struct buf body;   // ASKED: the answer's, so far; PASSING: what the client did not take yet
    int status;
    unsigned attempts;
    uint64_t avoid;                  // the id of the replica that failed it last; 0: none
    int64_t arrived_ns, progress_ns; // progress: when it was sent, or a piece came
    bool busy_tried;                 // one replica has said 503
    bool starved;                    // the client reads slowly: the replica is not read
    bool whole;                      // the replica's answer has ended, a rest waits
    bool direct;                     // known length: passed on whole
};

struct exchange_list {
    struct exchange *first, *last;
    unsigned n;
};

struct gateway {
    uv_loop_t *loop;
    struct gateway_options options;
    char service[GATEWAY_NAME_LEN], addr[GATEWAY_NAME_LEN];
    struct http_server *server;
    struct net_timer *sweep;
    struct gateway_replica *replicas[LIMIT_GATEWAY_REPLICAS];
    unsigned n_replicas, turn;
    uint64_t next_id;
    struct exchange_list held, flying;
    struct gateway_stats stats;
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
};

// gateway.c
// The ready replica with the fewest requests, not the one with id `avoid`; NULL: none.
struct gateway_replica *gateway_choose(struct gateway *g, uint64_t avoid, int64_t now_ns);
void gateway_replica_begin(struct gateway_replica *r, int64_t now_ns);
void gateway_replica_end(struct gateway_replica *r, int64_t now_ns); // may free it

// gateway_exchange.c
void exchange_handle(struct http_request *r, void *ctx); // a route's handler
void exchange_dispatch_held(struct gateway *g);          // as long as there are replicas for them
void exchange_sweep(struct gateway *g, int64_t now_ns);  // what has waited too long
void exchange_refuse_held(struct gateway *g);            // all of them: the gateway closes

// gateway_page.c
// An answer of the gateway's own, worded as OpenAI's API words errors.
void gateway_answer_error(struct http_request *r, int status, const char *type, const char *why);
void gateway_page(struct http_request *r, void *ctx);   // /metrics
void gateway_health(struct http_request *r, void *ctx); // /health
extern const struct http_refusals gateway_refusals;
