// SPDX-License-Identifier: Apache-2.0
/*
 * The answer codec's state machine: lines of the head, then a body of known length, chunks, or all
 * up to the end. Lines are gathered in one buffer, the head's stay there, and a line is judged when
 * it is complete, so that a verdict does not depend on how the input was split; only a first line
 * that no HTTP/1 answer has is refused at its first wrong byte, because its end may never come.
 */
#include "net/http1_answer.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "net/http1_line.h"

enum step {
    STEP_STATUS_LINE,
    STEP_FIELDS,
    STEP_FIXED_BODY,
    STEP_REST, // up to the connection's end
    STEP_CHUNK_SIZE,
    STEP_CHUNK_DATA,
    STEP_CHUNK_END, // CRLF behind the data
    STEP_TRAILERS,
};

static const char status_start[] = "HTTP/1.";

static void fail(struct http1_answer *a, const char *why) {
    a->state = HTTP1_ANSWER_FAILED;
    a->why = why;
    a->keep_alive = false;
}

// All but the head's memory, and what counts over interim answers.
static void restart(struct http1_answer *a) {
    a->state = HTTP1_ANSWER_HEAD;
    a->why = NULL;
    a->status = 0;
    a->minor = 0;
    a->keep_alive = a->chunked = a->until_end = a->has_length = a->closes = false;
    a->content_length = a->body_bytes = a->left = 0;
    a->step = STEP_STATUS_LINE;
    a->line_at = a->n_fields = 0;
    a->trailer_bytes = 0;
    buf_clear(&a->head);
}

void http1_answer_init(struct http1_answer *a) {
    // Behind the head pass the lines of chunks and trailers.
    buf_init(&a->head, LIMIT_HTTP_HEAD_BYTES + LIMIT_HTTP_TRAILER_BYTES);
    http1_answer_expect(a, false);
}

void http1_answer_done(struct http1_answer *a) {
    buf_done(&a->head);
}

void http1_answer_expect(struct http1_answer *a, bool is_head) {
    restart(a);
    a->interim = 0;
    a->is_head = is_head;
}

bool http1_answer_begun(const struct http1_answer *a) {
    return a->state != HTTP1_ANSWER_HEAD || a->head.len > 0 || a->interim > 0;
}

static struct http1_span span_at(const struct http1_answer *a, struct str s) {
    return (struct http1_span){(uint16_t)(s.p - a->head.p), (uint16_t)s.n};
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

// HTTP/1.x SP 3DIGIT [SP reason]: some servers forget the space before a reason that is empty.
static void status_line(struct http1_answer *a, struct str line) {
    const char *p = line.p;
    if (line.n < 12 || !digit(p[7]) || p[8] != ' ' || !digit(p[9]) || !digit(p[10]) ||
        !digit(p[11]) || (line.n > 12 && p[12] != ' ')) {
        fail(a, "a malformed status line");
        return;
    }
    a->minor = (uint8_t)(p[7] - '0');
    a->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    if (a->minor > 1)
        fail(a, "another version than HTTP/1.0 or HTTP/1.1");
    else if (a->status < 100 || a->status > 599)
        fail(a, "a status that is not 100 to 599");
    a->keep_alive = a->minor == 1 && a->state != HTTP1_ANSWER_FAILED;
    a->step = STEP_FIELDS;
}

static void field_line(struct http1_answer *a, struct str line) {
    struct str name, value;
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        fail(a, "a folded header line");
        return;
    }
    if (!http1_cut_field(line, &name, &value)) {
        fail(a, "a header line that is not Name: value");
        return;
    }
    if (a->n_fields == LIMIT_HTTP_HEADERS) {
        fail(a, "too many headers");
        return;
    }
    a->fields[a->n_fields++] = (struct http1_field){span_at(a, name), span_at(a, value)};
    if (str_eq_nocase(name, STR("content-length"))) {
        if (a->has_length)
            fail(a, "Content-Length twice");
        else if (!http1_length(value, &a->content_length))
            fail(a, "a Content-Length that is not a number");
        a->has_length = true;
    } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
        if (a->chunked || !str_eq_nocase(value, STR("chunked")))
            fail(a, "a Transfer-Encoding other than chunked");
        a->chunked = true;
    } else if (str_eq_nocase(name, STR("connection"))) {
        http1_connection(value, &a->keep_alive, &a->closes);
    }
}

// The body's framing, when all fields are known (RFC 9112 section 6.3).
static void head_complete(struct http1_answer *a) {
    if (a->chunked && (a->has_length || a->minor == 0)) {
        fail(a, a->has_length ? "both Content-Length and Transfer-Encoding"
                              : "Transfer-Encoding in HTTP/1.0");
        return;
    }
    if (a->status == 101) {
        fail(a, "101 Switching Protocols, which was not asked for");
        return;
    }
    if (a->status < 200) {
        if (a->interim == LIMIT_HTTP_INTERIM) {
            fail(a, "too many interim answers");
            return;
        }
        a->interim++;
        restart(a);
        return;
    }
    bool empty = a->is_head || a->status == 204 || a->status == 304;
    if (empty) {
        a->chunked = false;
    } else if (a->chunked) {
        a->step = STEP_CHUNK_SIZE;
    } else if (a->has_length) {
        a->left = a->content_length;
        a->step = STEP_FIXED_BODY;
        empty = a->left == 0;
    } else {
        a->until_end = true;
        a->keep_alive = false;
        a->step = STEP_REST;
    }
    a->state = empty ? HTTP1_ANSWER_DONE : HTTP1_ANSWER_BODY;
}

// A whole line lies in the buffer behind line_at: CR right before LF and nowhere else, no other
// control byte but HTAB.
static bool take_text(struct http1_answer *a, struct str *ret_line) {
    size_t n = a->head.len - a->line_at;
    const char *p = a->head.p + a->line_at;
    unsigned bad = 0;
    if (n < 2 || p[n - 2] != '\r') {
        fail(a, "a line that does not end with CR LF");
        return false;
    }
    for (size_t i = 0; i < n - 2; i++) {
        unsigned char c = (unsigned char)p[i];
        bad |= (c < 0x20) & (c != '\t');
        bad |= c == 0x7f;
    }
    if (bad) {
        fail(a, "a control byte in a line");
        return false;
    }
    *ret_line = (struct str){p, n - 2};
    return true;
}

// Gathers the current line, at most `max` bytes with its end: the bytes used, and whether it is
// complete. Fails with `over` when it cannot be.
static size_t gather(struct http1_answer *a, const char *p, size_t n, size_t max, const char *over,
                     bool *ret_complete) {
    size_t have = a->head.len - a->line_at, room = max - have;
    assert(have <= max);
    *ret_complete = false;
    if (room == 0) {
        fail(a, over);
        return 0;
    }
    size_t take = n < room ? n : room;
    const char *end = memchr(p, '\n', take);
    if (end)
        take = (size_t)(end - p) + 1;
    if (buf_add(&a->head, p, take) < 0) { // the size was checked: no memory
        fail(a, "no memory for the answer");
        return 0;
    }
    *ret_complete = end != NULL;
    return take;
}

// The first bytes of an answer, as they come.
static bool start_ok(struct http1_answer *a, const char *p, size_t n, size_t *ret_used) {
    size_t have = a->head.len;
    for (size_t i = 0; have + i < sizeof(status_start) - 1 && i < n; i++)
        if (p[i] != status_start[have + i]) {
            fail(a, "bytes that are no HTTP/1 answer");
            *ret_used = i;
            return false;
        }
    return true;
}

static size_t feed_head(struct http1_answer *a, const char *p, size_t n) {
    bool complete;
    struct str line;
    size_t used;
    if (a->step == STEP_STATUS_LINE && !start_ok(a, p, n, &used))
        return used;
    used = gather(a, p, n, LIMIT_HTTP_HEAD_BYTES - a->line_at, "a head that is too large",
                  &complete);
    if (!complete || !take_text(a, &line))
        return used;
    if (a->step == STEP_STATUS_LINE)
        status_line(a, line);
    else if (line.n > 0)
        field_line(a, line);
    else
        head_complete(a);
    a->line_at = (uint16_t)a->head.len;
    return used;
}

static size_t feed_chunk_size(struct http1_answer *a, const char *p, size_t n) {
    bool complete;
    struct str line;
    size_t used = gather(a, p, n, LIMIT_HTTP_CHUNK_LINE_BYTES, "a chunk's line that is too long",
                         &complete);
    if (!complete || !take_text(a, &line))
        return used;
    if (!http1_chunk_line(line, &a->left))
        fail(a, "a malformed chunk size");
    a->step = a->left > 0 ? STEP_CHUNK_DATA : STEP_TRAILERS;
    buf_truncate(&a->head, a->line_at);
    return used;
}

static size_t feed_chunk_end(struct http1_answer *a, const char *p) {
    static const char end[2] = "\r\n";
    size_t have = a->head.len - a->line_at;
    if (p[0] != end[have]) {
        fail(a, "a chunk that is longer than its size says");
        return 0;
    }
    if (have == 0) {
        if (buf_add_byte(&a->head, p[0]) < 0)
            fail(a, "no memory for the answer");
        return 1;
    }
    buf_truncate(&a->head, a->line_at);
    a->step = STEP_CHUNK_SIZE;
    return 1;
}

// Trailers are checked like headers and forgotten.
static size_t feed_trailers(struct http1_answer *a, const char *p, size_t n) {
    bool complete;
    struct str line;
    size_t have = a->head.len - a->line_at;
    size_t used = gather(a, p, n, LIMIT_HTTP_TRAILER_BYTES - a->trailer_bytes + have,
                         "trailers that are too large", &complete);
    a->trailer_bytes += (uint32_t)used;
    if (!complete || !take_text(a, &line))
        return used;
    if (line.n == 0)
        a->state = HTTP1_ANSWER_DONE;
    else if (!http1_field_ok(line))
        fail(a, "a malformed trailer");
    buf_truncate(&a->head, a->line_at);
    return used;
}

static size_t feed_data(struct http1_answer *a, const char *p, size_t n, struct str *ret_body) {
    size_t take = n;
    if (a->step != STEP_REST) {
        take = n < a->left ? n : (size_t)a->left;
        a->left -= take;
    }
    *ret_body = (struct str){p, take};
    a->body_bytes += take;
    if (a->step == STEP_FIXED_BODY && a->left == 0)
        a->state = HTTP1_ANSWER_DONE;
    else if (a->step == STEP_CHUNK_DATA && a->left == 0)
        a->step = STEP_CHUNK_END;
    return take;
}

size_t http1_answer_feed(struct http1_answer *a, const void *bytes, size_t n,
                         struct str *ret_body) {
    const char *p = bytes;
    size_t used = 0;
    bool in_head = a->state == HTTP1_ANSWER_HEAD;
    *ret_body = (struct str){p, 0};
    while (used < n && ret_body->n == 0 &&
           a->state == (in_head ? HTTP1_ANSWER_HEAD : HTTP1_ANSWER_BODY)) {
        size_t left = n - used;
        switch ((enum step)a->step) {
        case STEP_STATUS_LINE:
        case STEP_FIELDS:
            used += feed_head(a, p + used, left);
            break;
        case STEP_CHUNK_SIZE:
            used += feed_chunk_size(a, p + used, left);
            break;
        case STEP_CHUNK_END:
            used += feed_chunk_end(a, p + used);
            break;
        case STEP_TRAILERS:
            used += feed_trailers(a, p + used, left);
            break;
        case STEP_FIXED_BODY:
        case STEP_REST:
        case STEP_CHUNK_DATA:
            used += feed_data(a, p + used, left, ret_body);
            break;
        }
    }
    return used;
}

void http1_answer_end(struct http1_answer *a) {
    if (a->state == HTTP1_ANSWER_BODY && a->until_end)
        a->state = HTTP1_ANSWER_DONE;
    else if (a->state == HTTP1_ANSWER_BODY)
        fail(a, "closed in the middle of the body");
    else if (a->state == HTTP1_ANSWER_HEAD)
        fail(a, http1_answer_begun(a) ? "closed in the middle of the head"
                                      : "closed before the answer");
}

static struct str span(const struct http1_answer *a, struct http1_span s) {
    return (struct str){a->head.p + s.at, s.n};
}

bool http1_answer_header_at(const struct http1_answer *a, size_t i, struct str *ret_name,
                            struct str *ret_value) {
    if (i >= a->n_fields)
        return false;
    *ret_name = span(a, a->fields[i].name);
    *ret_value = span(a, a->fields[i].value);
    return true;
}

struct str http1_answer_header(const struct http1_answer *a, const char *name) {
    struct str wanted = str_from(name);
    for (size_t i = 0; i < a->n_fields; i++)
        if (str_eq_nocase(span(a, a->fields[i].name), wanted))
            return span(a, a->fields[i].value);
    return (struct str){NULL, 0};
}
