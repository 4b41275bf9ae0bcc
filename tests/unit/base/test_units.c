// SPDX-License-Identifier: Apache-2.0
/* base/units: durations as Go, sizes, Kubernetes quantities. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/units.h"
#include "unit.h"

#include <math.h>

static void durations(void **state) {
    static const struct {
        const char *in;
        int code;
        int64_t ns;
    } cases[] = {
        {"0", 0, 0},
        {"0s", 0, 0},
        {"30", 0, 30 * NS_PER_S},
        {"1.5", 0, 1500 * NS_PER_MS},
        {"300ms", 0, 300 * NS_PER_MS},
        {"1h30m", 0, 5400 * NS_PER_S},
        {"1.5s", 0, 1500 * NS_PER_MS},
        {".5s", 0, 500 * NS_PER_MS},
        {"1.s", 0, NS_PER_S},
        {"2us", 0, 2000},
        {"2\xc2\xb5s", 0, 2000},
        {"2\xce\xbcs", 0, 2000},
        {"7ns", 0, 7},
        {"0.1s", 0, 100 * NS_PER_MS},
        {"0.3s", 0, 300 * NS_PER_MS},
        {"1h1m1s1ms1us1ns", 0, 3661001001001},
        {"1m1h", 0, 3660 * NS_PER_S},
        {"0.0000000019s", 0, 1},
        {"0.33333333333333333333333333333333s", 0, 333333333},
        {"9223372036854775807ns", 0, INT64_MAX},
        {"9223372036854775808ns", ERR_LIMIT, 0},
        {"2562047h47m16.854775807s", 0, INT64_MAX},
        {"2562048h", ERR_LIMIT, 0},
        {"99999999999999999999999999999999999999999s", ERR_LIMIT, 0},
        {"", ERR_PARSE, 0},
        {"s", ERR_PARSE, 0},
        {".s", ERR_PARSE, 0},
        {"-1s", ERR_PARSE, 0},
        {"+1s", ERR_PARSE, 0},
        {"1 s", ERR_PARSE, 0},
        {" 1s", ERR_PARSE, 0},
        {"1s ", ERR_PARSE, 0},
        {"1d", ERR_PARSE, 0},
        {"1S", ERR_PARSE, 0},
        {"1h30", ERR_PARSE, 0},
        {"1.2.3s", ERR_PARSE, 0},
        {"1e3s", ERR_PARSE, 0},
        {"1s,", ERR_PARSE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = -42;
        int r = units_parse_duration_ns(str_from(cases[i].in), &ns);
        if (r != cases[i].code || ns != (cases[i].code ? -42 : cases[i].ns))
            fail_msg("%s: code %d, %" PRId64 " ns", cases[i].in, r, ns);
    }
}

static void durations_print_as_go_prints_them(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {999, "999ns"},
        {1500, "1.5\xc2\xb5s"},
        {1000000, "1ms"},
        {1500000, "1.5ms"},
        {250 * NS_PER_MS, "250ms"},
        {NS_PER_S, "1s"},
        {90 * NS_PER_S, "1m30s"},
        {300 * NS_PER_S, "5m0s"},
        {3600 * NS_PER_S, "1h0m0s"},
        {3661 * NS_PER_S + 1, "1h1m1.000000001s"},
        {-5 * NS_PER_S, "-5s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[32];
        units_format_duration(cases[i].ns, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static void a_printed_duration_reads_back_exactly(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)(random_u64(&r) >> (1 + random_below(&r, 62))), back = -1;
        char text[32];
        units_format_duration(ns, text, sizeof(text));
        assert_int_equal(units_parse_duration_ns(str_from(text), &back), 0);
        assert_int_equal(back, ns);
    }
}

static void sizes(void **state) {
    static const struct {
        const char *in;
        int code;
        uint64_t bytes;
    } cases[] = {
        {"0", 0, 0},
        {"1500", 0, 1500},
        {"512B", 0, 512},
        {"64KiB", 0, 65536},
        {"64Ki", 0, 65536},
        {"1MiB", 0, 1 << 20},
        {"1.5GiB", 0, UINT64_C(1610612736)},
        {"2k", 0, 2000},
        {"2kB", 0, 2000},
        {"5M", 0, 5000000},
        {"1.1k", 0, 1100},
        {"1.0001k", 0, 1000},
        {"3PiB", 0, UINT64_C(3377699720527872)},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", ERR_LIMIT, 0},
        {"99999PiB", ERR_LIMIT, 0},
        {"", ERR_PARSE, 0},
        {"KiB", ERR_PARSE, 0},
        {"5K", ERR_PARSE, 0},
        {"5KB", ERR_PARSE, 0},
        {"5kib", ERR_PARSE, 0},
        {"5 MiB", ERR_PARSE, 0},
        {"-1", ERR_PARSE, 0},
        {"1MiB1", ERR_PARSE, 0},
        {"1e3", ERR_PARSE, 0},
        {"5m", ERR_PARSE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t bytes = 42;
        int r = units_parse_bytes(str_from(cases[i].in), &bytes);
        if (r != cases[i].code || bytes != (cases[i].code ? 42 : cases[i].bytes))
            fail_msg("%s: code %d, %" PRIu64, cases[i].in, r, bytes);
    }
}

static void sizes_for_people(void **state) {
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {UINT64_C(1610612736), "1.5 GiB"},
        {(UINT64_C(1) << 20) - 1, "1 MiB"}, // never "1024 KiB"
        {UINT64_MAX, "16 EiB"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[32];
        units_format_bytes(cases[i].bytes, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static void kubernetes_quantities(void **state) {
    static const struct {
        const char *in;
        int code;
        double value;
    } cases[] = {
        {"0", 0, 0},
        {"100m", 0, 0.1},
        {"1.5", 0, 1.5},
        {"2Gi", 0, 2147483648.0},
        {"3e2", 0, 300},
        {"3E2", 0, 300},
        {"1E", 0, 1e18},
        {"1Ei", 0, 1152921504606846976.0},
        {"5n", 0, 5e-9},
        {"5u", 0, 5e-6},
        {"7k", 0, 7000},
        {"-1", 0, -1},
        {"+1.5Ki", 0, 1536},
        {".5", 0, 0.5},
        {"1e-3", 0, 0.001},
        {"123456789012345678m", 0, 123456789012345.678},
        {"1e400", ERR_LIMIT, 0},
        {"", ERR_PARSE, 0},
        {"m", ERR_PARSE, 0},
        {"1K", ERR_PARSE, 0},
        {"1ki", ERR_PARSE, 0},
        {"1e", ERR_PARSE, 0},
        {"1Mm", ERR_PARSE, 0},
        {"1 Gi", ERR_PARSE, 0},
        {"0x10", ERR_PARSE, 0},
        {"NaN", ERR_PARSE, 0},
        {"inf", ERR_PARSE, 0},
        {"1-2", ERR_PARSE, 0},
        {"--1", ERR_PARSE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double v = 42;
        int r = units_parse_quantity(str_from(cases[i].in), &v);
        if (r != cases[i].code || v != (cases[i].code ? 42 : cases[i].value))
            fail_msg("%s: code %d, %.17g", cases[i].in, r, v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(durations_print_as_go_prints_them),
        cmocka_unit_test(a_printed_duration_reads_back_exactly),
        cmocka_unit_test(sizes),
        cmocka_unit_test(sizes_for_people),
        cmocka_unit_test(kubernetes_quantities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
