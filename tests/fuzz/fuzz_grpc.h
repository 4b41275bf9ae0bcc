// SPDX-License-Identifier: Apache-2.0
/* What the targets of gRPC connections share: virtual time, and a service that holds its calls. */
#pragma once

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "externalscaler.pb-c.h"
#include "fuzz.h"
#include "net/grpc_conn.h"

static int64_t now_ns;

static inline int64_t virtual_clock(void) {
    return now_ns;
}
static inline void on_output(void *shell) {
}

// Calls that their handlers hold, to be sent to and finished from outside.
static struct grpc_call *held[64];
static size_t n_held;

static inline void forget(struct grpc_call *c) {
    for (size_t i = 0; i < n_held; i++)
        if (held[i] == c)
            held[i--] = held[--n_held];
}
static inline void on_held_end(struct grpc_call *c, void *ctx) {
    forget(c);
}
static inline void handle_hold(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    if (n_held == COUNT_OF(held)) {
        grpc_call_finish(c, GRPC_RESOURCE_EXHAUSTED, "full");
        return;
    }
    held[n_held++] = c;
    grpc_call_on_end(c, on_held_end, NULL);
}
static inline void handle_reply(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    grpc_call_reply(c, m);
}
static inline void handle_echo(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    if (!m || grpc_call_send(c, m) < 0)
        grpc_call_finish(c, GRPC_OK, NULL);
}

#define REF &externalscaler__scaled_object_ref__descriptor

// At the end nothing is left over.
static inline void fuzz_end(struct grpc_host *host, struct grpc_conn *c) {
    grpc_conn_free(c);
    require(n_held == 0 && grpc_host_stats(host).streams == 0);
    require(grpc_host_stats(host).request_bytes == 0);
    grpc_host_free(host);
}
