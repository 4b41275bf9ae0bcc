// SPDX-License-Identifier: Apache-2.0
/* The controller's messages, word for word. */
#include "hpa_unit.h"

static struct world w;
static struct buf b;

static void is(const char *want) {
    if (!str_eqc(buf_str(&b), want))
        fail_msg("\n     \"" STR_FMT "\"\nnot: \"%s\"", STR_ARG(buf_str(&b)), want);
    buf_clear(&b);
}

static void condition_is(enum hpa_condition_type type, const char *name, const char *message) {
    assert_string_equal(hpa_reason_name(w.r.conditions[type].reason), name);
    hpa_text_condition(&b, &w.c, &w.spec, &w.in, &w.r, type);
    is(message);
}

static void utilization(const char *name) {
    world_metric(&w, HPA_RESOURCE, name)->target = (struct hpa_target){
        .type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = 50};
}

static void conditions_of_a_scale_up(void **state) {
    (void)state;
    static const int64_t values[] = {1500, 1500, 1500};
    world_init(&w, 3);
    world_pods(&w, "rrr");
    utilization("cpu");
    world_values(&w, 0, values, 3);
    world_step(&w);
    condition_is(HPA_ABLE_TO_SCALE, "SucceededRescale",
                 "the HPA controller was able to update the target scale to 6");
    condition_is(HPA_SCALING_ACTIVE, "ValidMetricFound",
                 "the HPA was able to successfully calculate a replica count from cpu resource "
                 "utilization (percentage of request)");
    condition_is(HPA_SCALING_LIMITED, "ScaleUpLimit",
                 "the desired replica count is increasing faster than the maximum scale rate");
    condition_is(HPA_SCALED_TO_ZERO, "NotScaledToZero",
                 "the HPA controller did not scale the workload to zero");
    hpa_text_rescale(&b, &w.spec, &w.r);
    is("cpu resource utilization (percentage of request) above target");
}

static void conditions_of_a_held_scale_down(void **state) {
    (void)state;
    world_init(&w, 3);
    world_external(&w, 1000, 1000);
    world_step(&w);
    condition_is(HPA_ABLE_TO_SCALE, "ScaleDownStabilized",
                 "recent recommendations were higher than current one, applying the highest recent "
                 "recommendation");
    condition_is(HPA_SCALING_LIMITED, "DesiredWithinRange",
                 "the desired count is within the acceptable range");
    hpa_text_rescale(&b, &w.spec, &w.r);
    is("");
    w.in.now_ns += 301 * NS_PER_S;
    world_step(&w);
    hpa_text_rescale(&b, &w.spec, &w.r);
    is("All metrics below target");
    w.spec.max_replicas = 2;
    world_step(&w);
    hpa_text_rescale(&b, &w.spec, &w.r);
    is("Current number of replicas above Spec.MaxReplicas");
}

static void condition_of_a_target_at_zero(void **state) {
    (void)state;
    world_init(&w, 0);
    world_external(&w, 1000, 1000);
    world_step(&w);
    condition_is(HPA_ABLE_TO_SCALE, "SucceededGetScale",
                 "the HPA controller was able to get the target's current scale");
    condition_is(HPA_SCALING_ACTIVE, "ScalingDisabled",
                 "scaling is disabled since the replica count of the target is zero");
}

static void errors_of_selectors(void **state) {
    (void)state;
    static const struct {
        enum hpa_selector selector;
        const char *condition, *event;
    } rows[] = {
        {HPA_SELECTOR_MISSING, "the HPA target's scale is missing a selector",
         "selector is required"},
        {HPA_SELECTOR_INVALID,
         "couldn't convert selector into a corresponding internal selector object: why",
         "couldn't convert selector into a corresponding internal selector object: why"},
        {HPA_SELECTOR_AMBIGUOUS,
         "pods by selector a=b are controlled by more than one HPA (e.g. why)",
         "pods by selector a=b are controlled by more than one HPA (e.g. why)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_init(&w, 2);
        world_external(&w, 1000, 1000);
        w.in.selector = rows[i].selector;
        w.in.selector_text = "a=b";
        w.in.selector_detail = "why";
        world_step(&w);
        hpa_text_condition(&b, &w.c, &w.spec, &w.in, &w.r, HPA_SCALING_ACTIVE);
        is(rows[i].condition);
        hpa_text_failure(&b, &w.c, &w.spec, &w.in, &w.r);
        is(rows[i].event);
    }
}

#define UNABLE "the HPA was unable to compute the replica count: "
#define FIRST "invalid metrics (1 invalid out of 1), first error is: "

static void errors_of_metrics(void **state) {
    (void)state;
    static const struct {
        enum hpa_metric_type type;
        bool average;
        enum hpa_metric_error error;
        int minor;
        const char *condition, *event;
    } rows[] = {
        {HPA_RESOURCE, false, HPA_METRIC_CLIENT, 37,
         UNABLE "failed to get cpu utilization: unable to get metrics for resource cpu: down",
         FIRST "failed to get cpu resource metric value: failed to get cpu utilization: unable to "
               "get metrics for resource cpu: down"},
        {HPA_RESOURCE, true, HPA_METRIC_NO_PODS, 37,
         UNABLE "failed to get cpu usage: no pods returned by selector while calculating replica "
                "count",
         FIRST "failed to get cpu resource metric value: failed to get cpu usage: no pods returned "
               "by selector while calculating replica count"},
        {HPA_RESOURCE, false, HPA_METRIC_NO_VALUES, 37,
         UNABLE "failed to get cpu utilization: did not receive metrics for targeted pods (pods "
                "might be unready)",
         NULL},
        {HPA_RESOURCE, false, HPA_METRIC_NO_REQUEST, 37,
         UNABLE "failed to get cpu utilization: missing request for cpu", NULL},
        {HPA_CONTAINER_RESOURCE, false, HPA_METRIC_NO_REQUESTS, 37,
         UNABLE "failed to get cpu utilization: no metrics returned matched known pods",
         FIRST "failed to get main container metric value: failed to get cpu utilization: no "
               "metrics returned matched known pods"},
        {HPA_RESOURCE, false, HPA_METRIC_NO_TARGET, 37,
         UNABLE "invalid resource metric source: neither an average utilization target nor an "
                "average value (usage) target was set",
         NULL},
        {HPA_PODS, true, HPA_METRIC_CLIENT, 37, UNABLE "unable to get metric cpu: down",
         FIRST "failed to get pods metric value: unable to get metric cpu: down"},
        {HPA_PODS, true, HPA_METRIC_SELECTOR, 37, UNABLE "bad selector",
         FIRST "failed to get pods metric value: bad selector"},
        {HPA_OBJECT, false, HPA_METRIC_CLIENT, 37,
         UNABLE "unable to get metric cpu on Service default/front: down",
         FIRST "failed to get object metric value: unable to get metric cpu on Service "
               "default/front: down"},
        {HPA_OBJECT, true, HPA_METRIC_CLIENT, 36,
         UNABLE "unable to get metric cpu: down on Service default/front",
         FIRST "failed to get object metric value: failed to get cpu object metric: unable to get "
               "metric cpu: down on Service default/front"},
        {HPA_OBJECT, true, HPA_METRIC_SELECTOR, 37, UNABLE "bad selector",
         FIRST "failed to get object metric value: bad selector"},
        {HPA_OBJECT, false, HPA_METRIC_NO_PODS, 37,
         UNABLE "unable to calculate ready pods: no pods returned by selector while calculating "
                "replica count",
         NULL},
        {HPA_EXTERNAL, true, HPA_METRIC_CLIENT, 37,
         UNABLE "unable to get external metric default/cpu/nil: down",
         FIRST "failed to get cpu external metric value: failed to get cpu external metric: unable "
               "to get external metric default/cpu/nil: down"},
        {HPA_EXTERNAL, false, HPA_METRIC_CLIENT, 37,
         UNABLE "unable to get external metric default/cpu/nil: down",
         FIRST "failed to get cpu external metric value: failed to get external metric cpu: unable "
               "to get external metric default/cpu/nil: down"},
        {HPA_EXTERNAL, true, HPA_METRIC_SELECTOR, 37, UNABLE "bad selector",
         FIRST "failed to get cpu external metric value: failed to get cpu external metric: bad "
               "selector"},
        {HPA_EXTERNAL, false, HPA_METRIC_NO_TARGET, 37,
         UNABLE "invalid external metric source: neither a value target nor an average value "
                "target was set",
         FIRST "failed to get cpu external metric value: invalid external metric source: neither a "
               "value target nor an average value target was set"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const int64_t values[] = {900, 900};
        enum hpa_metric_error error = rows[i].error;
        bool resource = rows[i].type <= HPA_CONTAINER_RESOURCE;
        world_init(&w, 2);
        hpa_controller_init(&w.c, rows[i].minor);
        world_pods(&w, error == HPA_METRIC_NO_PODS     ? ""
                       : error == HPA_METRIC_NO_VALUES ? "pp"
                                                       : "rr");
        struct hpa_metric *m = world_metric(&w, rows[i].type, "cpu");
        m->target = (struct hpa_target){
            .type = rows[i].average ? HPA_AVERAGE_VALUE : HPA_VALUE,
            .has_average = rows[i].average && error != HPA_METRIC_NO_TARGET,
            .has_value = !rows[i].average && error != HPA_METRIC_NO_TARGET,
            .has_utilization = !rows[i].average && resource && error != HPA_METRIC_NO_TARGET,
            .average_milli = 100,
            .value_milli = 100,
            .utilization_pct = 50};
        m->selector_error = error == HPA_METRIC_SELECTOR ? "bad selector" : NULL;
        world_values(&w, 0, values, w.in.n_pods);
        w.series[0][0] = 900;
        w.readings[0].n_series = 1;
        w.readings[0].error = error == HPA_METRIC_CLIENT ? "down" : NULL;
        w.readings[0].request_error = error == HPA_METRIC_NO_REQUEST ? "missing request for cpu"
                                                                     : NULL;
        if (error == HPA_METRIC_NO_REQUESTS)
            w.requests[0] = w.requests[1] = 0;
        world_step(&w);
        assert_int_equal(w.r.metrics[0].error, error);
        hpa_text_condition(&b, &w.c, &w.spec, &w.in, &w.r, HPA_SCALING_ACTIVE);
        is(rows[i].condition);
        hpa_text_failure(&b, &w.c, &w.spec, &w.in, &w.r);
        if (rows[i].event)
            is(rows[i].event);
        buf_clear(&b);
    }
}

static void names_of_metrics(void **state) {
    (void)state;
    static const struct {
        enum hpa_metric_type type;
        bool average;
        const char *selector, *want;
    } rows[] = {
        {HPA_RESOURCE, true, NULL, "cpu resource"},
        {HPA_RESOURCE, false, NULL, "cpu resource utilization (percentage of request)"},
        {HPA_CONTAINER_RESOURCE, true, NULL, "cpu resource"},
        {HPA_CONTAINER_RESOURCE, false, NULL,
         "cpu container resource utilization (percentage of request)"},
        {HPA_PODS, true, NULL, "pods metric cpu"},
        {HPA_OBJECT, false, NULL, "Service metric cpu"},
        {HPA_OBJECT, true, NULL, "external metric cpu(nil)"},
        {HPA_EXTERNAL, true, "&LabelSelector{}", "external metric cpu(&LabelSelector{})"},
        {HPA_EXTERNAL, false, NULL, "external metric cpu(nil)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hpa_metric m = {.type = rows[i].type,
                               .name = "cpu",
                               .object_kind = "Service",
                               .selector = rows[i].selector,
                               .target = {.type = rows[i].average ? HPA_AVERAGE_VALUE : HPA_VALUE,
                                          .has_average = rows[i].average,
                                          .has_value = !rows[i].average}};
        hpa_text_metric_name(&b, &m);
        is(rows[i].want);
    }
    struct hpa_metric both = {
        .type = HPA_OBJECT,
        .name = "rps",
        .object_kind = "Service",
        .target = {.type = HPA_AVERAGE_VALUE, .has_average = true, .has_value = true}};
    hpa_text_metric_name(&b, &both);
    is("external metric rps(nil)");
}

static void names_of_enumerators(void **state) {
    (void)state;
    assert_string_equal(hpa_condition_type_name(HPA_SCALED_TO_ZERO), "ScaledToZero");
    assert_string_equal(hpa_status_name(HPA_UNKNOWN), "Unknown");
    assert_string_equal(hpa_status_name(HPA_TRUE), "True");
    assert_string_equal(hpa_metric_type_name(HPA_EXTERNAL), "External");
    assert_string_equal(hpa_target_type_name(HPA_AVERAGE_VALUE), "AverageValue");
    for (int i = HPA_REASON_OTHER + 1; i < HPA_REASONS; i++) // none was forgotten
        assert_true(strlen(hpa_reason_name((enum hpa_reason)i)) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_of_a_scale_up),
        cmocka_unit_test(conditions_of_a_held_scale_down),
        cmocka_unit_test(condition_of_a_target_at_zero),
        cmocka_unit_test(errors_of_selectors),
        cmocka_unit_test(errors_of_metrics),
        cmocka_unit_test(names_of_metrics),
        cmocka_unit_test(names_of_enumerators),
    };
    buf_init(&b, 4096);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&b);
    return r;
}
