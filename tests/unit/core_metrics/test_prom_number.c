// SPDX-License-Identifier: Apache-2.0
/* Numbers of the text format: rounding as strtod's, the grammar as Go's ParseFloat without hex. */
#include <math.h>

#include "unit.h"

#include "base/mem.h"
#include "base/random.h"
#include "core/metrics/prom_parse.h"

static void check(const char *text) {
    double got, want = strtod(text, NULL);
    assert_int_equal(prom_parse_double(str_from(text), &got), 0);
    if (memcmp(&got, &want, sizeof(got)) != 0)
        fail_msg("%s: got %a, want %a", text, got, want);
}

static void test_numbers_that_rounding_goes_wrong_on(void **state) {
    static const char *const texts[] = {
        "0",
        "-0",
        "1",
        "0.1",
        "0.3",
        "2.5",
        "1e22",
        "1e23",
        "1e-22",
        "9007199254740992",
        "9007199254740993", // a tie: 2^53 + 1
        "9007199254740993.0",
        "9007199254740993.00001",
        "9007199254740994.99999",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "9999999999999999999",
        "9999999999999999999e19",
        "9999999999999999999e-19",
        "1.7682643398898673e+09",
        "0.69999999999999996",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "1.7976931348623157e308",
        "1e-400",
        "0.000000000000000000000000000000000001",
        "123456789012345678901234567890",
        "8.5e-19",
        "1.0000000000000002",
        "1.00000000000000011102230246251565404236316680908203125",
        "5.32e+011",
        "00000000000000000000000000000001.5",
        "4503599627370496.5",
        "4503599627370497.5",
        "67108864.00000000745058059692382812",
        "1844674407370955161.5",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check(texts[i]);
}

static void test_any_double_written_with_any_digits_is_read_as_strtod_reads_it(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 300000; i++) {
        char text[64];
        uint64_t bits = random_u64(&r);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (!isfinite(v) || i % 2) // the other half: sizes that metrics have
            v = ldexp((double)(bits >> 11), (int)random_below(&r, 120) - 110);
        int digits = 1 + (int)random_below(&r, 20);
        snprintf(text, sizeof(text), i % 3 ? "%.*e" : "%.*g", digits, v);
        if (isfinite(strtod(text, NULL)))
            check(text);
    }
}

static void test_digits_and_exponents_of_every_size(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 200000; i++) {
        char text[64];
        uint64_t m = random_u64(&r) >> random_below(&r, 64);
        int e = (int)random_below(&r, 46) - 23;
        snprintf(text, sizeof(text), "%s%" PRIu64 "e%d", i % 5 ? "" : "-", m, e);
        check(text);
        // the same digits with a point among them
        snprintf(text, sizeof(text), i & 1 ? "%u.%05u" : "%u.0000000%05u", (unsigned)(m >> 32),
                 (unsigned)(m & 0xffff));
        check(text);
    }
}

static void test_words_for_numbers(void **state) {
    double v;
    static const char *const plus[] = {"Inf", "+Inf", "inf", "+INF", "Infinity", "+infinity"};
    for (size_t i = 0; i < COUNT_OF(plus); i++) {
        assert_int_equal(prom_parse_double(str_from(plus[i]), &v), 0);
        assert_true(isinf(v) && v > 0);
    }
    assert_int_equal(prom_parse_double(STR("-Inf"), &v), 0);
    assert_true(isinf(v) && v < 0);
    assert_int_equal(prom_parse_double(STR("nAn"), &v), 0);
    assert_true(isnan(v));
}

static void test_what_is_no_number(void **state) {
    static const char *const texts[] = {
        "",         " 1",
        "1 ",       "+",
        "-",        ".",
        "e5",       "1e",
        "1e+",      "1.e",
        "--1",      "0x1",
        "1_0",      "1,5",
        "infin",    "+nan",
        "-NaN",     "nano",
        "1d",       "1f",
        "1e999",    "-1e9999999999",
        "1p4",      "NaN(1)",
        "\xd9\xa1",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        double v = 42;
        if (prom_parse_double(str_from(texts[i]), &v) != ERR_PARSE || v != 42)
            fail_msg("\"%s\" was read as %g", texts[i], v);
    }
    double v;
    assert_int_equal(prom_parse_double((struct str){"1\0002", 3}, &v), ERR_PARSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_that_rounding_goes_wrong_on),
        cmocka_unit_test(test_any_double_written_with_any_digits_is_read_as_strtod_reads_it),
        cmocka_unit_test(test_digits_and_exponents_of_every_size),
        cmocka_unit_test(test_words_for_numbers),
        cmocka_unit_test(test_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
