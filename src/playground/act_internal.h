// SPDX-License-Identifier: Apache-2.0
/* What the files of an act share: act.c its course, act_programs.c what it spawns. */
#pragma once

#include "net/loop.h"
#include "playground/act.h"
#include "playground/child.h"
#include "playground/explain.h"
#include "playground/files.h"
#include "playground/gpus.h"
#include "playground/queues.h"

enum act_phase {
    ACT_AGENT,  // waits for the agent's ports
    ACT_SCALER, // for the scaler's
    ACT_WARMS,  // for the first replicas
    ACT_RUNS,   // until the load's program has ended
    ACT_ENDS,   // everything is being ended, in the order of enum act_end
};

enum { ACT_EXPLAINS_MAX = 8 }; // at a time

enum act_end { END_LOAD, END_POOL, END_SERVERS, END_OVER };

struct act_server { // the agent or the scaler
    struct act *act;
    const char *who;
    struct child *child;
    char grpc[CHILD_ADDR_LEN], http[CHILD_ADDR_LEN]; // kept when it is started again
    bool heard_grpc, heard_http;                     // of this process
    bool up;                                         // both ports listen
    int64_t spawned_ns;                              // the last time
    int64_t restart_ns;                              // when it is to be started again; 0: not
    int deaths;                                      // soon after a start, in a row
};

struct act {
    uv_loop_t *loop;
    struct act_options options;
    struct act_callbacks callbacks;
    const struct plan *plan;
    struct act_files files;
    struct net_timer *step;
    enum act_phase phase;
    enum act_end end;
    int64_t phase_ns, t0_ns, end_ns; // end_ns: of the end's step
    struct act_server agent, scaler;
    struct gateway *gateway;
    struct pool *pool;
    struct driver *driver;
    struct gpus *gpus;
    struct queues *queues;
    struct rule *rule; // GPUSCALE
    int64_t asked_ns;  // the queues
    struct child *load;
    struct progress progress;
    bool has_progress, load_done;
    struct explain *explains[ACT_EXPLAINS_MAX]; // that run; NULL: none
    bool files_due;                             // pods have changed
    bool measured;                              // the load's time is over
    bool kill;                                  // do not wait
    int64_t held0_ns, busy0_ns;                 // at t0
    struct act_result result;
    struct err failure;
};

// act.c
void act_fail(struct act *a, int code); // a->failure is set
void act_tell(struct act *a, const char *who, int replicas, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void act_server_up(struct act *a, struct act_server *s); // its ports are known (again)
void act_load_over(struct act *a, int status, int signal);

// act_programs.c
int act_start_server(struct act_server *s, struct err *e);
int act_start_load(struct act *a, struct err *e);
// What has died is started again when its time has come.
void act_restart_servers(struct act *a, int64_t now_ns);
