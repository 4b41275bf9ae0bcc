// SPDX-License-Identifier: Apache-2.0
/*
 * The server's side of one gRPC connection, without I/O: bytes in, bytes out, time comes with the
 * bytes. A `grpc_host` is what the connections of a server share. grpc_server.c puts sockets and a
 * timer to them; tests and fuzzers put memory.
 */
#pragma once

#include "net/deadline.h"
#include "net/grpc_server.h"

struct grpc_host;
struct grpc_conn;

struct grpc_host_options {
    const struct grpc_service *const *services; // ends with NULL; borrowed
    uint32_t max_connection_age_ms;
    uint64_t seed; // of the age's jitter
    void (*observe)(void *ctx, const char *method, int status, int64_t took_ns);
    void *observe_ctx;
    int64_t (*clock)(void); // NULL: clock_mono_ns
    // A connection has bytes to send (or is over) because of something outside grpc_conn_recv and
    // _send: a call of grpc_server.h, a deadline. To be noted and done later: calling grpc_conn_*
    // from inside is not allowed.
    void (*output)(void *shell);
};

int grpc_host_new(struct grpc_host **ret, const struct grpc_host_options *options, struct err *e);
struct grpc_host *grpc_host_free(struct grpc_host *h); // all connections are gone
// The shell runs it: deadline_next() says when, deadline_run() does what is due.
struct deadline_heap *grpc_host_deadlines(struct grpc_host *h);

struct grpc_host_stats {
    unsigned streams;
    uint64_t calls, protocol_errors;
    size_t request_bytes; // that wait or run, packed and unpacked
};
struct grpc_host_stats grpc_host_stats(const struct grpc_host *h);

// `shell` is handed to host.output and is the shell's name of the connection. `peer` and
// `peer_name` outlive the connection.
int grpc_conn_new(struct grpc_conn **ret, struct grpc_host *h, void *shell,
                  const struct net_addr *peer, const char *peer_name, struct err *e);
// Ends running calls (their on_end is called) and frees.
struct grpc_conn *grpc_conn_free(struct grpc_conn *c);

// Takes bytes. Negative: the peer broke the protocol or flooded: send what grpc_conn_send() still
// gives (a GOAWAY says why), then close.
int grpc_conn_recv(struct grpc_conn *c, const uint8_t *p, size_t n, struct err *e);
// Bytes to write next, valid until the next call; 0: nothing now. The first are our SETTINGS: they
// need no byte of the client, which may wait for them (grpc-go does).
size_t grpc_conn_send(struct grpc_conn *c, const uint8_t **ret);
// The shell wrote everything that waited: the peer is alive.
void grpc_conn_progress(struct grpc_conn *c);
// Begins the graceful end: GOAWAY(2^31-1), a PING; when it is answered (or after a second) the real
// last stream id, and streaming calls end with OK. Running unary calls finish.
void grpc_conn_shutdown(struct grpc_conn *c);
// NULL while the connection is to be kept; else why the shell should send what is left and close.
const struct err *grpc_conn_over(const struct grpc_conn *c);
