// SPDX-License-Identifier: Apache-2.0
/*
 * The request codec's state machine: lines of the head, then a body of known length or chunks. The
 * head's bytes are kept; everything about them is an offset. Bytes are checked as they come, so
 * that a failure does not depend on how the input was split. Lines are read in http1_line.c.
 */
#include "net/http1.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/http1_line.h"

enum step {
    STEP_REQUEST_LINE,
    STEP_FIELDS,
    STEP_FIXED_BODY,
    STEP_CHUNK_SIZE,
    STEP_CHUNK_DATA,
    STEP_CHUNK_END, // CRLF behind the data
    STEP_TRAILERS,
};

void http1_init(struct http1 *h) {
    *h = (struct http1){.state = HTTP1_HEAD, .step = STEP_REQUEST_LINE};
    // Behind the head pass the lines of chunks and trailers.
    buf_init(&h->head, LIMIT_HTTP_HEAD_BYTES + LIMIT_HTTP_TRAILER_BYTES);
    buf_init(&h->body, LIMIT_HTTP_BODY_BYTES);
}

void http1_done(struct http1 *h) {
    buf_done(&h->head);
    buf_done(&h->body);
    mem_free(h->fields);
    h->fields = NULL;
}

bool http1_begun(const struct http1 *h) {
    return h->state != HTTP1_HEAD || h->head.len > 0;
}

void http1_fail(struct http1 *h, int status, const char *why) {
    h->state = HTTP1_FAILED;
    h->status = status;
    h->why = why;
    h->keep_alive = false;
}

// Bytes of lines: CR only before LF, LF only after CR, HTAB the only other control byte.
static bool line_byte_ok(struct http1 *h, unsigned char c) {
    if (h->cr) {
        h->cr = false;
        return c == '\n';
    }
    if (c == '\r') {
        h->cr = true;
        return true;
    }
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

// How many bytes of p belong to the current line (its LF included), at most `max`; sets
// *ret_complete. Fails the request at a byte that no line may hold.
static size_t take_line(struct http1 *h, const char *p, size_t n, size_t max, bool *ret_complete) {
    size_t i = 0;
    *ret_complete = false;
    while (i < n && i < max) {
        unsigned char c = (unsigned char)p[i];
        bool after_cr = h->cr;
        if (!line_byte_ok(h, c)) {
            http1_fail(h, 400,
                       after_cr || c == '\n' ? "a line ends with CR LF, nothing else"
                                             : "a control byte in the head");
            return i;
        }
        i++;
        if (c == '\n') {
            *ret_complete = true;
            return i;
        }
    }
    return i;
}

// The body's framing, when all fields are known (RFC 9112 section 6.3).
static void head_complete(struct http1 *h) {
    if (h->minor == 1 && !h->has_host) {
        http1_fail(h, 400, "HTTP/1.1 without Host");
        return;
    }
    if (h->has_te && h->has_length) {
        http1_fail(h, 400, "both Content-Length and Transfer-Encoding");
        return;
    }
    if (h->has_te && h->minor == 0) {
        http1_fail(h, 400, "Transfer-Encoding in HTTP/1.0");
        return;
    }
    if (h->content_length > LIMIT_HTTP_BODY_BYTES) {
        http1_fail(h, 413, "the body is too large");
        return;
    }
    http1_decode_path(h);
    if (h->state == HTTP1_FAILED)
        return;
    h->chunked = h->has_te;
    h->left = h->content_length;
    h->step = h->chunked ? STEP_CHUNK_SIZE : STEP_FIXED_BODY;
    h->state = h->chunked || h->left > 0 ? HTTP1_BODY : HTTP1_DONE;
    if (h->state == HTTP1_DONE || h->minor == 0)
        h->expects_continue = false;
}

static void head_line(struct http1 *h) {
    size_t n = h->head.len - h->line_at - 2;
    struct str line = {h->head.p + h->line_at, n};
    if (h->step == STEP_REQUEST_LINE) {
        if (n == 0 && !h->blank_skipped) { // RFC 9112 2.2: one empty line before it is forgiven
            h->blank_skipped = true;
            buf_clear(&h->head);
            return;
        }
        http1_request_line(h, line);
        h->step = STEP_FIELDS;
    } else if (n == 0) {
        head_complete(h);
    } else {
        http1_field_line(h, line);
    }
    h->line_at = (uint16_t)h->head.len;
}

// Room for more bytes of the current line.
static size_t head_room(const struct http1 *h) {
    size_t all = LIMIT_HTTP_HEAD_BYTES - h->head.len;
    if (h->step != STEP_REQUEST_LINE)
        return all;
    // Method, spaces, version and CR LF beside the target.
    size_t most = LIMIT_HTTP_TARGET_BYTES + HTTP1_METHOD_MAX + sizeof("  HTTP/1.1\r\n") - 1;
    return h->head.len < most ? most - h->head.len : 0;
}

static size_t feed_head(struct http1 *h, const char *p, size_t n) {
    size_t room = head_room(h);
    if (room == 0) {
        if (h->step == STEP_REQUEST_LINE)
            http1_fail(h, 414, "the request's target is too long");
        else
            http1_fail(h, 431, "the request's head is too large");
        return 0;
    }
    bool complete;
    size_t used = take_line(h, p, n, room, &complete);
    if (h->state == HTTP1_FAILED)
        return used;
    if (buf_add(&h->head, p, used) < 0) { // the size was checked: no memory
        http1_fail(h, 503, "no memory for the request");
        return 0;
    }
    if (complete)
        head_line(h);
    return used;
}

static size_t feed_fixed(struct http1 *h, const char *p, size_t n) {
    size_t take = n < h->left ? n : (size_t)h->left;
    if (buf_add(&h->body, p, take) < 0) { // the length was checked: no memory
        http1_fail(h, 503, "no memory for the body");
        return 0;
    }
    h->left -= take;
    if (h->left == 0)
        h->state = HTTP1_DONE;
    return take;
}

// Chunk and trailer lines are short-lived: they pass through the head's buffer behind the head.
static size_t feed_line(struct http1 *h, const char *p, size_t n, size_t max, bool *ret_complete,
                        struct str *ret_line) {
    size_t have = h->head.len - h->line_at;
    *ret_complete = false;
    if (have >= max) {
        http1_fail(h, 400, "a chunk's line is too long");
        return 0;
    }
    size_t used = take_line(h, p, n, max - have, ret_complete);
    if (h->state == HTTP1_FAILED)
        return used;
    if (buf_add(&h->head, p, used) < 0) {
        http1_fail(h, 503, "no memory for the request");
        return 0;
    }
    *ret_line = (struct str){h->head.p + h->line_at, h->head.len - h->line_at};
    if (*ret_complete)
        ret_line->n -= 2;
    return used;
}

static void chunk_size(struct http1 *h, struct str line) {
    uint64_t size;
    if (!http1_chunk_line(line, &size)) {
        http1_fail(h, 400, "a malformed chunk size");
        return;
    }
    if (size > LIMIT_HTTP_BODY_BYTES - h->body.len) {
        http1_fail(h, 413, "the body is too large");
        return;
    }
    h->left = size;
    h->step = size > 0 ? STEP_CHUNK_DATA : STEP_TRAILERS;
}

static size_t feed_chunk_size(struct http1 *h, const char *p, size_t n) {
    bool complete;
    struct str line;
    size_t used = feed_line(h, p, n, LIMIT_HTTP_CHUNK_LINE_BYTES, &complete, &line);
    if (complete) {
        chunk_size(h, line);
        buf_truncate(&h->head, h->line_at);
    }
    return used;
}

static size_t feed_chunk_data(struct http1 *h, const char *p, size_t n) {
    size_t take = n < h->left ? n : (size_t)h->left;
    if (buf_add(&h->body, p, take) < 0) {
        http1_fail(h, 503, "no memory for the body");
        return 0;
    }
    h->left -= take;
    if (h->left == 0)
        h->step = STEP_CHUNK_END;
    return take;
}

static size_t feed_chunk_end(struct http1 *h, const char *p, size_t n) {
    bool complete;
    size_t used = take_line(h, p, 1, 1, &complete);
    if (h->state == HTTP1_FAILED || (!h->cr && !complete)) {
        http1_fail(h, 400, "a chunk is longer than its size says");
        return used;
    }
    if (complete)
        h->step = STEP_CHUNK_SIZE;
    return used;
}

// Trailers are checked like headers and forgotten: nothing here uses one.
static size_t feed_trailers(struct http1 *h, const char *p, size_t n) {
    bool complete;
    struct str line;
    size_t left = LIMIT_HTTP_TRAILER_BYTES - h->trailer_bytes;
    if (left == 0) {
        http1_fail(h, 431, "the trailers are too large");
        return 0;
    }
    size_t used = feed_line(h, p, n < left ? n : left, LIMIT_HTTP_TRAILER_BYTES, &complete, &line);
    h->trailer_bytes += (uint32_t)used;
    if (!complete || h->state == HTTP1_FAILED)
        return used;
    if (line.n == 0)
        h->state = HTTP1_DONE;
    else if (!http1_field_ok(line))
        http1_fail(h, 400, "a malformed trailer");
    buf_truncate(&h->head, h->line_at);
    return used;
}

size_t http1_feed(struct http1 *h, const void *bytes, size_t n) {
    const char *p = bytes;
    size_t used = 0;
    bool in_head = h->state == HTTP1_HEAD;
    while (used < n && (h->state == HTTP1_HEAD || (h->state == HTTP1_BODY && !in_head))) {
        size_t left = n - used;
        switch ((enum step)h->step) {
        case STEP_REQUEST_LINE:
        case STEP_FIELDS:
            used += feed_head(h, p + used, left);
            break;
        case STEP_FIXED_BODY:
            used += feed_fixed(h, p + used, left);
            break;
        case STEP_CHUNK_SIZE:
            used += feed_chunk_size(h, p + used, left);
            break;
        case STEP_CHUNK_DATA:
            used += feed_chunk_data(h, p + used, left);
            break;
        case STEP_CHUNK_END:
            used += feed_chunk_end(h, p + used, left);
            break;
        case STEP_TRAILERS:
            used += feed_trailers(h, p + used, left);
            break;
        }
    }
    return used;
}

static struct str span(const struct http1 *h, struct http1_span s) {
    return (struct str){h->head.p + s.at, s.n};
}

struct str http1_method(const struct http1 *h) {
    return span(h, h->method);
}

struct str http1_path(const struct http1 *h) {
    return h->path.n ? span(h, h->path) : STR("/"); // "http://host"
}

struct str http1_query(const struct http1 *h) {
    return span(h, h->query);
}

struct str http1_body(const struct http1 *h) {
    return h->body.len ? buf_str(&h->body) : STR("");
}

bool http1_header_at(const struct http1 *h, size_t i, struct str *ret_name, struct str *ret_value) {
    if (i >= h->n_fields)
        return false;
    *ret_name = span(h, h->fields[i].name);
    *ret_value = span(h, h->fields[i].value);
    return true;
}

struct str http1_header(const struct http1 *h, const char *name) {
    struct str wanted = str_from(name);
    for (size_t i = 0; i < h->n_fields; i++)
        if (str_eq_nocase(span(h, h->fields[i].name), wanted))
            return span(h, h->fields[i].value);
    return (struct str){NULL, 0};
}
