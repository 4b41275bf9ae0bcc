// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's view of the GPUs, and what it tells them: reads the agent's gpuscale.v1.Node/Watch
 * stream as the scaler does, and plays the pods' work on the simulated GPUs through the agent's
 * load socket.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "core/signal/reading.h"
#include "playground/service.h"

struct gpus;

int gpus_new(struct gpus **ret, uv_loop_t *loop, const char *agent_addr, const char *load_socket,
             struct err *e);
struct gpus *gpus_free(struct gpus *g);
// GPU i is busy with pod i.
void gpus_play(struct gpus *g, const struct service *service);
// The last reading of GPU i; nothing valid while unknown.
struct gpu_reading gpus_reading(const struct gpus *g, int i);
