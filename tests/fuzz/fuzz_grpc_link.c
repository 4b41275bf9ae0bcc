// SPDX-License-Identifier: Apache-2.0
/*
 * The client's side of a gRPC connection: any bytes from a server, in pieces (the first byte says
 * how large), to four calls, one of which cancels itself at its first message, and time that
 * passes. Every call ends exactly once, or was cancelled.
 */
#include "base/clock.h"
#include "fuzz.h"
#include "net/grpc_link.h"
#include "node.pb-c.h"

enum { CALLS = 4 };

static int64_t now_ns;
static struct grpc_client_call *calls[CALLS];
static int over[CALLS];

static int64_t virtual_clock(void) {
    return now_ns;
}
static void on_output(void *shell) {
}
static void on_message(void *ctx, const ProtobufCMessage *m) {
    int *which = ctx;
    require(!*which);
    if (which == &over[0]) {
        *which = 1;
        grpc_client_call_cancel(calls[0]);
    }
}
static void on_finished(void *ctx, int status, const char *message) {
    int *which = ctx;
    require(!*which && status >= 0 && status <= GRPC_UNAUTHENTICATED && message);
    *which = 1;
}

static void drain(struct grpc_link *l) {
    const uint8_t *p;
    while (grpc_link_send(l, &p) > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grpc_link_options o = {
        .authority = "x", .settings_ms = 5000, .clock = virtual_clock, .output = on_output};
    Gpuscale__V1__WatchRequest q = GPUSCALE__V1__WATCH_REQUEST__INIT;
    struct grpc_link *l;
    struct err why;
    if (size == 0)
        return 0;
    now_ns = NS_PER_S;
    require(grpc_link_new(&l, &o, NULL) == 0);
    for (int i = 0; i < CALLS; i++) {
        struct grpc_client_call_options c = {
            .method = "/gpuscale.v1.Node/Watch",
            .request = &q.base,
            .response = &gpuscale__v1__node_state__descriptor,
            .timeout_ms = i == 3 ? 2000 : 0,
            .message = on_message,
            .finished = on_finished,
            .ctx = &over[i],
        };
        over[i] = 0;
        require(grpc_link_start(&calls[i], l, &c, NULL) == 0);
    }
    drain(l);
    size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size && !grpc_link_over(l); at += piece) {
        grpc_link_recv(l, data + at, size - at < piece ? size - at : piece, NULL);
        drain(l);
        now_ns += data[at] * NS_PER_MS;
        deadline_run(grpc_link_deadlines(l), now_ns);
        drain(l);
    }
    err_set(&why, ERR_CLOSED, "the end");
    grpc_link_lost(l, &why);
    for (int i = 0; i < CALLS; i++)
        require(over[i]);
    grpc_link_free(l);
    return 0;
}
