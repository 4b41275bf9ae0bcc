// SPDX-License-Identifier: Apache-2.0
/* The demo's inference service; see service.h. */
#include "playground/service.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"

// Requests that a pod runs at once; the rest waits in its queue (vLLM's max_num_seqs, small here so
// that a queue shows within a minute).
#define POD_BATCH 12.0
#define TOKENS_PER_REQUEST 200.0

void service_init(struct service *s, int64_t cold_start_ns, int64_t now_ns) {
    *s = (struct service){.cold_start_ns = cold_start_ns, .now_ns = now_ns};
}

int service_pods(const struct service *s, enum service_pod_state state) {
    int n = 0;
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        n += s->pods[i].state == state;
    return n;
}

int service_replicas(const struct service *s) {
    return SERVICE_PODS_MAX - service_pods(s, SERVICE_POD_NONE);
}

struct service_load service_pod_load(const struct service_pod *p) {
    double inflight = p->arrived - p->finished;
    double running = fmin(inflight, POD_BATCH);
    return (struct service_load){
        .running = round(running),
        .waiting = round(inflight - running),
        .kv_cache_ratio = fmin(1.0, 0.02 + 0.05 * running),
        .gpu_busy_ratio = 1.0 - exp(-running),
        .sm_active_ratio = fmin(0.95, 0.25 * (1.0 - exp(-running)) + 0.055 * running),
    };
}

static void pod_advance(struct service *s, struct service_pod *p, double dt_s) {
    double inflight = p->arrived - p->finished;
    double rate = fmin(fmin(inflight, POD_BATCH) / SERVICE_REQUEST_S, SERVICE_POD_RATE);
    double done = fmin(inflight, rate * dt_s);
    p->finished += done;
    p->generated_tokens += done * TOKENS_PER_REQUEST;
    s->waited_s += fmax(0, inflight - POD_BATCH) * dt_s;
    s->busy_s += inflight > 0.05 ? dt_s : 0;
}

// Gives held requests to the ready pod with the fewest in flight, a little at a time.
static void dispatch(struct service *s) {
    while (s->held > 1e-9) {
        struct service_pod *least = NULL;
        for (int i = 0; i < SERVICE_PODS_MAX; i++) {
            struct service_pod *p = &s->pods[i];
            if (p->state == SERVICE_POD_READY &&
                (!least || p->arrived - p->finished < least->arrived - least->finished))
                least = p;
        }
        if (!least)
            return;
        double part = fmin(s->held, 0.25);
        least->arrived += part;
        s->held -= part;
    }
}

void service_advance(struct service *s, double rate, int64_t now_ns) {
    double dt_s = (double)(now_ns - s->now_ns) / (double)NS_PER_S;
    if (dt_s <= 0)
        return;
    s->now_ns = now_ns;
    s->arrived += rate * dt_s;
    s->held += rate * dt_s;
    for (int i = 0; i < SERVICE_PODS_MAX; i++) {
        struct service_pod *p = &s->pods[i];
        if (p->state == SERVICE_POD_NONE)
            continue;
        s->gpu_s += dt_s;
        if (p->state == SERVICE_POD_STARTING && now_ns - p->since_ns >= s->cold_start_ns)
            *p = (struct service_pod){.state = SERVICE_POD_READY, .since_ns = now_ns};
        if (p->state == SERVICE_POD_READY)
            pod_advance(s, p, dt_s);
    }
    dispatch(s);
    s->waited_s += s->held * dt_s;
}

int service_scale(struct service *s, int replicas) {
    int have = service_replicas(s);
    for (int i = 0; i < SERVICE_PODS_MAX && have < replicas; i++) {
        if (s->pods[i].state == SERVICE_POD_NONE) {
            s->pods[i] = (struct service_pod){.state = SERVICE_POD_STARTING, .since_ns = s->now_ns};
            have++;
        }
    }
    for (int i = SERVICE_PODS_MAX - 1; i >= 0 && have > replicas; i--) {
        if (s->pods[i].state != SERVICE_POD_NONE) {
            s->held += s->pods[i].arrived - s->pods[i].finished;
            s->pods[i] = (struct service_pod){.state = SERVICE_POD_NONE};
            have--;
        }
    }
    return have;
}

double service_traffic(double at_s, double total_s) {
    // (part of the run, requests a second there); linear between.
    static const struct {
        double at, rate;
    } shape[] = {{0.00, 0}, {0.06, 0}, {0.08, 1},   {0.30, 3.2}, {0.45, 3.2},
                 {0.47, 6}, {0.60, 6}, {0.62, 0.8}, {0.95, 0.8}, {1.00, 0.8}};
    double x = total_s > 0 ? at_s / total_s : 1;
    for (unsigned i = 1; i < COUNT_OF(shape); i++) {
        if (x <= shape[i].at) {
            double part = (x - shape[i - 1].at) / (shape[i].at - shape[i - 1].at);
            return shape[i - 1].rate + part * (shape[i].rate - shape[i - 1].rate);
        }
    }
    return shape[COUNT_OF(shape) - 1].rate;
}
