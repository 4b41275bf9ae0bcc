// SPDX-License-Identifier: Apache-2.0
/* The parts of the page that are about GPUs; used by page.c. */
#pragma once

#include "agent/page.h"
#include "core/metrics/prom_write.h"

struct agent_page_view {
    const struct agent_state *state;
    const struct agent_page_options *options;
    const char *node;
    int64_t now_ns;
    struct buf *labels; // scratch
};

bool agent_page_gpu_is_fresh(const struct agent_page_view *v, const struct agent_gpu *g);
// ERR_LIMIT, ERR_NOMEM of the label texts; other failures stick in `w`.
int agent_page_dcgm(struct prom_writer *w, const struct agent_page_view *v);
int agent_page_classic(struct prom_writer *w, const struct agent_page_view *v);
int agent_page_own_gpus(struct prom_writer *w, const struct agent_page_view *v);

// value * factor, without the noise of a factor such as 0.01 that is no binary fraction.
static inline double agent_page_scaled(double value, double factor) {
    return factor < 1 ? value / (1 / factor) : value * factor;
}
