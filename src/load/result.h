// SPDX-License-Identifier: Apache-2.0
/* What people and programs read of a run: lines while it goes on, a table, a JSON object, a page.
 */
#pragma once

#include "base/buf.h"
#include "load/run.h"

// The line that a terminal shows and redraws; no newline.
void load_write_line(struct buf *b, const struct load_state *s);
// One JSON object and a newline: counters of the run so far, percentiles of the interval, or, when
// it is final, of the run.
void load_write_progress(struct buf *b, const struct load_state *s, bool final);
// At the end.
void load_write_table(struct buf *b, const struct load_state *s);
void load_write_json(struct buf *b, const struct load_state *s);
// One page that needs nothing else. 0, ERR_LIMIT, ERR_NOMEM.
int load_write_html(struct buf *b, const struct load_state *s);

// Counters of the run so far, the current interval included.
struct load_counts load_counts_so_far(const struct load_state *s);
// "poisson arrivals, seed 1, 5..40@30s", "replay of FILE"
void load_write_plan(struct buf *b, const struct load_state *s);

struct load_percentile {
    const char *name; // "p50", "p99.9", "max"
    uint32_t per_million;
};
enum { LOAD_PERCENTILES = 6 };
extern const struct load_percentile load_percentiles[LOAD_PERCENTILES];
