// SPDX-License-Identifier: Apache-2.0
/*
 * What scales the demo's service: the HPA (core/hpa) and KEDA's part of it (core/hpa/keda), fed by
 * one of three policies. Each is done as it would be in a cluster that works; only the clock runs
 * faster: every time constant of Kubernetes, KEDA, Prometheus and metrics-server is divided by
 * `speed`. docs/demo-policies.md says what was chosen, and why.
 *
 *     DRIVER_CPU       an HPA on CPU utilization of 70 %: each pod's CPU time from the kernel
 *                      (driver_proc.h), read as metrics-server does every 15 s (driver_usage.h),
 *                      over the pods' CPU requests; pods that are starting or have no metrics yet
 *                      as the HPA treats them. Sync every 15 s.
 *     DRIVER_CLASSIC   the ScaledObject of the usual recipe, working: trigger 0 is the average
 *                      GPU utilization over the GPUs of the service (threshold 55), trigger 1 the
 *                      sum of the engines' queues (threshold 10), both AverageValue. Pages of the
 *                      agent and of the engines are scraped every 15 s as Prometheus would
 *                      (driver_series.h); KEDA polls every 30 s, the HPA asks every 15 s and takes
 *                      the larger. No behavior section: the recipe has none.
 *     DRIVER_GPUSCALE  gpuscale's ScaledObject: trigger external-push, spoken to the real scaler
 *                      over gRPC as KEDA does (driver_scaler.h), target 1, AverageValue; behavior
 *                      with a scale-down window of 0 and a tolerance of 0; fallback
 *                      currentReplicasIfHigher.
 *
 * One loop, one thread. It reads the clock, /proc, and its sockets; it changes nothing: who owns
 * the pods gets a wish and a sentence. Times in pods and in the view are clock_mono_ns().
 */
#pragma once

#include <uv.h>

#include "playground/driver_brain.h"

struct driver_options {
    enum driver_policy policy;
    double speed; // > 0: every time constant is divided by it
    int min_replicas, max_replicas;
    double cpu_request_cores; // CPU: of each pod
    // CLASSIC: HOST:PORT of the agent's /metrics, and what the engines call their queue.
    const char *agent_addr;
    const char *queue_metric; // NULL: "vllm:num_requests_waiting"
    // GPUSCALE: the scaler's gRPC address and the trigger.
    const char *scaler_addr;
    const char *namespace_, *name;    // of the ScaledObject
    const char *const (*metadata)[2]; // key, value; ends with {NULL, NULL}; borrowed for life
    int64_t cooldown_ns;              // KEDA's cooldownPeriod before division; 0: 300 s

    // Fills at most `cap` pods; called at every reading, sync and poll.
    size_t (*pods)(void *ctx, struct driver_pod *pods, size_t cap);
    // spec.replicas now.
    int (*replicas)(void *ctx);
    // The HPA or KEDA sets spec.replicas. `who` is "HPA" or "KEDA"; the reason is a sentence
    // without a full stop. Called only when the number differs from replicas().
    void (*decided)(void *ctx, int replicas, const char *who, const char *reason);
    // Something that it reads failed, or works again (what = NULL); told once for each change.
    void (*troubled)(void *ctx, const char *what);
    // CPU: how a process's CPU time is read; NULL: driver_proc_read().
    int (*read_cpu)(int pid, int64_t *ret_cpu_ns, struct err *e);
    void *ctx;
};

struct driver;

// Starts its timers; the first HPA sync comes after one sync period. ERR_INVALID: an option is
// missing or out of range, with its name.
int driver_new(struct driver **ret, uv_loop_t *loop, const struct driver_options *options,
               struct err *e);
// NULL-safe; its sockets close on the loop's next turns. Not from inside its callbacks.
struct driver *driver_free(struct driver *d);
// The agent or the scaler listens elsewhere since a restart; connects there.
void driver_set_agent(struct driver *d, const char *addr);
void driver_set_scaler(struct driver *d, const char *addr);
const struct driver_view *driver_view(const struct driver *d);
