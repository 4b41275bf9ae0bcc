// SPDX-License-Identifier: Apache-2.0
/* Answers that are made over time, and what their makers want to know of the client. */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/http_internal.h"

void http_request_watch(struct http_request *r, const struct http_watch *watch, void *ctx) {
    r->watch = watch;
    r->watch_ctx = ctx;
}

void http_request_tell_gone(struct http_request *r) {
    const struct http_watch *w = r->watch;
    if (!w)
        return;
    r->watch = NULL; // nothing else comes after it
    if (w->gone)
        w->gone(r, r->watch_ctx);
}

void http_request_tell_writable(struct http_request *r) {
    if (!r->starved)
        return;
    r->starved = false;
    if (r->watch && r->watch->writable)
        r->watch->writable(r, r->watch_ctx);
}

void http_request_begin(struct http_request *r, const struct http_answer *a) {
    struct http_conn *c = r->conn;
    r->begun = true;
    if (!c)
        return;
    r->bodiless = http_bodiless(r, a->status);
    r->chunked = r->h.minor > 0;
    r->keep = r->h.keep_alive && !c->server->closing && !c->ends && (r->chunked || r->bodiless);
    (void)http_write_head(r, a, r->chunked ? HTTP_FRAMING_CHUNKED : HTTP_FRAMING_CLOSE, r->keep);
}

static int write_piece(struct http_request *r, struct str piece) {
    struct net_stream *stream = r->conn->stream;
    if (!r->chunked)
        return net_stream_write(stream, piece.p, piece.n);
    char line[24];
    int n = snprintf(line, sizeof(line), "%zx\r\n", piece.n);
    int rc = net_stream_write(stream, line, (size_t)n);
    if (rc == 0)
        rc = net_stream_write(stream, piece.p, piece.n);
    return rc == 0 ? net_stream_write(stream, "\r\n", 2) : rc;
}

int http_request_send(struct http_request *r, struct str piece) {
    if (piece.n > LIMIT_HTTP_PIECE_BYTES)
        return ERR_LIMIT;
    if (!r->conn)
        return ERR_CLOSED;
    if (piece.n == 0 || r->bodiless) // an empty chunk would be the last one
        return 0;
    if (net_stream_queued(r->conn->stream) >= LIMIT_HTTP_OUTPUT_HIGH_BYTES) {
        r->starved = true;
        return ERR_AGAIN;
    }
    return write_piece(r, piece);
}

static void request_free(struct http_request *r) {
    http1_done(&r->h);
    mem_free(r);
}

void http_request_end(struct http_request *r) {
    struct http_conn *c = r->conn;
    if (c) {
        if (r->chunked && !r->bodiless)
            (void)net_stream_write(c->stream, "0\r\n\r\n", 5);
        c->request = NULL;
        bool keep = r->keep && !c->server->closing && !c->ends;
        http_conn_set_phase(c, keep ? HTTP_PHASE_IDLE : HTTP_PHASE_CLOSE);
        net_stream_poke(c->stream); // `drained` goes on with the connection, or closes it
    }
    request_free(r);
}

void http_request_drop(struct http_request *r) {
    struct http_conn *c = r->conn;
    if (c) {
        c->request = NULL;
        http_conn_set_phase(c, HTTP_PHASE_CLOSE);
        net_stream_abort(c->stream, NULL);
    }
    request_free(r);
}
