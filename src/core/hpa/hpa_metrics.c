// SPDX-License-Identifier: Apache-2.0
/*
 * How many replicas one metric asks for: replica_calculator.go and metrics/utilization.go.
 */
#include "core/hpa/hpa_internal.h"

#include <math.h>
#include <string.h>

static bool within(const struct hpa_sync *y, double ratio) {
    if (y->c->tolerance_by_distance)
        return fabs(1.0 - ratio) <= y->c->tolerance;
    return 1.0 - y->tolerance_down <= ratio && ratio <= 1.0 + y->tolerance_up;
}

// Not the opposite of within() for NaN (nothing over no replicas) in the older form.
static bool outside(const struct hpa_sync *y, double ratio) {
    return y->c->tolerance_by_distance ? fabs(1.0 - ratio) > y->c->tolerance : !within(y, ratio);
}

// The pods and their values, sorted into those that count and the others, and summed.
struct pod_sums {
    int64_t sum, requests;                      // of the pods that are ready
    int64_t missing_requests, unready_requests; // of the others
    int64_t missing_full;                       // missing pods at full use of their request
    uint32_t others;                            // values of pods that are not listed
    int64_t others_sum;
};

// A cpu value is not believed while a pod starts.
static bool starts(const struct hpa_sync *y, const struct hpa_pod *p,
                   const struct hpa_pod_value *v) {
    if (p->ready == HPA_ABSENT || p->started_ns == HPA_TIME_NONE)
        return true;
    if (p->started_ns + y->c->cpu_initialization_ns > y->in->now_ns)
        return p->ready == HPA_FALSE || v->at_ns < p->ready_since_ns + v->window_ns;
    return p->ready == HPA_FALSE &&
           p->started_ns + y->c->initial_readiness_delay_ns > p->ready_since_ns;
}

// full_pct: of a missing pod's request (utilization only: requests is NULL elsewhere).
static void sort_pods(const struct hpa_sync *y, const struct hpa_reading *r,
                      const int64_t *requests, bool cpu, int64_t full_pct, struct pod_sums *ret,
                      struct hpa_metric_result *m) {
    struct pod_sums s = {0};
    uint32_t ready = 0, missing = 0, unready = 0, ignored = 0;
    size_t n = y->in->n_pods;
    for (size_t i = 0; i < n; i++) {
        const struct hpa_pod *p = &y->in->pods[i];
        const struct hpa_pod_value *v = &r->values[i];
        int64_t request = requests ? requests[i] : 0;
        if (p->deleted || p->phase == HPA_FAILED) {
            ignored++;
        } else if (p->phase == HPA_PENDING || (v->known && cpu && starts(y, p, v))) {
            unready++;
            s.unready_requests = go_add(s.unready_requests, request);
        } else if (!v->known) {
            missing++;
            s.missing_requests = go_add(s.missing_requests, request);
            s.missing_full = go_add(s.missing_full, go_mul(request, full_pct) / 100);
        } else {
            ready++;
            s.sum = go_add(s.sum, v->milli);
            s.requests = go_add(s.requests, request);
        }
    }
    for (size_t i = n; i < r->n_values; i++) {
        s.others++;
        s.others_sum = go_add(s.others_sum, r->values[i].milli);
    }
    m->ready = ready;
    m->missing = missing;
    m->unready = unready;
    m->ignored = ignored;
    *ret = s;
}

// Sum and count that a ratio is made of; both kinds of metric fill them in differently.
struct usage {
    int64_t sum, requests; // requests: of a utilization
    uint32_t n;            // values; of a utilization also those of pods that are not listed
};

static double utilization(const struct usage *u, int32_t target_pct, int32_t *ret_pct) {
    *ret_pct = (int32_t)(uint32_t)(uint64_t)go_div(go_mul(u->sum, 100), u->requests);
    return (double)*ret_pct / (double)target_pct;
}

static double plain_ratio(const struct usage *u, int64_t target_milli) {
    return (double)go_div(u->sum, u->n) / (double)target_milli;
}

static void propose(struct hpa_metric_result *m, enum hpa_path path, int32_t replicas) {
    m->path = path;
    m->proposal = replicas;
}

// Values are made up for missing and unready pods: cautious ones, against the direction.
static void fill(struct usage *u, const struct pod_sums *s, struct hpa_metric_result *m,
                 int64_t missing_sum) {
    if (m->missing > 0 && m->ratio != 1.0) {
        u->n += m->missing;
        u->requests = go_add(u->requests, s->missing_requests);
        if (m->ratio < 1.0)
            u->sum = go_add(u->sum, missing_sum);
    }
    if (m->unready > 0 && m->ratio > 1.0) {
        u->n += m->unready;
        u->requests = go_add(u->requests, s->unready_requests);
    }
    m->counted = u->n;
}

// What follows from m->ratio and, when something was filled in, from m->filled_ratio.
static bool needs_fill(const struct hpa_metric_result *m) {
    return (m->unready > 0 && m->ratio > 1.0) || m->missing > 0;
}

static void propose_unfilled(const struct hpa_sync *y, struct hpa_metric_result *m) {
    if (within(y, m->ratio))
        propose(m, HPA_PATH_WITHIN, y->in->spec_replicas);
    else
        propose(m, HPA_PATH_READY, go_int32(ceil(m->ratio * (double)m->ready)));
}

static void propose_filled(const struct hpa_sync *y, struct hpa_metric_result *m) {
    int32_t current = y->in->spec_replicas;
    double was = m->ratio, is = m->filled_ratio;
    if (within(y, is)) {
        propose(m, HPA_PATH_FILLED_WITHIN, current);
        return;
    }
    if ((was < 1.0 && is > 1.0) || (was > 1.0 && is < 1.0)) {
        propose(m, HPA_PATH_FILLED_TURNED, current);
        return;
    }
    int32_t n = go_int32(ceil(is * (double)m->counted));
    bool against = (is < 1.0 && n > current) || (is > 1.0 && n < current);
    propose(m, against ? HPA_PATH_FILLED_AGAINST : HPA_PATH_FILLED, against ? current : n);
}

static enum hpa_metric_error by_utilization(const struct hpa_sync *y, const struct hpa_metric *spec,
                                            const struct hpa_reading *r,
                                            struct hpa_metric_result *m) {
    struct pod_sums s;
    int32_t target_pct = spec->target.utilization_pct, pct;
    int64_t full_pct = target_pct > 100 ? target_pct : 100;
    if (y->in->n_pods == 0)
        return HPA_METRIC_NO_PODS;
    sort_pods(y, r, r->request_error ? NULL : r->requests_milli, strcmp(spec->name, "cpu") == 0,
              full_pct, &s, m);
    if (m->ready + s.others == 0)
        return HPA_METRIC_NO_VALUES;
    if (r->request_error)
        return HPA_METRIC_NO_REQUEST;
    if (s.requests == 0)
        return HPA_METRIC_NO_REQUESTS;
    struct usage u = {s.sum, s.requests, m->ready + s.others};
    m->ratio = utilization(&u, target_pct, &m->utilization_pct);
    m->current_type = HPA_UTILIZATION;
    m->current_milli = go_div(s.sum, m->ready);
    if (!needs_fill(m)) {
        propose_unfilled(y, m);
        return HPA_METRIC_OK;
    }
    fill(&u, &s, m, s.missing_full);
    if (u.requests == 0)
        return HPA_METRIC_NO_REQUESTS;
    m->filled_ratio = utilization(&u, target_pct, &pct);
    propose_filled(y, m);
    return HPA_METRIC_OK;
}

static enum hpa_metric_error by_average(const struct hpa_sync *y, const struct hpa_reading *r,
                                        int64_t target_milli, bool cpu,
                                        struct hpa_metric_result *m) {
    struct pod_sums s;
    if (y->in->n_pods == 0)
        return HPA_METRIC_NO_PODS;
    sort_pods(y, r, NULL, cpu, 0, &s, m);
    struct usage u = {go_add(s.sum, s.others_sum), 0, m->ready + s.others};
    if (u.n == 0)
        return HPA_METRIC_NO_VALUES;
    m->ratio = plain_ratio(&u, target_milli);
    m->current_type = HPA_AVERAGE_VALUE;
    m->current_milli = go_div(u.sum, u.n);
    if (!needs_fill(m)) {
        propose_unfilled(y, m);
        return HPA_METRIC_OK;
    }
    fill(&u, &s, m, go_mul(m->missing, target_milli));
    m->filled_ratio = plain_ratio(&u, target_milli);
    propose_filled(y, m);
    return HPA_METRIC_OK;
}

// Object and External, target Value: the sum against one target, times the ready pods.
static enum hpa_metric_error by_value(const struct hpa_sync *y, int64_t sum, int64_t target_milli,
                                      struct hpa_metric_result *m) {
    const struct hpa_input *in = y->in;
    m->ratio = (double)sum / (double)target_milli;
    m->current_type = HPA_VALUE;
    m->current_milli = sum;
    if (in->spec_replicas == 0) {
        propose(m, HPA_PATH_FROM_ZERO, go_int32(ceil(m->ratio)));
        return HPA_METRIC_OK;
    }
    if (within(y, m->ratio)) {
        propose(m, HPA_PATH_WITHIN, in->spec_replicas);
        return HPA_METRIC_OK;
    }
    if (in->n_pods == 0)
        return HPA_METRIC_NO_PODS;
    for (size_t i = 0; i < in->n_pods; i++)
        m->ready += in->pods[i].phase == HPA_RUNNING && in->pods[i].ready == HPA_TRUE;
    double n = m->ratio * (double)m->ready;
    propose(m, HPA_PATH_READY,
            y->c->value_is_bounded && n > INT32_MAX ? INT32_MAX : go_int32(ceil(n)));
    return HPA_METRIC_OK;
}

// Object and External, target AverageValue: the sum against the target times status.replicas.
static void by_sum(const struct hpa_sync *y, int64_t sum, int64_t target_milli, bool bounded,
                   struct hpa_metric_result *m) {
    double replicas = y->in->status_replicas;
    m->ratio = (double)sum / ((double)target_milli * replicas);
    propose(m, HPA_PATH_WITHIN, y->in->status_replicas);
    if (outside(y, m->ratio)) {
        double n = ceil((double)sum / (double)target_milli);
        propose(m, HPA_PATH_SUM, bounded && n > INT32_MAX ? INT32_MAX : go_int32(n));
    }
    m->current_type = HPA_AVERAGE_VALUE;
    m->current_milli = bounded && (double)sum >= 0x1p63 ? INT64_MAX
                                                        : go_int64(ceil((double)sum / replicas));
}

static int64_t sum_series(const struct hpa_sync *y, const struct hpa_reading *r, bool average) {
    int64_t sum = 0;
    for (size_t i = 0; i < r->n_series; i++) {
        int64_t v = r->series_milli[i];
        if (!average && y->c->value_is_bounded && v > 0 && sum > INT64_MAX - v)
            return INT64_MAX;
        sum = go_add(sum, v);
        if (average && y->c->average_is_bounded && sum < 0) // a negative sum is taken for one that
            return INT64_MAX;                               // wrapped around
    }
    return sum;
}

static enum hpa_metric_error by_object(const struct hpa_sync *y, const struct hpa_metric *spec,
                                       const struct hpa_reading *r, struct hpa_metric_result *m) {
    const struct hpa_target *t = &spec->target;
    bool value = t->type == HPA_VALUE && t->has_value;
    if (spec->selector_error)
        return HPA_METRIC_SELECTOR;
    if (!value && !(t->type == HPA_AVERAGE_VALUE && t->has_average))
        return HPA_METRIC_NO_TARGET;
    if (r->error)
        return HPA_METRIC_CLIENT;
    if (value)
        return by_value(y, r->series_milli[0], t->value_milli, m);
    by_sum(y, r->series_milli[0], t->average_milli, false, m);
    return HPA_METRIC_OK;
}

static enum hpa_metric_error by_external(const struct hpa_sync *y, const struct hpa_metric *spec,
                                         const struct hpa_reading *r, struct hpa_metric_result *m) {
    const struct hpa_target *t = &spec->target;
    if (!t->has_average && !t->has_value)
        return HPA_METRIC_NO_TARGET;
    if (spec->selector_error)
        return HPA_METRIC_SELECTOR;
    if (r->error)
        return HPA_METRIC_CLIENT;
    if (!t->has_average)
        return by_value(y, sum_series(y, r, false), t->value_milli, m);
    by_sum(y, sum_series(y, r, true), t->average_milli, y->c->average_is_bounded, m);
    return HPA_METRIC_OK;
}

static enum hpa_metric_error by_pods(const struct hpa_sync *y, const struct hpa_metric *spec,
                                     const struct hpa_reading *r, struct hpa_metric_result *m) {
    if (spec->selector_error)
        return HPA_METRIC_SELECTOR;
    if (!spec->target.has_average)
        return HPA_METRIC_NO_TARGET;
    if (r->error)
        return HPA_METRIC_CLIENT;
    return by_average(y, r, spec->target.average_milli, false, m);
}

static enum hpa_metric_error by_resource(const struct hpa_sync *y, const struct hpa_metric *spec,
                                         const struct hpa_reading *r, struct hpa_metric_result *m) {
    const struct hpa_target *t = &spec->target;
    if (!t->has_average && !t->has_utilization)
        return HPA_METRIC_NO_TARGET;
    if (r->error)
        return HPA_METRIC_CLIENT;
    if (t->has_average)
        return by_average(y, r, t->average_milli, strcmp(spec->name, "cpu") == 0, m);
    return by_utilization(y, spec, r, m);
}

void hpa_compute_metric(const struct hpa_sync *y, size_t i) {
    const struct hpa_metric *spec = &y->spec->metrics[i];
    const struct hpa_reading *r = &y->in->readings[i];
    struct hpa_metric_result *m = &y->ret->metrics[i];
    *m = (struct hpa_metric_result){0};
    switch (spec->type) {
    case HPA_RESOURCE:
    case HPA_CONTAINER_RESOURCE:
        m->error = by_resource(y, spec, r, m);
        break;
    case HPA_PODS:
        m->error = by_pods(y, spec, r, m);
        break;
    case HPA_OBJECT:
        m->error = by_object(y, spec, r, m);
        break;
    case HPA_EXTERNAL:
    default:
        m->error = by_external(y, spec, r, m);
        break;
    }
}
