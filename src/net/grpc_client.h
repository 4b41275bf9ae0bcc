// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC client over nghttp2: one connection to one address, unary and server-streaming calls.
 * Plain (h2c prior knowledge; unix sockets too) or TLS. No retries inside: the owner knows when.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "net/grpc_status.h"
#include "net/stream.h"

struct grpc_channel;
struct grpc_client_call;

struct grpc_channel_options {
    struct net_addr to;
    struct net_tls *tls;     // NULL: plain
    const char *server_name; // SNI, verified name, :authority
    uint32_t connect_ms;     // connect and handshake
    // Once, when the connection ended or could not be made; running calls were told before
    // (UNAVAILABLE). After a GOAWAY it comes when the last running call has ended. The channel
    // must then be freed, inside the callback or later.
    void (*closed)(void *ctx, const struct err *why);
    void (*ready)(void *ctx); // server's SETTINGS seen; may be NULL
    void *ctx;
};

int grpc_channel_open(struct grpc_channel **ret, uv_loop_t *loop,
                      const struct grpc_channel_options *options, struct err *e);
// Cancels running calls without telling them, closes, frees. Allowed from inside callbacks.
struct grpc_channel *grpc_channel_free(struct grpc_channel *ch);

struct grpc_client_call_options {
    const char *method; // "/gpuscale.v1.Node/Watch"
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response;
    uint32_t timeout_ms; // 0: none; sent as grpc-timeout and enforced here
    // A message, checked as the server's requests are; borrowed until it returns. A unary method's
    // one message comes before `finished`.
    void (*message)(void *ctx, const ProtobufCMessage *message);
    // Exactly once, last: status and its message (UTF-8, "" when none). The call is gone after it.
    // Never from inside grpc_client_call_start().
    void (*finished)(void *ctx, int status, const char *message);
    void *ctx;
};

// Packs the request and queues it until the connection is ready. ERR_LIMIT: LIMIT_GRPC_STREAMS
// calls are open; ERR_UNAVAILABLE: the server is going away (GOAWAY) or the channel has ended.
int grpc_client_call_start(struct grpc_client_call **ret, struct grpc_channel *ch,
                           const struct grpc_client_call_options *options, struct err *e);
// RST_STREAM(CANCEL); `finished` is not called.
void grpc_client_call_cancel(struct grpc_client_call *c);
