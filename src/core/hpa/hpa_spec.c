// SPDX-License-Identifier: Apache-2.0
/*
 * The defaults of spec.behavior (pkg/apis/autoscaling/v2/defaults.go) and what the API server
 * refuses (pkg/apis/autoscaling/validation).
 */
#include "core/hpa/hpa.h"

#include "base/clock.h"

enum { WINDOW_MAX_S = 3600, PERIOD_MAX_S = 1800 };

static const struct hpa_policy default_up[] = {{HPA_POLICY_PODS, 4, 15 * NS_PER_S},
                                               {HPA_POLICY_PERCENT, 100, 15 * NS_PER_S}};
static const struct hpa_policy default_down[] = {{HPA_POLICY_PERCENT, 100, 15 * NS_PER_S}};

void hpa_rules_init_up(struct hpa_rules *r) {
    *r = (struct hpa_rules){0, HPA_SELECT_MAX, default_up, 2, HPA_UNSET};
}

void hpa_rules_init_down(struct hpa_rules *r) {
    *r = (struct hpa_rules){HPA_UNSET, HPA_SELECT_MAX, default_down, 1, HPA_UNSET};
}

static const char *const section[HPA_METRIC_TYPES] = {"resource", "containerResource", "pods",
                                                      "object", "external"};

static bool is_empty(const char *s) {
    return !s || !*s;
}

static int check_target(const struct hpa_metric *m, size_t i, struct err *e) {
    const struct hpa_target *t = &m->target;
    const char *where = section[m->type];
    bool resource = m->type == HPA_RESOURCE || m->type == HPA_CONTAINER_RESOURCE;
    bool outside = m->type == HPA_OBJECT || m->type == HPA_EXTERNAL;
    if ((t->has_utilization && t->utilization_pct < 1) || (t->has_value && t->value_milli < 1) ||
        (t->has_average && t->average_milli < 1))
        return err_set(e, ERR_INVALID, "spec.metrics[%zu].%s.target: must be above 0", i, where);
    if (!t->has_average && !(resource && t->has_utilization) && !(outside && t->has_value))
        return err_set(e, ERR_INVALID, "spec.metrics[%zu].%s.target: set averageValue%s", i, where,
                       resource  ? " or averageUtilization"
                       : outside ? " or value"
                                 : "");
    if (t->has_average &&
        ((resource && t->has_utilization) || (m->type == HPA_EXTERNAL && t->has_value)))
        return err_set(e, ERR_INVALID,
                       "spec.metrics[%zu].%s.target: averageValue and %s are both set, keep one", i,
                       where, resource ? "averageUtilization" : "value");
    return 0;
}

static int check_metric(const struct hpa_metric *m, size_t i, struct err *e) {
    if (is_empty(m->name))
        return err_set(e, ERR_INVALID, "spec.metrics[%zu].%s: name is missing", i,
                       section[m->type]);
    if (m->type == HPA_CONTAINER_RESOURCE && is_empty(m->container))
        return err_set(e, ERR_INVALID, "spec.metrics[%zu].containerResource: container is missing",
                       i);
    if (m->type == HPA_OBJECT && (is_empty(m->object_kind) || is_empty(m->object_name)))
        return err_set(e, ERR_INVALID,
                       "spec.metrics[%zu].object.describedObject: kind and name are needed", i);
    return check_target(m, i, e);
}

static int check_rules(const struct hpa_rules *r, const char *where, struct err *e) {
    bool up = where[5] == 'U';
    if (r->stabilization_ns > WINDOW_MAX_S * NS_PER_S || r->stabilization_ns < (up ? 0 : HPA_UNSET))
        return err_set(e, ERR_INVALID,
                       "spec.behavior.%s.stabilizationWindowSeconds: must be 0 to %d", where,
                       WINDOW_MAX_S);
    if (r->n_policies == 0)
        return err_set(e, ERR_INVALID,
                       "spec.behavior.%s.policies: empty; leave it out for the defaults, or "
                       "selectPolicy: Disabled to forbid",
                       where);
    for (size_t i = 0; i < r->n_policies; i++) {
        const struct hpa_policy *p = &r->policies[i];
        if (p->value <= 0)
            return err_set(e, ERR_INVALID, "spec.behavior.%s.policies[%zu].value: must be above 0",
                           where, i);
        if (p->period_ns <= 0 || p->period_ns > PERIOD_MAX_S * NS_PER_S)
            return err_set(e, ERR_INVALID,
                           "spec.behavior.%s.policies[%zu].periodSeconds: must be 1 to %d", where,
                           i, PERIOD_MAX_S);
    }
    if (!(r->tolerance >= 0 || r->tolerance == HPA_UNSET))
        return err_set(e, ERR_INVALID, "spec.behavior.%s.tolerance: must not be negative", where);
    return 0;
}

int hpa_spec_check(const struct hpa_spec *spec, struct err *e) {
    bool outside = false;
    if (spec->max_replicas < 1)
        return err_set(e, ERR_INVALID, "spec.maxReplicas: is %d, must be at least 1",
                       spec->max_replicas);
    if (spec->min_replicas < 0)
        return err_set(e, ERR_INVALID, "spec.minReplicas: is %d, must not be negative",
                       spec->min_replicas);
    if (spec->max_replicas < spec->min_replicas)
        return err_set(e, ERR_INVALID, "spec.maxReplicas: %d is below spec.minReplicas %d",
                       spec->max_replicas, spec->min_replicas);
    if (spec->n_metrics == 0 || spec->n_metrics > LIMIT_HPA_METRICS)
        return err_set(e, ERR_INVALID, "spec.metrics: has %zu entries, 1 to %d are taken",
                       spec->n_metrics, LIMIT_HPA_METRICS);
    for (size_t i = 0; i < spec->n_metrics; i++) {
        const struct hpa_metric *m = &spec->metrics[i];
        int r = check_metric(m, i, e);
        if (r)
            return r;
        outside = outside || m->type == HPA_OBJECT || m->type == HPA_EXTERNAL;
    }
    if (spec->min_replicas == 0 && !outside)
        return err_set(e, ERR_INVALID,
                       "spec.minReplicas: 0 needs an Object or External metric, for pods that do "
                       "not exist have no metrics; set 1, or add one");
    if (!spec->has_behavior)
        return 0;
    int r = check_rules(&spec->up, "scaleUp", e);
    return r ? r : check_rules(&spec->down, "scaleDown", e);
}
