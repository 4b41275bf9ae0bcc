// SPDX-License-Identifier: Apache-2.0
/*
 * What the acts of a demo have in common: engines, load, budget, and how much faster the clocks of
 * Kubernetes and its kin run. Pure.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "playground/driver.h"

enum {
    PLAN_SETTINGS_MAX = 8,
    PLAN_RULE_MAX = 16,
    PLAN_TEXT_LEN = 128,
    PLAN_NOTES_MAX = 8,
    PLAN_NOTE_LEN = 256,
};

struct plan {
    bool classic;        // engines that do one request at a time
    const char *profile; // of the engines
    const char *settings[PLAN_SETTINGS_MAX + 1];
    int max_queue;
    double capacity;    // requests a second that one replica serves within its SLO
    double rate;        // requests a second of the plateau
    const char *tokens; // PROMPT:OUTPUT, their means; of continuous batching
    int64_t act_ns;     // of the load
    int64_t timeout_ns; // of a request
    int gpus, min_replicas, max_replicas;
    int64_t cold_start_ns, drain_ns;
    double cpu_request_cores; // of a pod
    double usd_per_gpu_hour;
    double speed;
    uint64_t seed;
    // Trigger metadata of gpuscale, ends with {NULL, NULL}.
    const char *rule[PLAN_RULE_MAX + 1][2];
    char texts[PLAN_RULE_MAX][PLAN_TEXT_LEN]; // made values of it
};

struct plan_options { // 0 or NULL: the engine's default
    bool classic;
    double rate, capacity, cpu_request_cores, usd_per_gpu_hour, speed;
    int64_t act_ns, cold_start_ns; // cold_start_ns < 0: the default
    int gpus, max_replicas;
    uint64_t seed;
};

// ERR_INVALID with the option's name.
int plan_make(struct plan *ret, const struct plan_options *options, struct err *e);
// The load over an act as `gpuscale load --rate` reads it: quiet, a ramp, a plateau, a burst, a
// quiet end.
int plan_shape(struct buf *out, const struct plan *p);
double plan_rate_at(const struct plan *p, double t_s); // requests a second
const char *plan_policy_id(enum driver_policy p);      // "cpu", "classic", "gpuscale"
// What a reader must know to believe the figures; how many sentences.
size_t plan_notes(const struct plan *p, char ret[PLAN_NOTES_MAX][PLAN_NOTE_LEN]);
