// SPDX-License-Identifier: Apache-2.0
/* manifest/hpa: HPAs as kubectl prints them, the API server's defaults, what it would refuse. */
#include "manifest/hpa.h"

#include "base/clock.h"
#include "base/mem.h"
#include "manifest/sample.h"

static const char full[] =
    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n"
    "metadata: {name: web, namespace: prod, uid: u, annotations: {x: y}}\n"
    "spec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n"
    "  minReplicas: 2\n  maxReplicas: 9\n  metrics:\n"
    "  - type: Resource\n    resource: {name: cpu, target: {type: Utilization, averageUtilization: "
    "70}}\n"
    "  - type: External\n    external:\n      metric: {name: queue, selector: {matchLabels: {a: "
    "b}}}\n"
    "      target: {type: AverageValue, averageValue: '10'}\n"
    "  - type: Object\n    object:\n      describedObject: {kind: Service, name: front}\n"
    "      metric: {name: rps}\n      target: {type: Value, value: 2k}\n"
    "  behavior:\n    scaleDown:\n      policies: [{type: Pods, value: 1, periodSeconds: 60}]\n"
    "      tolerance: 50m\n      selectPolicy: Min\n"
    "status:\n  currentReplicas: 3\n  desiredReplicas: 4\n  conditions:\n"
    "  - {type: ScaledToZero, status: 'True', reason: R, message: M, lastTransitionTime: "
    "'2026-11-23T12:00:00Z'}\n"
    "  currentMetrics:\n  - type: ''\n  - type: External\n    external: {metric: {name: queue}, "
    "current: {averageValue: 5500m}}\n";

static void an_hpa_is_read_as_kubectl_prints_it(void **state) {
    struct sample s;
    struct manifest_hpa h;
    sample_start(&s, full);
    manifest_hpa_read(&s.r, s.root, &h);
    if (s.r.r < 0)
        fail_msg("%s", s.e.msg);
    assert_string_equal(h.name, "web");
    assert_string_equal(h.spec.namespace_, "prod");
    assert_string_equal(h.target_kind, "Deployment");
    assert_int_equal(h.spec.min_replicas, 2);
    assert_int_equal(h.spec.max_replicas, 9);
    assert_int_equal(h.spec.n_metrics, 3);
    assert_int_equal(h.spec.metrics[0].target.utilization_pct, 70);
    assert_int_equal(h.spec.metrics[1].target.average_milli, 10000);
    assert_string_equal(h.names[1].selector, "a=b");
    assert_int_equal(h.spec.metrics[2].target.value_milli, 2000000);
    assert_string_equal(h.names[2].object, "Service/front");
    assert_int_equal(h.status_current, 3);
    assert_int_equal(h.status_desired, 4);
    assert_int_equal(h.n_conditions, 1);
    assert_string_equal(h.conditions[0].message, "M");
    assert_int_equal(h.n_currents, 1);
    assert_int_equal(h.currents[0].average.milli, 5500);
    sample_end(&s);
}

static void what_is_not_said_is_as_the_api_server_fills_it_in(void **state) {
    struct sample s;
    struct manifest_hpa h;
    sample_start(&s, full);
    manifest_hpa_read(&s.r, s.root, &h);
    // behavior is there: the direction that is not, too.
    assert_true(h.spec.has_behavior);
    assert_int_equal(h.spec.up.n_policies, 2);
    assert_int_equal(h.spec.up.stabilization_ns, 0);
    assert_int_equal(h.spec.down.stabilization_ns, HPA_UNSET);
    assert_int_equal(h.spec.down.n_policies, 1);
    assert_int_equal(h.spec.down.policies[0].period_ns, 60 * NS_PER_S);
    assert_int_equal(h.spec.down.select, HPA_SELECT_MIN);
    assert_true(h.spec.down.tolerance == 0.05);
    sample_end(&s);
    sample_start(&s, "{spec: {maxReplicas: 3}}");
    manifest_hpa_read(&s.r, s.root, &h);
    assert_int_equal(s.r.r, 0);
    assert_int_equal(h.spec.min_replicas, 1);
    assert_true(h.min_defaulted && h.metrics_defaulted);
    assert_int_equal(h.spec.n_metrics, 1);
    assert_string_equal(h.spec.metrics[0].name, "cpu");
    assert_int_equal(h.spec.metrics[0].target.utilization_pct, 80);
    assert_false(h.spec.has_behavior);
    assert_string_equal(h.namespace_, "default");
    assert_int_equal(h.status_current, -1);
    sample_end(&s);
}

static const struct {
    const char *yaml, *message;
} refused[] = {
    {"{}", "f.yaml:1:1: 'spec' is missing: an HPA has one"},
    {"{spec: {}}", "f.yaml:1:8: 'maxReplicas' is missing: an HPA needs it"},
    {"{spec: {maxReplicas: 2, minReplicas: 3}}",
     "f.yaml:1:8: spec.maxReplicas: 2 is below spec.minReplicas 3"},
    {"{apiVersion: autoscaling/v1, spec: {maxReplicas: 2}}",
     "f.yaml:1:14: 'apiVersion': found 'autoscaling/v1', expected autoscaling/v2;"
     " `kubectl get hpa.v2.autoscaling -o json` prints it"},
    {"{kind: Deployment}",
     "f.yaml:1:8: 'kind': found 'Deployment', expected HorizontalPodAutoscaler"},
    {"{spec: {maxReplicas: 2, metrics: [{type: Pod}]}}",
     "f.yaml:1:42: 'type': found 'Pod', expected one of Resource, ContainerResource, Pods, Object,"
     " External; did you mean Pods?"},
    {"{spec: {maxReplicas: 2, metrics: [{type: Pods}]}}",
     "f.yaml:1:35: 'pods' is missing: the type asks for it"},
    {"{spec: {maxReplicas: 2, metrics: [{type: Resource, resource: {name: cpu}}]}}",
     "f.yaml:1:62: 'target' is missing: {type: ..., ...}"},
    {"{spec: {maxReplicas: 2, metrics: [{type: External, external: {metric: {}, target: {type:"
     " Value, value: 1}}}]}}",
     "f.yaml:1:62: the metric's name is missing"},
    {"{spec: {maxReplicas: 2, metrics: [{type: Pods, pods: {}, resource: {name: cpu}}]}}",
     "f.yaml:1:68: 'resource': the metric's type is Pods, only 'pods' belongs to it"},
    {"{spec: {maxReplicas: 2, behavior: {scaleUp: {stabilizationWindowSeconds: -1}}}}",
     "f.yaml:1:74: 'stabilizationWindowSeconds': 0 to 3600 is allowed"},
    {"{spec: {maxReplicas: 2, behavior: {scaleUp: {tolerance: '-1'}}}}",
     "f.yaml:1:57: 'tolerance': must not be negative"},
    {"{spec: {maxReplicas: 2, behavior: {scaleUp: {selectPolicy: Most}}}}",
     "f.yaml:1:60: 'selectPolicy': found 'Most', expected one of Max, Min, Disabled"},
};

static void what_the_api_server_refuses_is_refused_at_its_place(void **state) {
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct sample s;
        struct manifest_hpa h;
        sample_start(&s, refused[i].yaml);
        manifest_hpa_read(&s.r, s.root, &h);
        assert_true(s.r.r < 0);
        assert_string_equal(s.e.msg, refused[i].message);
        sample_end(&s);
    }
}

// Every allocation failing in turn ends in an error, never in a half-read HPA.
static void without_memory_it_fails_cleanly(void **state) {
    struct sample s;
    sample_start(&s, full);
    size_t used = s.a.used;
    bool done = false;
    for (size_t more = 0; !done; more += 16) {
        struct manifest_hpa h;
        s.a.max = used + more;
        s.r.r = 0;
        manifest_hpa_read(&s.r, s.root, &h);
        done = s.r.r == 0;
        assert_true(done || s.r.r == ERR_LIMIT || s.r.r == ERR_NOMEM);
        assert_true(more < 1 << 20);
        used = done ? used : s.a.used;
    }
    sample_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hpa_is_read_as_kubectl_prints_it),
        cmocka_unit_test(what_is_not_said_is_as_the_api_server_fills_it_in),
        cmocka_unit_test(what_the_api_server_refuses_is_refused_at_its_place),
        cmocka_unit_test(without_memory_it_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
