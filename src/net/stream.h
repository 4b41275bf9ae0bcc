// SPDX-License-Identifier: Apache-2.0
/*
 * A connected byte stream: TCP or unix socket, plain or TLS, non-blocking on a uv loop
 * (uv_poll; OpenSSL reads and writes the descriptor itself). Writes are queued, bounded
 * (LIMIT_STREAM_WRITE_BYTES), and flushed at the end of the loop turn. All callbacks come from the
 * loop, never from inside a call to net_stream_*; every call is allowed inside every callback.
 * `closed` comes exactly once and last; the stream is gone when it returns.
 */
#pragma once

#include <stdint.h>

#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct net_stream;

struct net_stream_ops {
    void (*ready)(void *ctx); // connected, TLS handshake done (accepted plain streams too)
    void (*data)(void *ctx, const uint8_t *p, size_t n);
    void (*drained)(void *ctx); // the write queue became empty; may be NULL
    // The peer will send no more; it may still read. NULL: the stream closes itself, flushing
    // first.
    void (*eof)(void *ctx);
    void (*closed)(void *ctx, const struct err *why); // why->code ERR_CLOSED: orderly end
};

// Starts connecting. `tls` NULL: plain, else it must outlive the stream. `server_name`: see
// net_tls_ssl_new(). `handshake_ms`: connect and handshake together; 0: no limit. ERR_IO when the
// kernel refuses at once (the address is named), ERR_NOMEM, ERR_INVALID; *ret is then untouched.
int net_stream_connect(uv_loop_t *loop, const struct net_addr *to, struct net_tls *tls,
                       const char *server_name, uint32_t handshake_ms,
                       const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                       struct err *e);
// Takes an accepted, non-blocking descriptor (owned from here, closed on failure too).
int net_stream_accept(uv_loop_t *loop, int fd, struct net_tls *tls, uint32_t handshake_ms,
                      const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                      struct err *e);
void net_stream_set_ops(struct net_stream *s, const struct net_stream_ops *ops, void *ctx);

// Copies into the queue; allowed before `ready`. ERR_LIMIT: the queue is full (the peer does not
// read), ERR_NOMEM: the stream is then being aborted. ERR_CLOSED: after a close, or the peer has
// gone.
int net_stream_write(struct net_stream *s, const void *p, size_t n);
// `drained` comes at the end of the turn, or when what is queued has gone, as after a write.
void net_stream_poke(struct net_stream *s);
size_t net_stream_queued(const struct net_stream *s); // not yet taken by the kernel
// Of what the kernel has taken since the start, what the peer's side has acknowledged (over TLS
// less a few bytes of framing): the progress of a slow reader. The kernel asks for more only when a
// third of its buffer, megabytes perhaps, has gone; what is queued stands still meanwhile.
uint64_t net_stream_acked(const struct net_stream *s);
void net_stream_pause(struct net_stream *s); // stops reading: no `data` until resumed
void net_stream_resume(struct net_stream *s);
// Flushes what is queued, says the end to the peer and waits for the peer's end (a close with
// unread input would reset the connection and could destroy what was just sent), all for at most
// LIMIT_STREAM_CLOSE_MS; owners whose peer may read slower close after `drained`. No `data` comes
// any more; `closed` follows.
void net_stream_close(struct net_stream *s);
// Closes now with a reset; queued bytes are lost. `closed` follows with `why` (ERR_CLOSED when
// NULL).
void net_stream_abort(struct net_stream *s, const struct err *why);

const struct net_addr *net_stream_peer(const struct net_stream *s);
// The name in the peer's verified certificate: the allowed name that let it in, or its common name
// where any will do; "" (plain, or none asked for).
const char *net_stream_peer_name(const struct net_stream *s);
