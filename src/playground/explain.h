// SPDX-License-Identifier: Apache-2.0
/* Runs `gpuscale explain` and hands over what it printed: the reason of the last decision. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct explain;

// While it runs it is in `*slot`, which is to outlive it; NULL again when `done` is called: once,
// with the output ("" when it failed), and not at all after an error here (ERR_NOMEM, ERR_IO).
int explain_run(struct explain **slot, uv_loop_t *loop, const char *gpuscale, const char *server,
                const char *object, void (*done)(void *ctx, struct str text), void *ctx,
                struct err *e);
void explain_kill(struct explain *x); // SIGKILL; `done` follows
