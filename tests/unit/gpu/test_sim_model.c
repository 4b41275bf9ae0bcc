// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "gpu/sim_model.h"

static struct gpu_reading settled(double busy) {
    struct sim_gpu g = {0};
    struct sim_activity a = {
        .busy = busy, .sm = -1, .tensor = -1, .dram = -1, .memory_used_bytes = -1};
    struct gpu_reading r;
    for (int i = 0; i < 600; i++)
        sim_model_step(&g, &a, i * NS_PER_S, &r);
    return r;
}

static double value(const struct gpu_reading *r, enum gpu_value i) {
    double v = NAN;
    assert_true(gpu_reading_get(r, i, &v));
    return v;
}

static void test_an_idle_h100_is_cool_slow_and_empty(void **state) {
    struct gpu_reading r = settled(0);
    assert_true(value(&r, GPU_UTILIZATION_PCT) == 0);
    assert_true(value(&r, GPU_POWER_W) == 70);
    assert_true(value(&r, GPU_SM_CLOCK_MHZ) == 345);
    assert_true(value(&r, GPU_TEMPERATURE_C) < 40);
    assert_true(value(&r, GPU_MEMORY_USED_BYTES) < 1e8);
    assert_true(value(&r, GPU_CLOCK_EVENT_REASONS) == 1);
    assert_true(value(&r, GPU_PROCESSES) == 0);
}

static void test_a_busy_one_draws_up_to_its_limit(void **state) {
    struct gpu_reading r = settled(1);
    assert_true(value(&r, GPU_UTILIZATION_PCT) == 100);
    assert_in_range((int)value(&r, GPU_POWER_W), 500, 700);
    assert_in_range((int)value(&r, GPU_TEMPERATURE_C), 55, 80);
    assert_true(value(&r, GPU_MEMORY_USED_BYTES) > 60e9);
    assert_true(value(&r, GPU_PROCESSES) == 1);
    assert_true(value(&r, GPU_TENSOR_ACTIVE_RATIO) < value(&r, GPU_SM_ACTIVE_RATIO));
}

static void test_power_and_heat_rise_with_the_load(void **state) {
    double power = 0, temperature = 0;
    for (double busy = 0; busy <= 1; busy += 0.05) {
        struct gpu_reading r = settled(busy);
        assert_true(value(&r, GPU_POWER_W) >= power);
        assert_true(value(&r, GPU_TEMPERATURE_C) >= temperature);
        power = value(&r, GPU_POWER_W);
        temperature = value(&r, GPU_TEMPERATURE_C);
    }
}

static void test_energy_is_power_over_time_and_never_falls(void **state) {
    struct sim_gpu g = {0};
    struct sim_activity a = {
        .busy = 0.5, .sm = -1, .tensor = -1, .dram = -1, .memory_used_bytes = -1};
    struct gpu_reading r;
    sim_model_step(&g, &a, 5 * NS_PER_S, &r);
    double watts = value(&r, GPU_POWER_W);
    sim_model_step(&g, &a, 15 * NS_PER_S, &r);
    assert_true(fabs(value(&r, GPU_ENERGY_J) - 10 * watts) < 0.01);
    sim_model_step(&g, &a, 6 * NS_PER_S, &r); // a clock that steps back
    assert_true(fabs(value(&r, GPU_ENERGY_J) - 10 * watts) < 0.01);
}

static void test_every_reading_is_within_the_tables_bounds(void **state) {
    struct random rnd;
    struct sim_gpu g = {0};
    struct gpu_reading r;
    random_init(&rnd, unit_seed());
    for (int i = 0; i < 2000; i++) {
        struct sim_activity a = {.busy = random_unit(&rnd) * 1.2 - 0.1,
                                 .sm = random_unit(&rnd) * 1.2 - 0.1,
                                 .tensor = random_unit(&rnd) * 1.2 - 0.1,
                                 .dram = random_unit(&rnd) * 1.2 - 0.1,
                                 .memory_used_bytes = random_unit(&rnd) * 2e11 - 1e10};
        sim_model_step(&g, &a, i * NS_PER_S, &r);
        assert_int_equal(r.valid, (UINT64_C(1) << GPU_VALUE_MAX) - 1);
        for (unsigned k = 0; k < GPU_VALUE_MAX; k++)
            if (!(r.v[k] >= gpu_values[k].min && r.v[k] <= gpu_values[k].max))
                fail_msg("step %d: %s = %g", i, gpu_values[k].name, r.v[k]);
        assert_true(value(&r, GPU_MEMORY_USED_BYTES) + value(&r, GPU_MEMORY_FREE_BYTES) +
                        value(&r, GPU_MEMORY_RESERVED_BYTES) ==
                    81559.0 * 1048576);
    }
}

static void test_identities_are_stable_and_differ(void **state) {
    struct gpu_info a, again, b, other_seed;
    sim_model_info(1, 0, &a);
    sim_model_info(1, 0, &again);
    sim_model_info(1, 1, &b);
    sim_model_info(2, 0, &other_seed);
    assert_memory_equal(&a, &again, sizeof a);
    assert_string_not_equal(a.uuid, b.uuid);
    assert_string_not_equal(a.uuid, other_seed.uuid);
    assert_string_not_equal(a.pci_bus_id, b.pci_bus_id);
    assert_int_equal(strlen(a.uuid), strlen("GPU-8b2281de-6d3c-42ed-8ec8-d3b864870b8b"));
    assert_string_equal(a.model, "NVIDIA H100 80GB HBM3");
    assert_int_equal(a.memory_total_bytes, UINT64_C(81559) << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_h100_is_cool_slow_and_empty),
        cmocka_unit_test(test_a_busy_one_draws_up_to_its_limit),
        cmocka_unit_test(test_power_and_heat_rise_with_the_load),
        cmocka_unit_test(test_energy_is_power_over_time_and_never_falls),
        cmocka_unit_test(test_every_reading_is_within_the_tables_bounds),
        cmocka_unit_test(test_identities_are_stable_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
