// SPDX-License-Identifier: Apache-2.0
/* A pod's counters as increases over the last minute. */
#include "unit.h"

#include "base/clock.h"
#include "core/signal/meter.h"

#define ALL ((1u << ENGINE_VALUE_MAX) - 1)

static struct engine_sample page(double finished, double prompt, double generated, double sum,
                                 double count, double queue) {
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, finished);
    SAMPLE_SET(&s, ENGINE_PROMPT_TOKENS_TOTAL, prompt);
    SAMPLE_SET(&s, ENGINE_GENERATION_TOKENS_TOTAL, generated);
    SAMPLE_SET(&s, ENGINE_ITL_SUM_S, sum);
    SAMPLE_SET(&s, ENGINE_ITL_COUNT, count);
    SAMPLE_SET(&s, ENGINE_QUEUE, queue);
    return s;
}

// k pages, 5 s apart, of 10 generated and 100 prompt tokens a second.
static void run(struct meter *m, int from_s, int to_s, struct meter_totals *ret) {
    for (int t = from_s; t <= to_s; t += 5) {
        struct engine_sample s = page(t, 100. * t, 10. * t, 0.3 * t, 10. * t, t == 100 ? 0 : 2);
        assert_true(meter_page(m, &s, ALL, t * NS_PER_S, ret));
    }
}

static void a_minute_is_read_from_marks(void **state) {
    (void)state;
    struct meter m = {0};
    struct meter_totals t;
    double s, queue;
    run(&m, 1000, 1000, &t);
    assert_true(t.work == 0 && t.finished == 0); // the first page is where counting begins
    run(&m, 1005, 1040, &t);
    assert_true(t.work == 50 + 0.12 * 500 && t.finished == 5);
    assert_false(meter_minute(&m, 1040 * NS_PER_S, &t, &s, &queue)); // 40 s are too short
    run(&m, 1045, 1300, &t);
    assert_true(meter_minute(&m, 1300 * NS_PER_S, &t, &s, &queue));
    assert_true(s >= 45 && s <= 75 && queue == 2);
    assert_true(t.work > 21.99 * s && t.work < 22.01 * s);
    assert_true(t.itl_count / t.itl_sum_s > 33.33 && t.itl_count / t.itl_sum_s < 33.34);
    assert_false(meter_minute(&m, 1316 * NS_PER_S, &t, &s, &queue)); // the newest is too old
}

static void a_restart_begins_a_new_minute(void **state) {
    (void)state;
    struct meter m = {0};
    struct meter_totals t;
    double s, queue;
    run(&m, 1000, 1100, &t);
    struct engine_sample fresh = page(3, 300, 30, 1, 30, 0);
    assert_true(meter_page(&m, &fresh, ALL, 1105 * NS_PER_S, &t));
    assert_true(t.finished == 3 && t.work == 30 + 0.12 * 300); // all that it shows came since
    assert_false(meter_minute(&m, 1105 * NS_PER_S, &t, &s, &queue));
}

static void one_counter_that_falls_is_a_restart_of_all(void **state) {
    (void)state;
    struct meter m = {0};
    struct meter_totals t;
    struct engine_sample a = page(10, 100, 100, 5, 100, 0), b = page(11, 110, 90, 6, 110, 0);
    assert_true(meter_page(&m, &a, ALL, NS_PER_S, &t));
    assert_true(meter_page(&m, &b, ALL, 6 * NS_PER_S, &t));
    assert_true(t.finished == 11);
}

static void a_page_without_a_counter_of_the_engine_is_not_taken(void **state) {
    (void)state;
    struct meter m = {0};
    struct meter_totals t;
    for (int v = ENGINE_REQUESTS_TOTAL; v <= ENGINE_ITL_COUNT; v++) {
        struct engine_sample s = page(1, 2, 3, 4, 5, 0);
        s.valid &= ~(1u << v);
        assert_false(meter_page(&m, &s, ALL, NS_PER_S, &t));
        // An engine that never tells it: what there is counts, but without tokens there is none.
        bool taken = meter_page(&m, &s, ALL & ~(1u << v), NS_PER_S, &t);
        assert_int_equal(taken, v != ENGINE_GENERATION_TOKENS_TOTAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minute_is_read_from_marks),
        cmocka_unit_test(a_restart_begins_a_new_minute),
        cmocka_unit_test(one_counter_that_falls_is_a_restart_of_all),
        cmocka_unit_test(a_page_without_a_counter_of_the_engine_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
