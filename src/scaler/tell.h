// SPDX-License-Identifier: Apache-2.0
/*
 * The leader's side of proto/decisions.proto, on the rpc thread: what the io thread has packed of
 * each object, in the order in which it last changed, and the followers' streams, each of which is
 * somewhere in that order. A follower that reads slowly gets the newest state of each object when
 * it reads on, and is ended when it does not: nothing is kept for it.
 */
#pragma once

#include "net/grpc_server.h"
#include "scaler/object_key.h"

enum {
    TELL_INTERVAL_MS = 1000, // heartbeats
    TELL_FOLLOWERS_MAX = 16,
};

struct tell;

struct tell_options {
    uv_loop_t *loop;
    // A follower is asked about it. False: it is refused.
    bool (*registered)(void *ctx, const struct object_ref *r);
    void *ctx;
};

int tell_new(struct tell **ret, const struct tell_options *options, struct err *e);
struct tell *tell_free(struct tell *t); // once its server is closed. NULL-safe
void tell_stop(struct tell *t);         // its timers: before the loop ends
const struct grpc_service *tell_service(const struct tell *t);

// Begins to tell under this name and term. What was told before is void.
void tell_lead(struct tell *t, const char *leader, uint64_t term);
// Ends all streams. `resigned`: followers are told first that the Lease is free.
void tell_yield(struct tell *t, const char *why, bool resigned);
// What there is to say of an object now (taken); n 0: no more of it.
void tell_decision(struct tell *t, uint64_t id, char *packed, size_t n);
// Sends what has changed. `decided_ns`: when the io thread last made decisions.
void tell_flush(struct tell *t, int64_t decided_ns);

struct tell_stats {
    size_t followers, objects; // now
    uint64_t messages, slow, registered, refused;
};
struct tell_stats tell_stats(const struct tell *t);
