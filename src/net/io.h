// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes over a non-blocking socket, plain or TLS, without an event loop (internal to net). Either
 * direction of TLS may have to wait for the other one of the socket; the flags say so.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct net_io {
    int fd;
    SSL *ssl;              // NULL: plain
    bool read_waits_write; // the last read can go on when the socket takes bytes
    bool write_waits_read; // the last write can go on when bytes have come
    bool eof;              // the socket has delivered its end
    bool read_end;         // an end or a failure was found behind the last read's bytes
    int failed;            // that failure
};

// Binds `ssl` (owned from here) to io->fd. ERR_NOMEM: it was freed.
int net_io_start_tls(struct net_io *io, SSL *ssl, struct err *e);
// 0 done; ERR_AGAIN (read_waits_write tells for what); ERR_AUTH, ERR_PROTO, ERR_IO, ERR_CLOSED.
int net_io_handshake(struct net_io *io, struct err *e);
// > 0 bytes; 0 the peer's orderly end; ERR_AGAIN; ERR_PROTO, ERR_AUTH, ERR_IO. A count below `cap`
// means that nothing more is there now, save for what read_end tells: the next call gives it, and
// the socket will not become readable for it.
ssize_t net_io_read(struct net_io *io, void *p, size_t cap, struct err *e);
// > 0 bytes taken; ERR_AGAIN; ERR_CLOSED (the peer has gone), ERR_PROTO, ERR_IO. After ERR_AGAIN
// the next call must offer the same bytes again, at any address, or more.
ssize_t net_io_write(struct net_io *io, const void *p, size_t n, struct err *e);
// Says the end to the peer (TLS close_notify, FIN) and frees the TLS state.
void net_io_shutdown(struct net_io *io);
