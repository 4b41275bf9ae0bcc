// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's gateway: a reverse proxy in front of the replicas of one service. A request goes to
 * the ready replica with the fewest requests under way (equal ones take turns). While there is
 * none, it is held, for so long and so many; beyond that it is answered 503 with Retry-After.
 *
 * Every request can be repeated (GET, HEAD, and the POSTs of inference, which change nothing):
 * - a replica that dies under a request of whose answer nothing was passed on: the request goes to
 *   another, or is held until there is one; after LIMIT_GATEWAY_ATTEMPTS it is answered 502;
 * - one that dies in the middle of a streamed answer: the client's connection is reset, so that it
 *   sees that the answer is not whole (an answer of a known length up to
 *   LIMIT_GATEWAY_ANSWER_BYTES is passed on only when it is whole);
 * - 503, the replica's queue is full or it is about to end: tried once on another; what that one
 *   says is passed on, its own 503 too;
 * - no byte for `answer_ns`: 504, not repeated: a request that hangs one replica would hang all.
 * A client that goes away cancels its request, held or under way.
 *
 * Serves /v1/... and /predict of the replicas, and by itself /health and /metrics (what is asked of
 * it, held, under way, retried, failed, by kind; how long it took): the demand page of the scaler.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "core/metrics/histogram.h"

struct gateway;
struct gateway_replica;

struct gateway_options {
    const char *listen;
    const char *service; // the value of the page's label `service`
    unsigned max_held;   // 0: LIMIT_GATEWAY_HELD
    size_t max_head;     // of a request as it is passed on; 0: LIMIT_GATEWAY_FIELDS_BYTES
    int64_t hold_ns;     // 0: 60 s
    int64_t answer_ns;   // 0: 120 s
};

enum gateway_error {
    GATEWAY_HOLD_FULL,    // 503: no replica, and max_held are held
    GATEWAY_HOLD_TIMEOUT, // 503: no replica for hold_ns
    GATEWAY_BUSY,         // the replica's 503, passed on
    GATEWAY_FAILED,       // 502; 431, 500: the request itself cannot be passed on
    GATEWAY_CUT,          // died in the middle of an answer that was being passed on
    GATEWAY_TIMEOUT,      // 504, or cut
    GATEWAY_GONE,         // the client went away
    GATEWAY_ERRORS,
};

enum gateway_retry {
    GATEWAY_RETRY_REFUSED,
    GATEWAY_RETRY_RESET,
    GATEWAY_RETRY_GARBAGE,
    GATEWAY_RETRY_BUSY,
    GATEWAY_RETRIES,
};

struct gateway_stats {
    uint64_t arrived;
    uint64_t answered[6]; // by status / 100: replicas' answers that were passed on whole
    uint64_t errors[GATEWAY_ERRORS];
    uint64_t retries[GATEWAY_RETRIES];
    unsigned held, in_flight; // now
    struct histogram seconds; // from arrival to the end of a replica's answer
};

int gateway_open(struct gateway **ret, uv_loop_t *loop, const struct gateway_options *options,
                 struct err *e);
// Answers what is held, lets the others finish for at most `grace_ms`; `done` comes from the loop.
void gateway_close(struct gateway *g, uint32_t grace_ms, void (*done)(void *), void *ctx);
const char *gateway_addr(const struct gateway *g); // HOST:PORT

// A replica that is ready; `name` is unique. ERR_PARSE, ERR_NOMEM, ERR_LIMIT.
int gateway_add(struct gateway *g, const char *name, const char *addr, struct gateway_replica **ret,
                struct err *e);
void gateway_drain(struct gateway_replica *r); // not chosen from now on; its requests go on
// The owner needs it no more; drains it. What is still under way there ends by itself.
void gateway_remove(struct gateway_replica *r);
unsigned gateway_replica_requests(const struct gateway_replica *r); // under way
// For how long in all at least one request was under way there.
int64_t gateway_replica_busy_ns(const struct gateway_replica *r, int64_t now_ns);

struct gateway_stats gateway_stats(const struct gateway *g);
const char *gateway_error_name(enum gateway_error e); // "hold_full", ...
