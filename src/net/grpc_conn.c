// SPDX-License-Identifier: Apache-2.0
/*
 * One connection of the gRPC server: the nghttp2 session, its life from the first byte to the last
 * GOAWAY, and the events it hands to calls (grpc_call.c).
 */
#include "net/grpc_core.h"

#include <assert.h>

#include "base/clock.h"
#include "base/limits.h"

// The last response may still be on its way when nothing is open any more: the client closes first,
// or we do after so long.
static const int64_t linger_ns = NS_PER_S / 2;
static const int64_t notice_ns = NS_PER_S; // for the answer to the PING of a graceful end

static const uint8_t drain_ping[8] = {'g', 'p', 'u', 's', 'c', 'a', 'l', 'e'};

static int64_t min_ns(int64_t a, int64_t b) {
    return a < b ? a : b;
}

__attribute__((format(printf, 3, 4))) static int over(struct grpc_conn *c, int code,
                                                      const char *fmt, ...) {
    if (c->state != CONN_OVER) {
        va_list ap;
        va_start(ap, fmt);
        err_vset(&c->over, code, fmt, ap);
        va_end(ap);
        c->state = CONN_OVER;
        c->host->stats.protocol_errors += code == ERR_PROTO;
    }
    return c->over.code;
}

void grpc_conn_output(struct grpc_conn *c) {
    if (!c->busy && !c->freeing)
        c->host->options.output(c->shell);
}

/* The life of a connection in time */

// When the state asks for attention next, if nothing happens before.
static int64_t next_event_ns(const struct grpc_conn *c) {
    int64_t keepalive = c->alive_ns + LIMIT_GRPC_KEEPALIVE_MS * NS_PER_MS;
    if (c->pinged)
        keepalive += LIMIT_GRPC_KEEPALIVE_TIMEOUT_MS * NS_PER_MS;
    switch (c->state) {
    case CONN_NEW:
    case CONN_GREETING:
        return c->born_ns + LIMIT_GRPC_HANDSHAKE_MS * NS_PER_MS;
    case CONN_OPEN:
        if (c->n_calls == 0)
            keepalive = min_ns(keepalive, c->idle_ns + LIMIT_GRPC_IDLE_MS * NS_PER_MS);
        return min_ns(keepalive, c->dies_ns);
    case CONN_NOTICED:
        return c->state_ns + notice_ns;
    case CONN_DRAINING:
        if (c->n_calls == 0)
            return c->idle_ns + linger_ns;
        return min_ns(keepalive, c->state_ns + LIMIT_GRPC_DRAIN_MS * NS_PER_MS);
    case CONN_OVER:
        break;
    }
    return INT64_MAX;
}

static void schedule(struct grpc_conn *c) {
    int64_t at = next_event_ns(c);
    if (at == INT64_MAX)
        deadline_clear(&c->host->deadlines, &c->deadline);
    else if (deadline_set(&c->host->deadlines, &c->deadline, at) < 0)
        over(c, ERR_NOMEM, "no memory for a deadline");
}

static void keep_alive(struct grpc_conn *c, int64_t now_ns) {
    int64_t quiet_ns = now_ns - c->alive_ns;
    if (quiet_ns < LIMIT_GRPC_KEEPALIVE_MS * NS_PER_MS)
        return;
    if (!c->pinged) {
        c->pinged = true;
        nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
    } else if (quiet_ns >=
               (LIMIT_GRPC_KEEPALIVE_MS + LIMIT_GRPC_KEEPALIVE_TIMEOUT_MS) * NS_PER_MS) {
        over(c, ERR_TIMEOUT, "the client has not answered for %lld s",
             (long long)(quiet_ns / NS_PER_S));
    }
}

// The real last id: nothing newer will be answered; streaming calls end well.
static void begin_draining(struct grpc_conn *c, int64_t now_ns) {
    c->state = CONN_DRAINING;
    c->state_ns = c->idle_ns = now_ns;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    // A call's on_end may end others: none leaves the list before its stream closes.
    for (struct grpc_call *call = c->calls; call; call = call->next)
        grpc_call_drain(call);
    schedule(c);
}

static void conn_fire(struct deadline *d) {
    struct grpc_conn *c = container_of(d, struct grpc_conn, deadline);
    int64_t now = grpc_host_now(c->host);
    switch (c->state) {
    case CONN_NEW:
    case CONN_GREETING:
        over(c, ERR_TIMEOUT, "no HTTP/2 preface and SETTINGS within %d ms",
             LIMIT_GRPC_HANDSHAKE_MS);
        break;
    case CONN_OPEN:
        if (now >= c->dies_ns ||
            (c->n_calls == 0 && now >= c->idle_ns + LIMIT_GRPC_IDLE_MS * NS_PER_MS)) {
            grpc_conn_shutdown(c);
            return;
        }
        keep_alive(c, now);
        break;
    case CONN_NOTICED:
        c->busy = true; // handlers' on_end run here; output follows below
        begin_draining(c, now);
        c->busy = false;
        break;
    case CONN_DRAINING:
        if (c->n_calls == 0)
            over(c, ERR_CLOSED, "drained");
        else if (now >= c->state_ns + LIMIT_GRPC_DRAIN_MS * NS_PER_MS)
            over(c, ERR_TIMEOUT, "%u calls did not end after GOAWAY", c->n_calls);
        else
            keep_alive(c, now);
        break;
    case CONN_OVER:
        break;
    }
    schedule(c);
    grpc_conn_output(c);
}

void grpc_conn_shutdown(struct grpc_conn *c) {
    if (c->state == CONN_NEW) {
        over(c, ERR_CLOSED, "shutting down");
    } else if (c->state == CONN_GREETING || c->state == CONN_OPEN) {
        c->state = CONN_NOTICED;
        c->state_ns = grpc_host_now(c->host);
        nghttp2_submit_shutdown_notice(c->session); // the PING follows it: see on_frame_send()
    }
    schedule(c);
    grpc_conn_output(c);
}

void grpc_conn_progress(struct grpc_conn *c) {
    c->alive_ns = grpc_host_now(c->host);
    c->pinged = false;
}

const struct err *grpc_conn_over(const struct grpc_conn *c) {
    return c->state == CONN_OVER ? &c->over : NULL;
}

/* nghttp2's events */

static struct grpc_call *call_of(nghttp2_session *s, int32_t stream) {
    return nghttp2_session_get_stream_user_data(s, stream);
}

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *user) {
    struct grpc_conn *c = user;
    if (c->state == CONN_OVER || h2_budget_take(&c->budget, hd, c->alive_ns))
        return 0;
    over(c, ERR_PROTO, "more than %d control frames, and %d a second, that carry nothing",
         LIMIT_GRPC_CONTROL_BURST, LIMIT_GRPC_CONTROL_RATE);
    nghttp2_session_terminate_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct grpc_call *call = grpc_call_begin(user, f->hd.stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(s, f->hd.stream_id, call);
    return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *user) {
    struct grpc_call *call = call_of(s, f->hd.stream_id);
    if (call && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        grpc_call_header(call, (struct str){(const char *)name, n_name},
                         (struct str){(const char *)value, n_value});
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *user) {
    struct grpc_conn *c = user;
    struct grpc_call *call = call_of(s, stream);
    if (c->borrower && c->borrower != call)
        grpc_call_settle(c->borrower);
    if (call)
        grpc_call_data(call, p, n);
    return 0;
}

static void on_request_frame(nghttp2_session *s, const nghttp2_frame *f) {
    struct grpc_call *call = call_of(s, f->hd.stream_id);
    if (!call)
        return;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        grpc_call_headers_done(call);
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        grpc_call_half_close(call);
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    struct grpc_conn *c = user;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        on_request_frame(s, f);
        break;
    case NGHTTP2_SETTINGS:
        if (c->state == CONN_GREETING) {
            c->state = CONN_OPEN;
            c->idle_ns = c->alive_ns;
            schedule(c);
        }
        break;
    case NGHTTP2_PING:
        if (c->state == CONN_NOTICED && (f->hd.flags & NGHTTP2_FLAG_ACK) &&
            memcmp(f->ping.opaque_data, drain_ping, sizeof(drain_ping)) == 0)
            begin_draining(c, c->alive_ns);
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    struct grpc_conn *c = user;
    if (!c)
        return 0; // the session that only makes the host's first bytes
    h2_budget_earn(&c->budget, &f->hd);
    if (f->hd.type == NGHTTP2_HEADERS && (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        struct grpc_call *call = call_of(s, f->hd.stream_id);
        if (call && !call->half_closed) // status before the client's half-close: it may stop
            nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
    } else if (f->hd.type == NGHTTP2_GOAWAY && c->state == CONN_NOTICED) {
        // Answered only after the client has read the GOAWAY: what it opened before has come then.
        nghttp2_submit_ping(s, NGHTTP2_FLAG_NONE, drain_ping);
    } else if (f->hd.type == NGHTTP2_GOAWAY && f->goaway.error_code != NGHTTP2_NO_ERROR) {
        over(c, ERR_PROTO, "HTTP/2 %s (" STR_FMT ")", nghttp2_http2_strerror(f->goaway.error_code),
             (int)f->goaway.opaque_data_len, (const char *)f->goaway.opaque_data);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t error, void *user) {
    struct grpc_conn *c = user;
    struct grpc_call *call = call_of(s, stream);
    if (!call)
        return 0;
    grpc_call_stream_closed(call);
    if (c->n_calls == 0 && c->state == CONN_DRAINING) {
        c->idle_ns = grpc_host_now(c->host);
        schedule(c);
    }
    return 0;
}

int grpc_conn_callbacks(nghttp2_session_callbacks *cbs) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(cbs, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
    return 0;
}

/* Bytes */

// A session whose first output is our SETTINGS.
static int session_new(struct grpc_host *h, struct grpc_conn *c, nghttp2_session **ret) {
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_GRPC_STREAMS},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_GRPC_HEADER_BYTES},
    };
    nghttp2_session *s;
    nghttp2_mem mem = *h2_mem();
    if (nghttp2_session_server_new3(&s, h->callbacks, c, h->h2_options, &mem) != 0)
        return ERR_NOMEM;
    if (nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) != 0) {
        nghttp2_session_del(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return 0;
}

// Our first frame is the same on every connection: made once, so that an accepted connection
// costs no nghttp2 session before its client has sent anything.
int grpc_conn_hello(struct grpc_host *h) {
    struct grpc_conn nobody = {.host = h};
    nghttp2_session *session;
    const uint8_t *p;
    if (session_new(h, &nobody, &session) < 0)
        return ERR_NOMEM;
    h2_ssize n = h2_mem_send(session, &p);
    if (n > 0 && (h->hello = mem_alloc((size_t)n))) {
        memcpy(h->hello, p, (size_t)n);
        h->hello_len = (size_t)n;
    }
    nghttp2_session_del(session);
    return h->hello ? 0 : ERR_NOMEM;
}

int grpc_conn_new(struct grpc_conn **ret, struct grpc_host *h, void *shell,
                  const struct net_addr *peer, const char *peer_name, struct err *e) {
    struct grpc_conn *c = mem_zalloc(sizeof(*c));
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    int64_t now = grpc_host_now(h);
    c->host = h;
    c->shell = shell;
    c->peer = peer;
    c->peer_name = peer_name;
    c->out = h->hello;
    c->out_len = h->hello_len;
    c->born_ns = c->alive_ns = c->idle_ns = now;
    c->dies_ns = INT64_MAX;
    if (h->options.max_connection_age_ms > 0) {
        double jitter = 0.9 + 0.2 * random_unit(&h->random);
        c->dies_ns = now + (int64_t)(h->options.max_connection_age_ms * jitter * NS_PER_MS);
    }
    c->deadline.fire = conn_fire;
    h2_budget_init(&c->budget, now);
    schedule(c);
    if (c->state == CONN_OVER) {
        mem_free(c);
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    }
    *ret = c;
    return 0;
}

struct grpc_conn *grpc_conn_free(struct grpc_conn *c) {
    if (!c)
        return NULL;
    c->freeing = true;
    deadline_clear(&c->host->deadlines, &c->deadline);
    nghttp2_session_del(c->session);
    c->session = NULL;
    while (c->calls)
        grpc_call_stream_closed(c->calls);
    mem_free(c);
    return NULL;
}

// The first bytes came: the session, whose first frame was sent already.
static int start_session(struct grpc_conn *c, struct err *e) {
    const uint8_t *p;
    int err = session_new(c->host, c, &c->session);
    if (err < 0)
        return over(c, err, "no memory for an HTTP/2 session");
    h2_ssize n = h2_mem_send(c->session, &p);
    if (n != (h2_ssize)c->host->hello_len || memcmp(p, c->host->hello, (size_t)n) != 0)
        return over(c, ERR_NOMEM, "no memory for SETTINGS");
    c->state = CONN_GREETING;
    return 0;
}

int grpc_conn_recv(struct grpc_conn *c, const uint8_t *p, size_t n, struct err *e) {
    assert(!c->busy);
    c->alive_ns = grpc_host_now(c->host);
    c->pinged = false;
    c->busy = true;
    if (!c->session && c->state != CONN_OVER)
        start_session(c, e);
    h2_ssize got = 0;
    if (c->state != CONN_OVER)
        got = h2_mem_recv(c->session, p, n);
    if (c->borrower)
        grpc_call_settle(c->borrower);
    c->busy = false;
    if (got == NGHTTP2_ERR_NOMEM)
        over(c, ERR_NOMEM, "no memory in HTTP/2");
    else if (got < 0)
        over(c, ERR_PROTO, "HTTP/2: %s", nghttp2_strerror((int)got));
    if (c->state == CONN_OVER)
        return err_set(e, c->over.code, "%s", c->over.msg);
    return 0;
}

size_t grpc_conn_send(struct grpc_conn *c, const uint8_t **ret) {
    if (c->out_len > 0) {
        size_t n = c->out_len;
        *ret = c->out;
        c->out_len = 0;
        return n;
    }
    if (!c->session)
        return 0;
    c->busy = true;
    h2_ssize n = h2_mem_send(c->session, ret);
    c->busy = false;
    if (n < 0)
        over(c, ERR_NOMEM, "HTTP/2: %s", nghttp2_strerror((int)n));
    return n > 0 ? (size_t)n : 0;
}
