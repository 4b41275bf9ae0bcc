// SPDX-License-Identifier: Apache-2.0
/*
 * Turns a loop until a condition holds; fails the test when it does not within the deadline. No
 * sleeping: a timer of 5 ms wakes the loop for what the loop itself cannot see (other threads).
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "unit.h"

static inline void turn_nothing(uv_timer_t *t) {
}

static inline bool turn_until_within(uv_loop_t *loop, bool (*holds)(void *), void *arg,
                                     int64_t within_ns) {
    int64_t end = clock_mono_ns() + within_ns;
    uv_timer_t tick;
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, turn_nothing, 5, 5);
    bool held;
    while (!(held = holds(arg)) && clock_mono_ns() < end)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT); // the close, before `tick` goes out of scope
    return held;
}

#define TURN_UNTIL(loop, holds, arg) assert_true(turn_until_within(loop, holds, arg, 20 * NS_PER_S))

// Turns until nothing is left on the loop: streams say goodbye from it. At most 5 s.
static inline void turn_out(uv_loop_t *loop) {
    int64_t end = clock_mono_ns() + 5 * NS_PER_S;
    uv_timer_t tick;
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, turn_nothing, 5, 5);
    uv_unref((uv_handle_t *)&tick);
    while (uv_loop_alive(loop) && clock_mono_ns() < end)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}
