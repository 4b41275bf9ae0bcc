// SPDX-License-Identifier: Apache-2.0
/*
 * A service of continuously batching engines in virtual time, under the real decider: arrivals go
 * to the least loaded ready replica; an iteration takes base + context x tokens held + prefill x
 * tokens prefilled; pages are scraped with jitter and losses; replicas take a cold start to come
 * and drain before they go. The true capacity is known because the coefficients are.
 */
#pragma once

#include <limits.h>
#include <math.h>

#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/policy/decide.h"
#include "core/signal/work.h"

enum {
    FLEET_PODS = 512, // ever
    FLEET_BATCH = 256,
    FLEET_TTFT_EDGES = 23,
    FLEET_TPOT_EDGES = 20,
};

// vLLM's edges.
static const double fleet_ttft_edges[FLEET_TTFT_EDGES] = {
    .001, .005, .01, .02, .04, .06, .08, .1,  .25, .5,   .75,     1,
    2.5,  5,    7.5, 10,  20,  40,  80,  160, 640, 2560, INFINITY};
static const double fleet_tpot_edges[FLEET_TPOT_EDGES] = {
    .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, INFINITY};

struct fleet_model {
    double base_s, context_s, prefill_s; // of an iteration; a token held; a token prefilled
    int chunk, batch;                    // prefill tokens of an iteration, sequences
    double kv_tokens;
};
// llama2-70b on four H100 (reference study, section 1).
static const struct fleet_model fleet_70b = {.0286, .00000064, .0001073, 512, 128, 450000};
// Of an 8b's kind on one: quicker, and more fits in a step.
static const struct fleet_model fleet_8b = {.0075, .00000010, .0000400, 2048, 256, 500000};

struct fleet_request {
    double at_s;
    int prompt, output;
};

struct fleet_running {
    const struct fleet_request *r;
    int left;       // of the prompt
    long done_at;   // iteration that gives the last token
    double first_s; // when the first came; < 0: not yet
};

struct fleet_pod {
    char name[16];
    bool exists, ready, terminating, asleep;
    double ready_at_s, born_s;
    double clock_s; // iterations are done up to here
    long iteration;
    struct fleet_running run[FLEET_BATCH];
    int running;
    double held; // tokens of the KV cache, prompt and output reserved
    double context;
    int decoding;
    long next_done;                     // iteration at which the first of them ends
    const struct fleet_request **queue; // ring
    int queue_cap, queue_head, queued;
    // counters
    double finished, prompt, generated, itl_sum, itl_count;
    double ttft[FLEET_TTFT_EDGES], tpot[FLEET_TPOT_EDGES];
};

struct fleet_options {
    const char *metadata;
    struct fleet_model model;
    double cold_start_s;
    int n0, max;
    bool fixed;                        // n0 for ever: nothing is decided
    bool no_histograms;                // pages without latency buckets
    double scrape_lost;                // share of lost scrapes
    double jitter_s;                   // of scrape times
    double aborted;                    // share of requests that leave in the middle, uncounted
    double restart_every_s;            // of a random replica; 0: never
    bool demand;                       // arrivals are counted at a gateway
    double asleep_from_s, asleep_to_s; // replica 0
    uint64_t seed;
};

struct fleet {
    struct fleet_options o;
    struct trigger *t;
    struct signal_workload *w;
    struct decider *d;
    struct random rng;
    struct record r;
    struct fleet_pod *pods;
    int pod_n;
    int32_t spec;
    double now_s;
    const struct fleet_request *next, *end;
    const struct fleet_request **held; // at the gateway, no pod is ready
    int held_n, held_cap;
    double arrived;
    // results
    double replica_s, done, missed, lost;
    int ups, downs, reversals, last_dir;
    double last_change_s;
    int32_t least, most;
};

static inline int64_t fleet_ns(double s) {
    return (int64_t)((1000 + s) * 1e9);
}

static inline void fleet_pods_told(struct fleet *f) {
    static struct signal_pod told[FLEET_PODS];
    size_t n = 0;
    for (int i = 0; i < f->pod_n; i++) {
        struct fleet_pod *p = &f->pods[i];
        if (p->exists)
            told[n++] = (struct signal_pod){.name = str_from(p->name),
                                            .state = p->terminating ? POD_TERMINATING
                                                     : p->ready     ? POD_READY
                                                                    : POD_STARTING,
                                            .started_ns = fleet_ns(p->born_s)};
    }
    assert_int_equal(signal_workload_set_pods(f->w, told, n, fleet_ns(f->now_s)), 0);
}

static inline void fleet_add(struct fleet *f, double ready_at_s) {
    assert_true(f->pod_n < FLEET_PODS);
    struct fleet_pod *p = &f->pods[f->pod_n];
    snprintf(p->name, sizeof(p->name), "pod-%d", f->pod_n++);
    p->exists = true;
    p->born_s = f->now_s;
    p->ready_at_s = ready_at_s;
    p->clock_s = ready_at_s;
    p->next_done = LONG_MAX;
}

static const struct trigger_preset fleet_preset = {
    .name = "vllm", .continuous_batching = true, .provides = (1u << ENGINE_VALUE_MAX) - 1};

static inline void fleet_open(struct fleet *f, const struct fleet_options *o,
                              const struct fleet_request *requests, size_t n) {
    struct err e = {0};
    struct trigger_kv kv[16];
    size_t pairs = 0;
    memset(f, 0, sizeof(*f));
    f->o = *o;
    f->next = requests;
    f->end = requests + n;
    random_init(&f->rng, o->seed);
    struct str rest = str_from(o->metadata);
    while (rest.n > 0) {
        struct str pair = str_cut(&rest, ';');
        kv[pairs].key = str_cut(&pair, '=');
        kv[pairs++].value = pair;
    }
    struct trigger_preset presets[] = {{.name = "custom"}, fleet_preset};
    if (trigger_bind(&f->t, kv, pairs, presets, 2, &e))
        fail_msg("%s: %s", o->metadata, e.msg);
    struct signal_engine engine = {.provides = fleet_preset.provides, .requests_finished = true};
    assert_int_equal(signal_workload_new(&f->w, STR("shop"), NULL, &engine), 0);
    assert_int_equal(decider_new(&f->d, f->t), 0);
    if (o->demand)
        signal_workload_set_demand(f->w, 1u << DEMAND_REQUESTS_TOTAL);
    f->pods = mem_array(FLEET_PODS, sizeof(*f->pods));
    assert_non_null(f->pods);
    f->spec = f->least = f->most = o->n0;
    for (int i = 0; i < o->n0; i++)
        fleet_add(f, 0);
    for (int i = 0; i < o->n0; i++)
        f->pods[i].ready = true;
    fleet_pods_told(f);
}

static inline void fleet_close(struct fleet *f) {
    for (int i = 0; i < f->pod_n; i++)
        mem_free(f->pods[i].queue);
    mem_free(f->pods);
    mem_free(f->held);
    decider_free(f->d);
    signal_workload_free(f->w);
    trigger_free(f->t);
}

static inline void fleet_observe(double *counts, const double *edges, int n, double v) {
    for (int i = 0; i < n; i++)
        counts[i] += v <= edges[i];
}

static inline void fleet_done(struct fleet *f, struct fleet_pod *p, const struct fleet_running *x,
                              double end_s) {
    double ttft = x->first_s - x->r->at_s;
    double alone = f->o.model.base_s + f->o.model.prefill_s * x->r->prompt;
    double tpot = x->r->output > 1 ? (end_s - x->first_s) / (x->r->output - 1) : 0;
    p->finished++;
    if (x->r->output > 1)
        fleet_observe(p->tpot, fleet_tpot_edges, FLEET_TPOT_EDGES, tpot);
    f->done++;
    f->missed += ttft > (double)f->t->ttft_ns / 1e9 + 3 * alone ||
                 tpot > (double)f->t->itl_ns / 1e9;
}

static inline void fleet_leave(struct fleet_pod *p, int i) {
    struct fleet_running *x = &p->run[i];
    p->held -= x->r->prompt + x->r->output;
    if (x->first_s >= 0) {
        p->decoding--;
        p->context -= x->r->prompt + (x->r->output - (double)(x->done_at - p->iteration));
    }
    memmove(x, x + 1, (size_t)(p->running - i - 1) * sizeof(*x));
    p->running--;
}

static inline void fleet_admit(struct fleet *f, struct fleet_pod *p) {
    while (p->queued > 0 && p->running < f->o.model.batch) {
        const struct fleet_request *r = p->queue[p->queue_head];
        if (p->running > 0 && p->held + r->prompt + r->output > f->o.model.kv_tokens)
            return;
        p->queue_head = (p->queue_head + 1) % p->queue_cap;
        p->queued--;
        p->held += r->prompt + r->output;
        p->run[p->running++] = (struct fleet_running){.r = r, .left = r->prompt, .first_s = -1};
    }
}

// One iteration of a replica that has something to do.
static inline void fleet_iterate(struct fleet *f, struct fleet_pod *p) {
    const struct fleet_model *m = &f->o.model;
    fleet_admit(f, p);
    int budget = m->chunk, filled = 0, first[FLEET_BATCH], firsts = 0;
    for (int i = 0; i < p->running && budget > 0 && p->decoding < p->running; i++) {
        struct fleet_running *x = &p->run[i];
        if (x->first_s >= 0)
            continue;
        int take = x->left < budget ? x->left : budget;
        x->left -= take;
        budget -= take;
        filled += take;
        if (x->left == 0)
            first[firsts++] = i;
    }
    double step = m->base_s + m->context_s * p->context + m->prefill_s * filled;
    p->clock_s += step;
    p->iteration++;
    p->generated += p->decoding;
    p->itl_sum += p->decoding * step;
    p->itl_count += p->decoding;
    p->context += p->decoding;
    for (int k = 0; k < firsts; k++) {
        struct fleet_running *x = &p->run[first[k]];
        x->first_s = p->clock_s;
        x->done_at = p->iteration + x->r->output - 1;
        p->next_done = x->done_at < p->next_done ? x->done_at : p->next_done;
        p->prompt += x->r->prompt;
        p->generated++;
        p->decoding++;
        p->context += x->r->prompt + 1;
        fleet_observe(p->ttft, fleet_ttft_edges, FLEET_TTFT_EDGES, p->clock_s - x->r->at_s);
    }
    if (p->iteration < p->next_done)
        return;
    p->next_done = LONG_MAX;
    for (int i = p->running - 1; i >= 0; i--) {
        struct fleet_running *x = &p->run[i];
        if (x->first_s >= 0 && x->done_at <= p->iteration) {
            fleet_done(f, p, x, p->clock_s);
            fleet_leave(p, i);
        } else if (x->first_s >= 0 && x->done_at < p->next_done) {
            p->next_done = x->done_at;
        }
    }
}

static inline void fleet_run_pod(struct fleet *f, struct fleet_pod *p, double until_s) {
    while (p->clock_s < until_s && (p->running || p->queued))
        fleet_iterate(f, p);
    if (p->clock_s < until_s)
        p->clock_s = until_s;
}

static inline void fleet_push(const struct fleet_request ***ring, int *cap, int *head, int n,
                              const struct fleet_request *r) {
    if (n == *cap) {
        int grown = *cap ? 2 * *cap : 64;
        const struct fleet_request **fresh = mem_array((size_t)grown, sizeof(*fresh));
        assert_non_null(fresh);
        for (int i = 0; i < n; i++)
            fresh[i] = (*ring)[(*head + i) % *cap];
        mem_free(*ring);
        *ring = fresh;
        *cap = grown;
        *head = 0;
    }
    (*ring)[(*head + n) % *cap] = r;
}

static inline bool fleet_route(struct fleet *f, const struct fleet_request *r) {
    struct fleet_pod *best = NULL;
    for (int i = 0; i < f->pod_n; i++) {
        struct fleet_pod *p = &f->pods[i];
        if (p->exists && p->ready && !p->terminating && !p->asleep &&
            (!best || p->running + p->queued < best->running + best->queued))
            best = p;
    }
    if (!best)
        return false;
    fleet_push(&best->queue, &best->queue_cap, &best->queue_head, best->queued, r);
    best->queued++;
    return true;
}

// The arrivals of up to until_s, each after the replicas have got so far.
static inline void fleet_arrivals(struct fleet *f, double until_s) {
    for (; f->next < f->end && f->next->at_s < until_s; f->next++) {
        f->arrived++;
        for (int i = 0; i < f->pod_n; i++)
            if (f->pods[i].exists && f->pods[i].ready)
                fleet_run_pod(f, &f->pods[i], f->next->at_s);
        if (!fleet_route(f, f->next)) {
            int head = 0;
            fleet_push(&f->held, &f->held_cap, &head, f->held_n, f->next);
            f->held_n++;
        }
    }
    for (int i = 0; i < f->pod_n; i++)
        if (f->pods[i].exists && f->pods[i].ready)
            fleet_run_pod(f, &f->pods[i], until_s);
}

static inline void fleet_page(struct fleet *f, const struct fleet_pod *p) {
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_QUEUE, p->queued);
    SAMPLE_SET(&s, ENGINE_RUNNING, p->running);
    SAMPLE_SET(&s, ENGINE_KV_CACHE_RATIO, fmin(p->held / f->o.model.kv_tokens, 1));
    SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, p->finished);
    SAMPLE_SET(&s, ENGINE_PROMPT_TOKENS_TOTAL, p->prompt);
    SAMPLE_SET(&s, ENGINE_GENERATION_TOKENS_TOTAL, p->generated);
    SAMPLE_SET(&s, ENGINE_ITL_SUM_S, p->itl_sum);
    SAMPLE_SET(&s, ENGINE_ITL_COUNT, p->itl_count);
    SAMPLE_SET(&s, ENGINE_AWAKE, !p->asleep);
    if (!f->o.no_histograms) {
        struct engine_buckets *t = &s.histograms[ENGINE_TTFT], *o = &s.histograms[ENGINE_TPOT];
        t->n = FLEET_TTFT_EDGES;
        memcpy(t->le_s, fleet_ttft_edges, sizeof(fleet_ttft_edges));
        memcpy(t->count, p->ttft, sizeof(p->ttft));
        o->n = FLEET_TPOT_EDGES;
        memcpy(o->le_s, fleet_tpot_edges, sizeof(fleet_tpot_edges));
        memcpy(o->count, p->tpot, sizeof(p->tpot));
    }
    // What was read at the end of the second was asked for a little before.
    double asked_s = f->now_s - f->o.jitter_s * random_unit(&f->rng);
    (void)signal_workload_engine(f->w, str_from(p->name), &s, fleet_ns(asked_s));
}

static inline void fleet_forget(struct fleet *f, struct fleet_pod *p, bool counters) {
    f->lost += p->running + p->queued;
    p->running = p->queued = p->decoding = 0;
    p->context = p->held = 0;
    if (!counters)
        return;
    p->finished = p->prompt = p->generated = p->itl_sum = p->itl_count = 0;
    memset(p->ttft, 0, sizeof(p->ttft));
    memset(p->tpot, 0, sizeof(p->tpot));
}

static inline int fleet_count(const struct fleet *f, bool ready) {
    int n = 0;
    for (int i = 0; i < f->pod_n; i++)
        n += f->pods[i].exists && !f->pods[i].terminating && (!ready || f->pods[i].ready);
    return n;
}

// Not ready ones first, then the youngest.
static inline void fleet_remove_one(struct fleet *f) {
    struct fleet_pod *victim = NULL;
    for (int i = 0; i < f->pod_n; i++) {
        struct fleet_pod *p = &f->pods[i];
        if (!p->exists || p->terminating)
            continue;
        if (!victim || (victim->ready && !p->ready) || (victim->ready == p->ready))
            victim = p;
    }
    victim->terminating = true;
    if (!victim->ready)
        victim->exists = false;
}

static inline void fleet_scale(struct fleet *f, int32_t want) {
    want = want > f->o.max ? f->o.max : want;
    int32_t had = f->spec;
    if (f->o.fixed || want == had)
        return;
    int dir = want > had ? 1 : -1;
    f->ups += dir > 0;
    f->downs += dir < 0;
    f->reversals += f->last_dir == -dir && f->now_s - f->last_change_s < 600;
    f->last_dir = dir;
    f->last_change_s = f->now_s;
    for (; f->spec < want; f->spec++)
        fleet_add(f, f->now_s + f->o.cold_start_s);
    for (; f->spec > want; f->spec--)
        fleet_remove_one(f);
    f->least = f->spec < f->least ? f->spec : f->least;
    f->most = f->spec > f->most ? f->spec : f->most;
}

static inline void fleet_life(struct fleet *f) {
    for (int i = 0; i < f->pod_n; i++) {
        struct fleet_pod *p = &f->pods[i];
        if (!p->exists)
            continue;
        f->replica_s += 1;
        if (!p->ready && !p->terminating && f->now_s >= p->ready_at_s) {
            p->ready = true;
            p->clock_s = f->now_s;
        }
        if (p->terminating && p->running + p->queued == 0)
            p->exists = false;
    }
    if (f->held_n > 0 && fleet_route(f, f->held[0])) {
        for (int i = 1; i < f->held_n; i++)
            assert_true(fleet_route(f, f->held[i]));
        f->held_n = 0;
    }
}

static inline void fleet_faults(struct fleet *f) {
    if (f->o.restart_every_s > 0 && random_unit(&f->rng) * f->o.restart_every_s < 1) {
        struct fleet_pod *p = &f->pods[random_below(&f->rng, (uint64_t)f->pod_n)];
        if (p->exists && p->ready && !p->terminating) {
            fleet_forget(f, p, true);
            p->ready = false;
            p->ready_at_s = f->now_s + f->o.cold_start_s;
        }
    }
    struct fleet_pod *first = &f->pods[0];
    bool asleep = f->now_s >= f->o.asleep_from_s && f->now_s < f->o.asleep_to_s;
    if (asleep && !first->asleep)
        fleet_forget(f, first, false);
    first->asleep = asleep;
    for (int i = 0; i < f->pod_n && f->o.aborted > 0; i++) {
        // A request lives some 15 s: so often one of those that run is given up.
        struct fleet_pod *p = &f->pods[i];
        for (int k = p->running - 1; k >= 0; k--)
            if (random_unit(&f->rng) < f->o.aborted / 12)
                fleet_leave(p, k);
    }
}

// One second: load, pods, pages each 5 s, a tick; the HPA acts each 15 s.
static inline void fleet_second(struct fleet *f) {
    f->now_s += 1;
    fleet_arrivals(f, f->now_s);
    fleet_faults(f);
    fleet_life(f);
    fleet_pods_told(f);
    for (int i = 0; i < f->pod_n; i++) {
        struct fleet_pod *p = &f->pods[i];
        if (p->exists && p->ready && ((int)f->now_s + i) % 5 == 0 &&
            random_unit(&f->rng) >= f->o.scrape_lost)
            fleet_page(f, p);
    }
    if (f->o.demand) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, f->arrived);
        (void)signal_workload_demand(f->w, &s, fleet_ns(f->now_s));
    }
    struct decide_input in = {.now_ns = fleet_ns(f->now_s),
                              .real_ns = fleet_ns(f->now_s),
                              .spec = f->spec,
                              .status = fleet_count(f, false)};
    decider_tick(f->d, f->w, &in, &f->r);
    if ((int)f->now_s % 15 == 0 && f->r.state == DECISION_OK)
        fleet_scale(f, f->r.desired);
}

static inline void fleet_run(struct fleet *f, double seconds) {
    for (double end_s = f->now_s + seconds; f->now_s < end_s;)
        fleet_second(f);
}

// Conversations: lognormal prompts of mean 1155 and answers of mean 211 tokens, Poisson arrivals at
// rate(x, t), which is never above `most`.
static inline size_t fleet_requests(struct fleet_request **ret, uint64_t seed, double seconds,
                                    double (*rate)(double x, double t), double x, double most) {
    struct random rng;
    random_init(&rng, seed);
    size_t cap = (size_t)(seconds * most * 1.2) + 1000, n = 0;
    struct fleet_request *requests = mem_array(cap, sizeof(*requests));
    assert_non_null(requests);
    for (double t = random_exponential(&rng, 1 / most); t < seconds;
         t += random_exponential(&rng, 1 / most)) {
        if (random_unit(&rng) * most > rate(x, t))
            continue;
        double p = exp(6.55 + random_normal(&rng)), g = exp(5.03 + 0.8 * random_normal(&rng));
        assert_true(n < cap);
        requests[n++] = (struct fleet_request){t, 1 + (int)fmin(p, 8000), 1 + (int)fmin(g, 1500)};
    }
    *ret = requests;
    return n;
}

static inline double fleet_attained(const struct fleet *f) {
    return f->done > 0 ? 1 - f->missed / f->done : 1;
}
