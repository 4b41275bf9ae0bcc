// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/mem.h"
#include "playground/forward.h"

static void request(const char *text, struct buf *ret) {
    struct http1 h;
    http1_init(&h);
    size_t n = strlen(text);
    for (size_t used = 0; used < n && h.state < HTTP1_DONE;)
        used += http1_feed(&h, text + used, n - used);
    assert_int_equal(h.state, HTTP1_DONE);
    assert_int_equal(forward_request_head(ret, &h, "10.0.0.1:8000"), 0);
    http1_done(&h);
}

static void answer(const char *text, struct buf *ret, int expected) {
    struct http1_answer a;
    struct str piece;
    http1_answer_init(&a);
    http1_answer_expect(&a, false);
    size_t n = strlen(text);
    for (size_t used = 0; used < n && a.state == HTTP1_ANSWER_HEAD;)
        used += http1_answer_feed(&a, text + used, n - used, &piece);
    assert_int_not_equal(a.state, HTTP1_ANSWER_FAILED);
    assert_int_equal(forward_answer_fields(ret, &a), expected);
    http1_answer_done(&a);
}

static const struct {
    const char *in, *out;
} requests[] = {
    {"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /v1/models HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nVia: 1.1 gpuscale\r\n\r\n"},
    // A HEAD's answer has no body wherever it comes from.
    {"HEAD /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /v1/models HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nVia: 1.1 gpuscale\r\n\r\n"},
    // The framing is made anew; a body that came in chunks leaves with its length.
    {"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n0\r\n\r\n",
     "POST /predict HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nContent-Length: 3\r\n"
     "Via: 1.1 gpuscale\r\n\r\n"},
    {"POST /predict HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
     "POST /predict HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nContent-Length: 0\r\n"
     "Via: 1.1 gpuscale\r\n\r\n"},
    // Fields of one hop stay on it, and so does what Connection names.
    {"GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine ,x-other\r\nX-Mine: 1\r\n"
     "X-Other: 2\r\nKeep-Alive: 3\r\nTE: trailers\r\nUpgrade: h2c\r\nTrailer: z\r\n"
     "Proxy-Connection: close\r\nX-Kept: 4\r\nX-Kept: 5\r\n\r\n",
     "GET /x HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nX-Kept: 4\r\nX-Kept: 5\r\n"
     "Via: 1.1 gpuscale\r\n\r\n"},
    // A decoded path is encoded again, the query is as it was.
    {"GET /a%20b/%C3%A4/%25/c;d=1?q=%20&r=/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /a%20b/%C3%A4/%25/c;d=1?q=%20&r=/ HTTP/1.1\r\nHost: 10.0.0.1:8000\r\n"
     "Via: 1.1 gpuscale\r\n\r\n"},
    {"GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /a%0D%0AX:%20y HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nVia: 1.1 gpuscale\r\n\r\n"},
};

static void a_request_goes_on_without_what_means_its_hop(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 4096);
        request(requests[i].in, &b);
        assert_int_equal(buf_add_byte(&b, '\0'), 0);
        assert_string_equal(b.p, requests[i].out);
    }
}

static void an_answer_goes_back_without_date_and_framing(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 4096);
    answer("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: a/b\r\nContent-Length: 1\r\n"
           "Connection: x-hop\r\nX-Hop: 1\r\nRetry-After: 3\r\nContent-Encoding: gzip\r\n\r\n",
           &b, 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_string_equal(b.p, "Content-Type: a/b\r\nRetry-After: 3\r\nContent-Encoding: gzip\r\n");
}

static void what_does_not_fit_is_an_error(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 8);
    answer("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n", &b, ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_on_without_what_means_its_hop),
        cmocka_unit_test(an_answer_goes_back_without_date_and_framing),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
