// SPDX-License-Identifier: Apache-2.0
/*
 * How many requests wait in the engines, for who watches: reads the ready pods' metrics pages. What
 * is not known of one is not known of all.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "playground/pool.h"

struct queues;

int queues_new(struct queues **ret, uv_loop_t *loop, const char *metric, struct err *e);
struct queues *queues_free(struct queues *q);
// Asks each ready pod whose last question is answered.
void queues_ask(struct queues *q, const struct pool *pool);
// -1: unknown. 0 while no pod is ready.
int32_t queues_waiting(const struct queues *q, const struct pool *pool, int64_t now_ns);
