// SPDX-License-Identifier: Apache-2.0
/* When a target is asked next: spread by phase, slower when it is slow or fails, never a herd. */
#include "base/clock.h"
#include "base/random.h"
#include "source/scraper.h"
#include "unit.h"

#define S NS_PER_S

static void a_quick_good_target_is_asked_once_an_interval_on_its_phase(void **state) {
    int64_t current, at = 3 * S + 200 * NS_PER_MS; // phase 3.2 s of 5 s
    for (int i = 0; i < 10; i++) {
        int64_t next = scraper_next(at, 20 * NS_PER_MS, 0, 5 * S, 3200 * NS_PER_MS, 0, &current);
        assert_true(next == at + 5 * S);
        assert_true(current == 5 * S);
        at = next;
    }
}

static void a_first_turn_off_its_phase_finds_it(void **state) {
    int64_t current;
    int64_t next = scraper_next(1 * S, NS_PER_MS, 0, 5 * S, 3 * S, 0, &current);
    assert_true(next == 8 * S); // 3 s would be 2 s later: too soon
    assert_true(scraper_next(next, NS_PER_MS, 0, 5 * S, 3 * S, 0, &current) == 13 * S);
}

static void a_slow_target_is_asked_less_often_but_stays_fresh(void **state) {
    static const struct {
        int64_t took_ms, current_s;
    } cases[] = {{1, 5}, {500, 5}, {501, 10}, {1000, 10}, {1600, 20}, {3000, 20}, {9900, 20}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t current;
        scraper_next(0, cases[i].took_ms * NS_PER_MS, 0, 5 * S, 0, 0, &current);
        assert_true(current == cases[i].current_s * S);
        assert_true(current < 30 * S); // the default maxAge
    }
}

static void a_slow_target_is_asked_before_its_values_are_of_no_use(void **state) {
    static const struct {
        int64_t interval_ms, took_ms, fresh_s, current_ms;
    } cases[] = {
        {2000, 700, 0, 8000},    {2000, 700, 30, 8000},   {2000, 700, 6, 4000},
        {2000, 700, 5, 2000},    {2000, 2900, 5, 2000}, // less than an interval cannot be
        {5000, 3000, 30, 20000}, {5000, 3000, 20, 10000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t interval = cases[i].interval_ms * NS_PER_MS, took = cases[i].took_ms * NS_PER_MS;
        for (int64_t phase = 0; phase < interval; phase += 100 * NS_PER_MS) {
            int64_t fresh = cases[i].fresh_s * S, current;
            int64_t next = scraper_next(0, took, 0, interval, phase, fresh, &current);
            assert_true(current == cases[i].current_ms * NS_PER_MS);
            assert_true(fresh == 0 || current == interval || next + took <= fresh);
        }
    }
}

static void a_failing_target_backs_off_to_six_intervals_and_recovers_at_once(void **state) {
    static const int64_t expect_s[] = {5, 5, 10, 20, 30, 30, 30};
    int64_t current;
    for (unsigned failed = 1; failed < 7; failed++) {
        scraper_next(0, 10 * S, failed, 5 * S, 0, 0, &current);
        assert_true(current == expect_s[failed] * S);
    }
    scraper_next(0, NS_PER_MS, 0, 5 * S, 0, 0, &current);
    assert_true(current == 5 * S);
}

static void the_next_turn_is_after_the_last_one_ended_and_on_the_phase(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 100000; i++) {
        int64_t interval = (int64_t)(100 + random_below(&r, 60000)) * NS_PER_MS;
        int64_t phase = (int64_t)random_below(&r, (uint64_t)interval);
        int64_t started = (int64_t)random_below(&r, 1000000 * (uint64_t)S);
        int64_t took = (int64_t)random_below(&r, 20 * (uint64_t)S), current;
        unsigned failed = (unsigned)random_below(&r, 10);
        int64_t next = scraper_next(started, took, failed, interval, phase, 0, &current);
        assert_true(next > started + took);
        assert_true((next - phase) % interval == 0);
        assert_true(current >= interval && current <= SCRAPE_BACKOFF_MAX * interval);
        assert_true(next - started >= current / 2);
        assert_true(next <= started + (took > current ? took : current) + interval);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_good_target_is_asked_once_an_interval_on_its_phase),
        cmocka_unit_test(a_first_turn_off_its_phase_finds_it),
        cmocka_unit_test(a_slow_target_is_asked_less_often_but_stays_fresh),
        cmocka_unit_test(a_slow_target_is_asked_before_its_values_are_of_no_use),
        cmocka_unit_test(a_failing_target_backs_off_to_six_intervals_and_recovers_at_once),
        cmocka_unit_test(the_next_turn_is_after_the_last_one_ended_and_on_the_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
