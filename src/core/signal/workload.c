// SPDX-License-Identifier: Apache-2.0
/*
 * Pods come, become ready, leave; pages and demand samples arrive. A set of pods is taken whole or
 * not at all: everything that can fail is done before anything changes.
 */
#include "core/signal/workload.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "core/signal/pod.h"

int signal_workload_new(struct signal_workload **ret, struct str namespace_,
                        struct signal_join *join, const struct signal_engine *engine) {
    struct signal_workload *w = mem_zalloc(sizeof(*w));
    if (!w)
        return ERR_NOMEM;
    w->namespace_ = mem_strndup(namespace_.p, namespace_.n);
    if (!w->namespace_) {
        mem_free(w);
        return ERR_NOMEM;
    }
    w->join = join;
    w->engine = *engine;
    w->history_ns = 60 * NS_PER_S;
    w->serving_since_ns = SIGNAL_TIME_UNKNOWN;
    w->demand_at_ns = SIGNAL_TIME_UNKNOWN;
    w->counts.youngest_start_ns = SIGNAL_TIME_UNKNOWN;
    for (int i = 0; i < DEMAND_VALUE_MAX; i++)
        w->demand[i].at_ns = SIGNAL_TIME_UNKNOWN;
    vec_init(&w->ready, LIMIT_PODS_PER_WORKLOAD);
    vec_init(&w->left, 2 * LIMIT_PODS_PER_WORKLOAD);
    *ret = w;
    return 0;
}

static void pod_free(struct signal_workload *w, struct pod *p) {
    HASH_DEL(w->pods, p);
    if (w->join)
        signal_join_pod_release(w->join, p->gpus);
    mem_free(p->name);
    mem_free(p);
}

struct signal_workload *signal_workload_free(struct signal_workload *w) {
    if (!w)
        return NULL;
    struct pod *p, *next;
    HASH_ITER(hh, w->pods, p, next)
    pod_free(w, p);
    vec_done(&w->ready);
    vec_done(&w->left);
    mem_free(w->namespace_);
    mem_free(w);
    return NULL;
}

void signal_workload_set_demand(struct signal_workload *w, uint32_t provides) {
    w->demand_provides = provides;
}

void signal_workload_set_demand_uncounted(struct signal_workload *w, uint32_t gauges) {
    w->demand_uncounted = gauges;
}

void signal_workload_set_history(struct signal_workload *w, int64_t history_ns) {
    if (history_ns > w->history_ns)
        w->history_ns = history_ns;
}

// A window that would begin in a hole of some page begins where that did: the longest window and
// the longest hole together.
static int64_t kept_ns(const struct signal_workload *w) {
    return 2 * w->history_ns;
}

static struct pod *pod_find(const struct signal_workload *w, struct str name) {
    struct pod *p;
    HASH_FIND(hh, w->pods, name.p, name.n, p);
    return p;
}

static int pod_new(struct signal_workload *w, struct str name, struct pod **ret) {
    struct pod *p = mem_zalloc(sizeof(*p));
    if (!p)
        return ERR_NOMEM;
    p->name = mem_strndup(name.p, name.n);
    int r = p->name ? 0 : ERR_NOMEM;
    if (r == 0 && w->join)
        r = signal_join_pod_get(w->join, str_from(w->namespace_), name, &p->gpus);
    if (r == 0) {
        HASH_ADD_KEYPTR(hh, w->pods, p->name, name.n, p);
        r = map_oom() ? ERR_NOMEM : 0;
    }
    if (r) {
        if (w->join)
            signal_join_pod_release(w->join, p->gpus);
        mem_free(p->name);
        mem_free(p);
        return r;
    }
    p->state = POD_TERMINATING; // not told yet
    p->started_ns = p->state_since_ns = p->engine_at_ns = SIGNAL_TIME_UNKNOWN;
    for (int i = 0; i < ENGINE_VALUE_MAX; i++)
        p->engine[i].at_ns = SIGNAL_TIME_UNKNOWN;
    *ret = p;
    return 0;
}

// Pods that nobody lists and whose arrivals have left the window.
static void purge(struct signal_workload *w, int64_t now_ns) {
    struct pod *p, *next;
    HASH_ITER(hh, w->pods, p, next) {
        int64_t from_ns = now_ns - kept_ns(w);
        bool counts = signal_window_newest(&p->arrivals) > from_ns ||
                      signal_window_newest(&p->tokens) > from_ns;
        if (!p->listed && !counts)
            pod_free(w, p);
    }
}

// Pods that were made for a set that is not taken.
static void undo(struct signal_workload *w) {
    struct pod *p, *next;
    HASH_ITER(hh, w->pods, p, next)
    if (p->state_since_ns == SIGNAL_TIME_UNKNOWN)
        pod_free(w, p);
}

// Room for every pod in both lists, and a pod for every name.
static int reserve(struct signal_workload *w, const struct signal_pod *pods, size_t n) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct pod *p;
        if (!pod_find(w, pods[i].name))
            r = pod_new(w, pods[i].name, &p);
    }
    size_t all = HASH_COUNT(w->pods);
    while (r == 0 && w->ready.cap < n)
        r = vec_grow_((void **)&w->ready.items, w->ready.cap, &w->ready.cap, w->ready.max,
                      sizeof(w->ready.items[0]));
    while (r == 0 && w->left.cap < all)
        r = vec_grow_((void **)&w->left.items, w->left.cap, &w->left.cap, w->left.max,
                      sizeof(w->left.items[0]));
    return r;
}

static void learn_start(struct signal_workload *w, const struct pod *p,
                        const struct signal_pod *told, int64_t now_ns) {
    int64_t took_ns = 0;
    if (told->started_ns != SIGNAL_TIME_UNKNOWN && told->ready_ns > told->started_ns)
        took_ns = told->ready_ns - told->started_ns;
    else if (p->seen_starting)
        took_ns = now_ns - p->started_ns;
    if (!p->was_ready && took_ns > 0 && took_ns <= WORKLOAD_START_MAX_NS)
        w->starts_ns[w->starts_n++ % WORKLOAD_STARTS_KEPT] = took_ns;
}

static void anchor(struct pod *p, int64_t at_ns) {
    signal_window_anchor(&p->arrivals, at_ns);
    signal_window_anchor(&p->tokens, at_ns);
}

static void pod_tell(struct signal_workload *w, struct pod *p, const struct signal_pod *told,
                     int64_t now_ns) {
    bool fresh = p->state_since_ns == SIGNAL_TIME_UNKNOWN;
    bool reborn = !fresh && told->started_ns != SIGNAL_TIME_UNKNOWN &&
                  told->started_ns > p->started_ns + NS_PER_S;
    if (reborn) // another pod under the same name (a StatefulSet's)
        p->was_ready = false;
    if (fresh || reborn) {
        p->seen_starting = told->state == POD_STARTING;
        p->started_ns = told->started_ns != SIGNAL_TIME_UNKNOWN ? told->started_ns : now_ns;
    }
    if (told->state == POD_READY && (fresh || reborn || p->state != POD_READY))
        work_pod_changed(p);
    if (told->state == POD_READY && (fresh || p->state != POD_READY)) {
        learn_start(w, p, told, now_ns);
        // Not ready, or not there, in the set before: it served nothing until now. In the first
        // set: nothing before its start, where that is known.
        if (!fresh || w->told)
            anchor(p, now_ns);
        else if (told->started_ns != SIGNAL_TIME_UNKNOWN)
            anchor(p, told->started_ns);
    }
    p->was_ready |= told->state == POD_READY;
    if (fresh || reborn || p->state != told->state)
        p->state_since_ns = fresh && told->started_ns != SIGNAL_TIME_UNKNOWN ? told->started_ns
                                                                             : now_ns;
    p->state = told->state;
    p->listed = true;
    signal_join_pod_set_uid(p->gpus, told->uid);
}

static void recount(struct signal_workload *w, int64_t now_ns) {
    bool served = w->ready.n > 0;
    int64_t since = SIGNAL_TIME_UNKNOWN;
    w->counts = (struct signal_pods){.youngest_start_ns = SIGNAL_TIME_UNKNOWN};
    vec_clear(&w->ready);
    vec_clear(&w->left);
    for (struct pod *p = w->pods; p; p = p->hh.next) {
        bool ready = p->listed && p->state == POD_READY;
        if (ready)
            w->ready.items[w->ready.n++] = p;
        else if (p->arrivals.n || p->tokens.n)
            w->left.items[w->left.n++] = p;
        if (!p->listed)
            continue;
        w->counts.ready += ready;
        w->counts.terminating += p->state == POD_TERMINATING;
        if (ready && (since == SIGNAL_TIME_UNKNOWN || p->state_since_ns < since))
            since = p->state_since_ns;
        if (p->state == POD_STARTING) {
            w->counts.starting++;
            w->counts.unborn += !p->was_ready;
            if (p->state_since_ns > w->counts.youngest_start_ns)
                w->counts.youngest_start_ns = p->state_since_ns;
        }
    }
    if (w->ready.n == 0)
        w->serving_since_ns = SIGNAL_TIME_UNKNOWN;
    else if (!served)
        w->serving_since_ns = since < now_ns ? since : now_ns;
}

int signal_workload_set_pods(struct signal_workload *w, const struct signal_pod *pods, size_t n,
                             int64_t now_ns) {
    if (n > LIMIT_PODS_PER_WORKLOAD)
        return ERR_LIMIT;
    int r = reserve(w, pods, n);
    if (r) {
        undo(w);
        return r;
    }
    for (struct pod *p = w->pods; p; p = p->hh.next)
        p->listed = false;
    for (size_t i = 0; i < n; i++)
        pod_tell(w, pod_find(w, pods[i].name), &pods[i], now_ns);
    for (struct pod *p = w->pods; p; p = p->hh.next)
        if (!p->listed)
            p->state = POD_TERMINATING; // should it come back, it becomes ready anew
    purge(w, now_ns);
    recount(w, now_ns);
    w->told = true;
    return 0;
}

static void gauge_set(struct gauge *g, double v, int64_t at_ns) {
    g->v = v;
    g->at_ns = at_ns;
}

// Requests in the system, for a counter of finished ones. False: a gauge that the engine has is
// missing on this page, so what arrived is not known. One that it never has counts as empty.
static bool in_system(const struct signal_engine *e, const struct engine_sample *s, double *ret) {
    static const enum engine_value gauges[] = {ENGINE_QUEUE, ENGINE_RUNNING};
    *ret = 0;
    if (!e->requests_finished)
        return true;
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        if (SAMPLE_HAS(s, gauges[i]))
            *ret += s->v[gauges[i]];
        else if (e->provides >> gauges[i] & 1)
            return false;
    }
    return true;
}

bool signal_workload_engine(struct signal_workload *w, struct str pod,
                            const struct engine_sample *sample, int64_t at_ns) {
    struct pod *p = pod_find(w, pod);
    if (!p || !p->listed || at_ns <= p->engine_at_ns)
        return false;
    p->engine_at_ns = at_ns;
    for (int i = 0; i < ENGINE_VALUE_MAX; i++)
        if (SAMPLE_HAS(sample, i))
            gauge_set(&p->engine[i], sample->v[i], at_ns);
    if (p->state != POD_READY)
        return true;
    double level;
    if (SAMPLE_HAS(sample, ENGINE_REQUESTS_TOTAL) && in_system(&w->engine, sample, &level))
        signal_window_add(&p->arrivals, sample->v[ENGINE_REQUESTS_TOTAL], level, at_ns,
                          w->history_ns, kept_ns(w));
    if (SAMPLE_HAS(sample, ENGINE_GENERATION_TOKENS_TOTAL))
        signal_window_add(&p->tokens, sample->v[ENGINE_GENERATION_TOKENS_TOTAL], 0, at_ns,
                          w->history_ns, kept_ns(w));
    work_page(w, p, sample, at_ns);
    return true;
}

// Requests at the demand source that its counter has not counted yet. False: not known.
static bool uncounted(const struct signal_workload *w, const struct demand_sample *s, double *ret) {
    *ret = 0;
    for (int v = 0; v < DEMAND_VALUE_MAX; v++) {
        if (!(w->demand_uncounted >> v & 1))
            continue;
        if (!SAMPLE_HAS(s, v))
            return false;
        *ret += s->v[v];
    }
    return true;
}

bool signal_workload_demand(struct signal_workload *w, const struct demand_sample *sample,
                            int64_t at_ns) {
    if (at_ns <= w->demand_at_ns)
        return false;
    w->demand_at_ns = at_ns;
    for (int i = 0; i < DEMAND_VALUE_MAX; i++)
        if (SAMPLE_HAS(sample, i))
            gauge_set(&w->demand[i], sample->v[i], at_ns);
    double level;
    if (SAMPLE_HAS(sample, DEMAND_REQUESTS_TOTAL) && uncounted(w, sample, &level))
        signal_window_add(&w->demand_arrivals, sample->v[DEMAND_REQUESTS_TOTAL], level, at_ns,
                          w->history_ns, kept_ns(w));
    return true;
}

void signal_workload_pods(const struct signal_workload *w, struct signal_pods *ret) {
    *ret = w->counts;
}

int64_t signal_workload_cold_start_ns(const struct signal_workload *w) {
    int64_t sorted[WORKLOAD_STARTS_KEPT];
    uint32_t n = w->starts_n < WORKLOAD_STARTS_KEPT ? w->starts_n : WORKLOAD_STARTS_KEPT;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > w->starts_ns[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = w->starts_ns[i];
    }
    return n > 0 ? sorted[(3 * n + 3) / 4 - 1] : 0;
}

uint32_t signal_workload_engine_provides(const struct signal_workload *w) {
    return w->engine.provides;
}

uint32_t signal_workload_demand_provides(const struct signal_workload *w) {
    return w->demand_provides;
}
