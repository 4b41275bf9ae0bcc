// SPDX-License-Identifier: Apache-2.0
/*
 * The answer codec: what is read, what is refused, and that neither depends on how the bytes were
 * split nor breaks when memory ends.
 */
#include "unit.h"

#include "base/mem.h"
#include "net/http1_answer.h"

// What became of an input: compared between ways of feeding it.
struct outcome {
    int state, status;
    size_t used;
    uint64_t body_bytes;
    bool keep_alive;
    char text[4096]; // headers, body; or why
};

static void append(struct outcome *o, struct str s, const char *end) {
    size_t n = strlen(o->text), room = sizeof(o->text) - 2 - n;
    size_t take = s.n < room ? s.n : room; // the text of large inputs is cut
    if (take > 0)
        memcpy(o->text + n, s.p, take);
    o->text[n + take] = '\0';
    if (take < room && *end)
        o->text[n + take] = *end;
}

static void describe_head(const struct http1_answer *a, struct outcome *o) {
    struct str name, value;
    for (size_t i = 0; http1_answer_header_at(a, i, &name, &value); i++) {
        append(o, name, "=");
        append(o, value, "|");
    }
}

enum { TO_THE_END = 1, IS_HEAD = 2 };

// Feeds a first piece, then pieces of `step` bytes (0: all that is left); each in memory of its
// own, so that a sanitizer sees a read past it.
static void feed_in(struct str input, int how, size_t first, size_t step, struct outcome *o) {
    struct http1_answer a;
    memset(o, 0, sizeof(*o));
    http1_answer_init(&a);
    http1_answer_expect(&a, how & IS_HEAD);
    bool head_told = false;
    size_t piece = first;
    while (o->used < input.n && a.state < HTTP1_ANSWER_DONE) {
        size_t n = piece && piece < input.n - o->used ? piece : input.n - o->used;
        uint8_t *copy = malloc(n);
        struct str body;
        assert_non_null(copy);
        memcpy(copy, input.p + o->used, n);
        size_t took = http1_answer_feed(&a, copy, n, &body);
        assert_true(took <= n && body.n <= took);
        assert_true(took > 0 || a.state == HTTP1_ANSWER_FAILED);
        if (!head_told && (a.state == HTTP1_ANSWER_BODY || a.state == HTTP1_ANSWER_DONE)) {
            describe_head(&a, o);
            head_told = true;
        }
        append(o, body, "");
        free(copy);
        o->used += took;
        piece = took == n ? step : n - took;
    }
    if (how & TO_THE_END)
        http1_answer_end(&a);
    o->state = (int)a.state;
    o->status = a.state == HTTP1_ANSWER_FAILED ? 0 : a.status;
    o->keep_alive = a.keep_alive;
    o->body_bytes = a.body_bytes;
    if (a.state == HTTP1_ANSWER_FAILED)
        append(o, str_from(a.why), "!");
    http1_answer_done(&a);
}

static struct outcome feed_all(struct str input, int how) {
    struct outcome o;
    feed_in(input, how, 0, 0, &o);
    return o;
}

static void check_every_split(struct str input, int how) {
    struct outcome whole = feed_all(input, how), other;
    for (size_t at = 1; at < input.n; at++) {
        feed_in(input, how, at, 0, &other);
        if (memcmp(&whole, &other, sizeof(whole)) != 0)
            fail_msg("split at %zu: state %d/%d status %d/%d used %zu/%zu\n%s\n%s\nof %s", at,
                     whole.state, other.state, whole.status, other.status, whole.used, other.used,
                     whole.text, other.text, input.p);
    }
    for (size_t step = 1; step < 4; step++) {
        feed_in(input, how, step, step, &other);
        assert_memory_equal(&whole, &other, sizeof(whole));
    }
}

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *input;
    const char *text; // name=value|...body
    int status, how;
    bool keep_alive;
} good[] = {
    {OK "Content-Length: 2\r\n\r\nab", "Content-Length=2|ab", 200, 0, true},
    {OK "content-length: 0\r\n\r\n", "content-length=0|", 200, 0, true},
    {OK "Content-Length: 0003\r\n\r\nabcHTTP", "Content-Length=0003|abc", 200, 0, true},
    {"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", "Content-Length=1|a", 200, 0, true},
    {"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", "Content-Length=1|a", 200, 0, true},
    {"HTTP/1.1 503 Not  Now \xc3\xa9\r\nContent-Length: 0\r\nRetry-After:\t1 \r\n\r\n",
     "Content-Length=0|Retry-After=1|", 503, 0, true},
    {OK "Content-Length: 1\r\nConnection: close\r\n\r\na", "Content-Length=1|Connection=close|a",
     200, 0, false},
    {OK "Content-Length: 1\r\nConnection: TE, Close\r\nConnection: keep-alive\r\n\r\na",
     "Content-Length=1|Connection=TE, Close|Connection=keep-alive|a", 200, 0, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "Content-Length=1|a", 200, 0, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\na",
     "Content-Length=1|Connection=Keep-Alive|a", 200, 0, true},
    // Chunks
    {CHUNKED "3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n000\r\n\r\nHTTP",
     "Transfer-Encoding=chunked|abc0123456789", 200, 0, true},
    {OK "Transfer-Encoding: Chunked\r\n\r\n1\r\nz\r\n0\r\nTrailer: v\r\nOther: w\r\n\r\n",
     "Transfer-Encoding=Chunked|z", 200, 0, true},
    {CHUNKED "0\r\n\r\n", "Transfer-Encoding=chunked|", 200, 0, true},
    {CHUNKED "2\r\n\r\n\r\n0\r\n\r\n", "Transfer-Encoding=chunked|\r\n", 200, 0, true},
    // Up to the end
    {OK "\r\nabc", "abc", 200, TO_THE_END, false},
    {OK "\r\n", "", 200, TO_THE_END, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc", "Connection=keep-alive|abc", 200,
     TO_THE_END, false},
    // No body, whatever the head says
    {"HTTP/1.1 204 No Content\r\n\r\nX", "", 204, 0, true},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nX", "Content-Length=5|", 204, 0, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "Content-Length=5|", 304, 0, true},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding=chunked|", 304, 0, true},
    {OK "Content-Length: 5\r\n\r\nHTTP", "Content-Length=5|", 200, IS_HEAD, true},
    {CHUNKED, "Transfer-Encoding=chunked|", 200, IS_HEAD, true},
    {OK "\r\n", "", 200, IS_HEAD, true},
    // Interim answers
    {"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\na", "Content-Length=1|a", 200, 0,
     true},
    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n"
     "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
     "Content-Length=0|", 404, 0, true},
};

static void answers_are_read_the_same_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct outcome o = feed_all(str_from(good[i].input), good[i].how);
        if (o.state != HTTP1_ANSWER_DONE || o.status != good[i].status)
            fail_msg("state %d status %d %s: %s", o.state, o.status, o.text, good[i].input);
        assert_string_equal(o.text, good[i].text);
        assert_int_equal(o.keep_alive, good[i].keep_alive);
        check_every_split(str_from(good[i].input), good[i].how);
    }
}

#define BYTES(lit)                                                                                 \
    { (lit), sizeof(lit) - 1 }

static const struct {
    struct str input;
    const char *why; // a part of it
    int how;
} bad[] = {
    // The first bytes, before any line ends
    {BYTES("\r"), "no HTTP/1 answer"},
    {BYTES("\x15\x03\x01"), "no HTTP/1 answer"}, // a TLS server's alert
    {BYTES("SSH-2.0-x\r\n"), "no HTTP/1 answer"},
    {BYTES("http/1.1 200 OK\r\n"), "no HTTP/1 answer"},
    {BYTES("HTTP/2 200\r\n"), "no HTTP/1 answer"},
    {BYTES("HTTP/1,1"), "no HTTP/1 answer"},
    // Status line
    {BYTES("HTTP/1.2 200 OK\r\n"), "version"},
    {BYTES("HTTP/1.11 200 OK\r\n"), "status line"},
    {BYTES("HTTP/1.1  200 OK\r\n"), "status line"},
    {BYTES("HTTP/1.1 20\r\n"), "status line"},
    {BYTES("HTTP/1.1 2000 OK\r\n"), "status line"},
    {BYTES("HTTP/1.1 2x0 OK\r\n"), "status line"},
    {BYTES("HTTP/1.1 200\tOK\r\n"), "status line"},
    {BYTES("HTTP/1.1\r\n"), "status line"},
    {BYTES("HTTP/1.1 099 OK\r\n"), "100 to 599"},
    {BYTES("HTTP/1.1 600 OK\r\n"), "100 to 599"},
    {BYTES("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "101"},
    // Bytes
    {BYTES("HTTP/1.1 200 OK\n"), "CR LF"},
    {BYTES("HTTP/1.1 200 O\rK\r\n"), "control byte"},
    {BYTES("HTTP/1.1 200 O\0K\r\n"), "control byte"},
    {BYTES(OK "X: a\n"), "CR LF"},
    {BYTES(OK "\n"), "CR LF"},
    {BYTES(OK "X: a\0b\r\n"), "control byte"},
    {BYTES(OK "X: a\x7f\r\n"), "control byte"},
    {BYTES(OK "X: a\r\r\n"), "control byte"},
    // Fields
    {BYTES(OK "X: a\r\n folded\r\n"), "folded"},
    {BYTES(OK "\tX: a\r\n"), "folded"},
    {BYTES(OK "X : a\r\n"), "Name: value"},
    {BYTES(OK ": a\r\n"), "Name: value"},
    {BYTES(OK "X\r\n"), "Name: value"},
    {BYTES(OK "\xc3\xa9: a\r\n"), "Name: value"},
    // Framing: what two readers could read in two ways
    {BYTES(OK "Content-Length: 3\r\nContent-Length: 3\r\n"), "twice"},
    {BYTES(OK "Content-Length: 3, 3\r\n"), "not a number"},
    {BYTES(OK "Content-Length: +3\r\n"), "not a number"},
    {BYTES(OK "Content-Length:\r\n"), "not a number"},
    {BYTES(OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), "both"},
    {BYTES(OK "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), "both"},
    {BYTES(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "chunked"},
    {BYTES(OK "Transfer-Encoding: gzip, chunked\r\n"), "chunked"},
    {BYTES(OK "Transfer-Encoding:\r\n"), "chunked"},
    {BYTES("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "HTTP/1.0"},
    // Chunks
    {BYTES(CHUNKED "\r\n"), "chunk size"},
    {BYTES(CHUNKED "x\r\n"), "chunk size"},
    {BYTES(CHUNKED "-1\r\n"), "chunk size"},
    {BYTES(CHUNKED " 1\r\n"), "chunk size"},
    {BYTES(CHUNKED "1 \r\n"), "chunk size"},
    {BYTES(CHUNKED "1;\r\n"), "chunk size"},
    {BYTES(CHUNKED "1\n"), "CR LF"},
    {BYTES(CHUNKED "10000000000000000\r\n"), "chunk size"}, // 2^64
    {BYTES(CHUNKED "1\r\nabc\r\n"), "longer"},
    {BYTES(CHUNKED "1\r\na\rb"), "longer"},
    {BYTES(CHUNKED "1\r\na\n"), "longer"},
    {BYTES(CHUNKED "0\r\nBad Name: v\r\n"), "trailer"},
    {BYTES(CHUNKED "0\r\nA: b\n"), "CR LF"},
    // Ends
    {BYTES("HTTP/1.1 200"), "middle of the head", TO_THE_END},
    {BYTES("H"), "middle of the head", TO_THE_END},
    {BYTES(OK), "middle of the head", TO_THE_END},
    {BYTES("HTTP/1.1 100 Continue\r\n\r\n"), "middle of the head", TO_THE_END},
    {BYTES(OK "Content-Length: 3\r\n\r\nab"), "middle of the body", TO_THE_END},
    {BYTES(OK "Content-Length: 3\r\n\r\n"), "middle of the body", TO_THE_END},
    {BYTES(CHUNKED "3\r\nabc\r\n"), "middle of the body", TO_THE_END},
    {BYTES(CHUNKED "3\r\nabc\r\n0\r\n"), "middle of the body", TO_THE_END},
};

static void malformed_and_cut_answers_are_refused_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct outcome o = feed_all(bad[i].input, bad[i].how);
        if (o.state != HTTP1_ANSWER_FAILED || !strstr(o.text, bad[i].why) || o.keep_alive)
            fail_msg("state %d, \"%s\" lacks \"%s\" (row %zu): %s", o.state, o.text, bad[i].why, i,
                     bad[i].input.p);
        check_every_split(bad[i].input, bad[i].how);
    }
}

static void a_connection_that_closes_before_any_byte_is_told_apart(void **state) {
    struct http1_answer a;
    http1_answer_init(&a);
    assert_false(http1_answer_begun(&a));
    http1_answer_end(&a);
    assert_int_equal(a.state, HTTP1_ANSWER_FAILED);
    assert_string_equal(a.why, "closed before the answer");
    struct str body;
    assert_int_equal(http1_answer_feed(&a, "H", 1, &body), 0);
    http1_answer_expect(&a, false);
    assert_int_equal(http1_answer_feed(&a, "H", 1, &body), 1);
    assert_true(http1_answer_begun(&a));
    http1_answer_done(&a);
}

static struct outcome feed_repeated(const char *start, const char *piece, size_t times,
                                    const char *end) {
    struct buf b;
    buf_init(&b, 8 << 20);
    assert_int_equal(buf_addc(&b, start), 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_addc(&b, piece), 0);
    assert_int_equal(buf_addc(&b, end), 0);
    struct outcome whole = feed_all(buf_str(&b), 0), pieces;
    for (size_t step = 1; step <= 4096; step = step * 3 + 1) {
        feed_in(buf_str(&b), 0, step, step, &pieces);
        assert_memory_equal(&whole, &pieces, sizeof(whole));
    }
    buf_done(&b);
    return whole;
}

#define NO_CONTENT "HTTP/1.1 204 No\r\n"

static void limits_are_exact(void **state) {
    assert_int_equal(feed_repeated(NO_CONTENT, "X: y\r\n", LIMIT_HTTP_HEADERS, "\r\n").state,
                     HTTP1_ANSWER_DONE);
    assert_non_null(strstr(
        feed_repeated(NO_CONTENT, "X: y\r\n", LIMIT_HTTP_HEADERS + 1, "\r\n").text, "too many"));
    size_t v = LIMIT_HTTP_HEAD_BYTES - strlen(NO_CONTENT "X: \r\n\r\n");
    assert_int_equal(feed_repeated(NO_CONTENT "X: ", "v", v, "\r\n\r\n").state, HTTP1_ANSWER_DONE);
    assert_non_null(
        strstr(feed_repeated(NO_CONTENT "X: ", "v", v + 1, "\r\n\r\n").text, "too large"));
    assert_non_null(strstr(feed_repeated("HTTP/1.1 200 ", "v", 1 << 18, "").text, "too large"));
    // The fullest head leaves room for chunk lines and the longest trailers.
    v = LIMIT_HTTP_HEAD_BYTES - strlen(OK "Transfer-Encoding: chunked\r\nX: \r\n\r\n");
    struct buf end;
    buf_init(&end, 8192);
    assert_int_equal(buf_addc(&end, "\r\n\r\n1;ext=1\r\na\r\n0\r\nT:"), 0);
    for (size_t i = 0; i < LIMIT_HTTP_TRAILER_BYTES - strlen("T:\r\n\r\n"); i++)
        assert_int_equal(buf_add_byte(&end, 't'), 0);
    assert_int_equal(buf_add(&end, "\r\n\r\n", 5), 0);
    assert_int_equal(feed_repeated(OK "Transfer-Encoding: chunked\r\nX: ", "v", v, end.p).state,
                     HTTP1_ANSWER_DONE);
    buf_done(&end);
    size_t x = LIMIT_HTTP_CHUNK_LINE_BYTES - strlen("1;a\r\n");
    assert_int_equal(feed_repeated(CHUNKED "1;a", "x", x, "\r\nz\r\n0\r\n\r\n").state,
                     HTTP1_ANSWER_DONE);
    assert_non_null(
        strstr(feed_repeated(CHUNKED "1;a", "x", x + 1, "\r\nz\r\n0\r\n\r\n").text, "too long"));
    size_t n = (LIMIT_HTTP_TRAILER_BYTES - 2) / 6;
    assert_int_equal(feed_repeated(CHUNKED "0\r\n", "T: v\r\n", n, "\r\n").state,
                     HTTP1_ANSWER_DONE);
    assert_non_null(
        strstr(feed_repeated(CHUNKED "0\r\n", "T: v\r\n", n + 1, "\r\n").text, "too large"));
    const char *interim = "HTTP/1.1 102 Processing\r\n\r\n";
    assert_int_equal(feed_repeated("", interim, LIMIT_HTTP_INTERIM, NO_CONTENT "\r\n").state,
                     HTTP1_ANSWER_DONE);
    assert_non_null(strstr(
        feed_repeated("", interim, LIMIT_HTTP_INTERIM + 1, NO_CONTENT "\r\n").text, "interim"));
}

static void large_bodies_pass_through_and_are_counted(void **state) {
    struct outcome o = feed_repeated(OK "Content-Length: 4194304\r\n\r\n", "0123456789abcdef",
                                     (4 << 20) / 16, "");
    assert_int_equal(o.state, HTTP1_ANSWER_DONE);
    assert_int_equal(o.body_bytes, 4 << 20);
    o = feed_repeated(CHUNKED, "10\r\n0123456789abcdef\r\n", 10000, "0\r\n\r\n");
    assert_int_equal(o.state, HTTP1_ANSWER_DONE);
    assert_int_equal(o.body_bytes, 160000);
    o = feed_all(STR(OK "Content-Length: 18446744073709551617\r\n\r\nabc"), 0);
    assert_int_equal(o.state, HTTP1_ANSWER_BODY); // more than will ever come
}

static void the_head_is_told_before_the_body_and_pieces_point_into_the_input(void **state) {
    struct str input = STR(OK "X: y\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n"
                              "0\r\n\r\nHTTP/1.1");
    struct http1_answer a;
    struct str body;
    http1_answer_init(&a);
    size_t used = http1_answer_feed(&a, input.p, input.n, &body);
    assert_int_equal(a.state, HTTP1_ANSWER_BODY);
    assert_int_equal(body.n, 0);
    assert_true(str_eqc(http1_answer_header(&a, "x"), "y"));
    assert_null(http1_answer_header(&a, "z").p);
    used += http1_answer_feed(&a, input.p + used, input.n - used, &body);
    assert_true(str_eqc(body, "ab") && body.p > input.p && body.p < input.p + input.n);
    used += http1_answer_feed(&a, input.p + used, input.n - used, &body);
    assert_true(str_eqc(body, "cde"));
    assert_true(str_eqc(http1_answer_header(&a, "X"), "y"));
    used += http1_answer_feed(&a, input.p + used, input.n - used, &body);
    assert_int_equal(a.state, HTTP1_ANSWER_DONE);
    assert_int_equal(body.n, 0);
    assert_memory_equal(input.p + used, "HTTP/1.1", 8); // the next answer is left alone
    http1_answer_done(&a);
}

static void answers_on_one_connection_are_read_one_by_one(void **state) {
    static const char input[] = OK "Content-Length: 1\r\n\r\na" NO_CONTENT "\r\n" CHUNKED
                                   "1\r\nb\r\n0\r\n\r\n" OK "Content-Length: 1\r\n\r\nc";
    for (size_t step = 1; step < sizeof(input); step++) {
        struct http1_answer a;
        struct str body;
        char seen[16] = "";
        size_t at = 0, seen_n = 0;
        http1_answer_init(&a);
        while (at < sizeof(input) - 1) {
            size_t n = sizeof(input) - 1 - at < step ? sizeof(input) - 1 - at : step;
            at += http1_answer_feed(&a, input + at, n, &body);
            assert_int_not_equal(a.state, HTTP1_ANSWER_FAILED);
            memcpy(seen + seen_n, body.p, body.n);
            seen_n += body.n;
            if (a.state == HTTP1_ANSWER_DONE) {
                seen[seen_n++] = '/';
                http1_answer_expect(&a, false);
            }
        }
        assert_string_equal(seen, "a//b/c/");
        http1_answer_done(&a);
    }
}

static void every_failing_allocation_fails_the_answer_or_is_harmless(void **state) {
    struct str input = STR(CHUNKED "3\r\nabc\r\n0\r\nT: v\r\n\r\n");
    int refused = 0;
    for (long fail_at = 1;; fail_at++) {
        struct http1_answer a;
        struct str body;
        http1_answer_init(&a);
        size_t used = 0;
        mem_fail_from(fail_at);
        while (used < input.n && a.state < HTTP1_ANSWER_DONE)
            used += http1_answer_feed(&a, input.p + used, input.n - used < 7 ? input.n - used : 7,
                                      &body);
        mem_fail_never();
        enum http1_answer_state end = a.state;
        if (end == HTTP1_ANSWER_FAILED)
            assert_string_equal(a.why, "no memory for the answer");
        http1_answer_done(&a);
        if (end == HTTP1_ANSWER_DONE)
            break;
        refused++;
    }
    assert_true(refused > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_the_same_in_every_split),
        cmocka_unit_test(malformed_and_cut_answers_are_refused_in_every_split),
        cmocka_unit_test(a_connection_that_closes_before_any_byte_is_told_apart),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(large_bodies_pass_through_and_are_counted),
        cmocka_unit_test(the_head_is_told_before_the_body_and_pieces_point_into_the_input),
        cmocka_unit_test(answers_on_one_connection_are_read_one_by_one),
        cmocka_unit_test(every_failing_allocation_fails_the_answer_or_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
