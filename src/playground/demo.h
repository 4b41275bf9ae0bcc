// SPDX-License-Identifier: Apache-2.0
/*
 * `gpuscale demo`: the whole pipeline on one machine, without Kubernetes or a GPU. It spawns the
 * real agent (four simulated GPUs) and the real scaler, serves the pages of a mock inference
 * service and its gateway, calls the scaler as KEDA does, applies the HPA's arithmetic, and prints
 * readings, signals, rule and replica count as they move, with the reason of each decision.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct demo_options {
    const char *agent;  // path of gpuscale-agent
    const char *scaler; // path of gpuscale
    int64_t duration_ns;
    int64_t cold_start_ns;
    bool color;
};

// Runs to its end, SIGINT or SIGTERM; every program it started has ended when it returns. 0, or the
// reason why it could not run. Prints to stdout.
int demo_run(const struct demo_options *options, struct err *e);
