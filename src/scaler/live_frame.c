// SPDX-License-Identifier: Apache-2.0
/*
 * A ScaledObject as a frame of the page: pods, signals, GPUs, decisions. What is only partly known
 * (a pod without a fresh value) is unknown to a curve: a sum that lost a pod would look like less
 * load.
 */
#include "scaler/live_frame.h"

#include "base/clock.h"
#include "core/signal/total.h"

enum { TEXT_MAX = LIMIT_LIVE_EVENT_BYTES };

static struct signal_total total_of(const struct object *o, enum signal s, int64_t now_ns) {
    struct signal_total_query q = {.signal = s,
                                   .ceiling = INFINITY,
                                   .window_ns = o->trigger->rate_window_ns,
                                   .max_age_ns = o->trigger->max_age_ns,
                                   .now_ns = now_ns};
    struct signal_total t;
    signal_total(o->feed->signals, &q, &t);
    return t;
}

static void fill_load(struct frame *f, const struct object *o, int64_t now_ns) {
    struct signal_total demand = total_of(o, SIGNAL_DEMAND, now_ns);
    struct signal_total rate = total_of(o, SIGNAL_REQUEST_RATE, now_ns);
    if (demand.known > 0)
        f->rps.arriving = demand.lower;
    else if (rate.pods > 0 && rate.known == rate.pods)
        f->rps.arriving = rate.lower;
    double held = 0;
    if (signal_demand_gauge(o->feed->signals, DEMAND_WAITING, now_ns, o->trigger->max_age_ns,
                            &held))
        f->queue.held = (int32_t)held;
    struct signal_total queue = total_of(o, SIGNAL_QUEUE, now_ns); // with what is held
    if (queue.pods > 0 && queue.known == queue.pods)
        f->queue.engines = (int32_t)(queue.lower - held);
    else if (o->feed->workload->pods.n == 0)
        f->queue.engines = 0; // nobody in whom it could wait
}

static void fill_pods(struct frame *f, const struct object *o) {
    const struct workload *w = o->feed->workload;
    f->replicas.spec = (int32_t)w->replicas;
    f->replicas.ready = f->replicas.starting = 0;
    for (size_t i = 0; i < w->pods.n; i++) {
        f->replicas.ready += w->pods.items[i].state == POD_READY;
        f->replicas.starting += w->pods.items[i].state == POD_STARTING;
    }
    if (o->decided && o->last.state == DECISION_OK)
        f->replicas.wanted = o->last.desired;
}

// ---- the rule

static enum frame_signal_state state_of(const struct record_signal *s, bool known) {
    if (s->role == ROLE_CAPACITY)
        return known ? FRAME_SIGNAL_SIZES : FRAME_SIGNAL_UNKNOWN;
    return s->breached == TRI_TRUE    ? FRAME_SIGNAL_BREACHED
           : s->breached == TRI_FALSE ? FRAME_SIGNAL_QUIET
                                      : FRAME_SIGNAL_UNKNOWN;
}

static struct frame_signal signal_of(const struct record *r, const struct record_signal *s) {
    bool known = s->known > 0 || s->lower > 0;
    return (struct frame_signal){
        .name = record_signal_name(r, s->signal),
        .unit = signals[s->signal].unit,
        .value = known ? s->lower : NAN,
        .upper = known && s->upper > s->lower ? s->upper : NAN,
        .target = s->target > 0 ? s->target : NAN,
        .age_s = s->age_ns >= 0 ? (double)s->age_ns / NS_PER_S : NAN,
        .state = state_of(s, known),
    };
}

// "requestRate" or "work and demand": the rule's signals of a role.
static unsigned add_names(struct buf *b, const struct trigger *t, enum trigger_role role) {
    unsigned n = 0;
    for (uint32_t i = 0; i < t->rule_n; i++)
        if (t->rule[i].role == role)
            (void)buf_addf(b, "%s%s", n++ > 0 ? " and " : "",
                           trigger_signal_name(t, t->rule[i].signal));
    return n;
}

// "requestRate sizes; queue raises while queue and smActivity"
static void add_rule_text(struct buf *b, const struct trigger *t) {
    unsigned n = add_names(b, t, ROLE_CAPACITY);
    if (n > 0)
        (void)buf_addc(b, n > 1 ? " size; " : " sizes; ");
    n = add_names(b, t, ROLE_GUARD);
    if (n > 0)
        (void)buf_addc(b, n > 1 ? " raise" : " raises");
    else if (b->len > 2)
        buf_truncate(b, b->len - 2);
    if (t->when_text != NULL)
        (void)buf_addf(b, "%swhen: %s", b->len > 0 ? "; " : "", t->when_text);
}

// ---- GPUs

struct gathering {
    const struct io *io;
    struct live_policy *policies;
    size_t n;
    int64_t now_ns;
};

static const struct object *object_of(const struct io *io, uint64_t id) {
    struct object *o;
    HASH_FIND(hh, io->objects, &id, sizeof(id), o);
    return o;
}

static bool pod_starts(const struct workload *w, const char *name) {
    for (size_t i = 0; i < w->pods.n; i++)
        if (strcmp(w->pods.items[i].name, name) == 0)
            return w->pods.items[i].state == POD_STARTING;
    return false;
}

static double value_of(const struct gpu_reading *r, bool fresh, enum signal s) {
    double v;
    return fresh && signal_of_reading(r, s, &v) ? v : NAN;
}

// The pod's own part of a GPU that several hold, in place of the whole GPU's values. *busy_pct: the
// most that it may be busy.
static void show_part(struct frame_gpu *shown, const struct gpus *gpus, const struct agents_gpu *g,
                      const struct agents_owner *o, double *busy_pct) {
    struct signal_part part;
    struct str ns = str_from(o->namespace_), pod = str_from(o->pod);
    if (gpus_part(gpus, g->user, ns, pod, SIGNAL_GPU_UTILIZATION, &part) != 0) {
        shown->part = FRAME_PART_UNKNOWN;
        return;
    }
    shown->part = FRAME_PART_OWN;
    shown->utilization_pct = part.lower;
    *busy_pct = part.upper;
    shown->sm_pct = shown->memory_pct = NAN;
    if (gpus_part(gpus, g->user, ns, pod, SIGNAL_GPU_MEMORY, &part) == 0)
        shown->memory_pct = part.lower;
}

static enum frame_gpu_state gpu_state(const struct frame_gpu *shown, double busy_pct) {
    if (!isfinite(shown->utilization_pct))
        return FRAME_GPU_UNKNOWN;
    if (busy_pct < LIVE_IDLE_PCT)
        return FRAME_GPU_IDLE;
    return shown->utilization_pct < LIVE_IDLE_PCT ? FRAME_GPU_UNKNOWN : FRAME_GPU_BUSY;
}

// Of `pods` pods that hold it, `owner` is one.
static void add_gpu(struct live_policy *p, const struct object *o, const struct gpus *gpus,
                    const struct agents_gpu *g, const struct agents_owner *owner, size_t pods,
                    int64_t now_ns) {
    bool fresh = !g->lost && g->reading_at_ns != INT64_MIN &&
                 now_ns - g->reading_at_ns <= o->trigger->max_age_ns;
    struct frame_gpu shown = {
        .index = (int32_t)g->index,
        .utilization_pct = value_of(g->reading, fresh, SIGNAL_GPU_UTILIZATION),
        .sm_pct = value_of(g->reading, fresh, SIGNAL_SM_ACTIVITY),
        .memory_pct = value_of(g->reading, fresh, SIGNAL_GPU_MEMORY),
        .state = FRAME_GPU_UNKNOWN,
    };
    double busy_pct = shown.utilization_pct;
    if (pods > 1 && fresh)
        show_part(&shown, gpus, g, owner, &busy_pct);
    if (pod_starts(o->feed->workload, owner->pod))
        shown.state = FRAME_GPU_STARTING;
    else
        shown.state = gpu_state(&shown, busy_pct);
    p->gpus_known = true;
    p->held += 1 / (double)pods;
    p->idle += (shown.state == FRAME_GPU_IDLE) / (double)pods;
    if (p->gpu_n == LIMIT_LIVE_GPUS)
        return;
    struct live_gpu *gpu = &p->gpus[p->gpu_n++];
    gpu->shown = shown;
    (void)str_copy(gpu->pod, sizeof(gpu->pod), str_from(owner->pod));
    (void)str_copy(gpu->node, sizeof(gpu->node), str_from(g->node));
}

static void take_gpu(const struct gathering *all, const struct agents_gpu *g) {
    if (!gpus_counts(g->user))
        return;
    size_t pods = gpus_pods(g);
    for (size_t i = 0; i < g->n_owners; i++) {
        char key[2 * KUBE_NAME_MAX];
        (void)snprintf(key, sizeof(key), "%s/%s", g->owners[i].namespace_, g->owners[i].pod);
        if (!gpus_owner_is_first(g, i))
            continue; // another container of the same pod
        for (const struct pod_entry *e = io_pod_find(all->io, key); e != NULL; e = e->same) {
            for (size_t k = 0; k < all->n; k++) {
                const struct object *o = object_of(all->io, all->policies[k].object);
                if (o != NULL && o->feed == e->feed)
                    add_gpu(&all->policies[k], o, &all->io->gpus, g, &g->owners[i], pods,
                            all->now_ns);
            }
        }
    }
}

static void take_agent_gpu(void *ctx, const struct agents_gpu *g) {
    const struct gathering *all = ctx;
    struct agents_owner owners[CLAIMS_OWNERS_MAX];
    struct agents_gpu joined = claims_join(&all->io->claims, g, owners);
    take_gpu(all, &joined);
}

static void take_exporter_gpu(void *ctx, const struct agents_gpu *g, const char *url) {
    take_gpu(ctx, g);
}

static int by_place(const void *a, const void *b) {
    const struct live_gpu *x = a, *y = b;
    int order = strcmp(x->pod, y->pod);
    if (order == 0)
        order = strcmp(x->node, y->node);
    return order != 0 ? order : x->shown.index - y->shown.index;
}

void live_gather_gpus(const struct io *io, struct live_policy *policies, size_t n, int64_t now_ns) {
    for (size_t i = 0; i < n; i++)
        policies[i].gpu_n = policies[i].held = policies[i].idle = 0;
    struct gathering all = {io, policies, n, now_ns};
    if (n == 0)
        return;
    agents_each_gpu(io->agents, take_agent_gpu, &all);
    exporters_each_gpu(io->exporters, take_exporter_gpu, &all);
    for (size_t i = 0; i < n; i++)
        qsort(policies[i].gpus, policies[i].gpu_n, sizeof(policies[i].gpus[0]), by_place);
}

static size_t fill_gpus(struct frame *f, struct live_policy *p, struct frame_gpu *gpus,
                        int64_t now_ns) {
    if (p->at_ns != 0) {
        double passed_s = (double)(now_ns - p->at_ns) / NS_PER_S;
        p->gpu_s += p->held * passed_s;
        p->idle_s += p->idle * passed_s;
    }
    if (p->gpus_known) {
        f->money.gpu_s = p->gpu_s;
        f->money.idle_gpu_s = p->idle_s;
    }
    for (unsigned i = 0; i < p->gpu_n; i++) {
        gpus[i] = p->gpus[i].shown;
        gpus[i].pod = p->gpus[i].pod;
    }
    return p->gpu_n;
}

// ---- decisions

struct telling {
    struct frame_decision items[LIMIT_RECORDS_PER_WORKLOAD];
    size_t at[LIMIT_RECORDS_PER_WORKLOAD]; // of the text, while the buffer grows
    size_t n;
};

static void add_decisions(struct telling *t, struct buf *text, const struct live_policy *p,
                          const struct object *o, int64_t start_ns) {
    for (unsigned i = 0; i < o->history.n; i++) {
        const struct record *r = history_at(&o->history, i);
        if (r->sequence <= p->told)
            continue;
        t->at[t->n] = text->len;
        t->items[t->n++] = (struct frame_decision){
            .t_s = (double)(r->now_ns - start_ns) / NS_PER_S,
            .who = "gpuscale",
            .replicas = r->state == DECISION_OK ? r->desired : -1,
        };
        (void)record_sentence(text, r);
        (void)buf_add_byte(text, '\0');
    }
}

static void mark_told(struct live_policy *p, const struct object *o) {
    if (o->history.n > 0)
        p->told = history_at(&o->history, o->history.n - 1u)->sequence;
}

static size_t fill_rule(struct frame *f, const struct object *o, struct frame_signal *ret) {
    const struct record *r = &o->last;
    if (!o->decided)
        return 0;
    for (uint32_t i = 0; i < r->signal_n; i++)
        ret[i] = signal_of(r, &r->signals[i]);
    f->rule.signals = ret;
    return r->signal_n;
}

int live_add_frame(struct live *log, struct live_policy *p, const struct object *o, int64_t now_ns,
                   int64_t start_ns) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, TEXT_MAX);
    struct frame f = frame_unknown;
    struct frame_gpu gpus[LIMIT_LIVE_GPUS];
    struct frame_signal rule[SIGNAL_MAX];
    struct telling telling = {.n = 0};
    f.policy = p->id;
    f.t_s = (double)(now_ns - start_ns) / NS_PER_S;
    if (o->feed != NULL) {
        fill_pods(&f, o);
        fill_load(&f, o, now_ns);
        f.rule.signal_n = fill_rule(&f, o, rule);
        f.gpus = gpus;
        f.gpu_n = fill_gpus(&f, p, gpus, now_ns);
        add_rule_text(&text, o->trigger);
    } else {
        (void)buf_addc(&text, o->fault.msg);
    }
    (void)buf_add_byte(&text, '\0');
    add_decisions(&telling, &text, p, o, start_ns);
    if (text.err < 0)
        return text.err;
    f.rule.text = text.p;
    for (size_t i = 0; i < telling.n; i++)
        telling.items[i].text = text.p + telling.at[i];
    f.decisions = telling.items;
    f.decision_n = telling.n;
    p->at_ns = now_ns;
    int rc = live_frame(log, &f);
    if (rc == 0)
        mark_told(p, o);
    return rc;
}
