// SPDX-License-Identifier: Apache-2.0
/* Means over time of intervals. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "core/policy/mean.h"

#define S NS_PER_S

static void add(struct mean *m, int64_t t, double v, double *lower, double *upper) {
    *lower = v;
    *upper = v + 1;
    mean_add(m, t * S, 60 * S, true, lower, upper);
}

static void at_first_what_is_then_the_mean_of_what_was(void **state) {
    (void)state;
    struct mean m = {0};
    double lower, upper;
    add(&m, 100, 40, &lower, &upper);
    assert_true(lower == 40 && upper == 41);
    for (int t = 101; t <= 110; t++)
        add(&m, t, 90, &lower, &upper);
    assert_true(fabs(lower - 90) < 1e-9 && fabs(upper - 91) < 1e-9);
    for (int t = 111; t <= 120; t++)
        add(&m, t, 10, &lower, &upper);
    assert_true(fabs(lower - 50) < 1e-9 && fabs(upper - 51) < 1e-9);
    for (int t = 121; t <= 180; t++)
        add(&m, t, 10, &lower, &upper);
    assert_true(fabs(lower - 10) < 1e-9); // the 90s have left the window
}

static void what_is_unknown_counts_nowhere(void **state) {
    (void)state;
    struct mean m = {0};
    double lower, upper;
    for (int t = 0; t <= 20; t++)
        add(&m, t, 80, &lower, &upper);
    for (int t = 21; t <= 40; t++) {
        lower = 0, upper = 200;
        mean_add(&m, t * S, 60 * S, false, &lower, &upper);
        assert_true(lower == 0 && upper == 200); // as it is
        upper = INFINITY;
        mean_add(&m, t * S, 60 * S, true, &lower, &upper);
        assert_true(isinf(upper));
    }
    add(&m, 41, 20, &lower, &upper); // the first of the new stretch: no time has passed in it
    assert_true(fabs(lower - 80) < 1e-9);
    for (int t = 42; t <= 61; t++)
        add(&m, t, 20, &lower, &upper);
    assert_true(lower > 48 && lower < 52); // 20 s of 80 and 20 s of 20
}

// 0 or 100 by the second, busy 40 % of the time: what sizes is near 40, never near 100.
static void seconds_of_nothing_and_all(void **state) {
    (void)state;
    struct random rng;
    struct mean m = {0};
    random_init(&rng, unit_seed());
    double lower, upper, history[2000], worst = 0;
    for (int t = 0; t < 2000; t++) {
        history[t] = random_below(&rng, 5) < 2 ? 100 : 0;
        add(&m, t, history[t], &lower, &upper);
        if (t < 60)
            continue;
        double sum = 0;
        for (int i = t - 59; i <= t; i++)
            sum += history[i];
        // Merged points are 2.5 s apart: the window's edge is that uncertain.
        assert_true(fabs(lower - sum / 60) < 5);
        worst = lower > worst ? lower : worst;
    }
    printf("# largest mean %.0f\n", worst);
    assert_true(worst < 70);
}

// Taken over with points that lie closer than those of its own window ever do.
static void points_of_another_rhythm_never_fill_more_than_the_ring(void **state) {
    (void)state;
    struct mean m = {.n = MEAN_POINTS, .head = 5, .seen = true};
    double lower, upper;
    for (unsigned i = 0; i < MEAN_POINTS; i++)
        m.points[(5 + i) % MEAN_POINTS] = (struct mean_point){100 * S + i * NS_PER_MS, i / 1000.,
                                                              40 * i / 1000., 41 * i / 1000.};
    for (int t = 103; t < 300; t++) {
        add(&m, t, 40, &lower, &upper);
        assert_in_range(m.n, 1, MEAN_POINTS);
        assert_true(fabs(lower - 40) < 1e-9 && fabs(upper - 41) < 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_of_another_rhythm_never_fill_more_than_the_ring),
        cmocka_unit_test(at_first_what_is_then_the_mean_of_what_was),
        cmocka_unit_test(what_is_unknown_counts_nowhere),
        cmocka_unit_test(seconds_of_nothing_and_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
