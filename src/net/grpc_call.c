// SPDX-License-Identifier: Apache-2.0
/*
 * One RPC on the server: its request is gathered, checked and handed to the method; what the method
 * sends is framed, queued and given to nghttp2 when it asks.
 */
#include "net/grpc_core.h"

#include <assert.h>
#include <stdio.h>

#include "base/limits.h"
#include "net/pb.h"

static const char *const status_text[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                          "9", "10", "11", "12", "13", "14", "15", "16"};

static void call_fire(struct deadline *d);

struct grpc_call *grpc_call_begin(struct grpc_conn *conn, int32_t stream) {
    struct grpc_call *c = grpc_call_take(conn->host);
    if (!c)
        return NULL;
    c->conn = conn;
    c->stream = stream;
    c->started_ns = conn->alive_ns;
    c->timeout_ns = -1;
    c->deadline.fire = call_fire;
    c->next = conn->calls;
    if (c->next)
        c->next->prev = c;
    conn->calls = c;
    conn->n_calls++;
    return c;
}

/* Accounts */

// What the call's request holds now. ERR_LIMIT: more than the connection or the server may hold.
static int account_request(struct grpc_call *c, size_t bytes) {
    struct grpc_conn *conn = c->conn;
    bool grows = bytes > c->request_bytes;
    conn->request_bytes += bytes - c->request_bytes;
    conn->host->stats.request_bytes += bytes - c->request_bytes;
    c->request_bytes = bytes;
    if (grows && (conn->request_bytes > LIMIT_GRPC_CONN_REQUEST_BYTES ||
                  conn->host->stats.request_bytes > LIMIT_GRPC_SERVER_REQUEST_BYTES))
        return ERR_LIMIT;
    return 0;
}

static void drop(struct grpc_call *c) {
    struct grpc_conn *conn = c->conn;
    deadline_clear(&conn->host->deadlines, &c->deadline);
    account_request(c, 0);
    conn->send_bytes -= c->out.len;
    if (conn->borrower == c)
        conn->borrower = NULL;
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        conn->calls = c->next;
    conn->n_calls--;
    if (conn->n_calls == 0)
        conn->idle_ns = conn->alive_ns;
    grpc_call_put(conn->host, c);
}

static void observe(struct grpc_call *c, int status) {
    const struct grpc_host_options *o = &c->conn->host->options;
    c->conn->host->stats.calls++;
    if (o->observe)
        o->observe(o->observe_ctx, c->entry ? c->entry->path : "", status,
                   grpc_host_now(c->conn->host) - c->started_ns);
}

/* Response */

static void submitted(struct grpc_call *c, int err) {
    if (err == 0)
        return;
    // No memory: the stream cannot be answered. When even that cannot be said, its deadline or the
    // connection's end will.
    nghttp2_submit_rst_stream(c->conn->session, NGHTTP2_FLAG_NONE, c->stream,
                              NGHTTP2_INTERNAL_ERROR);
}

static size_t add_status(const struct grpc_call *c, nghttp2_nv *nv) {
    size_t n = 0;
    nv[n++] = h2_nv("grpc-status", status_text[c->status]);
    if (c->text)
        nv[n++] = h2_nv_once("grpc-message", str_from(c->text));
    return n;
}

static h2_ssize read_out(nghttp2_session *s, int32_t stream, uint8_t *dst, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
    struct grpc_call *c = source->ptr;
    size_t n = c->out.len < cap ? c->out.len : cap;
    if (n > 0) {
        memcpy(dst, c->out.p, n);
        buf_consume(&c->out, n);
        c->conn->send_bytes -= n;
    }
    if (c->out.len > 0)
        return (h2_ssize)n;
    if (c->state != CALL_ENDED)
        return n > 0 ? (h2_ssize)n : NGHTTP2_ERR_DEFERRED;
    nghttp2_nv nv[2];
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    submitted(c, nghttp2_submit_trailer(s, stream, nv, add_status(c, nv)));
    return (h2_ssize)n;
}

static void submit_headers(struct grpc_call *c) {
    const nghttp2_nv nv[] = {h2_nv(":status", "200"), h2_nv("content-type", "application/grpc")};
    h2_data_provider provider = {.source.ptr = c, .read_callback = read_out};
    c->submitted = true;
    submitted(c, h2_submit_response(c->conn->session, c->stream, nv, COUNT_OF(nv), &provider));
}

static void submit_trailers_only(struct grpc_call *c) {
    nghttp2_nv nv[6];
    size_t n = 0;
    nv[n++] = h2_nv(":status", !c->is_post ? "405" : c->is_grpc ? "200" : "415");
    if (!c->is_post)
        nv[n++] = h2_nv("allow", "POST");
    nv[n++] = h2_nv("content-type", "application/grpc");
    if (c->bad_encoding)
        nv[n++] = h2_nv("grpc-accept-encoding", "identity");
    n += add_status(c, nv + n);
    c->submitted = true;
    submitted(c, h2_submit_response(c->conn->session, c->stream, nv, n, NULL));
}

// Hands to nghttp2 what it has not got.
static void respond(struct grpc_call *c) {
    if (c->conn->freeing || c->stream < 0)
        return;
    if (c->submitted)
        nghttp2_session_resume_data(c->conn->session, c->stream); // fails while it is not deferred
    else if (c->out.len > 0)
        submit_headers(c);
    else if (c->state == CALL_ENDED)
        submit_trailers_only(c);
    grpc_conn_output(c->conn);
}

static void set_text(struct grpc_call *c, const char *text) {
    char encoded[3 * LIMIT_GRPC_STATUS_MESSAGE_BYTES + 1];
    if (!text || !*text)
        return;
    size_t n = strnlen(text, LIMIT_GRPC_STATUS_MESSAGE_BYTES);
    n = grpc_text_encode(encoded, sizeof(encoded), (struct str){text, n});
    c->text = mem_strndup(encoded, n); // without memory the status goes without
}

// Ends the call towards the peer; the handler is told by who calls this.
static void end(struct grpc_call *c, int status, const char *text) {
    c->state = CALL_ENDED;
    c->status = status;
    set_text(c, text);
    deadline_clear(&c->conn->host->deadlines, &c->deadline);
    observe(c, status);
    respond(c);
}

static void refuse(struct grpc_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void refuse(struct grpc_call *c, int status, const char *fmt, ...) {
    char text[LIMIT_GRPC_STATUS_MESSAGE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    end(c, status, text);
}

// The handler loses the call: it calls nothing on it any more.
static void tell_handler(struct grpc_call *c) {
    c->state = CALL_ENDED;
    if (c->on_end)
        c->on_end(c, c->on_end_ctx);
}

static void call_fire(struct deadline *d) {
    struct grpc_call *c = container_of(d, struct grpc_call, deadline);
    if (c->state == CALL_RUNNING)
        tell_handler(c);
    end(c, GRPC_DEADLINE_EXCEEDED, "the deadline of the request passed");
}

void grpc_call_stream_closed(struct grpc_call *c) {
    c->stream = -1;
    if (c->state != CALL_ENDED)
        observe(c, GRPC_CANCELLED);
    if (c->state == CALL_RUNNING)
        tell_handler(c);
    drop(c);
}

void grpc_call_drain(struct grpc_call *c) {
    if (c->state != CALL_RUNNING || !c->entry->method->streams)
        return;
    tell_handler(c);
    end(c, GRPC_OK, NULL);
}

/* Request */

static bool is_grpc_type(struct str v) {
    struct str type = {v.p, v.n < 16 ? v.n : 16};
    if (!str_eq_nocase(type, STR("application/grpc")))
        return false;
    struct str rest = {v.p + 16, v.n - 16};
    return rest.n == 0 || rest.p[0] == ';' || str_eq(rest, STR("+proto")) ||
           str_starts(rest, "+proto;");
}

void grpc_call_header(struct grpc_call *c, struct str name, struct str value) {
    c->header_bytes += name.n + value.n + 32; // RFC 9113, 6.5.2
    switch (name.n) {
    case 5:
        if (str_eq(name, STR(":path"))) {
            c->entry = grpc_host_find(c->conn->host, value);
            if (!c->entry && !c->text)
                c->text = mem_strndup(
                    value.p, value.n < LIMIT_GRPC_PATH_BYTES ? value.n : LIMIT_GRPC_PATH_BYTES);
        }
        break;
    case 7:
        if (str_eq(name, STR(":method")))
            c->is_post = str_eq(value, STR("POST"));
        break;
    case 12:
        if (str_eq(name, STR("content-type")))
            c->is_grpc = is_grpc_type(value);
        else if (str_eq(name, STR("grpc-timeout")))
            c->bad_timeout = grpc_timeout_parse(value, &c->timeout_ns) < 0;
        break;
    case 13:
        if (str_eq(name, STR("grpc-encoding")))
            c->bad_encoding = !str_eq(value, STR("identity"));
        break;
    default:
        break;
    }
}

void grpc_call_headers_done(struct grpc_call *c) {
    char *path CLEANUP_FREE = TAKE_PTR(c->text); // kept there when it is unknown
    if (c->header_bytes > LIMIT_GRPC_HEADER_BYTES)
        refuse(c, GRPC_RESOURCE_EXHAUSTED, "request headers of %zu bytes; the limit is %d",
               c->header_bytes, LIMIT_GRPC_HEADER_BYTES);
    else if (!c->is_post)
        end(c, GRPC_INTERNAL, "only POST is a gRPC request");
    else if (!c->is_grpc)
        end(c, GRPC_INTERNAL, "content-type is not application/grpc");
    else if (!c->entry)
        refuse(c, GRPC_UNIMPLEMENTED, "unknown method %s", path ? path : "");
    else if (c->bad_encoding)
        end(c, GRPC_UNIMPLEMENTED, "grpc-encoding is not supported; send identity");
    else if (c->bad_timeout)
        end(c, GRPC_INTERNAL, "malformed grpc-timeout");
    if (c->state == CALL_ENDED || c->timeout_ns < 0)
        return;
    int64_t at;
    if (__builtin_add_overflow(c->started_ns, c->timeout_ns, &at))
        return; // longer than any clock: none
    if (deadline_set(&c->conn->host->deadlines, &c->deadline, at) < 0)
        end(c, GRPC_RESOURCE_EXHAUSTED, "no memory for the deadline");
}

static int unpack(struct grpc_call *c, const struct grpc_message *m, ProtobufCMessage **ret) {
    struct err e = {0};
    int err = pb_unpack(ret, c->entry->method->request, m->p, m->n, &c->arena, &e);
    if (err < 0)
        end(c, grpc_status_of_err(err), e.msg);
    return err;
}

// A message of a method that reads a stream.
static void stream_message(struct grpc_call *c, const struct grpc_message *m) {
    ProtobufCMessage *request;
    if (unpack(c, m, &request) < 0)
        return;
    c->state = CALL_RUNNING;
    c->entry->method->handle(c, request, c->entry->service->ctx);
    arena_reset(&c->arena);
}

static void one_message(struct grpc_call *c, const struct grpc_message *m) {
    if (c->has_message) {
        end(c, GRPC_UNIMPLEMENTED, "more than one request message");
        return;
    }
    c->has_message = true;
    c->message = *m;
    if (!c->reader.took)
        c->conn->borrower = c;
}

void grpc_call_data(struct grpc_call *c, const uint8_t *p, size_t n) {
    struct grpc_message m;
    struct err e = {0};
    while (n > 0 && (c->state == CALL_READING || c->state == CALL_RUNNING)) {
        int got = grpc_reader_next(&c->reader, &p, &n, &m, &e);
        if (got < 0)
            end(c, grpc_status_of_err(got), e.msg);
        else if (got > 0 && m.compressed)
            end(c, GRPC_INTERNAL, "a compressed message without grpc-encoding");
        else if (got > 0 && c->entry->method->client_streams)
            stream_message(c, &m);
        else if (got > 0)
            one_message(c, &m);
    }
    if (account_request(c, c->reader.body.len) < 0 && c->state != CALL_ENDED)
        end(c, GRPC_RESOURCE_EXHAUSTED, "too many bytes of unfinished requests");
}

void grpc_call_settle(struct grpc_call *c) {
    c->conn->borrower = NULL;
    if (c->state != CALL_READING)
        return;
    if (buf_add(&c->reader.body, c->message.p, c->message.n) < 0 ||
        account_request(c, c->reader.body.len) < 0) {
        end(c, GRPC_RESOURCE_EXHAUSTED, "too many bytes of unfinished requests");
        return;
    }
    c->reader.took = true;
    c->message.p = (const uint8_t *)c->reader.body.p;
}

void grpc_call_half_close(struct grpc_call *c) {
    c->half_closed = true;
    if (c->conn->borrower == c)
        c->conn->borrower = NULL;
    if (c->state == CALL_ENDED)
        return;
    ProtobufCMessage *request = NULL;
    if (grpc_reader_partial(&c->reader)) {
        end(c, GRPC_INTERNAL, "the request ends within a message");
        return;
    }
    if (!c->entry->method->client_streams) {
        if (!c->has_message) {
            end(c, GRPC_UNIMPLEMENTED, "no request message");
            return;
        }
        if (unpack(c, &c->message, &request) < 0)
            return;
        grpc_reader_done(&c->reader);
        if (account_request(c, c->arena.used) < 0) {
            end(c, GRPC_RESOURCE_EXHAUSTED, "too many bytes of running requests");
            return;
        }
    }
    c->state = CALL_RUNNING;
    c->entry->method->handle(c, request, c->entry->service->ctx);
    if (c->conn->state == CONN_DRAINING)
        grpc_call_drain(c); // its first HEADERS came before the last GOAWAY
}

/* What handlers call */

// Room for a message of n bytes behind its prefix; NULL: no memory, or larger than the buffer.
static uint8_t *frame(struct grpc_call *c, size_t n) {
    if (n > LIMIT_GRPC_MESSAGE_BYTES)
        return NULL;
    uint8_t *p = (uint8_t *)buf_reserve(&c->out, GRPC_PREFIX_BYTES + n);
    if (!p)
        return NULL;
    grpc_prefix_write(p, (uint32_t)n);
    buf_commit(&c->out, GRPC_PREFIX_BYTES + n);
    c->conn->send_bytes += GRPC_PREFIX_BYTES + n;
    return p + GRPC_PREFIX_BYTES;
}

// Where a reply of n bytes goes, or NULL: then the call ended without room.
static uint8_t *reply_room(struct grpc_call *c, size_t n) {
    assert(c->state == CALL_RUNNING);
    // A client that asks and does not read holds no more than this.
    bool full = c->conn->send_bytes > 0 && c->conn->send_bytes + n > LIMIT_GRPC_CONN_SEND_BYTES;
    uint8_t *p = full ? NULL : frame(c, n);
    if (!p)
        refuse(c, GRPC_RESOURCE_EXHAUSTED, "no room for a reply of %zu bytes", n);
    return p;
}

void grpc_call_reply(struct grpc_call *c, const ProtobufCMessage *message) {
    uint8_t *p = reply_room(c, protobuf_c_message_get_packed_size(message));
    if (!p)
        return;
    protobuf_c_message_pack(message, p);
    end(c, GRPC_OK, NULL);
}

void grpc_call_reply_packed(struct grpc_call *c, const void *message, size_t n) {
    uint8_t *p = reply_room(c, n);
    if (!p)
        return;
    if (n > 0)
        memcpy(p, message, n);
    end(c, GRPC_OK, NULL);
}

// 0: *ret is where n bytes go; else ERR_LIMIT, ERR_NOMEM.
static int send_room(struct grpc_call *c, size_t n, uint8_t **ret) {
    assert(c->state == CALL_RUNNING);
    *ret = NULL;
    bool waits = c->out.len > 0;
    if (n > LIMIT_GRPC_MESSAGE_BYTES || (waits && c->out.len + n > LIMIT_GRPC_SEND_QUEUE_BYTES) ||
        (waits && c->conn->send_bytes + n > LIMIT_GRPC_CONN_SEND_BYTES))
        return ERR_LIMIT;
    *ret = frame(c, n);
    return *ret ? 0 : ERR_NOMEM;
}

int grpc_call_send(struct grpc_call *c, const ProtobufCMessage *message) {
    uint8_t *p;
    int err = send_room(c, protobuf_c_message_get_packed_size(message), &p);
    if (p) {
        protobuf_c_message_pack(message, p);
        respond(c);
    }
    return err;
}

int grpc_call_send_packed(struct grpc_call *c, const void *message, size_t n) {
    uint8_t *p;
    int err = send_room(c, n, &p);
    if (p) {
        if (n > 0)
            memcpy(p, message, n);
        respond(c);
    }
    return err;
}

size_t grpc_call_queued(const struct grpc_call *c) {
    return c->out.len;
}

void grpc_call_finish(struct grpc_call *c, int status, const char *fmt, ...) {
    assert(c->state == CALL_RUNNING);
    char text[LIMIT_GRPC_STATUS_MESSAGE_BYTES] = "";
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
    }
    if (status < 0 || (size_t)status >= COUNT_OF(status_text))
        status = GRPC_UNKNOWN;
    end(c, status, text);
}

void grpc_call_on_end(struct grpc_call *c, void (*fn)(struct grpc_call *c, void *ctx), void *ctx) {
    c->on_end = fn;
    c->on_end_ctx = ctx;
}

const struct net_addr *grpc_call_peer(const struct grpc_call *c) {
    return c->conn->peer;
}

const char *grpc_call_peer_name(const struct grpc_call *c) {
    return c->conn->peer_name ? c->conn->peer_name : "";
}
