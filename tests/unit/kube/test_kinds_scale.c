// SPDX-License-Identifier: Apache-2.0
/* kube/kinds_scale: workloads, scale subresources, ScaledObjects and HPAs. */
#include "base/limits.h"
#include "kube/kinds_unit.h"

#define DEPLOYMENT                                                                                 \
    "{\"metadata\":{\"name\":\"llm\",\"namespace\":\"ml\",\"generation\":7},\"spec\":{"            \
    "\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"llm\",\"tier\":\"gpu\"},"             \
    "\"matchExpressions\":[{\"key\":\"env\",\"operator\":\"In\",\"values\":[\"a\",\"b\"]},{"       \
    "\"key\":\"x\",\"operator\":\"NotIn\",\"values\":[\"c\"]},{\"key\":\"y\",\"operator\":"        \
    "\"Exists\"},{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]}},\"status\":{\"replicas\":4,"     \
    "\"readyReplicas\":2,\"observedGeneration\":7}}"

static void a_deployment(void **state) {
    struct kube_object *o = kind_read(&kube_deployments, DEPLOYMENT);
    const struct kube_workload *w = (const struct kube_workload *)o;
    assert_int_equal(w->replicas, 3);
    assert_int_equal(w->status_replicas, 4);
    assert_int_equal(w->ready, 2);
    assert_true(w->current);
    assert_string_equal(w->selector, "app=llm,tier=gpu,env in (a,b),x notin (c),y,!z");
    kube_object_free(o);
    kind_survives(&kube_deployments, DEPLOYMENT);
}

static void what_is_not_told_has_the_apis_default(void **state) {
    struct kube_object *o = kind_read(
        &kube_stateful_sets, "{\"metadata\":{\"name\":\"a\",\"generation\":2},\"spec\":{\"replicas"
                             "\":99999999999},\"status\":{\"observedGeneration\":1}}");
    const struct kube_workload *w = (const struct kube_workload *)o;
    assert_int_equal(w->replicas, 1);
    assert_int_equal(w->ready, 0);
    assert_false(w->current);
    assert_string_equal(w->selector, "");
    kube_object_free(o);
}

// A shorter selector would select more.
static void a_selector_that_is_too_long_is_no_selector(void **state) {
    struct err e = {0};
    json_t *json = NULL, *labels;
    assert_int_equal(kube_json_parse(STR("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"selector\":{"
                                         "\"matchLabels\":{}}}}"),
                                     &json, &e),
                     0);
    labels = json_object_get(json_object_get(json_object_get(json, "spec"), "selector"),
                             "matchLabels");
    for (int i = 0; i < LIMIT_KUBE_KEPT_BYTES / 8; i++) {
        char key[20];
        snprintf(key, sizeof(key), "key-%d", i);
        json_object_set_new(labels, key, json_string("value"));
    }
    struct kube_object *o = NULL;
    assert_int_equal(kube_object_read(&o, &kube_deployments, json, &e), ERR_LIMIT);
    assert_null(o);
    json_decref(json);
}

#define SCALE                                                                                      \
    "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"llm\"},"       \
    "\"spec\":{\"replicas\":5},\"status\":{\"replicas\":4,\"selector\":\"app=llm\"}}"

static void a_scale_subresource(void **state) {
    struct kube_object *o = kind_read(&kube_scales, SCALE);
    const struct kube_scale *s = (const struct kube_scale *)o;
    assert_int_equal(s->replicas, 5);
    assert_int_equal(s->status_replicas, 4);
    assert_string_equal(s->selector, "app=llm");
    kube_object_free(o);
    o = kind_read(&kube_scales, "{\"metadata\":{\"name\":\"a\"},\"spec\":{}}"); // at zero
    assert_int_equal(((const struct kube_scale *)o)->replicas, 0);
    kube_object_free(o);
    kind_survives(&kube_scales, SCALE);
}

#define SCALED                                                                                     \
    "{\"metadata\":{\"name\":\"llm\",\"namespace\":\"ml\",\"annotations\":{"                       \
    "\"autoscaling.keda.sh/paused\":\"false\",\"autoscaling.keda.sh/paused-replicas\":\"2\"}},"    \
    "\"spec\":{\"scaleTargetRef\":{\"name\":\"llm\",\"kind\":\"LeaderWorkerSet\",\"apiVersion\":"  \
    "\"leaderworkerset.x-k8s.io/v1\"},\"minReplicaCount\":1,\"maxReplicaCount\":8,"                \
    "\"idleReplicaCount\":0,\"pollingInterval\":7,\"triggers\":["                                  \
    "{\"type\":\"external-push\",\"name\":\"gpu\","                                                \
    "\"metricType\":\"AverageValue\",\"metadata\":{\"scalerAddress\":\"s:9443\",\"queue\":"        \
    "\"10\"},\"authenticationRef\":{\"name\":\"tls\",\"kind\":\"ClusterTriggerAuthentication\"}}," \
    "{"                                                                                            \
    "\"type\":\"cpu\",\"authenticationRef\":{\"name\":\"own\"}}]},\"status\":{\"hpaName\":"        \
    "\"keda-hpa-llm\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":"         \
    "\"Active\",\"status\":\"False\"}]}}"

static void a_scaled_object(void **state) {
    struct kube_object *o = kind_read(&kube_scaled_objects, SCALED);
    const struct kube_scaled_object *s = (const struct kube_scaled_object *)o;
    assert_string_equal(s->target_api, "leaderworkerset.x-k8s.io/v1");
    assert_string_equal(s->target_kind, "LeaderWorkerSet");
    assert_string_equal(s->target_name, "llm");
    assert_int_equal(s->min_replicas, 1);
    assert_int_equal(s->max_replicas, 8);
    assert_int_equal(s->idle_replicas, 0);
    assert_int_equal(s->polling_s, 7);
    assert_true(s->paused);
    assert_string_equal(s->hpa, "keda-hpa-llm");
    assert_string_equal(s->ready, "True");
    assert_string_equal(s->active, "False");
    assert_string_equal(s->fallback, "");
    assert_int_equal(s->n_triggers, 2);
    assert_string_equal(s->triggers[0].type, "external-push");
    assert_int_equal(s->triggers[0].n_metadata, 2);
    assert_string_equal(s->triggers[0].metadata[1].key, "queue");
    assert_string_equal(s->triggers[0].metadata[1].value, "10");
    assert_string_equal(s->triggers[0].auth_kind, "ClusterTriggerAuthentication");
    assert_string_equal(s->triggers[1].auth_kind, "TriggerAuthentication");
    assert_string_equal(s->triggers[1].auth_name, "own");
    kube_object_free(o);
    kind_survives(&kube_scaled_objects, SCALED);
}

static void a_scaled_object_has_kedas_defaults(void **state) {
    struct kube_object *o = kind_read(
        &kube_scaled_objects,
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"scaleTargetRef\":{\"name\":\"web\"}}}");
    const struct kube_scaled_object *s = (const struct kube_scaled_object *)o;
    assert_string_equal(s->target_api, "apps/v1");
    assert_string_equal(s->target_kind, "Deployment");
    assert_int_equal(s->min_replicas, 0);
    assert_int_equal(s->max_replicas, 100);
    assert_int_equal(s->idle_replicas, -1);
    assert_int_equal(s->polling_s, 30);
    assert_false(s->paused);
    kube_object_free(o);
}

#define HPA                                                                                        \
    "{\"metadata\":{\"name\":\"h\"},\"spec\":{\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\","     \
    "\"kind\":\"Deployment\",\"name\":\"llm\"},\"minReplicas\":0,\"maxReplicas\":9},\"status\":{"  \
    "\"currentReplicas\":2,\"desiredReplicas\":3,\"conditions\":[{\"type\":\"AbleToScale\","       \
    "\"status\":\"True\"},{\"type\":\"ScalingActive\",\"status\":\"False\"},{\"type\":"            \
    "\"ScalingLimited\",\"status\":\"Unknown\"}]}}"

static void an_hpa(void **state) {
    struct kube_object *o = kind_read(&kube_hpas, HPA);
    const struct kube_hpa *h = (const struct kube_hpa *)o;
    assert_string_equal(h->target_name, "llm");
    assert_int_equal(h->min_replicas, 0);
    assert_int_equal(h->max_replicas, 9);
    assert_int_equal(h->current, 2);
    assert_int_equal(h->desired, 3);
    assert_string_equal(h->able, "True");
    assert_string_equal(h->active, "False");
    assert_string_equal(h->limited, "Unknown");
    kube_object_free(o);
    kind_survives(&kube_hpas, HPA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deployment),
        cmocka_unit_test(what_is_not_told_has_the_apis_default),
        cmocka_unit_test(a_selector_that_is_too_long_is_no_selector),
        cmocka_unit_test(a_scale_subresource),
        cmocka_unit_test(a_scaled_object),
        cmocka_unit_test(a_scaled_object_has_kedas_defaults),
        cmocka_unit_test(an_hpa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
