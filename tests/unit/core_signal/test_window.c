// SPDX-License-Identifier: Apache-2.0
/* Counter windows: resets, holes, order, young pods, and what arrived as seen by a counter of what
 * finished. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "core/signal/window.h"

#define S NS_PER_S

static const int64_t GAP = 60 * S, HISTORY = 60 * S;

static bool add(struct signal_window *w, double value, int64_t at_s) {
    return signal_window_add(w, value, 0, at_s * S, GAP, HISTORY);
}

static double full_rate(const struct signal_window *w, int64_t window_s) {
    double rate = -1;
    assert_int_equal(signal_window_rate(w, window_s * S, INT64_MAX, &rate), SIGNAL_RATE_FULL);
    return rate;
}

static void a_steady_counter_has_its_rate(void **state) {
    (void)state;
    struct signal_window w = {0};
    double rate;
    assert_int_equal(signal_window_rate(&w, 60 * S, INT64_MAX, &rate), SIGNAL_RATE_NONE);
    for (int t = 0; t <= 300; t += 5)
        assert_true(add(&w, 1e6 + 2.5 * t, t));
    assert_true(fabs(full_rate(&w, 60) - 2.5) < 1e-12);
    assert_true(fabs(full_rate(&w, 10) - 2.5) < 1e-12);
    assert_int_equal(signal_window_newest(&w), 300 * S);
}

static void one_point_is_no_rate_and_few_are_a_lower_bound(void **state) {
    (void)state;
    struct signal_window w = {0};
    double rate = -1;
    add(&w, 100, 0);
    assert_int_equal(signal_window_rate(&w, 60 * S, INT64_MAX, &rate), SIGNAL_RATE_NONE);
    add(&w, 112, 10);
    assert_int_equal(signal_window_rate(&w, 60 * S, INT64_MAX, &rate), SIGNAL_RATE_PARTIAL);
    assert_true(fabs(rate - 12. / 60) < 1e-12); // at least 12 in the minute
    add(&w, 118, 15);                           // a quarter of the window seen
    assert_true(fabs(full_rate(&w, 60) - 18. / 15) < 1e-12);
}

static void a_restart_counts_what_the_counter_shows(void **state) {
    (void)state;
    struct signal_window w = {0};
    add(&w, 1000, 0);
    add(&w, 1010, 30);
    add(&w, 4, 60); // restarted: 4 since
    assert_true(fabs(full_rate(&w, 60) - 14. / 60) < 1e-12);
}

static void a_hole_is_not_differenced_across(void **state) {
    (void)state;
    struct signal_window w = {0};
    double rate;
    for (int t = 0; t <= 60; t += 5)
        add(&w, t, t);
    assert_true(add(&w, 1e9, 121)); // 61 s later
    assert_int_equal(signal_window_rate(&w, 60 * S, INT64_MAX, &rate), SIGNAL_RATE_NONE);
    // A hole that is allowed is: a counter forgets nothing.
    signal_window_clear(&w);
    add(&w, 0, 0);
    add(&w, 60, 60);
    assert_true(fabs(full_rate(&w, 60) - 1) < 1e-12);
}

static void points_out_of_order_and_nonsense_are_refused(void **state) {
    (void)state;
    struct signal_window w = {0};
    assert_true(add(&w, 10, 100));
    assert_false(add(&w, 20, 100));
    assert_false(add(&w, 20, 99));
    assert_false(add(&w, -1, 101));
    assert_false(add(&w, NAN, 101));
    assert_false(add(&w, INFINITY, 101));
    assert_int_equal(signal_window_newest(&w), 100 * S);
}

// What arrived = increase of the finished + change of those in the system.
static void arrivals_of_a_counter_of_finished_requests(void **state) {
    (void)state;
    struct signal_window w = {0};
    // 60 arrive, none finishes: all of them wait or run.
    signal_window_add(&w, 500, 10, 0, GAP, HISTORY);
    signal_window_add(&w, 500, 70, 60 * S, GAP, HISTORY);
    assert_true(fabs(full_rate(&w, 60) - 1) < 1e-12);
    // Then nothing arrives and 60 finish: a rate of 0, not -1, and not +1.
    signal_window_add(&w, 560, 10, 120 * S, GAP, HISTORY);
    assert_true(fabs(full_rate(&w, 60)) < 1e-12);
    // The page's gauges and counter are read at slightly different times: the error cancels.
    signal_window_clear(&w);
    for (int t = 0; t <= 60; t += 5)
        signal_window_add(&w, 1000 + t, 20 + (t / 5 % 2 ? 3 : -3), t * S, GAP, HISTORY);
    assert_true(fabs(full_rate(&w, 60) - 1) < 0.01);
    // An engine that restarts lost what it had: what it has now arrived since.
    signal_window_clear(&w);
    signal_window_add(&w, 1000, 50, 0, GAP, HISTORY);
    signal_window_add(&w, 5, 7, 60 * S, GAP, HISTORY);
    assert_true(fabs(full_rate(&w, 60) - 12. / 60) < 1e-12);
}

static void a_young_pod_counts_over_the_whole_window(void **state) {
    (void)state;
    struct signal_window w = {0};
    double rate;
    signal_window_anchor(&w, 100 * S);
    for (int t = 105; t <= 115; t += 5)
        add(&w, 2 * (t - 105), t);
    // 20 requests in the last 60 s: it served none before it began.
    assert_int_equal(signal_window_rate(&w, 60 * S, 1000 * S, &rate), SIGNAL_RATE_FULL);
    assert_true(fabs(rate - 20. / 60) < 1e-12);
    // Where the whole workload has served for 20 s only, over those.
    assert_int_equal(signal_window_rate(&w, 60 * S, 20 * S, &rate), SIGNAL_RATE_FULL);
    assert_true(fabs(rate - 1) < 1e-12);
    // Not over less than a quarter of the window: 2 requests in 2 s are no 60 a minute.
    assert_int_equal(signal_window_rate(&w, 60 * S, 1 * S, &rate), SIGNAL_RATE_FULL);
    assert_true(fabs(rate - 20. / 15) < 1e-12);
}

static void what_a_pod_saw_before_it_left(void **state) {
    (void)state;
    struct signal_window w = {0};
    for (int t = 0; t <= 60; t += 5)
        add(&w, t, t);
    assert_true(fabs(signal_window_since(&w, 0) - 60) < 1e-12);
    assert_true(fabs(signal_window_since(&w, 40 * S) - 20) < 1e-12);
    assert_true(signal_window_since(&w, 60 * S) == 0);
}

// Any times and values: bounded memory, no rate below 0, and over the window what a naive sum
// gives.
static void random_histories_agree_with_a_plain_sum(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    for (int round = 0; round < 300; round++) {
        struct signal_window w = {0};
        double counter = 0, total = 0;
        int64_t at = 0;
        double totals[600];
        int64_t times[600];
        int n = 0;
        while (n < 600) {
            at += (int64_t)(1 + random_below(&rng, 8)) * S / 2;
            double grow = (double)random_below(&rng, 20);
            counter = random_below(&rng, 50) == 0 ? grow : counter + grow;
            assert_true(signal_window_add(&w, counter, 0, at, GAP, HISTORY));
            total += n == 0 ? 0 : grow;
            totals[n] = total;
            times[n++] = at;
            double rate;
            enum signal_rate known = signal_window_rate(&w, 60 * S, INT64_MAX, &rate);
            if (known != SIGNAL_RATE_FULL || times[0] > at - 60 * S)
                continue;
            // The base is a kept point at most a merge apart from the true one.
            int i = n - 1;
            while (times[i] > at - 60 * S)
                i--;
            double low = (total - totals[i]) / ((double)(at - times[i]) / 1e9);
            assert_true(rate >= 0);
            assert_true(fabs(rate - low) < 0.15 * low + 0.7);
        }
        assert_true(w.n <= SIGNAL_WINDOW_POINTS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_counter_has_its_rate),
        cmocka_unit_test(one_point_is_no_rate_and_few_are_a_lower_bound),
        cmocka_unit_test(a_restart_counts_what_the_counter_shows),
        cmocka_unit_test(a_hole_is_not_differenced_across),
        cmocka_unit_test(points_out_of_order_and_nonsense_are_refused),
        cmocka_unit_test(arrivals_of_a_counter_of_finished_requests),
        cmocka_unit_test(a_young_pod_counts_over_the_whole_window),
        cmocka_unit_test(what_a_pod_saw_before_it_left),
        cmocka_unit_test(random_histories_agree_with_a_plain_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
