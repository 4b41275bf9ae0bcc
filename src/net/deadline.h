// SPDX-License-Identifier: Apache-2.0
/*
 * Deadlines embedded in their owners, ordered in a binary heap, so that a server with many thousand
 * calls and connections needs one timer. Pure: time comes in.
 */
#pragma once

#include <stdint.h>

#include "base/vec.h"

struct deadline {
    int64_t at_ns;
    size_t place; // 0: not in a heap; else its index + 1
    void (*fire)(struct deadline *d);
};

struct deadline_heap VEC(struct deadline *);

// Sets or moves: 0; ERR_NOMEM or ERR_LIMIT only when it was not in the heap.
int deadline_set(struct deadline_heap *h, struct deadline *d, int64_t at_ns);
void deadline_clear(struct deadline_heap *h, struct deadline *d); // no-op when not set
// INT64_MAX: none.
int64_t deadline_next(const struct deadline_heap *h);
// Takes out and fires, in order, everything due at `now_ns`; what `fire` sets anew for the past
// waits for the next call.
void deadline_run(struct deadline_heap *h, int64_t now_ns);
