// SPDX-License-Identifier: Apache-2.0
/*
 * The rpc thread: KEDA's five calls on a gRPC server with a loop of its own. It answers from its
 * own table (rpc_table.h), never from anything that another thread may be writing, and waits for
 * nothing but, for the very first call about an object, LIMIT_FIRST_DECISION_MS for the io thread's
 * word.
 *
 * StreamIsActive sends `true` when an object becomes active and once to a fresh stream of an active
 * one; while the object stays at zero and active it is repeated each RPC_REPEAT_MS, because KEDA
 * drops an activation that comes before its HPA exists. `false` is never sent: KEDA ignores it
 * since 2.18, and before that it cut the cooldown short. A repeated `true` at more than zero
 * replicas would postpone the cooldown, so there is none.
 */
#pragma once

#include "base/err.h"
#include "base/queue.h"
#include "net/addr.h"
#include "net/tls.h"
#include "scaler/bind.h"

enum { RPC_REPEAT_MS = 5000, RPC_TLS_CHECK_MS = 10000 };

struct rpc_options {
    const char *listen;
    struct net_tls_files tls;       // cert NULL: plain
    uint32_t max_connection_age_ms; // 0: none
    struct queue *to_io;            // of struct to_io; borrowed
    struct queue *to_rpc;           // of struct to_rpc; borrowed
    const struct binder *binder;    // read-only; borrowed
    bool replicas;                  // other scalers may follow this one
};

struct rpc;

// Listens, then starts the thread. Every error (address, certificate) comes before the thread.
int rpc_start(struct rpc **ret, const struct rpc_options *options, struct err *e);
void rpc_address(const struct rpc *r, char *dst, size_t cap);
// Waits for the thread, which ends after TO_RPC_STOP, and frees. NULL-safe, returns NULL.
struct rpc *rpc_join(struct rpc *r);
