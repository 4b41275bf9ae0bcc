// SPDX-License-Identifier: Apache-2.0
/* manifest/quantity: what k8s.io/apimachinery 0.37 makes of the same texts. */
#include "manifest/quantity.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "unit.h"

// Printed by Quantity.MilliValue and AsApproximateFloat64.
static const struct {
    const char *text;
    int64_t milli;
    double approximate;
} known[] = {
    {"0", 0, 0},
    {"1", 1000, 1},
    {"+1", 1000, 1},
    {"-1", -1000, -1},
    {"  12  ", 12000, 12},
    {"100m", 100, 0.1},
    {"70m", 70, 70 * 1e-3},
    {"-250m", -250, -0.25},
    {"1.5", 1500, 1.5},
    {".5", 500, 0.5},
    {"1.", 1000, 1},
    {"007", 7000, 7},
    {"1e3", 1000000, 1000},
    {"1E3", 1000000, 1000},
    {"5e-2", 50, 5 * 1e-2},
    {"1e+2", 100000, 100},
    {"2k", 2000000, 2000},
    {"3M", 3000000000, 3e6},
    {"1Ki", 1024000, 1024},
    {"1.5Gi", 1610612736000, 1610612736},
    {"0.1Ki", 102400, 102.4},
    // Rounded up, away from zero.
    {"1n", 1, 1e-9},
    {"1500u", 2, 0.0015},
    {"-1500u", -2, -0.0015},
    {"1e-12", 1, 1e-9},
    {"123456789.123456789123", 123456789124, 1.2345678912345679e+08},
    // What does not fit.
    {"2E", 0, 2e18},
    {"1e18", 0, 1e18},
    {"9e15", INT64_C(9000000000000000000), 9e15},
    {"9.3e18", 0, 9.3e18},
    {"999999999999999999", INT64_C(3875820019684211736), 1e18},
    {"9223372036854775807", -1000, 9223372036854775807.0},
    {"9223372036854775808m", INT64_MIN, 9.223372036854776e+15},
    {"12345678901234567890", INT64_C(4807115922877858896), 1.234567890123457e+19},
    {"100000000000000000000", INT64_C(200376420520689664), 1e20},
    {"7Ei", INT64_MIN, 8.070450532247929e+18},
    {"8Ei", -1000, 0x1p63},
    {"16Ei", -1000, 0x1p63},
};

static void texts_are_read_as_go_reads_them(void **state) {
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct quantity q = {0};
        assert_int_equal(quantity_parse(str_from(known[i].text), &q), 0);
        if (q.milli != known[i].milli || q.approximate != known[i].approximate)
            fail_msg("%s: %" PRId64 " %.17g, not %" PRId64 " %.17g", known[i].text, q.milli,
                     q.approximate, known[i].milli, known[i].approximate);
        int sign = (known[i].approximate > 0) - (known[i].approximate < 0);
        assert_int_equal(q.sign, sign);
    }
}

static void what_is_no_quantity_is_refused(void **state) {
    static const char *const bad[] = {
        "",     " ",   "-",   "+",    ".",   "m",   "Ki",   "1K",    "1ki",
        "1 m",  "1e",  "e5",  "1e+",  "1e-", "1x",  "0x10", "1.5.2", "1,5",
        "--1",  "+-1", "1mm", "1Mib", "inf", "nan", "1e5m", "1Ki2",  "1e99999999999999999999",
        "1e+-5"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct quantity q = {.milli = 77};
        if (quantity_parse(str_from(bad[i]), &q) != ERR_PARSE)
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(q.milli, 77);
    }
}

static void long_ones_have_a_limit(void **state) {
    char text[LIMIT_QUANTITY_DIGITS + 2];
    memset(text, '9', sizeof(text));
    struct quantity q;
    assert_int_equal(quantity_parse((struct str){text, LIMIT_QUANTITY_DIGITS}, &q), 0);
    assert_int_equal(quantity_parse((struct str){text, LIMIT_QUANTITY_DIGITS + 1}, &q), ERR_LIMIT);
    memcpy(text, "9999Ei", 6);
    assert_int_equal(quantity_parse((struct str){text, 6}, &q), 0);
    assert_int_equal(quantity_parse(STR("1e400"), &q), 0);
    assert_int_equal(quantity_parse(STR("1e401"), &q), ERR_LIMIT);
    assert_int_equal(quantity_parse(STR("1e-401"), &q), ERR_LIMIT);
}

static const struct {
    int64_t milli;
    bool binary;
    const char *text;
} printed[] = {
    {0, false, "0"},
    {1, false, "1m"},
    {-1500, false, "-1500m"},
    {1000, false, "1"},
    {12000000, false, "12k"},
    {12500000, false, "12500"},
    {INT64_MAX, false, "9223372036854775807m"},
    {INT64_MIN, false, "-9223372036854775808m"},
    {1000000000000000000, false, "1P"},
    {1024000, true, "1Ki"},
    {1000000, true, "1k"},
    {1500, true, "1500m"},
    {1610612736000, true, "1536Mi"},
    {2048500, true, "2048500m"},
    {-1048576000, true, "-1Mi"},
};

static void numbers_are_printed_as_go_prints_them(void **state) {
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 64);
        assert_int_equal(quantity_add_milli(&b, printed[i].milli, printed[i].binary), 0);
        if (!str_eqc(buf_str(&b), printed[i].text))
            fail_msg("%" PRId64 ": " STR_FMT ", not %s", printed[i].milli, STR_ARG(buf_str(&b)),
                     printed[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_go_reads_them),
        cmocka_unit_test(what_is_no_quantity_is_refused),
        cmocka_unit_test(long_ones_have_a_limit),
        cmocka_unit_test(numbers_are_printed_as_go_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
