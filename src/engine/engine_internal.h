// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of the engine share: engine.c owns the loop, start and end; serve.c the routes;
 * jobs.c the life of a request from its parsed body to its last byte; gpu_load.c what the agent is
 * told.
 */
#pragma once

#include "engine/config.h"
#include "engine/request.h"
#include "engine/stats.h"
#include "engine/worker.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "net/signals.h"

enum engine_state { ENGINE_LOADING, ENGINE_READY, ENGINE_DRAINING, ENGINE_CLOSING };

struct engine_jobs {
    struct engine_job *head; // linked by next
};

struct engine {
    struct engine_plan plan;
    int64_t drain_timeout_ns;
    const char *load_socket;
    enum engine_state state;
    uv_loop_t loop;
    struct net_signals signals;
    struct http_server *server;
    struct station *station;
    struct engine_stats stats;
    struct net_timer *step;   // the station's next event
    struct net_timer *loaded; // the model's end of loading
    struct net_timer *drain;
    struct net_timer *gpus;             // what they do is told
    struct engine_jobs idle, streaming; // streaming: have tokens to send as they come
    unsigned n_jobs, n_arriving;        // arriving: not yet in the station
    uint64_t next_id;
    struct engine_worker *worker; // NULL: no CPU is burned
    double modelled_s;            // what it was told to burn
    int load_fd;                  // -1: none
    struct station_reading told;  // as of the last datagram
    int64_t started_ns, ready_ns; // of the clock
    double started_real_s;
};

// jobs.c
// A request whose body is `q` has come; from here on it is answered.
void engine_job_start(struct engine *m, struct http_request *http, const struct engine_request *q);
void engine_job_burned(struct engine_work *work); // the worker has done its part of a job
// Takes what has happened in the station, sends tokens, arms the timer.
void engine_pump(struct engine *m);
void engine_jobs_drop(struct engine *m); // all of them, unanswered
// Tells what nobody can be answered with: an error as JSON; status 503 asks to come again.
void engine_refuse(struct http_request *r, int status, const char *why);

// serve.c
int engine_serve_start(struct engine *m, const char *listen, struct err *e);

// engine.c
void engine_job_ended(struct engine *m); // one less; the last one ends a drain

// gpu_load.c
int engine_gpu_load_start(struct engine *m, struct err *e);
void engine_gpu_load_stop(struct engine *m); // tells that the GPUs are free
