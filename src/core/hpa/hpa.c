// SPDX-License-Identifier: Apache-2.0
/*
 * One sync of an HPA: whether to look at the metrics at all, the largest of their proposals, what
 * becomes of it, and the conditions. horizontal.go, reconcileAutoscaler and
 * computeReplicasForMetrics.
 */
#include "core/hpa/hpa_internal.h"

#include <string.h>

#include "base/clock.h"

enum { OLDEST_MINOR = 32, NEWEST_MINOR = 37, FIRST_MINOR = 23 };

void hpa_controller_init(struct hpa_controller *c, int minor) {
    minor = minor < OLDEST_MINOR ? OLDEST_MINOR : minor > NEWEST_MINOR ? NEWEST_MINOR : minor;
    *c = (struct hpa_controller){
        .tolerance = 0.1,
        .downscale_stabilization_ns = 300 * NS_PER_S,
        .cpu_initialization_ns = 300 * NS_PER_S,
        .initial_readiness_delay_ns = 30 * NS_PER_S,
        .zero = minor >= 37   ? HPA_ZERO_BY_CONDITION
                : minor == 36 ? HPA_ZERO_OFF
                              : HPA_ZERO_BY_MINIMUM,
        .tolerance_by_distance = minor < 33,
        .behavior_tolerance = minor >= 35,
        .average_is_bounded = minor >= 34,
        .value_is_bounded = minor >= 35,
        .object_error_comes_last = minor >= 37,
    };
}

// Digits up to a dot or the end; -1: none.
static int number(struct str *rest) {
    struct str digits = str_cut(rest, '.');
    int n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9' || n > 9999)
            return -1;
        n = n * 10 + (digits.p[i] - '0');
    }
    return digits.n ? n : -1;
}

int hpa_version_parse(struct str text, int *ret_minor, struct err *e) {
    struct str rest = text;
    if (str_starts(rest, "v")) {
        rest.p++;
        rest.n--;
    }
    int major = number(&rest);
    int minor = number(&rest);
    if (major != 1 || minor < 0)
        return err_set(e, ERR_INVALID, "\"" STR_FMT "\" is no Kubernetes version: write it as 1.37",
                       STR_ARG(text));
    if (minor < FIRST_MINOR)
        return err_set(e, ERR_INVALID,
                       "Kubernetes 1.%d has no autoscaling/v2: the oldest version is 1.%d", minor,
                       FIRST_MINOR);
    *ret_minor = minor;
    return 0;
}

void hpa_set_condition(struct hpa_sync *y, enum hpa_condition_type type, bool status,
                       enum hpa_reason reason) {
    struct hpa_condition *c = &y->s->conditions[type];
    enum hpa_status now = status ? HPA_TRUE : HPA_FALSE;
    if (c->status != now)
        c->since_ns = y->in->now_ns;
    c->status = now;
    c->reason = reason;
    c->set = true;
}

static void find_tolerances(struct hpa_sync *y) {
    const struct hpa_spec *spec = y->spec;
    bool own = spec->has_behavior && y->c->behavior_tolerance;
    y->tolerance_down = own && spec->down.tolerance >= 0 ? spec->down.tolerance : y->c->tolerance;
    y->tolerance_up = own && spec->up.tolerance >= 0 ? spec->up.tolerance : y->c->tolerance;
}

static bool has_outside_metric(const struct hpa_spec *spec) {
    for (size_t i = 0; i < spec->n_metrics; i++)
        if (spec->metrics[i].type == HPA_OBJECT || spec->metrics[i].type == HPA_EXTERNAL)
            return true;
    return false;
}

static const enum hpa_reason failed_reason[HPA_METRIC_TYPES] = {
    [HPA_RESOURCE] = HPA_FAILED_GET_RESOURCE,
    [HPA_CONTAINER_RESOURCE] = HPA_FAILED_GET_CONTAINER_RESOURCE,
    [HPA_PODS] = HPA_FAILED_GET_PODS,
    [HPA_OBJECT] = HPA_FAILED_GET_OBJECT,
    [HPA_EXTERNAL] = HPA_FAILED_GET_EXTERNAL,
};

// The largest proposal, into ret->proposed; false: too much failed.
static bool compute(struct hpa_sync *y) {
    struct hpa_result *ret = y->ret;
    const struct hpa_spec *spec = y->spec;
    if (y->in->selector != HPA_SELECTOR_OK) {
        hpa_set_condition(y, HPA_SCALING_ACTIVE, false,
                          y->in->selector == HPA_SELECTOR_AMBIGUOUS ? HPA_AMBIGUOUS_SELECTOR
                                                                    : HPA_INVALID_SELECTOR);
        return false;
    }
    int32_t replicas = 0;
    ret->computed = true;
    ret->n_metrics = spec->n_metrics;
    for (size_t i = 0; i < spec->n_metrics; i++) {
        hpa_compute_metric(y, i);
        const struct hpa_metric_result *m = &ret->metrics[i];
        if (m->error != HPA_METRIC_OK) {
            if (ret->n_failed++ == 0)
                ret->failed_metric = (int)i;
        } else if (replicas == 0 || m->proposal > replicas) {
            replicas = m->proposal;
            ret->metric = (int)i;
        }
    }
    if (ret->n_failed == spec->n_metrics ||
        (ret->n_failed > 0 && replicas < y->in->spec_replicas)) {
        hpa_set_condition(y, HPA_SCALING_ACTIVE, false,
                          failed_reason[spec->metrics[ret->failed_metric].type]);
        ret->metric = -1;
        return false;
    }
    hpa_set_condition(y, HPA_SCALING_ACTIVE, true, HPA_VALID_METRIC_FOUND);
    ret->proposed = replicas;
    ret->partial = ret->n_failed > 0;
    return true;
}

// At zero replicas: may the metrics wake the target?
static bool wakes(const struct hpa_sync *y, bool was_scaled_to_zero) {
    switch (y->c->zero) {
    case HPA_ZERO_BY_MINIMUM:
        return y->spec->min_replicas == 0;
    case HPA_ZERO_OFF:
        return false;
    case HPA_ZERO_BY_CONDITION:
        break;
    }
    return was_scaled_to_zero && (y->spec->min_replicas != 0 || has_outside_metric(y->spec));
}

// From the metrics' wish to the wanted replicas; false: failed.
static bool follow_metrics(struct hpa_sync *y, bool was_scaled_to_zero) {
    struct hpa_result *ret = y->ret;
    int32_t current = y->in->spec_replicas;
    if (!compute(y))
        return false;
    int32_t wanted = ret->proposed > 0 ? ret->proposed : 0;
    enum hpa_rescale_reason reason = wanted > current   ? HPA_RESCALE_METRIC_ABOVE
                                     : wanted < current ? HPA_RESCALE_ALL_BELOW
                                                        : HPA_RESCALE_BY_LIMITS;
    int32_t desired = y->spec->has_behavior ? hpa_normalize_by_behavior(y, wanted)
                                            : hpa_normalize(y, wanted);
    if (current == 0 && was_scaled_to_zero && desired < y->spec->min_replicas) {
        desired = y->spec->min_replicas;
        if (reason == HPA_RESCALE_BY_LIMITS)
            reason = HPA_RESCALE_BELOW_MIN;
    }
    ret->desired = desired;
    ret->rescale = desired != current;
    ret->reason = ret->rescale ? reason : HPA_RESCALE_NONE;
    return true;
}

static void decide(struct hpa_sync *y, bool was_scaled_to_zero) {
    struct hpa_result *ret = y->ret;
    int32_t current = y->in->spec_replicas;
    if (current == 0 && !wakes(y, was_scaled_to_zero)) {
        hpa_set_condition(y, HPA_SCALING_ACTIVE, false, HPA_SCALING_DISABLED);
        if (y->c->zero == HPA_ZERO_OFF)
            y->s->conditions[HPA_SCALED_TO_ZERO] = (struct hpa_condition){0};
    } else if (current != 0 && current > y->spec->max_replicas) {
        ret->desired = y->spec->max_replicas;
        ret->rescale = true;
        ret->reason = HPA_RESCALE_ABOVE_MAX;
    } else if (current != 0 && current < y->spec->min_replicas) {
        ret->desired = y->spec->min_replicas;
        ret->rescale = true;
        ret->reason = HPA_RESCALE_BELOW_MIN;
    } else {
        ret->failed = !follow_metrics(y, was_scaled_to_zero);
    }
}

// The scale has been set: its condition, its event, and whether that was down to zero.
static void rescaled(struct hpa_sync *y) {
    const struct hpa_result *ret = y->ret;
    hpa_set_condition(y, HPA_ABLE_TO_SCALE, true, HPA_SUCCEEDED_RESCALE);
    if (y->spec->has_behavior)
        hpa_store_event(y, ret->desired);
    if (y->c->zero == HPA_ZERO_OFF) {
        y->s->conditions[HPA_SCALED_TO_ZERO] = (struct hpa_condition){0};
    } else if (y->c->zero == HPA_ZERO_BY_CONDITION) {
        bool to_zero = y->in->spec_replicas > 0 && ret->desired == 0 &&
                       y->spec->min_replicas == 0 && has_outside_metric(y->spec);
        hpa_set_condition(y, HPA_SCALED_TO_ZERO, to_zero,
                          to_zero ? HPA_WAS_SCALED_TO_ZERO : HPA_NOT_SCALED_TO_ZERO);
    }
}

void hpa_step(const struct hpa_controller *c, const struct hpa_spec *spec,
              const struct hpa_input *in, struct hpa_state *s, struct hpa_result *ret) {
    struct hpa_sync y = {.c = c, .spec = spec, .in = in, .s = s, .ret = ret};
    memset(ret, 0, offsetof(struct hpa_result, metrics)); // the long array is filled where read
    ret->desired = in->spec_replicas;
    ret->metric = ret->failed_metric = -1;
    ret->proposed = ret->stabilized = -1;
    find_tolerances(&y);
    bool was_scaled_to_zero = c->zero == HPA_ZERO_BY_CONDITION &&
                              s->conditions[HPA_SCALED_TO_ZERO].status == HPA_TRUE;
    for (int i = 0; i < HPA_CONDITIONS; i++)
        s->conditions[i].set = false;
    hpa_set_condition(&y, HPA_ABLE_TO_SCALE, true, HPA_SUCCEEDED_GET_SCALE);
    if (s->n_recommendations == 0) // a moment earlier than the sync's own, as in the controller
        hpa_recommend(s, LIMIT_HPA_RECOMMENDATIONS, in->spec_replicas, in->now_ns - 1);
    decide(&y, was_scaled_to_zero);
    if (ret->rescale)
        rescaled(&y);
    memcpy(ret->conditions, s->conditions, sizeof(ret->conditions));
}
