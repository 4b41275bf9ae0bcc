// SPDX-License-Identifier: Apache-2.0
/* The log-linear histogram against sorted values: quantiles, ranks, merging, saturation. */
#include "unit.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/metrics/hdr.h"

enum { VALUES = 20000 };
static const uint32_t quantiles[] = {0,      1,      1000,   10000,  250000, 500000, 900000,
                                     950000, 990000, 999000, 999900, 999999, 1000000};

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// The definition, exactly: the value at rank ceil(q * n) of the sorted ones.
static uint64_t sorted_quantile(const uint64_t *sorted, size_t n, uint32_t per_million) {
    unsigned __int128 product = (unsigned __int128)n * per_million;
    size_t rank = (size_t)((product + 999999) / 1000000);
    return sorted[rank ? rank - 1 : 0];
}

static void assert_near(uint64_t exact, uint64_t told, const char *what) {
    uint64_t slack = exact / 1024;
    if (told < exact || told - exact > slack)
        fail_msg("%s: exactly %" PRIu64 ", told %" PRIu64, what, exact, told);
}

// Values as latencies are: around a magnitude that is drawn for each round.
static uint64_t draw(struct random *r, unsigned round) {
    switch (round % 4) {
    case 0:
        return random_below(r, 3000);
    case 1:
        return (uint64_t)random_exponential(r, 5e7);
    case 2:
        return (uint64_t)exp(random_normal(r) * 2 + 15);
    default:
        return random_u64(r) >> (20 + random_below(r, 40));
    }
}

static void quantiles_agree_with_sorted_values_to_three_digits(void **state) {
    static uint64_t values[VALUES];
    struct random r;
    random_init(&r, unit_seed());
    for (unsigned round = 0; round < 12; round++) {
        struct hdr h;
        size_t n = round < 8 ? 1 + random_below(&r, VALUES) : round;
        double sum = 0;
        assert_int_equal(hdr_init(&h, UINT64_C(1) << 44), 0);
        for (size_t i = 0; i < n; i++) {
            values[i] = draw(&r, round);
            sum += (double)values[i];
            hdr_add(&h, values[i]);
        }
        qsort(values, n, sizeof(*values), ascending);
        for (size_t i = 0; i < COUNT_OF(quantiles); i++)
            assert_near(sorted_quantile(values, n, quantiles[i]), hdr_quantile(&h, quantiles[i]),
                        "quantile");
        assert_int_equal(h.min, values[0]);
        assert_int_equal(h.max, values[n - 1]);
        assert_true(fabs(hdr_mean(&h) - sum / (double)n) <= 1e-9 * sum);
        hdr_done(&h);
    }
}

static void ranks_are_exact_where_values_are_few(void **state) {
    static const struct {
        size_t n;
        uint32_t per_million;
        uint64_t value; // values are 10, 20, 30, ...
    } rows[] = {
        {1, 0, 10},          {1, 500000, 10},     {1, 1000000, 10},     {2, 500000, 10},
        {2, 500001, 20},     {3, 333333, 10},     {3, 333334, 20},      {3, 500000, 20},
        {3, 666666, 20},     {3, 666667, 30},     {100, 70000, 70},     {100, 990000, 990},
        {100, 990001, 1000}, {100, 999000, 1000}, {1000, 999000, 9991}, // 9990 lies in the bucket
                                                                        // of 9984..9991
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct hdr h;
        assert_int_equal(hdr_init(&h, 1 << 20), 0);
        for (size_t k = 1; k <= rows[i].n; k++)
            hdr_add(&h, 10 * k);
        uint64_t told = hdr_quantile(&h, rows[i].per_million);
        if (told != rows[i].value)
            fail_msg("row %zu: %" PRIu64 " instead of %" PRIu64, i, told, rows[i].value);
        hdr_done(&h);
    }
}

static void every_value_lies_in_a_bucket_no_wider_than_a_1024th(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t v = i < 5000 ? i : random_u64(&r) >> random_below(&r, 64);
        struct hdr h = {.n = hdr_index(UINT64_MAX) + 1};
        size_t index = hdr_index(v);
        assert_true(index < h.n);
        assert_true(v == 0 || hdr_index(v - 1) == index || hdr_index(v - 1) == index - 1);
        if (v >= HDR_LINEAR) // the next bucket begins at most a 1024th further on
            assert_true(v > UINT64_MAX - v / 1024 - 1 || hdr_index(v + v / 1024 + 1) > index);
    }
}

static void merging_is_adding_all(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    struct hdr all, parts[3];
    assert_int_equal(hdr_init(&all, 1 << 30), 0);
    for (size_t p = 0; p < 3; p++) {
        assert_int_equal(hdr_init(&parts[p], 1 << 30), 0);
        for (size_t i = 0; i < 1000 * p; i++) { // the first is empty
            uint64_t v = random_below(&r, UINT64_C(1) << (10 + 10 * p));
            hdr_add(&all, v);
            hdr_add(&parts[p], v);
        }
    }
    hdr_merge(&parts[0], &parts[1]);
    hdr_merge(&parts[0], &parts[2]);
    assert_int_equal(all.count, parts[0].count);
    assert_int_equal(all.min, parts[0].min);
    assert_int_equal(all.max, parts[0].max);
    assert_memory_equal(all.counts, parts[0].counts, all.n * sizeof(*all.counts));
    for (size_t i = 0; i < COUNT_OF(quantiles); i++)
        assert_int_equal(hdr_quantile(&all, quantiles[i]), hdr_quantile(&parts[0], quantiles[i]));
    hdr_clear(&all);
    assert_int_equal(all.count, 0);
    for (size_t i = 0; i < all.n; i++)
        assert_int_equal(all.counts[i], 0);
    hdr_done(&all);
    for (size_t p = 0; p < 3; p++)
        hdr_done(&parts[p]);
}

static void values_beyond_the_range_are_counted_and_the_maximum_stays_true(void **state) {
    struct hdr h;
    assert_int_equal(hdr_init(&h, 100000), 0);
    hdr_add(&h, 5);
    hdr_add(&h, 1000000);
    hdr_add(&h, 2000000);
    assert_int_equal(h.over, 2);
    assert_int_equal(h.max, 2000000);
    assert_int_equal(hdr_quantile(&h, 1000000), 2000000);
    assert_int_equal(hdr_quantile(&h, 500000), 2000000); // no better is known of the last bucket
    assert_int_equal(hdr_quantile(&h, 333333), 5);
    hdr_done(&h);
}

static void an_empty_histogram_tells_zero(void **state) {
    struct hdr h;
    size_t at = 0;
    uint64_t value, count;
    assert_int_equal(hdr_init(&h, 100000), 0);
    assert_int_equal(hdr_quantile(&h, 500000), 0);
    assert_true(hdr_mean(&h) == 0);
    assert_false(hdr_next(&h, &at, &value, &count));
    hdr_clear(&h);
    hdr_done(&h);
    mem_fail_from(1);
    assert_int_equal(hdr_init(&h, 100000), ERR_NOMEM);
    mem_fail_never();
    hdr_done(&h);
}

static void a_walk_meets_every_value_once_in_order(void **state) {
    struct hdr h;
    assert_int_equal(hdr_init(&h, 1 << 20), 0);
    static const uint64_t values[] = {7, 7, 3, 5000, 5001, 123456};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        hdr_add(&h, values[i]);
    size_t at = 0;
    uint64_t value, count, total = 0, last = 0;
    while (hdr_next(&h, &at, &value, &count)) {
        assert_true(value > last && count > 0);
        last = value;
        total += count;
    }
    assert_int_equal(total, COUNT_OF(values));
    assert_int_equal(last, 123456);
    hdr_done(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_agree_with_sorted_values_to_three_digits),
        cmocka_unit_test(ranks_are_exact_where_values_are_few),
        cmocka_unit_test(every_value_lies_in_a_bucket_no_wider_than_a_1024th),
        cmocka_unit_test(merging_is_adding_all),
        cmocka_unit_test(values_beyond_the_range_are_counted_and_the_maximum_stays_true),
        cmocka_unit_test(an_empty_histogram_tells_zero),
        cmocka_unit_test(a_walk_meets_every_value_once_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
