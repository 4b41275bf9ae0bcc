// SPDX-License-Identifier: Apache-2.0
/*
 * One HPA and what it sees, for the tests of the HPA's arithmetic. Pods are written as letters:
 *     r ready   u running, never been ready   p pending   d being deleted   f failed   s succeeded
 * and a value of -1 means that the metrics API has none.
 */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "core/hpa/hpa.h"
#include "core/hpa/hpa_text.h"

enum { WORLD_METRICS = 4, WORLD_PODS = 16, NOW_S = 1000000 };

struct world {
    struct hpa_controller c;
    struct hpa_spec spec;
    struct hpa_input in;
    struct hpa_state s;
    struct hpa_result r;
    struct hpa_metric metrics[WORLD_METRICS];
    struct hpa_reading readings[WORLD_METRICS];
    struct hpa_pod pods[WORLD_PODS];
    struct hpa_pod_value values[WORLD_METRICS][WORLD_PODS];
    int64_t requests[WORLD_PODS], series[WORLD_METRICS][WORLD_PODS];
};

static inline void world_init(struct world *w, int32_t replicas) {
    memset(w, 0, sizeof(*w));
    hpa_controller_init(&w->c, 37);
    w->spec = (struct hpa_spec){
        .min_replicas = 1, .max_replicas = 100, .metrics = w->metrics, .namespace_ = "default"};
    hpa_rules_init_up(&w->spec.up);
    hpa_rules_init_down(&w->spec.down);
    w->in = (struct hpa_input){.now_ns = NOW_S * NS_PER_S,
                               .spec_replicas = replicas,
                               .status_replicas = replicas,
                               .pods = w->pods,
                               .readings = w->readings};
    for (int i = 0; i < WORLD_METRICS; i++) {
        w->readings[i].values = w->values[i];
        w->readings[i].requests_milli = w->requests;
        w->readings[i].series_milli = w->series[i];
    }
}

// Pods an hour old, with a request of a whole core each.
static inline void world_pods(struct world *w, const char *letters) {
    int64_t hour_ago_ns = w->in.now_ns - 3600 * NS_PER_S;
    w->in.n_pods = strlen(letters);
    for (size_t i = 0; letters[i]; i++) {
        w->pods[i] = (struct hpa_pod){
            .phase = letters[i] == 'p'   ? HPA_PENDING
                     : letters[i] == 'f' ? HPA_FAILED
                     : letters[i] == 's' ? HPA_SUCCEEDED
                                         : HPA_RUNNING,
            .deleted = letters[i] == 'd',
            .ready = letters[i] == 'u' ? HPA_FALSE : HPA_TRUE,
            .started_ns = hour_ago_ns,
            .ready_since_ns = hour_ago_ns,
        };
        w->requests[i] = 1000;
    }
}

static inline struct hpa_metric *world_metric(struct world *w, enum hpa_metric_type type,
                                              const char *name) {
    struct hpa_metric *m = &w->metrics[w->spec.n_metrics++];
    *m = (struct hpa_metric){.type = type,
                             .name = name,
                             .container = "main",
                             .object_kind = "Service",
                             .object_name = "front"};
    return m;
}

static inline void world_values(struct world *w, size_t metric, const int64_t *milli, size_t n) {
    for (size_t i = 0; i < n; i++)
        w->values[metric][i] = (struct hpa_pod_value){.known = milli[i] >= 0,
                                                      .milli = milli[i],
                                                      .at_ns = w->in.now_ns,
                                                      .window_ns = 30 * NS_PER_S};
    w->readings[metric].n_values = n;
}

// One External metric with this target per pod and this sum.
static inline void world_external(struct world *w, int64_t sum_milli, int64_t average_milli) {
    struct hpa_metric *m = world_metric(w, HPA_EXTERNAL, "queue");
    m->target = (struct hpa_target){
        .type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = average_milli};
    w->series[w->spec.n_metrics - 1][0] = sum_milli;
    w->readings[w->spec.n_metrics - 1].n_series = 1;
}

static inline void world_step(struct world *w) {
    hpa_step(&w->c, &w->spec, &w->in, &w->s, &w->r);
}

// A later sync: the scale was set, the pods followed.
static inline void world_later(struct world *w, int64_t seconds) {
    w->in.spec_replicas = w->in.status_replicas = w->r.desired;
    w->in.now_ns += seconds * NS_PER_S;
}
