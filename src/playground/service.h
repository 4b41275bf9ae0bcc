// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's inference service: a fluid model of requests that arrive at a gateway, are held while
 * no pod is ready, and are served by pods with continuous batching, one simulated GPU each. Pure:
 * time is an argument, deterministic. It stands in for real engines; what reads it (the agent, the
 * scaler, KEDA's calls) is real.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SERVICE_PODS_MAX = 4 };

enum service_pod_state { SERVICE_POD_NONE, SERVICE_POD_STARTING, SERVICE_POD_READY };

struct service_pod {
    enum service_pod_state state;
    int64_t since_ns;        // of the state
    double arrived;          // requests given to this pod
    double finished;         // counter of its page
    double generated_tokens; // counter of its page
};

struct service {
    struct service_pod pods[SERVICE_PODS_MAX];
    double arrived;  // the gateway's counter
    double held;     // requests waiting at the gateway for a ready pod
    double waited_s; // request-seconds spent in the gateway or a queue, for the summary
    double gpu_s;    // GPU-seconds held by pods, starting ones too
    double busy_s;   // of these, with work
    int64_t cold_start_ns;
    int64_t now_ns;
};

// What one pod's page shows.
struct service_load {
    double running, waiting;
    double kv_cache_ratio;
    double gpu_busy_ratio; // what the GPU's utilization reads: near 1 with the first requests
    double sm_active_ratio;
};

// Requests a second that one pod sustains, and seconds that a request takes alone.
#define SERVICE_POD_RATE 2.2
#define SERVICE_REQUEST_S 4.0

void service_init(struct service *s, int64_t cold_start_ns, int64_t now_ns);
// Advances to now_ns with `rate` requests a second arriving since the last call.
void service_advance(struct service *s, double rate, int64_t now_ns);
// Sets the number of pods: new ones start cold, surplus ones end (their requests go back to the
// gateway). Returns the number of pods after it, at most SERVICE_PODS_MAX.
int service_scale(struct service *s, int replicas);
int service_pods(const struct service *s, enum service_pod_state state);
int service_replicas(const struct service *s);
struct service_load service_pod_load(const struct service_pod *p);

// The demo's traffic at `at_s` of `total_s`: quiet, a ramp, a plateau, a burst, a quiet end.
double service_traffic(double at_s, double total_s);
