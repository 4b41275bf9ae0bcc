// SPDX-License-Identifier: Apache-2.0
/* Reading the status API's pages with jansson. */
#include "tools/top_json.h"

#include <jansson.h>
#include <math.h>

const char *const top_list_paths[TOP_LIST_MAX] = {"/api/v1/gpus", "/api/v1/workloads",
                                                  "/api/v1/objects"};

static const char *text(struct top_snapshot *s, const json_t *o, const char *key,
                        const char *missing) {
    const char *v = json_string_value(json_object_get(o, key));
    if (v == NULL)
        return missing;
    const char *copy = arena_strdup(&s->arena, str_from(v));
    return copy != NULL ? copy : missing;
}

static double number(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static long whole(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? (long)json_integer_value(v) : -1;
}

static struct top_owner *find_owner(struct top_owner *owners, size_t n, const struct top_owner *o) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(owners[i].pod, o->pod) == 0 && strcmp(owners[i].namespace_, o->namespace_) == 0)
            return &owners[i];
    return NULL;
}

// The list has an entry for each container: several of one pod are one owner. `pods`: how many
// pods hold the GPU, those too that the reader may not see; -1: a scaler that does not say.
static int take_owners(struct top_snapshot *s, struct top_gpu *g, const json_t *list, long pods) {
    size_t n = json_array_size(list);
    struct top_owner *owners = arena_array(&s->arena, n + 1, sizeof(*owners));
    if (owners == NULL)
        return ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        double part_pct = number(o, "partUtilizationUpperPct");
        struct top_owner owner = {text(s, o, "namespace", "?"), text(s, o, "pod", "?"), -1,
                                  !isnan(part_pct), part_pct};
        if (find_owner(owners, g->owners_n, &owner) == NULL)
            owners[g->owners_n++] = owner;
    }
    g->owners = owners;
    g->pods = pods > 0 && (size_t)pods > g->owners_n ? (size_t)pods : g->owners_n;
    return 0;
}

static int take_gpu(struct top_snapshot *s, const json_t *o) {
    const json_t *values = json_object_get(o, "values");
    struct top_gpu g = {
        .uuid = text(s, o, "uuid", NULL),
        .node = text(s, o, "node", ""),
        .model = text(s, o, "model", ""),
        .mig = text(s, o, "migProfile", ""),
        .index = whole(o, "index"),
        .lost = json_is_true(json_object_get(o, "lost")),
        .owners_known = json_is_true(json_object_get(o, "ownersKnown")),
        .util_pct = number(values, "utilization_pct"),
        .sm_pct = number(values, "sm_active_ratio") * 100,
        .memory_used_bytes = number(values, "memory_used_bytes"),
        .memory_total_bytes = number(o, "memoryTotalBytes"),
        .power_w = number(values, "power_w"),
        .age_s = number(o, "ageSeconds"),
    };
    if (g.uuid == NULL)
        return ERR_PARSE;
    int r = take_owners(s, &g, json_object_get(o, "owners"), whole(o, "pods"));
    return r < 0 ? r : vec_push(&s->gpus, g);
}

static int take_pods(struct top_snapshot *s, struct top_workload *w, const json_t *list) {
    size_t n = json_array_size(list);
    const char **pods = arena_array(&s->arena, n + 1, sizeof(*pods));
    if (pods == NULL)
        return ERR_LIMIT;
    w->ready = w->starting = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *pod = json_array_get(list, i);
        const char *state = json_string_value(json_object_get(pod, "state"));
        pods[i] = text(s, pod, "name", "");
        w->ready += state != NULL && strcmp(state, "ready") == 0;
        w->starting += state != NULL && strcmp(state, "starting") == 0;
    }
    w->pods = pods;
    w->pods_n = n;
    return 0;
}

static struct top_workload unknown_workload(const char *ns, const char *target) {
    struct top_total none = {.value = NAN};
    return (struct top_workload){.namespace_ = ns,
                                 .target = target,
                                 .spec = -1,
                                 .ready = -1,
                                 .starting = -1,
                                 .desired = -1,
                                 .rate = none,
                                 .queue = none,
                                 .running = none,
                                 .kv_pct = NAN};
}

static int take_workload(struct top_snapshot *s, const json_t *o) {
    struct top_workload w = unknown_workload(text(s, o, "namespace", NULL),
                                             text(s, o, "target", NULL));
    if (w.namespace_ == NULL || w.target == NULL)
        return ERR_PARSE;
    w.spec = whole(o, "replicas");
    int r = take_pods(s, &w, json_object_get(o, "pods"));
    return r < 0 ? r : vec_push(&s->workloads, w);
}

// What the scaler knows of the workload's `signal`; that of another trigger stays where it knew.
static void take_total(struct top_total *t, const json_t *signals, const char *signal) {
    const json_t *o = json_object_get(signals, signal);
    double lower = number(o, "lower");
    if (!isnan(lower) && isnan(t->value))
        *t = (struct top_total){lower, whole(o, "known") < whole(o, "pods")};
}

static void take_decision(struct top_snapshot *s, struct top_workload *w, const json_t *o) {
    const json_t *signals = json_object_get(o, "signals");
    const json_t *available = json_object_get(o, "available");
    if (available != NULL) {
        long desired = whole(o, "desired");
        if (json_is_false(available)) {
            w->unavailable = true;
        } else if (desired > w->desired) { // of several triggers KEDA's HPA takes the largest
            w->desired = desired;
            w->reason = text(s, o, "reason", NULL);
        }
    }
    take_total(&w->rate, signals, "requestRate");
    take_total(&w->running, signals, "running");
    take_total(&w->queue, signals, "queue");
    double kv = number(json_object_get(signals, "kvCache"), "max");
    w->kv_pct = isnan(w->kv_pct) ? kv * 100 : w->kv_pct;
}

static int take_object(struct top_snapshot *s, const json_t *o) {
    const char *ns = json_string_value(json_object_get(o, "namespace"));
    const char *target = json_string_value(json_object_get(o, "workload"));
    if (ns == NULL)
        return ERR_PARSE;
    for (size_t i = 0; target != NULL && i < s->workloads.n; i++) {
        size_t at = (s->object_at + i) % s->workloads.n; // both lists are in about the same order
        struct top_workload *w = &s->workloads.items[at];
        if (strcmp(w->target, target) != 0 || strcmp(w->namespace_, ns) != 0)
            continue;
        take_decision(s, w, o);
        s->object_at = at + 1;
        return 0;
    }
    // A trigger whose workload is not known is a row of its own, which says so.
    struct top_workload w = unknown_workload(text(s, o, "namespace", ""), text(s, o, "name", ""));
    w.error = text(s, o, "error", "its workload is not known");
    return vec_push(&s->workloads, w);
}

int top_json_take(struct top_snapshot *s, enum top_list list, struct str page, size_t *ret_next,
                  struct err *e) {
    static int (*const take[])(struct top_snapshot *, const json_t *) = {take_gpu, take_workload,
                                                                         take_object};
    json_error_t why;
    json_t *root = json_loadb(page.p, page.n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return err_set(e, ERR_PARSE, "%s answered no JSON: %s", top_list_paths[list], why.text);
    const json_t *items = json_object_get(root, "items");
    int r = json_is_array(items) ? 0 : ERR_PARSE;
    for (size_t i = 0; i < json_array_size(items) && r == 0; i++)
        r = take[list](s, json_array_get(items, i));
    long next = whole(root, "next");
    *ret_next = next > 0 ? (size_t)next : 0;
    json_decref(root);
    if (r == ERR_PARSE)
        return err_set(e, r, "%s answered something else than a scaler's list",
                       top_list_paths[list]);
    return r < 0 ? err_set(e, r, "%s: more than fits", top_list_paths[list]) : 0;
}
