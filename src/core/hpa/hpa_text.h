// SPDX-License-Identifier: Apache-2.0
/*
 * The words that go with an HPA's step: names of conditions and reasons, and messages, in the
 * Kubernetes controller's own spelling, because people search for them and tools match them.
 * Each hpa_text_*() appends to a buffer; a buffer that is full remembers it (buf.err).
 * `in` and `spec` are those of the step that gave `r`.
 */
#pragma once

#include "base/buf.h"
#include "core/hpa/hpa.h"

// Errors of Kubernetes' metrics clients for an answer without items, for hpa_reading.error; and
// what stands before the reason when an API cannot be asked ("...: the server is down").
#define HPA_NO_RESOURCE_METRICS "no metrics returned from resource metrics API"
#define HPA_NO_CUSTOM_METRICS "no metrics returned from custom metrics API"
#define HPA_NO_EXTERNAL_METRICS "no metrics returned from external metrics API"
#define HPA_RESOURCE_API_FAILED "unable to fetch metrics from resource metrics API: "
#define HPA_CUSTOM_API_FAILED "unable to fetch metrics from custom metrics API: "
#define HPA_EXTERNAL_API_FAILED "unable to fetch metrics from external metrics API: "

const char *hpa_condition_type_name(enum hpa_condition_type type); // "AbleToScale"
const char *hpa_status_name(enum hpa_status status);               // "True", "False", "Unknown"
const char *hpa_reason_name(enum hpa_reason reason);               // "ValidMetricFound"; OTHER: ""
const char *hpa_metric_type_name(enum hpa_metric_type type);       // "ContainerResource"
const char *hpa_target_type_name(enum hpa_target_type type);       // "AverageValue"

// The message of r->conditions[type], which the step must have set.
void hpa_text_condition(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                        const struct hpa_input *in, const struct hpa_result *r,
                        enum hpa_condition_type type);
// Why r->metrics[i] has no proposal, as the condition and the event FailedGet...Metric say it:
// "failed to get cpu utilization: unable to get metrics for resource cpu: ...".
void hpa_text_metric_error(struct buf *b, const struct hpa_controller *c,
                           const struct hpa_spec *spec, const struct hpa_input *in,
                           const struct hpa_result *r, size_t i);
// What Kubernetes calls the metric: "cpu resource utilization (percentage of request)".
void hpa_text_metric_name(struct buf *b, const struct hpa_metric *m);
// The reason of a rescale, as the event SuccessfulRescale says it: "pods metric qps above target".
// Empty for HPA_RESCALE_NONE and BY_LIMITS, as in Kubernetes.
void hpa_text_rescale(struct buf *b, const struct hpa_spec *spec, const struct hpa_result *r);
// The event FailedComputeMetricsReplicas of a step with failed metrics: "invalid metrics (1 invalid
// out of 2), first error is: ..."; or the selector's error.
void hpa_text_failure(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                      const struct hpa_input *in, const struct hpa_result *r);

struct hpa_label { // one entry of matchLabels
    struct str key, value;
};
struct hpa_requirement { // one of matchExpressions
    struct str key, operator_;
    const struct str *values;
    size_t n_values;
};
// A label selector as Go prints it; labels must come sorted by key.
void hpa_text_selector(struct buf *b, const struct hpa_label *labels, size_t n_labels,
                       const struct hpa_requirement *requirements, size_t n_requirements);
// In a sentence for people, how metric i came to its proposal, or its error: "75 % of 50 %, ratio
// 1.5: ceil(1.5 x 4 ready pods) = 6".
void hpa_text_path(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                   const struct hpa_input *in, const struct hpa_result *r, size_t i);
