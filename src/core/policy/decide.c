// SPDX-License-Identifier: Apache-2.0
/*
 * The decision of one tick: evaluate the rule's signals, raise or lower or hold, damp, publish.
 * The steps are functions over one `struct tick`, in the order in which decider_tick calls them.
 */
#include "core/policy/decide.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "core/policy/active.h"
#include "core/policy/decide_inside.h"
#include "core/policy/size.h"

// The down-window takes a want so often, and 20 in a shorter one than the default of 300 s.
static const int64_t WINDOW_SAMPLE_NS = 15 * NS_PER_S;
enum { WINDOW_SAMPLES = 20 };
static const int64_t BURST_SAMPLE_NS = 30 * NS_PER_S;
static const int64_t TOLD_AFTER_NS = 120 * NS_PER_S; // a lasting condition becomes a notice
static const double HPA_TOLERANCE = 0.1;             // its default

struct tick {
    struct decider *d;
    const struct trigger *t;
    const struct signal_workload *w;
    const struct decide_input *in;
    struct record *r;
    int32_t n;
    int64_t cold_start_ns;
    int32_t raise;      // largest proven want of those that may raise
    int32_t floor;      // replicas that are provably needed, where no raise is due
    int32_t ceiling;    // replicas that may be needed at most: what lowering may go down to
    bool exact;         // every sizing signal is known whole
    bool blind;         // no capacity signal is known at all
    enum tri guard;     // is any guard breached?
    bool guard_in_vain; // breached, but `when` does not let it raise
    bool saturated;     // a saturating signal above its target, outside `when`
};

static int64_t window_sample_ns(const struct trigger *t) {
    int64_t part_ns = t->down_window_ns / WINDOW_SAMPLES;
    return part_ns < WINDOW_SAMPLE_NS ? part_ns : WINDOW_SAMPLE_NS;
}

int decider_new(struct decider **ret, const struct trigger *t) {
    struct decider *d = mem_zalloc(sizeof(*d));
    if (!d)
        return ERR_NOMEM;
    d->trigger = t;
    d->gated_since_ns = d->saturating_since_ns = INT64_MIN;
    // A want each 15 s, and at once those that are larger than all kept (which leave one entry).
    int r = peak_init(&d->window,
                      (uint32_t)(t->down_window_ns / WINDOW_SAMPLE_NS) + WINDOW_SAMPLES + 4);
    if (r == 0 && t->burst_memory_ns > 0)
        r = peak_init(&d->burst, (uint32_t)(t->burst_memory_ns / BURST_SAMPLE_NS) + 4);
    for (uint32_t i = 0; r == 0 && i < t->rule_n; i++)
        if (size_needs_mean(&t->rule[i])) {
            d->means[i] = mem_zalloc(sizeof(*d->means[i]));
            r = d->means[i] ? 0 : ERR_NOMEM;
        }
    if (r) {
        decider_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

struct decider *decider_free(struct decider *d) {
    if (!d)
        return NULL;
    peak_done(&d->window);
    peak_done(&d->burst);
    for (int i = 0; i < SIGNAL_MAX; i++)
        mem_free(d->means[i]);
    mem_free(d);
    return NULL;
}

void decider_seed(struct decider *d, int32_t desired, uint64_t sequence, int64_t now_ns) {
    d->seeded = true;
    d->sequence = sequence;
    d->last = d->spec = desired;
    d->known_ns = d->seen_ns = d->sampled_ns = now_ns;
    peak_add(&d->window, now_ns, desired);
}

void decider_restore(struct decider *d, const struct decider_memory *m, int64_t now_ns) {
    if (!m->decided)
        return;
    if (m->n == 0) {
        decider_seed(d, m->desired, m->sequence, now_ns);
        return;
    }
    d->seeded = true;
    d->sequence = m->sequence;
    d->last = d->spec = m->desired;
    d->known_ns = d->seen_ns = now_ns;
    peak_expire(&d->window, INT64_MAX);
    for (uint32_t i = 0; i < m->n; i++)
        peak_add(&d->window, m->window[i].at_ns, m->window[i].want);
    d->sampled_ns = m->window[m->n - 1].at_ns; // the newest is the last sample
}

void decider_forget(struct decider *d, uint64_t sequence) {
    d->seeded = false;
    if (sequence > d->sequence)
        d->sequence = sequence;
    peak_expire(&d->window, INT64_MAX);
}

int64_t decider_window_ns(const struct decider *d) {
    struct peak_entry last;
    return peak_last(&d->window, &last) ? last.at_ns : INT64_MIN;
}

void decider_remember(const struct decider *d, struct decider_memory *ret) {
    *ret = (struct decider_memory){
        .decided = d->seeded, .desired = d->last, .sequence = d->sequence};
    ret->n = peak_copy(&d->window, ret->window, DECIDER_MEMORY_MAX);
}

double decide_publish(int32_t d, int32_t spec, int32_t status) {
    int32_t present = spec > status ? spec : status;
    if (d >= present)
        return d;
    return d > 0 ? d - 0.999 : 0;
}

static bool is_level(enum signal s) {
    return signals[s].kind == SIGNAL_LEVEL;
}

// One pod alone above a guard's target: told, never sized by.
static void note_hot_pod(struct tick *k, const struct record_signal *s,
                         const struct signal_total *total) {
    double limit = is_level(s->signal) ? s->target : 2 * s->target;
    if (s->role != ROLE_GUARD || s->breached == TRI_TRUE || !total->max_pod || total->known < 2 ||
        total->max <= limit || (k->r->notices & NOTICE_HOT_POD))
        return;
    struct str name = str_from(total->max_pod);
    if (name.n >= RECORD_POD_MAX)
        name.n = RECORD_POD_MAX - 1;
    memcpy(k->r->hot_pod, name.p, name.n);
    k->r->hot_pod[name.n] = '\0';
    k->r->hot_signal = s->signal;
    k->r->notices |= NOTICE_HOT_POD;
}

static struct size_input input_of(const struct tick *k) {
    return (struct size_input){.trigger = k->t,
                               .workload = k->w,
                               .queries = k->in->queries,
                               .now_ns = k->in->now_ns,
                               .n = k->n,
                               .rho = k->r->capacity.rho,
                               .capacity = &k->r->capacity};
}

// The capacity of a replica, where work sizes, and rho.
static void find_capacity(struct tick *k) {
    struct record_capacity *c = &k->r->capacity;
    const struct trigger_signal *s = trigger_rule_of(k->t, SIGNAL_WORK);
    c->misses = c->done_per_s = -1;
    struct trim_input in = {.trigger = k->t,
                            .workload = k->w,
                            .now_ns = k->in->now_ns,
                            .cold_start_ns = k->cold_start_ns,
                            .decided = k->r->observe ? k->n : k->d->last,
                            .ready = k->r->ready};
    trim_tick(&k->d->trim, &in, c);
    if (!s)
        return;
    struct signal_work work;
    signal_work(k->w, k->in->now_ns, &work);
    c->work_per_request = work.per_request;
    c->done_per_s = work.per_s_n ? work.per_s : -1;
    if (k->t->learns) {
        capacity_learned(&work, k->t->itl_ns, c);
    } else {
        c->source = CAPACITY_GIVEN;
        c->per_replica = s->target;
    }
}

static void evaluate_signals(struct tick *k) {
    struct size_input in = input_of(k);
    bool counted = signal_workload_demand_provides(k->w) >> DEMAND_REQUESTS_TOTAL & 1;
    for (uint32_t i = 0; i < k->t->rule_n; i++) {
        struct signal_total total;
        struct record_signal *s = &k->r->signals[k->r->signal_n++];
        size_signal(&in, &k->t->rule[i], k->d->means[i], s, &total);
        // Without a request counter at the demand source the engines' arrivals size alone.
        s->raise_only = s->signal == SIGNAL_DEMAND ? !counted : k->t->rule[i].raise_only && counted;
        note_hot_pod(k, s, &total);
        if (s->shared)
            k->r->notices |= NOTICE_SHARED_GPU;
        if (s->role == ROLE_CAPACITY && total.newest_ns != SIGNAL_TIME_UNKNOWN && total.known &&
            total.newest_ns > k->d->seen_ns)
            k->d->seen_ns = total.newest_ns;
    }
}

static enum tri evaluate_when(const struct tick *k) {
    if (k->t->when.n == 0)
        return TRI_TRUE;
    uint8_t bits[SIGNAL_MAX];
    uint32_t levels = 0;
    memset(bits, TRI_UNKNOWN, sizeof(bits));
    for (uint32_t i = 0; i < k->r->signal_n; i++) {
        const struct record_signal *s = &k->r->signals[i];
        bits[s->signal] = s->breached;
        if (is_level(s->signal))
            levels |= 1u << s->signal;
    }
    // While no pod is ready there is no GPU and no cache to look at: only loads count.
    return expr_eval(&k->t->when, bits, k->r->ready == 0 ? levels : 0);
}

static int32_t max32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

// A capacity signal's part in raising, in the floor and in the ceiling.
static void weigh_capacity(struct tick *k, const struct record_signal *s, bool may_raise) {
    bool staffed = s->sizing == SIZE_STAFFED;
    bool raises = staffed ? s->want_up > k->n : s->breached == TRI_TRUE;
    if (may_raise && raises)
        k->raise = max32(k->raise, s->want_up);
    if (may_raise && !raises) {
        int32_t enough = staffed ? s->want_up : size_ceil(s->need_lower / (1 + k->t->tolerance));
        k->floor = max32(k->floor, enough);
    }
    if (s->known > 0)
        k->blind = false;
    else if (!s->raise_only)
        k->r->missing |= 1u << s->signal;
    if (s->raise_only)
        return;
    k->ceiling = max32(k->ceiling, s->want_down);
    if (s->known < s->pods || s->pods == 0 || isinf(s->upper))
        k->exact = false;
}

static void weigh_signals(struct tick *k) {
    for (uint32_t i = 0; i < k->r->signal_n; i++) {
        const struct record_signal *s = &k->r->signals[i];
        bool may_raise = !s->gated || k->r->when == TRI_TRUE;
        switch (s->role) {
        case ROLE_CAPACITY:
            weigh_capacity(k, s, may_raise);
            break;
        case ROLE_GUARD:
            // Breached means need > n, so its ceiling is n + 1 at least.
            if (s->breached == TRI_TRUE && may_raise)
                k->raise = max32(k->raise, s->want_up);
            k->guard_in_vain |= s->breached == TRI_TRUE && !may_raise;
            k->guard = tri_or(k->guard, s->breached);
            break;
        case ROLE_SATURATING:
            k->saturated |= s->breached == TRI_TRUE && !s->gated;
            break;
        }
    }
    k->ceiling = max32(k->ceiling, max32(k->floor, k->raise));
}

// This tick's want: the last decision, moved into what is provably needed and provably enough.
// False: between those two nothing is known, the last decision stands and no want is noted.
static bool want(struct tick *k) {
    struct record *r = k->r;
    int32_t last = k->d->last;
    int32_t lowest = max32(k->raise, k->floor);
    // A pod without a value counts as one replica's capacity, which bounds what it holds only while
    // the service is not overloaded: it may lower below n, not take back a raise above it.
    bool enough = k->exact || (!k->blind && k->ceiling < k->n);
    bool proven = k->exact || last < lowest || (enough && last > k->ceiling);
    if (!proven) {
        r->reason = r->ready == 0 ? REASON_NO_POD_READY : REASON_UNKNOWN;
        return false;
    }
    r->want = last < lowest ? lowest : last > k->ceiling ? k->ceiling : last;
    r->reason = r->want > k->n ? REASON_RAISE : REASON_SIZE;
    if (r->want < last && (k->in->settling || k->in->stale)) {
        k->d->known_ns = k->in->now_ns; // something is: the window goes on as it is
        r->reason = REASON_UNKNOWN;
        r->want = -1;
        return false;
    }
    if (r->want >= last || k->guard == TRI_FALSE)
        return true;
    // Lowering is withheld while a guard is breached, or may be: a lost page must not lower.
    r->reason = k->guard == TRI_TRUE ? REASON_GUARD : REASON_GUARD_UNKNOWN;
    r->want = k->guard == TRI_TRUE ? last : -1;
    return k->guard == TRI_TRUE;
}

// Takes the want into the window and gives the largest that it holds.
static void damp(struct tick *k) {
    struct decider *d = k->d;
    struct record *r = k->r;
    int64_t now_ns = k->in->now_ns;
    struct peak_entry top;

    // Blind for longer than maxAge: what was decided before is observed for a whole window again.
    if (now_ns - d->known_ns > k->t->max_age_ns)
        peak_add(&d->window, now_ns, d->last);
    d->known_ns = now_ns;
    peak_expire(&d->window, now_ns - k->t->down_window_ns);
    bool larger = !peak_max(&d->window, &top) || r->want > top.want;
    if (larger || now_ns - d->sampled_ns >= window_sample_ns(k->t)) {
        peak_add(&d->window, now_ns, r->want);
        d->sampled_ns = now_ns;
    }
    r->desired = r->want;
    if (k->t->down_window_ns > 0 && peak_max(&d->window, &top) && top.want > r->want) {
        r->desired = top.want;
        r->reason = REASON_WINDOW;
        r->held_ns = top.at_ns + k->t->down_window_ns - now_ns;
    }
}

// At zero, and nothing is wanted: the window has nothing left to hold. Else a moment without sight
// would make it 0, and the window would raise it from there when it sees again.
static void let_go(struct tick *k) {
    peak_expire(&k->d->window, INT64_MAX);
    k->r->desired = 0;
    k->r->reason = REASON_ZERO;
    k->r->held_ns = 0;
}

// The highest demand of the last burstMemory, in 30 s steps.
static void remember_burst(struct tick *k) {
    struct decider *d = k->d;
    struct peak_entry top;
    if (d->burst.cap == 0)
        return;
    int64_t now_ns = k->in->now_ns;
    struct size_input in = input_of(k);
    if (d->burst.n == 0 || now_ns - d->burst_ns >= BURST_SAMPLE_NS) {
        peak_add(&d->burst, now_ns, size_burst(&in, BURST_SAMPLE_NS));
        d->burst_ns = now_ns;
    }
    peak_expire(&d->burst, now_ns - k->t->burst_memory_ns);
    if (k->n > 0 && peak_max(&d->burst, &top) && top.want > k->r->desired) {
        k->r->desired = top.want;
        k->r->reason = REASON_BURST;
    }
}

// `unclear`: a new leader has not heard of its pods yet, so that what lasted until then may last.
static bool lasted(int64_t *since_ns, bool is, bool unclear, int64_t now_ns) {
    if (!is && !unclear)
        *since_ns = INT64_MIN;
    else if (is && *since_ns == INT64_MIN)
        *since_ns = now_ns;
    return is && now_ns - *since_ns >= TOLD_AFTER_NS;
}

static void note_scene(struct record *r) {
    const struct record_scene *s = &r->scene;
    if (s->unschedulable > 0 && s->unschedulable_ns >= TOLD_AFTER_NS)
        r->notices |= NOTICE_UNSCHEDULABLE;
    if (s->rival[0] != '\0')
        r->notices |= NOTICE_RIVAL;
    if (s->hpa[0] != '\0' && !r->observe)
        r->notices |= NOTICE_SECOND_HPA;
    if (s->paused)
        r->notices |= NOTICE_PAUSED;
    if (s->unseen_ns > 0)
        r->notices |= NOTICE_UNSEEN;
    if (s->unasked_ns > 0)
        r->notices |= NOTICE_UNASKED;
}

static void note(struct tick *k) {
    struct record *r = k->r;
    int64_t now_ns = k->in->now_ns;
    if (lasted(&k->d->gated_since_ns, k->guard_in_vain, k->in->settling, now_ns))
        r->notices |= NOTICE_GUARD_GATED;
    if (lasted(&k->d->saturating_since_ns, k->saturated, k->in->settling, now_ns))
        r->notices |= NOTICE_SATURATING;
    if (r->asleep)
        r->notices |= NOTICE_ASLEEP;
    if (r->activity == INACTIVE_ZERO_UNKNOWN)
        r->notices |= NOTICE_ZERO_UNKNOWN;
    double ratio = r->status > 0 ? r->publish / r->status : 0;
    bool moves = r->desired != r->spec && !r->observe;
    if (moves && ratio >= 1 - HPA_TOLERANCE && ratio <= 1 + HPA_TOLERANCE &&
        r->desired != r->status)
        r->notices |= NOTICE_TOLERANCE;
    note_scene(r);
}

// Nothing to decide by: at zero nothing wakes; else the last decision stands, and after maxAge the
// caller is told. While no pod is ready there is nothing to see, and that is no failure.
static void hold(struct tick *k) {
    struct record *r = k->r;
    r->desired = k->d->last;
    if (!k->blind)
        return;
    if (k->n == 0) {
        r->reason = REASON_ZERO;
        r->desired = 0;
    }
    if (k->n > 0 && r->ready > 0 && r->unseen_ns > k->t->max_age_ns)
        r->state = DECISION_UNAVAILABLE;
}

static void start_record(struct decider *d, const struct signal_workload *w,
                         const struct decide_input *in, struct record *r) {
    struct signal_pods pods;
    signal_workload_pods(w, &pods);
    memset(r, 0, offsetof(struct record, signals));
    r->sequence = ++d->sequence;
    r->now_ns = in->now_ns;
    r->real_ns = in->real_ns;
    r->observe = d->trigger->mode == MODE_OBSERVE;
    r->spec = in->spec;
    r->status = in->status;
    r->ready = pods.ready;
    r->starting = pods.starting;
    r->terminating = pods.terminating;
    r->asleep = signal_asleep(w, in->now_ns, d->trigger->max_age_ns);
    r->want = -1;
    r->last = d->seeded ? d->last : -1;
    r->down_window_ns = d->trigger->down_window_ns;
    r->when = TRI_TRUE;
    if (in->scene != NULL)
        r->scene = *in->scene;
    for (uint32_t i = 0; i < d->trigger->query_n; i++)
        memcpy(r->queries[i], d->trigger->queries[i].name, sizeof(r->queries[i]));
}

void decider_tick(struct decider *d, const struct signal_workload *w, const struct decide_input *in,
                  struct record *ret) {
    struct tick k = {.d = d, .t = d->trigger, .w = w, .in = in, .r = ret};
    start_record(d, w, in, ret);
    bool first = !d->seeded;
    if (first && in->spec < 0) {
        ret->state = DECISION_UNAVAILABLE;
        ret->reason = REASON_FIRST;
        ret->activity = ACTIVE_UNKNOWN;
        ret->active = true;
        return;
    }
    if (first)
        decider_seed(d, in->spec, d->sequence, in->now_ns);
    if (in->spec >= 0)
        d->spec = in->spec;
    // Where it is not known now: what was decided, save for who only observes and moves nothing.
    k.n = in->spec >= 0 || ret->observe ? d->spec : d->last;
    k.cold_start_ns = k.t->cold_start_ns > 0 ? k.t->cold_start_ns
                                             : signal_workload_cold_start_ns(w);
    k.exact = k.blind = true;
    k.guard = TRI_FALSE;

    find_capacity(&k);
    evaluate_signals(&k);
    ret->when = evaluate_when(&k);
    weigh_signals(&k);
    if (k.n == 0 || ret->ready == 0)
        d->seen_ns = in->now_ns;
    ret->unseen_ns = in->now_ns - d->seen_ns;
    if (want(&k))
        damp(&k);
    else
        hold(&k);
    remember_burst(&k);
    if (first && ret->desired == in->spec && ret->want < 0)
        ret->reason = REASON_FIRST;
    ret->activity = active_decide(k.t, w, in->queries, in->now_ns, k.n, k.cold_start_ns);
    if (in->stale && ret->activity == INACTIVE_IDLE)
        ret->activity = ACTIVE_UNKNOWN; // of pods that are not seen
    ret->active = active_is(ret->activity);
    if (k.n == 0 && !ret->active && ret->want <= 0 && ret->desired > 0)
        let_go(&k);
    if (ret->active && ret->desired == 0) { // zero is for what is known to be idle
        ret->desired = 1;
        ret->reason = REASON_ACTIVE;
    }
    d->last = ret->desired;
    int32_t told = ret->observe ? k.n : ret->desired;
    ret->publish = decide_publish(told, in->spec, in->status);
    note(&k);
}
