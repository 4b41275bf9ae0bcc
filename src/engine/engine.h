// SPDX-License-Identifier: Apache-2.0
/*
 * The mock inference server: one thread, one loop. A service station (core/queueing) stands for
 * scheduler and GPU and is run in real time; HTTP around it is real (docs/mock-engine.md).
 */
#pragma once

#include "engine/config.h"

// Serves until SIGTERM or SIGINT and then until what it has accepted is answered. ERR_INVALID,
// ERR_NOTFOUND: the configuration cannot be meant (nothing has been started).
int engine_run(const struct engine_config *c, struct err *e);
