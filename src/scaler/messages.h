// SPDX-License-Identifier: Apache-2.0
/*
 * What crosses between the two threads of the scaler. Everything that one thread hands to the other
 * is immutable from then on and freed by the one that receives it; nothing else is shared.
 *
 *   rpc -> io   struct to_io:  an object was seen for the first time, was dropped, statistics
 *   io -> rpc   struct to_rpc: decisions that changed, health, "re-read your files", "stop"
 */
#pragma once

#include "scaler/election.h"
#include "scaler/object_key.h"
#include "scaler/rpc_stats.h"

enum { RPC_CALLED_MS = 10000 };

enum to_io_kind {
    TO_IO_REGISTER, // `id`, `key`
    TO_IO_DROP,     // `id`: not called for long, no streams
    TO_IO_CALLED,   // `ids`: each was called within the last RPC_CALLED_MS
    TO_IO_STATS,    // `stats`, each second: also the sign that the thread lives
    TO_IO_STOPPED,  // the gRPC server is closed, the thread ends
};

struct to_io {
    enum to_io_kind kind;
    uint64_t id;
    struct object_key *key;
    struct rpc_stats *stats;
    uint64_t *ids;
    size_t n_ids;
};

// NULL-safe: frees what the message holds, and the message.
struct to_io *to_io_free(struct to_io *m);

// What KEDA is told about one object until the next publication.
struct published {
    uint64_t id;
    uint64_t seq; // the decision's number
    double value; // of desired-replicas, >= 0
    bool active;
    bool at_zero;   // spec.replicas is known to be 0: then no call fails
    int status;     // GRPC_OK, or why GetMetrics has no value
    bool fails_all; // the status is IsActive's answer too (no such workload)
    char *message;  // owned; NULL with GRPC_OK
    bool gone;      // of the id alone: the ScaledObject has no such trigger any more
};

// What the other scalers are told of an object: a packed Decision (proto/decisions.proto), owned;
// n 0: no more of it.
struct told_item {
    uint64_t id;
    char *packed;
    size_t n;
};

struct rpc_role {
    bool leads, resigned; // resigned: the Lease is free
    uint64_t term;
    char leader[ELECTION_NAME_MAX]; // "": not known
};

enum to_rpc_kind {
    TO_RPC_BATCH,   // `at_ns`, `items`, `told`: also the sign that decisions are being made
    TO_RPC_ROLE,    // `role`
    TO_RPC_SERVING, // `serving`: gRPC health
    TO_RPC_RELOAD,  // re-read certificates now
    TO_RPC_STOP,    // end gracefully
};

struct to_rpc {
    enum to_rpc_kind kind;
    bool serving;
    struct rpc_role *role;
    struct told_item *told;
    size_t n_told;
    int64_t at_ns; // monotonic: when these decisions were made
    size_t n_items;
    struct published items[];
};

struct to_rpc *to_rpc_free(struct to_rpc *m);
