// SPDX-License-Identifier: Apache-2.0
/*
 * The arithmetic of the Kubernetes HorizontalPodAutoscaler, as its controller does it: one call is
 * one sync of one HPA. Source: k8s.io/kubernetes v1.37.2, pkg/controller/podautoscaler
 * (horizontal.go, replica_calculator.go, metrics/utilization.go); what differs in 1.32 to 1.36
 * stands in struct hpa_controller. Pure: no clock, no allocation, nothing formatted; texts are made
 * afterwards by hpa_text.h, and only where somebody reads them.
 *
 *     hpa_controller_init(&c, 37);
 *     struct hpa_state *s = zeroed;          once an HPA, kept over its syncs
 *     at each sync: hpa_step(&c, &spec, &in, s, &result); then set result.desired if result.rescale
 *
 * Numbers: metric values, requests and targets are Kubernetes quantities in thousandths
 * (Quantity.MilliValue(), which rounds up). Where Go's arithmetic wraps around or a float does not
 * fit an integer, this gives what the controller gives on amd64.
 * Times are nanoseconds of any one clock, within +-2^62. HPA_TIME_NONE: the pod has no start time.
 * HPA_TIME_ZERO: Go's zero time, which stands where JSON has no lastTransitionTime or timestamp.
 * Strings are borrowed and need to live until the texts are made. One thread a state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#define HPA_TIME_NONE INT64_MIN
#define HPA_TIME_ZERO (-(INT64_C(1) << 62))

// ---- The controller ---------------------------------------------------------------------------

// What the controller does with an HPA whose target has no replicas.
enum hpa_zero {
    HPA_ZERO_BY_MINIMUM,   // until 1.35: computes if minReplicas is 0
    HPA_ZERO_OFF,          // 1.36: never computes (HPAScaleToZero is off)
    HPA_ZERO_BY_CONDITION, // from 1.37: computes if its condition ScaledToZero is True
};

struct hpa_controller { // the flags of kube-controller-manager
    double tolerance;   // --horizontal-pod-autoscaler-tolerance
    int64_t downscale_stabilization_ns, cpu_initialization_ns, initial_readiness_delay_ns;
    // what depends on the version
    enum hpa_zero zero;
    bool tolerance_by_distance;   // until 1.32: |1 - ratio| <= tolerance, later a range
    bool behavior_tolerance;      // from 1.35: spec.behavior.*.tolerance counts
    bool average_is_bounded;      // from 1.34: External AverageValue stops at the largest int32
    bool value_is_bounded;        // from 1.35: Object and External Value too
    bool object_error_comes_last; // from 1.37: order of words in one message
};

// Kubernetes' defaults (0.1; 300 s, 300 s, 30 s) and the ways of version 1.`minor`: below 32 as 32,
// above 37 as 37.
void hpa_controller_init(struct hpa_controller *c, int minor);
// "1.37", "v1.37.2", "1.35.0-gke.1": ERR_INVALID when it is none, or older than autoscaling/v2
// (1.23). *ret_minor is what hpa_controller_init takes.
int hpa_version_parse(struct str text, int *ret_minor, struct err *e);

// ---- The HPA's spec ---------------------------------------------------------------------------

enum hpa_metric_type {
    HPA_RESOURCE,
    HPA_CONTAINER_RESOURCE,
    HPA_PODS,
    HPA_OBJECT,
    HPA_EXTERNAL,
    HPA_METRIC_TYPES,
};

enum hpa_target_type { HPA_UTILIZATION, HPA_VALUE, HPA_AVERAGE_VALUE };

// The spec may set several: the controller takes averageValue before averageUtilization
// (Resource) and before value (External); `type` matters for Object alone.
struct hpa_target {
    enum hpa_target_type type;
    bool has_utilization, has_value, has_average;
    int32_t utilization_pct;
    int64_t value_milli, average_milli;
};

struct hpa_metric {
    enum hpa_metric_type type;
    struct hpa_target target;
    const char *name;                      // "cpu", "memory", ...; else the metric's
    const char *container;                 // CONTAINER_RESOURCE
    const char *object_kind, *object_name; // OBJECT: describedObject
    // The metric's label selector as Go prints a *metav1.LabelSelector with %+v
    // (hpa_text_selector); NULL: there is none ("nil").
    const char *selector;
    const char *selector_error; // not NULL: Kubernetes cannot use the selector, and why
};

enum hpa_policy_type { HPA_POLICY_PODS, HPA_POLICY_PERCENT };
enum hpa_select { HPA_SELECT_MAX, HPA_SELECT_MIN, HPA_SELECT_DISABLED };

struct hpa_policy {
    enum hpa_policy_type type;
    int32_t value;
    int64_t period_ns;
};

enum { HPA_UNSET = -1 };

struct hpa_rules {
    int64_t stabilization_ns; // HPA_UNSET, in `down` alone: the controller's window, whole seconds
    enum hpa_select select;
    const struct hpa_policy *policies;
    size_t n_policies;
    // HPA_UNSET: the controller's. Kubernetes makes a float of the quantity by
    // Quantity.AsApproximateFloat64: digits x 10^exponent, in that order (70m = 70 * 1e-3).
    double tolerance;
};

// What the API server fills in where spec.behavior is there: up by 4 pods or 100 % in 15 s, without
// a window; down by 100 % in 15 s.
void hpa_rules_init_up(struct hpa_rules *r);
void hpa_rules_init_down(struct hpa_rules *r);

struct hpa_spec {
    int32_t min_replicas; // 1 where spec.minReplicas is not set
    int32_t max_replicas;
    const struct hpa_metric *metrics; // 1 to LIMIT_HPA_METRICS; without any, the API server
    size_t n_metrics;                 // takes cpu utilization of 80 %
    bool has_behavior;                // false: the older limits (twice as many, at least 4)
    struct hpa_rules up, down;
    const char *namespace_; // in messages
};

// What the API server would refuse, and what a step needs: 0 or ERR_INVALID with the field and the
// remedy. A step asks for a spec that passed.
int hpa_spec_check(const struct hpa_spec *spec, struct err *e);

// ---- What a sync sees --------------------------------------------------------------------------

enum hpa_phase { HPA_PENDING, HPA_RUNNING, HPA_SUCCEEDED, HPA_FAILED, HPA_PHASE_UNKNOWN };
enum hpa_status { HPA_ABSENT, HPA_FALSE, HPA_TRUE, HPA_UNKNOWN };

struct hpa_pod {
    enum hpa_phase phase;
    bool deleted;           // has a deletionTimestamp
    enum hpa_status ready;  // its condition Ready
    int64_t ready_since_ns; // that condition's lastTransitionTime
    int64_t started_ns;     // status.startTime
};

struct hpa_pod_value { // of Resource, ContainerResource and Pods metrics
    bool known;        // false: the metrics API has nothing for this pod
    int64_t milli;
    int64_t at_ns, window_ns; // timestamp, window: used of cpu alone
};

// What the metrics APIs answered for one metric of the spec.
struct hpa_reading {
    const char *error; // not NULL: the metrics client's error instead (HPA_NO_* of hpa_text.h)
    // Of pods: values[i] is of pods[i]; those beyond n_pods are of pods that the selector does not
    // list, all known. requests_milli[i], of a utilization: of pods[i]; request_error: why a
    // pod's request is not to be had ("missing request for cpu in container a of Pod b").
    const struct hpa_pod_value *values;
    size_t n_values; // >= n_pods
    const int64_t *requests_milli;
    const char *request_error;
    // Of Object (exactly one) and External: the series' values.
    const int64_t *series_milli;
    size_t n_series;
};

enum hpa_selector {
    HPA_SELECTOR_OK,
    HPA_SELECTOR_MISSING,   // status.selector of the scale is empty
    HPA_SELECTOR_INVALID,   // cannot be parsed: selector_detail is the reason
    HPA_SELECTOR_AMBIGUOUS, // selector_detail: the HPAs, "[default/a default/b]"
};

struct hpa_input {
    int64_t now_ns;
    int32_t spec_replicas, status_replicas; // of the scale target
    enum hpa_selector selector;
    const char *selector_text, *selector_detail; // for messages
    const struct hpa_pod *pods;                  // at most LIMIT_PODS_PER_WORKLOAD
    size_t n_pods;
    const struct hpa_reading *readings; // one a metric of the spec
};

// ---- What it remembers --------------------------------------------------------------------------

enum hpa_condition_type {
    HPA_ABLE_TO_SCALE,
    HPA_SCALING_ACTIVE,
    HPA_SCALING_LIMITED,
    HPA_SCALED_TO_ZERO,
    HPA_CONDITIONS,
};

enum hpa_reason {
    HPA_REASON_OTHER, // of a condition that was there before the first step
    HPA_SUCCEEDED_GET_SCALE,
    HPA_READY_FOR_NEW_SCALE,
    HPA_SCALE_UP_STABILIZED,
    HPA_SCALE_DOWN_STABILIZED,
    HPA_SUCCEEDED_RESCALE,
    HPA_VALID_METRIC_FOUND,
    HPA_SCALING_DISABLED,
    HPA_INVALID_SELECTOR,
    HPA_AMBIGUOUS_SELECTOR,
    HPA_FAILED_GET_RESOURCE,
    HPA_FAILED_GET_CONTAINER_RESOURCE,
    HPA_FAILED_GET_PODS,
    HPA_FAILED_GET_OBJECT,
    HPA_FAILED_GET_EXTERNAL,
    HPA_DESIRED_WITHIN_RANGE,
    HPA_TOO_FEW_REPLICAS,
    HPA_TOO_MANY_REPLICAS,
    HPA_SCALE_UP_LIMIT,
    HPA_SCALE_DOWN_LIMIT,
    HPA_WAS_SCALED_TO_ZERO,
    HPA_NOT_SCALED_TO_ZERO,
    HPA_REASONS,
};

struct hpa_condition {
    enum hpa_status status; // ABSENT: the HPA has no such condition
    enum hpa_reason reason;
    int64_t since_ns; // when the status changed
    bool set;         // by the last step; false: left as it was before (or removed: ABSENT)
};

struct hpa_recommendation {
    int64_t at_ns;
    int32_t replicas;
};

struct hpa_scale_event {
    int64_t at_ns;
    int32_t change; // >= 0
    bool outdated;
};

// Zero it; then, where the HPA has a past, put in its conditions (status and since_ns; only
// ScaledToZero's status decides anything), recommendations and events, and count them.
// Full arrays lose their oldest entry, which Kubernetes would have kept; `forgotten` counts that.
// It takes shorter syncs than Kubernetes has: LIMIT_HPA_RECOMMENDATIONS x 15 s are 4 hours.
struct hpa_state {
    struct hpa_condition conditions[HPA_CONDITIONS];
    size_t n_recommendations, n_ups, n_downs;
    struct hpa_recommendation recommendations[LIMIT_HPA_RECOMMENDATIONS];
    struct hpa_scale_event ups[LIMIT_HPA_SCALE_EVENTS], downs[LIMIT_HPA_SCALE_EVENTS];
    uint64_t forgotten;
};

// ---- What comes out
// ------------------------------------------------------------------------------

enum hpa_metric_error {
    HPA_METRIC_OK,
    HPA_METRIC_CLIENT,      // reading.error
    HPA_METRIC_SELECTOR,    // metric.selector_error
    HPA_METRIC_NO_TARGET,   // the spec sets none that fits the type
    HPA_METRIC_NO_PODS,     // the selector lists none
    HPA_METRIC_NO_VALUES,   // none of a pod that counts ("pods might be unready")
    HPA_METRIC_NO_REQUEST,  // reading.request_error
    HPA_METRIC_NO_REQUESTS, // they are 0 in all ("no metrics returned matched known pods")
};

// How the proposal came about.
enum hpa_path {
    HPA_PATH_NONE,           // an error
    HPA_PATH_WITHIN,         // ratio within the tolerance: as many as now
    HPA_PATH_READY,          // ceil(ratio x ready pods)
    HPA_PATH_FILLED,         // ceil(filled_ratio x counted): values made up for missing and
                             // unready pods
    HPA_PATH_FILLED_WITHIN,  // filled_ratio within the tolerance: as many as now
    HPA_PATH_FILLED_TURNED,  // filled_ratio on the other side of 1: as many as now
    HPA_PATH_FILLED_AGAINST, // that count would go against its ratio: as many as now
    HPA_PATH_FROM_ZERO,      // ceil(ratio): no replicas now
    HPA_PATH_SUM,            // ceil(sum / target): AverageValue of Object and External
};

struct hpa_metric_result {
    enum hpa_metric_error error;
    enum hpa_path path;
    int32_t proposal; // replicas
    // status.currentMetrics: of which kind, and the number
    enum hpa_target_type current_type; // UTILIZATION has the average too
    int32_t utilization_pct;
    int64_t current_milli;
    double ratio, filled_ratio; // the latter of the FILLED paths
    // Resource, ContainerResource, Pods; of Object and External Value only `ready`
    uint32_t ready, missing, unready, ignored;
    uint32_t counted; // FILLED: how many values the ratio stands on
};

enum hpa_rescale_reason {
    HPA_RESCALE_NONE,
    HPA_RESCALE_ABOVE_MAX,    // spec.replicas was above maxReplicas
    HPA_RESCALE_BELOW_MIN,    // below minReplicas
    HPA_RESCALE_METRIC_ABOVE, // result.metric is above its target
    HPA_RESCALE_ALL_BELOW,    // all metrics are below
    HPA_RESCALE_BY_LIMITS,    // the metrics want what is there, the limits or windows do not
};

struct hpa_result {
    int32_t desired; // status.desiredReplicas; spec_replicas where nothing is to be done
    bool rescale;    // set the scale to `desired`
    bool failed;     // no decision: the HPA's status.desiredReplicas stays what it was
    bool partial;    // some metrics failed, the others decided
    bool computed;   // the metrics were looked at: metrics[] is filled
    enum hpa_rescale_reason reason;
    int metric;        // index of the metric that proposed the most; -1: none
    int failed_metric; // the first that failed; -1: none
    uint32_t n_failed;
    int32_t proposed;   // by the metrics; -1 when they failed
    int32_t stabilized; // after the windows, before limits and policies
    struct hpa_condition conditions[HPA_CONDITIONS]; // all that the HPA has now
    size_t n_metrics;
    struct hpa_metric_result metrics[LIMIT_HPA_METRICS];
};

// One sync. Remembers recommendations and, taking for granted that the caller sets the scale when
// `rescale` says so, the scale event.
void hpa_step(const struct hpa_controller *c, const struct hpa_spec *spec,
              const struct hpa_input *in, struct hpa_state *s, struct hpa_result *ret);
