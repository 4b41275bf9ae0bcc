// SPDX-License-Identifier: Apache-2.0
/* Which rows of a snapshot are shown, and in which order. */
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "tools/top_model.h"

static const char *const sort_names[2][TOP_SORT_MAX] = {
    {"node", "state", "pod", "util", "memory", "idle", "price"},
    {"name", "reason", "replicas", "rate", "queue", "idle", "price"},
};

const char *top_sort_name(enum top_view_kind v, enum top_sort s) {
    return sort_names[v][s];
}

int top_sort_by_name(const char *name) {
    for (int v = 0; v < 2; v++)
        for (int s = 0; s < TOP_SORT_MAX; s++)
            if (strcmp(sort_names[v][s], name) == 0)
                return s;
    return -1;
}

static int by_text(const char *a, const char *b) { // NULL last
    if (a == NULL || b == NULL)
        return (a == NULL) - (b == NULL);
    return strcmp(a, b);
}

// Largest first; unknown last.
static int by_number(double a, double b) {
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a < b) - (a > b);
}

static int by_place(const struct top_gpu *a, const struct top_gpu *b) {
    int c = strcmp(a->node, b->node);
    if (c == 0)
        c = (a->index > b->index) - (a->index < b->index);
    return c != 0 ? c : strcmp(a->uuid, b->uuid);
}

static double activity(const struct top_gpu *g) {
    return isnan(g->util_pct) ? g->sm_pct : g->util_pct;
}

static const char *pod_of(const struct top_gpu *g) {
    return g->owners_n > 0 ? g->owners[0].pod : NULL;
}

// What idles first, then what is wrong, then the rest.
static int urgency(enum top_state s) {
    static const int order[] = {[TOP_IDLE] = 0,  [TOP_FREE] = 1,    [TOP_LOST] = 2,
                                [TOP_STALE] = 3, [TOP_UNKNOWN] = 4, [TOP_BUSY] = 5};
    return order[s];
}

static double idle_cost(const struct top_gpu *g) {
    return isnan(g->idle_s) ? NAN : isnan(g->usd_per_hour) ? 0 : g->usd_per_hour;
}

// `*unknown`: the order is by what is unknown in one of them, which does not turn around.
static int compare_gpus(const struct top_gpu *a, const struct top_gpu *b, enum top_sort s,
                        bool *unknown) {
    double x = NAN, y = NAN;
    switch (s) {
    case TOP_BY_STATE:
        return urgency(a->state) - urgency(b->state);
    case TOP_BY_POD:
        *unknown = !pod_of(a) != !pod_of(b);
        return by_text(pod_of(a), pod_of(b));
    case TOP_BY_UTIL:
        x = activity(a), y = activity(b);
        break;
    case TOP_BY_MEMORY:
        x = a->memory_used_bytes, y = b->memory_used_bytes;
        break;
    case TOP_BY_IDLE:
        x = idle_cost(a), y = idle_cost(b);
        break;
    case TOP_BY_PRICE:
        x = a->usd_per_hour, y = b->usd_per_hour;
        break;
    default:
        return by_place(a, b);
    }
    *unknown = isnan(x) != isnan(y);
    return by_number(x, y);
}

static int by_name(const struct top_workload *a, const struct top_workload *b) {
    int c = strcmp(a->namespace_, b->namespace_);
    return c != 0 ? c : strcmp(a->target, b->target);
}

static double count_or_nan(long n) {
    return n < 0 ? NAN : (double)n;
}

static int compare_workloads(const struct top_workload *a, const struct top_workload *b,
                             enum top_sort s, bool *unknown) {
    double x = NAN, y = NAN;
    switch (s) {
    case TOP_BY_STATE:
        *unknown = !a->reason != !b->reason;
        return by_text(a->reason, b->reason);
    case TOP_BY_POD:
        x = count_or_nan(a->spec), y = count_or_nan(b->spec);
        break;
    case TOP_BY_UTIL:
        x = a->rate.value, y = b->rate.value;
        break;
    case TOP_BY_MEMORY:
        x = a->queue.value, y = b->queue.value;
        break;
    case TOP_BY_IDLE:
        x = a->idle_usd_per_hour, y = b->idle_usd_per_hour;
        break;
    case TOP_BY_PRICE:
        x = a->usd_per_hour, y = b->usd_per_hour;
        break;
    default:
        return by_name(a, b);
    }
    *unknown = isnan(x) != isnan(y);
    return by_number(x, y);
}

struct order {
    const struct top_snapshot *s;
    const struct top_choice *c;
};

static int compare(const void *a, const void *b, void *ctx) {
    const struct order *o = ctx;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    bool unknown = false;
    int c = o->c->view == TOP_GPUS
                ? compare_gpus(&o->s->gpus.items[i], &o->s->gpus.items[k], o->c->sort, &unknown)
                : compare_workloads(&o->s->workloads.items[i], &o->s->workloads.items[k],
                                    o->c->sort, &unknown);
    if (c != 0)
        return o->c->reverse && !unknown ? -c : c;
    return o->c->view == TOP_GPUS ? by_place(&o->s->gpus.items[i], &o->s->gpus.items[k])
                                  : by_name(&o->s->workloads.items[i], &o->s->workloads.items[k]);
}

static bool has(const char *text, const char *part) {
    return text != NULL && strcasestr(text, part) != NULL;
}

static bool gpu_wanted(const struct top_gpu *g, const char *part) {
    if (has(g->node, part) || has(g->model, part) || has(g->uuid, part) || has(g->mig, part) ||
        has(top_state_name(g->state), part))
        return true;
    for (size_t k = 0; k < g->owners_n; k++)
        if (has(g->owners[k].namespace_, part) || has(g->owners[k].pod, part))
            return true;
    return false;
}

static bool workload_wanted(const struct top_workload *w, const char *part) {
    return has(w->namespace_, part) || has(w->target, part) || has(w->reason, part) ||
           has(w->error, part);
}

size_t top_choose(const struct top_snapshot *s, const struct top_choice *c, uint32_t *ret) {
    size_t all = c->view == TOP_GPUS ? s->gpus.n : s->workloads.n, n = 0;
    for (size_t i = 0; i < all; i++)
        if (c->filter[0] == '\0' ||
            (c->view == TOP_GPUS ? gpu_wanted(&s->gpus.items[i], c->filter)
                                 : workload_wanted(&s->workloads.items[i], c->filter)))
            ret[n++] = (uint32_t)i;
    struct order o = {s, c};
    if (n > 1)
        qsort_r(ret, n, sizeof(*ret), compare, &o);
    return n;
}
