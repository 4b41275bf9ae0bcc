// SPDX-License-Identifier: Apache-2.0
/*
 * The signals of a program, on its loop, and what becomes of them when it ends: libuv gives a
 * signal back its default action with its last watcher, so that a second SIGTERM, which arrives
 * while the program ends, would kill it, and the exit status would tell a failure. Once stopped,
 * these signals are ignored for the rest of the process's life.
 *
 * One of them a process. Threads that run on while it stops block their signals.
 */
#pragma once

#include <uv.h>

#include "base/err.h"

enum { NET_SIGNALS_MAX = 5 };

typedef void (*net_signal_fn)(void *ctx, int number);

struct net_signals {
    uv_signal_t watchers[NET_SIGNALS_MAX];
    unsigned n;
    net_signal_fn fn;
    void *ctx;
};

// Calls fn for each of the n numbers as it comes; SIGPIPE is ignored. ERR_IO: net_signals_stop() is
// still to be called.
int net_signals_start(struct net_signals *s, uv_loop_t *loop, const int *numbers, unsigned n,
                      net_signal_fn fn, void *ctx, struct err *e);
// Of what was zeroed or started, again too. The memory is the loop's until it has turned once more.
void net_signals_stop(struct net_signals *s);
