// SPDX-License-Identifier: Apache-2.0
/* The sliding maximum agrees with looking at all. */
#include "unit.h"

#include "base/mem.h"
#include "base/random.h"
#include "core/policy/peak.h"

static void it_is_the_largest_of_the_window(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    for (int round = 0; round < 50; round++) {
        struct peak p;
        struct peak_entry all[500], top;
        int n = 0;
        int64_t window = 1 + (int64_t)random_below(&rng, 40);
        assert_int_equal(peak_init(&p, 64), 0);
        for (int64_t t = 0; n < 500; t += (int64_t)random_below(&rng, 3)) {
            all[n] = (struct peak_entry){t, (int32_t)random_below(&rng, 30)};
            peak_add(&p, t, all[n].want);
            n++;
            peak_expire(&p, t - window);
            struct peak_entry best = {0, -1};
            for (int i = 0; i < n; i++)
                if (all[i].at_ns > t - window && all[i].want >= best.want)
                    best = all[i];
            assert_true(peak_max(&p, &top));
            assert_int_equal(top.want, best.want);
            assert_int_equal(top.at_ns, best.at_ns);
        }
        peak_expire(&p, INT64_MAX);
        assert_false(peak_max(&p, &top));
        peak_done(&p);
    }
}

static void a_full_one_holds_longer_never_shorter(void **state) {
    (void)state;
    struct peak p;
    struct peak_entry top;
    assert_int_equal(peak_init(&p, 2), 0);
    peak_add(&p, 1, 9);
    peak_add(&p, 2, 5);
    peak_add(&p, 3, 4); // no room: 5 until 3
    peak_expire(&p, 1);
    assert_true(peak_max(&p, &top) && top.want == 5 && top.at_ns == 3);
    peak_done(&p);
    mem_fail_from(1);
    assert_int_not_equal(peak_init(&p, 2), 0);
    mem_fail_never();
}

static void a_copy_holds_the_same_or_longer(void **state) {
    struct peak p;
    struct peak_entry all[4];
    assert_int_equal(peak_init(&p, 8), 0);
    assert_int_equal(peak_copy(&p, all, 4), 0);
    for (int i = 0; i < 6; i++)
        peak_add(&p, i + 1, 20 - i);
    peak_expire(&p, 1); // the ring's head has moved
    assert_int_equal(peak_copy(&p, all, 4), 4);
    assert_true(all[0].want == 19 && all[0].at_ns == 2);
    assert_true(all[3].want == 16 && all[3].at_ns == 6); // 16, 15: merged, until the last's time
    peak_done(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_largest_of_the_window),
        cmocka_unit_test(a_full_one_holds_longer_never_shorter),
        cmocka_unit_test(a_copy_holds_the_same_or_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
