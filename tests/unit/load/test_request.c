// SPDX-License-Identifier: Apache-2.0
/* Requests as they leave: read back by our own server's codec. */
#include "unit.h"

#include "base/mem.h"
#include "load/request.h"

static void read_back(struct str request, struct http1 *h) {
    http1_init(h);
    size_t used = http1_feed(h, request.p, request.n);
    if (h->state == HTTP1_BODY)
        used += http1_feed(h, request.p + used, request.n - used);
    if (h->state != HTTP1_DONE || used != request.n)
        fail_msg("state %d: " STR_FMT, (int)h->state, STR_ARG(request));
}

static struct load_target target_of(const char *url) {
    struct load_target t;
    assert_int_equal(load_target_parse(&t, url, NULL), 0);
    return t;
}

static void completions_have_the_lengths_that_were_drawn(void **state) {
    static struct request_maker m;
    struct load_flags flags = {.model = "a\"b", .stream = true};
    struct load_options o = {.flags = &flags, .openai = true};
    struct load_target t = target_of("http://h:81/v1/completions");
    struct err e = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(request_maker_init(&m, &o, &t, &e), 0);
    static const uint32_t lengths[] = {1, 2, 100, 20000};
    char last[16] = "";
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct schedule_item item = {.prompt = lengths[i], .output = 7};
        struct str request;
        struct http1 h;
        assert_int_equal(request_make(&m, &item, &out, &request, &e), 0);
        read_back(request, &h);
        assert_true(str_eqc(http1_path(&h), "/v1/completions"));
        assert_true(str_eqc(http1_header(&h, "host"), "h:81"));
        assert_true(str_eqc(http1_header(&h, "content-type"), "application/json"));
        struct str body = http1_body(&h);
        static const char start[] = "{\"model\":\"a\\\"b\",\"prompt\":\"";
        static const char end[] = "\",\"max_tokens\":7,\"ignore_eos\":true,\"stream\":true}";
        assert_true(str_starts(body, start) && str_ends(body, end));
        size_t prompt_n = body.n - strlen(start) - strlen(end);
        assert_int_equal(prompt_n, 4 * lengths[i] - 1);
        if (i > 1) { // begins elsewhere each time
            assert_memory_not_equal(last, body.p + strlen(start), sizeof(last));
            memcpy(last, body.p + strlen(start), sizeof(last));
        }
        http1_done(&h);
    }
    request_maker_done(&m);
    buf_done(&out);
}

static void a_chat_path_makes_messages(void **state) {
    static struct request_maker m;
    struct load_flags flags = {0};
    struct load_options o = {.flags = &flags, .openai = true};
    struct load_target t = target_of("http://h/v1/chat/completions");
    struct schedule_item item = {.prompt = 2, .output = 0};
    struct buf out;
    struct str request;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    assert_int_equal(request_maker_init(&m, &o, &t, &e), 0);
    assert_int_equal(request_make(&m, &item, &out, &request, &e), 0);
    static const char start[] = "\r\n\r\n{\"messages\":[{\"role\":\"user\",\"content\":\"";
    assert_non_null(memmem(request.p, request.n, start, sizeof(start) - 1));
    assert_true(str_ends(request, "\"}],\"max_tokens\":1,\"ignore_eos\":true}"));
    struct http1 h;
    read_back(request, &h);
    assert_true(str_eqc(http1_path(&h), "/v1/chat/completions"));
    http1_done(&h);
    request_maker_done(&m);
    buf_done(&out);
}

static void other_requests_are_all_the_same(void **state) {
    static struct request_maker m;
    struct load_flags flags = {0};
    struct load_options o = {.flags = &flags,
                             .headers = {{STR("user-agent"), STR("me")}, {STR("X"), STR("y")}},
                             .n_headers = 2};
    struct load_target t = target_of("http://h/p?q=1");
    struct schedule_item item = {0};
    struct str request;
    struct err e = {0};
    buf_init(&o.body, 1024);
    assert_int_equal(request_maker_init(&m, &o, &t, &e), 0);
    assert_int_equal(request_make(&m, &item, NULL, &request, &e), 0);
    assert_true(
        str_eqc(request, "GET /p?q=1 HTTP/1.1\r\nHost: h\r\nuser-agent: me\r\nX: y\r\n\r\n"));
    request_maker_done(&m);
    assert_int_equal(buf_addc(&o.body, "hello"), 0);
    o.has_body = true;
    assert_int_equal(request_maker_init(&m, &o, &t, &e), 0);
    assert_int_equal(request_make(&m, &item, NULL, &request, &e), 0);
    assert_true(str_starts(request, "POST /p?q=1"));
    assert_true(str_ends(request, "Content-Length: 5\r\n\r\nhello"));
    request_maker_done(&m);
    flags.method = "G T";
    assert_int_equal(request_maker_init(&m, &o, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "method \"G T\""));
    request_maker_done(&m);
    buf_done(&o.body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_have_the_lengths_that_were_drawn),
        cmocka_unit_test(a_chat_path_makes_messages),
        cmocka_unit_test(other_requests_are_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
