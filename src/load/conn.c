// SPDX-License-Identifier: Apache-2.0
/* A connection's states and what ends a request. */
#include "load/conn.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/socket.h"

enum { CONN_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | (int)EPOLLET };

void conn_close(struct conn *c) {
    if (c->state == CONN_CLOSED)
        return;
    if (c->io.ssl)
        net_io_shutdown(&c->io);
    close(c->io.fd);
    c->io = (struct net_io){.fd = -1};
    c->state = CONN_CLOSED;
}

static enum conn_outcome fail(struct conn *c, struct conn_shared *s, enum load_error kind,
                              const char *what) {
    load_record_error(s->record, kind, what);
    conn_close(c);
    return CONN_ENDED;
}

static enum conn_outcome fail_connect(struct conn *c, struct conn_shared *s, int errnum) {
    char where[128], what[256];
    net_addr_format(&s->target->addrs[c->address], where, sizeof(where));
    (void)snprintf(what, sizeof(what), "connecting to %s: %s", where, strerror(errnum));
    enum load_error kind = errnum == ECONNREFUSED ? LOAD_ERROR_REFUSED
                           : errnum == ECONNRESET ? LOAD_ERROR_RESET
                           : errnum == ETIMEDOUT  ? LOAD_ERROR_TIMEOUT
                                                  : LOAD_ERROR_OTHER;
    return fail(c, s, kind, what);
}

// A complete answer.
static enum conn_outcome finish(struct conn *c, struct conn_shared *s, int64_t now_ns,
                                bool can_stay) {
    struct load_figures *f = &s->record->now;
    int status = c->answer.status;
    s->record->statuses[status]++;
    s->address_good = true;
    if (status >= 400) {
        char what[64];
        (void)snprintf(what, sizeof(what), "status %d", status);
        load_record_error(s->record, LOAD_ERROR_STATUS, what);
    } else {
        f->counts.done++;
        f->counts.answered_tokens += c->output;
        hdr_add(&f->latency, (uint64_t)(now_ns - c->intended_ns));
        hdr_add(&f->service, (uint64_t)(now_ns - c->sent_ns));
    }
    if (can_stay && c->answer.keep_alive && c->request_at == c->request.n)
        c->state = CONN_IDLE;
    else
        conn_close(c);
    return CONN_ENDED;
}

static void take_events(struct conn *c, struct conn_shared *s, struct str piece, int64_t now_ns) {
    struct load_figures *f = &s->record->now;
    uint64_t before = c->sse.events, n = sse_feed(&c->sse, piece.p, piece.n);
    f->counts.tokens += n;
    for (uint64_t i = 0; i < n; i++) {
        if (before + i == 0)
            hdr_add(&f->first, (uint64_t)(now_ns - c->intended_ns));
        else
            hdr_add(&f->between, (uint64_t)(now_ns - c->event_ns));
        c->event_ns = now_ns;
    }
}

static void head_came(struct conn *c) {
    struct str type = http1_answer_header(&c->answer, "content-type");
    struct str media = str_trim(str_cut(&type, ';'));
    c->is_stream = str_eq_nocase(media, STR("text/event-stream")) && c->answer.status < 400;
    c->sse = (struct sse){0};
}

// Bytes of the answer, and perhaps of more than it.
static enum conn_outcome take_answer(struct conn *c, struct conn_shared *s, size_t n,
                                     int64_t now_ns) {
    struct http1_answer *a = &c->answer;
    size_t used = 0;
    while (used < n && a->state < HTTP1_ANSWER_DONE) {
        struct str piece;
        bool in_head = a->state == HTTP1_ANSWER_HEAD;
        used += http1_answer_feed(a, s->read_buf + used, n - used, &piece);
        if (in_head && a->state == HTTP1_ANSWER_BODY)
            head_came(c);
        if (piece.n > 0 && c->is_stream)
            take_events(c, s, piece, now_ns);
    }
    if (a->state == HTTP1_ANSWER_FAILED)
        return fail(c, s, LOAD_ERROR_PROTOCOL, a->why);
    if (a->state == HTTP1_ANSWER_DONE)
        return finish(c, s, now_ns, used == n); // what comes behind it was not asked for
    return CONN_GOES_ON;
}

static enum conn_outcome take_end(struct conn *c, struct conn_shared *s, int64_t now_ns) {
    http1_answer_end(&c->answer);
    if (c->answer.state == HTTP1_ANSWER_DONE)
        return finish(c, s, now_ns, false);
    return fail(c, s, LOAD_ERROR_RESET, c->answer.why);
}

// Others want their turn: epoll is asked to tell again at once.
static enum conn_outcome read_later(struct conn *c, struct conn_shared *s) {
    struct epoll_event event = {.events = CONN_EVENTS, .data.ptr = c};
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->io.fd, &event) < 0)
        return fail(c, s, LOAD_ERROR_OTHER, strerror(errno));
    return CONN_GOES_ON;
}

static enum conn_outcome read_on(struct conn *c, struct conn_shared *s, uint32_t events) {
    bool to_the_end = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR), more = true;
    for (int turn = 0; more; turn++) {
        struct err e = {0};
        if (turn == LIMIT_STREAM_READS_PER_TURN)
            return read_later(c, s);
        ssize_t n = net_io_read(&c->io, s->read_buf, s->read_cap, &e);
        if (n == ERR_AGAIN)
            return CONN_GOES_ON;
        int64_t now_ns = clock_mono_ns();
        if (n == 0)
            return take_end(c, s, now_ns);
        if (n < 0)
            return fail(c, s, n == ERR_AUTH ? LOAD_ERROR_TLS : LOAD_ERROR_RESET, e.msg);
        s->record->now.counts.bytes_in += (uint64_t)n;
        enum conn_outcome outcome = take_answer(c, s, (size_t)n, now_ns);
        if (outcome != CONN_GOES_ON)
            return outcome;
        more = (size_t)n == s->read_cap || c->io.read_end || to_the_end;
    }
    return CONN_GOES_ON;
}

static enum conn_outcome write_on(struct conn *c, struct conn_shared *s) {
    while (c->request_at < c->request.n) {
        struct err e = {0};
        ssize_t n = net_io_write(&c->io, c->request.p + c->request_at, c->request.n - c->request_at,
                                 &e);
        if (n == ERR_AGAIN)
            return CONN_GOES_ON;
        if (n < 0)
            return fail(c, s, LOAD_ERROR_RESET, e.msg);
        c->request_at += (size_t)n;
        s->record->now.counts.bytes_out += (uint64_t)n;
    }
    c->state = CONN_WAITING;
    return CONN_GOES_ON;
}

static enum conn_outcome send_request(struct conn *c, struct conn_shared *s, int64_t now_ns) {
    c->state = CONN_SENDING;
    c->sent_ns = now_ns;
    s->record->now.counts.sent++;
    hdr_add(&s->record->now.late, (uint64_t)(now_ns - c->intended_ns));
    http1_answer_expect(&c->answer, s->is_head);
    return write_on(c, s);
}

static enum conn_outcome shake_hands(struct conn *c, struct conn_shared *s) {
    struct err e = {0};
    c->state = CONN_HANDSHAKE;
    int r = net_io_handshake(&c->io, &e);
    if (r == ERR_AGAIN)
        return CONN_GOES_ON;
    if (r < 0)
        return fail(c, s, LOAD_ERROR_TLS, e.msg);
    return send_request(c, s, clock_mono_ns());
}

static enum conn_outcome connected(struct conn *c, struct conn_shared *s) {
    struct err e = {0};
    s->record->now.counts.opened++;
    if (!s->tls)
        return send_request(c, s, clock_mono_ns());
    SSL *ssl = net_tls_ssl_new(s->tls, s->target->host, &e);
    if (!ssl || net_io_start_tls(&c->io, ssl, &e) < 0)
        return fail(c, s, LOAD_ERROR_TLS, e.msg);
    return shake_hands(c, s);
}

static enum conn_outcome connect_to(struct conn *c, struct conn_shared *s) {
    const struct net_addr *to = &s->target->addrs[c->address];
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_connect(c, s, errno);
    c->io = (struct net_io){.fd = fd};
    c->state = CONN_CONNECTING;
    net_socket_tune(fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return fail_connect(c, s, errno);
    if (connect(fd, &to->sa, to->len) == 0)
        return connected(c, s);
    return errno == EINPROGRESS ? CONN_GOES_ON : fail_connect(c, s, errno);
}

// Is the idle connection closed by the server, or are there bytes that nobody asked for?
static bool is_over(struct conn *c, struct conn_shared *s) {
    char byte;
    if (c->io.ssl) // a session ticket, too, is something to read
        return net_io_read(&c->io, s->read_buf, s->read_cap, NULL) != ERR_AGAIN;
    return recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

enum conn_outcome conn_start(struct conn *c, struct conn_shared *s, int64_t now_ns) {
    c->request_at = 0;
    c->is_stream = false;
    if (c->state == CONN_IDLE && !is_over(c, s)) // which epoll may not have told yet
        return send_request(c, s, now_ns);
    conn_close(c);
    c->address = s->address;
    return connect_to(c, s);
}

// A name may have addresses at which nobody listens (::1 of localhost): the next one is tried, and
// from then on used, until one has answered.
static enum conn_outcome connect_end(struct conn *c, struct conn_shared *s) {
    int errnum = 0;
    socklen_t n = sizeof(errnum);
    if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0)
        errnum = errno;
    if (errnum == 0)
        return connected(c, s);
    if (!s->address_good && c->address + 1 < s->target->n_addrs) {
        conn_close(c);
        c->address++;
        if (c->address > s->address)
            s->address = c->address;
        return connect_to(c, s);
    }
    if (!s->address_good)
        s->address = 0;
    return fail_connect(c, s, errnum);
}

enum conn_outcome conn_ready(struct conn *c, struct conn_shared *s, uint32_t events) {
    enum conn_outcome outcome = CONN_GOES_ON;
    switch (c->state) {
    case CONN_CLOSED:
        return CONN_GOES_ON; // told before it was closed in this round
    case CONN_CONNECTING:
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return CONN_GOES_ON;
        outcome = connect_end(c, s);
        break;
    case CONN_HANDSHAKE:
        outcome = shake_hands(c, s);
        break;
    case CONN_SENDING:
        outcome = write_on(c, s);
        break;
    case CONN_IDLE:
        if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return CONN_GOES_ON;
        break;
    case CONN_WAITING:
        break;
    }
    if (outcome != CONN_GOES_ON)
        return outcome;
    if (c->state == CONN_IDLE) {
        if (!is_over(c, s))
            return CONN_GOES_ON;
        conn_close(c);
        return CONN_UNUSED;
    }
    if (c->state == CONN_WAITING || c->state == CONN_SENDING)
        return read_on(c, s, events);
    return CONN_GOES_ON;
}

void conn_time_out(struct conn *c, struct conn_shared *s) {
    static const char *const doing[] = {
        [CONN_CLOSED] = "waiting for a connection", [CONN_CONNECTING] = "connecting",
        [CONN_HANDSHAKE] = "in the TLS handshake",  [CONN_SENDING] = "sending the request",
        [CONN_WAITING] = "waiting for the answer",  [CONN_IDLE] = "idle",
    };
    char what[96];
    bool in_answer = c->state == CONN_WAITING && http1_answer_begun(&c->answer);
    (void)snprintf(what, sizeof(what), "the time passed while %s",
                   in_answer ? "the answer came" : doing[c->state]);
    (void)fail(c, s, LOAD_ERROR_TIMEOUT, what);
}
