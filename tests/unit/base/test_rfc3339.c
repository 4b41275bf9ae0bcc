// SPDX-License-Identifier: Apache-2.0
/* Times as Kubernetes writes them. */
#include "base/rfc3339.h"

#include <time.h>

#include "base/mem.h"
#include "base/random.h"
#include "unit.h"

static void known_times(void **state) {
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T00:00:00Z", INT64_C(951782400) * 1000000000},
        {"2026-11-23T12:00:00Z", INT64_C(1795435200) * 1000000000},
        {"2026-11-23T13:00:00.5+01:00", INT64_C(1795435200) * 1000000000 + 500000000},
        {"2026-11-23T06:30:00.000000001-05:30", INT64_C(1795435200) * 1000000000 + 1},
        {"2026-11-23t12:00:00z", INT64_C(1795435200) * 1000000000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = -1;
        assert_int_equal(rfc3339_parse(cases[i].text, &ns, NULL), 0);
        assert_true(ns == cases[i].ns);
    }
}

static void what_is_no_time_is_refused(void **state) {
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T12:00:00",
        "2026-11-23 12:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:60:00Z",
        "2026-11-23T12:00:61Z",
        "2026-11-23T12:00:00.Z",
        "2026-11-23T12:00:00+1:00",
        "2026-11-23T12:00:00+24:00",
        "2026-11-23T12:00:00Zx",
        "1969-12-31T23:59:59Z",
        "-026-11-23T12:00:00Z",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = 7;
        struct err e = {0};
        if (rfc3339_parse(cases[i], &ns, &e) == 0)
            fail_msg("accepted: %s", cases[i]);
        assert_true(ns == 7);
    }
}

// The C library's calendar is the judge.
static void every_day_agrees_with_timegm(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 20000; i++) {
        time_t t = (time_t)random_below(&r, UINT64_C(7258118400)); // to 2199
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        char text[64];
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
        int64_t ns = 0;
        assert_int_equal(rfc3339_parse(text, &ns, NULL), 0);
        assert_true(ns == (int64_t)t * 1000000000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(every_day_agrees_with_timegm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
