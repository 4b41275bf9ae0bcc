// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop is libuv's uv_loop_t; this adds what every user repeats: timers in nanoseconds
 * that cannot outlive their owner, and a posted function. One thread owns a loop and everything on
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

// A timer embedded in its owner. Stopping is synchronous: after net_timer_stop() the callback does
// not run, and the memory may go (the uv handle behind it lives and dies apart).
struct net_timer;
typedef void (*net_timer_fn)(void *ctx);

// `after_ns` from now, then every `every_ns` (0 = once). libuv rounds to milliseconds.
int net_timer_start(struct net_timer **timer, uv_loop_t *loop, int64_t after_ns, int64_t every_ns,
                    net_timer_fn fn, void *ctx, struct err *e);
void net_timer_again(struct net_timer *timer, int64_t after_ns); // re-arms; keeps every_ns
void net_timer_stop(struct net_timer **timer);                   // NULL-safe, sets NULL

// Watches an eventfd-like descriptor for reading.
struct net_watch;
int net_watch_start(struct net_watch **watch, uv_loop_t *loop, int fd, net_timer_fn readable,
                    void *ctx, struct err *e);
void net_watch_stop(struct net_watch **watch);

// Runs pending close callbacks and closes the loop: asserts in debug builds that nothing was left.
void net_loop_drain_close(uv_loop_t *loop);
