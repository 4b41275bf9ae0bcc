// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1.0 and 1.1, client side (RFC 9110, RFC 9112): answers in, in any split, and requests out;
 * no I/O. Bodies are passed on as they come, never gathered.
 *
 *     struct http1_answer a;  http1_answer_init(&a);
 *     http1_answer_expect(&a, is_head);          // before each request: what is left is dropped
 *     while (used < n && (a.state == HTTP1_ANSWER_HEAD || a.state == HTTP1_ANSWER_BODY)) {
 *         used += http1_answer_feed(&a, p + used, n - used, &piece);
 *         ... piece.n bytes of the body at piece.p
 *     }
 *     at the end of the connection: http1_answer_end(&a)
 *     a.state: DONE: complete (bytes behind it were not used);  FAILED: a.why, close
 *
 * Interim answers (1xx) are skipped. Strict: what two readers could read in two ways is refused:
 * lines that end otherwise than with CR LF, control bytes, folded lines, white space before a
 * colon, Content-Length twice or together with Transfer-Encoding, any coding but "chunked". So are
 * 101 (nothing here asks for another protocol), versions other than 1.0 and 1.1, heads over
 * LIMIT_HTTP_HEAD_BYTES or LIMIT_HTTP_HEADERS, chunk lines over LIMIT_HTTP_CHUNK_LINE_BYTES,
 * trailers over LIMIT_HTTP_TRAILER_BYTES, more than LIMIT_HTTP_INTERIM interim answers.
 */
#pragma once

#include "base/err.h"
#include "net/http1.h"

enum http1_answer_state {
    HTTP1_ANSWER_HEAD, // before the end of the head
    HTTP1_ANSWER_BODY, // head complete, the accessors below work, a body follows
    HTTP1_ANSWER_DONE,
    HTTP1_ANSWER_FAILED,
};

struct http1_answer {
    enum http1_answer_state state;
    const char *why; // FAILED: a sentence's end, "a malformed chunk size"

    // From the end of the head on.
    int status;              // 200..599
    uint8_t minor;           // HTTP/1.minor
    bool keep_alive;         // after DONE the connection can be used again
    bool chunked, until_end; // the body's framing; neither: content_length
    bool has_length;         // Content-Length was there (also in an answer to HEAD)
    uint64_t content_length;
    uint64_t body_bytes; // of the body so far, without framing

    // Private.
    bool is_head, closes;
    uint8_t step, interim;
    uint16_t line_at, n_fields;
    uint64_t left; // bytes of the body or chunk still to come
    uint32_t trailer_bytes;
    struct buf head; // kept from answer to answer
    struct http1_field fields[LIMIT_HTTP_HEADERS];
};

void http1_answer_init(struct http1_answer *a); // no allocation; expects no answer to HEAD
void http1_answer_done(struct http1_answer *a);
// For the next answer of the connection. `is_head`: the request is HEAD, its answer has no body.
void http1_answer_expect(struct http1_answer *a, bool is_head);
// Uses bytes up to the end of the head, of one piece of the body, or of the answer, and returns how
// many: at least one unless n is 0 or the state is DONE or FAILED. *ret_body: the body's bytes
// among them, in p; empty when there are none.
size_t http1_answer_feed(struct http1_answer *a, const void *p, size_t n, struct str *ret_body);
// The server closed: a body that ends so is DONE, everything else unfinished FAILED.
void http1_answer_end(struct http1_answer *a);
// True when bytes of an answer (an interim one counts) have come.
bool http1_answer_begun(const struct http1_answer *a);

// From the end of the head on. Views live until the next feed, expect or done.
struct str http1_answer_header(const struct http1_answer *a,
                               const char *name); // first one; {NULL, 0}: absent
bool http1_answer_header_at(const struct http1_answer *a, size_t i, struct str *ret_name,
                            struct str *ret_value);

struct http1_header {
    struct str name, value;
};

// A request's head. Host, Content-Length and the framing are the encoder's: a header of these names
// or Transfer-Encoding is refused.
struct http1_ask {
    struct str method, target, host; // "POST", "/v1/completions?x=1", "localhost:8000"
    const struct http1_header *headers;
    size_t n_headers;
    bool has_body; // Content-Length: body_bytes is written; that many bytes must follow
    uint64_t body_bytes;
};

// Appends the head to `out`. ERR_INVALID (a part that HTTP does not allow, named in `e`; out is as
// it was), ERR_LIMIT or ERR_NOMEM (out may hold a part).
int http1_ask_encode(struct buf *out, const struct http1_ask *ask, struct err *e);
// One header alone, as http1_ask_encode judges it.
int http1_ask_check_header(struct http1_header h, struct err *e);
