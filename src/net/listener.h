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
    // fd is non-blocking, close-on-exec, TCP_NODELAY; owned by the callee.
    void (*accepted)(void *ctx, int fd);
    void *ctx;
};

int net_listener_open(struct net_listener **ret, uv_loop_t *loop,
                      const struct net_listener_options *options, struct err *e);
struct net_listener *net_listener_close(struct net_listener *l); // stops accepting
void net_listener_released(struct net_listener *l);              // one connection has ended
const struct net_addr *net_listener_addr(const struct net_listener *l); // with the kernel's port
uint64_t net_listener_refused(const struct net_listener *l);
unsigned net_listener_connections(const struct net_listener *l);
