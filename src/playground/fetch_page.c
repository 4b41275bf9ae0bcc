// SPDX-License-Identifier: Apache-2.0
/* One GET; see fetch_page.h. */
#include "playground/fetch_page.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/http1_answer.h"
#include "net/stream.h"

struct fetch_page {
    void (*done)(void *ctx, const struct fetch_page_answer *answer);
    void *ctx;
    uint32_t timeout_ms;
    struct net_stream *stream;
    struct net_timer *deadline;
    struct http1_answer answer;
    struct buf body;
};

static void nothing(void *ctx) {
    (void)ctx;
}

static void no_data(void *ctx, const uint8_t *p, size_t n) {
    (void)ctx;
    (void)p;
    (void)n;
}

static void no_closed(void *ctx, const struct err *why) {
    (void)ctx;
    (void)why;
}

static const struct net_stream_ops forgotten = {
    .ready = nothing, .data = no_data, .eof = nothing, .closed = no_closed};

static void fetch_free(struct fetch_page *f) {
    if (f->stream) {
        net_stream_set_ops(f->stream, &forgotten, NULL);
        net_stream_abort(f->stream, NULL);
    }
    net_timer_stop(&f->deadline);
    http1_answer_done(&f->answer);
    buf_done(&f->body);
    mem_free(f);
}

static void finish(struct fetch_page *f, const struct err *error) {
    struct fetch_page_answer a = {.error = error};
    if (!error) {
        a.status = f->answer.status;
        a.body = buf_str(&f->body);
        a.complete = !f->answer.until_end;
    }
    f->done(f->ctx, &a);
    fetch_free(f);
}

static void fail(struct fetch_page *f, int code, const char *why) {
    struct err e;
    err_set(&e, code, "%s", why);
    finish(f, &e);
}

static void ended_if_whole(struct fetch_page *f) {
    if (f->answer.state == HTTP1_ANSWER_DONE)
        finish(f, NULL);
    else if (f->answer.state == HTTP1_ANSWER_FAILED)
        fail(f, ERR_PROTO, f->answer.why);
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    struct fetch_page *f = ctx;
    size_t used = 0;
    while (used < n &&
           (f->answer.state == HTTP1_ANSWER_HEAD || f->answer.state == HTTP1_ANSWER_BODY)) {
        struct str piece;
        used += http1_answer_feed(&f->answer, p + used, n - used, &piece);
        int r = piece.n ? buf_add_str(&f->body, piece) : 0;
        if (r < 0) {
            fail(f, r, r == ERR_LIMIT ? "the page is too long" : "no memory for the page");
            return;
        }
    }
    ended_if_whole(f);
}

static void on_eof(void *ctx) {
    struct fetch_page *f = ctx;
    http1_answer_end(&f->answer);
    ended_if_whole(f);
}

static void on_closed(void *ctx, const struct err *why) {
    struct fetch_page *f = ctx;
    f->stream = NULL;
    finish(f, why);
}

static void on_deadline(void *ctx) {
    struct fetch_page *f = ctx;
    struct err e;
    err_set(&e, ERR_TIMEOUT, "no whole answer after %u ms", f->timeout_ms);
    finish(f, &e);
}

static int ask(struct fetch_page *f, const struct fetch_page_options *o, struct err *e) {
    const struct http1_header headers[] = {
        {STR("Connection"), STR("close")},
        {STR("Accept"), str_from(o->accept != NULL ? o->accept : "text/plain")}};
    struct http1_ask request = {.method = STR("GET"),
                                .target = str_from(o->path),
                                .host = str_from(o->addr),
                                .headers = headers,
                                .n_headers = COUNT_OF(headers)};
    CLEANUP_BUF struct buf head;
    buf_init(&head, LIMIT_HTTP_HEAD_BYTES);
    int r = http1_ask_encode(&head, &request, e);
    if (r == 0)
        r = net_stream_write(f->stream, head.p, head.len);
    return r;
}

int fetch_page_start(struct fetch_page **ret, uv_loop_t *loop, const struct fetch_page_options *o,
                     struct err *e) {
    static const struct net_stream_ops ops = {
        .ready = nothing, .data = on_data, .eof = on_eof, .closed = on_closed};
    struct net_addr to;
    int r = net_addr_parse(str_from(o->addr), &to, e);
    if (r < 0)
        return r;
    struct fetch_page *f = mem_zalloc(sizeof(*f));
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory to read http://%s%s", o->addr, o->path);
    f->done = o->done;
    f->ctx = o->ctx;
    f->timeout_ms = o->timeout_ms;
    http1_answer_init(&f->answer);
    http1_answer_expect(&f->answer, false);
    buf_init(&f->body, o->max_bytes);
    r = net_stream_connect(loop, &to, NULL, NULL, 0, &ops, f, &f->stream, e);
    if (r == 0)
        r = ask(f, o, e);
    if (r == 0)
        r = net_timer_start(&f->deadline, loop, (int64_t)o->timeout_ms * NS_PER_MS, 0, on_deadline,
                            f, e);
    if (r < 0) {
        fetch_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

struct fetch_page *fetch_page_cancel(struct fetch_page *f) {
    if (f)
        fetch_free(f);
    return NULL;
}
