// SPDX-License-Identifier: Apache-2.0
/* HorizontalPodAutoscalers; see the header. Selectors of metrics are in selector.c. */
#include "manifest/hpa.h"

#include "base/clock.h"
#include "base/mem.h"
#include "manifest/selector.h"

// Each metric source has its field's name and its type's.
static const struct {
    const char *type, *field;
} sources[HPA_METRIC_TYPES] = {
    [HPA_RESOURCE] = {"Resource", "resource"},
    [HPA_CONTAINER_RESOURCE] = {"ContainerResource", "containerResource"},
    [HPA_PODS] = {"Pods", "pods"},
    [HPA_OBJECT] = {"Object", "object"},
    [HPA_EXTERNAL] = {"External", "external"},
};
static const char *const types[] = {"Resource", "ContainerResource", "Pods",
                                    "Object",   "External",          NULL};
static const char *const target_types[] = {[HPA_UTILIZATION] = "Utilization",
                                           [HPA_VALUE] = "Value",
                                           [HPA_AVERAGE_VALUE] = "AverageValue",
                                           NULL};
static const char *const policy_types[] = {
    [HPA_POLICY_PODS] = "Pods", [HPA_POLICY_PERCENT] = "Percent", NULL};
static const char *const selects[] = {
    [HPA_SELECT_MAX] = "Max", [HPA_SELECT_MIN] = "Min", [HPA_SELECT_DISABLED] = "Disabled", NULL};

static const struct conf_node *needed(struct manifest_reader *r, const struct conf_node *parent,
                                      const char *key, const char *remedy) {
    const struct conf_node *n = manifest_map(r, parent, key);
    if (!n && r->r == 0)
        (void)manifest_fail(r, parent, ERR_INVALID, "'%s' is missing: %s", key, remedy);
    return n;
}

static void read_target(struct manifest_reader *r, const struct conf_node *n,
                        struct hpa_target *t) {
    struct quantity q;
    unsigned type = HPA_UTILIZATION;
    if (!manifest_enum(r, n, "type", target_types, &type))
        (void)manifest_fail(r, n, ERR_INVALID,
                            "'type' is missing: Utilization, Value or AverageValue");
    t->type = (enum hpa_target_type)type;
    t->has_utilization = manifest_int32(r, n, "averageUtilization", &t->utilization_pct);
    if ((t->has_value = manifest_quantity(r, n, "value", &q)))
        t->value_milli = q.milli;
    if ((t->has_average = manifest_quantity(r, n, "averageValue", &q)))
        t->average_milli = q.milli;
}

// metric: {name, selector} of Pods, Object and External.
static void read_identifier(struct manifest_reader *r, const struct conf_node *source,
                            struct hpa_metric *m, struct manifest_metric_name *name) {
    const struct conf_node *metric = needed(r, source, "metric", "{name: ...}");
    m->name = manifest_text(r, metric, "name");
    const struct conf_node *selector = manifest_map(r, metric, "selector");
    if (selector)
        manifest_selector_read(r, selector, &m->selector, &name->selector);
}

static void read_object(struct manifest_reader *r, const struct conf_node *source,
                        struct hpa_metric *m, struct manifest_metric_name *name) {
    const struct conf_node *o = needed(r, source, "describedObject", "{kind: ..., name: ...}");
    m->object_kind = manifest_text(r, o, "kind");
    m->object_name = manifest_text(r, o, "name");
    if (r->r < 0)
        return;
    if (!m->object_kind || !m->object_name) {
        (void)manifest_fail(r, o, ERR_INVALID, "'describedObject' needs kind and name");
        return;
    }
    name->object = arena_printf(r->a, "%s/%s", m->object_kind, m->object_name);
    if (!name->object)
        (void)manifest_no_memory(r);
}

// The API server takes no metric with the source of another type beside its own.
static void check_only_source(struct manifest_reader *r, const struct conf_node *n,
                              enum hpa_metric_type type) {
    for (int t = 0; t < HPA_METRIC_TYPES; t++) {
        const struct conf_node *other = t == (int)type ? NULL
                                                       : manifest_get(r, n, sources[t].field);
        if (other)
            (void)manifest_fail(r, other, ERR_INVALID,
                                "'%s': the metric's type is %s, only '%s' belongs to it",
                                sources[t].field, sources[type].type, sources[type].field);
    }
}

static void read_metric(struct manifest_reader *r, const struct conf_node *n, struct hpa_metric *m,
                        struct manifest_metric_name *name) {
    if (!manifest_is_map(r, n, "a metric"))
        return;
    unsigned type = HPA_RESOURCE;
    if (!manifest_enum(r, n, "type", types, &type))
        (void)manifest_fail(r, n, ERR_INVALID,
                            "'type' is missing: Resource, ContainerResource, Pods, Object or"
                            " External");
    m->type = (enum hpa_metric_type)type;
    check_only_source(r, n, m->type);
    const struct conf_node *source = needed(r, n, sources[type].field, "the type asks for it");
    if (m->type == HPA_RESOURCE || m->type == HPA_CONTAINER_RESOURCE) {
        m->name = manifest_text(r, source, "name");
        m->container = manifest_text(r, source, "container");
    } else {
        read_identifier(r, source, m, name);
        if (m->type == HPA_OBJECT)
            read_object(r, source, m, name);
    }
    read_target(r, needed(r, source, "target", "{type: ..., ...}"), &m->target);
    if (r->r == 0 && !m->name)
        (void)manifest_fail(r, source, ERR_INVALID, "the metric's name is missing");
}

static void read_metrics(struct manifest_reader *r, const struct conf_node *spec,
                         struct manifest_hpa *h) {
    const struct conf_node *list = manifest_list(r, spec, "metrics");
    size_t n = list ? list->children : 0;
    if (n > LIMIT_HPA_METRICS) {
        (void)manifest_fail(r, list, ERR_LIMIT, "more than %d metrics (LIMIT_HPA_METRICS)",
                            LIMIT_HPA_METRICS);
        return;
    }
    h->metrics_defaulted = n == 0;
    if (n == 0)
        n = 1;
    struct hpa_metric *metrics = manifest_array(r, n, sizeof(*metrics));
    h->names = manifest_array(r, n, sizeof(*h->names));
    if (!metrics || !h->names)
        return;
    if (h->metrics_defaulted)
        metrics[0] = (struct hpa_metric){
            .type = HPA_RESOURCE,
            .name = "cpu",
            .target = {.type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = 80}};
    size_t i = 0;
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next, i++)
        read_metric(r, c, &metrics[i], &h->names[i]);
    h->spec.metrics = metrics;
    h->spec.n_metrics = n;
}

static void read_policies(struct manifest_reader *r, const struct conf_node *list,
                          struct hpa_rules *rules) {
    struct hpa_policy *policies = manifest_array(r, list->children, sizeof(*policies));
    size_t n = 0;
    for (const struct conf_node *c = list->first; c && policies && r->r == 0; c = c->next, n++) {
        if (!manifest_is_map(r, c, "a policy"))
            return;
        unsigned type = 0;
        int32_t period = 0;
        if (!manifest_enum(r, c, "type", policy_types, &type))
            (void)manifest_fail(r, c, ERR_INVALID, "'type' is missing: Pods or Percent");
        policies[n].type = (enum hpa_policy_type)type;
        (void)manifest_int32(r, c, "value", &policies[n].value);
        (void)manifest_int32(r, c, "periodSeconds", &period);
        policies[n].period_ns = period * NS_PER_S;
    }
    rules->policies = policies;
    rules->n_policies = n;
}

static void read_rules(struct manifest_reader *r, const struct conf_node *n,
                       struct hpa_rules *rules) {
    int32_t window;
    unsigned select;
    struct quantity tolerance;
    if (manifest_int32(r, n, "stabilizationWindowSeconds", &window)) {
        if (window < 0)
            (void)manifest_fail(r, manifest_get(r, n, "stabilizationWindowSeconds"), ERR_INVALID,
                                "'stabilizationWindowSeconds': 0 to 3600 is allowed");
        rules->stabilization_ns = window * NS_PER_S;
    }
    if (manifest_enum(r, n, "selectPolicy", selects, &select))
        rules->select = (enum hpa_select)select;
    if (manifest_quantity(r, n, "tolerance", &tolerance)) {
        if (tolerance.sign < 0)
            (void)manifest_fail(r, manifest_get(r, n, "tolerance"), ERR_INVALID,
                                "'tolerance': must not be negative");
        rules->tolerance = tolerance.approximate;
    }
    const struct conf_node *policies = manifest_list(r, n, "policies");
    if (policies)
        read_policies(r, policies, rules);
}

static void read_behavior(struct manifest_reader *r, const struct conf_node *spec,
                          struct hpa_spec *to) {
    const struct conf_node *behavior = manifest_map(r, spec, "behavior");
    hpa_rules_init_up(&to->up);
    hpa_rules_init_down(&to->down);
    to->has_behavior = behavior != NULL;
    if (!behavior)
        return;
    read_rules(r, manifest_map(r, behavior, "scaleUp"), &to->up);
    read_rules(r, manifest_map(r, behavior, "scaleDown"), &to->down);
}

static void read_spec(struct manifest_reader *r, const struct conf_node *n,
                      struct manifest_hpa *h) {
    const struct conf_node *spec = needed(r, n, "spec", "an HPA has one");
    const struct conf_node *target = manifest_map(r, spec, "scaleTargetRef");
    h->target_kind = manifest_text(r, target, "kind");
    h->target_name = manifest_text(r, target, "name");
    h->spec.min_replicas = 1;
    h->min_defaulted = !manifest_int32(r, spec, "minReplicas", &h->spec.min_replicas);
    if (!manifest_int32(r, spec, "maxReplicas", &h->spec.max_replicas))
        (void)manifest_fail(r, spec, ERR_INVALID, "'maxReplicas' is missing: an HPA needs it");
    read_metrics(r, spec, h);
    read_behavior(r, spec, &h->spec);
}

static void read_conditions(struct manifest_reader *r, const struct conf_node *status,
                            struct manifest_hpa *h) {
    const struct conf_node *list = manifest_list(r, status, "conditions");
    h->conditions = manifest_array(r, list ? list->children : 0, sizeof(*h->conditions));
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next) {
        struct manifest_condition *to = &h->conditions[h->n_conditions];
        if (!manifest_is_map(r, c, "a condition"))
            return;
        *to = (struct manifest_condition){.type = manifest_text(r, c, "type"),
                                          .status = manifest_text(r, c, "status"),
                                          .reason = manifest_text(r, c, "reason"),
                                          .message = manifest_text(r, c, "message"),
                                          .since_ns = HPA_TIME_ZERO,
                                          .at = c};
        (void)manifest_time(r, c, "lastTransitionTime", &to->since_ns);
        if (to->type && to->status)
            h->n_conditions++;
    }
}

static void read_currents(struct manifest_reader *r, const struct conf_node *status,
                          struct manifest_hpa *h) {
    const struct conf_node *list = manifest_list(r, status, "currentMetrics");
    h->currents = manifest_array(r, list ? list->children : 0, sizeof(*h->currents));
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next) {
        unsigned type;
        const char *text = manifest_text(r, c, "type");
        if (!text || text[0] == '\0') // of a metric that failed
            continue;
        if (!manifest_enum(r, c, "type", types, &type))
            return;
        const struct conf_node *source = manifest_map(r, c, sources[type].field);
        const struct conf_node *current = manifest_map(r, source, "current");
        const struct conf_node *metric = manifest_map(r, source, "metric");
        struct manifest_current *to = &h->currents[h->n_currents++];
        to->type = (enum hpa_metric_type)type;
        to->name = manifest_text(r, metric ? metric : source, "name");
        to->container = manifest_text(r, source, "container");
        to->has_utilization = manifest_int32(r, current, "averageUtilization",
                                             &to->utilization_pct);
        to->has_value = manifest_quantity(r, current, "value", &to->value);
        to->has_average = manifest_quantity(r, current, "averageValue", &to->average);
    }
}

static void check_version(struct manifest_reader *r, const struct conf_node *n) {
    const char *version = manifest_text(r, n, "apiVersion"), *kind = manifest_text(r, n, "kind");
    if (kind && strcmp(kind, "HorizontalPodAutoscaler") != 0)
        (void)manifest_fail(r, manifest_get(r, n, "kind"), ERR_INVALID,
                            "'kind': found '%s', expected HorizontalPodAutoscaler", kind);
    if (version && strcmp(version, "autoscaling/v2") != 0)
        (void)manifest_fail(r, manifest_get(r, n, "apiVersion"), ERR_INVALID,
                            "'apiVersion': found '%s', expected autoscaling/v2;"
                            " `kubectl get hpa.v2.autoscaling -o json` prints it",
                            version);
}

void manifest_hpa_read(struct manifest_reader *r, const struct conf_node *n,
                       struct manifest_hpa *ret) {
    if (!manifest_is_map(r, n, "'hpa'"))
        return;
    check_version(r, n);
    const struct conf_node *meta = manifest_map(r, n, "metadata");
    struct manifest_hpa h = {.name = manifest_text(r, meta, "name"),
                             .namespace_ = manifest_text(r, meta, "namespace"),
                             .status_current = -1,
                             .status_desired = -1};
    if (!h.name)
        h.name = "hpa";
    if (!h.namespace_)
        h.namespace_ = "default";
    h.spec.namespace_ = h.namespace_;
    read_spec(r, n, &h);
    const struct conf_node *status = manifest_map(r, n, "status");
    (void)manifest_int32(r, status, "currentReplicas", &h.status_current);
    (void)manifest_int32(r, status, "desiredReplicas", &h.status_desired);
    read_conditions(r, status, &h);
    read_currents(r, status, &h);
    struct err why = {0};
    if (r->r == 0 && hpa_spec_check(&h.spec, &why) < 0)
        (void)manifest_fail(r, manifest_get(r, n, "spec"), ERR_INVALID, "%s", why.msg);
    *ret = h;
}
