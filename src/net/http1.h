// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1.0 and 1.1 requests, server side (RFC 9110, RFC 9112): bytes in, in any split, no I/O.
 * Strict: what two parsers could read in two ways (request smuggling) is refused with the status to
 * answer.
 *
 *     struct http1 h;  http1_init(&h);
 *     used = http1_feed(&h, p, n);          // stops at the end of the head and of the request
 *     h.state: HTTP1_HEAD, HTTP1_BODY: feed more;  HTTP1_DONE: answer, then http1_done();
 *              HTTP1_FAILED: answer h.status with h.why, then close
 *
 * Refused: bare CR or LF, control bytes, folded lines, white space before a colon, a head over
 * LIMIT_HTTP_HEAD_BYTES or LIMIT_HTTP_HEADERS (431), a target over LIMIT_HTTP_TARGET_BYTES (414),
 * HTTP/1.1 without exactly one Host, Content-Length twice or together with Transfer-Encoding, any
 * coding but "chunked" (501), any expectation but 100-continue (417), a body over
 * LIMIT_HTTP_BODY_BYTES (413), any other version (505).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"

enum http1_state {
    HTTP1_HEAD, // before the end of the head
    HTTP1_BODY, // head complete, the accessors below work, a body follows
    HTTP1_DONE,
    HTTP1_FAILED,
};

struct http1_span { // in the head's bytes, which may move while they grow
    uint16_t at, n;
};

struct http1_field {
    struct http1_span name, value;
};

struct http1 {
    enum http1_state state;
    int status;      // FAILED: what to answer (400, 413, 414, 417, 431, 501, 503, 505)
    const char *why; // FAILED: for the answer's body and the log
    bool keep_alive;
    bool expects_continue; // the client waits for "100 Continue" before it sends the body
    bool chunked;
    uint8_t minor;           // HTTP/1.minor
    uint64_t content_length; // of the body, 0 when chunked

    // Private.
    uint8_t step;
    bool cr, blank_skipped, has_length, has_te, has_host, closes;
    uint16_t line_at, n_fields, fields_cap;
    struct http1_span method, path, query;
    uint64_t left; // bytes of the body or chunk still to come
    uint32_t trailer_bytes;
    struct buf head, body;
    struct http1_field *fields; // grows to LIMIT_HTTP_HEADERS
};

void http1_init(struct http1 *h); // no allocation
void http1_done(struct http1 *h);
// Returns the bytes that were used: all of them unless the head or the request ended (state then
// BODY or DONE) or failed.
size_t http1_feed(struct http1 *h, const void *p, size_t n);
// True when bytes of a request have come (an empty line before it does not count).
bool http1_begun(const struct http1 *h);

// From the end of the head on. Views live until the next http1_feed() or http1_done().
struct str http1_method(const struct http1 *h);
struct str
http1_path(const struct http1 *h); // percent-decoded, without the query; "*" for OPTIONS *
struct str http1_query(const struct http1 *h);                    // raw, without '?'
struct str http1_header(const struct http1 *h, const char *name); // first one; {NULL, 0}: absent
struct str http1_body(const struct http1 *h);                     // DONE
// The i-th header, for those that may come several times; false after the last.
bool http1_header_at(const struct http1 *h, size_t i, struct str *ret_name, struct str *ret_value);

// Value of one parameter of a query, percent-decoded ('+' is a space) into dst with NUL:
// 0, ERR_NOTFOUND, ERR_LIMIT (too long for dst), ERR_PARSE (bad escape or a NUL).
int http1_query_param(struct str query, const char *name, char *dst, size_t cap);
// What Accept-Encoding says about gzip, by its weights (RFC 9110 12.5.3). Absent: false.
bool http1_accepts_gzip(const struct http1 *h);
// A representation that can be answered.
struct http_offer {
    const char *type;    // "text/plain"
    const char *version; // of its version parameter; NULL: it has none
    bool named_only;     // only for who names the type: not for "*/*" or "text/*"
};
// Which of the offers Accept prefers (RFC 9110 12.5.1): the highest weight, each offer's by the
// range that fits it most closely; among equals the one that is named, then the one named first.
// The first offer where there is no Accept, or it accepts none. A range whose version is another
// than the offer's does not fit; other parameters (charset, escaping) are not looked at; a range
// with a malformed weight counts as not written.
size_t http1_prefers(const struct http1 *h, const struct http_offer *offers, size_t n);
// "OK", "Not Found"; "" for codes that are not registered here.
const char *http1_reason(int status);
