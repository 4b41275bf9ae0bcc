// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/clock.h"
#include "gpu/source.h"

static struct gpu_source open_sim(const char *spec) {
    struct gpu_source s = {0};
    struct err e = {0};
    if (gpu_source_open(str_from(spec), &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static int sample(struct gpu_source *s, uint32_t slot, int64_t t_ns, struct gpu_reading *r,
                  enum gpu_sample_result *result) {
    return s->ops->sample(s->state, slot, 1000 * NS_PER_S + t_ns, r, result, NULL);
}

static void test_all_gpus_are_enumerated_each_time(void **state) {
    struct gpu_source s = open_sim("sim:8,ramp");
    struct gpu_device d[8];
    size_t n = 0;
    struct err e = {0};
    assert_int_equal(s.ops->enumerate(s.state, 0, d, 8, &n, &e), 0);
    assert_int_equal(n, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(d[i].slot, i);
    assert_int_equal(s.ops->enumerate(s.state, 0, d, 7, &n, &e), ERR_LIMIT);
    gpu_source_close(&s);
}

static void test_the_first_sample_is_the_start_of_the_scenario(void **state) {
    struct gpu_source s = open_sim("sim:1,ramp,period=10s,level=1");
    struct gpu_reading r;
    enum gpu_sample_result result;
    double v;
    assert_int_equal(sample(&s, 0, 0, &r, &result), 0);
    assert_true(gpu_reading_get(&r, GPU_UTILIZATION_PCT, &v) && v == 0);
    assert_int_equal(sample(&s, 0, 5 * NS_PER_S, &r, &result), 0);
    assert_true(gpu_reading_get(&r, GPU_UTILIZATION_PCT, &v) && v >= 48 && v <= 52);
    gpu_source_close(&s);
}

static void test_a_lost_gpu_says_lost_and_comes_back(void **state) {
    struct gpu_source s = open_sim("sim:2,lost,after=1s,for=2s");
    struct gpu_reading r;
    enum gpu_sample_result result;
    assert_int_equal(sample(&s, 1, 0, &r, &result), 0);
    assert_int_equal(result, GPU_SAMPLE_OK);
    assert_int_equal(sample(&s, 1, NS_PER_S, &r, &result), 0);
    assert_int_equal(result, GPU_SAMPLE_LOST);
    assert_int_equal(sample(&s, 0, NS_PER_S, &r, &result), 0);
    assert_int_equal(result, GPU_SAMPLE_OK);
    assert_int_equal(sample(&s, 1, 3 * NS_PER_S, &r, &result), 0);
    assert_int_equal(result, GPU_SAMPLE_OK);
    gpu_source_close(&s);
}

static void test_flaky_leaves_values_out_and_fails_calls(void **state) {
    struct gpu_source s = open_sim("sim:1,flaky,seed=3");
    const uint64_t all = (UINT64_C(1) << GPU_VALUE_MAX) - 1;
    unsigned failed = 0, partial = 0;
    for (int t = 0; t < 200; t++) {
        struct gpu_reading r;
        enum gpu_sample_result result;
        int code = sample(&s, 0, t * NS_PER_S, &r, &result);
        assert_true(code == 0 || code == ERR_UNAVAILABLE);
        failed += code != 0;
        partial += code == 0 && r.valid != all;
    }
    assert_true(failed > 0 && failed < 100);
    assert_true(partial > 100);
    gpu_source_close(&s);
}

static void test_a_hanging_driver_holds_its_caller(void **state) {
    struct gpu_source s = open_sim("sim:2,hang,after=0s,for=50ms,period=1h");
    struct gpu_reading r;
    enum gpu_sample_result result;
    int64_t before_ns = clock_mono_ns();
    assert_int_equal(sample(&s, 1, 0, &r, &result), 0);
    assert_true(clock_mono_ns() - before_ns >= 50 * NS_PER_MS);
    gpu_source_close(&s);
}

static void test_two_runs_of_one_seed_are_equal(void **state) {
    struct gpu_source a = open_sim("sim:2,burst,seed=9"), b = open_sim("sim:2,burst,seed=9");
    for (int t = 0; t < 300; t++) {
        struct gpu_reading ra, rb;
        enum gpu_sample_result result;
        assert_int_equal(sample(&a, 1, t * NS_PER_S, &ra, &result), 0);
        assert_int_equal(sample(&b, 1, t * NS_PER_S, &rb, &result), 0);
        assert_int_equal(ra.valid, rb.valid);
        assert_memory_equal(ra.v, rb.v, sizeof ra.v);
    }
    gpu_source_close(&a);
    gpu_source_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_gpus_are_enumerated_each_time),
        cmocka_unit_test(test_the_first_sample_is_the_start_of_the_scenario),
        cmocka_unit_test(test_a_lost_gpu_says_lost_and_comes_back),
        cmocka_unit_test(test_flaky_leaves_values_out_and_fails_calls),
        cmocka_unit_test(test_a_hanging_driver_holds_its_caller),
        cmocka_unit_test(test_two_runs_of_one_seed_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
