// SPDX-License-Identifier: Apache-2.0
/*
 * A stream is a state machine on one descriptor:
 *
 *   CONNECTING -> HANDSHAKE -> OPEN -> FLUSHING -> LINGERING -> ENDED
 *   (accepted plain streams and connects that succeed at once pass through STARTING)
 *
 * Anything may go to ENDED; the descriptor is closed there and `closed` is called when libuv gives
 * the handle back at the end of the turn. Work that a call of the owner causes is posted to the
 * hub.
 */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/hub.h"
#include "net/io.h"
#include "net/socket.h"
#include "net/tls_peer.h"

enum stream_state {
    STREAM_CONNECTING, // waits for connect(2)
    STREAM_HANDSHAKE,
    STREAM_STARTING, // `ready` is posted
    STREAM_OPEN,
    STREAM_FLUSHING,  // closed by the owner, bytes wait
    STREAM_LINGERING, // our end is told, waits for the peer's
    STREAM_ENDED,
};

struct net_stream {
    uv_poll_t poll;
    struct net_hub_item work;
    struct net_hub *hub;
    const struct net_stream_ops *ops;
    void *ctx;
    struct net_tls *tls; // NULL: plain
    struct net_io io;
    struct net_timer *timer; // handshake, then close
    struct buf out;
    uint64_t sent;
    struct err *why; // NULL once ended: no memory for it
    char *peer_name;
    struct net_addr peer;
    uint32_t handshake_ms;
    uint8_t state;
    uint8_t events; // what libuv polls for now
    bool paused;
    bool eof;         // the peer has sent its last byte
    bool blocked;     // the kernel takes no more bytes now
    bool read_again;  // bytes may wait inside OpenSSL
    bool drained_due; // the queue was emptied inside a call: `drained` is owed
};

static void stream_on_closed(uv_handle_t *h) {
    struct net_stream *s = h->data;
    static const struct err no_memory = {.code = ERR_NOMEM, .msg = "no memory"};
    s->ops->closed(s->ctx, s->why ? s->why : &no_memory);
    net_hub_unref(s->hub);
    mem_free(s->why);
    mem_free(s->peer_name);
    mem_free(s);
}

static void stream_end(struct net_stream *s, const struct err *why) {
    if (s->state == STREAM_ENDED)
        return;
    s->state = STREAM_ENDED;
    s->why = mem_alloc(sizeof(*s->why));
    if (s->why)
        *s->why = *why;
    net_timer_stop(&s->timer);
    net_hub_drop(&s->work);
    buf_done(&s->out);
    SSL_free(s->io.ssl);
    s->io.ssl = NULL;
    // The handle first: it must not meet a new descriptor that has the old number.
    uv_close((uv_handle_t *)&s->poll, stream_on_closed);
    close(s->io.fd);
    s->io.fd = -1;
}

static void stream_end_code(struct net_stream *s, int code, const char *msg) {
    struct err e;
    (void)err_set(&e, code, "%s", msg);
    stream_end(s, &e);
}

static int events_wanted(const struct net_stream *s) {
    int events = 0;
    switch ((enum stream_state)s->state) {
    case STREAM_CONNECTING:
        return UV_WRITABLE;
    case STREAM_HANDSHAKE:
        return s->io.read_waits_write ? UV_WRITABLE : UV_READABLE;
    case STREAM_OPEN:
        if (!s->paused && !s->eof)
            events |= s->io.read_waits_write ? UV_WRITABLE : UV_READABLE;
        __attribute__((fallthrough));
    case STREAM_FLUSHING:
        if (s->blocked)
            events |= s->io.write_waits_read ? UV_READABLE : UV_WRITABLE;
        return events;
    case STREAM_LINGERING:
        return UV_READABLE;
    case STREAM_STARTING:
    case STREAM_ENDED:
        break;
    }
    return 0;
}

static void stream_on_poll(uv_poll_t *poll, int status, int events);

// uv_poll_start() costs two system calls: only changes are passed on.
static void stream_poll(struct net_stream *s) {
    if (s->state == STREAM_ENDED)
        return;
    int events = events_wanted(s);
    if (events == s->events)
        return;
    s->events = (uint8_t)events;
    if (events)
        uv_poll_start(&s->poll, events, stream_on_poll);
    else
        uv_poll_stop(&s->poll);
}

static void stream_linger(struct net_stream *s) {
    net_io_shutdown(&s->io);
    if (s->eof || s->io.eof)
        stream_end_code(s, ERR_CLOSED, "closed");
    else
        s->state = STREAM_LINGERING;
}

// Memory for output goes round between the streams of a loop: an idle one has none, and a busy loop
// does not ask the heap for each answer's (large blocks cost page faults each time).
static void stream_take_spare(struct net_stream *s) {
    struct buf *spare = &s->hub->spare;
    if (s->out.cap > 0 || spare->cap == 0)
        return;
    s->out = *spare;
    *spare = (struct buf){0};
}

static void stream_give_spare(struct net_stream *s) {
    struct buf *spare = &s->hub->spare;
    if (spare->cap > 0 || s->out.cap > LIMIT_STREAM_SPARE_BYTES) {
        buf_done(&s->out);
        return;
    }
    buf_clear(&s->out);
    *spare = s->out;
    buf_init(&s->out, LIMIT_STREAM_WRITE_BYTES);
}

// True when the queue is empty.
static bool stream_flush_queue(struct net_stream *s) {
    s->blocked = false;
    while (s->out.len > 0) {
        struct err e;
        ssize_t n = net_io_write(&s->io, s->out.p, s->out.len, &e);
        if (n == ERR_AGAIN) {
            s->blocked = true;
            return false;
        }
        if (n < 0) {
            stream_end(s, &e);
            return false;
        }
        s->sent += (uint64_t)n;
        buf_consume(&s->out, (size_t)n);
        if (!s->io.ssl && s->out.len > 0) { // a short send: the socket is full
            s->blocked = true;
            return false;
        }
    }
    stream_give_spare(s);
    return true;
}

static void stream_flush(struct net_stream *s) {
    bool had = s->out.len > 0 || s->drained_due;
    if (!stream_flush_queue(s))
        return;
    s->drained_due = false;
    if (s->state == STREAM_FLUSHING)
        stream_linger(s);
    else if (had && s->ops->drained)
        s->ops->drained(s->ctx);
}

static void stream_on_eof(struct net_stream *s) {
    s->eof = true;
    if (s->ops->eof)
        s->ops->eof(s->ctx);
    else
        net_stream_close(s);
}

static void stream_read(struct net_stream *s) {
    s->read_again = false;
    for (int i = 0; i < LIMIT_STREAM_READS_PER_TURN; i++) {
        if (s->state != STREAM_OPEN || s->paused || s->eof)
            return;
        struct err e;
        ssize_t n = net_io_read(&s->io, s->hub->read_buf, sizeof(s->hub->read_buf), &e);
        if (n == ERR_AGAIN)
            return;
        if (n == 0) {
            stream_on_eof(s);
            return;
        }
        if (n < 0) {
            stream_end(s, &e);
            return;
        }
        s->ops->data(s->ctx, s->hub->read_buf, (size_t)n);
        if ((size_t)n < sizeof(s->hub->read_buf) && !s->io.read_end)
            return;
    }
    if (s->state == STREAM_OPEN && s->io.ssl) { // the descriptor does not tell what OpenSSL holds
        s->read_again = true;
        net_hub_post(s->hub, &s->work);
    }
}

static void stream_discard(struct net_stream *s) {
    for (int i = 0; i < LIMIT_STREAM_READS_PER_TURN; i++) {
        ssize_t n = recv(s->io.fd, s->hub->read_buf, sizeof(s->hub->read_buf), 0);
        if (n > 0)
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            stream_end_code(s, ERR_CLOSED, "closed");
        return;
    }
}

static void stream_open(struct net_stream *s) {
    net_timer_stop(&s->timer);
    s->state = STREAM_OPEN;
    s->ops->ready(s->ctx);
    if (s->state == STREAM_OPEN && s->out.len > 0)
        net_hub_post(s->hub, &s->work);
}

static void stream_handshake(struct net_stream *s) {
    struct err e = {0};
    int r = net_io_handshake(&s->io, &e);
    if (r == ERR_AGAIN)
        return;
    if (r == 0)
        r = net_tls_check_alpn(s->tls, s->io.ssl, &e);
    if (r == 0 && tls_peer_name(s->io.ssl, &s->peer_name) < 0)
        r = err_set(&e, ERR_NOMEM, "TLS: no memory for the peer's name");
    if (r < 0) {
        stream_end(s, &e);
        return;
    }
    stream_open(s);
    if (s->state == STREAM_OPEN) { // the first bytes may have come with the handshake's last
        s->read_again = true;
        net_hub_post(s->hub, &s->work);
    }
}

static int socket_error(int fd) {
    int errnum = 0;
    socklen_t n = sizeof(errnum);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0 ? errno : errnum;
}

static void stream_connected(struct net_stream *s) {
    int errnum = socket_error(s->io.fd);
    if (errnum != 0) {
        char to[NET_HOST_MAX];
        struct err e;
        net_addr_format(&s->peer, to, sizeof(to));
        (void)err_errno(&e, errnum, "connecting to %s", to);
        stream_end(s, &e);
    } else if (s->tls) {
        s->state = STREAM_HANDSHAKE;
        stream_handshake(s);
    } else {
        stream_open(s);
    }
}

// The socket has an error pending. Bytes that came before it are read first: an answer may precede
// the reset.
static void stream_broken(struct net_stream *s) {
    s->events = 0; // libuv stopped polling
    if (s->state == STREAM_CONNECTING) {
        stream_connected(s);
        return;
    }
    if (s->state == STREAM_OPEN && !s->paused && !s->eof)
        stream_read(s);
    if (s->state == STREAM_ENDED)
        return;
    int errnum = socket_error(s->io.fd);
    struct err e;
    (void)err_errno(&e, errnum ? errnum : ECONNRESET, "connection lost");
    stream_end(s, &e);
}

static void stream_on_poll(uv_poll_t *poll, int status, int events) {
    struct net_stream *s = poll->data;
    if (status < 0) {
        stream_broken(s);
        return;
    }
    switch ((enum stream_state)s->state) {
    case STREAM_CONNECTING:
        stream_connected(s);
        break;
    case STREAM_HANDSHAKE:
        stream_handshake(s);
        break;
    case STREAM_OPEN:
    case STREAM_FLUSHING:
        if (s->blocked && (events & (s->io.write_waits_read ? UV_READABLE : UV_WRITABLE)))
            stream_flush(s);
        if (s->state == STREAM_OPEN &&
            (events & (s->io.read_waits_write ? UV_WRITABLE : UV_READABLE)))
            stream_read(s);
        break;
    case STREAM_LINGERING:
        stream_discard(s);
        break;
    case STREAM_STARTING:
    case STREAM_ENDED:
        break;
    }
    stream_poll(s);
}

static void stream_work(struct net_hub_item *item) {
    struct net_stream *s = container_of(item, struct net_stream, work);
    if (s->state == STREAM_STARTING && s->tls) {
        s->state = STREAM_HANDSHAKE;
        stream_handshake(s);
    } else if (s->state == STREAM_STARTING) {
        stream_open(s);
    } else {
        if ((s->state == STREAM_OPEN || s->state == STREAM_FLUSHING) && !s->blocked)
            stream_flush(s);
        if (s->state == STREAM_OPEN && s->read_again)
            stream_read(s);
    }
    stream_poll(s);
}

static void stream_on_handshake_timeout(void *ctx) {
    struct net_stream *s = ctx;
    struct err e;
    (void)err_set(&e, ERR_TIMEOUT, "no %s within %u ms",
                  s->state == STREAM_CONNECTING ? "connection" : "TLS handshake", s->handshake_ms);
    stream_end(s, &e);
}

static void stream_on_close_timeout(void *ctx) {
    struct net_stream *s = ctx;
    stream_end_code(s, ERR_CLOSED, s->out.len ? "closed; the peer did not read all" : "closed");
}

// From here on the stream owns fd and ssl; on failure both are freed.
static int stream_new(uv_loop_t *loop, int fd, SSL *ssl, uint32_t handshake_ms,
                      struct net_stream **ret, struct err *e) {
    struct net_stream *s = mem_zalloc(sizeof(*s));
    int r = ERR_NOMEM;
    if (!s || !(s->hub = net_hub_ref(loop))) {
        (void)err_set(e, r, "no memory for a connection");
        SSL_free(ssl);
        goto fail;
    }
    s->io.fd = fd;
    s->handshake_ms = handshake_ms;
    s->work.run = stream_work;
    buf_init(&s->out, LIMIT_STREAM_WRITE_BYTES);
    if (ssl && (r = net_io_start_tls(&s->io, ssl, e)) < 0)
        goto fail;
    if (handshake_ms > 0 && (r = net_timer_start(&s->timer, loop, handshake_ms * NS_PER_MS, 0,
                                                 stream_on_handshake_timeout, s, e)) < 0)
        goto fail;
    r = uv_poll_init(loop, &s->poll, fd);
    if (r < 0) {
        r = err_set(e, ERR_IO, "cannot watch a connection: %s", uv_strerror(r));
        goto fail;
    }
    s->poll.data = s;
    *ret = s;
    return 0;
fail:
    if (s) {
        net_timer_stop(&s->timer);
        SSL_free(s->io.ssl);
        if (s->hub)
            net_hub_unref(s->hub);
        mem_free(s);
    }
    close(fd);
    return r;
}

static int start_socket(const struct net_addr *to, bool *ret_done, int *ret_fd, struct err *e) {
    char text[NET_HOST_MAX];
    net_addr_format(to, text, sizeof(text));
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, errno, "a socket for %s", text);
    net_socket_tune(fd);
    *ret_done = connect(fd, &to->sa, to->len) == 0;
    if (!*ret_done && errno != EINPROGRESS) {
        int r = err_errno(e, errno, "connecting to %s", text);
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int net_stream_connect(uv_loop_t *loop, const struct net_addr *to, struct net_tls *tls,
                       const char *server_name, uint32_t handshake_ms,
                       const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                       struct err *e) {
    SSL *ssl = tls ? net_tls_ssl_new(tls, server_name, e) : NULL;
    if (tls && !ssl)
        return server_name && server_name[0] ? ERR_NOMEM : ERR_INVALID;
    bool done;
    int fd;
    int r = start_socket(to, &done, &fd, e);
    if (r < 0) {
        SSL_free(ssl);
        return r;
    }
    struct net_stream *s;
    r = stream_new(loop, fd, ssl, handshake_ms, &s, e);
    if (r < 0)
        return r;
    s->tls = tls;
    s->ops = ops;
    s->ctx = ctx;
    s->peer = *to;
    s->state = done ? STREAM_STARTING : STREAM_CONNECTING;
    if (done)
        net_hub_post(s->hub, &s->work);
    stream_poll(s);
    *ret = s;
    return 0;
}

int net_stream_accept(uv_loop_t *loop, int fd, struct net_tls *tls, uint32_t handshake_ms,
                      const struct net_stream_ops *ops, void *ctx, struct net_stream **ret,
                      struct err *e) {
    SSL *ssl = tls ? net_tls_ssl_new(tls, NULL, e) : NULL;
    if (tls && !ssl) {
        close(fd);
        return ERR_NOMEM;
    }
    struct net_stream *s;
    int r = stream_new(loop, fd, ssl, tls ? handshake_ms : 0, &s, e);
    if (r < 0)
        return r;
    s->tls = tls;
    s->ops = ops;
    s->ctx = ctx;
    s->peer.len = sizeof(s->peer.un);
    if (getpeername(fd, &s->peer.sa, &s->peer.len) < 0)
        s->peer.len = 0;
    s->state = tls ? STREAM_HANDSHAKE : STREAM_STARTING;
    if (!tls)
        net_hub_post(s->hub, &s->work);
    stream_poll(s);
    *ret = s;
    return 0;
}

void net_stream_set_ops(struct net_stream *s, const struct net_stream_ops *ops, void *ctx) {
    s->ops = ops;
    s->ctx = ctx;
}

int net_stream_write(struct net_stream *s, const void *p, size_t n) {
    if (s->state >= STREAM_FLUSHING)
        return ERR_CLOSED;
    stream_take_spare(s);
    int r = buf_add(&s->out, p, n);
    if (r < 0) {
        struct err e;
        (void)err_set(&e, r,
                      r == ERR_LIMIT ? "the peer does not read: %zu bytes wait, at most %d"
                                     : "no memory for output: %zu bytes wait, at most %d",
                      s->out.len, LIMIT_STREAM_WRITE_BYTES);
        net_stream_abort(s, &e);
        return r;
    }
    if (s->state != STREAM_OPEN || s->blocked || n == 0)
        return 0;
    // Much at once gains nothing by waiting for more; its memory is free again the sooner.
    if (s->out.len >= LIMIT_STREAM_BATCH_BYTES) {
        s->drained_due = stream_flush_queue(s);
        if (s->state == STREAM_ENDED)
            return ERR_CLOSED;
        stream_poll(s);
    }
    if (!s->blocked)
        net_hub_post(s->hub, &s->work);
    return 0;
}

void net_stream_poke(struct net_stream *s) {
    if (s->state != STREAM_OPEN)
        return;
    s->drained_due = true;
    if (!s->blocked)
        net_hub_post(s->hub, &s->work);
}

size_t net_stream_queued(const struct net_stream *s) {
    return s->out.len;
}

uint64_t net_stream_acked(const struct net_stream *s) {
    int waiting = 0;
    if (s->io.fd < 0 || ioctl(s->io.fd, SIOCOUTQ, &waiting) < 0 || (uint64_t)waiting > s->sent)
        return 0;
    return s->sent - (uint64_t)waiting;
}

void net_stream_pause(struct net_stream *s) {
    s->paused = true;
    stream_poll(s);
}

void net_stream_resume(struct net_stream *s) {
    if (!s->paused)
        return;
    s->paused = false;
    if (s->state == STREAM_OPEN && s->io.ssl) { // bytes may wait inside OpenSSL
        s->read_again = true;
        net_hub_post(s->hub, &s->work);
    }
    stream_poll(s);
}

void net_stream_close(struct net_stream *s) {
    if (s->state >= STREAM_FLUSHING)
        return;
    if (s->state == STREAM_CONNECTING || s->state == STREAM_HANDSHAKE ||
        (s->state == STREAM_STARTING && s->tls)) {
        stream_end_code(s, ERR_CLOSED, "closed before it was ready");
        return;
    }
    net_timer_stop(&s->timer);
    if (net_timer_start(&s->timer, s->hub->loop, LIMIT_STREAM_CLOSE_MS * NS_PER_MS, 0,
                        stream_on_close_timeout, s, NULL) < 0) {
        net_stream_abort(s, NULL);
        return;
    }
    s->state = STREAM_FLUSHING;
    net_hub_post(s->hub, &s->work);
    stream_poll(s);
}

void net_stream_abort(struct net_stream *s, const struct err *why) {
    static const struct err aborted = {.code = ERR_CLOSED, .msg = "closed"};
    if (s->state == STREAM_ENDED)
        return;
    struct linger reset = {.l_onoff = 1};
    (void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    stream_end(s, why ? why : &aborted);
}

const struct net_addr *net_stream_peer(const struct net_stream *s) {
    return &s->peer;
}

const char *net_stream_peer_name(const struct net_stream *s) {
    return s->peer_name ? s->peer_name : "";
}
