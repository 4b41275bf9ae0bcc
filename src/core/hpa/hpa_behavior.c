// SPDX-License-Identifier: Apache-2.0
/*
 * From what the metrics want to what is allowed now: stabilization windows, then the limits of the
 * spec, the older doubling or the policies of spec.behavior; and the memory of both. horizontal.go,
 * normalizeDesiredReplicas and normalizeDesiredReplicasWithBehaviors. After and before are strict.
 */
#include "core/hpa/hpa_internal.h"

#include <math.h>

#include "base/clock.h"

void hpa_recommend(struct hpa_state *s, size_t slot, int32_t replicas, int64_t at_ns) {
    if (slot == LIMIT_HPA_RECOMMENDATIONS && s->n_recommendations < LIMIT_HPA_RECOMMENDATIONS) {
        slot = s->n_recommendations++;
    } else if (slot == LIMIT_HPA_RECOMMENDATIONS) {
        slot = 0;
        for (size_t i = 1; i < s->n_recommendations; i++)
            if (s->recommendations[i].at_ns < s->recommendations[slot].at_ns)
                slot = i;
        s->forgotten++;
    }
    s->recommendations[slot] = (struct hpa_recommendation){at_ns, replicas};
}

static void set_limited(struct hpa_sync *y, int32_t desired, enum hpa_reason reason) {
    hpa_set_condition(y, HPA_SCALING_LIMITED, desired != y->ret->stabilized, reason);
}

// ---- Without spec.behavior ----------------------------------------------------------------------

static int32_t stabilize(struct hpa_sync *y, int32_t wanted) {
    struct hpa_state *s = y->s;
    int64_t cutoff_ns = y->in->now_ns - y->c->downscale_stabilization_ns;
    size_t slot = LIMIT_HPA_RECOMMENDATIONS;
    int32_t most = wanted;
    for (size_t i = 0; i < s->n_recommendations; i++) {
        const struct hpa_recommendation *r = &s->recommendations[i];
        if (r->at_ns < cutoff_ns)
            slot = i;
        else if (r->replicas > most)
            most = r->replicas;
    }
    hpa_recommend(s, slot, wanted, y->in->now_ns);
    return most;
}

int32_t hpa_normalize(struct hpa_sync *y, int32_t wanted) {
    int32_t stabilized = stabilize(y, wanted);
    hpa_set_condition(y, HPA_ABLE_TO_SCALE, true,
                      stabilized != wanted ? HPA_SCALE_DOWN_STABILIZED : HPA_READY_FOR_NEW_SCALE);
    y->ret->stabilized = stabilized;
    int32_t most = go_int32(fmax(2.0 * y->in->spec_replicas, 4.0));
    enum hpa_reason most_reason = HPA_SCALE_UP_LIMIT;
    if (y->spec->max_replicas <= most) {
        most = y->spec->max_replicas;
        most_reason = HPA_TOO_MANY_REPLICAS;
    }
    int32_t desired = stabilized;
    enum hpa_reason reason = HPA_DESIRED_WITHIN_RANGE;
    if (stabilized < y->spec->min_replicas) {
        desired = y->spec->min_replicas;
        reason = HPA_TOO_FEW_REPLICAS;
    } else if (stabilized > most) {
        desired = most;
        reason = most_reason;
    }
    set_limited(y, desired, reason);
    return desired;
}

// ---- With spec.behavior -------------------------------------------------------------------------

static int64_t down_window_ns(const struct hpa_sync *y) {
    int64_t own_ns = y->spec->down.stabilization_ns;
    return own_ns >= 0 ? own_ns : y->c->downscale_stabilization_ns / NS_PER_S * NS_PER_S;
}

static int32_t stabilize_by_behavior(struct hpa_sync *y, int32_t wanted) {
    struct hpa_state *s = y->s;
    int64_t up_cutoff_ns = y->in->now_ns - y->spec->up.stabilization_ns;
    int64_t down_cutoff_ns = y->in->now_ns - down_window_ns(y);
    int32_t least = wanted, most = wanted;
    size_t slot = LIMIT_HPA_RECOMMENDATIONS;
    for (size_t i = 0; i < s->n_recommendations; i++) {
        const struct hpa_recommendation *r = &s->recommendations[i];
        if (r->at_ns > up_cutoff_ns && r->replicas < least)
            least = r->replicas;
        if (r->at_ns > down_cutoff_ns && r->replicas > most)
            most = r->replicas;
        if (r->at_ns < up_cutoff_ns && r->at_ns < down_cutoff_ns)
            slot = i;
    }
    hpa_recommend(s, slot, wanted, y->in->now_ns);
    int32_t stabilized = y->in->spec_replicas;
    stabilized = stabilized < least ? least : stabilized;
    return stabilized > most ? most : stabilized;
}

static int32_t changed_since(const struct hpa_scale_event *events, size_t n, int64_t cutoff_ns) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (events[i].at_ns > cutoff_ns)
            sum = go_add32(sum, events[i].change);
    return sum;
}

// Where one policy lets the replicas go to from what they were at the beginning of its period.
static int32_t allowed_by(const struct hpa_sync *y, const struct hpa_policy *p, bool up) {
    const struct hpa_state *s = y->s;
    int64_t cutoff_ns = y->in->now_ns - p->period_ns;
    int32_t start = go_sub32(y->in->spec_replicas, changed_since(s->ups, s->n_ups, cutoff_ns));
    start = go_add32(start, changed_since(s->downs, s->n_downs, cutoff_ns));
    if (p->type == HPA_POLICY_PODS)
        return up ? go_add32(start, p->value) : go_sub32(start, p->value);
    double part = (double)p->value / 100;
    return go_int32(up ? ceil((double)start * (1 + part)) : (double)start * (1 - part));
}

// How far all policies of a direction together let the replicas go; never across where they are.
static int32_t limit_of(const struct hpa_sync *y, const struct hpa_rules *rules, bool up) {
    int32_t current = y->in->spec_replicas;
    if (rules->select == HPA_SELECT_DISABLED)
        return current;
    bool largest = up == (rules->select == HPA_SELECT_MAX);
    int32_t limit = largest ? INT32_MIN : INT32_MAX;
    for (size_t i = 0; i < rules->n_policies; i++) {
        int32_t n = allowed_by(y, &rules->policies[i], up);
        if (largest ? n > limit : n < limit)
            limit = n;
    }
    return up ? (limit < current ? current : limit) : (limit > current ? current : limit);
}

static int32_t limit_rate(const struct hpa_sync *y, enum hpa_reason *ret_reason) {
    int32_t current = y->in->spec_replicas, wanted = y->ret->stabilized;
    *ret_reason = HPA_DESIRED_WITHIN_RANGE;
    if (wanted > current) {
        int32_t limit = limit_of(y, &y->spec->up, true), max = y->spec->max_replicas;
        int32_t most = max > limit ? limit : max;
        if (wanted > most) {
            *ret_reason = max > limit ? HPA_SCALE_UP_LIMIT : HPA_TOO_MANY_REPLICAS;
            return most;
        }
    } else if (wanted < current) {
        int32_t limit = limit_of(y, &y->spec->down, false), min = y->spec->min_replicas;
        int32_t least = min < limit ? limit : min;
        if (wanted < least) {
            *ret_reason = min < limit ? HPA_SCALE_DOWN_LIMIT : HPA_TOO_FEW_REPLICAS;
            return least;
        }
    }
    return wanted;
}

int32_t hpa_normalize_by_behavior(struct hpa_sync *y, int32_t wanted) {
    int32_t stabilized = stabilize_by_behavior(y, wanted);
    enum hpa_reason reason = HPA_READY_FOR_NEW_SCALE;
    if (stabilized != wanted)
        reason = wanted >= y->in->spec_replicas ? HPA_SCALE_UP_STABILIZED
                                                : HPA_SCALE_DOWN_STABILIZED;
    hpa_set_condition(y, HPA_ABLE_TO_SCALE, true, reason);
    y->ret->stabilized = stabilized;
    int32_t desired = limit_rate(y, &reason);
    set_limited(y, desired, reason);
    return desired;
}

// ---- Scale events -------------------------------------------------------------------------------

static void store(struct hpa_state *s, struct hpa_scale_event *events, size_t *n,
                  const struct hpa_rules *rules, int32_t change, int64_t now_ns) {
    int64_t longest_ns = 0;
    for (size_t i = 0; i < rules->n_policies; i++)
        if (rules->policies[i].period_ns > longest_ns)
            longest_ns = rules->policies[i].period_ns;
    size_t slot = LIMIT_HPA_SCALE_EVENTS, oldest = 0;
    for (size_t i = 0; i < *n; i++) {
        if (events[i].at_ns < now_ns - longest_ns)
            events[i].outdated = true;
        if (events[i].outdated)
            slot = i;
        if (events[i].at_ns < events[oldest].at_ns)
            oldest = i;
    }
    if (slot == LIMIT_HPA_SCALE_EVENTS && *n < LIMIT_HPA_SCALE_EVENTS) {
        slot = (*n)++;
    } else if (slot == LIMIT_HPA_SCALE_EVENTS) {
        slot = oldest;
        s->forgotten++;
    }
    events[slot] = (struct hpa_scale_event){now_ns, change, false};
}

void hpa_store_event(struct hpa_sync *y, int32_t desired) {
    struct hpa_state *s = y->s;
    int32_t current = y->in->spec_replicas;
    if (desired > current)
        store(s, s->ups, &s->n_ups, &y->spec->up, go_sub32(desired, current), y->in->now_ns);
    else
        store(s, s->downs, &s->n_downs, &y->spec->down, go_sub32(current, desired), y->in->now_ns);
}
