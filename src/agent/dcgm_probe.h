// SPDX-License-Identifier: Apache-2.0
/*
 * Asks an address, once a minute, whether a dcgm-exporter answers there: then its series are not
 * served a second time by the agent, or every sum over them would double. A page counts when it has
 * DCGM_FI_DEV_ series and is no gpuscale agent's (which may be this very one, as both use port
 * 9400). Plain HTTP; a literal address or a DNS name. I/O thread.
 */
#pragma once

#include <uv.h>

#include "base/err.h"

struct agent_dcgm_probe;

enum agent_dcgm_answer {
    AGENT_DCGM_ASKING, // no answer yet
    AGENT_DCGM_NONE,
    AGENT_DCGM_FOUND,
};

// `address`: HOST:PORT. `changed` is called when the answer becomes another one. An exporter that
// was found is believed gone after three probes without it.
int agent_dcgm_probe_start(struct agent_dcgm_probe **ret, uv_loop_t *loop, const char *address,
                           void (*changed)(void *ctx, enum agent_dcgm_answer answer), void *ctx,
                           struct err *e);
// Stops at once; no callback follows. NULL-safe, returns NULL.
struct agent_dcgm_probe *agent_dcgm_probe_stop(struct agent_dcgm_probe *p);
enum agent_dcgm_answer agent_dcgm_probe_answer(const struct agent_dcgm_probe *p);

// Whether a page (any part of one) is a dcgm-exporter's; -1: not, and it is a gpuscale agent's.

int agent_dcgm_page_is_exporter(const char *p, size_t n);
