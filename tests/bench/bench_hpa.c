// SPDX-License-Identifier: Apache-2.0
/*
 * Syncs of an HPA per second of CPU time: 3 metrics (cpu utilization, an average over the pods, an
 * external average), 20 pods, 20 recommendations in memory, behavior with a window and two policies
 * in each direction. Values move, so that it scales up and down. Budget: 1 million a second.
 */
#include <stdio.h>

#include "base/clock.h"
#include "core/hpa/hpa.h"

enum { PODS = 20, METRICS = 3, SYNC_S = 15, STEPS = 2000000 };

static const struct hpa_policy policies[] = {{HPA_POLICY_PODS, 4, 60 * NS_PER_S},
                                             {HPA_POLICY_PERCENT, 50, 60 * NS_PER_S}};

struct bench {
    struct hpa_spec spec;
    struct hpa_input in;
    struct hpa_state s;
    struct hpa_result r;
    struct hpa_pod pods[PODS];
    struct hpa_pod_value values[METRICS][PODS];
    int64_t requests[PODS], series;
    struct hpa_reading readings[METRICS];
};

static const struct hpa_metric metrics[METRICS] = {
    {.type = HPA_RESOURCE,
     .name = "cpu",
     .target = {.type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = 70}},
    {.type = HPA_PODS,
     .name = "qps",
     .target = {.type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = 10000}},
    {.type = HPA_EXTERNAL,
     .name = "queue",
     .target = {.type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = 5000}},
};

static void make(struct bench *b, bool behavior, bool missing) {
    *b = (struct bench){.spec = {.min_replicas = 2,
                                 .max_replicas = 60,
                                 .metrics = metrics,
                                 .n_metrics = METRICS,
                                 .has_behavior = behavior}};
    hpa_rules_init_up(&b->spec.up);
    hpa_rules_init_down(&b->spec.down);
    b->spec.up.policies = b->spec.down.policies = policies;
    b->spec.up.n_policies = b->spec.down.n_policies = 2;
    b->in = (struct hpa_input){.now_ns = 1000000 * NS_PER_S,
                               .spec_replicas = PODS,
                               .status_replicas = PODS,
                               .pods = b->pods,
                               .n_pods = PODS,
                               .readings = b->readings};
    for (int i = 0; i < PODS; i++) {
        b->requests[i] = 500;
        b->pods[i] = (struct hpa_pod){HPA_RUNNING, false, HPA_TRUE, 0, 0};
        for (int k = 0; k < METRICS; k++)
            b->values[k][i] = (struct hpa_pod_value){.known = !(missing && i % 7 == 3),
                                                     .milli = k ? 5000 : 300,
                                                     .window_ns = 30 * NS_PER_S};
    }
    for (int k = 0; k < METRICS; k++)
        b->readings[k] = (struct hpa_reading){.values = b->values[k],
                                              .n_values = PODS,
                                              .requests_milli = b->requests,
                                              .series_milli = &b->series,
                                              .n_series = 1};
}

static void measure(const char *name, bool behavior, bool missing) {
    static struct bench b;
    struct hpa_controller c;
    hpa_controller_init(&c, 37);
    make(&b, behavior, missing);
    uint64_t rescales = 0, recommendations = 0;
    int64_t start_ns = clock_thread_cpu_ns();
    for (int i = 0; i < STEPS; i++) {
        b.in.now_ns += SYNC_S * NS_PER_S;
        b.series = 40000 + (int64_t)(i % 40) * 6000;
        b.values[0][i % PODS].milli = 200 + i % 300;
        hpa_step(&c, &b.spec, &b.in, &b.s, &b.r);
        rescales += b.r.rescale;
        recommendations += b.s.n_recommendations;
        b.in.spec_replicas = b.in.status_replicas = b.r.desired;
    }
    int64_t took_ns = clock_thread_cpu_ns() - start_ns;
    printf("%-44s %5.2f million syncs per CPU-second, %4.0f ns each; %.0f %% rescale, %.1f "
           "recommendations\n",
           name, STEPS * 1e3 / (double)took_ns, (double)took_ns / STEPS,
           100. * (double)rescales / STEPS, (double)recommendations / STEPS);
}

int main(void) {
    printf("%d metrics, %d pods; budget: 1 million syncs per CPU-second\n", METRICS, PODS);
    measure("no behavior", false, false);
    measure("behavior, two policies each way", true, false);
    measure("the same, every seventh pod without metrics", true, true);
    return 0;
}
