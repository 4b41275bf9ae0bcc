// SPDX-License-Identifier: Apache-2.0
/*
 * From a case to hpa_step: for each metric of the HPA what the metrics API would answer. What the
 * case says nothing about is taken from the HPA's own status.currentMetrics (an average, at the
 * last sync), which is all that `kubectl get hpa` knows; where there is nothing either, the API
 * failed.
 */
#include "tools/hpa_run.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/hpa/hpa_text.h"

struct run {
    struct hpa_case *c;
    struct manifest_reader r;            // for the arena's errors
    const struct manifest_pod **by_name; // the case's pods, sorted
};

static const char *text(struct run *u, const char *prefix, const char *reason) {
    const char *s = arena_printf(u->r.a, "%s%s", prefix, reason);
    if (!s)
        (void)manifest_no_memory(&u->r);
    return s;
}

static const struct manifest_current *current_of(const struct hpa_case *c,
                                                 const struct hpa_metric *m) {
    for (size_t i = 0; i < c->hpa.n_currents; i++) {
        const struct manifest_current *v = &c->hpa.currents[i];
        if (v->type == m->type && v->name && strcmp(v->name, m->name) == 0 &&
            (m->type != HPA_CONTAINER_RESOURCE ||
             (v->container && m->container && strcmp(v->container, m->container) == 0)))
            return v;
    }
    return NULL;
}

static void note_status(struct run *u, const struct hpa_metric *m) {
    hpa_case_note(&u->r, u->c,
                  arena_printf(u->r.a,
                               "%s: no value is given; the HPA's status.currentMetrics is"
                               " taken, as of its last sync",
                               m->name));
}

static const struct hpa_named *named(const struct hpa_named_list *list, const char *name) {
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

// By a longer name of a metric; NULL: there was no memory for it.
static const struct hpa_named *named_longer(struct run *u, const struct hpa_named_list *list,
                                            const char *key) {
    if (!key)
        (void)manifest_no_memory(&u->r);
    return key ? named(list, key) : NULL;
}

// The entry of a metric: by "NAME{SELECTOR}", "Kind/OBJECT/NAME", or NAME alone.
static const struct hpa_named *entry_of(struct run *u, const struct hpa_named_list *list,
                                        size_t i) {
    const struct hpa_metric *m = &u->c->hpa.spec.metrics[i];
    const struct manifest_metric_name *n = &u->c->hpa.names[i];
    const struct hpa_named *found = NULL;
    if (n->selector && list->n > 0)
        found = named_longer(u, list, arena_printf(u->r.a, "%s{%s}", m->name, n->selector));
    if (!found && n->object && list->n > 0)
        found = named_longer(u, list, arena_printf(u->r.a, "%s/%s", n->object, m->name));
    return found ? found : named(list, m->name);
}

// ---- Values of pods -----------------------------------------------------------------------------

static int compare_pods(const void *a, const void *b) {
    return strcmp((*(const struct manifest_pod *const *)a)->name,
                  (*(const struct manifest_pod *const *)b)->name);
}

static void sort_pods(struct run *u) {
    u->by_name = manifest_array(&u->r, u->c->n_pods, sizeof(*u->by_name));
    for (size_t i = 0; i < u->c->n_pods && u->by_name; i++)
        u->by_name[i] = &u->c->pods[i];
    if (u->by_name && u->c->n_pods > 1)
        qsort(u->by_name, u->c->n_pods, sizeof(*u->by_name), compare_pods);
}

static int pod_index(const struct run *u, const char *name) {
    const struct manifest_pod wanted = {.name = name}, *key = &wanted;
    const struct manifest_pod **found = bsearch(&key, u->by_name, u->c->n_pods, sizeof(*u->by_name),
                                                compare_pods);
    return found ? (int)(*found - u->c->pods) : -1;
}

// Room for the values of all pods and of `more` that are none of them.
static struct hpa_pod_value *values_new(struct run *u, size_t more, struct hpa_reading *ret) {
    struct hpa_pod_value *v = manifest_array(&u->r, u->c->n_pods + more, sizeof(*v));
    ret->values = v;
    ret->n_values = u->c->n_pods;
    return v;
}

// A later value of the same pod replaces the earlier one, as in a map.
static void put(struct run *u, struct hpa_pod_value *values, struct hpa_reading *reading,
                const char **extra, const char *pod, const struct hpa_pod_value *v) {
    int at = pod_index(u, pod);
    size_t n = u->c->n_pods;
    for (size_t i = n; at < 0 && i < reading->n_values; i++)
        if (strcmp(extra[i - n], pod) == 0)
            at = (int)i;
    if (at < 0) {
        at = (int)reading->n_values++;
        extra[(size_t)at - n] = pod;
    }
    values[at] = *v;
}

// Each running pod at the average that the HPA's status tells.
static bool from_status(struct run *u, size_t i, struct hpa_reading *ret) {
    const struct hpa_metric *m = &u->c->hpa.spec.metrics[i];
    const struct manifest_current *now = current_of(u->c, m);
    if (!now || !now->has_average)
        return false;
    struct hpa_pod_value *values = values_new(u, 0, ret);
    if (!values)
        return true;
    for (size_t k = 0; k < u->c->n_pods; k++)
        if (u->c->pods[k].state.phase == HPA_RUNNING && !u->c->pods[k].state.deleted)
            values[k] = (struct hpa_pod_value){
                .known = true, .milli = now->average.milli, .at_ns = u->c->now_ns};
    note_status(u, m);
    return true;
}

static void read_resource(struct run *u, size_t i, struct hpa_reading *ret) {
    const struct hpa_case *c = u->c;
    const struct hpa_metric *m = &c->hpa.spec.metrics[i];
    if (c->pod_metrics_error)
        ret->error = text(u, HPA_RESOURCE_API_FAILED, c->pod_metrics_error);
    else if (c->has_pod_metrics && c->n_pod_metrics == 0)
        ret->error = HPA_NO_RESOURCE_METRICS;
    else if (!c->has_pod_metrics && !from_status(u, i, ret))
        ret->error = HPA_RESOURCE_API_FAILED "the case has no podMetrics";
    if (ret->error || !c->has_pod_metrics)
        return;
    struct hpa_pod_value *values = values_new(u, c->n_pod_metrics, ret);
    const char **extra = manifest_array(&u->r, c->n_pod_metrics, sizeof(*extra));
    const char *container = m->type == HPA_CONTAINER_RESOURCE ? m->container : NULL;
    for (size_t k = 0; k < c->n_pod_metrics && values && extra; k++) {
        const struct manifest_pod_metrics *from = &c->pod_metrics[k];
        struct hpa_pod_value v = {
            .known = true, .at_ns = from->at_ns, .window_ns = from->window_ns};
        if (manifest_pod_usage(from, m->name, container, &v.milli))
            put(u, values, ret, extra, from->name, &v);
    }
}

// Requests that give the utilization which the HPA's status tells, for pods that were not given.
static bool assume_requests(struct run *u, const struct hpa_metric *m, int64_t *requests) {
    const struct manifest_current *now = current_of(u->c, m);
    if (!u->c->pods_assumed || !now || !now->has_average || !now->has_utilization ||
        now->utilization_pct <= 0 || now->average.milli <= 0)
        return false;
    for (size_t k = 0; k < u->c->n_pods; k++)
        requests[k] = (int64_t)((double)now->average.milli * 100 / now->utilization_pct);
    return true;
}

static void read_requests(struct run *u, size_t i, struct hpa_reading *ret) {
    const struct hpa_case *c = u->c;
    const struct hpa_metric *m = &c->hpa.spec.metrics[i];
    int64_t *requests = manifest_array(&u->r, c->n_pods, sizeof(*requests));
    if (!requests)
        return;
    ret->requests_milli = requests;
    if (assume_requests(u, m, requests))
        return;
    const char *container = m->type == HPA_CONTAINER_RESOURCE ? m->container : NULL;
    for (size_t k = 0; k < c->n_pods; k++) {
        struct err why = {0};
        if (c->pods_assumed)
            (void)err_set(&why, ERR_NOTFOUND,
                          "missing request for %s in Pod %s (the case has no pods)", m->name,
                          c->pods[k].name);
        else
            (void)manifest_pod_request(&c->pods[k], m->name, container, c->minor >= 34,
                                       &requests[k], &why);
        if (why.code < 0) {
            ret->request_error = text(u, "", why.msg);
            return;
        }
    }
}

static void read_pods_metric(struct run *u, size_t i, struct hpa_reading *ret) {
    const struct hpa_named *from = entry_of(u, &u->c->pod_values, i);
    if (!from) {
        if (!from_status(u, i, ret))
            ret->error = HPA_CUSTOM_API_FAILED "the case has no podMetricValues of this name";
        return;
    }
    if (from->error)
        ret->error = text(u, HPA_CUSTOM_API_FAILED, from->error);
    else if (from->n == 0)
        ret->error = HPA_NO_CUSTOM_METRICS;
    if (ret->error)
        return;
    struct hpa_pod_value *values = values_new(u, from->n, ret);
    const char **extra = manifest_array(&u->r, from->n, sizeof(*extra));
    for (size_t k = 0; k < from->n && values && extra; k++) {
        struct hpa_pod_value v = {.known = true, .milli = from->values[k].milli};
        put(u, values, ret, extra, from->values[k].pod, &v);
    }
}

// ---- Values of series ---------------------------------------------------------------------------

// What the status tells of an AverageValue is the sum over the replicas, divided and rounded up.
static bool series_from_status(struct run *u, const struct hpa_metric *m, struct hpa_reading *ret) {
    const struct manifest_current *now = current_of(u->c, m);
    if (!now || (!now->has_value && !now->has_average))
        return false;
    int64_t *value = manifest_array(&u->r, 1, sizeof(*value));
    if (!value)
        return true;
    *value = now->has_value ? now->value.milli : now->average.milli;
    if (!now->has_value && __builtin_mul_overflow(*value, (int64_t)u->c->status_replicas, value))
        *value = INT64_MAX;
    ret->series_milli = value;
    ret->n_series = 1;
    note_status(u, m);
    return true;
}

static void read_series(struct run *u, size_t i, const struct hpa_named_list *list,
                        const char *failed, const char *absent, struct hpa_reading *ret) {
    const struct hpa_named *from = entry_of(u, list, i);
    if (!from) {
        if (!series_from_status(u, &u->c->hpa.spec.metrics[i], ret))
            ret->error = text(u, failed, absent);
        return;
    }
    int64_t *series = manifest_array(&u->r, from->n, sizeof(*series));
    for (size_t k = 0; k < from->n && series; k++)
        series[k] = from->values[k].milli;
    ret->series_milli = series;
    ret->n_series = from->n;
    if (from->error)
        ret->error = text(u, failed, from->error);
    else if (from->n == 0)
        ret->error = HPA_NO_EXTERNAL_METRICS;
}

static void read_metric(struct run *u, size_t i, struct hpa_reading *ret) {
    const struct hpa_metric *m = &u->c->hpa.spec.metrics[i];
    switch (m->type) {
    case HPA_RESOURCE:
    case HPA_CONTAINER_RESOURCE:
        read_resource(u, i, ret);
        if (m->target.has_utilization && !m->target.has_average)
            read_requests(u, i, ret);
        return;
    case HPA_PODS:
        read_pods_metric(u, i, ret);
        return;
    case HPA_OBJECT:
        read_series(u, i, &u->c->objects, HPA_CUSTOM_API_FAILED,
                    "the case has no object metric of this name", ret);
        return;
    default:
        read_series(u, i, &u->c->externals, HPA_EXTERNAL_API_FAILED,
                    "the case has no external metric of this name", ret);
    }
}

int hpa_run(struct hpa_case *c, struct arena *a, struct hpa_answer *ret, struct err *e) {
    struct run u = {.c = c, .r = {.file = c->file, .a = a, .e = e}};
    struct hpa_spec *spec = &c->hpa.spec;
    struct hpa_reading *readings = manifest_array(&u.r, spec->n_metrics, sizeof(*readings));
    struct hpa_pod *pods = manifest_array(&u.r, c->n_pods, sizeof(*pods));
    for (size_t i = 0; i < c->n_pods && pods; i++)
        pods[i] = c->pods[i].state;
    sort_pods(&u);
    for (size_t i = 0; i < spec->n_metrics && readings && u.by_name; i++)
        read_metric(&u, i, &readings[i]);
    if (u.r.r < 0)
        return u.r.r;
    ret->c = c;
    memcpy(ret->before, c->state->conditions, sizeof(ret->before));
    ret->in = (struct hpa_input){
        .now_ns = c->now_ns,
        .spec_replicas = c->spec_replicas,
        .status_replicas = c->status_replicas,
        .selector = c->selector,
        .selector_text = c->selector_text ? c->selector_text : "",
        .selector_detail = c->selector_detail ? c->selector_detail : "",
        .pods = pods,
        .n_pods = c->n_pods,
        .readings = readings,
    };
    hpa_step(&c->controller, spec, &ret->in, c->state, &ret->result);
    return 0;
}
