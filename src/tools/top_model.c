// SPDX-License-Identifier: Apache-2.0
/* Joining, judging and pricing of what `top` shows; see the header. Sort and filter: top_rows.c. */
#include "tools/top_model.h"

#include <math.h>
#include <stdlib.h>

#include "base/limits.h"

enum { ARENA_MAX = 256 << 20, GPUS_MAX = LIMIT_NODES * 16, SPARE = 1 };

const char *top_state_name(enum top_state s) {
    static const char *const names[] = {"busy", "idle", "free", "?", "stale", "lost"};
    return names[s];
}

void top_snapshot_init(struct top_snapshot *s) {
    *s = (struct top_snapshot){0};
    arena_init(&s->arena, ARENA_MAX);
    vec_init(&s->gpus, GPUS_MAX);
    vec_init(&s->workloads, LIMIT_WORKLOADS);
}

void top_snapshot_done(struct top_snapshot *s) {
    vec_done(&s->gpus);
    vec_done(&s->workloads);
    arena_done(&s->arena);
}

static int by_uuid(const void *a, const void *b) {
    return strcmp(((const struct top_gpu *)a)->uuid, ((const struct top_gpu *)b)->uuid);
}

static void drop_repeated(struct top_snapshot *s) {
    size_t kept = 0;
    if (s->gpus.n > 0)
        qsort(s->gpus.items, s->gpus.n, sizeof(s->gpus.items[0]), by_uuid);
    for (size_t i = 0; i < s->gpus.n; i++)
        if (kept == 0 || by_uuid(&s->gpus.items[i], &s->gpus.items[kept - 1]) != 0)
            s->gpus.items[kept++] = s->gpus.items[i];
    s->gpus.n = kept;
}

// Which workload a pod is of.
struct pod_at {
    const char *namespace_, *pod;
    long workload;
};

static int by_pod(const void *a, const void *b) {
    const struct pod_at *x = a, *y = b;
    int c = strcmp(x->pod, y->pod);
    return c != 0 ? c : strcmp(x->namespace_, y->namespace_);
}

static int join(struct top_snapshot *s) {
    size_t n = 0, at = 0;
    for (size_t i = 0; i < s->workloads.n; i++)
        n += s->workloads.items[i].pods_n;
    struct pod_at *pods = mem_array(n + SPARE, sizeof(*pods));
    if (pods == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->workloads.n; i++)
        for (size_t k = 0; k < s->workloads.items[i].pods_n; k++)
            pods[at++] = (struct pod_at){s->workloads.items[i].namespace_,
                                         s->workloads.items[i].pods[k], (long)i};
    qsort(pods, n, sizeof(*pods), by_pod);
    for (size_t i = 0; i < s->gpus.n; i++) {
        struct top_gpu *g = &s->gpus.items[i];
        struct top_owner *owners = arena_array(&s->arena, g->owners_n + SPARE, sizeof(*owners));
        if (owners == NULL) {
            mem_free(pods);
            return ERR_NOMEM;
        }
        for (size_t k = 0; k < g->owners_n; k++) {
            struct pod_at key = {g->owners[k].namespace_, g->owners[k].pod, 0};
            const struct pod_at *found = bsearch(&key, pods, n, sizeof(*pods), by_pod);
            owners[k] = g->owners[k];
            owners[k].workload = found != NULL ? found->workload : -1;
        }
        g->owners = owners;
    }
    mem_free(pods);
    return 0;
}

// What the engines of all holders say together: 1 they work, 0 they all do nothing, -1 unknown.
static int engines_work(const struct top_snapshot *s, const struct top_gpu *g) {
    bool known = g->owners_n > 0 && g->owners_n == g->pods;
    for (size_t k = 0; k < g->owners_n; k++) {
        if (g->owners[k].workload < 0)
            return -1;
        const struct top_workload *w = &s->workloads.items[g->owners[k].workload];
        // Above 0, another pod of the workload may be the one that works.
        known = known && !w->queue.partial && !w->running.partial && w->queue.value == 0 &&
                w->running.value == 0;
    }
    return known ? 0 : -1;
}

static enum top_state judge(const struct top_snapshot *s, const struct top_gpu *g) {
    if (g->lost)
        return TOP_LOST;
    if (isnan(g->age_s))
        return TOP_UNKNOWN; // never read
    if (g->age_s > TOP_STALE_S)
        return TOP_STALE;
    double most = fmax(g->util_pct, g->sm_pct); // of what is known
    if (isnan(most) && engines_work(s, g) != 0)
        return TOP_UNKNOWN;
    if (!isnan(most) && most > TOP_IDLE_PCT)
        return TOP_BUSY;
    return g->owners_known && g->pods == 0 ? TOP_FREE : TOP_IDLE;
}

static bool does_nothing(const struct top_gpu *g) {
    return g->state == TOP_IDLE || g->state == TOP_FREE;
}

static double idle_since(const struct top_gpu *g, const struct top_snapshot *before,
                         double passed_s) {
    if (!does_nothing(g))
        return NAN;
    if (before == NULL || before->gpus.n == 0)
        return 0;
    const struct top_gpu *was = bsearch(g, before->gpus.items, before->gpus.n,
                                        sizeof(*before->gpus.items), by_uuid);
    return was != NULL && does_nothing(was) ? was->idle_s + passed_s : 0;
}

// The part of the GPU's price that one of its owners pays is for nothing.
static bool part_idles(const struct top_gpu *g, const struct top_owner *o) {
    return does_nothing(g) ||
           (g->state == TOP_BUSY && o->part_known && o->part_pct <= TOP_IDLE_PCT);
}

static void count(struct top_snapshot *s, const struct top_gpu *g) {
    double price = g->usd_per_hour / (double)g->pods;
    for (size_t k = 0; k < g->owners_n; k++) {
        long workload = g->owners[k].workload;
        if (workload < 0)
            continue;
        struct top_workload *w = &s->workloads.items[workload];
        w->usd_per_hour += price;
        if (part_idles(g, &g->owners[k]))
            w->idle_usd_per_hour += price;
        // A GPU that two pods of a workload share is one GPU, idle where both do nothing.
        bool again = false, idle = true;
        for (size_t j = 0; j < g->owners_n; j++) {
            bool same = g->owners[j].workload == workload;
            again = again || (same && j < k);
            idle = idle && (!same || part_idles(g, &g->owners[j]));
        }
        w->gpus += !again;
        w->idle_gpus += !again && idle;
    }
}

int top_snapshot_finish(struct top_snapshot *s, const struct top_snapshot *before, double passed_s,
                        const struct price_list *prices) {
    drop_repeated(s);
    int r = join(s);
    for (size_t i = 0; i < s->gpus.n && r == 0; i++) {
        struct top_gpu *g = &s->gpus.items[i];
        g->state = judge(s, g);
        g->idle_s = idle_since(g, before, passed_s);
        g->usd_per_hour = price_usd_per_hour(prices, g->model, g->mig);
        s->holders_partial = s->holders_partial || !g->owners_known;
        count(s, g);
    }
    return r;
}

struct top_sum top_sum(const struct top_snapshot *s) {
    struct top_sum t = {.gpus = s->gpus.n};
    for (size_t i = 0; i < s->gpus.n; i++) {
        const struct top_gpu *g = &s->gpus.items[i];
        bool priced = !isnan(g->usd_per_hour), nothing = does_nothing(g);
        t.held += g->pods > 0;
        t.holder_unknown += !g->owners_known;
        t.idle += g->state == TOP_IDLE;
        t.free += g->state == TOP_FREE;
        t.busy += g->state == TOP_BUSY;
        t.dark += g->state >= TOP_UNKNOWN;
        t.unpriced += !priced;
        t.idle_unpriced += !priced && nothing;
        t.usd_per_hour += priced ? g->usd_per_hour : 0;
        t.idle_usd_per_hour += priced && nothing ? g->usd_per_hour : 0;
    }
    return t;
}
