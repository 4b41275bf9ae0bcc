// SPDX-License-Identifier: Apache-2.0
/*
 * Burns CPU as a real server would: one thread, one thing after the other, as Python's lock has it.
 * What is burned is the process's time by the kernel's count, so /proc and cgroups show it, and a
 * busy machine makes it take longer, not cost more. What the loop's thread needs for the same
 * requests is part of it, not added to it.
 */
#pragma once

#include <uv.h>

#include "base/err.h"

struct engine_worker;

struct engine_work { // embedded in who waits for it
    double us;
};

// `done` is called on the loop, in the order of submission.
int engine_worker_start(struct engine_worker **ret, uv_loop_t *loop,
                        void (*done)(struct engine_work *work), struct err *e);
// The loop's thread. `work` is the worker's until it is done. At most LIMIT_ENGINE_CONNECTIONS of
// them may be under way.
void engine_worker_submit(struct engine_worker *w, struct engine_work *work);
// Ends the thread; what was under way is given back without `done`. NULL-safe, returns NULL.
struct engine_worker *engine_worker_stop(struct engine_worker *w);
