// SPDX-License-Identifier: Apache-2.0
/*
 * An HTTP server that does what a test says, byte by byte, good or bad: a thread that accepts and a
 * thread a connection, each running the test's `serve`. Kernel-picked port, ends with
 * fake_http_stop(). TLS where the test gives certificates.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

enum { FAKE_CONNECTIONS_MAX = 512 };

struct fake_http;

struct fake_conn {
    struct fake_http *server;
    int fd;
    SSL *ssl;
    pthread_t thread;
    char request[8192]; // the last one's head, NUL-terminated
};

struct fake_http {
    int fd, stop_fd;
    uint16_t port;
    pthread_t thread;
    SSL_CTX *tls; // NULL: plain; borrowed
    // Runs for each connection until it returns; then the connection is closed.
    void (*serve)(struct fake_conn *c, void *ctx);
    void *ctx;
    atomic_int connections, requests;
    struct fake_conn conns[FAKE_CONNECTIONS_MAX];
    int n;
};

static inline ssize_t fake_read(struct fake_conn *c, char *p, size_t n) {
    return c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
}

// False when the client is gone, which a test may well want.
static inline bool fake_send(struct fake_conn *c, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        ssize_t sent = c->ssl ? SSL_write(c->ssl, at, (int)(n > 16384 ? 16384 : n))
                              : send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}
static inline bool fake_sends(struct fake_conn *c, const char *text) {
    return fake_send(c, text, strlen(text));
}

// The next request's head into c->request; false at the end of the connection (c->request is then
// still the one before).
static inline bool fake_request(struct fake_conn *c) {
    char head[sizeof(c->request)] = "";
    size_t n = 0;
    while (!strstr(head, "\r\n\r\n")) {
        ssize_t got = fake_read(c, head + n, 1);
        if (got <= 0 || n + 2 > sizeof(head))
            return false;
        head[++n] = 0;
    }
    memcpy(c->request, head, n + 1);
    atomic_fetch_add(&c->server->requests, 1);
    return true;
}

// Answers with a length, keeps the connection.
static inline bool fake_answer(struct fake_conn *c, const char *status, const char *headers,
                               const char *body) {
    char head[1024];
    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
             strlen(body), headers);
    return fake_sends(c, head) && fake_sends(c, body);
}

// Sits there until the client or the test ends the connection.
static inline void fake_hang(struct fake_conn *c) {
    char sink[4096];
    while (fake_read(c, sink, sizeof(sink)) > 0)
        continue;
}

static inline void *fake_conn_run(void *arg) {
    struct fake_conn *c = arg;
    bool ok = true;
    if (c->server->tls) {
        c->ssl = SSL_new(c->server->tls);
        SSL_set_fd(c->ssl, c->fd);
        ok = SSL_accept(c->ssl) == 1;
    }
    if (ok)
        c->server->serve(c, c->server->ctx);
    if (c->ssl && ok)
        SSL_shutdown(c->ssl);
    if (!ok) { // the alert must reach the client: closing over its unread bytes would reset
        char sink[512];
        shutdown(c->fd, SHUT_WR);
        while (recv(c->fd, sink, sizeof(sink), 0) > 0)
            continue;
    }
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static inline void *fake_accept_run(void *arg) {
    struct fake_http *s = arg;
    struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
    while (poll(p, 2, -1) >= 0 && !p[1].revents) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0 || s->n == FAKE_CONNECTIONS_MAX)
            abort();
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        atomic_fetch_add(&s->connections, 1);
        struct fake_conn *c = &s->conns[s->n++];
        c->server = s;
        c->fd = fd;
        pthread_create(&c->thread, NULL, fake_conn_run, c);
    }
    return NULL;
}

static inline struct fake_http *fake_http_start(void (*serve)(struct fake_conn *, void *),
                                                void *ctx, SSL_CTX *tls) {
    struct fake_http *s = calloc(1, sizeof(*s));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    signal(SIGPIPE, SIG_IGN); // SSL_write to a client that is gone
    s->serve = serve;
    s->ctx = ctx;
    s->tls = tls;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(s->fd, 256), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, fake_accept_run, s), 0);
    return s;
}

static inline void fake_http_stop(struct fake_http *s) {
    uint64_t one = 1;
    assert_int_equal(write(s->stop_fd, &one, sizeof(one)), sizeof(one));
    pthread_join(s->thread, NULL);
    for (int i = 0; i < s->n; i++)
        shutdown(s->conns[i].fd, SHUT_RDWR);
    for (int i = 0; i < s->n; i++) {
        pthread_join(s->conns[i].thread, NULL);
        SSL_free(s->conns[i].ssl);
        close(s->conns[i].fd);
    }
    close(s->fd);
    close(s->stop_fd);
    free(s);
}
