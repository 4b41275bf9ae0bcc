// SPDX-License-Identifier: Apache-2.0
/* The controller's words: names, messages of conditions and errors, a metric's name. */
#include "core/hpa/hpa_text.h"

const char *hpa_condition_type_name(enum hpa_condition_type type) {
    static const char *const names[] = {
        [HPA_ABLE_TO_SCALE] = "AbleToScale",
        [HPA_SCALING_ACTIVE] = "ScalingActive",
        [HPA_SCALING_LIMITED] = "ScalingLimited",
        [HPA_SCALED_TO_ZERO] = "ScaledToZero",
    };
    return names[type];
}

const char *hpa_status_name(enum hpa_status status) {
    static const char *const names[] = {"", "False", "True", "Unknown"};
    return names[status];
}

static const struct {
    const char *name;
    const char *message; // NULL: depends on the step
} reasons[HPA_REASONS] = {
    [HPA_REASON_OTHER] = {"", ""},
    [HPA_SUCCEEDED_GET_SCALE] = {"SucceededGetScale",
                                 "the HPA controller was able to get the target's current scale"},
    [HPA_READY_FOR_NEW_SCALE] = {"ReadyForNewScale", "recommended size matches current size"},
    [HPA_SCALE_UP_STABILIZED] = {"ScaleUpStabilized",
                                 "recent recommendations were lower than current one, applying "
                                 "the lowest recent recommendation"},
    [HPA_SCALE_DOWN_STABILIZED] = {"ScaleDownStabilized",
                                   "recent recommendations were higher than current one, applying "
                                   "the highest recent recommendation"},
    [HPA_SUCCEEDED_RESCALE] = {"SucceededRescale", NULL},
    [HPA_VALID_METRIC_FOUND] = {"ValidMetricFound", NULL},
    [HPA_SCALING_DISABLED] = {"ScalingDisabled",
                              "scaling is disabled since the replica count of the target is zero"},
    [HPA_INVALID_SELECTOR] = {"InvalidSelector", NULL},
    [HPA_AMBIGUOUS_SELECTOR] = {"AmbiguousSelector", NULL},
    [HPA_FAILED_GET_RESOURCE] = {"FailedGetResourceMetric", NULL},
    [HPA_FAILED_GET_CONTAINER_RESOURCE] = {"FailedGetContainerResourceMetric", NULL},
    [HPA_FAILED_GET_PODS] = {"FailedGetPodsMetric", NULL},
    [HPA_FAILED_GET_OBJECT] = {"FailedGetObjectMetric", NULL},
    [HPA_FAILED_GET_EXTERNAL] = {"FailedGetExternalMetric", NULL},
    [HPA_DESIRED_WITHIN_RANGE] = {"DesiredWithinRange",
                                  "the desired count is within the acceptable range"},
    [HPA_TOO_FEW_REPLICAS] = {"TooFewReplicas", "the desired replica count is less than the "
                                                "minimum replica count"},
    [HPA_TOO_MANY_REPLICAS] = {"TooManyReplicas", "the desired replica count is more than the "
                                                  "maximum replica count"},
    [HPA_SCALE_UP_LIMIT] = {"ScaleUpLimit", "the desired replica count is increasing faster than "
                                            "the maximum scale rate"},
    [HPA_SCALE_DOWN_LIMIT] = {"ScaleDownLimit", "the desired replica count is decreasing faster "
                                                "than the maximum scale rate"},
    [HPA_WAS_SCALED_TO_ZERO] = {"ScaledToZero", "the HPA controller scaled the workload to zero"},
    [HPA_NOT_SCALED_TO_ZERO] = {"NotScaledToZero",
                                "the HPA controller did not scale the workload to zero"},
};

const char *hpa_reason_name(enum hpa_reason reason) {
    return reasons[reason].name;
}

const char *hpa_metric_type_name(enum hpa_metric_type type) {
    static const char *const names[HPA_METRIC_TYPES] = {"Resource", "ContainerResource", "Pods",
                                                        "Object", "External"};
    return names[type];
}

const char *hpa_target_type_name(enum hpa_target_type type) {
    static const char *const names[] = {"Utilization", "Value", "AverageValue"};
    return names[type];
}

static const char *selector_of(const struct hpa_metric *m) {
    return m->selector ? m->selector : "nil";
}

static bool by_object_value(const struct hpa_metric *m) {
    return m->target.type == HPA_VALUE && m->target.has_value;
}

void hpa_text_metric_name(struct buf *b, const struct hpa_metric *m) {
    switch (m->type) {
    case HPA_RESOURCE:
    case HPA_CONTAINER_RESOURCE:
        buf_addf(b, "%s%s resource", m->name,
                 m->type == HPA_CONTAINER_RESOURCE && !m->target.has_average ? " container" : "");
        if (!m->target.has_average)
            buf_addc(b, " utilization (percentage of request)");
        return;
    case HPA_PODS:
        buf_addf(b, "pods metric %s", m->name);
        return;
    case HPA_OBJECT:
    case HPA_EXTERNAL:
    default: // Kubernetes calls an object's average external too
        if (m->type == HPA_OBJECT && by_object_value(m))
            buf_addf(b, "%s metric %s", m->object_kind, m->name);
        else
            buf_addf(b, "external metric %s(%s)", m->name, selector_of(m));
        return;
    }
}

// What the metrics client said, behind what was asked of it.
static void add_client_error(struct buf *b, const struct hpa_controller *c,
                             const struct hpa_spec *spec, const struct hpa_metric *m,
                             const char *error) {
    const char *space = spec->namespace_ ? spec->namespace_ : "";
    switch (m->type) {
    case HPA_RESOURCE:
    case HPA_CONTAINER_RESOURCE:
        buf_addf(b, "unable to get metrics for resource %s: %s", m->name, error);
        return;
    case HPA_PODS:
        buf_addf(b, "unable to get metric %s: %s", m->name, error);
        return;
    case HPA_OBJECT:
        if (c->object_error_comes_last)
            buf_addf(b, "unable to get metric %s on %s %s/%s: %s", m->name, m->object_kind, space,
                     m->object_name, error);
        else
            buf_addf(b, "unable to get metric %s: %s on %s %s/%s", m->name, error, m->object_kind,
                     space, m->object_name);
        return;
    case HPA_EXTERNAL:
    default:
        buf_addf(b, "unable to get external metric %s/%s/%s: %s", space, m->name, selector_of(m),
                 error);
        return;
    }
}

static const char *no_target(const struct hpa_metric *m) {
    switch (m->type) {
    case HPA_RESOURCE:
    case HPA_CONTAINER_RESOURCE:
        return "invalid resource metric source: neither an average utilization target nor an "
               "average value (usage) target was set";
    case HPA_PODS:
        return "invalid pods metric source: no average value target was set";
    case HPA_OBJECT:
        return "invalid object metric source: neither a value target nor an average value target "
               "was set";
    case HPA_EXTERNAL:
    default:
        return "invalid external metric source: neither a value target nor an average value "
               "target was set";
    }
}

void hpa_text_metric_error(struct buf *b, const struct hpa_controller *c,
                           const struct hpa_spec *spec, const struct hpa_input *in,
                           const struct hpa_result *r, size_t i) {
    const struct hpa_metric *m = &spec->metrics[i];
    enum hpa_metric_error error = r->metrics[i].error;
    bool resource = m->type == HPA_RESOURCE || m->type == HPA_CONTAINER_RESOURCE;
    if (resource && error != HPA_METRIC_OK && error != HPA_METRIC_NO_TARGET)
        buf_addf(b, "failed to get %s %s: ", m->name,
                 m->target.has_average ? "usage" : "utilization");
    switch (error) {
    case HPA_METRIC_OK:
        return;
    case HPA_METRIC_CLIENT:
        add_client_error(b, c, spec, m, in->readings[i].error);
        return;
    case HPA_METRIC_SELECTOR:
        buf_addc(b, m->selector_error);
        return;
    case HPA_METRIC_NO_TARGET:
        buf_addc(b, no_target(m));
        return;
    case HPA_METRIC_NO_PODS:
        if (m->type == HPA_OBJECT || m->type == HPA_EXTERNAL)
            buf_addc(b, "unable to calculate ready pods: ");
        buf_addc(b, "no pods returned by selector while calculating replica count");
        return;
    case HPA_METRIC_NO_VALUES:
        buf_addc(b, "did not receive metrics for targeted pods (pods might be unready)");
        return;
    case HPA_METRIC_NO_REQUEST:
        buf_addc(b, in->readings[i].request_error);
        return;
    case HPA_METRIC_NO_REQUESTS:
        buf_addc(b, "no metrics returned matched known pods");
        return;
    }
}

static void add_selector_error(struct buf *b, const struct hpa_input *in, const char *missing) {
    if (in->selector == HPA_SELECTOR_MISSING)
        buf_addc(b, missing);
    else if (in->selector == HPA_SELECTOR_INVALID)
        buf_addf(b, "couldn't convert selector into a corresponding internal selector object: %s",
                 in->selector_detail);
    else
        buf_addf(b, "pods by selector %s are controlled by more than one HPA (e.g. %s)",
                 in->selector_text, in->selector_detail);
}

void hpa_text_condition(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                        const struct hpa_input *in, const struct hpa_result *r,
                        enum hpa_condition_type type) {
    enum hpa_reason reason = r->conditions[type].reason;
    if (reasons[reason].message) {
        buf_addc(b, reasons[reason].message);
        return;
    }
    switch (reason) {
    case HPA_SUCCEEDED_RESCALE:
        buf_addf(b, "the HPA controller was able to update the target scale to %d", r->desired);
        return;
    case HPA_VALID_METRIC_FOUND:
        buf_addc(b, "the HPA was able to successfully calculate a replica count from ");
        hpa_text_metric_name(b, &spec->metrics[r->metric]);
        return;
    case HPA_INVALID_SELECTOR:
    case HPA_AMBIGUOUS_SELECTOR:
        add_selector_error(b, in, "the HPA target's scale is missing a selector");
        return;
    default: // FailedGet...
        buf_addc(b, "the HPA was unable to compute the replica count: ");
        hpa_text_metric_error(b, c, spec, in, r, (size_t)r->failed_metric);
        return;
    }
}

void hpa_text_rescale(struct buf *b, const struct hpa_spec *spec, const struct hpa_result *r) {
    switch (r->reason) {
    case HPA_RESCALE_NONE:
    case HPA_RESCALE_BY_LIMITS:
        return;
    case HPA_RESCALE_ABOVE_MAX:
        buf_addc(b, "Current number of replicas above Spec.MaxReplicas");
        return;
    case HPA_RESCALE_BELOW_MIN:
        buf_addc(b, "Current number of replicas below Spec.MinReplicas");
        return;
    case HPA_RESCALE_METRIC_ABOVE:
        hpa_text_metric_name(b, &spec->metrics[r->metric]);
        buf_addc(b, " above target");
        return;
    case HPA_RESCALE_ALL_BELOW:
        buf_addc(b, "All metrics below target");
        return;
    }
}

void hpa_text_failure(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                      const struct hpa_input *in, const struct hpa_result *r) {
    if (in->selector != HPA_SELECTOR_OK) {
        add_selector_error(b, in, "selector is required");
        return;
    }
    if (r->failed_metric < 0)
        return;
    size_t i = (size_t)r->failed_metric;
    const struct hpa_metric *m = &spec->metrics[i];
    bool no_target = r->metrics[i].error == HPA_METRIC_NO_TARGET;
    bool selector = r->metrics[i].error == HPA_METRIC_SELECTOR;
    buf_addf(b, "invalid metrics (%u invalid out of %zu), first error is: failed to get ",
             r->n_failed, r->n_metrics);
    switch (m->type) {
    case HPA_RESOURCE:
        buf_addf(b, "%s resource metric value: ", m->name);
        break;
    case HPA_CONTAINER_RESOURCE:
        buf_addf(b, "%s container metric value: ", m->container);
        break;
    case HPA_PODS:
        buf_addc(b, "pods metric value: ");
        break;
    case HPA_OBJECT:
        buf_addc(b, "object metric value: ");
        if (!no_target && !selector && !by_object_value(m))
            buf_addf(b, "failed to get %s object metric: ", m->name);
        break;
    case HPA_EXTERNAL:
    default:
        buf_addf(b, "%s external metric value: ", m->name);
        if (!no_target)
            buf_addf(b,
                     m->target.has_average ? "failed to get %s external metric: "
                                           : "failed to get external metric %s: ",
                     m->name);
        break;
    }
    hpa_text_metric_error(b, c, spec, in, r, i);
}
