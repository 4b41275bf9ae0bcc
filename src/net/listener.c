// SPDX-License-Identifier: Apache-2.0
/*
 * Accepting connections. A descriptor table that is full must not leave the listening socket
 * readable forever (the loop would spin): a spare descriptor is given up to accept and close one.
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/socket.h"

struct net_listener {
    uv_loop_t *loop;
    struct net_watch *watch;
    struct net_timer *retry; // while the kernel cannot accept
    struct net_listener_options options;
    struct net_addr addr;
    int fd, spare;
    unsigned connections;
    uint64_t refused;
    bool *closed; // told by net_listener_close() to the accept loop above it on the stack
};

static void listener_on_readable(void *ctx);

static void listener_on_retry(void *ctx) {
    struct net_listener *l = ctx;
    net_timer_stop(&l->retry);
    if (net_watch_start(&l->watch, l->loop, l->fd, listener_on_readable, l, NULL) < 0)
        (void)net_timer_start(&l->retry, l->loop, 100 * NS_PER_MS, 0, listener_on_retry, l, NULL);
}

// The kernel has no memory or no descriptor even for refusing: asks again in 100 ms. Without memory
// for the timer the watch stays, and the next turn tries.
static void listener_rest(struct net_listener *l) {
    if (net_timer_start(&l->retry, l->loop, 100 * NS_PER_MS, 0, listener_on_retry, l, NULL) == 0)
        net_watch_stop(&l->watch);
}

static bool listener_shed(struct net_listener *l) {
    if (l->spare < 0)
        return false;
    close(l->spare);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        l->refused++;
    }
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

// Accepts one connection; false when nothing more is to be had now, or the listener is gone.
static bool listener_accept(struct net_listener *l) {
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && l->connections >= l->options.max_connections) {
        close(fd);
        l->refused++;
        return true;
    }
    if (fd >= 0) {
        bool closed = false;
        l->closed = &closed;
        l->connections++;
        l->options.accepted(l->options.ctx, fd);
        if (!closed)
            l->closed = NULL;
        return !closed;
    }
    if (errno == EMFILE || errno == ENFILE) {
        if (listener_shed(l))
            return true;
        listener_rest(l);
        return false;
    }
    if (errno == ENOBUFS || errno == ENOMEM) {
        listener_rest(l);
        return false;
    }
    // That one connection is gone already: others may wait.
    return errno == ECONNABORTED || errno == EINTR;
}

static void listener_on_readable(void *ctx) {
    struct net_listener *l = ctx;
    for (int i = 0; i < LIMIT_TCP_ACCEPTS_PER_TURN; i++)
        if (!listener_accept(l))
            return;
}

// True when a socket file stands there and nobody listens on it.
static bool stale_unix_socket(const struct net_addr *a) {
    struct stat st;
    if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, &a->sa, a->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int bind_and_listen(const struct net_addr *a, int *ret_fd) {
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    if (a->sa.sa_family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->sa.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    net_socket_tune(fd);
    int r = bind(fd, &a->sa, a->len);
    if (r < 0 && errno == EADDRINUSE && a->sa.sa_family == AF_UNIX && stale_unix_socket(a)) {
        (void)unlink(a->un.sun_path);
        r = bind(fd, &a->sa, a->len);
    }
    if (r < 0 || listen(fd, LIMIT_TCP_BACKLOG) < 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    *ret_fd = fd;
    return 0;
}

static int open_socket(struct net_listener *l, const char *listen_text, struct err *e) {
    struct str text = str_from(listen_text);
    int r = net_addr_parse(text, &l->addr, e);
    if (r < 0)
        return err_wrap(e, "listen");
    if (bind_and_listen(&l->addr, &l->fd) == 0)
        return 0;
    // ":PORT" on a machine without IPv6.
    bool any = l->addr.sa.sa_family == AF_INET6 && str_starts(text, ":");
    if (any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        in_port_t port = l->addr.in6.sin6_port;
        l->addr = (struct net_addr){.in = {.sin_family = AF_INET, .sin_port = port},
                                    .len = sizeof(l->addr.in)};
        if (bind_and_listen(&l->addr, &l->fd) == 0)
            return 0;
    }
    return err_errno(e, errno, "listen on %s", listen_text);
}

int net_listener_open(struct net_listener **ret, uv_loop_t *loop,
                      const struct net_listener_options *options, struct err *e) {
    struct net_listener *l = mem_zalloc(sizeof(*l));
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a listener");
    l->loop = loop;
    l->options = *options;
    l->options.listen = NULL; // borrowed during this call only
    l->fd = l->spare = -1;
    int r = open_socket(l, options->listen, e);
    if (r < 0) {
        mem_free(l);
        return r;
    }
    socklen_t n = sizeof(l->addr.un);
    if (l->addr.sa.sa_family != AF_UNIX && getsockname(l->fd, &l->addr.sa, &n) == 0)
        l->addr.len = n;
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r = net_watch_start(&l->watch, loop, l->fd, listener_on_readable, l, e);
    if (r < 0) {
        net_listener_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

struct net_listener *net_listener_close(struct net_listener *l) {
    if (!l)
        return NULL;
    if (l->closed)
        *l->closed = true;
    net_timer_stop(&l->retry);
    net_watch_stop(&l->watch);
    if (l->addr.sa.sa_family == AF_UNIX)
        (void)unlink(l->addr.un.sun_path);
    close(l->fd);
    if (l->spare >= 0)
        close(l->spare);
    mem_free(l);
    return NULL;
}

void net_listener_released(struct net_listener *l) {
    if (l && l->connections > 0)
        l->connections--;
}

const struct net_addr *net_listener_addr(const struct net_listener *l) {
    return &l->addr;
}

uint64_t net_listener_refused(const struct net_listener *l) {
    return l->refused;
}
