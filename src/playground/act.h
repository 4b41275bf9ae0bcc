// SPDX-License-Identifier: Apache-2.0
/*
 * One act of the demo: a fresh agent and scaler, the gateway, the pool of engines and the load, and
 * one policy that says how many replicas there are. It begins with the smallest number of replicas,
 * ready, and measures for as long as the load sends; then what is still under way may finish.
 *
 * An agent or a scaler that dies is started again at the same ports, as a DaemonSet and a
 * Deployment do; replicas stay as they are meanwhile. One loop, one thread.
 */
#pragma once

#include <uv.h>

#include "core/signal/reading.h"
#include "playground/driver.h"
#include "playground/gateway.h"
#include "playground/plan.h"
#include "playground/pool.h"
#include "playground/progress.h"
#include "playground/rule.h"

struct act;

struct act_result {
    bool whole;               // to the load's end
    double gpu_s, idle_gpu_s; // GPU-seconds while the load was sent; idle: without a request
    struct progress load;     // its last line
    struct gateway_stats gateway;
    int64_t scale_events; // changes of spec.replicas
};

struct act_callbacks {
    void (*began)(void *ctx); // the load starts
    // Something was decided (replicas >= 0) or happened (-1): who, and a sentence.
    void (*told)(void *ctx, const char *who, int replicas, const char *text);
    // Once, last: everything that it started has ended. why: NULL, or why it could not go on.
    void (*ended)(void *ctx, const struct act_result *result, const struct err *why);
    void *ctx;
};

struct act_options {
    enum driver_policy policy;
    const struct plan *plan;
    const char *agent, *program; // paths
    const char *folder;          // of the run
};

struct act_gpu {
    const char *pod; // NULL: free
    enum roster_state state;
    unsigned requests; // at its engine
    struct gpu_reading reading;
};

struct act_view { // pointers hold until the loop turns
    double t_s;   // since the load's start; below 0: before
    bool over;    // it is ending: its pods are not told any more
    int spec, ready, starting, pending, terminating;
    int32_t waiting; // in the engines; -1: unknown
    double gpu_s, idle_gpu_s;
    struct gateway_stats gateway;
    const struct progress *load;      // NULL: no line yet
    const struct driver_view *driver; // NULL: not begun
    const struct rule *rule; // what the scaler says of its rule; NULL: another policy's act
    struct act_gpu gpus[LIMIT_PLAYGROUND_GPUS];
    int gpu_n;
};

// ERR_*: nothing was started. `options` is copied, its plan and paths borrowed.
int act_start(struct act **ret, uv_loop_t *loop, const struct act_options *options,
              const struct act_callbacks *callbacks, struct err *e);
void act_stop(struct act *a); // `ended` follows; again: at once, by SIGKILL
void act_view(const struct act *a, struct act_view *ret);
