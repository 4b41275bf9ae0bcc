// SPDX-License-Identifier: Apache-2.0
/*
 * KEDA's part of scaling (kedacore/keda v2.21.0): the HPA that a ScaledObject becomes, what KEDA
 * answers when that HPA asks for a metric, and what its own loop does beside it: from and to zero
 * (or idleReplicaCount), fallback, pause. Pure: the caller asks the scalers and says what they
 * answered; time is an argument.
 *
 *     at a poll (keda_poll_due)   ask every trigger, keda_poll() -> replicas to set, if any
 *     when a scaler pushes        keda_push()
 *     at an HPA sync              ask every trigger, keda_answer() for each metric of keda_hpa()
 *
 * Metric values are Kubernetes quantities in thousandths (int64). KEDA writes a scaler's number
 * with three decimals, a negative, NaN or infinite one as 0. Above 9.2e15 KEDA's quantities wrap
 * around; here they stop there.
 *
 * Where this is simpler than KEDA: last-active times are exact (the API server cuts them to whole
 * seconds); failures are counted once (KEDA's two paths each keep a copy of the ScaledObject, which
 * may be some calls behind); RPCs that fail are told as failed after KEDA's own immediate retry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "core/hpa/keda_formula.h"

enum { KEDA_UNSET = -1, KEDA_METRIC_NAME_LEN = 256, KEDA_COMPOSITE = -1 };

enum keda_metric_type { KEDA_AVERAGE_VALUE, KEDA_VALUE };

struct keda_trigger {
    const char *name;        // NULL: none; a formula needs one
    const char *metric_name; // as the scaler gives it; of cpu and memory: the resource
    bool resource;           // cpu or memory: the HPA reads it itself, KEDA never
    bool cached;             // useCachedMetrics
    enum keda_metric_type type;
    int64_t target_milli;
};

enum keda_fallback_behavior {
    KEDA_FALLBACK_STATIC,
    KEDA_FALLBACK_CURRENT,
    KEDA_FALLBACK_CURRENT_IF_HIGHER,
    KEDA_FALLBACK_CURRENT_IF_LOWER,
    KEDA_FALLBACK_MODIFIERS, // a trigger that fails is nil in the formula
};

struct keda_fallback {
    bool set;
    int32_t failure_threshold;
    int32_t replicas;
    enum keda_fallback_behavior behavior;
};

struct keda_modifiers {
    const struct keda_formula *formula; // NULL: no modifiers; its variables are the triggers' names
    struct str target;                  // text: KEDA's fallback wants an integer there
    struct str activation_target;       // empty: 0
    enum keda_metric_type type;
};

// The annotations autoscaling.keda.sh/... of a ScaledObject.
struct keda_annotations {
    bool paused;             // paused
    int32_t paused_replicas; // paused-replicas, or KEDA_UNSET; it pauses too
    bool scale_in_paused;    // paused-scale-in
    bool scale_out_paused;   // paused-scale-out
    bool force_activation;   // force-activation
};

struct keda_object {
    int32_t min_replicas, max_replicas, idle_replicas; // KEDA_UNSET: not in the spec
    int64_t polling_ns, cooldown_ns, initial_cooldown_ns;
    int64_t created_ns;
    struct keda_fallback fallback;
    struct keda_modifiers modifiers;
    struct keda_annotations annotations;
    const struct keda_trigger *triggers; // at most LIMIT_KEDA_TRIGGERS
    size_t n_triggers;
};

// KEDA's defaults: polling 30 s, cooldown 300 s, initial cooldown 0, nothing else set.
void keda_object_init(struct keda_object *o);
// What KEDA's webhook and controller refuse: 0 or ERR_INVALID with the field and the remedy.
int keda_object_check(const struct keda_object *o, struct err *e);
// One annotation. Values that are no boolean count as true, as in KEDA. ERR_NOTFOUND: not one of
// KEDA's that change scaling; ERR_INVALID: paused-replicas is no number.
int keda_annotation_set(struct keda_annotations *a, struct str key, struct str value,
                        struct err *e);

// A scaler's number as KEDA hands it on, in thousandths.
int64_t keda_quantity_milli(double value);
// The built-in scalers' rule; an external scaler says itself whether it is active.
static inline bool keda_activates(double value, double activation_threshold) {
    return value > activation_threshold;
}

// ---- The HPA -------------------------------------------------------------------------------

struct keda_hpa_metric {
    int trigger; // index, or KEDA_COMPOSITE
    bool resource;
    enum keda_metric_type type;
    int64_t target_milli;
    char name[KEDA_METRIC_NAME_LEN]; // "s0-prometheus", "composite-metric", "cpu"
};

// What the generated HPA has; its behavior is the ScaledObject's own, with selectPolicy Disabled in
// a direction that is paused.
struct keda_hpa {
    bool exists; // false while paused: KEDA deletes it
    int32_t min_replicas, max_replicas;
    bool scale_down_disabled, scale_up_disabled;
    struct keda_hpa_metric metrics[LIMIT_KEDA_TRIGGERS];
    size_t n_metrics;
};

void keda_hpa(const struct keda_object *o, struct keda_hpa *ret);

// ---- What the scalers answered ----------------------------------------------------------------

struct keda_sample {  // of one trigger; of cpu and memory never looked at
    bool spec_failed; // GetMetricSpec failed or was empty, twice
    bool failed;      // the value or the activity could not be had, twice
    bool empty;       // no value, no error
    double value;
    bool active;
};

struct keda_record { // an observation after fallback
    bool stored;
    bool empty, active, failed, from_fallback;
    // Under a formula a fallback's value bears the composite's name: read from the cache at the
    // next sync, it is no trigger's, and the formula sees nil.
    bool nameless;
    int64_t milli;
};

struct keda_state { // zero it; embedded in its owner
    bool active_known;
    int64_t last_active_ns;
    int64_t next_poll_ns;
    int32_t failures[LIMIT_KEDA_TRIGGERS];           // in a row, as status.health has them
    struct keda_record records[LIMIT_KEDA_TRIGGERS]; // useCachedMetrics, or what the HPA saw
};

// How many replicas the fallback's arithmetic starts from.
struct keda_target {
    int32_t replicas; // spec.replicas of the scale target
    int32_t ready;    // its pods that are Running and Ready
    // The HPA's condition ScalingActive is True: where the HPA alone scales (minReplicaCount > 0,
    // no idleReplicaCount, no cached metrics, no formula) the loop then uses what the HPA saw
    // instead of asking the triggers again (new in v2.21).
    bool hpa_active;
};

// ---- The HPA asks -----------------------------------------------------------------------------

enum keda_refusal {
    KEDA_ANSWERED,
    KEDA_SCALER_ERROR, // "metric:... encountered error"; also when another trigger has no spec
    KEDA_NO_VALUE,     // the scaler gave none
    KEDA_FORMULA_ERROR,
};

struct keda_answer {
    enum keda_refusal refusal;
    int64_t milli;
    bool from_fallback;
    char reason[ERR_MSG_MAX]; // FORMULA_ERROR: what and where
};

// `trigger` is an index or KEDA_COMPOSITE; samples has one entry a trigger.
void keda_answer(const struct keda_object *o, struct keda_state *s,
                 const struct keda_sample *samples, const struct keda_target *target, int trigger,
                 struct keda_answer *ret);

// ---- KEDA's own loop --------------------------------------------------------------------------

enum keda_step {
    KEDA_STAYS,
    KEDA_ACTIVATES,        // from zero or idle to max(1, minReplicaCount)
    KEDA_DEACTIVATES,      // to zero or idle, after the cooldown
    KEDA_RAISES_TO_MIN,    // inactive, below minReplicaCount
    KEDA_COOLS_DOWN,       // inactive, the cooldown has not passed
    KEDA_AWAITS_FALLBACK,  // a trigger fails, fallback.replicas > 0: nothing is done
    KEDA_TRIGGER_ERROR,    // a trigger fails, no fallback: nothing is done
    KEDA_SCALE_IN_PAUSED,  // would deactivate
    KEDA_SCALE_OUT_PAUSED, // would activate
    KEDA_IS_PAUSED,
};

enum keda_ready { KEDA_READY, KEDA_NOT_READY, KEDA_READY_UNKNOWN };

struct keda_verdict {
    enum keda_step step;
    int32_t scale_to; // KEDA_UNSET: leave
    bool active, failed, fallback;
    uint32_t active_triggers;  // bit i: trigger i said so; none of the composite's
    enum keda_ready ready;     // condition Ready
    const char *ready_reason;  // "ScaledObjectReady", "PartialTriggerError", "TriggerError"
    const char *active_reason; // "ScalerActive", "ScalerNotActive", "ScalerCooldown"; NULL: paused
};

bool keda_poll_due(const struct keda_state *s, int64_t now_ns);
void keda_poll(const struct keda_object *o, struct keda_state *s, const struct keda_sample *samples,
               const struct keda_target *target, int64_t now_ns, struct keda_verdict *ret);
// StreamIsActive said true (false is ignored since v2.18): active at once, whatever a formula says.
void keda_push(const struct keda_object *o, struct keda_state *s, int trigger, int32_t replicas,
               int64_t now_ns, struct keda_verdict *ret);
// Only the HPA moves the replicas: KEDA's loop has nothing to add (see keda_target.hpa_active).
bool keda_uses_hpa_observations(const struct keda_object *o);
// "ACTIVATES" and the rest as words: "activates", "cools down", ...
const char *keda_step_name(enum keda_step step);
