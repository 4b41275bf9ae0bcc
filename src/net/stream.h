// SPDX-License-Identifier: Apache-2.0
/*
 * A connected byte stream: TCP or unix socket, plain or TLS, non-blocking on a uv loop
 * (uv_poll + SSL_set_fd). Writes are queued, bounded (LIMIT_STREAM_WRITE_BYTES), and flushed at
 * the end of the loop turn. All callbacks come from the loop, never from inside a call to
 * net_stream_*; `closed` comes exactly once and last, after it the stream is gone.
 */
#pragma once

#include <stdint.h>

#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct net_stream;

struct net_stream_ops {
    void (*ready)(void *ctx);   // connected, TLS handshake done (accepted plain streams too)
    void (*data)(void *ctx, const uint8_t *p, size_t n);
    void (*drained)(void *ctx); // the write queue became empty; may be NULL
    void (*closed)(void *ctx, const struct err *why); // why->code ERR_CLOSED: orderly end
};

// Starts connecting. `tls` NULL: plain. `handshake_ms`: connect and handshake together.
int net_stream_connect(uv_loop_t *loop, const struct net_addr *to, struct net_tls *tls,
                       const char *server_name, uint32_t handshake_ms,
                       const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                       struct err *e);
// Takes an accepted descriptor (owned from here, closed on failure too).
int net_stream_accept(uv_loop_t *loop, int fd, struct net_tls *tls, uint32_t handshake_ms,
                      const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                      struct err *e);
void net_stream_set_ops(struct net_stream *s, const struct net_stream_ops *ops, void *ctx);

// Copies into the queue. ERR_LIMIT: the queue is full (the peer does not read): the stream is then
// being aborted. ERR_CLOSED after close.
int net_stream_write(struct net_stream *s, const void *p, size_t n);
size_t net_stream_queued(const struct net_stream *s);
void net_stream_pause(struct net_stream *s);  // stops reading: back-pressure to the peer
void net_stream_resume(struct net_stream *s);
// Flushes what is queued (for at most 2 s), then closes. `closed` follows.
void net_stream_close(struct net_stream *s);
// Closes now; queued bytes are lost. `closed` follows with `why` (or ERR_CLOSED when NULL).
void net_stream_abort(struct net_stream *s, const struct err *why);

const struct net_addr *net_stream_peer(const struct net_stream *s);
// The verified client certificate's subject common name, or "" (plain, or none asked for).
const char *net_stream_peer_name(const struct net_stream *s);
