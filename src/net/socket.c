// SPDX-License-Identifier: Apache-2.0
/*
 * A peer whose machine or network vanished sends no FIN: keepalive finds it when nothing is sent,
 * TCP_USER_TIMEOUT when something is.
 */
#include "net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/mem.h"

void net_socket_tune(int fd) {
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, LIMIT_TCP_KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, LIMIT_TCP_KEEPALIVE_EVERY_S},
        {IPPROTO_TCP, TCP_KEEPCNT, LIMIT_TCP_KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, LIMIT_TCP_USER_TIMEOUT_MS},
    };
    int domain;
    socklen_t n = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain == AF_UNIX)
        return;
    // A kernel that lacks one of them costs late detection, nothing else.
    for (size_t i = 0; i < COUNT_OF(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof(options[i].value));
}
