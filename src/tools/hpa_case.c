// SPDX-License-Identifier: Apache-2.0
/* Cases in our own format; see the header. */
#include "tools/hpa_case.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/hpa/hpa_text.h"

static const char *const case_keys[] = {"hpa",        "pods",   "podMetrics", "podMetricValues",
                                        "external",   "object", "scale",      "history",
                                        "controller", "now",    NULL};
static const char *const scale_keys[] = {"spec", "status", NULL};
static const char *const history_keys[] = {"recommendations", "scaleUps", "scaleDowns", NULL};
static const char *const recommendation_keys[] = {"replicas", "secondsAgo", NULL};
static const char *const event_keys[] = {"change", "secondsAgo", NULL};
static const char *const controller_keys[] = {"tolerance",
                                              "downscaleStabilizationSeconds",
                                              "cpuInitializationPeriodSeconds",
                                              "initialReadinessDelaySeconds",
                                              "version",
                                              NULL};
static const char *const error_keys[] = {"error", NULL};

// Our own maps are strict.
static void check_keys(struct manifest_reader *r, const struct conf_node *map,
                       const char *const *names) {
    for (const struct conf_node *n = map ? map->first : NULL; n && r->r == 0; n = n->next) {
        bool known = false;
        for (size_t i = 0; names[i] && !known; i++)
            known = str_eqc(n->key, names[i]);
        if (known)
            continue;
        const char *near = str_nearest(n->key, names);
        struct conf_node at = {.line = n->key_line, .column = n->key_column};
        char list[256] = "";
        size_t used = 0;
        for (size_t i = 0; names[i] && !near; i++) {
            int k = snprintf(list + used, sizeof(list) - used, "%s%s",
                             i == 0 ? "; known are " : ", ", names[i]);
            used += k > 0 && (size_t)k < sizeof(list) - used ? (size_t)k : 0;
        }
        (void)manifest_fail(r, &at, ERR_INVALID, "key '%s': unknown%s%s%s", n->key.p,
                            near ? "; did you mean '" : list, near ? near : "", near ? "'?" : "");
    }
}

void hpa_case_note(struct manifest_reader *r, struct hpa_case *c, const char *text) {
    if (!text)
        (void)manifest_no_memory(r);
    else if (c->n_notes < HPA_CASE_NOTES)
        c->notes[c->n_notes++] = text;
}

static void need(struct manifest_reader *r, const struct conf_node *map, const char *key,
                 const char *what) {
    (void)manifest_fail(r, map, ERR_INVALID, "'%s' is missing: %s", key, what);
}

// Seconds >= 0 as nanoseconds.
static bool read_seconds(struct manifest_reader *r, const struct conf_node *map, const char *key,
                         int64_t *ret_ns) {
    double s;
    if (!manifest_number(r, map, key, &s))
        return false;
    if (s < 0 || s > 1e9)
        return manifest_fail(r, manifest_get(r, map, key), ERR_INVALID,
                             "'%s': expected seconds from 0 to 1e9", key),
               false;
    *ret_ns = (int64_t)(s * 1e9 + 0.5);
    return true;
}

static void read_controller(struct manifest_reader *r, const struct conf_node *n,
                            struct hpa_case *c) {
    c->minor = 37;
    const char *version = NULL;
    if (n) {
        check_keys(r, n, controller_keys);
        version = manifest_text(r, n, "version");
    }
    struct err why = {0};
    if (version && hpa_version_parse(str_from(version), &c->minor, &why) < 0)
        (void)manifest_fail(r, manifest_get(r, n, "version"), ERR_INVALID, "'version': %s",
                            why.msg);
    hpa_controller_init(&c->controller, c->minor);
    struct hpa_controller *to = &c->controller;
    if (manifest_number(r, n, "tolerance", &to->tolerance) && to->tolerance < 0)
        (void)manifest_fail(r, manifest_get(r, n, "tolerance"), ERR_INVALID,
                            "'tolerance': must not be negative");
    (void)read_seconds(r, n, "downscaleStabilizationSeconds", &to->downscale_stabilization_ns);
    (void)read_seconds(r, n, "cpuInitializationPeriodSeconds", &to->cpu_initialization_ns);
    (void)read_seconds(r, n, "initialReadinessDelaySeconds", &to->initial_readiness_delay_ns);
}

static bool read_scale(struct manifest_reader *r, const struct conf_node *n, struct hpa_case *c) {
    if (!n)
        return false;
    check_keys(r, n, scale_keys);
    if (!manifest_int32(r, n, "spec", &c->spec_replicas))
        need(r, n, "spec", "the replicas that the target asks for");
    c->status_replicas = c->spec_replicas;
    (void)manifest_int32(r, n, "status", &c->status_replicas);
    if (c->spec_replicas < 0 || c->status_replicas < 0)
        (void)manifest_fail(r, n, ERR_INVALID, "'scale': replicas must not be negative");
    return true;
}

static size_t count_of(struct manifest_reader *r, const struct conf_node *list, size_t max,
                       const char *limit) {
    size_t n = list ? list->children : 0;
    if (n > max)
        (void)manifest_fail(r, list, ERR_LIMIT, "'%s': more than %zu entries (%s)", list->key.p,
                            max, limit);
    return r->r < 0 ? 0 : n;
}

static bool read_ago(struct manifest_reader *r, const struct conf_node *n, const char *const *keys,
                     const struct hpa_case *c, int64_t *ret_at_ns) {
    int64_t ago = 0;
    if (!manifest_is_map(r, n, "an entry of the history"))
        return false;
    check_keys(r, n, keys);
    if (!read_seconds(r, n, "secondsAgo", &ago))
        need(r, n, "secondsAgo", "how long ago, in seconds");
    *ret_at_ns = c->now_ns - ago;
    return r->r == 0;
}

static void read_events(struct manifest_reader *r, const struct conf_node *list,
                        const struct hpa_case *c, struct hpa_scale_event *to, size_t *ret_n) {
    size_t n = count_of(r, list, LIMIT_HPA_SCALE_EVENTS, "LIMIT_HPA_SCALE_EVENTS");
    for (const struct conf_node *e = n > 0 ? list->first : NULL; e && r->r == 0; e = e->next) {
        struct hpa_scale_event *event = &to[(*ret_n)++];
        if (!read_ago(r, e, event_keys, c, &event->at_ns))
            return;
        if (!manifest_int32(r, e, "change", &event->change) || event->change < 0)
            (void)manifest_fail(r, e, ERR_INVALID,
                                "'change': by how many replicas, as a number from 0 on");
    }
}

static void read_history(struct manifest_reader *r, const struct conf_node *n, struct hpa_case *c) {
    if (!n)
        return;
    check_keys(r, n, history_keys);
    const struct conf_node *list = manifest_list(r, n, "recommendations");
    size_t count = count_of(r, list, LIMIT_HPA_RECOMMENDATIONS, "LIMIT_HPA_RECOMMENDATIONS");
    struct hpa_state *s = c->state;
    for (const struct conf_node *e = count > 0 ? list->first : NULL; e && r->r == 0; e = e->next) {
        struct hpa_recommendation *to = &s->recommendations[s->n_recommendations++];
        if (!read_ago(r, e, recommendation_keys, c, &to->at_ns))
            return;
        if (!manifest_int32(r, e, "replicas", &to->replicas))
            need(r, e, "replicas", "how many were recommended");
    }
    read_events(r, manifest_list(r, n, "scaleUps"), c, s->ups, &s->n_ups);
    read_events(r, manifest_list(r, n, "scaleDowns"), c, s->downs, &s->n_downs);
}

// {error: TEXT}?
static const char *read_error(struct manifest_reader *r, const struct conf_node *n) {
    if (n->kind != CONF_NODE_MAP || n->children != 1 || !str_eqc(n->first->key, "error"))
        return NULL;
    check_keys(r, n, error_keys);
    return manifest_text(r, n, "error");
}

// A list, or a list as kubectl prints it ({kind: PodList, items: [...]}).
static const struct conf_node *list_or_items(struct manifest_reader *r, const struct conf_node *n,
                                             const char *what) {
    const struct conf_node *items = n && n->kind == CONF_NODE_MAP ? manifest_list(r, n, "items")
                                                                  : n;
    return manifest_is_list(r, items ? items : n, what) ? items : NULL;
}

static void read_pods(struct manifest_reader *r, const struct conf_node *list, struct hpa_case *c) {
    size_t n = count_of(r, list, LIMIT_PODS_PER_WORKLOAD, "LIMIT_PODS_PER_WORKLOAD");
    c->pods = manifest_array(r, n, sizeof(*c->pods));
    for (const struct conf_node *p = n > 0 ? list->first : NULL; p && r->r == 0; p = p->next)
        manifest_pod_read(r, p, &c->pods[c->n_pods++]);
}

static void read_pod_metrics(struct manifest_reader *r, const struct conf_node *n,
                             struct hpa_case *c) {
    if (!n)
        return;
    c->has_pod_metrics = true;
    if ((c->pod_metrics_error = read_error(r, n)) || !(n = list_or_items(r, n, "'podMetrics'")))
        return;
    size_t count = count_of(r, n, LIMIT_CASE_POD_VALUES, "LIMIT_CASE_POD_VALUES");
    c->pod_metrics = manifest_array(r, count, sizeof(*c->pod_metrics));
    for (const struct conf_node *m = count > 0 ? n->first : NULL; m && r->r == 0; m = m->next)
        manifest_pod_metrics_read(r, m, &c->pod_metrics[c->n_pod_metrics++]);
}

static void add_value(struct manifest_reader *r, const struct conf_node *n, struct hpa_named *to) {
    struct quantity q = {0};
    if (manifest_quantity_of(r, n, &q))
        to->values[to->n++] = (struct hpa_named_value){.pod = n->key.p, .milli = q.milli};
}

// NAME: value | [values] | {error: TEXT}, or of pods NAME: {POD: value}.
static void read_values(struct manifest_reader *r, const struct conf_node *n, bool of_pods,
                        bool many, struct hpa_named *to) {
    size_t count = n->kind == CONF_NODE_SCALAR ? 1
                   : of_pods ? count_of(r, n, LIMIT_CASE_POD_VALUES, "LIMIT_CASE_POD_VALUES")
                             : count_of(r, n, LIMIT_CASE_SERIES, "LIMIT_CASE_SERIES");
    to->name = n->key.p;
    to->values = manifest_array(r, count, sizeof(*to->values));
    struct quantity q;
    bool is_error = n->kind == CONF_NODE_MAP && n->children == 1 &&
                    str_eqc(n->first->key, "error") && n->first->kind == CONF_NODE_SCALAR &&
                    (!of_pods || quantity_parse(n->first->text, &q) < 0);
    if (r->r < 0)
        return;
    if (is_error)
        to->error = n->first->text.p;
    else if (of_pods ? n->kind == CONF_NODE_MAP : (many && n->kind == CONF_NODE_LIST))
        for (const struct conf_node *v = n->first; v && r->r == 0; v = v->next)
            add_value(r, v, to);
    else if (!of_pods && n->kind == CONF_NODE_SCALAR)
        add_value(r, n, to);
    else
        (void)manifest_fail(r, n, ERR_INVALID, "'%s': expected %s, or {error: TEXT}", n->key.p,
                            of_pods ? "{POD: value}"
                            : many  ? "a value or a list of values"
                                    : "a value");
}

static void read_named(struct manifest_reader *r, const struct conf_node *map, bool of_pods,
                       bool many, struct hpa_named_list *ret) {
    size_t n = count_of(r, map, LIMIT_CASE_METRICS, "LIMIT_CASE_METRICS");
    ret->items = manifest_array(r, n, sizeof(*ret->items));
    for (const struct conf_node *e = n > 0 ? map->first : NULL; e && r->r == 0; e = e->next) {
        for (size_t i = 0; i < ret->n; i++)
            if (str_eqc(e->key, ret->items[i].name))
                (void)manifest_fail(r, e, ERR_INVALID, "'%s': given twice", e->key.p);
        read_values(r, e, of_pods, many, &ret->items[ret->n++]);
    }
}

struct hpa_case *hpa_case_new(struct manifest_reader *r, const struct hpa_case_source *s,
                              const struct conf_node *at) {
    struct hpa_case *c = manifest_array(r, 1, sizeof(*c));
    struct hpa_state *state = manifest_array(r, 1, sizeof(*state));
    if (!c || !state)
        return NULL;
    c->file = s->file;
    c->line = at->line;
    c->now_ns = s->now_ns;
    c->state = state;
    c->minor = 37;
    hpa_controller_init(&c->controller, c->minor);
    return c;
}

static enum hpa_status status_by_name(const char *name) {
    if (strcmp(name, "True") == 0)
        return HPA_TRUE;
    return strcmp(name, "False") == 0 ? HPA_FALSE : HPA_UNKNOWN;
}

// What the HPA had before is where the step begins.
static void take_conditions(struct hpa_case *c) {
    for (size_t i = 0; i < c->hpa.n_conditions; i++) {
        const struct manifest_condition *from = &c->hpa.conditions[i];
        for (int t = 0; t < HPA_CONDITIONS; t++) {
            struct hpa_condition *to = &c->state->conditions[t];
            if (to->status == HPA_ABSENT &&
                strcmp(from->type, hpa_condition_type_name((enum hpa_condition_type)t)) == 0)
                *to = (struct hpa_condition){.status = status_by_name(from->status),
                                             .since_ns = from->since_ns};
        }
    }
}

// Pods that were not given: as many as the scale's status says, ready since long.
static void assume_pods(struct manifest_reader *r, struct hpa_case *c) {
    size_t n = c->status_replicas > LIMIT_PODS_PER_WORKLOAD ? LIMIT_PODS_PER_WORKLOAD
                                                            : (size_t)c->status_replicas;
    bool named = c->n_pod_metrics > 0 && c->n_pod_metrics <= LIMIT_PODS_PER_WORKLOAD;
    if (named)
        n = c->n_pod_metrics;
    c->pods = manifest_array(r, n, sizeof(*c->pods));
    for (size_t i = 0; i < n && c->pods; i++) {
        const char *name = named ? c->pod_metrics[i].name : arena_printf(r->a, "pod-%zu", i + 1);
        if (!name)
            (void)manifest_no_memory(r);
        c->pods[c->n_pods++] = (struct manifest_pod){
            .name = name,
            .state = {.phase = HPA_RUNNING,
                      .ready = HPA_TRUE,
                      .ready_since_ns = HPA_TIME_ZERO,
                      .started_ns = c->now_ns - INT64_C(1000000) * NS_PER_S},
        };
    }
    c->pods_assumed = true;
    if (n > 0)
        hpa_case_note(r, c,
                      arena_printf(r->a,
                                   "no pods are given: %zu running and ready ones are"
                                   " taken, without requests",
                                   n));
}

void hpa_case_finish(struct manifest_reader *r, struct hpa_case *c, bool has_scale, bool has_pods) {
    if (r->r < 0)
        return;
    take_conditions(c);
    if (!has_scale) {
        if (c->hpa.status_current < 0) {
            (void)manifest_fail(r, NULL, ERR_INVALID,
                                "HPA %s/%s: 'scale' is missing, and the HPA has no"
                                " status.currentReplicas: write scale: {spec: N, status: N}",
                                c->hpa.namespace_, c->hpa.name);
            return;
        }
        c->spec_replicas = c->status_replicas = c->hpa.status_current;
        hpa_case_note(r, c,
                      arena_printf(r->a,
                                   "the scale is not given: spec and status are %d replicas, as"
                                   " the HPA's status.currentReplicas says",
                                   c->hpa.status_current));
    }
    if (!has_pods)
        assume_pods(r, c);
}

static struct hpa_case *read_case(struct manifest_reader *r, const struct hpa_case_source *s,
                                  const struct conf_node *root) {
    check_keys(r, root, case_keys);
    struct hpa_case *c = hpa_case_new(r, s, root);
    if (!c)
        return NULL;
    (void)manifest_time(r, root, "now", &c->now_ns);
    read_controller(r, manifest_map(r, root, "controller"), c);
    manifest_hpa_read(r, manifest_map(r, root, "hpa"), &c->hpa);
    bool has_scale = read_scale(r, manifest_map(r, root, "scale"), c);
    const struct conf_node *pods = manifest_get(r, root, "pods");
    if (pods)
        pods = list_or_items(r, pods, "'pods'");
    read_pods(r, pods, c);
    read_pod_metrics(r, manifest_get(r, root, "podMetrics"), c);
    read_named(r, manifest_map(r, root, "podMetricValues"), true, false, &c->pod_values);
    read_named(r, manifest_map(r, root, "object"), false, false, &c->objects);
    read_named(r, manifest_map(r, root, "external"), false, true, &c->externals);
    read_history(r, manifest_map(r, root, "history"), c);
    hpa_case_finish(r, c, has_scale, pods != NULL);
    return c;
}

static void read_own(const struct hpa_case_source *s, const struct conf_node *root) {
    struct err e = {0};
    struct manifest_reader r = {.file = s->file, .a = s->a, .e = &e};
    struct hpa_case *c = NULL;
    if (root->kind != CONF_NODE_MAP || !manifest_get(&r, root, "hpa"))
        (void)manifest_fail(&r, root, ERR_INVALID,
                            "not a case: expected a map with 'hpa' and 'scale', or what `kubectl"
                            " get hpa,pods -o json` prints");
    else
        c = read_case(&r, s, root);
    s->on_case(s->ctx, r.r < 0 ? NULL : c, r.r < 0 ? &e : NULL);
}

void hpa_case_read(const struct hpa_case_source *s, const struct conf_node *root) {
    if (root->kind == CONF_NODE_LIST) {
        for (const struct conf_node *n = root->first; n; n = n->next)
            hpa_case_read(s, n);
    } else if (hpa_list_is(root)) {
        hpa_list_read(s, root);
    } else {
        read_own(s, root);
    }
}
