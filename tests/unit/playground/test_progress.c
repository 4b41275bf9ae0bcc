// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/mem.h"
#include "playground/progress.h"

static void a_line_of_the_load_is_read(void **state) {
    (void)state;
    struct progress p;
    struct err e = {0};
    assert_int_equal(
        progress_parse(
            &p,
            STR("{\"t_s\":9.382,\"sent\":75,\"done\":70,\"errors\":{\"refused\":1,\"timeout\":0,"
                "\"reset\":2,\"status\":0,\"protocol\":0,\"tls\":0,\"other\":1},\"in_flight\":1,"
                "\"behind_ms\":0.000,\"latency_ms\":{\"p50\":616.5627,\"p95\":1602.2241,\"p99\":"
                "2379.7709},\"ttft_ms\":{\"p50\":null,\"p95\":null,\"p99\":null},\"final\":true}"),
            &e),
        0);
    assert_true(p.t_s == 9.382 && p.sent == 75 && p.done == 70 && p.in_flight == 1);
    assert_int_equal(p.errors, 4);
    assert_true(p.p50_ms == 616.5627 && p.p95_ms == 1602.2241 && p.p99_ms == 2379.7709);
    assert_true(p.final);
}

static void a_percentile_of_nothing_is_unknown(void **state) {
    (void)state;
    struct progress p;
    static const char *const none[] = {"{\"p50\":null,\"p95\":null,\"p99\":null}", "null"};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        char line[256];
        snprintf(line, sizeof(line),
                 "{\"t_s\":1,\"sent\":0,\"done\":0,\"errors\":{\"status\":0},\"in_flight\":0,"
                 "\"latency_ms\":%s,\"ttft_ms\":{\"p50\":5}}",
                 none[i]);
        assert_int_equal(progress_parse(&p, str_from(line), NULL), 0);
        assert_true(isnan(p.p50_ms) && isnan(p.p95_ms) && !p.final);
    }
}

static void what_is_no_line_is_an_error(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "no object",
        "{}",
        "{\"t_s\":1}",
        "{\"t_s\":1,\"sent\":-1,\"done\":0,\"errors\":{\"status\":0},\"in_flight\":0}",
        "{\"t_s\":1,\"sent\":1,\"done\":0,\"errors\":{\"status\":x},\"in_flight\":0}",
        "{\"t_s\":1,\"sent\":1,\"done\":0,\"errors\":{},\"in_flight\":0}",
        "{\"t_s\":1,\"sent\":1,\"done\":0,\"in_flight\":0}",
        "{\"t_s\":null,\"sent\":1,\"done\":0,\"errors\":{\"status\":0},\"in_flight\":0}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct progress p = {.sent = 7};
        struct err e = {0};
        assert_int_equal(progress_parse(&p, str_from(bad[i]), &e), ERR_PARSE);
        assert_true(e.msg[0] && p.sent == 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_the_load_is_read),
        cmocka_unit_test(a_percentile_of_nothing_is_unknown),
        cmocka_unit_test(what_is_no_line_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
