// SPDX-License-Identifier: Apache-2.0
/*
 * The replicas of the demo's service: a real `gpuscale engine` process for each pod of the roster,
 * put behind the gateway when it is ready. One that is to end gets no request any more, finishes
 * what it has, and is killed when that takes too long. One that was killed is replaced.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "playground/gateway.h"
#include "playground/roster.h"

struct pool;

struct pool_options {
    const char *program;         // path of gpuscale
    const char *prefix;          // of the pods' names
    const char *profile;         // of the engines
    const char *const *settings; // KEY=VALUE of the profile, ends with NULL
    const char *folder;          // of their logs
    const char *load_socket;     // of the agent's simulated GPUs
    int gpus;
    int warm;             // so many first engines load at once
    int64_t load_time_ns; // of the others' model
    int64_t drain_ns;     // after it a pod that is to end is killed
    int max_queue;        // of an engine
    uint64_t seed;
    struct gateway *gateway;
    // Pods, states or addresses are others than before.
    void (*changed)(void *ctx);
    // A sentence for people: "llm-3 was killed by signal 9 and is replaced".
    void (*told)(void *ctx, const char *text);
    // An engine cannot be started, or they end before they are ready, again and again; the pool
    // starts no more.
    void (*failed)(void *ctx, const struct err *why);
    void *ctx;
};

struct pool_pod { // one row of the roster, with its process
    const struct roster_pod *pod;
    int pid;          // 0: none
    const char *addr; // HOST:PORT; "": not known yet
    unsigned requests;
};

int pool_new(struct pool **ret, uv_loop_t *loop, const struct pool_options *options, struct err *e);
void pool_scale(struct pool *p, int replicas);
const struct roster *pool_roster(const struct pool *p);
struct pool_pod pool_at(const struct pool *p, size_t i); // i-th pod of the roster
// In all: for how long GPUs were held, and of this with at least one request.
void pool_gpu_time(const struct pool *p, int64_t now_ns, int64_t *ret_held_ns,
                   int64_t *ret_busy_ns);
void pool_kill(struct pool *p); // while it ends: SIGKILL to what is left
// Ends every engine and frees; `done` comes when all are gone, from the loop.
void pool_end(struct pool *p, void (*done)(void *ctx), void *ctx);
