// SPDX-License-Identifier: Apache-2.0
/*
 * The rpc thread's own table: what every object was last decided to be, ready to be sent. A call
 * finds its object by the order-independent hash of its reference and answers with bytes that were
 * packed when the decision came; metadata is bound once, when the object is first seen.
 */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "scaler/messages.h"
#include "scaler/object_index.h"

// KEDA asks for the metric under this name (it adds and strips its own "sN-").
#define RPC_METRIC_NAME "desired-replicas"

enum {
    RPC_PACKED_MAX = 64,        // a GetMetricsResponse of one value is at most 39 bytes
    RPC_ANSWER_TEXT_MAX = 1024, // of an error's message
};

struct rpc_object {
    struct object_key *key;
    uint64_t id;
    char *invalid;   // the metadata does not bind: why; NULL: it does
    bool registered; // the io thread was told
    bool decided;    // `last` holds a decision
    struct published last;
    uint8_t packed[RPC_PACKED_MAX]; // GetMetricsResponse of `last`
    size_t packed_n;
    int64_t called_ns;      // monotonic: the last call
    struct rpc_call *calls; // the server's: open streams and parked calls; NULL: none
    struct object_index_entry indexed;
    UT_hash_handle hh_id;
};

struct rpc_table {
    struct object_index_entry *by_hash;
    struct rpc_object *by_id;
    uint64_t next_id;
    size_t n, n_invalid, key_bytes;
};

void rpc_table_done(struct rpc_table *t);
struct rpc_object *rpc_table_find(const struct rpc_table *t, const struct object_ref *r,
                                  const struct object_hash *h);
struct rpc_object *rpc_table_by_id(const struct rpc_table *t, uint64_t id);
// Adds an object that was not found. `invalid` (copied) is NULL or why its metadata does not bind.
// ERR_LIMIT with the limit's name: too many objects, invalid objects or bytes of metadata.
int rpc_table_add(struct rpc_table *t, const struct object_ref *r, const struct object_hash *h,
                  const char *invalid, int64_t now_ns, struct rpc_object **ret, struct err *e);
void rpc_table_remove(struct rpc_table *t, struct rpc_object *o);

// Takes the decision (and its message).
void rpc_object_publish(struct rpc_object *o, struct published *p);

// One answer: packed bytes with GRPC_OK, a message otherwise (in `text` or constant).
struct rpc_answer {
    int status;
    const uint8_t *packed;
    size_t n;
    const char *message;
    char text[RPC_ANSWER_TEXT_MAX];
};
// `age_ns`: since the io thread last made decisions. Beyond LIMIT_DECISION_AGE_MS a decision is no
// longer served, save at zero, where no call ever fails (an error would wake the service through
// KEDA's fallback): the value is then 0 and the object inactive.
// `leader`: the scaler that decides, where it is another ("": nobody does); NULL: this one.
void rpc_object_metrics(const struct rpc_object *o, int64_t age_ns, const char *leader,
                        struct rpc_answer *ret);
void rpc_object_active(const struct rpc_object *o, int64_t age_ns, struct rpc_answer *ret);
// The constant spec: desired-replicas, target 1.
void rpc_spec(struct rpc_answer *ret);
// IsActiveResponse{result}.
void rpc_activity(bool active, struct rpc_answer *ret);
bool rpc_decision_stale(int64_t age_ns);
