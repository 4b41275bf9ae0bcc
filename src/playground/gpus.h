// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's view of the GPUs: reads the agent's gpuscale.v1.Node/Watch stream as the scaler does.
 * Connects again by itself; what an agent said that has gone is unknown.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "core/signal/reading.h"

struct gpus;

int gpus_new(struct gpus **ret, uv_loop_t *loop, const char *agent_addr, struct err *e);
struct gpus *gpus_free(struct gpus *g);
// The last reading of GPU i; nothing valid while unknown.
struct gpu_reading gpus_reading(const struct gpus *g, int i);
