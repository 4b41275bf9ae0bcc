// SPDX-License-Identifier: Apache-2.0
/* The classic triggers' queries over what was scraped. */
#include "unit.h"

#include "base/clock.h"
#include "playground/driver_series.h"

#define QUEUE "vllm:num_requests_waiting"
#define AT(s) ((s)*NS_PER_S)

static const char agent_page[] = "# TYPE gpu_utilization gauge\n"
                                 "gpu_utilization{gpu=\"0\",pod=\"a\"} 90\n"
                                 "gpu_utilization{gpu=\"1\",pod=\"b\"} 40\n"
                                 "gpu_utilization{gpu=\"2\"} 0\n"
                                 "gpu_memory_used{gpu=\"0\"} 5\n";

static int agent(struct driver_series_store *s, const char *page, int64_t at_ns) {
    return driver_series_scraped(s, DRIVER_AGENT_TARGET, "gpu_utilization", str_from(page), true,
                                 at_ns, NULL);
}

static int engine(struct driver_series_store *s, const char *pod, const char *page, int64_t at_ns) {
    return driver_series_scraped(s, pod, QUEUE, str_from(page), true, at_ns, NULL);
}

static void the_average_is_over_the_services_gpus(void **state) {
    struct driver_series_store s = {0};
    assert_int_equal(agent(&s, agent_page, AT(10)), 0);
    struct driver_query_answer a = driver_series_gpu_average(&s, 0x3, AT(12));
    assert_false(a.empty);
    assert_float_equal(a.value, 65, 1e-9);
    assert_int_equal(a.at_ns, AT(10));
    assert_float_equal(driver_series_gpu_average(&s, 0x1, AT(12)).value, 90, 1e-9);
    assert_float_equal(driver_series_gpu_average(&s, 0x7, AT(12)).value, 130.0 / 3, 1e-9);
}

static void the_queue_is_the_sum_over_models_and_pods(void **state) {
    struct driver_series_store s = {0};
    assert_int_equal(
        engine(&s, "a", QUEUE "{model_name=\"x\"} 3\n" QUEUE "{model_name=\"y\"} 4\n", AT(10)), 0);
    assert_int_equal(engine(&s, "b", QUEUE " 5\n", AT(11)), 0);
    struct driver_query_answer a = driver_series_queue_sum(&s, AT(12));
    assert_float_equal(a.value, 12, 1e-9);
    assert_int_equal(a.at_ns, AT(10));
}

// No series is 0 to KEDA's prometheus trigger: the trap of the recipe (ignoreNullValues).
static void nothing_scraped_reads_zero(void **state) {
    struct driver_series_store s = {0};
    struct driver_query_answer a = driver_series_gpu_average(&s, UINT64_MAX, AT(1));
    assert_true(a.empty);
    assert_float_equal(a.value, 0, 1e-9);
    assert_true(driver_series_queue_sum(&s, AT(1)).empty);
}

static void a_failed_scrape_ends_the_targets_series(void **state) {
    struct driver_series_store s = {0};
    agent(&s, agent_page, AT(10));
    engine(&s, "a", QUEUE " 5\n", AT(10));
    driver_series_end(&s, DRIVER_AGENT_TARGET);
    assert_true(driver_series_gpu_average(&s, 0x7, AT(11)).empty);
    assert_float_equal(driver_series_queue_sum(&s, AT(11)).value, 5, 1e-9);
}

static void a_page_that_is_none_counts_as_failed(void **state) {
    struct driver_series_store s = {0};
    struct err e = {0};
    engine(&s, "a", QUEUE " 5\n", AT(10));
    int r = driver_series_scraped(&s, "a", QUEUE, STR("<html>no</html>\n"), true, AT(20), &e);
    assert_int_equal(r, ERR_PARSE);
    assert_true(e.msg[0] != '\0');
    assert_true(driver_series_queue_sum(&s, AT(20)).empty);
    // and a page that was cut
    assert_int_equal(driver_series_scraped(&s, "a", QUEUE, STR(QUEUE " 5"), false, AT(25), NULL),
                     ERR_PARSE);
    assert_true(driver_series_queue_sum(&s, AT(25)).empty);
}

static void a_series_that_the_page_lacks_now_is_gone(void **state) {
    struct driver_series_store s = {0};
    agent(&s, agent_page, AT(10));
    agent(&s, "gpu_utilization{gpu=\"1\"} 50\n", AT(25));
    assert_float_equal(driver_series_gpu_average(&s, 0x7, AT(26)).value, 50, 1e-9);
}

static void a_target_that_is_no_longer_discovered_is_gone(void **state) {
    struct driver_series_store s = {0};
    static const char *const kept[] = {DRIVER_AGENT_TARGET, "b"};
    engine(&s, "a", QUEUE " 5\n", AT(10));
    engine(&s, "b", QUEUE " 7\n", AT(10));
    driver_series_keep(&s, kept, 2);
    assert_float_equal(driver_series_queue_sum(&s, AT(11)).value, 7, 1e-9);
}

static void a_sample_counts_for_five_minutes(void **state) {
    struct driver_series_store s = {0};
    engine(&s, "a", QUEUE " 5\n", AT(10));
    assert_false(driver_series_queue_sum(&s, AT(310) - 1).empty);
    assert_true(driver_series_queue_sum(&s, AT(310)).empty);
}

static void nan_is_no_value(void **state) {
    struct driver_series_store s = {0};
    engine(&s, "a", QUEUE " NaN\n", AT(10));
    struct driver_query_answer a = driver_series_queue_sum(&s, AT(11));
    assert_true(a.empty);
    assert_float_equal(a.value, 0, 1e-9);
}

static void gpus_without_a_number_are_left_out(void **state) {
    struct driver_series_store s = {0};
    agent(&s, "gpu_utilization{gpu=\"x\"} 1\ngpu_utilization 2\ngpu_utilization{gpu=\"64\"} 3\n",
          AT(1));
    assert_int_equal(s.n, 0);
}

static void more_series_than_fit_end_the_scrape(void **state) {
    struct driver_series_store s = {0};
    char page[(LIMIT_PLAYGROUND_SERIES + 1) * 32] = "";
    size_t n = 0;
    for (int i = 0; i <= LIMIT_PLAYGROUND_SERIES; i++)
        n += (size_t)snprintf(page + n, sizeof(page) - n, "gpu_utilization{gpu=\"1\"} 1\n");
    assert_int_equal(agent(&s, page, AT(1)), ERR_LIMIT);
    assert_int_equal(s.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_average_is_over_the_services_gpus),
        cmocka_unit_test(the_queue_is_the_sum_over_models_and_pods),
        cmocka_unit_test(nothing_scraped_reads_zero),
        cmocka_unit_test(a_failed_scrape_ends_the_targets_series),
        cmocka_unit_test(a_page_that_is_none_counts_as_failed),
        cmocka_unit_test(a_series_that_the_page_lacks_now_is_gone),
        cmocka_unit_test(a_target_that_is_no_longer_discovered_is_gone),
        cmocka_unit_test(a_sample_counts_for_five_minutes),
        cmocka_unit_test(nan_is_no_value),
        cmocka_unit_test(gpus_without_a_number_are_left_out),
        cmocka_unit_test(more_series_than_fit_end_the_scrape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
