// SPDX-License-Identifier: Apache-2.0
/*
 * Which pods the demo's service has and which simulated GPU each holds: what a ReplicaSet and a
 * scheduler with one kind of GPU do. Pure: time is an argument, processes are somebody else's.
 *
 *     PENDING -> STARTING -> READY -> TERMINATING -> gone
 *
 * A pod needs one GPU and gets the lowest that is free; without one it stays PENDING. Scaling down
 * takes the pods that are pending, then those that are starting, then ready ones, each the youngest
 * first (kubernetes pkg/controller/controller_utils.go, ActivePods). A GPU is held until its pod's
 * process has ended.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum { ROSTER_NAME_LEN = 64, ROSTER_PODS_MAX = LIMIT_PLAYGROUND_PODS };

enum roster_state { ROSTER_PENDING, ROSTER_STARTING, ROSTER_READY, ROSTER_TERMINATING };

struct roster_pod {
    char name[ROSTER_NAME_LEN]; // PREFIX-SERIAL, never used again
    enum roster_state state;
    int gpu; // -1: none
    int64_t created_ns, gpu_since_ns, ready_ns;
    void *user; // of the owner; NULL for a new pod
};

struct roster {
    const char *prefix; // borrowed
    int gpus, spec;     // GPUs of the budget; spec.replicas
    unsigned serial;
    struct roster_pod pods[ROSTER_PODS_MAX]; // the oldest first
    size_t n;
    int64_t held_ns; // GPU time of pods that have gone
};

void roster_init(struct roster *r, const char *prefix, int gpus);
// spec.replicas (0 to LIMIT_PLAYGROUND_REPLICAS). Pods without a process (pending ones) go at once;
// the others become TERMINATING, and their owner ends them.
void roster_scale(struct roster *r, int replicas, int64_t now_ns);
void roster_ready(struct roster *r, struct roster_pod *p, int64_t now_ns);
// Its process has ended: its GPU is free, and where it was not to end another takes its place.
// Pods after it move.
void roster_gone(struct roster *r, struct roster_pod *p, int64_t now_ns);
// The first with this `user` (NULL: one that has none yet); NULL: there is none.
struct roster_pod *roster_find(struct roster *r, const void *user);
// How many are in a state.
int roster_count(const struct roster *r, enum roster_state state);
// The pod that holds a GPU; NULL: it is free.
const struct roster_pod *roster_on_gpu(const struct roster *r, int gpu);
int64_t roster_held_ns(const struct roster *r, int64_t now_ns); // GPU time in all
