// SPDX-License-Identifier: Apache-2.0
/* What a ScaledObject must be, its annotations, and the HPA that it becomes. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "keda_unit.h"

static const struct keda_trigger cpu_first[] = {
    {.metric_name = "cpu", .resource = true, .target_milli = 70000},
    {.metric_name = "desired-replicas", .target_milli = 1000},
};

static void defaults_are_kedas(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_hpa h;
    assert_int_equal(o.polling_ns, 30 * NS_PER_S);
    assert_int_equal(o.cooldown_ns, 300 * NS_PER_S);
    assert_int_equal(o.initial_cooldown_ns, 0);
    assert_int_equal(keda_object_check(&o, NULL), 0);
    keda_hpa(&o, &h);
    assert_true(h.exists);
    assert_int_equal(h.min_replicas, 1);
    assert_int_equal(h.max_replicas, 100);
    assert_int_equal(h.n_metrics, 2);
    assert_string_equal(h.metrics[0].name, "s0-prometheus");
    assert_string_equal(h.metrics[1].name, "s1-prometheus");
    assert_int_equal(h.metrics[1].target_milli, 10000);
    assert_int_equal(h.metrics[0].type, KEDA_AVERAGE_VALUE);
}

static void a_minimum_of_zero_is_one_for_the_hpa(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_hpa h;
    o.min_replicas = 0;
    keda_hpa(&o, &h);
    assert_int_equal(h.min_replicas, 1);
    o.min_replicas = 3;
    keda_hpa(&o, &h);
    assert_int_equal(h.min_replicas, 3);
}

static void external_metrics_go_first_and_keep_their_index(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_hpa h;
    o.triggers = cpu_first;
    keda_hpa(&o, &h);
    assert_string_equal(h.metrics[0].name, "s1-desired-replicas");
    assert_string_equal(h.metrics[1].name, "cpu");
    assert_true(h.metrics[1].resource);
}

static void a_formula_replaces_external_metrics(void **state) {
    (void)state;
    static const char *const names[] = {NULL, "want"};
    struct keda_object o = object();
    struct keda_hpa h;
    struct keda_formula *f;
    assert_int_equal(keda_formula_parse(&f, STR("want * 2"), names, 2, NULL), 0);
    o.triggers = cpu_first;
    o.modifiers = (struct keda_modifiers){.formula = f, .target = STR("1.5"), .type = KEDA_VALUE};
    assert_int_equal(keda_object_check(&o, NULL), 0);
    keda_hpa(&o, &h);
    assert_int_equal(h.n_metrics, 2);
    assert_string_equal(h.metrics[0].name, "cpu");
    assert_string_equal(h.metrics[1].name, "composite-metric");
    assert_int_equal(h.metrics[1].target_milli, 1500);
    assert_int_equal(h.metrics[1].type, KEDA_VALUE);
    keda_formula_free(f);
}

static void pause_annotations(void **state) {
    (void)state;
    static const struct {
        const char *key, *value;
        bool exists, down_disabled, up_disabled;
        int32_t replicas;
    } rows[] = {
        {"autoscaling.keda.sh/paused", "true", false, false, false, KEDA_UNSET},
        {"autoscaling.keda.sh/paused", "f", true, false, false, KEDA_UNSET},
        {"autoscaling.keda.sh/paused", "yes, please", false, false, false, KEDA_UNSET},
        {"autoscaling.keda.sh/paused-replicas", "0", false, false, false, 0},
        {"autoscaling.keda.sh/paused-replicas", "7", false, false, false, 7},
        {"autoscaling.keda.sh/paused-scale-in", "1", true, true, false, KEDA_UNSET},
        {"autoscaling.keda.sh/paused-scale-out", "TRUE", true, false, true, KEDA_UNSET},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct keda_object o = object();
        struct keda_hpa h;
        assert_int_equal(keda_annotation_set(&o.annotations, str_from(rows[i].key),
                                             str_from(rows[i].value), NULL),
                         0);
        keda_hpa(&o, &h);
        assert_int_equal(h.exists, rows[i].exists);
        assert_int_equal(h.scale_down_disabled, rows[i].down_disabled);
        assert_int_equal(h.scale_up_disabled, rows[i].up_disabled);
        assert_int_equal(o.annotations.paused_replicas, rows[i].replicas);
    }
    struct keda_annotations a = {0};
    struct err e = {0};
    assert_int_equal(
        keda_annotation_set(&a, STR("autoscaling.keda.sh/paused-replicas"), STR("two"), &e),
        ERR_INVALID);
    assert_non_null(strstr(e.msg, "\"two\" is no replica count"));
    assert_int_equal(keda_annotation_set(&a, STR("autoscaling.keda.sh/pausd"), STR("1"), &e),
                     ERR_NOTFOUND);
    assert_int_equal(keda_annotation_set(&a, STR("paused"), STR("1"), &e), ERR_NOTFOUND);
}

static void what_keda_refuses_is_refused_with_the_field(void **state) {
    (void)state;
    static const struct keda_trigger same[] = {
        {.name = "a", .metric_name = "x", .target_milli = 1},
        {.name = "a", .metric_name = "y", .target_milli = 1},
    };
    static const struct keda_trigger cached_cpu[] = {
        {.metric_name = "cpu", .resource = true, .cached = true, .target_milli = 1}};
    static const struct keda_trigger cpu[] = {
        {.metric_name = "cpu", .resource = true, .target_milli = 1}};
    static const struct keda_trigger no_target[] = {{.metric_name = "x"}};
    struct keda_object base = object(), o;
    struct err e = {0};
#define REFUSED(change, text)                                                                      \
    do {                                                                                           \
        o = base;                                                                                  \
        change;                                                                                    \
        assert_true(keda_object_check(&o, &e) < 0);                                                \
        assert_non_null(strstr(e.msg, text));                                                      \
    } while (0)
    REFUSED(o.n_triggers = 0, "triggers is empty");
    REFUSED(o.min_replicas = 101, "minReplicaCount 101 is above maxReplicaCount 100");
    REFUSED(o.max_replicas = 0, "maxReplicaCount is 0");
    REFUSED(o.idle_replicas = 0, "idleReplicaCount 0 must be below minReplicaCount 0");
    REFUSED((o.idle_replicas = 2, o.min_replicas = 2), "idleReplicaCount 2");
    REFUSED(o.polling_ns = 0, "pollingInterval");
    REFUSED(o.triggers = same, "have the same name \"a\"");
    REFUSED((o.triggers = cached_cpu, o.n_triggers = 1), "useCachedMetrics");
    REFUSED((o.triggers = cpu, o.n_triggers = 1), "never scale from zero");
    REFUSED((o.triggers = no_target, o.n_triggers = 1), "target must be above 0");
    REFUSED((o.fallback.set = true, o.fallback.replicas = -1), "fallback.replicas");
    REFUSED((o.fallback.set = true, o.fallback.behavior = KEDA_FALLBACK_MODIFIERS),
            "needs scalingModifiers.formula");
#undef REFUSED
    o = base;
    o.idle_replicas = 0;
    o.min_replicas = 1;
    assert_int_equal(keda_object_check(&o, NULL), 0);
}

static void numbers_become_thousandths_as_go_prints_them(void **state) {
    (void)state;
    static const struct {
        double value;
        int64_t milli;
    } rows[] = {
        {0, 0},
        {-3, 0},
        {NAN, 0},
        {INFINITY, 0},
        {1, 1000},
        {2.5, 2500},
        {0.0004, 0},
        {0.0006, 1},
        {0.0005, 1}, // 0.000500000000000000010
        {0.0015, 2},
        {0.0025, 3},
        {2.0009999, 2001},
        {9007199254740992, 9007199254740992000},
        {1e16, 9200000000000000000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (keda_quantity_milli(rows[i].value) != rows[i].milli)
            fail_msg("%g: %" PRId64, rows[i].value, keda_quantity_milli(rows[i].value));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_kedas),
        cmocka_unit_test(a_minimum_of_zero_is_one_for_the_hpa),
        cmocka_unit_test(external_metrics_go_first_and_keep_their_index),
        cmocka_unit_test(a_formula_replaces_external_metrics),
        cmocka_unit_test(pause_annotations),
        cmocka_unit_test(what_keda_refuses_is_refused_with_the_field),
        cmocka_unit_test(numbers_become_thousandths_as_go_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
