// SPDX-License-Identifier: Apache-2.0
/* What the files of the rpc thread share: its state, and the calls that are not answered yet. */
#pragma once

#include <pthread.h>

#include "net/grpc_server.h"
#include "scaler/bind.h"
#include "scaler/rpc.h"
#include "scaler/rpc_table.h"
#include "scaler/tell.h"

enum rpc_call_kind { CALL_WAITS_METRICS, CALL_WAITS_ACTIVE, CALL_STREAM_ACTIVE, CALL_STREAM_SPEC };

// A call that stays open: parked for the first decision, or a stream.
struct rpc_call {
    enum rpc_call_kind kind;
    struct rpc *rpc;
    struct grpc_call *call;
    struct rpc_object *object;
    struct rpc_call *prev, *next;           // of the object
    struct rpc_call *wait_prev, *wait_next; // of all parked calls, oldest first
    int64_t since_ns;                       // parked since; streams: the last `true`
    bool told;                              // stream: `true` was sent for this activation
};

struct rpc {
    uv_loop_t loop;
    pthread_t thread;
    struct grpc_service service;
    const struct grpc_service *services[3];
    struct grpc_server *server;
    struct net_tls *tls;
    struct net_watch *watch;
    struct net_timer *second; // housekeeping
    struct net_timer *parked; // the oldest parked call's deadline
    struct queue *to_io, *to_rpc;
    const struct binder *binder;
    struct tell *tell;    // to the other scalers; NULL: there are none
    struct rpc_role role; // with `tell`
    struct rpc_table table;
    struct rpc_stats stats;
    struct rpc_call *wait_first, *wait_last;
    size_t n_waiting, n_streams_active, n_streams_spec;
    int64_t decided_ns; // when the io thread last made decisions; 0: not yet
    int64_t tls_checked_ns, swept_ns, called_told_ns;
    bool stopping;
    char address[128];
};

// rpc_calls.c: calls that stay open.
// Opens one; NULL: no memory (the call is then finished).
struct rpc_call *rpc_call_open(struct rpc *r, struct rpc_object *o, struct grpc_call *call,
                               enum rpc_call_kind kind);
// Answers what was parked for this object and tells its streams, after a publication.
void rpc_calls_published(struct rpc *r, struct rpc_object *o);
// Ends them all, before the object goes.
void rpc_calls_gone(struct rpc *r, struct rpc_object *o);
// Sends `true` on one stream when it is due.
void rpc_call_push(struct rpc_call *c, int64_t now_ns);
void rpc_calls_repeat(struct rpc *r, int64_t now_ns);
void rpc_calls_expire(void *rpc); // timer

// rpc_handlers.c: the five methods.
void rpc_service_init(struct rpc *r);
void rpc_answer_call(struct grpc_call *call, const struct rpc_answer *a);
// Since the io thread last made decisions; INT64_MAX before the first.
int64_t rpc_age_ns(const struct rpc *r, int64_t now_ns);
// Whom KEDA's errors about old decisions name: the leader, where that is another scaler; else NULL.
const char *rpc_leader(const struct rpc *r);
// Another scaler is asked about it. False: it is refused.
bool rpc_take_followed(void *rpc, const struct object_ref *ref);
// Tells the io thread of an object; tried again at its next call when the queue is full.
void rpc_register(struct rpc *r, struct rpc_object *o);
