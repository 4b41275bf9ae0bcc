// SPDX-License-Identifier: Apache-2.0
/*
 * Listening socket: accepts, bounds the number of connections (more are closed at once and
 * counted), survives EMFILE (keeps a spare descriptor), hands each descriptor to `accepted`.
 */
#pragma once

#include "net/addr.h"
#include "net/loop.h"

struct net_listener;

struct net_listener_options {
    const char *listen;       // "127.0.0.1:0", ":9400", "unix:/path"
    unsigned max_connections; // counted until net_listener_released()
    // fd is non-blocking, close-on-exec, TCP_NODELAY, with keepalive; owned by the callee.
    void (*accepted)(void *ctx, int fd);
    void *ctx;
};

// A unix socket path that nobody serves any more is taken over, and removed at the close.
// ERR_PARSE, ERR_NOTFOUND (a name: listen wants an address), ERR_IO with the address and the
// reason.
int net_listener_open(struct net_listener **ret, uv_loop_t *loop,
                      const struct net_listener_options *options, struct err *e);
// Stops accepting and frees; NULL-safe, returns NULL. Connections that go on are their owner's.
struct net_listener *net_listener_close(struct net_listener *l);
// One connection has ended; NULL-safe, for owners whose connections outlive the listener.
void net_listener_released(struct net_listener *l);
const struct net_addr *net_listener_addr(const struct net_listener *l); // with the kernel's port
uint64_t net_listener_refused(const struct net_listener *l);
