// SPDX-License-Identifier: Apache-2.0
/* The histogram of the programs' own metrics. */
#include <math.h>

#include "unit.h"

#include "base/mem.h"
#include "base/random.h"
#include "core/metrics/histogram.h"

static const double bounds[] = {1, 2, 5};

static void test_a_value_on_a_bound_belongs_below_it(void **state) {
    struct histogram h;
    histogram_init(&h, bounds, 3);
    static const double values[] = {0, 1, 1.5, 2, 2.000001, 5, 6, INFINITY, -3};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        histogram_add(&h, values[i]);
    assert_int_equal(h.counts[0], 3); // 0, 1, -3
    assert_int_equal(h.counts[1], 2);
    assert_int_equal(h.counts[2], 2);
    assert_int_equal(h.counts[3], 2);
    assert_int_equal(h.count, 9);
}

static void test_nan_is_not_counted(void **state) {
    struct histogram h;
    histogram_init(&h, bounds, 3);
    histogram_add(&h, NAN);
    histogram_add(&h, 1);
    assert_int_equal(h.count, 1);
    assert_true(h.sum == 1);
}

static void test_merging_is_adding_all_of_the_other(void **state) {
    struct random r;
    struct histogram a, b, both;
    random_init(&r, unit_seed());
    histogram_init(&a, bounds, 3);
    histogram_init(&b, bounds, 3);
    histogram_init(&both, bounds, 3);
    for (int i = 0; i < 1000; i++) {
        double v = (double)random_below(&r, 64) / 8; // exact sums
        histogram_add(i % 3 ? &a : &b, v);
        histogram_add(&both, v);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(a.counts, both.counts, sizeof(a.counts));
    assert_int_equal(a.count, both.count);
    assert_true(a.sum == both.sum);
}

// Worked by hand after PromQL's histogram_quantile().
static void test_quantiles_interpolate_as_promql_does(void **state) {
    struct histogram h;
    histogram_init(&h, bounds, 3);
    assert_true(isnan(histogram_quantile(&h, 0.5)));
    for (int i = 0; i < 4; i++)
        histogram_add(&h, 0.5); // [0, 1]
    for (int i = 0; i < 4; i++)
        histogram_add(&h, 3); // (2, 5]
    for (int i = 0; i < 2; i++)
        histogram_add(&h, 9); // +Inf
    static const struct {
        double q, want;
    } cases[] = {
        {0, 0}, {0.2, 0.5}, {0.4, 1}, {0.5, 2.75}, {0.8, 5}, {0.9, 5}, {1, 5},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (fabs(histogram_quantile(&h, cases[i].q) - cases[i].want) > 1e-12)
            fail_msg("q %g: got %g, want %g", cases[i].q, histogram_quantile(&h, cases[i].q),
                     cases[i].want);
    assert_true(histogram_quantile(&h, -0.1) == -INFINITY);
    assert_true(histogram_quantile(&h, 1.1) == INFINITY);
}

static void test_a_quantile_lies_in_the_bucket_of_the_true_one(void **state) {
    struct random r;
    struct histogram h;
    static double values[999];
    random_init(&r, unit_seed());
    histogram_init(&h, histogram_latency_s, histogram_latency_s_n);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        double v = random_exponential(&r, 0.02);
        size_t j = i;
        for (; j > 0 && values[j - 1] > v; j--)
            values[j] = values[j - 1];
        values[j] = v;
        histogram_add(&h, v);
    }
    for (int q = 1; q < 100; q++) {
        double truth = values[(size_t)ceil(q / 100.0 * 999) - 1];
        double read = histogram_quantile(&h, q / 100.0);
        unsigned bucket = 0;
        while (truth > histogram_latency_s[bucket])
            bucket++;
        assert_true(read <= histogram_latency_s[bucket]);
        assert_true(read >= (bucket ? histogram_latency_s[bucket - 1] : 0));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_on_a_bound_belongs_below_it),
        cmocka_unit_test(test_nan_is_not_counted),
        cmocka_unit_test(test_merging_is_adding_all_of_the_other),
        cmocka_unit_test(test_quantiles_interpolate_as_promql_does),
        cmocka_unit_test(test_a_quantile_lies_in_the_bucket_of_the_true_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
