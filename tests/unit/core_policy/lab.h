// SPDX-License-Identifier: Apache-2.0
/*
 * A workload in virtual time for the policy's tests: pods with steady loads, pages each 5 s, GPU
 * readings each second, a demand source each second, a tick each second. Everything on one clock
 * that starts at an arbitrary instant.
 */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/policy/decide.h"
#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/join.h"
#include "core/signal/workload.h"

enum { LAB_PODS = 64, LAB_GROUPS = 3 };

static const struct trigger_preset lab_presets[] = {
    {.name = "custom",
     .linear = 1u << SIGNAL_GPU_UTILIZATION | 1u << SIGNAL_SM_ACTIVITY,
     .provides = 1u << ENGINE_QUEUE | 1u << ENGINE_RUNNING | 1u << ENGINE_REQUESTS_TOTAL},
    {.name = "vllm", .continuous_batching = true, .provides = (1u << ENGINE_VALUE_MAX) - 1},
    {.name = "bare", .provides = 1u << ENGINE_QUEUE},
    // batches continuously and tells no tokens
    {.name = "dumb",
     .continuous_batching = true,
     .provides = 1u << ENGINE_QUEUE | 1u << ENGINE_RUNNING | 1u << ENGINE_KV_CACHE_RATIO |
                 1u << ENGINE_REQUESTS_TOTAL},
};

// "key=value;key=value" into pairs; the text must live as long as they.
static inline size_t lab_pairs(const char *text, struct trigger_kv *kv, size_t max) {
    struct str rest = str_from(text);
    size_t n = 0;
    while (rest.n > 0) {
        struct str pair = str_cut(&rest, ';');
        assert_true(n < max);
        kv[n].key = str_cut(&pair, '=');
        kv[n++].value = pair;
    }
    return n;
}

static inline int lab_bind(struct trigger **ret, const char *metadata, struct err *e) {
    struct trigger_kv kv[80];
    size_t n = lab_pairs(metadata, kv, COUNT_OF(kv));
    return trigger_bind(ret, kv, n, lab_presets, COUNT_OF(lab_presets), e);
}

// Pods that are alike. Each has one GPU.
struct lab_group {
    int count;
    enum pod_state state;
    double rate; // requests a second each
    double queue, running, kv, gpu_pct;
    bool lost;  // neither page nor reading arrives any more
    bool never; // nor did one ever
};

struct lab_demand {
    uint32_t provides;
    double rate, waiting, inflight;
    bool lost;
};

struct lab_pod {
    char name[24];
    struct lab_group as;
    double finished;
    struct signal_gpu *gpu;
    int64_t started_ns;
};

struct lab {
    struct signal_join *join;
    struct signal_workload *w;
    struct trigger *t;
    struct decider *d;
    struct lab_pod pods[LAB_PODS];
    int pod_n;
    struct lab_demand demand;
    double demanded;
    struct signal_external queries[LIMIT_TRIGGER_QUERIES];
    int64_t start_ns, now_ns;
    int32_t spec, status;
    struct record r;
};

static inline void lab_open(struct lab *l, const char *metadata) {
    struct err e = {0};
    memset(l, 0, sizeof(*l));
    l->start_ns = l->now_ns = 777 * NS_PER_S;
    for (int i = 0; i < LIMIT_TRIGGER_QUERIES; i++)
        l->queries[i].at_ns = SIGNAL_TIME_UNKNOWN;
    if (lab_bind(&l->t, metadata, &e))
        fail_msg("%s: %s", metadata, e.msg);
    const struct trigger_preset *p = lab_presets;
    while (strcmp(p->name, l->t->engine) != 0)
        p++;
    struct signal_engine engine = {.provides = p->provides, .requests_finished = true};
    assert_int_equal(signal_join_new(&l->join), 0);
    assert_int_equal(signal_workload_new(&l->w, STR("shop"), l->join, &engine), 0);
    assert_int_equal(decider_new(&l->d, l->t), 0);
    signal_workload_set_history(l->w, l->t->rate_window_ns);
}

static inline void lab_close(struct lab *l) {
    for (int i = 0; i < LAB_PODS; i++)
        signal_gpu_free(l->join, l->pods[i].gpu);
    decider_free(l->d);
    signal_workload_free(l->w);
    signal_join_free(l->join);
    trigger_free(l->t);
}

static inline void lab_own(struct lab *l, struct lab_pod *p) {
    struct signal_owner owner = {STR("shop"), str_from(p->name)};
    assert_int_equal(signal_gpu_new(l->join, &p->gpu), 0);
    assert_int_equal(signal_gpu_set_owners(l->join, p->gpu, true, &owner, 1), 0);
}

// Pods keep their place: pod i of the list before is pod i of this one.
static inline void lab_pods(struct lab *l, const struct lab_group groups[LAB_GROUPS]) {
    struct signal_pod told[LAB_PODS];
    l->pod_n = 0;
    for (int g = 0; g < LAB_GROUPS; g++)
        for (int i = 0; i < groups[g].count; i++) {
            struct lab_pod *p = &l->pods[l->pod_n];
            bool first = p->name[0] == '\0';
            assert_true(l->pod_n < LAB_PODS);
            if (first) {
                snprintf(p->name, sizeof(p->name), "pod-%d", l->pod_n);
                p->started_ns = groups[g].state == POD_STARTING ? l->now_ns : SIGNAL_TIME_UNKNOWN;
                p->finished = 1000;
                if (!groups[g].never)
                    lab_own(l, p);
            }
            // What is in the system has arrived: the finished count makes room for it.
            p->finished += p->as.queue + p->as.running - groups[g].queue - groups[g].running;
            if (p->finished < 0)
                p->finished = 0;
            p->as = groups[g];
            told[l->pod_n++] = (struct signal_pod){
                .name = str_from(p->name), .state = p->as.state, .started_ns = p->started_ns};
        }
    assert_int_equal(signal_workload_set_pods(l->w, told, (size_t)l->pod_n, l->now_ns), 0);
}

static inline void lab_page(struct lab *l, const struct lab_pod *p) {
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_QUEUE, p->as.queue);
    SAMPLE_SET(&s, ENGINE_RUNNING, p->as.running);
    SAMPLE_SET(&s, ENGINE_KV_CACHE_RATIO, p->as.kv);
    SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, p->finished);
    SAMPLE_SET(&s, ENGINE_GENERATION_TOKENS_TOTAL, p->finished * 200);
    assert_true(signal_workload_engine(l->w, str_from(p->name), &s, l->now_ns));
}

// One second of load and readings.
static inline void lab_second(struct lab *l) {
    l->now_ns += NS_PER_S;
    bool scrape = (l->now_ns - l->start_ns) / NS_PER_S % 5 == 0;
    for (int i = 0; i < l->pod_n; i++) {
        struct lab_pod *p = &l->pods[i];
        p->finished += p->as.rate;
        if (p->as.lost || p->as.never)
            continue;
        if (scrape && p->as.state != POD_STARTING)
            lab_page(l, p);
        struct gpu_reading r = {0};
        gpu_reading_set(&r, GPU_UTILIZATION_PCT, p->as.gpu_pct);
        signal_gpu_set_reading(p->gpu, &r, l->now_ns, false);
    }
    l->demanded += l->demand.rate;
    signal_workload_set_demand(l->w, l->demand.provides);
    if (l->demand.provides && !l->demand.lost) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, l->demanded);
        SAMPLE_SET(&s, DEMAND_WAITING, l->demand.waiting);
        SAMPLE_SET(&s, DEMAND_INFLIGHT, l->demand.inflight);
        s.valid &= l->demand.provides;
        assert_true(signal_workload_demand(l->w, &s, l->now_ns));
    }
}

static inline void lab_warm(struct lab *l, int seconds) {
    for (int i = 0; i < seconds; i++)
        lab_second(l);
}

static inline void lab_tick(struct lab *l) {
    struct decide_input in = {.now_ns = l->now_ns,
                              .real_ns = INT64_C(1795000000) * NS_PER_S + l->now_ns,
                              .spec = l->spec,
                              .status = l->status,
                              .queries = l->queries};
    decider_tick(l->d, l->w, &in, &l->r);
}

// Ticks at the end of each of the next seconds.
static inline void lab_run(struct lab *l, int seconds) {
    for (int i = 0; i < seconds; i++) {
        lab_second(l);
        lab_tick(l);
    }
}

static inline const char *lab_sentence(const struct record *r) {
    static char text[4096];
    CLEANUP_BUF struct buf b;
    buf_init(&b, sizeof(text) - 1);
    assert_int_equal(record_sentence(&b, r), 0);
    memcpy(text, b.p, b.len);
    text[b.len] = '\0';
    return text;
}

// Steady pods of any kind; groups[0] is what all are like.
static inline void lab_steady(struct lab *l, const char *metadata, int n, struct lab_group as) {
    struct lab_group groups[LAB_GROUPS] = {as};
    lab_open(l, metadata);
    groups[0].count = n;
    groups[0].state = POD_READY;
    l->spec = l->status = n;
    lab_pods(l, groups);
    lab_warm(l, 65);
}
