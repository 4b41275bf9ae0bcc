// SPDX-License-Identifier: Apache-2.0
/* One histogram of a page, added up over its series edge by edge; inside core/engine only. */
#pragma once

#include "core/metrics/prom_parse.h"
#include "core/signal/sample.h"

struct bucket_sums {
    uint32_t n;
    bool bad; // an edge or a count that is none, or too many edges
    struct {
        double le_s, count;
        uint32_t series; // that were added
    } at[LIMIT_ENGINE_BUCKETS];
};

void bucket_sums_clear(struct bucket_sums *b);
// A `_bucket` series; `factor` makes seconds of its edge, 0 means 1.
void bucket_sums_add(struct bucket_sums *b, const struct prom_sample *s, double factor);
// False: not a histogram that can be trusted (page.h, `bad`); *ret is unchanged.
bool bucket_sums_read(const struct bucket_sums *b, struct engine_buckets *ret);
