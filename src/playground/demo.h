// SPDX-License-Identifier: Apache-2.0
/*
 * `gpuscale demo`: the same load under one policy after the other, on one machine, without
 * Kubernetes or a GPU: real agent, scaler, engines, gateway and load over real sockets. Shows each
 * act as it goes, in the terminal and on a page, and ends with a table of what each policy cost.
 */
#pragma once

#include "playground/plan.h"

struct demo_options {
    const char *agent, *program; // paths of gpuscale-agent and gpuscale
    const struct plan *plan;
    enum driver_policy policies[3];
    size_t n_policies;
    const char *out;  // folder; NULL: a new one below $TMPDIR or /tmp
    const char *page; // HOST:PORT of the live page; NULL: none
    bool color, terminal;
};

// Runs to its end, SIGINT or SIGTERM; every program it started has ended when it returns. 0, or the
// reason why it could not run. Prints to stdout.
int demo_run(const struct demo_options *options, struct err *e);
