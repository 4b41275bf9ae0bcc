// SPDX-License-Identifier: Apache-2.0
/*
 * The follower's side of proto/decisions.proto: one connection to the scaler that leads, made again
 * whenever it is lost, and what comes over it. The leader is known from the Lease. Silence of three
 * heartbeats is a loss, however it came about (a leader that stands still, packets that are
 * dropped). io thread.
 */
#pragma once

#include <uv.h>

#include "net/tls.h"
#include "scaler/decision.h"

struct follow;

struct follow_update { // what a message says of all
    const char *leader;
    uint64_t term;
    int64_t decided_ns; // when the leader last made decisions, by our clock
    bool full;          // what was told before is void; comes before the decisions
    bool complete;      // all is told; comes after them
    bool resigned;      // the Lease is free
};

struct follow_options {
    uv_loop_t *loop;
    const struct net_tls_files *tls; // NULL: plain
    const char *server_name;         // NULL: the leader's host
    const char *identity;            // ours
    uint64_t seed;
    // In this order for each message. Not inside: follow_to(), follow_free().
    void (*began)(void *ctx, const struct follow_update *u);
    void (*decision)(void *ctx, const struct decision *d);
    void (*removed)(void *ctx, uint64_t id);
    void (*ended)(void *ctx, const struct follow_update *u);
    void (*connected)(void *ctx);                   // the first message is here (before `began`)
    void (*lost)(void *ctx, const struct err *why); // each time; tried again
    void (*tls_event)(void *ctx, const struct err *why); // re-read (why NULL), or not
    void *ctx;
};

int follow_new(struct follow **ret, const struct follow_options *options, struct err *e);
struct follow *follow_free(struct follow *f); // NULL-safe; not inside a callback
// Whom to follow from now on; NULL: nobody (we lead, or nobody does). The same again: nothing.
// ERR_PARSE and such: that is no address.
int follow_to(struct follow *f, const char *identity, const char *address, struct err *e);
// KEDA asks us about it: the leader is told, now or when it is there again.
void follow_register(struct follow *f, const struct object_ref *r);

enum follow_state { FOLLOW_NOBODY, FOLLOW_CONNECTING, FOLLOW_LIVE };
enum follow_state follow_state(const struct follow *f);

struct follow_stats {
    uint64_t connects, losses, silences, messages, bad_messages, registered, refused;
};
struct follow_stats follow_stats(const struct follow *f);
