// SPDX-License-Identifier: Apache-2.0
/* Readers of what is scaled, and of what scales it. */
#include "base/buf.h"
#include "base/limits.h"
#include "kube/kinds.h"

static const json_t *get(const json_t *json, const char *key) {
    return json_object_get(json, key);
}

static int32_t number(const json_t *json, const char *key, int32_t otherwise) {
    int64_t n = kube_read_int(json, key, otherwise);
    return n < INT32_MIN || n > INT32_MAX ? otherwise : (int32_t)n;
}

static const char *text_or(struct kube_reader *r, const json_t *json, const char *key,
                           const char *otherwise) {
    const char *s = json_string_value(get(json, key));
    return s && *s ? kube_read_copy(r, s) : otherwise;
}

static void add_requirement(struct buf *b, const json_t *e) {
    const char *key = json_string_value(get(e, "key"));
    const char *op = json_string_value(get(e, "operator"));
    const json_t *values = get(e, "values");
    if (!key || !op)
        return;
    (void)buf_addc(b, b->len ? "," : "");
    if (strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) {
        (void)buf_addf(b, "%s%s", *op == 'E' ? "" : "!", key);
        return;
    }
    (void)buf_addf(b, "%s %s (", key, strcmp(op, "In") == 0 ? "in" : "notin");
    for (size_t i = 0; i < json_array_size(values); i++) {
        const char *v = json_string_value(json_array_get(values, i));
        (void)buf_addf(b, "%s%s", i ? "," : "", v ? v : "");
    }
    (void)buf_addc(b, ")");
}

// A LabelSelector as kubectl writes it. Too long to keep: ERR_LIMIT, never a shorter one, which
// would select more.
static const char *read_selector(struct kube_reader *r, const json_t *selector) {
    CLEANUP_BUF struct buf b;
    const json_t *labels = get(selector, "matchLabels"), *more = get(selector, "matchExpressions");
    buf_init(&b, LIMIT_KUBE_KEPT_BYTES);
    void *at = json_object_iter((json_t *)(uintptr_t)labels);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)labels, at)) {
        const char *value = json_string_value(json_object_iter_value(at));
        (void)buf_addf(&b, "%s%s=%s", b.len ? "," : "", json_object_iter_key(at),
                       value ? value : "");
    }
    for (size_t i = 0; i < json_array_size(more); i++)
        add_requirement(&b, json_array_get(more, i));
    (void)buf_add_byte(&b, '\0');
    if (b.err && r->r == 0)
        r->r = b.err;
    return kube_read_copy(r, b.err ? NULL : b.p);
}

static void read_workload(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_workload *w = container_of(o, struct kube_workload, o);
    const json_t *spec = get(json, "spec"), *status = get(json, "status");
    int64_t generation = kube_read_int(get(json, "metadata"), "generation", 0);
    w->replicas = number(spec, "replicas", 1);
    w->status_replicas = number(status, "replicas", 0);
    w->ready = number(status, "readyReplicas", 0);
    w->current = kube_read_int(status, "observedGeneration", -1) >= generation;
    w->selector = read_selector(r, get(spec, "selector"));
}

static void read_scale(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_scale *s = container_of(o, struct kube_scale, o);
    const json_t *status = get(json, "status");
    s->replicas = number(get(json, "spec"), "replicas", 0);
    s->status_replicas = number(status, "replicas", 0);
    s->selector = kube_read_text(r, status, "selector");
}

static void read_trigger(struct kube_trigger *t, const json_t *json, struct kube_reader *r) {
    const json_t *auth = get(json, "authenticationRef");
    t->type = kube_read_text(r, json, "type");
    t->name = kube_read_text(r, json, "name");
    t->metric_type = kube_read_text(r, json, "metricType");
    t->metadata = kube_read_labels(r, get(json, "metadata"), &t->n_metadata);
    t->auth_name = kube_read_text(r, auth, "name");
    t->auth_kind = *t->auth_name ? text_or(r, auth, "kind", "TriggerAuthentication") : "";
}

// autoscaling.keda.sh/paused, /paused-replicas, /paused-scale-in, /paused-scale-out: whatever their
// value but "false".
static bool is_paused(const json_t *json) {
    static const char *const names[] = {
        "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas",
        "autoscaling.keda.sh/paused-scale-in", "autoscaling.keda.sh/paused-scale-out"};
    const json_t *all = get(get(json, "metadata"), "annotations");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = json_string_value(get(all, names[i]));
        if (value && strcmp(value, "false") != 0)
            return true;
    }
    return false;
}

static void read_scaled_object(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_scaled_object *s = container_of(o, struct kube_scaled_object, o);
    const json_t *spec = get(json, "spec"), *status = get(json, "status");
    const json_t *target = get(spec, "scaleTargetRef"), *triggers = get(spec, "triggers");
    s->target_api = text_or(r, target, "apiVersion", "apps/v1");
    s->target_kind = text_or(r, target, "kind", "Deployment");
    s->target_name = kube_read_text(r, target, "name");
    s->min_replicas = number(spec, "minReplicaCount", 0);
    s->max_replicas = number(spec, "maxReplicaCount", 100);
    s->idle_replicas = number(spec, "idleReplicaCount", -1);
    s->polling_s = number(spec, "pollingInterval", 30);
    s->paused = is_paused(json);
    s->hpa = kube_read_text(r, status, "hpaName");
    s->ready = kube_read_copy(r, kube_json_condition(status, "Ready"));
    s->active = kube_read_copy(r, kube_json_condition(status, "Active"));
    s->fallback = kube_read_copy(r, kube_json_condition(status, "Fallback"));
    s->triggers = kube_read_array(r, json_array_size(triggers), sizeof(*s->triggers));
    for (size_t i = 0; s->triggers && i < json_array_size(triggers); i++)
        read_trigger(&s->triggers[s->n_triggers++], json_array_get(triggers, i), r);
}

static void read_hpa(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_hpa *h = container_of(o, struct kube_hpa, o);
    const json_t *spec = get(json, "spec"), *status = get(json, "status");
    const json_t *target = get(spec, "scaleTargetRef");
    h->target_api = kube_read_text(r, target, "apiVersion");
    h->target_kind = kube_read_text(r, target, "kind");
    h->target_name = kube_read_text(r, target, "name");
    h->min_replicas = number(spec, "minReplicas", 1);
    h->max_replicas = number(spec, "maxReplicas", 0);
    h->current = number(status, "currentReplicas", 0);
    h->desired = number(status, "desiredReplicas", 0);
    h->able = kube_read_copy(r, kube_json_condition(status, "AbleToScale"));
    h->active = kube_read_copy(r, kube_json_condition(status, "ScalingActive"));
    h->limited = kube_read_copy(r, kube_json_condition(status, "ScalingLimited"));
}

const struct kube_kind kube_deployments = {"apps", "v1", "deployments",
                                           sizeof(struct kube_workload), read_workload};
const struct kube_kind kube_stateful_sets = {"apps", "v1", "statefulsets",
                                             sizeof(struct kube_workload), read_workload};
const struct kube_kind kube_replica_sets = {"apps", "v1", "replicasets",
                                            sizeof(struct kube_workload), read_workload};
const struct kube_kind kube_scales = {"autoscaling", "v1", "scales", sizeof(struct kube_scale),
                                      read_scale};
const struct kube_kind kube_scaled_objects = {
    "keda.sh", "v1alpha1", "scaledobjects", sizeof(struct kube_scaled_object), read_scaled_object};
const struct kube_kind kube_hpas = {"autoscaling", "v2", "horizontalpodautoscalers",
                                    sizeof(struct kube_hpa), read_hpa};
