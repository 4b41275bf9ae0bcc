// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "playground/plan.h"

static struct plan plan;

static void the_shape_is_what_the_load_generator_is_told(void **state) {
    (void)state;
    assert_int_equal(
        plan_make(&plan, &(struct plan_options){.rate = 10, .act_ns = 20 * NS_PER_S}, NULL), 0);
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1024);
    assert_int_equal(plan_shape(&b, &plan), 0);
    // Its segments add up to the act, and their rates are those of plan_rate_at().
    struct str rest = buf_str(&b);
    double at_s = 0;
    while (rest.n) {
        struct str segment = str_cut(&rest, ',');
        struct str rates = str_cut(&segment, '@');
        double ms, from, to;
        struct str last = rates;
        for (size_t i = 0; i + 1 < rates.n; i++) {
            if (rates.p[i] == '.' && rates.p[i + 1] == '.') {
                last = (struct str){rates.p + i + 2, rates.n - i - 2};
                rates.n = i;
            }
        }
        assert_true(str_ends(segment, "ms"));
        segment.n -= 2;
        assert_int_equal(str_to_double(segment, &ms), 0);
        assert_int_equal(str_to_double(rates, &from), 0);
        assert_int_equal(str_to_double(last, &to), 0);
        assert_true(fabs(plan_rate_at(&plan, at_s + 1e-6) - from) < 0.01);
        at_s += ms / 1000;
        assert_true(fabs(plan_rate_at(&plan, at_s - 1e-6) - to) < 0.01);
    }
    assert_true(fabs(at_s - 20) < 0.01);
    assert_true(plan_rate_at(&plan, 20.001) == 0);
}

static const char *rule(const char *key) {
    for (size_t i = 0; plan.rule[i][0]; i++) {
        if (strcmp(plan.rule[i][0], key) == 0)
            return plan.rule[i][1];
    }
    return NULL;
}

static void the_rules_windows_run_as_fast_as_everything_else(void **state) {
    (void)state;
    assert_int_equal(plan_make(&plan, &(struct plan_options){.speed = 10}, NULL), 0);
    assert_string_equal(rule("rateWindow"), "6s");
    assert_string_equal(rule("downWindow"), "30s");
    assert_string_equal(rule("engine"), "vllm");
    assert_null(rule("queue"));
    assert_int_equal(plan_make(&plan, &(struct plan_options){.speed = 1, .classic = true}, NULL),
                     0);
    assert_string_equal(rule("rateWindow"), "1m0s");
    assert_string_equal(rule("downWindow"), "5m0s");
    assert_string_equal(rule("queue"), "10"); // the pair of the recipe
    assert_string_equal(rule("gpuUtilization"), "55");
}

static void what_is_out_of_range_is_named(void **state) {
    (void)state;
    static const struct {
        struct plan_options o;
        const char *word;
    } cases[] = {
        {{.speed = 1000}, "--speed"},
        {{.gpus = 1000}, "--gpus"},
        {{.rate = -1}, "--rate"},
        {{.act_ns = NS_PER_S}, "--duration"},
        {{.cold_start_ns = 3600 * NS_PER_S}, "--cold-start"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err e = {0};
        assert_int_equal(plan_make(&plan, &cases[i].o, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, cases[i].word));
    }
}

static void the_notes_say_what_is_real_and_what_was_assumed(void **state) {
    (void)state;
    char notes[PLAN_NOTES_MAX][PLAN_NOTE_LEN];
    struct plan_options options = {.speed = 20};
    assert_int_equal(plan_make(&plan, &options, NULL), 0);
    size_t n = plan_notes(&plan, notes);
    assert_true(n >= 4 && n <= PLAN_NOTES_MAX);
    for (size_t i = 0; i < n; i++)
        assert_true(strlen(notes[i]) < PLAN_NOTE_LEN - 1); // none is cut
    assert_non_null(strstr(notes[1], "divided by 20"));
    // What decides the CPU policy is said beside its figures.
    assert_non_null(strstr(notes[3], "--cpu-request 0.08"));
    options.cpu_request_cores = 0.08;
    assert_int_equal(plan_make(&plan, &options, NULL), 0);
    assert_int_equal(plan_notes(&plan, notes), n - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shape_is_what_the_load_generator_is_told),
        cmocka_unit_test(the_rules_windows_run_as_fast_as_everything_else),
        cmocka_unit_test(what_is_out_of_range_is_named),
        cmocka_unit_test(the_notes_say_what_is_real_and_what_was_assumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
