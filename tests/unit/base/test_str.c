// SPDX-License-Identifier: Apache-2.0
/* base/str: views, numbers, and the nearest name. */
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "unit.h"

#include <float.h>
#include <locale.h>
#include <math.h>

static void cut_takes_the_head_and_leaves_the_tail(void **state) {
    static const struct {
        const char *in, *head, *tail;
    } cases[] = {
        {"a,b,c", "a", "b,c"}, {"abc", "abc", ""}, {",b", "", "b"},
        {"a,", "a", ""},       {"", "", ""},       {",", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str s = str_from(cases[i].in);
        struct str head = str_cut(&s, ',');
        assert_true(str_eqc(head, cases[i].head));
        assert_true(str_eqc(s, cases[i].tail));
    }
    struct str null = {NULL, 0};
    assert_int_equal(str_cut(&null, ',').n, 0);
    assert_int_equal(null.n, 0);
}

static void trim_knows_all_ascii_white_space_and_no_more(void **state) {
    assert_true(str_eqc(str_trim(STR(" \t\r\n\v\fa b \n")), "a b"));
    assert_int_equal(str_trim(STR(" \t ")).n, 0);
    assert_true(str_eqc(str_trim(STR("\xc2\xa0x")), "\xc2\xa0x")); // no-break space stays
}

static void comparing(void **state) {
    assert_true(str_eq_nocase(STR("Content-Length"), STR("content-lENGTH")));
    assert_false(str_eq_nocase(STR("a["), STR("A{"))); // 0x5b and 0x7b are no letters
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_true(str_starts(STR("abc"), "ab") && str_starts(STR("abc"), "") &&
                !str_starts(STR("ab"), "abc"));
    assert_true(str_ends(STR("abc"), "bc") && str_ends(STR(""), "") && !str_ends(STR("c"), "bc"));
    assert_true(str_eq((struct str){NULL, 0}, STR("")));
}

static void copy_fits_or_leaves_nothing(void **state) {
    char dst[4] = "zzz";
    assert_int_equal(str_copy(dst, sizeof(dst), STR("abc")), 0);
    assert_string_equal(dst, "abc");
    assert_int_equal(str_copy(dst, sizeof(dst), STR("abcd")), ERR_LIMIT);
    assert_string_equal(dst, "");
    assert_int_equal(str_copy(dst, 0, STR("")), ERR_LIMIT);
}

static void integers_are_whole_decimal_and_in_range(void **state) {
    static const struct {
        const char *in;
        int code;
        long long value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"007", 0, 7},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", ERR_PARSE, 0},
        {"-9223372036854775809", ERR_PARSE, 0},
        {"99999999999999999999999", ERR_PARSE, 0},
        {"", ERR_PARSE, 0},
        {"-", ERR_PARSE, 0},
        {"--1", ERR_PARSE, 0},
        {"+1", ERR_PARSE, 0},
        {" 1", ERR_PARSE, 0},
        {"1 ", ERR_PARSE, 0},
        {"1.0", ERR_PARSE, 0},
        {"0x10", ERR_PARSE, 0},
        {"1e3", ERR_PARSE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        long long v = 42;
        assert_int_equal(str_to_i64(str_from(cases[i].in), &v), cases[i].code);
        assert_int_equal(v, cases[i].code ? 42 : cases[i].value);
    }
    unsigned long long u;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), ERR_PARSE);
    assert_int_equal(str_to_u64(STR("-1"), &u), ERR_PARSE);
    assert_int_equal(str_to_u64((struct str){"123", 2}, &u), 0); // the view, not the string
    assert_true(u == 12);
}

static void doubles_that_are_refused(void **state) {
    static const char *const bad[] = {"",      ".",    "-",     " 1",     "1 ",    "1e",
                                      "0x1p3", "1,5",  "1.2.3", "nan(1)", "0X10",  "e5",
                                      "--1",   "1e5x", "+-1",   "infin",  "1_000", "\xd9\xa1"};
    double v = 42;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(str_to_double(str_from(bad[i]), &v), ERR_PARSE);
    assert_int_equal(str_to_double((struct str){"1\0002", 3}, &v), ERR_PARSE);
    assert_true(v == 42);
    assert_int_equal(str_to_double(STR("+Inf"), &v), 0);
    assert_true(isinf(v) && v > 0);
    assert_int_equal(str_to_double(STR("-inf"), &v), 0);
    assert_true(isinf(v) && v < 0);
    assert_int_equal(str_to_double(STR("NaN"), &v), 0);
    assert_true(isnan(v));
    assert_int_equal(str_to_double(STR("-0"), &v), 0);
    assert_true(v == 0 && signbit(v));
}

static void check_as_strtod(const char *text) {
    double got = 42, want = strtod(text, NULL);
    assert_int_equal(str_to_double(str_from(text), &got), 0);
    if (memcmp(&got, &want, sizeof(got)) != 0)
        fail_msg("%s: %.17g, strtod says %.17g", text, got, want);
}

// The short path for few digits must round as strtod does, on each side of its border.
static void doubles_are_read_as_strtod_reads_them(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 200000; i++) {
        char text[64];
        size_t n = 0, digits = 1 + random_below(&r, 19), point = random_below(&r, digits + 3);
        if (random_below(&r, 3) == 0)
            text[n++] = random_below(&r, 2) ? '-' : '+';
        for (size_t d = 0; d < digits; d++) {
            if (d == point)
                text[n++] = '.';
            text[n++] = (char)('0' + random_below(&r, 10));
        }
        text[n] = '\0';
        if (random_below(&r, 4) == 0)
            snprintf(text + n, sizeof(text) - n, "e%d", (int)random_below(&r, 700) - 350);
        check_as_strtod(text);
    }
    static const char *const edges[] = {
        "1.7976931348623157e308", "1e309",   "4.9e-324", "2.4e-324", "2.2250738585072011e-308",
        "9007199254740993",       ".5",      "5.",       "0.1",      "123456789012345",
        "1234567890123456",       "0.00000", "-0.0",     "1e22",     "1e23"};
    for (size_t i = 0; i < COUNT_OF(edges); i++)
        check_as_strtod(edges[i]);
}

static void doubles_do_not_follow_the_locale(void **state) {
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"};
    for (size_t i = 0; i < COUNT_OF(comma) && !setlocale(LC_ALL, comma[i]); i++)
        ;
    double v = 0;
    assert_int_equal(str_to_double(STR("1234567890123.5678901"), &v), 0); // the long path
    assert_true(v == 1234567890123.5678901);
    assert_int_equal(str_to_double(STR("1,5"), &v), ERR_PARSE);
    setlocale(LC_ALL, "C");
}

static void the_nearest_name_is_close_or_none(void **state) {
    static const char *const names[] = {"listen",           "interval", "tls",
                                        "maxConnectionAge", "log",      NULL};
    static const struct {
        const char *in, *near;
    } cases[] = {
        {"lisen", "listen"},  {"litsen", "listen"},
        {"Listen", "listen"}, {"intervall", "interval"},
        {"tsl", "tls"},       {"maxconnectionage", "maxConnectionAge"},
        {"maxConnAge", NULL}, {"x", NULL},
        {"", NULL},           {"zzzzzz", NULL},
        {"tl", NULL},         {"tlss", "tls"},
        {"logg", "log"},      {"interva", "interval"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *near = str_nearest(str_from(cases[i].in), names);
        if (!near || !cases[i].near)
            assert_ptr_equal(near, cases[i].near);
        else
            assert_string_equal(near, cases[i].near);
    }
    char longest[200];
    memset(longest, 'a', sizeof(longest));
    assert_null(str_nearest((struct str){longest, sizeof(longest)}, names));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_takes_the_head_and_leaves_the_tail),
        cmocka_unit_test(trim_knows_all_ascii_white_space_and_no_more),
        cmocka_unit_test(comparing),
        cmocka_unit_test(copy_fits_or_leaves_nothing),
        cmocka_unit_test(integers_are_whole_decimal_and_in_range),
        cmocka_unit_test(doubles_that_are_refused),
        cmocka_unit_test(doubles_are_read_as_strtod_reads_them),
        cmocka_unit_test(doubles_do_not_follow_the_locale),
        cmocka_unit_test(the_nearest_name_is_close_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
