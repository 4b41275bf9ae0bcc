// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "core/signal/reading.h"
#include "gpu/sim_scenario.h"

static double busy_at(enum sim_kind kind, double t_s) {
    struct sim_scenario s = sim_scenario_default(kind, 4);
    s.seed = unit_seed();
    return sim_scenario_busy(&s, 0, (int64_t)(t_s * 1e9));
}

static void test_idle_is_idle_and_steady_is_steady(void **state) {
    for (double t = 0; t < 100; t += 7) {
        assert_true(busy_at(SIM_IDLE, t) == 0);
        assert_true(fabs(busy_at(SIM_STEADY, t) - 0.6) <= 0.02);
    }
}

static void test_ramp_rises_once_and_stays(void **state) {
    assert_true(busy_at(SIM_RAMP, 0) == 0);
    assert_true(fabs(busy_at(SIM_RAMP, 30) - 0.475) <= 0.02);
    assert_true(busy_at(SIM_RAMP, 60) >= 0.93);
    assert_true(busy_at(SIM_RAMP, 3600) >= 0.93);
}

static void test_sawtooth_falls_after_each_period(void **state) {
    assert_true(busy_at(SIM_SAWTOOTH, 59.5) > 0.9);
    assert_true(busy_at(SIM_SAWTOOTH, 60) == 0);
    assert_true(busy_at(SIM_SAWTOOTH, 119.5) > 0.9);
}

static void test_a_burst_is_a_quarter_of_each_period(void **state) {
    struct sim_scenario s = sim_scenario_default(SIM_BURST, 1);
    s.seed = unit_seed();
    for (int period = 0; period < 20; period++) {
        int high = 0;
        for (int t = 0; t < 600; t++)
            high += sim_scenario_busy(&s, 0, (period * 600 + t) * (NS_PER_S / 10)) > 0.5;
        assert_in_range(high, 149, 151);
    }
}

static void test_only_the_chosen_gpu_is_lost_and_it_returns(void **state) {
    struct sim_scenario s = sim_scenario_default(SIM_LOST, 4);
    assert_false(sim_scenario_lost(&s, 3, 10 * NS_PER_S - 1));
    assert_true(sim_scenario_lost(&s, 3, 10 * NS_PER_S));
    assert_false(sim_scenario_lost(&s, 2, 10 * NS_PER_S));
    assert_true(sim_scenario_lost(&s, 3, 30 * NS_PER_S - 1));
    assert_false(sim_scenario_lost(&s, 3, 30 * NS_PER_S));
    s.for_ns = 0; // for good
    assert_true(sim_scenario_lost(&s, 3, 86400 * NS_PER_S));
}

static void test_a_hang_ends_when_its_time_is_over(void **state) {
    struct sim_scenario s = sim_scenario_default(SIM_HANG, 4);
    assert_int_equal(sim_scenario_hang_ns(&s, 3, 9 * NS_PER_S), 0);
    assert_int_equal(sim_scenario_hang_ns(&s, 3, 12 * NS_PER_S), 18 * NS_PER_S);
    assert_int_equal(sim_scenario_hang_ns(&s, 0, 12 * NS_PER_S), 0);
    assert_int_equal(sim_scenario_hang_ns(&s, 3, 30 * NS_PER_S), 0);
    assert_int_equal(sim_scenario_hang_ns(&s, 3, 70 * NS_PER_S), 20 * NS_PER_S); // again
}

static void test_flaky_values_come_and_go(void **state) {
    struct sim_scenario s = sim_scenario_default(SIM_FLAKY, 1);
    int away = 0, calls = 0;
    s.seed = unit_seed();
    for (int t = 0; t < 1000; t++) {
        away += __builtin_popcountll(sim_scenario_unknown(&s, 0, t * 5 * NS_PER_S));
        calls += sim_scenario_call_fails(&s, 0, t * NS_PER_S);
    }
    assert_in_range(away, 1000 * GPU_VALUE_MAX / 6, 1000 * GPU_VALUE_MAX / 4); // one in five
    assert_in_range(calls, 50, 150);                                           // one in ten
    s.kind = SIM_STEADY;
    assert_int_equal(sim_scenario_unknown(&s, 0, 0), 0);
}

static void test_the_same_seed_gives_the_same_run_in_any_order(void **state) {
    struct sim_scenario a = sim_scenario_default(SIM_FLAKY, 2), b = a, c = a;
    c.seed = a.seed + 1;
    bool differs = false;
    for (int t = 500; t >= 0; t--) {
        int64_t ns = t * 300 * NS_PER_MS;
        assert_true(sim_scenario_busy(&a, 1, ns) == sim_scenario_busy(&b, 1, ns));
        assert_true(sim_scenario_unknown(&a, 1, ns) == sim_scenario_unknown(&b, 1, ns));
        differs |= sim_scenario_busy(&a, 1, ns) != sim_scenario_busy(&c, 1, ns);
    }
    assert_true(differs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_is_idle_and_steady_is_steady),
        cmocka_unit_test(test_ramp_rises_once_and_stays),
        cmocka_unit_test(test_sawtooth_falls_after_each_period),
        cmocka_unit_test(test_a_burst_is_a_quarter_of_each_period),
        cmocka_unit_test(test_only_the_chosen_gpu_is_lost_and_it_returns),
        cmocka_unit_test(test_a_hang_ends_when_its_time_is_over),
        cmocka_unit_test(test_flaky_values_come_and_go),
        cmocka_unit_test(test_the_same_seed_gives_the_same_run_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
