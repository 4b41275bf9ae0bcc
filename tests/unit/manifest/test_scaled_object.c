// SPDX-License-Identifier: Apache-2.0
/* manifest/scaled_object: ScaledObjects, and HPAs in the same shape. */
#include "manifest/scaled_object.h"

#include "base/mem.h"
#include "manifest/sample.h"

static void read_one(struct sample *s, const char *text, const char *kind,
                     struct manifest_scaled *ret) {
    sample_start(s, text);
    struct manifest_object *o = arena_zalloc(&s->a, sizeof(*o));
    *o = (struct manifest_object){.file = "f.yaml", .root = s->root, .kind = kind};
    assert_true(manifest_is_scaled(o));
    manifest_scaled_read(&s->r, o, ret);
}

static void a_scaled_object_is_read_with_keda_s_defaults(void **state) {
    struct sample s;
    struct manifest_scaled so;
    read_one(&s,
             "metadata: {name: x, annotations: {a: b}}\nspec:\n  scaleTargetRef: {name: llm}\n"
             "  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {}}}}\n"
             "  triggers:\n  - type: prometheus\n    metricType: Value\n"
             "    metadata: {threshold: 5, query: up}\n  - {type: cron}\n",
             "ScaledObject", &so);
    assert_int_equal(s.r.r, 0);
    assert_string_equal(so.target_api, "apps/v1");
    assert_string_equal(so.target_kind, "Deployment");
    assert_int_equal(so.min, 0);
    assert_int_equal(so.max, 100);
    assert_false(so.min_told);
    assert_int_equal(so.n_triggers, 2);
    assert_string_equal(manifest_trigger_value(&so.triggers[0], "threshold"), "5");
    assert_null(manifest_trigger_value(&so.triggers[0], "serverAddress"));
    assert_string_equal(so.triggers[0].metric_type, "Value");
    assert_non_null(so.behavior);
    assert_non_null(so.annotations);
    sample_end(&s);
}

static void an_hpa_s_metrics_are_triggers(void **state) {
    struct sample s;
    struct manifest_scaled so;
    read_one(&s,
             "metadata: {name: x}\nspec:\n  scaleTargetRef: {kind: StatefulSet, name: llm}\n"
             "  maxReplicas: 7\n  metrics:\n"
             "  - {type: Resource, resource: {name: cpu, target: {type: Utilization, "
             "averageUtilization: 70}}}\n"
             "  - {type: External, external: {metric: {name: q}, target: {type: AverageValue, "
             "averageValue: 10}}}\n"
             "  - {type: Pods, pods: {metric: {name: p}, target: {type: AverageValue, "
             "averageValue: 500m}}}\n",
             "HorizontalPodAutoscaler", &so);
    assert_int_equal(s.r.r, 0);
    assert_true(so.is_hpa);
    assert_int_equal(so.min, 1);
    assert_int_equal(so.max, 7);
    assert_int_equal(so.n_triggers, 3);
    assert_string_equal(so.triggers[0].type, "cpu");
    assert_string_equal(manifest_trigger_value(&so.triggers[0], "value"), "70");
    assert_string_equal(so.triggers[1].type, "external");
    assert_string_equal(manifest_trigger_value(&so.triggers[1], "metricName"), "q");
    assert_string_equal(manifest_trigger_value(&so.triggers[2], "threshold"), "500m");
    sample_end(&s);
}

static void errors_have_a_place(void **state) {
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"spec: {scaleTargetRef: {name: x}}", "f.yaml:1:1: ScaledObject: metadata.name"},
        {"metadata: {name: x}\nspec: {triggers: []}",
         "f.yaml:2:7: ScaledObject x: spec.scaleTargetRef"},
        {"metadata: {name: x}\nspec: {scaleTargetRef: {name: y}, triggers: [{metadata: {}}]}",
         "f.yaml:2:46: a trigger needs a type"},
        {"metadata: {name: x}\nspec: {scaleTargetRef: {name: y}, triggers: [{type: a, metadata: "
         "{b: []}}]}",
         "f.yaml:2:70: 'b': found a list, expected a text"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sample s;
        struct manifest_scaled so;
        read_one(&s, cases[i].text, "ScaledObject", &so);
        if (s.r.r >= 0 || strncmp(s.e.msg, cases[i].told, strlen(cases[i].told)) != 0)
            fail_msg("told %s, not %s", s.e.msg, cases[i].told);
        sample_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scaled_object_is_read_with_keda_s_defaults),
        cmocka_unit_test(an_hpa_s_metrics_are_triggers),
        cmocka_unit_test(errors_have_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
