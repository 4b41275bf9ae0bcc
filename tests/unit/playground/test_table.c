// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "playground/table.h"

static const struct table_row rows[] = {
    {"cpu", "CPU 70 %", 40, 0.26, 0.0333, 6140, 10740, 13160, 262, 485, 0, true},
    {"classic", "classic triggers", 1175.2, 55.1, 12.5, 1750, 999.6, NAN, 0, 747, 8, false},
    {"gpuscale", "gpuscale", 174.9, 54.6, 0.146, 120.4, 4440, 123456, 0, 747, 9, true},
};

static void the_ending_has_a_column_a_policy_and_fits_80_columns(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 8192);
    assert_int_equal(table_write(&b, rows, COUNT_OF(rows)), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    static const char *const lines[] = {
        "                              CPU 70 %    classic triggers            gpuscale\n",
        "GPU-seconds                       40.0              1175.2               174.9\n",
        "idle GPU-seconds                   0.3                55.1                54.6\n",
        "cost                            $0.033              $12.50              $0.146\n",
        "latency p50                     6.14 s              1.75 s              120 ms\n",
        "        p95                    10.74 s              1.00 s              4.44 s\n",
        "        p99                    13.16 s                   -               123 s\n",
        "errors                             262                   0                   0\n",
        "requests served                    485                 747                 747\n",
        "scale events                         0                   8                   9\n",
        "The act of classic triggers was cut short.\n",
    };
    const char *at = b.p;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_memory_equal(at, lines[i], strlen(lines[i]));
        assert_true(strlen(lines[i]) <= 81);
        at += strlen(lines[i]);
    }
    assert_string_equal(at, "");
}

static void the_same_as_json_has_null_for_what_is_unknown(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 8192);
    assert_int_equal(table_write_json(&b, rows + 1, 1), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_string_equal(
        b.p, "[{\"policy\":\"classic\",\"gpuSeconds\":1175.200,\"idleGpuSeconds\":55.100,"
             "\"usd\":12.500,\"p50Ms\":1750.000,\"p95Ms\":999.600,\"p99Ms\":null,"
             "\"errors\":0,\"served\":747,\"scaleEvents\":8,\"whole\":false}]");
}

static void what_does_not_fit_is_an_error(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 16);
    assert_int_equal(table_write(&b, rows, 3), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_has_a_column_a_policy_and_fits_80_columns),
        cmocka_unit_test(the_same_as_json_has_null_for_what_is_unknown),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
