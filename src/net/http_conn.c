// SPDX-License-Identifier: Apache-2.0
/*
 * One connection: a request at a time. What a client pipelines waits, in order, in one buffer of
 * one read's size; the socket is not read meanwhile, so that TCP holds the client back. The same
 * holds while answers wait that the client does not take.
 */
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/http_internal.h"
#include "net/hub.h"

static uint32_t phase_limit_ms(const struct http_conn *c) {
    const struct http_timeouts *t = &c->server->timeouts;
    switch ((enum http_phase)c->phase) {
    case HTTP_PHASE_IDLE:
        return t->idle_ms;
    case HTTP_PHASE_BODY:
        return t->body_ms;
    case HTTP_PHASE_HANDSHAKE:
    case HTTP_PHASE_HEAD:
    case HTTP_PHASE_ANSWER:
    case HTTP_PHASE_CLOSE:
        break;
    }
    return t->head_ms;
}

void http_conn_set_phase(struct http_conn *c, enum http_phase phase) {
    c->phase = (uint8_t)phase;
    c->deadline_ms = uv_now(c->server->loop) + phase_limit_ms(c);
}

static bool can_receive(const struct http_conn *c) {
    return c->phase < HTTP_PHASE_ANSWER &&
           net_stream_queued(c->stream) < LIMIT_HTTP_OUTPUT_HIGH_BYTES;
}

static bool begin_request(struct http_conn *c) {
    c->request = mem_zalloc(sizeof(*c->request));
    if (!c->request) {
        struct err e;
        (void)err_set(&e, ERR_NOMEM, "no memory for a request");
        net_stream_abort(c->stream, &e);
        return false;
    }
    c->request->conn = c;
    http1_init(&c->request->h);
    if (c->phase == HTTP_PHASE_IDLE)
        http_conn_set_phase(c, HTTP_PHASE_HEAD);
    return true;
}

static void head_complete(struct http_conn *c) {
    struct http_request *r = c->request;
    http_conn_set_phase(c, HTTP_PHASE_BODY);
    if (!r->h.expects_continue)
        return;
    // A client that asks first is refused before it sends the body.
    if (http_route_find(r))
        (void)net_stream_write(c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

// After bytes went into the request.
static void step(struct http_conn *c) {
    struct http_request *r = c->request;
    switch (r->h.state) {
    case HTTP1_HEAD:
        break;
    case HTTP1_BODY:
        if (c->phase != HTTP_PHASE_BODY)
            head_complete(c);
        break;
    case HTTP1_DONE:
        http_dispatch(r);
        break;
    case HTTP1_FAILED:
        c->server->stats.bad_requests++;
        http_refuse(r, r->h.status, r->h.why);
        break;
    }
}

static size_t feed(struct http_conn *c, const uint8_t *p, size_t n) {
    size_t used = 0;
    c->feeding = true;
    while (used < n && can_receive(c)) {
        if (!c->request && !begin_request(c))
            break;
        used += http1_feed(&c->request->h, p + used, n - used);
        step(c);
    }
    c->feeding = false;
    return used;
}

static void keep_rest(struct http_conn *c, const uint8_t *p, size_t n) {
    if (n == 0 || c->phase == HTTP_PHASE_CLOSE)
        return;
    int r = buf_add(&c->in, p, n);
    if (r < 0) {
        struct err e;
        (void)err_set(&e, r, "no room for pipelined requests");
        net_stream_abort(c->stream, &e);
        return;
    }
    net_stream_pause(c->stream);
}

static void on_ready(void *ctx) {
    struct http_conn *c = ctx;
    if (c->phase == HTTP_PHASE_HANDSHAKE)
        http_conn_set_phase(c, HTTP_PHASE_HEAD); // an accepted client is to speak soon
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    struct http_conn *c = ctx;
    size_t used = c->in.len == 0 ? feed(c, p, n) : 0;
    keep_rest(c, p + used, n - used);
}

// Once the peer sends no more, nothing is left to wait for but answers.
static void close_if_over(struct http_conn *c) {
    bool over = c->phase == HTTP_PHASE_CLOSE ||
                (c->eof && c->phase != HTTP_PHASE_ANSWER && c->in.len == 0);
    if (over && net_stream_queued(c->stream) == 0)
        net_stream_close(c->stream);
}

// Every answer ends up here: the place where pipelined requests go on, outside of any handler.
static void on_drained(void *ctx) {
    struct http_conn *c = ctx;
    c->stall_ms = 0;
    if (c->phase == HTTP_PHASE_ANSWER && c->request)
        http_request_tell_writable(c->request);
    if (c->in.len > 0 && can_receive(c)) {
        size_t used = feed(c, (const uint8_t *)c->in.p, c->in.len);
        buf_consume(&c->in, used);
        if (c->in.len == 0 || c->phase == HTTP_PHASE_CLOSE) {
            buf_done(&c->in);
            net_stream_resume(c->stream);
        }
    }
    close_if_over(c);
}

static void on_eof(void *ctx) {
    struct http_conn *c = ctx;
    c->eof = true;
    if (c->phase == HTTP_PHASE_ANSWER && c->request)
        http_request_tell_gone(c->request);
    close_if_over(c);
}

static void handshake_failed(struct http_conn *c, const struct err *why) {
    struct http_server *s = c->server;
    s->stats.handshake_failures++;
    s->stats.certificates_refused += why->code == ERR_AUTH;
    if (s->refused && !s->closing)
        s->refused(s->ctx, net_stream_peer(c->stream), why);
}

static void on_closed(void *ctx, const struct err *why) {
    struct http_conn *c = ctx;
    if (c->phase == HTTP_PHASE_HANDSHAKE)
        handshake_failed(c, why);
    if (c->request && c->phase == HTTP_PHASE_ANSWER) {
        struct http_request *r = c->request; // the handler still has it
        r->conn = NULL;
        http_request_tell_gone(r);
    } else if (c->request) {
        http1_done(&c->request->h);
        mem_free(c->request);
    }
    buf_done(&c->in);
    http_server_remove(c->server, c);
    mem_free(c);
}

int http_conn_new(struct http_server *s, int fd) {
    static const struct net_stream_ops ops = {on_ready, on_data, on_drained, on_eof, on_closed};
    struct http_conn *c = mem_zalloc(sizeof(*c));
    if (!c) {
        close(fd);
        return ERR_NOMEM;
    }
    c->server = s;
    buf_init(&c->in, NET_READ_BYTES);
    int r = net_stream_accept(s->loop, fd, s->tls, s->timeouts.head_ms, &ops, c, &c->stream, NULL);
    if (r < 0) {
        mem_free(c);
        return r;
    }
    http_conn_set_phase(c, s->tls ? HTTP_PHASE_HANDSHAKE : HTTP_PHASE_HEAD);
    http_server_add(s, c);
    return 0;
}

// True when the peer has been given up.
static bool check_stall(struct http_conn *c, uint64_t now_ms) {
    uint64_t taken = net_stream_acked(c->stream);
    if (c->stall_ms > now_ms)
        return false;
    if (c->stall_ms != 0 && taken < c->taken_mark + LIMIT_HTTP_WRITE_STALL_BYTES) {
        struct err e;
        (void)err_set(&e, ERR_TIMEOUT, "the peer does not read: %zu bytes wait",
                      net_stream_queued(c->stream));
        c->server->stats.timeouts++;
        net_stream_abort(c->stream, &e);
        return true;
    }
    c->stall_ms = now_ms + c->server->timeouts.stall_ms;
    c->taken_mark = taken;
    return false;
}

void http_conn_check(struct http_conn *c, uint64_t now_ms) {
    if (net_stream_queued(c->stream) > 0) {
        if (!check_stall(c, now_ms) && c->phase == HTTP_PHASE_IDLE)
            http_conn_set_phase(c, HTTP_PHASE_IDLE); // idle begins with the last byte taken
        return;
    }
    c->stall_ms = 0;
    // The stream itself ends a slow handshake.
    if (c->deadline_ms > now_ms || c->phase == HTTP_PHASE_HANDSHAKE ||
        c->phase >= HTTP_PHASE_ANSWER)
        return;
    bool begun = c->request && http1_begun(&c->request->h);
    if (c->phase == HTTP_PHASE_IDLE || !begun) {
        http_conn_set_phase(c, HTTP_PHASE_CLOSE);
        net_stream_close(c->stream);
        return;
    }
    c->server->stats.timeouts++;
    http_refuse(c->request, 408,
                c->phase == HTTP_PHASE_BODY ? "the body did not come in time"
                                            : "the head did not come in time");
}

void http_conn_renew(struct http_conn *c) {
    bool begun = c->request && (c->phase != HTTP_PHASE_HEAD || http1_begun(&c->request->h));
    c->ends = true;
    if (!begun && c->phase != HTTP_PHASE_CLOSE) {
        http_conn_set_phase(c, HTTP_PHASE_CLOSE);
        net_stream_close(c->stream);
    }
}

void http_conn_end(struct http_conn *c) {
    if (c->phase == HTTP_PHASE_ANSWER)
        return; // its answer sees that the server closes
    http_conn_set_phase(c, HTTP_PHASE_CLOSE);
    close_if_over(c);
}
