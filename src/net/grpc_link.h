// SPDX-License-Identifier: Apache-2.0
/*
 * The client's side of one gRPC connection, without I/O: bytes in, bytes out. grpc_client.c puts a
 * socket and a timer to it; tests put a server's grpc_conn in memory.
 */
#pragma once

#include "net/deadline.h"
#include "net/grpc_client.h"

struct grpc_link;

struct grpc_link_options {
    bool tls;               // :scheme
    const char *authority;  // copied
    uint32_t settings_ms;   // the server's SETTINGS must have come; 0: no limit
    int64_t (*clock)(void); // NULL: clock_mono_ns
    // Bytes to send (or over) because of something outside grpc_link_recv and _send: to be noted
    // and done later, grpc_link_* is not to be called from inside.
    void (*output)(void *shell);
    void (*ready)(void *shell); // the server's SETTINGS came; may be NULL
    void *shell;
};

int grpc_link_new(struct grpc_link **ret, const struct grpc_link_options *options, struct err *e);
// Drops running calls without telling them. Not from inside a callback: see grpc_link_mute().
struct grpc_link *grpc_link_free(struct grpc_link *l);
// Running calls are told nothing any more, nor is `ready` called. From anywhere.
void grpc_link_mute(struct grpc_link *l);
// Ends running calls with UNAVAILABLE and this reason: the connection is lost.
void grpc_link_lost(struct grpc_link *l, const struct err *why);

// As grpc_conn_recv() and grpc_conn_send().
int grpc_link_recv(struct grpc_link *l, const uint8_t *p, size_t n, struct err *e);
size_t grpc_link_send(struct grpc_link *l, const uint8_t **ret);
const struct err *grpc_link_over(const struct grpc_link *l); // NULL: goes on
struct deadline_heap *grpc_link_deadlines(struct grpc_link *l);

// grpc_client_call_start() on a link.
int grpc_link_start(struct grpc_client_call **ret, struct grpc_link *l,
                    const struct grpc_client_call_options *options, struct err *e);
