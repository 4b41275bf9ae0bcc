// SPDX-License-Identifier: Apache-2.0
/*
 * The sampler thread: opens the GPU source, reads every GPU once an interval, and hands each round
 * to the I/O thread through a bounded queue. The only thread that may block: on a driver that
 * hangs, or on the disk while it records.
 */
#pragma once

#include <stdbool.h>

#include "agent/round.h"
#include "base/queue.h"

struct agent_sampler;

struct agent_sampler_options {
    const char *source; // "sim:8,ramp"
    int64_t interval_ns;
    const char *shares_proc; // where agent/shares.h finds processes; NULL: shares are not read
    const char *record;      // path of a recording to write (gpu/recording.h), or NULL
    int64_t enumerate_ns;    // between two enumerations; 0: the default, 10 s
};

// Starts the thread. Strings are copied.
int agent_sampler_start(struct agent_sampler **ret, const struct agent_sampler_options *options,
                        struct err *e);
// Readable when a round waits.
int agent_sampler_wake_fd(const struct agent_sampler *s);
void agent_sampler_wake_clear(struct agent_sampler *s);
// The oldest waiting round, owned by the caller; NULL: none.
struct agent_round *agent_sampler_take(struct agent_sampler *s);
// Asks the thread to end and waits for it, at most `wait_ns`. A thread that a driver holds is left
// behind with what it uses (false): the process is about to end.
bool agent_sampler_stop(struct agent_sampler *s, int64_t wait_ns);
