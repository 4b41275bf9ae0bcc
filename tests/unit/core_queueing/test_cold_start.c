// SPDX-License-Identifier: Apache-2.0
/* Cold starts: what is drawn has the median and the spread that the row says. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/queueing/cold_start.h"

enum { DRAWS = 20001 };

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_draws_have_the_median_and_the_spread_of_the_row(void **state) {
    uint64_t seed = unit_seed();
    int64_t *ns = mem_array(DRAWS, sizeof(*ns));
    for (unsigned i = 0; i < cold_starts_n; i++) {
        const struct cold_start *c = &cold_starts[i];
        struct random r;
        random_init(&r, seed);
        for (int d = 0; d < DRAWS; d++)
            ns[d] = cold_start_draw(c, &r, NULL);
        qsort(ns, DRAWS, sizeof(*ns), ascending);
        double p50_s = (double)ns[DRAWS / 2] * 1e-9, p90_s = (double)ns[DRAWS * 9 / 10] * 1e-9;
        assert_true(ns[0] > 0);
        assert_true(fabs(p50_s / cold_start_p50_s(c) - 1) < 0.03);
        assert_true(fabs(p90_s / p50_s / c->p90_over_p50 - 1) < 0.05);
    }
    mem_free(ns);
}

static void test_parts_add_up_to_the_total_and_keep_their_shares(void **state) {
    for (unsigned i = 0; i < cold_starts_n; i++) {
        const struct cold_start *c = &cold_starts[i];
        struct random r;
        double parts_s[COLD_START_PARTS], sum_s = 0;
        random_init(&r, 5);
        int64_t total_ns = cold_start_draw(c, &r, parts_s);
        for (int p = 0; p < COLD_START_PARTS; p++) {
            sum_s += parts_s[p];
            double share = parts_s[p] / ((double)total_ns * 1e-9);
            assert_true(fabs(share - c->p50_s[p] / cold_start_p50_s(c)) < 1e-6);
        }
        assert_true(fabs(sum_s * 1e9 - (double)total_ns) < 1e3);
    }
}

static void test_a_seed_draws_the_same_again(void **state) {
    struct random a, b;
    random_init(&a, 42);
    random_init(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_int_equal(cold_start_draw(&cold_starts[1], &a, NULL),
                         cold_start_draw(&cold_starts[1], &b, NULL));
}

static void test_without_spread_it_is_always_the_median(void **state) {
    struct cold_start c = cold_starts[0];
    struct random r;
    c.p90_over_p50 = 1;
    random_init(&r, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(cold_start_draw(&c, &r, NULL), 5 * NS_PER_S);
}

static void test_they_are_found_by_name(void **state) {
    const struct cold_start *c;
    struct err e = {0};
    for (unsigned i = 0; i < cold_starts_n; i++) {
        assert_int_equal(cold_start_find(str_from(cold_starts[i].name), &c, &e), 0);
        assert_ptr_equal(c, &cold_starts[i]);
    }
    assert_int_equal(cold_start_find(STR("new-nod"), &c, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "there is no cold start 'new-nod'; did you mean 'new-node'?; there "
                               "are serverless, warm-node, cold-image, new-node");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_have_the_median_and_the_spread_of_the_row),
        cmocka_unit_test(test_parts_add_up_to_the_total_and_keep_their_shares),
        cmocka_unit_test(test_a_seed_draws_the_same_again),
        cmocka_unit_test(test_without_spread_it_is_always_the_median),
        cmocka_unit_test(test_they_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
