// SPDX-License-Identifier: Apache-2.0
/*
 * Decision ticks per second of CPU time: 10,000 triggers, each with a workload of its own with
 * several pods, pages each 5 s and GPU readings each second (not timed), as a scaler has them.
 * Budget: 10,000 in half a second of CPU.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/policy/decide.h"

enum { TRIGGERS = 10000, PODS = 4, WARM_S = 70, TIMED_S = 30 };

struct service {
    struct signal_workload *w;
    struct decider *d;
    struct signal_gpu *gpus[PODS];
};

static const struct trigger_preset preset = {
    .name = "custom",
    .linear = 1u << SIGNAL_GPU_UTILIZATION,
    .provides = (1u << ENGINE_VALUE_MAX) - 1,
};

// The same with continuous batching: no signal named, work sizes.
static const struct trigger_preset batching = {
    .name = "custom", .continuous_batching = true, .provides = (1u << ENGINE_VALUE_MAX) - 1};

static const char *const pod_names[PODS] = {"pod-a", "pod-b", "pod-c", "pod-d"};

static int make(struct service *s, struct signal_join *j, const struct trigger *t, int number) {
    char space[32];
    struct signal_engine engine = {.provides = preset.provides, .requests_finished = true};
    struct signal_pod pods[PODS];
    snprintf(space, sizeof(space), "space-%d", number);
    int r = signal_workload_new(&s->w, str_from(space), j, &engine);
    for (int i = 0; i < PODS; i++)
        pods[i] = (struct signal_pod){str_from(pod_names[i]), POD_READY, SIGNAL_TIME_UNKNOWN};
    r = r ? r : signal_workload_set_pods(s->w, pods, PODS, NS_PER_S);
    r = r ? r : decider_new(&s->d, t);
    for (int i = 0; r == 0 && i < PODS; i++) {
        struct signal_owner owner = {str_from(space), str_from(pod_names[i])};
        r = signal_gpu_new(j, &s->gpus[i]);
        r = r ? r : signal_gpu_set_owners(j, s->gpus[i], true, &owner, 1);
    }
    return r;
}

static void feed(struct service *s, int number, int64_t second) {
    for (int i = 0; i < PODS; i++) {
        struct gpu_reading reading = {0};
        gpu_reading_set(&reading, GPU_UTILIZATION_PCT, (double)((number + second * 7 + i) % 100));
        signal_gpu_set_reading(s->gpus[i], &reading, second * NS_PER_S, false);
        if (second % 5 != number % 5)
            continue;
        struct engine_sample page = {0};
        SAMPLE_SET(&page, ENGINE_QUEUE, (double)((number + second + i) % 12));
        SAMPLE_SET(&page, ENGINE_RUNNING, 4);
        SAMPLE_SET(&page, ENGINE_KV_CACHE_RATIO, 0.4);
        SAMPLE_SET(&page, ENGINE_REQUESTS_TOTAL, 1000. + (double)second * 2);
        SAMPLE_SET(&page, ENGINE_GENERATION_TOKENS_TOTAL, (double)second * 400);
        SAMPLE_SET(&page, ENGINE_PROMPT_TOKENS_TOTAL, (double)second * 1000);
        SAMPLE_SET(&page, ENGINE_ITL_SUM_S, (double)second * 20);
        SAMPLE_SET(&page, ENGINE_ITL_COUNT, (double)second * 400);
        for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++) {
            struct engine_buckets *b = &page.histograms[h];
            b->n = 22;
            for (uint32_t k = 0; k < b->n; k++) {
                b->le_s[k] = k + 1 < b->n ? 0.05 * (k + 1) : INFINITY;
                b->count[k] = (double)second * 2;
            }
        }
        signal_workload_engine(s->w, str_from(pod_names[i]), &page, second * NS_PER_S);
    }
}

static int measure(const char *name, const struct trigger_preset *p, const struct trigger_kv *kv,
                   size_t n) {
    struct err e = {0};
    struct trigger *t = NULL;
    struct signal_join *j = NULL;
    struct service *services = mem_array(TRIGGERS, sizeof(*services));
    if (!services || signal_join_new(&j) || trigger_bind(&t, kv, n, p, 1, &e)) {
        fprintf(stderr, "%s: %s\n", name, e.msg);
        return 1;
    }
    for (int i = 0; i < TRIGGERS; i++)
        if (make(&services[i], j, t, i)) {
            fprintf(stderr, "%s: no memory\n", name);
            return 1;
        }
    int64_t spent_ns = 0, worst_ns = 0;
    uint64_t decided = 0;
    for (int64_t second = 2; second < WARM_S + TIMED_S; second++) {
        for (int i = 0; i < TRIGGERS; i++)
            feed(&services[i], i, second);
        struct decide_input in = {second * NS_PER_S, second * NS_PER_S, PODS, PODS};
        struct record r;
        int64_t start_ns = clock_thread_cpu_ns();
        for (int i = 0; i < TRIGGERS; i++) {
            decider_tick(services[i].d, services[i].w, &in, &r);
            decided += (uint64_t)r.desired;
        }
        int64_t took_ns = clock_thread_cpu_ns() - start_ns;
        if (second < WARM_S)
            continue;
        spent_ns += took_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
    }
    double each_us = (double)spent_ns / 1e3 / TIMED_S / TRIGGERS;
    printf("%-34s %9.0f ticks per CPU-second, %5.2f us each; %d in %.1f ms (worst %.1f); mean "
           "decision %.2f\n",
           name, 1e6 / each_us, each_us, TRIGGERS, (double)spent_ns / 1e6 / TIMED_S,
           (double)worst_ns / 1e6, (double)decided / TRIGGERS / (WARM_S + TIMED_S - 2));
    for (int i = 0; i < TRIGGERS; i++) {
        for (int k = 0; k < PODS; k++)
            signal_gpu_free(j, services[i].gpus[k]);
        decider_free(services[i].d);
        signal_workload_free(services[i].w);
    }
    mem_free(services);
    signal_join_free(j);
    trigger_free(t);
    return 0;
}

int main(void) {
    static const struct trigger_kv llm[] = {{{"capacity", 8}, {"2.0", 3}}};
    static const struct trigger_kv classic[] = {{{"queue", 5}, {"10", 2}},
                                                {{"gpuUtilization", 14}, {"55", 2}}};
    static const struct trigger_kv all[] = {
        {{"capacity", 8}, {"2.0", 3}},   {{"queue", 5}, {"10", 2}},
        {{"kvCache", 7}, {"0.85", 4}},   {{"tokenRate", 9}, {"900", 3}},
        {{"running", 7}, {"8", 1}},      {{"gpuUtilization", 14}, {"55", 2}},
        {{"burstMemory", 11}, {"1h", 2}}};
    static const struct trigger_kv learned[] = {{{"coldStart", 9}, {"60s", 3}}};
    printf("%d triggers, %d pods with a GPU each; budget: %d ticks in 500 ms of CPU\n", TRIGGERS,
           PODS, TRIGGERS);
    return measure("capacity", &preset, llm, 1) +
           measure("queue and gpuUtilization", &preset, classic, 2) +
           measure("six signals, burst memory", &preset, all, 7) +
           measure("work, learned and trimmed", &batching, learned, 1);
}
