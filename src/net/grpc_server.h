// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC server over nghttp2: unary and server-streaming methods, described by protobuf-c
 * descriptors. One loop, one thread. Health (grpc.health.v1) and reflection (grpc.reflection.v1 and
 * v1alpha) are served by the server itself. The checklist it meets is in docs/grpc.md.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "net/grpc_status.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"

struct grpc_server;
struct grpc_call; // one RPC; lives until finished or cancelled

struct grpc_method {
    const char *name; // "GetMetrics"
    const ProtobufCMessageDescriptor *request;
    bool streams;        // answers a stream
    bool client_streams; // reads a stream; reflection needs it. Implies `streams`
    // `request` is checked (UTF-8, no NUL, unpacked size) and lives until the call ends. The
    // handler answers at once or later, from the loop's thread. With `client_streams`: called once
    // a message, which lives until the handler returns, then once with NULL (no more come).
    void (*handle)(struct grpc_call *call, const ProtobufCMessage *request, void *ctx);
};

struct grpc_service {
    const char *name; // "externalscaler.ExternalScaler"
    const struct grpc_method *methods;
    size_t n_methods;
    void *ctx; // handed to handlers
    // FileDescriptorSet bytes for reflection, embedded at build; may be shared between services.
    const uint8_t *descriptor_set;
    size_t descriptor_set_len;
};

struct grpc_server_options {
    const char *listen;
    struct net_tls *tls; // NULL: plain h2c with prior knowledge
    unsigned max_connections;
    const struct grpc_service *const *services; // ends with NULL; borrowed
    uint32_t max_connection_age_ms;             // 0: none; else GOAWAY after it, +-10 % jitter
    // Called when a call ends (for metrics): full method "/pkg.Service/Method" or "" when unknown,
    // status sent, time from headers to trailers. May be NULL.
    void (*observe)(void *ctx, const char *method, int status, int64_t took_ns);
    void *observe_ctx;
    // Called with observe_ctx when a client's TLS handshake fails (for the log); may be NULL.
    void (*refused)(void *ctx, const struct net_addr *peer, const struct err *why);
};

struct grpc_server_stats {
    unsigned connections, streams; // open now
    // Since start. protocol_errors: connections ended because the peer broke HTTP/2 or flooded.
    // certificates_refused: of the failed handshakes, those for a certificate: theirs is missing or
    // refused, or they refuse ours.
    uint64_t calls, handshake_failures, certificates_refused, connections_refused, protocol_errors;
};

int grpc_server_open(struct grpc_server **ret, uv_loop_t *loop,
                     const struct grpc_server_options *options, struct err *e);
// Graceful: GOAWAY(2^31-1), a round trip later the real last id; running unary calls finish;
// streaming calls end with OK (KEDA then retries at once); after `grace_ms` the rest is cut. Then
// frees and calls `done`, from the loop, never from inside this call. Connections that reached
// max_connection_age_ms go the same way.
void grpc_server_close(struct grpc_server *s, uint32_t grace_ms, void (*done)(void *), void *ctx);
const struct net_addr *grpc_server_addr(const struct grpc_server *s);
struct grpc_server_stats grpc_server_stats(const struct grpc_server *s);
// Health of one service ("" = the whole server). Starts as serving. Watchers are told.
void grpc_server_set_serving(struct grpc_server *s, const char *service, bool serving);

// Every function below is for the loop's thread. Inside a handler or later, the caller owns the
// choice of exactly one end: reply, finish, or (after on_end was called) nothing.
// Answers a unary call: message and OK. The call is gone after it.
void grpc_call_reply(struct grpc_call *c, const ProtobufCMessage *message);
// Same with bytes that were packed before (`n` bytes of message, copied).
void grpc_call_reply_packed(struct grpc_call *c, const void *message, size_t n);
// One message of a stream: 0; ERR_LIMIT: the peer does not read (LIMIT_GRPC_SEND_QUEUE_BYTES
// wait): nothing was queued, the caller skips or finishes.
int grpc_call_send(struct grpc_call *c, const ProtobufCMessage *message);
int grpc_call_send_packed(struct grpc_call *c, const void *message, size_t n);
size_t grpc_call_queued(const struct grpc_call *c); // unsent message bytes
// Ends the call with a status and a message (UTF-8). The call is gone after it.
void grpc_call_finish(struct grpc_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// `fn` is called when the call ends by the peer (cancel, deadline, connection lost) or by
// grpc_server_close(), not when the handler itself finishes it. The call is gone when it returns.
void grpc_call_on_end(struct grpc_call *c, void (*fn)(struct grpc_call *c, void *ctx), void *ctx);
const struct net_addr *grpc_call_peer(const struct grpc_call *c);
const char *grpc_call_peer_name(const struct grpc_call *c); // net_stream_peer_name()
