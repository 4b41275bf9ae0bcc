// SPDX-License-Identifier: Apache-2.0
/* base/buf: bounds, the order of bytes, and numbers as Prometheus prints them. */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "unit.h"

#include <math.h>

// Against a plain array: any mix of adding, consuming, truncating and reserving.
static void any_sequence_of_calls_keeps_the_bytes_and_the_bound(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    enum { MAX = 300 };
    for (int round = 0; round < 300; round++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, MAX);
        char model[MAX];
        size_t n = 0;
        for (int step = 0; step < 200; step++) {
            char piece[120];
            size_t len = random_below(&r, sizeof(piece));
            for (size_t i = 0; i < len; i++)
                piece[i] = (char)random_u64(&r);
            size_t k = random_below(&r, n + 1);
            int code = 0;
            switch (random_below(&r, 4)) {
            case 0:
                code = buf_add(&b, piece, len);
                break;
            case 1: {
                char *at = buf_reserve(&b, len);
                code = at || len == 0 ? 0 : ERR_LIMIT;
                if (at && len > 0) {
                    memcpy(at, piece, len);
                    buf_commit(&b, len);
                }
                break;
            }
            case 2:
                buf_consume(&b, k);
                memmove(model, model + k, n - k);
                n -= k;
                len = 0;
                break;
            default:
                buf_truncate(&b, k);
                n = k;
                len = 0;
                break;
            }
            assert_int_equal(code, n + len > MAX ? ERR_LIMIT : 0);
            if (code == 0 && len > 0) {
                memcpy(model + n, piece, len);
                n += len;
            }
            assert_int_equal(b.len, n);
            if (n > 0)
                assert_memory_equal(b.p, model, n);
            assert_true(b.len <= b.max && b.off + b.len <= b.cap && b.cap <= MAX);
        }
    }
}

static void the_first_failure_stays_until_clear(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 4);
    assert_int_equal(buf_addc(&b, "abc"), 0);
    assert_int_equal(b.err, 0);
    assert_int_equal(buf_addc(&b, "de"), ERR_LIMIT);
    assert_int_equal(buf_addf(&b, "%d", 12), ERR_LIMIT);
    assert_true(str_eqc(buf_str(&b), "abc"));
    assert_int_equal(buf_add_byte(&b, 'd'), 0);
    assert_int_equal(b.err, ERR_LIMIT);
    buf_clear(&b);
    assert_int_equal(b.err, 0);
}

static void no_memory_leaves_the_buffer_as_it_was(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    char big[4096];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    mem_fail_from(1);
    assert_int_equal(buf_addc(&b, "a"), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(b.err, ERR_NOMEM);
    buf_clear(&b);
    assert_int_equal(buf_addc(&b, "kept"), 0);
    for (long n = 1; n <= 2; n++) {
        mem_fail_from(n);
        assert_int_equal(buf_addf(&b, "%s", big), ERR_NOMEM);
        mem_fail_never();
        assert_true(str_eqc(buf_str(&b), "kept"));
    }
    mem_fail_from(1);
    assert_null(buf_reserve(&b, 5000));
    assert_int_equal(buf_add_json(&b, str_from(big)), ERR_NOMEM);
    mem_fail_never();
    assert_true(str_eqc(buf_str(&b), "kept"));
    assert_int_equal(buf_addf(&b, "%s", big), 0);
    assert_int_equal(b.len, 4 + strlen(big));
}

// What Go's strconv.FormatFloat(v, 'g', -1, 64) gives, which Prometheus' text encoder uses.
static const struct {
    double v;
    const char *text;
} prometheus_doubles[] = {
    {0, "0"},
    {-0.0, "-0"},
    {1, "1"},
    {-1, "-1"},
    {0.5, "0.5"},
    {0.1, "0.1"},
    {1e5, "100000"},
    {999999, "999999"},
    {1e6, "1e+06"},
    {-1e6, "-1e+06"},
    {1234567, "1.234567e+06"},
    {123456.7, "123456.7"},
    {123456789, "1.23456789e+08"},
    {100000000.5, "1.000000005e+08"},
    {1e20, "1e+20"},
    {1e21, "1e+21"},
    {1e100, "1e+100"},
    {0.0001, "0.0001"},
    {0.00012345, "0.00012345"},
    {0.00001, "1e-05"},
    {1.5e-7, "1.5e-07"},
    {3.0000000000000004, "3.0000000000000004"},
    {5e-324, "5e-324"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {1700000000.123, "1.700000000123e+09"},
    {99.99999999999999, "99.99999999999999"},
    {NAN, "NaN"},
    {INFINITY, "+Inf"},
    {-INFINITY, "-Inf"},
};

static void doubles_have_prometheus_form(void **state) {
    for (size_t i = 0; i < COUNT_OF(prometheus_doubles); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 64);
        assert_int_equal(buf_add_double(&b, prometheus_doubles[i].v), 0);
        assert_int_equal(buf_add_byte(&b, '\0'), 0);
        assert_string_equal(b.p, prometheus_doubles[i].text);
    }
}

static size_t count_digits(struct str s) {
    size_t n = 0, zeros = 0;
    for (size_t i = 0; i < s.n && s.p[i] != 'e'; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            continue;
        if (s.p[i] == '0' && n > 0)
            zeros++;
        else if (s.p[i] != '0')
            n += zeros + 1, zeros = 0;
    }
    return n;
}

static void doubles_read_back_and_are_short(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = random_u64(&r);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (random_below(&r, 2)) // what metrics look like
            v = (double)random_below(&r, 10000000) / (random_below(&r, 2) ? 1000 : 8);
        if (!isfinite(v))
            continue;
        CLEANUP_BUF struct buf b;
        buf_init(&b, 32);
        assert_int_equal(buf_add_double(&b, v), 0);
        size_t digits = count_digits(buf_str(&b));
        assert_int_equal(buf_add_byte(&b, '\0'), 0);
        assert_true(strtod(b.p, NULL) == v);
        for (size_t fewer = 1; fewer < digits; fewer++) {
            char shorter[40];
            snprintf(shorter, sizeof(shorter), "%.*e", (int)fewer - 1, v);
            if (strtod(shorter, NULL) == v)
                fail_msg("%s: %s would do", b.p, shorter);
        }
    }
}

static void integers(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 200);
    buf_add_u64(&b, 0);
    buf_add_byte(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_add_byte(&b, ' ');
    buf_add_i64(&b, INT64_MIN);
    buf_add_byte(&b, ' ');
    buf_add_i64(&b, INT64_MAX);
    assert_int_equal(b.err, 0);
    assert_true(str_eqc(buf_str(&b), "0 18446744073709551615 -9223372036854775808 "
                                     "9223372036854775807"));
    CLEANUP_BUF struct buf tiny;
    buf_init(&tiny, 2);
    assert_int_equal(buf_add_i64(&tiny, -12), ERR_LIMIT);
    assert_int_equal(tiny.len, 0); // not even the sign
}

static void json_strings_escape_what_json_and_terminals_obey(void **state) {
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        {STR(""), "\"\""},
        {STR("plain"), "\"plain\""},
        {STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {STR("\b\t\n\f\r\v"), "\"\\b\\t\\n\\f\\r\\u000b\""},
        {STR("a\0b"), "\"a\\u0000b\""},
        {STR("\x1b[31m"), "\"\\u001b[31m\""},
        {STR("\x7f"), "\"\\u007f\""},
        {STR("\xc2\x9b"
             "31m"),
         "\"\\u009b31m\""}, // the one-character CSI
        {STR("\xc2\xa0"), "\"\xc2\xa0\""},
        {STR("\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {STR("a\xff"
             "b\xe2\x82"),
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 100);
        assert_int_equal(buf_add_json(&b, cases[i].in), 0);
        buf_add_byte(&b, '\0');
        assert_string_equal(b.p, cases[i].out);
    }
}

static void json_fits_whole_or_not_at_all(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 2000; i++) {
        char in[40];
        size_t n = random_below(&r, sizeof(in));
        for (size_t k = 0; k < n; k++)
            in[k] = (char)random_u64(&r);
        CLEANUP_BUF struct buf whole;
        buf_init(&whole, 1000);
        assert_int_equal(buf_add_json(&whole, (struct str){in, n}), 0);
        assert_true(utf8_valid(whole.p, whole.len));
        for (size_t k = 1; k + 1 < whole.len; k++)
            assert_true((unsigned char)whole.p[k] >= 0x20);
        CLEANUP_BUF struct buf small;
        buf_init(&small, whole.len - 1);
        assert_int_equal(buf_add_json(&small, (struct str){in, n}), ERR_LIMIT);
        assert_int_equal(small.len, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_of_calls_keeps_the_bytes_and_the_bound),
        cmocka_unit_test(the_first_failure_stays_until_clear),
        cmocka_unit_test(no_memory_leaves_the_buffer_as_it_was),
        cmocka_unit_test(doubles_have_prometheus_form),
        cmocka_unit_test(doubles_read_back_and_are_short),
        cmocka_unit_test(integers),
        cmocka_unit_test(json_strings_escape_what_json_and_terminals_obey),
        cmocka_unit_test(json_fits_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
