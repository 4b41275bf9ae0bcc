// SPDX-License-Identifier: Apache-2.0
/*
 * The client's side of one gRPC connection: the nghttp2 session and its calls. A call lives in the
 * link's list until nghttp2 has closed its stream; its owner loses it earlier, with `finished` or
 * by cancelling.
 */
#include "net/grpc_link.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/grpc_frame.h"
#include "net/h2.h"
#include "net/pb.h"

enum { STREAM_WINDOW = 256 << 10, CONNECTION_WINDOW = 1 << 20 };

struct grpc_link {
    struct grpc_link_options options;
    nghttp2_session *session;
    struct deadline_heap deadlines;
    struct deadline settings;       // until the server's SETTINGS come
    struct grpc_client_call *calls; // doubly linked
    unsigned n_calls;
    size_t gathered_bytes; // of unfinished messages
    bool busy;             // inside recv, send or lost: output follows by itself
    bool is_ready, going_away, is_over;
    struct h2_budget budget;
    int64_t now_ns;
    struct err over;
    char authority[NET_HOST_MAX];
};

enum client_state {
    CLIENT_OPEN,
    CLIENT_DONE, // the owner does not know it any more
};

struct grpc_client_call {
    struct grpc_link *link;
    struct grpc_client_call *next, *prev;
    struct grpc_client_call_options options;
    enum client_state state;
    int32_t stream; // -1: closed
    struct deadline deadline;
    struct buf out; // the request
    // Response
    struct grpc_reader reader;
    size_t gathered_bytes, header_bytes;
    int http_status, status; // status < 0: none came
    bool is_grpc, encoded;
    char *text;
    uint32_t h2_error;
};

__attribute__((format(printf, 3, 4))) static void over(struct grpc_link *l, int code,
                                                       const char *fmt, ...) {
    if (l->is_over)
        return;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&l->over, code, fmt, ap);
    va_end(ap);
    l->is_over = true;
}

static void output(struct grpc_link *l) {
    if (!l->busy)
        l->options.output(l->options.shell);
}

/* Calls */

static void gather(struct grpc_client_call *c, size_t bytes) {
    c->link->gathered_bytes += bytes - c->gathered_bytes;
    c->gathered_bytes = bytes;
}

static void call_free(struct grpc_client_call *c) {
    struct grpc_link *l = c->link;
    deadline_clear(&l->deadlines, &c->deadline);
    gather(c, 0);
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        l->calls = c->next;
    l->n_calls--;
    if (l->n_calls == 0 && l->going_away)
        over(l, ERR_CLOSED, "the server is going away");
    grpc_reader_done(&c->reader);
    buf_done(&c->out);
    mem_free(c->text);
    mem_free(c);
}

// The owner loses the call; it stays until its stream has closed.
static void finish(struct grpc_client_call *c, int status, const char *text) {
    struct grpc_link *l = c->link;
    bool closed = c->stream < 0;
    c->state = CLIENT_DONE;
    deadline_clear(&l->deadlines, &c->deadline);
    if (!closed)
        nghttp2_submit_rst_stream(l->session, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_CANCEL);
    c->options.finished(c->options.ctx, status, text);
    if (closed)
        call_free(c);
}

// What the stream's end means (PROTOCOL-HTTP2.md, "Responses" and "Errors").
static void finish_closed(struct grpc_client_call *c) {
    char text[LIMIT_GRPC_STATUS_MESSAGE_BYTES] = "";
    int status = c->status;
    if (status == GRPC_OK && grpc_reader_partial(&c->reader)) {
        status = GRPC_INTERNAL;
        snprintf(text, sizeof(text), "the answer ends within a message");
    } else if (status >= 0) {
        if (c->text)
            grpc_text_decode(text, sizeof(text), str_from(c->text));
    } else if (c->http_status != 0 && (c->http_status != 200 || !c->is_grpc)) {
        status = c->http_status == 200 ? GRPC_UNKNOWN : grpc_status_of_http(c->http_status);
        snprintf(text, sizeof(text), "not a gRPC answer: HTTP status %d", c->http_status);
    } else if (c->h2_error != NGHTTP2_NO_ERROR) {
        status = grpc_status_of_h2_error(c->h2_error);
        snprintf(text, sizeof(text), "the server reset the stream: %s",
                 nghttp2_http2_strerror(c->h2_error));
    } else {
        status = GRPC_INTERNAL;
        snprintf(text, sizeof(text), "the stream ended without grpc-status");
    }
    finish(c, status, text);
}

static void call_fire(struct deadline *d) {
    struct grpc_client_call *c = container_of(d, struct grpc_client_call, deadline);
    struct grpc_link *l = c->link;
    finish(c, GRPC_DEADLINE_EXCEEDED, "no answer within the timeout");
    output(l);
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t error, void *user) {
    struct grpc_client_call *c = nghttp2_session_get_stream_user_data(s, stream);
    if (!c)
        return 0;
    c->stream = -1;
    c->h2_error = error;
    if (c->state == CLIENT_DONE)
        call_free(c);
    else
        finish_closed(c);
    return 0;
}

/* Answers */

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *n_, size_t n_name,
                     const uint8_t *v_, size_t n_value, uint8_t flags, void *user) {
    struct grpc_client_call *c = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    if (!c || c->state != CLIENT_OPEN)
        return 0;
    struct str name = {(const char *)n_, n_name}, value = {(const char *)v_, n_value};
    long long number;
    c->header_bytes += n_name + n_value + 32;
    if (c->header_bytes > LIMIT_GRPC_HEADER_BYTES) {
        finish(c, GRPC_RESOURCE_EXHAUSTED, "the answer's headers are larger than 8192 bytes");
    } else if (str_eq(name, STR(":status"))) {
        c->http_status = str_to_i64(value, &number) == 0 ? (int)number : 0;
    } else if (str_eq(name, STR("content-type"))) {
        c->is_grpc = str_starts(value, "application/grpc");
    } else if (str_eq(name, STR("grpc-encoding"))) {
        c->encoded = !str_eq(value, STR("identity"));
    } else if (str_eq(name, STR("grpc-status"))) {
        bool known = str_to_i64(value, &number) == 0 && number >= 0 &&
                     number <= GRPC_UNAUTHENTICATED;
        c->status = known ? (int)number : GRPC_UNKNOWN;
    } else if (str_eq(name, STR("grpc-message"))) {
        mem_free(c->text);
        c->text = mem_strndup(value.p, value.n);
    }
    return 0;
}

static void on_message(struct grpc_client_call *c, const struct grpc_message *m) {
    struct arena arena CLEANUP_ARENA;
    struct err e = {0};
    ProtobufCMessage *message;
    arena_init(&arena, SIZE_MAX / 2);
    if (m->compressed) {
        finish(c, c->encoded ? GRPC_UNIMPLEMENTED : GRPC_INTERNAL, "a compressed message");
        return;
    }
    int err = pb_unpack(&message, c->options.response, m->p, m->n, &arena, &e);
    if (err < 0)
        finish(c, err == ERR_INVALID ? GRPC_INTERNAL : grpc_status_of_err(err), e.msg);
    else if (c->options.message)
        c->options.message(c->options.ctx, message);
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *user) {
    struct grpc_client_call *c = nghttp2_session_get_stream_user_data(s, stream);
    struct err e = {0};
    struct grpc_message m;
    if (!c || c->http_status != 200 || !c->is_grpc)
        return 0; // not ours to read: the status says what it was
    while (n > 0 && c->state == CLIENT_OPEN) {
        int got = grpc_reader_next(&c->reader, &p, &n, &m, &e);
        if (got < 0)
            finish(c, grpc_status_of_err(got), e.msg);
        else if (got > 0)
            on_message(c, &m);
    }
    gather(c, c->reader.body.len);
    if (c->state == CLIENT_OPEN && c->link->gathered_bytes > LIMIT_GRPC_CONN_RESPONSE_BYTES)
        finish(c, GRPC_RESOURCE_EXHAUSTED, "too many bytes of unfinished messages");
    return 0;
}

/* The connection */

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *user) {
    struct grpc_link *l = user;
    if (l->is_over || h2_budget_take(&l->budget, hd, l->now_ns))
        return 0;
    over(l, ERR_PROTO, "the server floods with control frames");
    nghttp2_session_terminate_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    struct grpc_link *l = user;
    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK) && !l->is_ready) {
        l->is_ready = true;
        deadline_clear(&l->deadlines, &l->settings);
        if (l->options.ready)
            l->options.ready(l->options.shell);
    } else if (f->hd.type == NGHTTP2_GOAWAY) {
        l->going_away = true;
        if (l->n_calls == 0)
            over(l, ERR_CLOSED, "the server is going away");
    }
    return 0;
}

static int on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    struct grpc_link *l = user;
    h2_budget_earn(&l->budget, &f->hd);
    if (f->hd.type == NGHTTP2_GOAWAY && f->goaway.error_code != NGHTTP2_NO_ERROR)
        over(l, ERR_PROTO, "the server broke HTTP/2: %s (" STR_FMT ")",
             nghttp2_http2_strerror(f->goaway.error_code), (int)f->goaway.opaque_data_len,
             (const char *)f->goaway.opaque_data);
    return 0;
}

static void settings_fire(struct deadline *d) {
    struct grpc_link *l = container_of(d, struct grpc_link, settings);
    over(l, ERR_TIMEOUT, "no HTTP/2 SETTINGS within %u ms", l->options.settings_ms);
    output(l);
}

static int session_new(struct grpc_link *l) {
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_GRPC_HEADER_BYTES},
    };
    nghttp2_session_callbacks *cbs = NULL;
    nghttp2_option *option = NULL;
    nghttp2_mem mem = *h2_mem();
    int failed = nghttp2_session_callbacks_new(&cbs) != 0 || h2_options_new(&option) < 0;
    if (!failed) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(cbs, on_begin_frame);
        nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
        nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
        nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
        failed = nghttp2_session_client_new3(&l->session, cbs, l, option, &mem) != 0 ||
                 nghttp2_submit_settings(l->session, NGHTTP2_FLAG_NONE, settings,
                                         COUNT_OF(settings)) != 0 ||
                 nghttp2_session_set_local_window_size(l->session, NGHTTP2_FLAG_NONE, 0,
                                                       CONNECTION_WINDOW) != 0;
    }
    nghttp2_session_callbacks_del(cbs);
    nghttp2_option_del(option);
    return failed ? ERR_NOMEM : 0;
}

int grpc_link_new(struct grpc_link **ret, const struct grpc_link_options *options, struct err *e) {
    struct grpc_link *l = mem_zalloc(sizeof(*l));
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a gRPC channel");
    l->options = *options;
    if (!l->options.clock)
        l->options.clock = clock_mono_ns;
    l->now_ns = l->options.clock();
    l->settings.fire = settings_fire;
    vec_init(&l->deadlines, LIMIT_GRPC_STREAMS + 1);
    h2_budget_init(&l->budget, l->now_ns);
    int err = str_copy(l->authority, sizeof(l->authority), str_from(options->authority));
    if (err == 0)
        err = session_new(l);
    if (err == 0 && options->settings_ms > 0)
        err = deadline_set(&l->deadlines, &l->settings,
                           l->now_ns + options->settings_ms * NS_PER_MS);
    if (err < 0) {
        grpc_link_free(l);
        return err_set(e, err,
                       err == ERR_LIMIT ? "the server's name is too long"
                                        : "no memory for a gRPC channel");
    }
    *ret = l;
    return 0;
}

struct grpc_link *grpc_link_free(struct grpc_link *l) {
    if (!l)
        return NULL;
    nghttp2_session_del(l->session);
    while (l->calls)
        call_free(l->calls);
    vec_done(&l->deadlines);
    mem_free(l);
    return NULL;
}

void grpc_link_mute(struct grpc_link *l) {
    l->options.ready = NULL;
    for (struct grpc_client_call *c = l->calls; c; c = c->next) {
        c->state = CLIENT_DONE;
        deadline_clear(&l->deadlines, &c->deadline);
    }
    deadline_clear(&l->deadlines, &l->settings);
}

void grpc_link_lost(struct grpc_link *l, const struct err *why) {
    over(l, why->code, "%s", why->msg);
    l->busy = true; // what `finished` starts or cancels is refused or dropped, nothing is sent
    // Every turn ends one call that its owner knows; the others go with grpc_link_free().
    for (struct grpc_client_call *c = l->calls; c;) {
        if (c->state == CLIENT_DONE) {
            c = c->next;
            continue;
        }
        if (c->stream >= 0)
            nghttp2_session_set_stream_user_data(l->session, c->stream, NULL);
        c->stream = -1;
        finish(c, GRPC_UNAVAILABLE, why->msg);
        c = l->calls; // anything may have been cancelled
    }
    l->busy = false;
}

int grpc_link_recv(struct grpc_link *l, const uint8_t *p, size_t n, struct err *e) {
    assert(!l->busy);
    l->now_ns = l->options.clock();
    h2_ssize got = 0;
    l->busy = true;
    if (!l->is_over)
        got = h2_mem_recv(l->session, p, n);
    l->busy = false;
    if (got == NGHTTP2_ERR_NOMEM)
        over(l, ERR_NOMEM, "no memory in HTTP/2");
    else if (got < 0)
        over(l, ERR_PROTO, "HTTP/2: %s", nghttp2_strerror((int)got));
    return l->is_over ? err_set(e, l->over.code, "%s", l->over.msg) : 0;
}

size_t grpc_link_send(struct grpc_link *l, const uint8_t **ret) {
    l->busy = true;
    h2_ssize n = h2_mem_send(l->session, ret);
    l->busy = false;
    if (n < 0)
        over(l, ERR_NOMEM, "HTTP/2: %s", nghttp2_strerror((int)n));
    return n > 0 ? (size_t)n : 0;
}

const struct err *grpc_link_over(const struct grpc_link *l) {
    return l->is_over ? &l->over : NULL;
}

struct deadline_heap *grpc_link_deadlines(struct grpc_link *l) {
    return &l->deadlines;
}

/* Requests */

static h2_ssize read_request(nghttp2_session *s, int32_t stream, uint8_t *dst, size_t cap,
                             uint32_t *flags, nghttp2_data_source *source, void *user) {
    struct grpc_client_call *c = source->ptr;
    size_t n = c->out.len < cap ? c->out.len : cap;
    memcpy(dst, c->out.p, n);
    buf_consume(&c->out, n);
    if (c->out.len == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        buf_done(&c->out);
    }
    return (h2_ssize)n;
}

static int submit(struct grpc_client_call *c) {
    char timeout[GRPC_TIMEOUT_MAX];
    nghttp2_nv nv[8];
    size_t n = 0;
    nv[n++] = h2_nv(":method", "POST");
    nv[n++] = h2_nv(":scheme", c->link->options.tls ? "https" : "http");
    nv[n] = h2_nv(":path", c->options.method);
    nv[n++].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    nv[n++] = h2_nv(":authority", c->link->authority);
    nv[n++] = h2_nv("content-type", "application/grpc");
    nv[n++] = h2_nv("te", "trailers");
    nv[n++] = h2_nv("user-agent", "gpuscale/" GPUSCALE_VERSION);
    if (c->options.timeout_ms > 0) {
        grpc_timeout_format(c->options.timeout_ms * NS_PER_MS, timeout);
        nv[n++] = h2_nv_once("grpc-timeout", str_from(timeout));
    }
    h2_data_provider provider = {.source.ptr = c, .read_callback = read_request};
    c->stream = h2_submit_request(c->link->session, NULL, nv, n, &provider, c);
    if (c->stream == NGHTTP2_ERR_NOMEM)
        return ERR_NOMEM;
    return c->stream < 0 ? ERR_UNAVAILABLE : 0; // stream ids are used up
}

static int call_init(struct grpc_client_call *c, const ProtobufCMessage *request) {
    size_t n = protobuf_c_message_get_packed_size(request);
    if (n > LIMIT_GRPC_MESSAGE_BYTES)
        return ERR_LIMIT;
    uint8_t *p = (uint8_t *)buf_reserve(&c->out, GRPC_PREFIX_BYTES + n);
    if (!p)
        return ERR_NOMEM;
    grpc_prefix_write(p, (uint32_t)n);
    protobuf_c_message_pack(request, p + GRPC_PREFIX_BYTES);
    buf_commit(&c->out, GRPC_PREFIX_BYTES + n);
    if (c->options.timeout_ms > 0) {
        int64_t at = c->link->options.clock() + c->options.timeout_ms * NS_PER_MS;
        int err = deadline_set(&c->link->deadlines, &c->deadline, at);
        if (err < 0)
            return err;
    }
    return submit(c);
}

int grpc_link_start(struct grpc_client_call **ret, struct grpc_link *l,
                    const struct grpc_client_call_options *options, struct err *e) {
    if (l->is_over || l->going_away)
        return err_set(e, ERR_UNAVAILABLE, "%s",
                       l->is_over ? l->over.msg : "the server is going away");
    if (l->n_calls >= LIMIT_GRPC_STREAMS)
        return err_set(e, ERR_LIMIT, "%u calls are open on the channel", l->n_calls);
    struct grpc_client_call *c = mem_zalloc(sizeof(*c));
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a call");
    c->link = l;
    c->options = *options;
    c->status = c->stream = -1;
    c->deadline.fire = call_fire;
    grpc_reader_init(&c->reader, LIMIT_GRPC_MESSAGE_BYTES);
    buf_init(&c->out, GRPC_PREFIX_BYTES + (size_t)LIMIT_GRPC_MESSAGE_BYTES);
    c->next = l->calls;
    if (c->next)
        c->next->prev = c;
    l->calls = c;
    l->n_calls++;
    int err = call_init(c, options->request);
    if (err < 0) {
        call_free(c);
        return err_set(e, err, "%s: %s", options->method,
                       err == ERR_LIMIT ? "the request is too large"
                                        : "the request could not be queued");
    }
    c->options.method = NULL; // the caller's; nghttp2 has a copy
    c->options.request = NULL;
    *ret = c;
    output(l);
    return 0;
}

void grpc_client_call_cancel(struct grpc_client_call *c) {
    struct grpc_link *l = c->link;
    assert(c->state != CLIENT_DONE);
    c->state = CLIENT_DONE;
    deadline_clear(&l->deadlines, &c->deadline);
    assert(c->stream >= 0);
    nghttp2_submit_rst_stream(l->session, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_CANCEL);
    output(l);
}
