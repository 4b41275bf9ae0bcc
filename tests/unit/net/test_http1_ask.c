// SPDX-License-Identifier: Apache-2.0
/* The request encoder: what it writes, our own server reads back; what it refuses, and why. */
#include "unit.h"

#include "base/mem.h"
#include "net/http1_answer.h"

#define BYTES(lit)                                                                                 \
    { (lit), sizeof(lit) - 1 }

static const struct http1_header headers[] = {
    {BYTES("Accept"), BYTES("text/plain")},
    {BYTES("X-Empty"), BYTES("")},
    {BYTES("X-Utf8"), BYTES("\xc3\xa9\ta")},
};

static struct http1_ask simple(void) {
    return (struct http1_ask){.method = STR("POST"),
                              .target = STR("/v1/completions?x=%20"),
                              .host = STR("[::1]:8000"),
                              .headers = headers,
                              .n_headers = COUNT_OF(headers)};
}

static void a_head_is_written_as_it_goes_over_the_wire(void **state) {
    struct http1_ask ask = simple();
    struct buf out;
    struct err e = {0};
    buf_init(&out, 4096);
    assert_int_equal(http1_ask_encode(&out, &ask, &e), 0);
    assert_true(str_eqc(buf_str(&out),
                        "POST /v1/completions?x=%20 HTTP/1.1\r\nHost: [::1]:8000\r\nAccept: "
                        "text/plain\r\nX-Empty: \r\nX-Utf8: \xc3\xa9\ta\r\n\r\n"));
    buf_clear(&out);
    ask.has_body = true;
    ask.n_headers = 0;
    assert_int_equal(http1_ask_encode(&out, &ask, &e), 0);
    assert_true(str_eqc(buf_str(&out), "POST /v1/completions?x=%20 HTTP/1.1\r\n"
                                       "Host: [::1]:8000\r\nContent-Length: 0\r\n\r\n"));
    buf_done(&out);
}

static void our_server_reads_what_is_written(void **state) {
    struct http1_ask ask = simple();
    struct buf out;
    struct err e = {0};
    buf_init(&out, 4096);
    ask.has_body = true;
    ask.body_bytes = 5;
    assert_int_equal(http1_ask_encode(&out, &ask, &e), 0);
    assert_int_equal(buf_addc(&out, "hello"), 0);
    struct http1 h;
    http1_init(&h);
    size_t used = http1_feed(&h, out.p, out.len);
    used += http1_feed(&h, out.p + used, out.len - used);
    assert_int_equal(h.state, HTTP1_DONE);
    assert_int_equal(used, out.len);
    assert_true(str_eqc(http1_method(&h), "POST"));
    assert_true(str_eqc(http1_path(&h), "/v1/completions"));
    assert_true(str_eqc(http1_query(&h), "x=%20"));
    assert_true(str_eqc(http1_header(&h, "host"), "[::1]:8000"));
    assert_true(str_eqc(http1_header(&h, "accept"), "text/plain"));
    assert_true(str_eqc(http1_body(&h), "hello"));
    http1_done(&h);
    buf_done(&out);
}

static void parts_that_http_does_not_allow_are_refused_with_their_name(void **state) {
    static const struct {
        struct str method, target, host;
        struct http1_header header;
        const char *message;
    } rows[] = {
        {BYTES("G T"), BYTES("/"), BYTES("a"), {BYTES("X"), BYTES("")}, "method \"G T\""},
        {BYTES(""), BYTES("/"), BYTES("a"), {BYTES("X"), BYTES("")}, "method"},
        {BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),
         BYTES("/"),
         BYTES("a"),
         {BYTES("X"), BYTES("")},
         "method"},
        {BYTES("GET"), BYTES(""), BYTES("a"), {BYTES("X"), BYTES("")}, "target"},
        {BYTES("GET"), BYTES("/a b"), BYTES("a"), {BYTES("X"), BYTES("")}, "target \"/a b\""},
        {BYTES("GET"), BYTES("/\r\nX: y"), BYTES("a"), {BYTES("X"), BYTES("")}, "target: "},
        {BYTES("GET"), BYTES("/"), BYTES(""), {BYTES("X"), BYTES("")}, "host"},
        {BYTES("GET"), BYTES("/"), BYTES("a/b"), {BYTES("X"), BYTES("")}, "host \"a/b\""},
        {BYTES("GET"), BYTES("/"), BYTES("a\nb"), {BYTES("X"), BYTES("")}, "host: "},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES(""), BYTES("")}, "header"},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES("X Y"), BYTES("")}, "header \"X Y\""},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES("X"), BYTES("a\r\nB: c")}, "header \"X\""},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES("X"), BYTES("a\0")}, "header \"X\""},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES("hOst"), BYTES("b")}, "gpuscale itself"},
        {BYTES("GET"), BYTES("/"), BYTES("a"), {BYTES("Content-Length"), BYTES("1")}, "itself"},
        {BYTES("GET"),
         BYTES("/"),
         BYTES("a"),
         {BYTES("transfer-encoding"), BYTES("chunked")},
         "itself"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http1_ask ask = {.method = rows[i].method,
                                .target = rows[i].target,
                                .host = rows[i].host,
                                .headers = &rows[i].header,
                                .n_headers = 1};
        struct buf out;
        struct err e = {0};
        buf_init(&out, 4096);
        if (http1_ask_encode(&out, &ask, &e) != ERR_INVALID || !strstr(e.msg, rows[i].message))
            fail_msg("row %zu: %s", i, e.msg);
        assert_int_equal(out.len, 0);
        buf_done(&out);
    }
}

static void a_head_that_does_not_fit_is_an_error(void **state) {
    struct http1_ask ask = simple();
    ask.has_body = true;
    size_t whole = 0;
    for (size_t max = 1; max < 512 && whole == 0; max++) {
        struct buf out;
        struct err e = {0};
        buf_init(&out, max);
        int r = http1_ask_encode(&out, &ask, &e);
        if (r == 0)
            whole = max;
        else
            assert_int_equal(r, ERR_LIMIT);
        buf_done(&out);
    }
    assert_true(whole > 100);
    struct buf out;
    buf_init(&out, 4096);
    mem_fail_from(1);
    assert_int_equal(http1_ask_encode(&out, &ask, NULL), ERR_NOMEM);
    mem_fail_never();
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_written_as_it_goes_over_the_wire),
        cmocka_unit_test(our_server_reads_what_is_written),
        cmocka_unit_test(parts_that_http_does_not_allow_are_refused_with_their_name),
        cmocka_unit_test(a_head_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
