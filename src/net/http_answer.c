// SPDX-License-Identifier: Apache-2.0
/* Which route a request takes, and what its answer looks like on the wire. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/http_internal.h"

// How well a route's path fits: 0 not at all, else the longer the better.
static size_t path_fit(const char *route, struct str path) {
    size_t n = strlen(route);
    if (str_eq((struct str){route, n}, path))
        return n + 1;
    bool prefix = n > 1 && route[n - 1] == '/';
    return prefix && path.n > n && memcmp(route, path.p, n) == 0 ? n : 0;
}

static bool method_fits(const char *route, struct str method) {
    return str_eqc(method, route) || (str_eqc(method, "HEAD") && strcmp(route, "GET") == 0);
}

static bool method_known(struct str method) {
    static const char *const known[] = {"GET",   "HEAD",    "POST",    "PUT",  "DELETE",
                                        "PATCH", "OPTIONS", "CONNECT", "TRACE"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eqc(method, known[i]))
            return true;
    return false;
}

// What the server says by itself, in the program's words where it has some.
static void refuse(struct http_request *r, int status, const char *why, const char *headers) {
    const struct http_refusals *f = r->conn ? r->conn->server->refusals : NULL;
    char body[1024];
    int text = f ? (int)f->word(body, sizeof(body), status, why)
                 : snprintf(body, sizeof(body), "%s\n", why);
    size_t n = text < 0 ? 0 : (size_t)text;
    http_request_answer(
        r, &(struct http_answer){.status = status,
                                 .content_type = f ? f->content_type : "text/plain; charset=utf-8",
                                 .extra_headers = headers,
                                 .body = {body, n < sizeof(body) ? n : sizeof(body)}});
}

static void answer_405(struct http_request *r, const char *path) {
    char headers[256] = "Allow: ";
    size_t n = strlen(headers);
    for (const struct http_route *route = r->conn->server->routes; route->path; route++) {
        if (strcmp(route->path, path) != 0)
            continue;
        const char *method = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
        int more = snprintf(headers + n, sizeof(headers) - n, "%s%s",
                            headers[n - 1] == ' ' ? "" : ", ", method);
        if (more > 0 && (size_t)more < sizeof(headers) - n - 3)
            n += (size_t)more;
    }
    (void)snprintf(headers + n, sizeof(headers) - n, "\r\n");
    refuse(r, 405, "this path does not know the method", headers);
}

const struct http_route *http_route_find(struct http_request *r) {
    struct str method = http1_method(&r->h), path = http1_path(&r->h);
    const struct http_route *best = NULL, *allowed = NULL;
    size_t best_fit = 0;
    for (const struct http_route *route = r->conn->server->routes; route->path; route++) {
        size_t fit = path_fit(route->path, path);
        if (fit > best_fit) {
            best_fit = fit;
            best = route;
            allowed = NULL;
        }
        if (fit > 0 && fit == best_fit && !allowed && method_fits(route->method, method))
            allowed = route;
    }
    if (allowed)
        return allowed;
    // The body that a refused client may still send is not waited for.
    if (r->h.state == HTTP1_BODY)
        r->h.keep_alive = false;
    r->conn->server->stats.requests++;
    if (!method_known(method))
        refuse(r, 501, "unknown method", NULL);
    else if (best)
        answer_405(r, best->path);
    else
        refuse(r, 404, "nothing here", NULL);
    return NULL;
}

void http_dispatch(struct http_request *r) {
    struct http_server *s = r->conn->server;
    http_conn_set_phase(r->conn, HTTP_PHASE_ANSWER);
    const struct http_route *route = http_route_find(r);
    if (!route)
        return;
    s->stats.requests++;
    struct http_conn *c = r->conn;
    route->handle(r, s->ctx);
    if (c->eof && c->request == r && c->phase == HTTP_PHASE_ANSWER)
        http_request_tell_gone(r); // it was known before the request's turn came
}

void http_refuse(struct http_request *r, int status, const char *why) {
    r->h.keep_alive = false;
    refuse(r, status, why, NULL);
}

static int add_framing(struct buf *head, const struct http_answer *a, enum http_framing framing) {
    switch (framing) {
    case HTTP_FRAMING_LENGTH:
        if (a->status == 204 || a->status == 304)
            return 0;
        return buf_addf(head, "Content-Length: %zu\r\n", a->body.n);
    case HTTP_FRAMING_CHUNKED:
        return buf_addc(head, "Transfer-Encoding: chunked\r\n");
    case HTTP_FRAMING_CLOSE:
        break;
    }
    return 0;
}

static int add_head(struct buf *head, struct http_request *r, const struct http_answer *a,
                    enum http_framing framing, bool keep) {
    const char *date = http_server_date(r->conn->server);
    int bad = buf_addf(head, "HTTP/1.1 %d %s\r\nDate: %s\r\n", a->status, http1_reason(a->status),
                       date);
    if (a->content_type)
        bad |= buf_addf(head, "Content-Type: %s\r\n", a->content_type);
    bad |= add_framing(head, a, framing);
    if (a->body_gzip)
        bad |= buf_addc(head, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    if (!keep)
        bad |= buf_addc(head, "Connection: close\r\n");
    else if (r->h.minor == 0)
        bad |= buf_addc(head, "Connection: keep-alive\r\n");
    if (a->extra_headers)
        bad |= buf_addc(head, a->extra_headers);
    return bad | buf_addc(head, "\r\n");
}

int http_write_head(struct http_request *r, const struct http_answer *a, enum http_framing framing,
                    bool keep) {
    struct net_stream *stream = r->conn->stream;
    CLEANUP_BUF struct buf head;
    buf_init(&head, LIMIT_HTTP_ANSWER_HEAD_BYTES);
    if (add_head(&head, r, a, framing, keep) < 0) {
        struct err e;
        (void)err_set(&e, ERR_NOMEM, "no memory for an answer's head, or it is too large");
        net_stream_abort(stream, &e);
        return ERR_NOMEM;
    }
    // A failed write aborts the stream, whose end then comes by itself.
    return net_stream_write(stream, head.p, head.len);
}

bool http_bodiless(const struct http_request *r, int status) {
    return status == 204 || status == 304 ||
           (r->h.state != HTTP1_FAILED && str_eqc(http1_method(&r->h), "HEAD"));
}

static void write_answer(struct http_request *r, const struct http_answer *a, bool keep) {
    if (http_write_head(r, a, HTTP_FRAMING_LENGTH, keep) == 0 && !http_bodiless(r, a->status) &&
        a->body.n > 0)
        (void)net_stream_write(r->conn->stream, a->body.p, a->body.n);
}

void http_request_answer(struct http_request *r, const struct http_answer *a) {
    struct http_conn *c = r->conn;
    static const struct http_answer too_large = {
        .status = 500,
        .content_type = "text/plain; charset=utf-8",
        .body = {"the answer is too large\n", 24},
    };
    if (c) {
        if (a->body.n >
            LIMIT_STREAM_WRITE_BYTES - LIMIT_HTTP_OUTPUT_HIGH_BYTES - LIMIT_HTTP_ANSWER_HEAD_BYTES)
            a = &too_large;
        bool keep = r->h.keep_alive && !c->server->closing && !c->ends;
        write_answer(r, a, keep);
        c->request = NULL;
        http_conn_set_phase(c, keep ? HTTP_PHASE_IDLE : HTTP_PHASE_CLOSE);
    }
    http1_done(&r->h);
    mem_free(r);
}

void http_request_answer_text(struct http_request *r, int status, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) - 1 ? (size_t)n : sizeof(text) - 2;
    text[len++] = '\n';
    http_request_answer(r, &(struct http_answer){.status = status,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = {text, len}});
}

struct str http_request_method(const struct http_request *r) {
    return http1_method(&r->h);
}

struct str http_request_path(const struct http_request *r) {
    return http1_path(&r->h);
}

int http_request_param(const struct http_request *r, const char *name, char *dst, size_t cap) {
    return http1_query_param(http1_query(&r->h), name, dst, cap);
}

struct str http_request_header(const struct http_request *r, const char *name) {
    return http1_header(&r->h, name);
}

struct str http_request_body(const struct http_request *r) {
    return http1_body(&r->h);
}

const char *http_request_peer_name(const struct http_request *r) {
    return r->conn ? net_stream_peer_name(r->conn->stream) : "";
}

const struct http1 *http_request_http1(const struct http_request *r) {
    return &r->h;
}

bool http_request_accepts_gzip(const struct http_request *r) {
    return http1_accepts_gzip(&r->h);
}

size_t http_request_prefers(const struct http_request *r, const struct http_offer *offers,
                            size_t n) {
    return http1_prefers(&r->h, offers, n);
}
