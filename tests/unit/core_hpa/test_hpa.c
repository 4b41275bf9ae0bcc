// SPDX-License-Identifier: Apache-2.0
/* A sync as a whole: when the metrics are looked at, which of them decides, and the conditions. */
#include "hpa_unit.h"

static enum hpa_reason reason(const struct world *w, enum hpa_condition_type type) {
    return w->r.conditions[type].set ? w->r.conditions[type].reason : HPA_REASON_OTHER;
}

static void outside_the_limits_the_metrics_are_not_asked(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 12);
    world_external(&w, 5000, 1000);
    w.readings[0].error = "down";
    w.spec.max_replicas = 10;
    w.spec.min_replicas = 3;
    world_step(&w);
    assert_int_equal(w.r.desired, 10);
    assert_true(w.r.rescale && !w.r.computed && !w.r.failed);
    assert_int_equal(w.r.reason, HPA_RESCALE_ABOVE_MAX);
    assert_int_equal(reason(&w, HPA_ABLE_TO_SCALE), HPA_SUCCEEDED_RESCALE);
    assert_int_equal(reason(&w, HPA_SCALED_TO_ZERO), HPA_NOT_SCALED_TO_ZERO);
    assert_int_equal(w.r.conditions[HPA_SCALING_ACTIVE].status, HPA_ABSENT);
    w.in.spec_replicas = 2;
    world_step(&w);
    assert_int_equal(w.r.desired, 3);
    assert_true(w.r.rescale);
    assert_int_equal(w.r.conditions[HPA_ABLE_TO_SCALE].status, HPA_TRUE);
    assert_int_equal(w.r.reason, HPA_RESCALE_BELOW_MIN);
    assert_int_equal(w.s.n_recommendations, 1); // the first count alone
}

static void the_largest_proposal_decides(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 4);
    world_external(&w, 5000, 1000);
    world_external(&w, 7000, 1000);
    world_external(&w, 7000, 1000);
    world_step(&w);
    assert_int_equal(w.r.desired, 7);
    assert_int_equal(w.r.metric, 1);
    assert_int_equal(w.r.reason, HPA_RESCALE_METRIC_ABOVE);
    assert_int_equal(reason(&w, HPA_SCALING_ACTIVE), HPA_VALID_METRIC_FOUND);
    for (int i = 0; i < 3; i++)
        w.series[i][0] = 0;
    w.c.downscale_stabilization_ns = 0;
    world_later(&w, 15);
    world_step(&w);
    assert_int_equal(w.r.metric, 2); // as long as it is 0 the next takes over
    assert_int_equal(w.r.reason, HPA_RESCALE_ALL_BELOW);
    assert_int_equal(w.r.desired, 1);
}

static void with_some_metrics_failing_it_never_goes_down(void **state) {
    (void)state;
    static const struct {
        int64_t sums[3]; // -1: fails
        int32_t want;    // -1: no decision
        uint32_t failed;
    } rows[] = {
        {{9000, -1, 2000}, 8, 1}, {{4000, -1, 2000}, 4, 1}, {{3000, -1, 2000}, -1, 1},
        {{-1, -1, 9000}, 8, 2},   {{-1, -1, -1}, -1, 3},    {{3000, 2000, 1000}, 3, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, 4);
        w.c.downscale_stabilization_ns = 0;
        for (int k = 0; k < 3; k++) {
            world_external(&w, rows[i].sums[k], 1000);
            w.readings[k].error = rows[i].sums[k] < 0 ? "down" : NULL;
        }
        world_step(&w);
        bool failed = rows[i].want < 0;
        if (w.r.failed != failed || w.r.n_failed != rows[i].failed ||
            w.r.desired != (failed ? 4 : rows[i].want))
            fail_msg("row %zu: %d, %u failed", i, w.r.desired, w.r.n_failed);
        assert_int_equal(w.r.partial, !failed && rows[i].failed > 0);
        assert_int_equal(reason(&w, HPA_SCALING_ACTIVE),
                         failed ? HPA_FAILED_GET_EXTERNAL : HPA_VALID_METRIC_FOUND);
        assert_int_equal(reason(&w, HPA_SCALING_LIMITED) != HPA_REASON_OTHER, !failed);
        assert_false(w.r.rescale && failed);
    }
}

static void a_selector_that_does_not_work_stops_it(void **state) {
    (void)state;
    static const struct {
        enum hpa_selector selector;
        enum hpa_reason want;
    } rows[] = {{HPA_SELECTOR_MISSING, HPA_INVALID_SELECTOR},
                {HPA_SELECTOR_INVALID, HPA_INVALID_SELECTOR},
                {HPA_SELECTOR_AMBIGUOUS, HPA_AMBIGUOUS_SELECTOR}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, 4);
        world_external(&w, 9000, 1000);
        w.in.selector = rows[i].selector;
        world_step(&w);
        assert_true(w.r.failed && !w.r.rescale && !w.r.computed);
        assert_int_equal(w.r.desired, 4);
        assert_int_equal(reason(&w, HPA_SCALING_ACTIVE), rows[i].want);
        assert_int_equal(w.r.conditions[HPA_SCALING_ACTIVE].status, HPA_FALSE);
        assert_int_equal(w.r.conditions[HPA_ABLE_TO_SCALE].status, HPA_TRUE);
        assert_int_equal(reason(&w, HPA_ABLE_TO_SCALE), HPA_SUCCEEDED_GET_SCALE);
    }
}

// At zero replicas, by version: what wakes, and what becomes of the condition ScaledToZero.
static void at_zero_the_version_decides(void **state) {
    (void)state;
    static const struct {
        int minor;
        int32_t min;
        enum hpa_status was;
        bool pods_metric; // instead of an external one
        int32_t want;
        enum hpa_status is;
    } rows[] = {
        {37, 0, HPA_TRUE, false, 4, HPA_FALSE},    {37, 0, HPA_FALSE, false, 0, HPA_FALSE},
        {37, 0, HPA_ABSENT, false, 0, HPA_ABSENT}, {37, 2, HPA_TRUE, false, 4, HPA_FALSE},
        {37, 2, HPA_FALSE, false, 0, HPA_FALSE},   {37, 1, HPA_TRUE, true, 1, HPA_FALSE},
        {37, 0, HPA_TRUE, true, 0, HPA_TRUE},      {36, 0, HPA_TRUE, false, 0, HPA_ABSENT},
        {36, 1, HPA_TRUE, false, 0, HPA_ABSENT},   {35, 0, HPA_TRUE, false, 4, HPA_TRUE},
        {35, 0, HPA_ABSENT, false, 4, HPA_ABSENT}, {35, 1, HPA_ABSENT, false, 0, HPA_ABSENT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, 0);
        hpa_controller_init(&w.c, rows[i].minor);
        w.spec.min_replicas = rows[i].min;
        w.s.conditions[HPA_SCALED_TO_ZERO].status = rows[i].was;
        if (rows[i].pods_metric) {
            static const int64_t values[] = {0};
            world_pods(&w, "r");
            world_metric(&w, HPA_PODS, "qps")->target = (struct hpa_target){
                .type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = 1000};
            world_values(&w, 0, values, 1);
        } else {
            world_external(&w, 9000, 1000);
        }
        world_step(&w);
        if (w.r.desired != rows[i].want || w.r.conditions[HPA_SCALED_TO_ZERO].status != rows[i].is)
            fail_msg("row %zu: %d, condition %d", i, w.r.desired,
                     w.r.conditions[HPA_SCALED_TO_ZERO].status);
        if (rows[i].want == 0)
            assert_int_equal(reason(&w, HPA_SCALING_ACTIVE), HPA_SCALING_DISABLED);
        assert_int_equal(w.r.conditions[HPA_SCALING_ACTIVE].status,
                         rows[i].want ? HPA_TRUE : HPA_FALSE);
    }
}

static void down_to_zero_it_remembers_that_it_did(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 2);
    w.c.downscale_stabilization_ns = 0;
    w.spec.min_replicas = 0;
    world_external(&w, 0, 1000);
    world_step(&w);
    assert_int_equal(w.r.desired, 0);
    assert_int_equal(w.r.conditions[HPA_SCALED_TO_ZERO].status, HPA_TRUE);
    world_later(&w, 15);
    world_step(&w); // still nothing to do
    assert_true(w.r.computed && !w.r.rescale);
    assert_int_equal(w.r.conditions[HPA_SCALED_TO_ZERO].status, HPA_TRUE);
    assert_false(w.r.conditions[HPA_SCALED_TO_ZERO].set);
    w.series[0][0] = 1;
    world_later(&w, 15);
    world_step(&w);
    assert_int_equal(w.r.desired, 1);
    assert_int_equal(w.r.conditions[HPA_SCALED_TO_ZERO].status, HPA_FALSE);
}

static void a_raised_minimum_wakes_to_the_minimum(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 0);
    w.spec.min_replicas = 3;
    w.spec.has_behavior = true; // whose limits alone would stay at 0
    w.s.conditions[HPA_SCALED_TO_ZERO].status = HPA_TRUE;
    world_external(&w, 0, 1000);
    world_step(&w);
    assert_int_equal(w.r.desired, 3);
    assert_int_equal(w.r.reason, HPA_RESCALE_BELOW_MIN);
}

static void conditions_keep_their_time_until_they_turn(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 4);
    w.s.conditions[HPA_SCALING_ACTIVE] = (struct hpa_condition){.status = HPA_TRUE, .since_ns = 7};
    w.s.conditions[HPA_SCALING_LIMITED] = (struct hpa_condition){.status = HPA_TRUE, .since_ns = 8};
    world_external(&w, 4000, 1000);
    world_step(&w);
    assert_int_equal(w.r.conditions[HPA_SCALING_ACTIVE].since_ns, 7);
    assert_int_equal(w.r.conditions[HPA_SCALING_LIMITED].since_ns, w.in.now_ns);
    w.readings[0].error = "down";
    int64_t first_ns = w.in.now_ns;
    world_later(&w, 15);
    world_step(&w);
    assert_int_equal(w.r.conditions[HPA_SCALING_ACTIVE].since_ns, w.in.now_ns);
    assert_int_equal(w.r.conditions[HPA_SCALING_LIMITED].since_ns, first_ns);
    assert_false(w.r.conditions[HPA_SCALING_LIMITED].set);
}

static void versions_are_read_as_people_write_them(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int minor; // -1: refused
        const char *message;
    } rows[] = {
        {"1.37", 37, NULL},
        {"v1.37.2", 37, NULL},
        {"1.35.0-gke.1", 35, NULL},
        {"1.23", 23, NULL},
        {"1.22", -1, "no autoscaling/v2"},
        {"2.0", -1, "write it as 1.37"},
        {"1", -1, "write it as 1.37"},
        {"1.x", -1, "\"1.x\" is no Kubernetes version"},
        {"", -1, "write it as"},
        {"1.99999999999999999999", -1, "write it as"},
        {"1.37-rc.0", -1, "write it as"},
        {"0.37", -1, "write it as"},
        {"1./", -1, "write it as"},
        {"1.:", -1, "write it as"},
        {"1.9", -1, "no autoscaling/v2"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int minor = -1;
        struct err e = {0};
        int r = hpa_version_parse(str_from(rows[i].text), &minor, &e);
        if (minor != rows[i].minor || (r < 0) != (rows[i].minor < 0) ||
            (r < 0 && !strstr(e.msg, rows[i].message)))
            fail_msg("%s: %d %s", rows[i].text, minor, e.msg);
    }
    static const struct { // the first minor version in which they hold
        int by_range, bounded_average, bounded_value, own_tolerance, condition, last;
    } first = {33, 34, 35, 35, 37, 37};
    struct hpa_controller a, b;
    for (int minor = 31; minor < 39; minor++) {
        hpa_controller_init(&a, minor);
        assert_int_equal(!a.tolerance_by_distance, minor >= first.by_range);
        assert_int_equal(a.average_is_bounded, minor >= first.bounded_average);
        assert_int_equal(a.value_is_bounded, minor >= first.bounded_value);
        assert_int_equal(a.behavior_tolerance, minor >= first.own_tolerance);
        assert_int_equal(a.zero == HPA_ZERO_BY_CONDITION, minor >= first.condition);
        assert_int_equal(a.object_error_comes_last, minor >= first.last);
    }
    hpa_controller_init(&a, 23);
    hpa_controller_init(&b, 32);
    assert_true(a.zero == b.zero && a.tolerance_by_distance && b.tolerance_by_distance);
    hpa_controller_init(&a, 99);
    assert_int_equal(a.zero, HPA_ZERO_BY_CONDITION);
    assert_int_equal(a.downscale_stabilization_ns, 300 * NS_PER_S);
    assert_int_equal(a.initial_readiness_delay_ns, 30 * NS_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_the_limits_the_metrics_are_not_asked),
        cmocka_unit_test(the_largest_proposal_decides),
        cmocka_unit_test(with_some_metrics_failing_it_never_goes_down),
        cmocka_unit_test(a_selector_that_does_not_work_stops_it),
        cmocka_unit_test(at_zero_the_version_decides),
        cmocka_unit_test(down_to_zero_it_remembers_that_it_did),
        cmocka_unit_test(a_raised_minimum_wakes_to_the_minimum),
        cmocka_unit_test(conditions_keep_their_time_until_they_turn),
        cmocka_unit_test(versions_are_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
