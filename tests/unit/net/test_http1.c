// SPDX-License-Identifier: Apache-2.0
/*
 * The request codec: what is read, what is refused with which status, and that neither depends on
 * how the bytes were split nor breaks when memory ends.
 */
#include "unit.h"

#include "base/mem.h"
#include "net/http1.h"

// What became of an input: compared between ways of feeding it.
struct outcome {
    int state, status;
    size_t used;
    bool keep_alive, expects;
    char text[4096]; // method, path, query, headers, body
};

static void append(struct outcome *o, struct str s) {
    size_t n = strlen(o->text), room = sizeof(o->text) - 2 - n;
    size_t take = s.n < room ? s.n : room; // the text of large inputs is cut
    if (take > 0)
        memcpy(o->text + n, s.p, take);
    o->text[n + take] = take < room ? '|' : '\0';
}

static void describe(const struct http1 *h, size_t used, struct outcome *o) {
    memset(o, 0, sizeof(*o));
    o->state = (int)h->state;
    o->status = h->state == HTTP1_FAILED ? h->status : 0;
    o->used = used;
    if (h->state == HTTP1_FAILED || h->state == HTTP1_HEAD)
        return;
    o->keep_alive = h->keep_alive;
    o->expects = h->expects_continue;
    append(o, http1_method(h));
    append(o, http1_path(h));
    append(o, http1_query(h));
    struct str name, value;
    for (size_t i = 0; http1_header_at(h, i, &name, &value); i++) {
        append(o, name);
        append(o, value);
    }
    if (h->state == HTTP1_DONE)
        append(o, http1_body(h));
}

// Feeds pieces of `step` bytes (0: all at once); each piece in memory of its own, so that a
// sanitizer sees a read past it.
static void feed_in(struct str input, size_t first, size_t step, struct outcome *o) {
    struct http1 h;
    http1_init(&h);
    size_t used = 0, piece = first;
    while (used < input.n && h.state != HTTP1_DONE && h.state != HTTP1_FAILED) {
        size_t n = piece && piece < input.n - used ? piece : input.n - used;
        uint8_t *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, input.p + used, n);
        size_t took = http1_feed(&h, copy, n);
        free(copy);
        assert_true(took <= n);
        assert_true(took > 0 || h.state == HTTP1_FAILED);
        used += took;
        if (took == n)
            piece = step;
        else
            piece = n - took;
    }
    describe(&h, used, o);
    http1_done(&h);
}

static struct outcome feed_all(struct str input) {
    struct outcome o;
    feed_in(input, 0, 0, &o);
    return o;
}

static void check_every_split(struct str input) {
    struct outcome whole = feed_all(input), other;
    for (size_t at = 1; at < input.n; at++) {
        feed_in(input, at, 0, &other);
        if (memcmp(&whole, &other, sizeof(whole)) != 0)
            fail_msg("split at %zu: state %d/%d status %d/%d used %zu/%zu\n%s\n%s\nof %s", at,
                     whole.state, other.state, whole.status, other.status, whole.used, other.used,
                     whole.text, other.text, input.p);
    }
    for (size_t step = 1; step < 4; step++) {
        feed_in(input, step, step, &other);
        assert_memory_equal(&whole, &other, sizeof(whole));
    }
}

#define HOST "Host: a\r\n"

static const struct {
    const char *input;
    const char *text; // as append() writes it
    bool keep_alive;
} good[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/||Host|a||", true},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/||Host|a||", true},
    {"GET /metrics?x=1&y=%20 HTTP/1.1\r\n" HOST "\r\n", "GET|/metrics|x=1&y=%20|Host|a||", true},
    {"GET /q?match[]=up HTTP/1.1\r\n" HOST "\r\n", "GET|/q|match[]=up|Host|a||", true},
    {"GET /a%2Fb%41? HTTP/1.1\r\n" HOST "\r\n", "GET|/a/bA||Host|a||", true},
    {"GET http://h:80/x?y HTTP/1.1\r\n" HOST "\r\n", "GET|/x|y|Host|a||", true},
    {"GET HTTPS://[::1]?y HTTP/1.1\r\n" HOST "\r\n", "GET|/|y|Host|a||", true},
    {"GET http://h HTTP/1.1\r\n" HOST "\r\n", "GET|/||Host|a||", true},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS|*||Host|a||", true},
    {"CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n", "CONNECT|h:443||Host|a||", true},
    {"HEAD / HTTP/1.0\r\n\r\n", "HEAD|/|||", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET|/||Connection|Keep-Alive||", true},
    {"GET / HTTP/1.1\r\n" HOST "Connection: TE, close\r\n\r\n",
     "GET|/||Host|a|Connection|TE, close||", false},
    {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
     "GET|/||Connection|close, keep-alive||", false},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET|/||Host|||", true},
    {"GET / HTTP/1.1\r\nHost:\t a \t\r\nX: a\tb  c\r\n\r\n", "GET|/||Host|a|X|a\tb  c||", true},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\r\n\r\n", "GET|/||Host|a|X|\xc3\xa9\xff||",
     true},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "GET|/||Host|a|Content-Length|0||",
     true},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabcdef",
     "POST|/||Host|a|Content-Length|0003|abc|", true},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "3\r\nabc\r\n0A;x=y\r\n0123456789\r\n000\r\n\r\nGET",
     "POST|/||Host|a|Transfer-Encoding|Chunked|abc0123456789|", true},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1;a;b=\"c\"\r\nz\r\n0\r\nTrailer: v\r\nOther: w\r\n\r\n",
     "POST|/||Host|a|Transfer-Encoding|chunked|z|", true},
};

static void requests_are_read_the_same_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct outcome o = feed_all(str_from(good[i].input));
        if (o.state != HTTP1_DONE)
            fail_msg("status %d: %s", o.status, good[i].input);
        assert_string_equal(o.text, good[i].text);
        assert_int_equal(o.keep_alive, good[i].keep_alive);
        check_every_split(str_from(good[i].input));
    }
}

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define BYTES(lit)                                                                                 \
    { (lit), sizeof(lit) - 1 }
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    int status;
    struct str input;
} bad[] = {
    // Request line
    {400, BYTES("GET /\r\n\r\n")},
    {400, BYTES("GET  / HTTP/1.1\r\n")},
    {400, BYTES("GET /  HTTP/1.1\r\n")},
    {400, BYTES("GET / HTTP/1.1 \r\n")},
    {400, BYTES("GET\t/ HTTP/1.1\r\n")},
    {400, BYTES(" GET / HTTP/1.1\r\n")},
    {400, BYTES("\r\n\r\nGET / HTTP/1.1\r\n")},
    {400, BYTES("G(T / HTTP/1.1\r\n")},
    {400, BYTES("GET / http/1.1\r\n")},
    {400, BYTES("GET / HTTP/1\r\n")},
    {400, BYTES("GET / HTTP/11\r\n")},
    {400, BYTES("GET / HTTP/1.10\r\n")},
    {400, BYTES("GET / HTTP/1.x\r\n")},
    {400, BYTES("GET x HTTP/1.1\r\n")},
    {400, BYTES("GET * HTTP/1.1\r\n")},
    {400, BYTES("GET /a#b HTTP/1.1\r\n")},
    {400, BYTES("GET /\"x\" HTTP/1.1\r\n")},
    {400, BYTES("GET /\xc3\xa9 HTTP/1.1\r\n")},
    {400, BYTES("GET /% HTTP/1.1\r\n")},
    {400, BYTES("GET /%4 HTTP/1.1\r\n")},
    {400, BYTES("GET /?%zz HTTP/1.1\r\n")},
    {400, BYTES("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, BYTES("GET ftp://h/ HTTP/1.1\r\n")},
    {400, BYTES("GET http:/// HTTP/1.1\r\n")},
    {400, BYTES("GET http://a@b/ HTTP/1.1\r\n")},
    {400, BYTES("GET h:80 HTTP/1.1\r\n")},
    {505, BYTES("GET / HTTP/2.0\r\n")},
    {505, BYTES("PRI * HTTP/2.0\r\n")}, // an HTTP/2 client without TLS
    {505, BYTES("GET / HTTP/0.9\r\n")},
    {505, BYTES("GET / HTTP/1.2\r\n")},
    {501, BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n")},
    // Bytes
    {400, BYTES("\x16\x03\x01\x02\x00\x01")}, // a TLS client on a plain port
    {400, BYTES("GET / HTTP/1.1\n")},
    {400, BYTES("GET / HTTP/1.1\rH")},
    {400, BYTES("GET /\0 HTTP/1.1\r\n")},
    {400, BYTES("GET / HTTP/1.1\r\nHost: a\n")},
    {400, BYTES("GET / HTTP/1.1\r\nHost: a\r\r\n")},
    {400, BYTES("GET / HTTP/1.1\r\nHost: a\0b\r\n")},
    {400, BYTES("GET / HTTP/1.1\r\nHost: a\x7f\r\n")},
    {400, BYTES("GET / HTTP/1.1\r\nX: a\x0b\r\n")},
    // Fields
    {400, BYTES(GET "Host: a\r\n folded\r\n")},
    {400, BYTES(GET " Host: a\r\n")},
    {400, BYTES(GET "\tHost: a\r\n")},
    {400, BYTES(GET "Host : a\r\n")},
    {400, BYTES(GET "Host\t: a\r\n")},
    {400, BYTES(GET ": a\r\n")},
    {400, BYTES(GET "Host\r\n")},
    {400, BYTES(GET "Ho st: a\r\n")},
    {400, BYTES(GET "\xc3\xa9: a\r\n")},
    {400, BYTES(GET "\r\n")},           // no Host
    {400, BYTES(GET HOST HOST "\r\n")}, // two
    {400, BYTES(GET "Host: a b\r\n\r\n")},
    {400, BYTES(GET "Host: a/b\r\n\r\n")},
    {400, BYTES(GET "Host: u@a\r\n\r\n")},
    {417, BYTES(POST "Expect: 200-ok\r\n")},
    // Framing: what two parsers could read in two ways
    {400, BYTES(POST "Content-Length: 3\r\nContent-Length: 3\r\n")},
    {400, BYTES(POST "Content-Length: 3, 3\r\n")},
    {400, BYTES(POST "Content-Length: +3\r\n")},
    {400, BYTES(POST "Content-Length: -3\r\n")},
    {400, BYTES(POST "Content-Length: 0x3\r\n")},
    {400, BYTES(POST "Content-Length: 3 3\r\n")},
    {400, BYTES(POST "Content-Length:\r\n")},
    {400, BYTES(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {400, BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n")},
    {400, BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
    {400, BYTES(POST "Transfer-Encoding:\r\n")},
    {400, BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {501, BYTES(POST "Transfer-Encoding: gzip, chunked\r\n")},
    {501, BYTES(POST "Transfer-Encoding: chunked, identity\r\n")},
    {501, BYTES(POST "Transfer-Encoding: xchunked\r\n")},
    {501, BYTES(POST "Transfer-Encoding: \"chunked\"\r\n")},
    {413, BYTES(POST "Content-Length: 1048577\r\n\r\n")},
    {413, BYTES(POST "Content-Length: 18446744073709551617\r\n\r\n")}, // 2^64 + 1
    {413, BYTES(POST "Content-Length: 99999999999999999999999999\r\n\r\n")},
    // Chunks
    {400, BYTES(CHUNKED "\r\n")},
    {400, BYTES(CHUNKED "x\r\n")},
    {400, BYTES(CHUNKED "-1\r\n")},
    {400, BYTES(CHUNKED "0x1\r\n")},
    {400, BYTES(CHUNKED " 1\r\n")},
    {400, BYTES(CHUNKED "1 \r\n")},
    {400, BYTES(CHUNKED "1 ;a\r\n")},
    {400, BYTES(CHUNKED "1;\r\n")},
    {400, BYTES(CHUNKED "1\n")},
    {400, BYTES(CHUNKED "1\r\nabc\r\n")},
    {400, BYTES(CHUNKED "3\r\nabc0\r\n\r\n")},
    {400, BYTES(CHUNKED "3\r\nabc\n")},
    {400, BYTES(CHUNKED "10000000000000000\r\n")}, // 2^64
    {413, BYTES(CHUNKED "100001\r\n")},
    {400, BYTES(CHUNKED "0\r\nBad Name: v\r\n")},
    {400, BYTES(CHUNKED "0\r\n folded\r\n")},
    {400, BYTES(CHUNKED "0\r\nA: b\n")},
};

static void malformed_requests_get_their_status_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct outcome o = feed_all(bad[i].input);
        if (o.state != HTTP1_FAILED || o.status != bad[i].status)
            fail_msg("state %d status %d, expected %d (row %zu): %s", o.state, o.status,
                     bad[i].status, i, bad[i].input.p);
        check_every_split(bad[i].input);
    }
}

static void a_failure_comes_with_a_reason_and_ends_the_connection(void **state) {
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct http1 h;
        http1_init(&h);
        size_t used = 0;
        while (h.state != HTTP1_FAILED)
            used += http1_feed(&h, bad[i].input.p + used, bad[i].input.n - used);
        assert_true(h.why && strlen(h.why) > 5);
        assert_false(h.keep_alive);
        assert_int_equal(http1_feed(&h, "GET", 3), 0);
        assert_true(http1_reason(h.status)[0] != '\0');
        http1_done(&h);
    }
}

// A request made of a repeated piece.
static struct outcome feed_repeated(const char *start, const char *piece, size_t times,
                                    const char *end) {
    struct buf b;
    buf_init(&b, 8 << 20);
    assert_int_equal(buf_addc(&b, start), 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_addc(&b, piece), 0);
    assert_int_equal(buf_addc(&b, end), 0);
    struct outcome whole = feed_all(buf_str(&b)), pieces;
    for (size_t step = 1; step <= 4096; step = step * 3 + 1) {
        feed_in(buf_str(&b), step, step, &pieces);
        assert_memory_equal(&whole, &pieces, sizeof(whole));
    }
    buf_done(&b);
    return whole;
}

static void limits_are_exact(void **state) {
    // Target: "/" and 8191 more.
    assert_int_equal(
        feed_repeated("GET /", "a", LIMIT_HTTP_TARGET_BYTES - 1, " HTTP/1.1\r\nHost: a\r\n\r\n")
            .state,
        HTTP1_DONE);
    assert_int_equal(
        feed_repeated("GET /", "a", LIMIT_HTTP_TARGET_BYTES, " HTTP/1.1\r\nHost: a\r\n\r\n").status,
        414);
    assert_int_equal(feed_repeated("GET /", "a", 1 << 20, "").status, 414);
    // Headers: Host and 63 more.
    assert_int_equal(feed_repeated(GET HOST, "X: y\r\n", LIMIT_HTTP_HEADERS - 1, "\r\n").state,
                     HTTP1_DONE);
    assert_int_equal(feed_repeated(GET HOST, "X: y\r\n", LIMIT_HTTP_HEADERS, "\r\n").status, 431);
    // Head: "GET / HTTP/1.1\r\nHost: a\r\nX: " + v + "\r\n\r\n".
    size_t v = LIMIT_HTTP_HEAD_BYTES - strlen(GET HOST "X: \r\n\r\n");
    assert_int_equal(feed_repeated(GET HOST "X: ", "v", v, "\r\n\r\n").state, HTTP1_DONE);
    assert_int_equal(feed_repeated(GET HOST "X: ", "v", v + 1, "\r\n\r\n").status, 431);
    // The fullest head leaves room for chunk lines.
    v = LIMIT_HTTP_HEAD_BYTES - strlen(POST "Transfer-Encoding: chunked\r\nX: \r\n\r\n");
    assert_int_equal(feed_repeated(POST "Transfer-Encoding: chunked\r\nX: ", "v", v,
                                   "\r\n\r\n1;ext=1\r\na\r\n0\r\nT: v\r\n\r\n")
                         .state,
                     HTTP1_DONE);
    // A chunk's line: "1;a" + x + CR LF.
    size_t x = LIMIT_HTTP_CHUNK_LINE_BYTES - strlen("1;a\r\n");
    assert_int_equal(feed_repeated(CHUNKED "1;a", "x", x, "\r\nz\r\n0\r\n\r\n").state, HTTP1_DONE);
    assert_int_equal(feed_repeated(CHUNKED "1;a", "x", x + 1, "\r\nz\r\n0\r\n\r\n").status, 400);
    // Trailers: n x 6 bytes and the empty line.
    size_t n = (LIMIT_HTTP_TRAILER_BYTES - 2) / 6;
    assert_int_equal(feed_repeated(CHUNKED "0\r\n", "T: v\r\n", n, "\r\n").state, HTTP1_DONE);
    assert_int_equal(feed_repeated(CHUNKED "0\r\n", "T: v\r\n", n + 1, "\r\n").status, 431);
}

static void bodies_end_at_the_limit(void **state) {
    struct outcome o = feed_repeated(POST "Content-Length: 1048576\r\n\r\n", "0123456789abcdef",
                                     LIMIT_HTTP_BODY_BYTES / 16, "");
    assert_int_equal(o.state, HTTP1_DONE);
    // Chunks of 4096 bytes: the 257th is one too many.
    struct buf piece;
    buf_init(&piece, 8192);
    assert_int_equal(buf_addc(&piece, "1000\r\n"), 0);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(buf_add_byte(&piece, 'b'), 0);
    assert_int_equal(buf_add(&piece, "\r\n\0", 3), 0);
    assert_int_equal(feed_repeated(CHUNKED, piece.p, 256, "0\r\n\r\n").state, HTTP1_DONE);
    assert_int_equal(feed_repeated(CHUNKED, piece.p, 256, "1\r\n").status, 413);
    buf_done(&piece);
}

static void the_head_is_told_before_the_body_is_asked_for(void **state) {
    struct str input = STR(POST
                           "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1\r\n");
    struct http1 h;
    http1_init(&h);
    size_t used = http1_feed(&h, input.p, input.n);
    assert_int_equal(h.state, HTTP1_BODY);
    assert_true(h.expects_continue);
    assert_int_equal(h.content_length, 2);
    assert_memory_equal(input.p + used, "okGET", 5);
    used += http1_feed(&h, input.p + used, input.n - used);
    assert_int_equal(h.state, HTTP1_DONE);
    assert_true(str_eqc(http1_body(&h), "ok"));
    assert_memory_equal(input.p + used, "GET /", 5); // the next request is left alone
    http1_done(&h);
    http1_init(&h);
    used += http1_feed(&h, input.p + used, input.n - used);
    assert_int_equal(used, input.n);
    assert_true(http1_begun(&h));
    http1_done(&h);
}

static void an_expectation_without_a_body_or_of_http_1_0_is_void(void **state) {
    struct outcome o = feed_all(STR(GET HOST "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(o.state, HTTP1_DONE);
    assert_false(o.expects);
    o = feed_all(STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"));
    assert_int_equal(o.state, HTTP1_DONE);
    assert_false(o.expects);
}

static void pipelined_requests_are_read_one_by_one(void **state) {
    static const char input[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                                "\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t step = 1; step < sizeof(input); step++) {
        struct http1 h;
        http1_init(&h);
        char seen[16] = "";
        size_t at = 0, seen_n = 0;
        while (at < sizeof(input) - 1) {
            size_t n = sizeof(input) - 1 - at < step ? sizeof(input) - 1 - at : step;
            at += http1_feed(&h, input + at, n);
            assert_int_not_equal(h.state, HTTP1_FAILED);
            if (h.state != HTTP1_DONE)
                continue;
            struct str path = http1_path(&h);
            assert_true(seen_n + path.n < sizeof(seen));
            memcpy(seen + seen_n, path.p, path.n);
            seen_n += path.n;
            http1_done(&h);
            http1_init(&h);
        }
        assert_string_equal(seen, "/1/2/3");
        http1_done(&h);
    }
}

static void every_failing_allocation_is_a_503_or_harmless(void **state) {
    static const char *const inputs[] = {
        CHUNKED "3\r\nabc\r\n0\r\nT: v\r\n\r\n",
        POST "Content-Length: 3\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\nI: j\r\nK: l\r\nM: n\r\n"
             "O: p\r\n\r\nabc",
    };
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        int refused = 0;
        for (long fail_at = 1;; fail_at++) {
            struct http1 h;
            http1_init(&h);
            size_t used = 0, n = strlen(inputs[i]);
            mem_fail_from(fail_at);
            while (used < n && h.state != HTTP1_DONE && h.state != HTTP1_FAILED)
                used += http1_feed(&h, inputs[i] + used, n - used < 7 ? n - used : 7);
            mem_fail_never();
            enum http1_state end = h.state;
            int status = h.status;
            http1_done(&h);
            if (end == HTTP1_DONE)
                break;
            assert_int_equal(end, HTTP1_FAILED);
            assert_int_equal(status, 503);
            refused++;
            assert_true(fail_at < 100);
        }
        assert_true(refused >= 3); // head, fields, body
    }
}

// Random damage to good requests: no crash, no endless loop, one verdict in any split.
static void damaged_requests_have_one_verdict(void **state) {
    uint64_t x = unit_seed();
    for (int round = 0; round < 3000; round++) {
        char copy[1024];
        const char *from = good[(x >> 33) % COUNT_OF(good)].input;
        size_t n = strlen(from);
        memcpy(copy, from, n + 1);
        for (int k = 0; k < 2; k++) {
            x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
            char mark = "\r\n :;,0/%"[(x >> 50) % 9];
            copy[(x >> 40) % n] = (x >> 20) & 1 ? (char)(x >> 48) : mark;
        }
        struct outcome whole, pieces;
        feed_in((struct str){copy, n}, 0, 0, &whole);
        feed_in((struct str){copy, n}, 1 + (x >> 60), 1 + (x >> 61), &pieces);
        if (memcmp(&whole, &pieces, sizeof(whole)) != 0)
            fail_msg("round %d differs by split: %s", round, copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_the_same_in_every_split),
        cmocka_unit_test(malformed_requests_get_their_status_in_every_split),
        cmocka_unit_test(a_failure_comes_with_a_reason_and_ends_the_connection),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(bodies_end_at_the_limit),
        cmocka_unit_test(the_head_is_told_before_the_body_is_asked_for),
        cmocka_unit_test(an_expectation_without_a_body_or_of_http_1_0_is_void),
        cmocka_unit_test(pipelined_requests_are_read_one_by_one),
        cmocka_unit_test(every_failing_allocation_is_a_503_or_harmless),
        cmocka_unit_test(damaged_requests_have_one_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
