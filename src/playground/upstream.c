// SPDX-License-Identifier: Apache-2.0
/* Connections to a replica and the calls on them; see upstream.h. */
#include "playground/upstream.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/stream.h"

enum { CONNECT_MS = 5000 };

struct upstream_conn {
    struct upstream_conn *next, *prev; // idle list
    struct upstream *up;
    struct net_stream *stream;
    struct upstream_call *call; // NULL: idle, or ending
    struct http1_answer answer;
    bool ready; // connected
    bool used;  // an answer was read whole
    bool idle;  // in the list
};

struct upstream {
    uv_loop_t *loop;
    struct net_addr addr;
    struct upstream_conn *idle; // the one used last first
    unsigned n_conns;
    bool closing;
};

static int conn_new(struct upstream *u, struct upstream_conn **ret);

static void upstream_release(struct upstream *u) {
    if (u->closing && u->n_conns == 0)
        mem_free(u);
}

static void idle_add(struct upstream_conn *c) {
    struct upstream *u = c->up;
    c->idle = true;
    c->prev = NULL;
    c->next = u->idle;
    if (u->idle)
        u->idle->prev = c;
    u->idle = c;
}

static void idle_remove(struct upstream_conn *c) {
    struct upstream *u = c->up;
    if (!c->idle)
        return;
    if (c->prev)
        c->prev->next = c->next;
    else
        u->idle = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->idle = false;
}

// Takes the call off its connection; what may still come there is not looked at.
static struct upstream_call *detach(struct upstream_conn *c) {
    struct upstream_call *call = c->call;
    c->call = NULL;
    call->conn = NULL;
    return call;
}

static void finish(struct upstream_conn *c, enum upstream_end end) {
    struct upstream_call *call = detach(c);
    call->ops->ended(call, end);
}

static void send_call(struct upstream_conn *c, struct upstream_call *call) {
    c->call = call;
    call->conn = c;
    http1_answer_expect(&c->answer, false);
    // A failed write ends the stream, and `closed` tells.
    if (net_stream_write(c->stream, call->head.p, call->head.n) == 0 && call->body.n > 0)
        (void)net_stream_write(c->stream, call->body.p, call->body.n);
}

static void on_ready(void *ctx) {
    struct upstream_conn *c = ctx;
    c->ready = true;
}

// The answer is whole: the connection can be used again, or ends.
static void answer_done(struct upstream_conn *c, bool more) {
    bool keep = c->answer.keep_alive && !more && !c->up->closing;
    c->used = true;
    struct upstream_call *call = detach(c);
    net_stream_resume(c->stream); // the call may have been paused
    if (keep)
        idle_add(c);
    else
        net_stream_close(c->stream);
    call->ops->ended(call, UPSTREAM_DONE);
}

// True while the call goes on.
static bool feed(struct upstream_conn *c, const uint8_t **p, size_t *n) {
    bool in_head = c->answer.state == HTTP1_ANSWER_HEAD;
    struct str piece;
    size_t used = http1_answer_feed(&c->answer, *p, *n, &piece);
    *p += used;
    *n -= used;
    if (c->answer.state == HTTP1_ANSWER_FAILED) {
        net_stream_abort(c->stream, NULL);
        finish(c, UPSTREAM_GARBAGE);
        return false;
    }
    if (in_head && c->answer.state != HTTP1_ANSWER_HEAD)
        c->call->ops->head(c->call, &c->answer);
    if (c->call && piece.n > 0)
        c->call->ops->body(c->call, piece);
    if (c->call && c->answer.state == HTTP1_ANSWER_DONE) {
        answer_done(c, *n > 0);
        return false;
    }
    return c->call != NULL;
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    struct upstream_conn *c = ctx;
    if (!c->call) { // nobody asked
        idle_remove(c);
        net_stream_abort(c->stream, NULL);
        return;
    }
    while (n > 0 && feed(c, &p, &n))
        ;
}

static void on_eof(void *ctx) {
    struct upstream_conn *c = ctx;
    idle_remove(c);
    if (c->call && http1_answer_begun(&c->answer)) {
        http1_answer_end(&c->answer);
        if (c->answer.state == HTTP1_ANSWER_DONE) {
            c->answer.keep_alive = false;
            answer_done(c, false);
            return;
        }
    }
    net_stream_abort(c->stream, NULL);
}

// A kept connection that was gone when the request came: another one, made now.
static bool send_again(struct upstream_conn *c) {
    struct upstream *u = c->up;
    struct upstream_conn *fresh;
    if (!c->used || http1_answer_begun(&c->answer) || conn_new(u, &fresh) < 0)
        return false;
    send_call(fresh, detach(c));
    return true;
}

static void on_closed(void *ctx, const struct err *why) {
    struct upstream_conn *c = ctx;
    struct upstream *u = c->up;
    (void)why;
    idle_remove(c);
    if (c->call && !send_again(c))
        finish(c, c->ready ? UPSTREAM_RESET : UPSTREAM_REFUSED);
    http1_answer_done(&c->answer);
    u->n_conns--;
    mem_free(c);
    upstream_release(u);
}

static int conn_new(struct upstream *u, struct upstream_conn **ret) {
    static const struct net_stream_ops ops = {on_ready, on_data, NULL, on_eof, on_closed};
    if (u->n_conns >= LIMIT_UPSTREAM_CONNECTIONS)
        return ERR_LIMIT;
    struct upstream_conn *c = mem_zalloc(sizeof(*c));
    if (!c)
        return ERR_NOMEM;
    c->up = u;
    http1_answer_init(&c->answer);
    int r = net_stream_connect(u->loop, &u->addr, NULL, NULL, CONNECT_MS, &ops, c, &c->stream,
                               NULL);
    if (r < 0) {
        mem_free(c);
        return r;
    }
    u->n_conns++;
    *ret = c;
    return 0;
}

int upstream_new(struct upstream **ret, uv_loop_t *loop, const struct net_addr *addr,
                 struct err *e) {
    struct upstream *u = mem_zalloc(sizeof(*u));
    if (!u)
        return err_set(e, ERR_NOMEM, "no memory for a replica's connections");
    u->loop = loop;
    u->addr = *addr;
    *ret = u;
    return 0;
}

void upstream_close(struct upstream *u) {
    u->closing = true;
    while (u->idle) {
        struct upstream_conn *c = u->idle;
        idle_remove(c);
        net_stream_close(c->stream);
    }
    upstream_release(u);
}

int upstream_start(struct upstream *u, struct upstream_call *call) {
    struct upstream_conn *c = u->idle;
    call->up = u;
    if (c)
        idle_remove(c);
    else {
        int r = conn_new(u, &c);
        if (r < 0)
            return r;
    }
    send_call(c, call);
    return 0;
}

void upstream_cancel(struct upstream_call *call) {
    struct upstream_conn *c = call->conn;
    if (!c)
        return;
    detach(c);
    net_stream_abort(c->stream, NULL);
}

void upstream_pause(struct upstream_call *call) {
    if (call->conn)
        net_stream_pause(call->conn->stream);
}

void upstream_resume(struct upstream_call *call) {
    if (call->conn)
        net_stream_resume(call->conn->stream);
}
