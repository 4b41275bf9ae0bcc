// SPDX-License-Identifier: Apache-2.0
/* Demand pages through written selectors: sums; nothing unknown read as 0. */
#include "unit.h"

#include "base/mem.h"
#include "core/engine/demand.h"

static struct demand_rule *rule_of(const char *const text[DEMAND_VALUE_MAX]) {
    struct demand_rule_spec spec = {.selector = {text[0], text[1], text[2]}};
    struct demand_rule *rule;
    struct err e = {0};
    if (demand_rule_new(&rule, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    return rule;
}

static int read_page(const struct demand_rule *rule, const char *page, size_t cut,
                     struct demand_page_result *ret, struct err *e) {
    struct demand_page *pg;
    int r = demand_page_new(&pg, rule, e);
    if (r < 0)
        return r;
    r = demand_page_feed(pg, page, cut, e);
    if (r == 0)
        r = demand_page_feed(pg, page + cut, strlen(page) - cut, e);
    if (r == 0)
        r = demand_page_finish(pg, false, ret, e);
    demand_page_free(pg);
    return r;
}

static const char page[] = "# TYPE gateway_requests_total counter\n"
                           "gateway_requests_total{route=\"infer\",code=\"200\"} 10\n"
                           "gateway_requests_total{code=\"503\",route=\"infer\"} 5\n"
                           "gateway_requests_total{route=\"admin\",code=\"200\"} 100\n"
                           "gateway_held{route=\"infer\"} 0\n"
                           "gateway_active{route=\"infer\"} 3\n"
                           "gateway_active{route=\"infer\",zone=\"b\"} NaN\n";

static void test_matching_series_are_added_up(void **state) {
    static const char *const text[] = {"gateway_requests_total{route=\"infer\"}",
                                       "gateway_held{route=\"infer\"}", NULL};
    struct demand_rule *rule = rule_of(text);
    for (size_t cut = 0; cut < sizeof(page); cut++) {
        struct demand_page_result res = {0};
        struct err e = {0};
        assert_int_equal(read_page(rule, page, cut, &res, &e), 0);
        assert_int_equal(res.sample.valid, 1u << DEMAND_REQUESTS_TOTAL | 1u << DEMAND_WAITING);
        assert_true(res.sample.v[DEMAND_REQUESTS_TOTAL] == 15);
        assert_true(res.sample.v[DEMAND_WAITING] == 0); // known to be empty
        assert_int_equal(res.missing | res.bad, 0);
        assert_int_equal(res.samples, 6);
    }
    demand_rule_free(rule);
}

static void test_no_match_is_missing_and_a_broken_match_bad(void **state) {
    static const char *const text[] = {"gateway_requests_total{route=\"other\"}", NULL,
                                       "gateway_active"};
    struct demand_page_result res = {0};
    struct demand_rule *rule = rule_of(text);
    assert_int_equal(read_page(rule, page, 0, &res, NULL), 0);
    assert_int_equal(res.sample.valid, 0);
    assert_int_equal(res.missing, 1u << DEMAND_REQUESTS_TOTAL);
    assert_int_equal(res.bad, 1u << DEMAND_INFLIGHT);
    // A gateway that has seen no request yet has an empty page.
    assert_int_equal(read_page(rule, "", 0, &res, NULL), 0);
    assert_int_equal(res.missing, 1u << DEMAND_REQUESTS_TOTAL | 1u << DEMAND_INFLIGHT);
    assert_int_equal(res.bad, 0);
    demand_rule_free(rule);
}

static void test_one_series_may_serve_two_values_and_counts_once_each(void **state) {
    static const char *const text[] = {NULL, "g", "g{a=\"b\"}"};
    struct demand_page_result res = {0};
    struct demand_rule *rule = rule_of(text);
    assert_int_equal(read_page(rule, "g{a=\"b\"} 2\ng{a=\"c\"} 3\ng{a=\"b\"} 2\n", 0, &res, NULL),
                     0);
    assert_true(res.sample.v[DEMAND_WAITING] == 5);
    assert_true(res.sample.v[DEMAND_INFLIGHT] == 2);
    assert_int_equal(res.duplicates, 1);
    demand_rule_free(rule);
}

static void test_negative_values_are_unknown(void **state) {
    static const char *const text[] = {NULL, "g", NULL};
    struct demand_page_result res = {0};
    struct demand_rule *rule = rule_of(text);
    assert_int_equal(read_page(rule, "g{a=\"1\"} 2\ng{a=\"2\"} -1\n", 0, &res, NULL), 0);
    assert_int_equal(res.sample.valid, 0);
    assert_int_equal(res.bad, 1u << DEMAND_WAITING);
    demand_rule_free(rule);
}

static void test_a_page_object_reads_one_page_after_the_other(void **state) {
    static const char *const text[] = {NULL, "g", NULL};
    struct demand_page *pg;
    struct demand_page_result res = {0};
    struct err e = {0};
    struct demand_rule *rule = rule_of(text);
    assert_int_equal(demand_page_new(&pg, rule, &e), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(demand_page_feed(pg, "g 2\n", 4, &e), 0);
        assert_int_equal(demand_page_finish(pg, false, &res, &e), 0);
        assert_true(res.sample.v[DEMAND_WAITING] == 2);
        demand_page_reset(pg);
    }
    assert_int_equal(demand_page_feed(pg, "g", 1, &e), 0);
    assert_int_equal(demand_page_finish(pg, false, &res, &e), ERR_PARSE);
    assert_int_equal(demand_page_fault(pg), PROM_FAULT_TRUNCATED);
    demand_page_free(pg);
    demand_rule_free(rule);
}

static void test_every_failing_allocation_is_reported(void **state) {
    static const char *const text[] = {"gateway_requests_total", NULL, NULL};
    struct demand_rule *rule = rule_of(text);
    int failures = 0;
    for (long k = 1;; k++) {
        struct demand_page_result res = {0};
        struct err e = {0};
        mem_fail_from(k);
        int r = read_page(rule, page, 20, &res, &e);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        failures++;
    }
    assert_true(failures >= 4);
    demand_rule_free(rule);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching_series_are_added_up),
        cmocka_unit_test(test_no_match_is_missing_and_a_broken_match_bad),
        cmocka_unit_test(test_one_series_may_serve_two_values_and_counts_once_each),
        cmocka_unit_test(test_negative_values_are_unknown),
        cmocka_unit_test(test_a_page_object_reads_one_page_after_the_other),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
