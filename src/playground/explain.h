// SPDX-License-Identifier: Apache-2.0
/* Runs `gpuscale explain` and hands over what it printed: the reason of the last decision. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

// `done` is called once, with the output ("" when it failed).
int explain_run(uv_loop_t *loop, const char *gpuscale, const char *server, const char *object,
                void (*done)(void *ctx, struct str text), void *ctx, struct err *e);
