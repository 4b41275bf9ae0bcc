// SPDX-License-Identifier: Apache-2.0
/* kube/kinds: pods, nodes, endpoint slices, leases and resource slices as the API server prints
 * them. */
#include "kube/kinds_unit.h"

#define POD                                                                                        \
    "{\"metadata\":{\"name\":\"llm-7d9-x2\",\"namespace\":\"ml\",\"uid\":\"p1\",\"labels\":{"      \
    "\"app\":\"llm\",\"pod-template-hash\":\"7d9\"},\"ownerReferences\":[{\"apiVersion\":"         \
    "\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"llm-7d9\",\"uid\":\"r1\",\"controller\":true}" \
    "]},\"spec\":{\"nodeName\":\"gpu-1\",\"initContainers\":[{\"name\":\"warm\",\"resources\":{"   \
    "\"limits\":{\"nvidia.com/gpu\":\"1\"}}},{\"name\":\"side\",\"restartPolicy\":\"Always\","     \
    "\"resources\":{\"limits\":{\"nvidia.com/mig-1g.10gb\":\"1\"}}}],\"containers\":[{\"name\":"   \
    "\"vllm\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"2\",\"cpu\":\"8\"},\"requests\":{"   \
    "\"nvidia.com/gpu\":\"2\",\"cpu\":\"4\"}}},{\"name\":\"log\"}],\"resourceClaims\":[{\"name\":" \
    "\"a\",\"resourceClaimName\":\"shared\"},{\"name\":\"b\",\"resourceClaimTemplateName\":\"t\"}" \
    "]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.7\",\"startTime\":"                   \
    "\"2026-11-30T00:00:02Z\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\"},{"   \
    "\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2026-11-30T00:01:02Z\"}],"    \
    "\"containerStatuses\":[{\"name\":\"vllm\",\"ready\":true,\"restartCount\":3,\"state\":{"      \
    "\"running\":{\"startedAt\":\"2026-11-30T00:00:12Z\"}}},{\"name\":\"log\",\"ready\":false,"    \
    "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}}],\"resourceClaimStatuses\":[{"     \
    "\"name\":\"b\",\"resourceClaimName\":\"llm-b-42\"}]}}"

static void a_running_pod(void **state) {
    struct kube_object *o = kind_read(&kube_pods, POD);
    const struct kube_pod *p = (const struct kube_pod *)o;
    assert_string_equal(p->phase, "Running");
    assert_string_equal(p->ip, "10.0.0.7");
    assert_string_equal(p->node, "gpu-1");
    assert_true(p->ready);
    assert_int_equal(p->ready_ns - p->started_ns, 60 * NS_PER_S);
    assert_int_equal(p->unschedulable_ns, 0);
    assert_int_equal(p->gpus, 3); // two and the sidecar's
    assert_int_equal(p->n_containers, 2);
    assert_string_equal(p->containers[0].name, "vllm");
    assert_int_equal(p->containers[0].restarts, 3);
    assert_int_equal(p->containers[0].started_ns - p->started_ns, 10 * NS_PER_S);
    assert_true(p->containers[0].ready);
    assert_int_equal(p->containers[1].started_ns, 0);
    assert_string_equal(p->containers[1].waiting, "ImagePullBackOff");
    assert_int_equal(p->n_claims, 2);
    assert_string_equal(p->claims[0], "shared");
    assert_string_equal(p->claims[1], "llm-b-42");
    assert_string_equal(o->owner_name, "llm-7d9");
    kube_object_free(o);
    kind_survives(&kube_pods, POD);
}

static void a_pod_that_finds_no_gpu(void **state) {
    struct kube_object *o = kind_read(
        &kube_pods,
        "{\"metadata\":{\"name\":\"a\"},\"status\":{\"phase\":\"Pending\",\"conditions\":[{"
        "\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\",\"message\":"
        "\"0/3 nodes are available: 3 Insufficient nvidia.com/gpu.\",\"lastTransitionTime\":"
        "\"1970-01-01T00:00:05Z\"}]}}");
    const struct kube_pod *p = (const struct kube_pod *)o;
    assert_int_equal(p->unschedulable_ns, 5 * NS_PER_S);
    assert_string_equal(p->unschedulable,
                        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.");
    assert_false(p->ready);
    assert_string_equal(p->ip, "");
    kube_object_free(o);
}

static void gpus_are_counted_as_the_scheduler_counts(void **state) {
    static const struct {
        const char *spec;
        int64_t gpus;
    } cases[] = {
        {"{}", 0},
        {"{\"containers\":[{\"resources\":{\"requests\":{\"nvidia.com/gpu\":4}}}]}", 4},
        // An init container runs before, alone.
        {"{\"initContainers\":[{\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"8\"}}}],"
         "\"containers\":[{\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\"}}}]}",
         8},
        {"{\"containers\":[{\"resources\":{\"limits\":{\"nvidia.com/gpu.shared\":\"1\","
         "\"nvidia.com/mig-2g.20gb\":\"2\",\"amd.com/gpu\":\"9\"}}},{\"resources\":{\"limits\":{"
         "\"nvidia.com/gpu\":\"1\"}}}]}",
         4},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[1000];
        snprintf(text, sizeof(text), "{\"metadata\":{\"name\":\"a\"},\"spec\":%s}", cases[i].spec);
        struct kube_object *o = kind_read(&kube_pods, text);
        assert_int_equal(((const struct kube_pod *)o)->gpus, cases[i].gpus);
        kube_object_free(o);
    }
}

static void a_long_reason_is_cut_at_a_character(void **state) {
    char text[2000] = "{\"metadata\":{\"name\":\"a\"},\"status\":{\"conditions\":[{\"type\":"
                      "\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\","
                      "\"message\":\"x";
    for (int i = 0; i < 200; i++)
        snprintf(text + strlen(text), 4, "\xc3\xa4");
    snprintf(text + strlen(text), 10, "\"}]}}");
    struct kube_object *o = kind_read(&kube_pods, text);
    assert_int_equal(strlen(((const struct kube_pod *)o)->unschedulable), 255);
    kube_object_free(o);
}

#define NODE                                                                                       \
    "{\"metadata\":{\"name\":\"gpu-1\"},\"spec\":{\"unschedulable\":true},\"status\":{"            \
    "\"addresses\":[{\"type\":\"Hostname\",\"address\":\"gpu-1\"},{\"type\":\"InternalIP\","       \
    "\"address\":\"10.1.0.1\"},{\"type\":\"InternalIP\",\"address\":\"fd00::1\"}],"                \
    "\"allocatable\":{\"cpu\":\"64\",\"nvidia.com/gpu\":\"8\"},\"conditions\":[{\"type\":"         \
    "\"Ready\",\"status\":\"True\"}]}}"

static void a_node(void **state) {
    struct kube_object *o = kind_read(&kube_nodes, NODE);
    const struct kube_node *n = (const struct kube_node *)o;
    assert_string_equal(n->ip, "10.1.0.1");
    assert_true(n->ready && n->unschedulable);
    assert_int_equal(n->gpus, 8);
    kube_object_free(o);
    kind_survives(&kube_nodes, NODE);
}

#define SLICE                                                                                      \
    "{\"metadata\":{\"name\":\"agent-1\",\"namespace\":\"gpuscale\",\"labels\":{"                  \
    "\"kubernetes.io/service-name\":\"agent\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":"    \
    "\"grpc\",\"port\":9443},{\"name\":\"\",\"port\":null}],\"endpoints\":[{\"addresses\":["       \
    "\"10.1.0.1\",\"10.1.0.2\"],\"conditions\":{\"ready\":true},\"nodeName\":\"gpu-1\","           \
    "\"targetRef\":{\"kind\":\"Pod\",\"name\":\"agent-a\"}},{\"addresses\":[\"10.1.0.3\"],"        \
    "\"conditions\":{\"ready\":false,\"terminating\":true}},{\"addresses\":[\"10.1.0.4\"],"        \
    "\"conditions\":{},\"targetRef\":{\"kind\":\"Node\",\"name\":\"x\"}}]}"

static void an_endpoint_slice(void **state) {
    struct kube_object *o = kind_read(&kube_endpoint_slices, SLICE);
    const struct kube_endpoint_slice *s = (const struct kube_endpoint_slice *)o;
    assert_string_equal(s->service, "agent");
    assert_int_equal(s->n_ports, 2);
    assert_string_equal(s->ports[0].name, "grpc");
    assert_int_equal(s->ports[0].port, 9443);
    assert_int_equal(s->ports[1].port, -1);
    assert_int_equal(s->n_endpoints, 3);
    assert_string_equal(s->endpoints[0].address, "10.1.0.1");
    assert_string_equal(s->endpoints[0].pod, "agent-a");
    assert_string_equal(s->endpoints[0].node, "gpu-1");
    assert_true(s->endpoints[0].ready && !s->endpoints[0].terminating);
    assert_true(!s->endpoints[1].ready && s->endpoints[1].terminating);
    assert_true(s->endpoints[2].ready); // not told
    assert_string_equal(s->endpoints[2].pod, "");
    kube_object_free(o);
    kind_survives(&kube_endpoint_slices, SLICE);
}

#define LEASE                                                                                      \
    "{\"metadata\":{\"name\":\"scaler\",\"namespace\":\"gpuscale\"},\"spec\":{\"holderIdentity\":" \
    "\"scaler-0\",\"leaseDurationSeconds\":15,\"acquireTime\":\"1970-01-01T00:00:01.000000Z\","    \
    "\"renewTime\":\"1970-01-01T00:00:02.500000Z\",\"leaseTransitions\":4}}"

static void a_lease(void **state) {
    struct kube_object *o = kind_read(&kube_leases, LEASE);
    const struct kube_lease *l = (const struct kube_lease *)o;
    assert_string_equal(l->holder, "scaler-0");
    assert_string_equal(l->address, ""); // of a Lease without annotations
    assert_int_equal(l->duration_s, 15);
    assert_int_equal(l->renewed_ns - l->acquired_ns, 1500 * NS_PER_MS);
    assert_int_equal(l->transitions, 4);
    kube_object_free(o);
    kind_survives(&kube_leases, LEASE);
}

#define DEVICES                                                                                    \
    "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"driver\":\"gpu.nvidia.com\",\"nodeName\":"         \
    "\"gpu-1\",\"pool\":{\"name\":\"gpu-1\",\"generation\":2,\"resourceSliceCount\":1},"           \
    "\"devices\":[{\"name\":\"gpu-0\",\"attributes\":{\"type\":{\"string\":\"gpu\"},\"uuid\":{"    \
    "\"string\":\"GPU-1\"}}},{\"name\":\"gpu-1\",\"basic\":{\"attributes\":{"                      \
    "\"gpu.nvidia.com/uuid\":{\"string\":\"GPU-2\"}}}},{\"name\":\"nic\"}]}}"

static void a_resource_slice(void **state) {
    struct kube_object *o = kind_read(&kube_resource_slices, DEVICES);
    const struct kube_resource_slice *s = (const struct kube_resource_slice *)o;
    assert_string_equal(s->driver, "gpu.nvidia.com");
    assert_string_equal(s->node, "gpu-1");
    assert_string_equal(s->pool, "gpu-1");
    assert_int_equal(s->pool_generation, 2);
    assert_int_equal(s->pool_slices, 1);
    assert_int_equal(s->n_devices, 3);
    assert_string_equal(s->devices[0].uuid, "GPU-1");
    assert_string_equal(s->devices[1].uuid, "GPU-2");
    assert_string_equal(s->devices[2].uuid, "");
    kube_object_free(o);
    kind_survives(&kube_resource_slices, DEVICES);
}

// What 10,000 pods cost in memory.
static void a_pod_is_kept_in_two_kilobytes(void **state) {
    struct kube_object *o = kind_read(&kube_pods, POD);
    size_t bytes = sizeof(struct kube_pod) + o->memory.used;
    print_message("# %zu bytes\n", bytes);
    assert_true(bytes < 2048);
    kube_object_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_pod),
        cmocka_unit_test(a_pod_that_finds_no_gpu),
        cmocka_unit_test(gpus_are_counted_as_the_scheduler_counts),
        cmocka_unit_test(a_long_reason_is_cut_at_a_character),
        cmocka_unit_test(a_node),
        cmocka_unit_test(an_endpoint_slice),
        cmocka_unit_test(a_lease),
        cmocka_unit_test(a_resource_slice),
        cmocka_unit_test(a_pod_is_kept_in_two_kilobytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
