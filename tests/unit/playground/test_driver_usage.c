// SPDX-License-Identifier: Apache-2.0
/* metrics-server's rules for two readings. */
#include "unit.h"

#include "base/clock.h"
#include "playground/driver_usage.h"

// One pod "a" read once more; times in seconds, CPU in milliseconds.
static void scrape(struct driver_usage_store *s, double started_s, double at_s, int64_t cpu_ms) {
    struct driver_cpu_reading r = {.pod = "a",
                                   .started_ns = (int64_t)(started_s * NS_PER_S),
                                   .at_ns = (int64_t)(at_s * NS_PER_S),
                                   .cpu_ns = cpu_ms * NS_PER_MS};
    driver_usage_scraped(s, &r, 1);
}

static void usage_is_the_difference_of_two_scrapes(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 1000);
    assert_false(driver_usage_of(&s, "a", &u));
    scrape(&s, 0, 115, 11500);
    assert_true(driver_usage_of(&s, "a", &u));
    assert_int_equal(u.milli, 700);
    assert_int_equal(u.at_ns, 115 * NS_PER_S);
    assert_int_equal(u.window_ns, 15 * NS_PER_S);
    assert_false(driver_usage_of(&s, "b", &u));
}

static void thousandths_are_rounded_up(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 0);
    scrape(&s, 0, 115, 1);
    assert_true(driver_usage_of(&s, "a", &u));
    assert_int_equal(u.milli, 1);
}

// freshContainerMinMetricsResolution: 10 s <= age < 15 s.
static void a_young_pods_first_reading_counts_from_its_start(void **state) {
    static const struct {
        double age_s;
        bool counts;
    } cases[] = {{9.9, false}, {10, true}, {14.9, true}, {15, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct driver_usage_store s = {0};
        struct driver_usage u;
        scrape(&s, 200, 200 + cases[i].age_s, 5000);
        assert_int_equal(driver_usage_of(&s, "a", &u), cases[i].counts);
        if (cases[i].counts)
            assert_int_equal(u.window_ns, (int64_t)(cases[i].age_s * NS_PER_S));
    }
}

static void a_restart_needs_two_readings_again(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 1000);
    scrape(&s, 0, 115, 2000);
    scrape(&s, 123, 130, 10); // started after the last reading
    assert_false(driver_usage_of(&s, "a", &u));
    scrape(&s, 123, 145, 3010);
    assert_true(driver_usage_of(&s, "a", &u));
    assert_int_equal(u.milli, 200);
}

static void the_same_reading_again_keeps_the_one_before(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 0);
    scrape(&s, 0, 115, 1500);
    scrape(&s, 0, 115, 1500);
    assert_true(driver_usage_of(&s, "a", &u));
    assert_int_equal(u.milli, 100);
}

static void a_pod_that_one_scrape_lacks_starts_anew(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 0);
    scrape(&s, 0, 115, 1500);
    driver_usage_scraped(&s, NULL, 0);
    assert_false(driver_usage_of(&s, "a", &u));
    scrape(&s, 0, 145, 3000);
    assert_false(driver_usage_of(&s, "a", &u));
}

static void a_counter_that_fell_gives_nothing(void **state) {
    struct driver_usage_store s = {0};
    struct driver_usage u;
    scrape(&s, 0, 100, 2000);
    scrape(&s, 0, 115, 1500);
    assert_false(driver_usage_of(&s, "a", &u));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_the_difference_of_two_scrapes),
        cmocka_unit_test(thousandths_are_rounded_up),
        cmocka_unit_test(a_young_pods_first_reading_counts_from_its_start),
        cmocka_unit_test(a_restart_needs_two_readings_again),
        cmocka_unit_test(the_same_reading_again_keeps_the_one_before),
        cmocka_unit_test(a_pod_that_one_scrape_lacks_starts_anew),
        cmocka_unit_test(a_counter_that_fell_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
