// SPDX-License-Identifier: Apache-2.0
/* net/grpc_frame: messages out of any split, grpc-timeout, percent-encoding. */
#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/grpc_frame.h"

enum { OUT_MAX = 256 };

// Feeds `n` bytes in pieces of `piece` (the first `first`) and concatenates "<flag:message>".
static int feed(const uint8_t *p, size_t n, size_t first, size_t piece, size_t max, char *out) {
    struct grpc_reader r;
    struct grpc_message m;
    grpc_reader_init(&r, max);
    int got = 0;
    *out = '\0';
    for (size_t at = 0, take = first; at < n && got >= 0; at += take, take = piece) {
        if (take > n - at)
            take = n - at;
        // A copy of its own, so that reading past the piece is seen by AddressSanitizer.
        uint8_t *chunk = mem_alloc(take ? take : 1);
        memcpy(chunk, p + at, take);
        const uint8_t *c = chunk;
        size_t left = take;
        while (left > 0 && (got = grpc_reader_next(&r, &c, &left, &m, NULL)) >= 0)
            if (got == 1)
                snprintf(out + strlen(out), OUT_MAX - strlen(out), "<%d:%.*s>", m.compressed,
                         (int)m.n, (const char *)m.p);
        mem_free(chunk);
    }
    if (got >= 0)
        got = grpc_reader_partial(&r);
    grpc_reader_done(&r);
    return got;
}

static const uint8_t stream[] = "\0\0\0\0\5hello\0\0\0\0\0\1\0\0\0\3abc\0\0\0\0\1z";

static void messages_come_out_of_every_split(void **state) {
    char out[OUT_MAX];
    const size_t n = sizeof(stream) - 1;
    for (size_t first = 0; first <= n; first++) {
        for (size_t piece = 1; piece <= n; piece++) {
            assert_int_equal(feed(stream, n, first, piece, 100, out), 0);
            assert_string_equal(out, "<0:hello><0:><1:abc><0:z>");
        }
    }
}

static void prefix_may_straddle_data_frames(void **state) {
    char out[OUT_MAX];
    assert_int_equal(feed(stream, 10, 3, 7, 100, out), 0);
    assert_string_equal(out, "<0:hello>");
}

static void zero_length_message_is_a_message(void **state) {
    char out[OUT_MAX];
    assert_int_equal(feed((const uint8_t *)"\0\0\0\0\0", 5, 5, 1, 100, out), 0);
    assert_string_equal(out, "<0:>");
}

static void cut_stream_is_partial(void **state) {
    char out[OUT_MAX];
    for (size_t n = 1; n < 10; n++)
        assert_int_equal(feed(stream, n, n, 1, 100, out), 1);
}

static void larger_than_the_limit_is_refused_at_the_prefix(void **state) {
    char out[OUT_MAX];
    assert_int_equal(feed(stream, 10, 10, 1, 5, out), 0);
    assert_int_equal(feed(stream, 5, 5, 1, 4, out), ERR_LIMIT);
    assert_int_equal(feed((const uint8_t *)"\0\xff\xff\xff\xff", 5, 1, 1, 1 << 20, out), ERR_LIMIT);
}

static void flag_other_than_0_and_1_is_refused_at_once(void **state) {
    char out[OUT_MAX];
    assert_int_equal(feed((const uint8_t *)"\2", 1, 1, 1, 100, out), ERR_PROTO);
    assert_int_equal(feed((const uint8_t *)"\xff", 1, 1, 1, 100, out), ERR_PROTO);
}

static void no_memory_is_an_error(void **state) {
    struct grpc_reader r;
    struct grpc_message m;
    const uint8_t *p = stream;
    size_t n = 8;
    grpc_reader_init(&r, 100);
    mem_fail_from(1);
    assert_int_equal(grpc_reader_next(&r, &p, &n, &m, NULL), ERR_NOMEM);
    mem_fail_never();
    grpc_reader_done(&r);
}

static void whole_messages_need_no_memory(void **state) {
    char out[OUT_MAX];
    (void)out;
    struct grpc_reader r;
    struct grpc_message m;
    const uint8_t *p = stream;
    size_t n = sizeof(stream) - 1, messages = 0;
    grpc_reader_init(&r, 100);
    mem_fail_from(1);
    while (n > 0) {
        assert_int_equal(grpc_reader_next(&r, &p, &n, &m, NULL), 1);
        messages++;
    }
    mem_fail_never();
    assert_int_equal(messages, 4);
    grpc_reader_done(&r);
}

static void random_messages_round_trip(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int round = 0; round < 300; round++) {
        uint8_t wire[4096], sent[4096], got[4096];
        size_t n_wire = 0, n_sent = 0, n_got = 0;
        for (int i = 0; i < 8; i++) {
            size_t len = random_below(&rnd, 300);
            grpc_prefix_write(wire + n_wire, (uint32_t)len);
            n_wire += GRPC_PREFIX_BYTES;
            for (size_t k = 0; k < len; k++)
                sent[n_sent++] = wire[n_wire++] = (uint8_t)random_u64(&rnd);
        }
        struct grpc_reader r;
        struct grpc_message m;
        grpc_reader_init(&r, 300);
        for (size_t at = 0; at < n_wire;) {
            size_t take = 1 + random_below(&rnd, 200);
            const uint8_t *p = wire + at;
            if (take > n_wire - at)
                take = n_wire - at;
            at += take;
            while (take > 0) {
                int one = grpc_reader_next(&r, &p, &take, &m, NULL);
                assert_true(one >= 0);
                if (one == 1) {
                    memcpy(got + n_got, m.p, m.n);
                    n_got += m.n;
                }
            }
        }
        assert_int_equal(n_got, n_sent);
        assert_memory_equal(got, sent, n_sent);
        grpc_reader_done(&r);
    }
}

static void grpc_timeout_in_every_unit(void **state) {
    static const struct {
        const char *text;
        int64_t ns; // -1: refused
    } cases[] = {
        {"1H", 3600 * NS_PER_S},
        {"1M", 60 * NS_PER_S},
        {"2S", 2 * NS_PER_S},
        {"2010m", 2010 * NS_PER_MS},
        {"7u", 7000},
        {"9n", 9},
        {"0n", 0},
        {"99999999S", 99999999 * NS_PER_S},
        {"99999999H", INT64_MAX},
        {"100000000n", -1}, // nine digits
        {"", -1},
        {"S", -1},
        {"5", -1},
        {"5s", -1},
        {"5h", -1},
        {"-5S", -1},
        {"+5S", -1},
        {" 5S", -1},
        {"5 S", -1},
        {"5.0S", -1},
        {"5SS", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = -1;
        int err = grpc_timeout_parse(str_from(cases[i].text), &ns);
        assert_int_equal(err, cases[i].ns < 0 ? ERR_PARSE : 0);
        assert_int_equal(ns, cases[i].ns);
    }
}

static void timeouts_are_written_in_8_digits_and_never_shorter(void **state) {
    struct random rnd;
    char text[GRPC_TIMEOUT_MAX];
    random_init(&rnd, unit_seed());
    grpc_timeout_format(1500 * NS_PER_MS, text);
    assert_string_equal(text, "1500000u");
    grpc_timeout_format(-5, text);
    assert_string_equal(text, "0n");
    grpc_timeout_format(INT64_MAX, text);
    assert_string_equal(text, "2562048H");
    for (int i = 0; i < 10000; i++) {
        int64_t ns = (int64_t)(random_u64(&rnd) >> (1 + random_below(&rnd, 63))), back;
        grpc_timeout_format(ns, text);
        assert_true(strlen(text) <= 9);
        assert_int_equal(grpc_timeout_parse(str_from(text), &back), 0);
        assert_true(back >= ns);
        assert_true(back - ns <= ns / 100000 + 1); // eight digits
    }
}

static void status_messages_are_percent_encoded(void **state) {
    static const struct {
        const char *text, *encoded;
    } cases[] = {
        {"", ""},           {"plain text: 1.5", "plain text: 1.5"},
        {"50 %", "50 %25"}, {"a\nb\tc\r", "a%0Ab%09c%0D"},
        {"ü", "%C3%BC"},    {"😀", "%F0%9F%98%80"},
        {"\x7f", "%7F"},
    };
    char out[OUT_MAX], back[OUT_MAX];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t n = grpc_text_encode(out, sizeof(out), str_from(cases[i].text));
        assert_string_equal(out, cases[i].encoded);
        assert_int_equal(n, strlen(out));
        assert_int_equal(grpc_text_decode(back, sizeof(back), str_from(out)),
                         strlen(cases[i].text));
        assert_string_equal(back, cases[i].text);
    }
    grpc_text_encode(out, sizeof(out), STR("a\xff\xfe"));
    assert_string_equal(out, "a??");
}

static void encoding_is_cut_between_characters(void **state) {
    char out[OUT_MAX];
    const char *text = "aü😀b";
    for (size_t cap = 1; cap <= 24; cap++) {
        size_t n = grpc_text_encode(out, cap, str_from(text));
        assert_true(n < cap);
        assert_true(n == 0 || n == 1 || n == 7 || n == 19 || n == 20);
    }
}

static void decoding_forgives(void **state) {
    static const struct {
        const char *encoded, *text;
    } cases[] = {
        {"100%", "100%"}, {"%4", "%4"}, {"%zz", "%zz"}, {"%41%62", "Ab"},
        {"%c3%BC", "ü"},  {"%ff", "?"}, {"%00", "?"},   {"a%F0%9F", "a??"},
    };
    char out[OUT_MAX];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        grpc_text_decode(out, sizeof(out), str_from(cases[i].encoded));
        assert_string_equal(out, cases[i].text);
    }
    assert_int_equal(grpc_text_decode(out, 3, STR("abcdef")), 2);
    assert_string_equal(out, "ab");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_of_every_split),
        cmocka_unit_test(prefix_may_straddle_data_frames),
        cmocka_unit_test(zero_length_message_is_a_message),
        cmocka_unit_test(cut_stream_is_partial),
        cmocka_unit_test(larger_than_the_limit_is_refused_at_the_prefix),
        cmocka_unit_test(flag_other_than_0_and_1_is_refused_at_once),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(whole_messages_need_no_memory),
        cmocka_unit_test(random_messages_round_trip),
        cmocka_unit_test(grpc_timeout_in_every_unit),
        cmocka_unit_test(timeouts_are_written_in_8_digits_and_never_shorter),
        cmocka_unit_test(status_messages_are_percent_encoded),
        cmocka_unit_test(encoding_is_cut_between_characters),
        cmocka_unit_test(decoding_forgives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
