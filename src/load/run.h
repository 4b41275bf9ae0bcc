// SPDX-License-Identifier: Apache-2.0
/*
 * A run: one thread, one epoll set, sleeping to the nanosecond until the next request is due. Open
 * loop: requests leave when the schedule says so, however the target fares; one that finds no
 * connection free waits for one, and its latency counts from its intended time all the same.
 */
#pragma once

#include "load/options.h"
#include "load/record.h"
#include "load/target.h"

struct load_state { // what a progress line may tell
    const struct load_options *options;
    const struct load_target *target;
    struct load_record record;
    int64_t start_ns;   // monotonic
    int64_t end_ns;     // of the schedule, since the start
    int64_t elapsed_ns; // now, or at the end
    int64_t behind_ns;  // the next request waits for a connection since so long; 0: it does not
    int64_t cpu_ns;     // this process has used
    int64_t start_unix_ns;
    uint32_t in_flight;
    uint32_t connections; // open now
    uint64_t unfinished;  // at the end: cut off in flight
    bool stopped;         // by a signal, before its end
};

struct load_run_hooks {
    // At the end of each interval, before its figures move to the whole; and once at the end, when
    // they have (`final`: record.now is empty then).
    void (*tick)(void *ctx, const struct load_state *state, bool final);
    void *ctx;
};

// Runs to the end, or to SIGINT or SIGTERM. `ret` is filled as far as the run got; load_state_done
// it when 0. ERR_IO (descriptors, signals), ERR_NOMEM, what TLS files and the target's name give.
int load_run(struct load_state *ret, const struct load_options *o, struct load_target *target,
             const struct load_run_hooks *hooks, struct err *e);
void load_state_done(struct load_state *s);
