// SPDX-License-Identifier: Apache-2.0
/* manifest/pod: pods as kubectl prints them, their requests and what they use. */
#include "manifest/pod.h"

#include "base/clock.h"
#include "base/mem.h"
#include "manifest/sample.h"

static const char pod[] =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-7d4b9-x2\n  namespace: prod\n"
    "  labels: {app: web, pod-template-hash: 7d4b9}\n"
    "  managedFields: [{fieldsV1: {f:metadata: {'.': {}}}}]\n"
    "  ownerReferences: [{kind: ReplicaSet, name: web-7d4b9, controller: true, uid: u}]\n"
    "spec:\n  containers:\n  - name: main\n    resources: {requests: {cpu: 250m, memory: 1Gi}}\n"
    "  - name: side\n    resources: {requests: {cpu: 50m}}\n"
    "  initContainers:\n  - name: setup\n    resources: {requests: {cpu: '2'}}\n"
    "  - name: proxy\n    restartPolicy: Always\n    resources: {requests: {cpu: 100m}}\n"
    "status:\n  phase: Running\n  startTime: 2026-11-23T12:00:00Z\n  conditions:\n"
    "  - {type: Initialized, status: 'True'}\n"
    "  - {type: Ready, status: 'False', lastTransitionTime: 2026-11-23T12:00:05Z}\n";

static void a_pod_is_read_as_kubectl_prints_it(void **state) {
    struct sample s;
    struct manifest_pod p;
    sample_start(&s, pod);
    manifest_pod_read(&s.r, s.root, &p);
    assert_int_equal(s.r.r, 0);
    assert_string_equal(p.name, "web-7d4b9-x2");
    assert_string_equal(p.namespace_, "prod");
    assert_string_equal(p.owner_kind, "ReplicaSet");
    assert_string_equal(p.owner_name, "web-7d4b9");
    assert_string_equal(p.template_hash, "7d4b9");
    assert_int_equal(p.state.phase, HPA_RUNNING);
    assert_int_equal(p.state.ready, HPA_FALSE);
    assert_false(p.state.deleted);
    assert_int_equal(p.state.ready_since_ns - p.state.started_ns, 5 * NS_PER_S);
    sample_end(&s);
}

static void a_pod_without_status_has_go_s_zero_values(void **state) {
    struct sample s;
    struct manifest_pod p;
    sample_start(&s, "{metadata: {name: p, deletionTimestamp: '2026-11-23T12:00:00Z'},"
                     " status: {conditions: [{type: Ready, status: 'True'}]}}");
    manifest_pod_read(&s.r, s.root, &p);
    assert_int_equal(s.r.r, 0);
    assert_true(p.state.deleted);
    assert_int_equal(p.state.started_ns, HPA_TIME_NONE);
    assert_int_equal(p.state.ready_since_ns, HPA_TIME_ZERO);
    assert_int_equal(p.state.ready, HPA_TRUE);
    assert_int_equal(p.state.phase, HPA_PHASE_UNKNOWN);
    sample_end(&s);
}

static void requests_are_of_containers_and_sidecars(void **state) {
    struct sample s;
    struct manifest_pod p;
    struct err e = {0};
    int64_t v = 0;
    sample_start(&s, pod);
    manifest_pod_read(&s.r, s.root, &p);
    assert_int_equal(manifest_pod_request(&p, "cpu", NULL, true, &v, &e), 0);
    assert_int_equal(v, 250 + 50 + 100); // not the 2 of setup, which has ended
    assert_int_equal(manifest_pod_request(&p, "cpu", "side", true, &v, &e), 0);
    assert_int_equal(v, 50);
    assert_int_equal(manifest_pod_request(&p, "cpu", "proxy", true, &v, &e), 0);
    assert_int_equal(v, 100);
    assert_int_equal(manifest_pod_request(&p, "memory", NULL, true, &v, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "missing request for memory in container side of Pod web-7d4b9-x2");
    assert_int_equal(manifest_pod_request(&p, "cpu", "setup", true, &v, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "container setup not found in Pod web-7d4b9-x2");
    sample_end(&s);
}

static void requests_of_the_pod_itself_count_from_1_34(void **state) {
    struct sample s;
    struct manifest_pod p;
    struct err e = {0};
    int64_t v = 0;
    sample_start(&s, "{metadata: {name: p}, spec: {resources: {requests: {cpu: 750m}},"
                     " overhead: {cpu: 10m}, containers: [{name: a, resources: {requests:"
                     " {cpu: 100m, memory: 1Mi}}}], initContainers: [{name: i, resources:"
                     " {requests: {memory: 8Mi}}}]}}");
    manifest_pod_read(&s.r, s.root, &p);
    assert_int_equal(manifest_pod_request(&p, "cpu", NULL, true, &v, &e), 0);
    assert_int_equal(v, 760);
    assert_int_equal(manifest_pod_request(&p, "cpu", NULL, false, &v, &e), 0);
    assert_int_equal(v, 100);
    assert_int_equal(manifest_pod_request(&p, "cpu", "a", true, &v, &e), 0);
    assert_int_equal(v, 100); // a container is asked for by name: the pod's own do not count
    assert_int_equal(manifest_pod_request(&p, "memory", NULL, true, &v, &e), 0);
    assert_int_equal(v, INT64_C(8) * 1048576 * 1000); // the largest step of the start
    assert_int_equal(manifest_pod_request(&p, "nvidia.com/gpu", NULL, true, &v, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "missing pod-level request for nvidia.com/gpu in Pod p");
    sample_end(&s);
}

static void usage_is_known_when_every_container_has_it(void **state) {
    struct sample s;
    struct manifest_pod_metrics m;
    int64_t v = 0;
    sample_start(&s, "{metadata: {name: p}, timestamp: '2026-11-23T12:00:00Z', window: 1m0.5s,"
                     " containers: [{name: a, usage: {cpu: 250000000n, memory: 1Ki}},"
                     " {name: b, usage: {cpu: 1m}}]}");
    manifest_pod_metrics_read(&s.r, s.root, &m);
    assert_int_equal(s.r.r, 0);
    assert_int_equal(m.window_ns, 60500 * NS_PER_MS);
    assert_true(manifest_pod_usage(&m, "cpu", NULL, &v));
    assert_int_equal(v, 251);
    assert_true(manifest_pod_usage(&m, "memory", "a", &v));
    assert_int_equal(v, 1024000);
    assert_false(manifest_pod_usage(&m, "memory", NULL, &v));
    assert_false(manifest_pod_usage(&m, "memory", "b", &v));
    assert_false(manifest_pod_usage(&m, "cpu", "none", &v));
    sample_end(&s);
    sample_start(&s, "{metadata: {name: p}, containers: []}");
    manifest_pod_metrics_read(&s.r, s.root, &m);
    assert_false(manifest_pod_usage(&m, "cpu", NULL, &v));
    assert_int_equal(m.at_ns, HPA_TIME_ZERO);
    sample_end(&s);
}

static void broken_pods_are_refused_at_their_place(void **state) {
    static const struct {
        const char *yaml, *message;
    } bad[] = {
        {"{spec: {}}", "f.yaml:1:1: a pod needs metadata.name"},
        {"[]", "f.yaml:1:1: a pod: found a list, expected a map"},
        {"{metadata: {name: p}, status: {phase: Runing}}",
         "f.yaml:1:39: 'phase': found 'Runing', expected one of Pending, Running, Succeeded, "
         "Failed,"
         " Unknown; did you mean Running?"},
        {"{metadata: {name: p}, spec: {containers: [{resources: {requests: {cpu: lots}}}]}}",
         "f.yaml:1:72: 'cpu': found 'lots', expected a number or a quantity such as 100m, 1.5, "
         "2Gi"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sample s;
        struct manifest_pod p;
        sample_start(&s, bad[i].yaml);
        manifest_pod_read(&s.r, s.root, &p);
        assert_string_equal(s.e.msg, bad[i].message);
        sample_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_read_as_kubectl_prints_it),
        cmocka_unit_test(a_pod_without_status_has_go_s_zero_values),
        cmocka_unit_test(requests_are_of_containers_and_sidecars),
        cmocka_unit_test(requests_of_the_pod_itself_count_from_1_34),
        cmocka_unit_test(usage_is_known_when_every_container_has_it),
        cmocka_unit_test(broken_pods_are_refused_at_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
