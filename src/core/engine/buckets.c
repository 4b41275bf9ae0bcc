// SPDX-License-Identifier: Apache-2.0
/* Histogram buckets: sorted as they come, checked when the page is whole. */
#include "core/engine/buckets.h"

#include <math.h>
#include <string.h>

#include "core/engine/series.h"

void bucket_sums_clear(struct bucket_sums *b) {
    b->n = 0;
    b->bad = false;
}

// The place of an edge, made where it is new; -1: no room. Pages list edges in ascending order, so
// that the search from the end is short.
static int place(struct bucket_sums *b, double le_s) {
    uint32_t i = b->n;
    while (i > 0 && b->at[i - 1].le_s >= le_s)
        i--;
    if (i < b->n && b->at[i].le_s == le_s)
        return (int)i;
    if (b->n == LIMIT_ENGINE_BUCKETS)
        return -1;
    memmove(&b->at[i + 1], &b->at[i], (b->n - i) * sizeof(b->at[0]));
    b->n++;
    b->at[i].le_s = le_s;
    b->at[i].count = 0;
    b->at[i].series = 0;
    return (int)i;
}

void bucket_sums_add(struct bucket_sums *b, const struct prom_sample *s, double factor) {
    double le;
    if (str_to_double(series_label(s, STR("le")), &le) || !(le >= 0) || !isfinite(s->value) ||
        s->value < 0) {
        b->bad = true;
        return;
    }
    int i = place(b, factor != 0 ? le * factor : le);
    if (i < 0) {
        b->bad = true;
        return;
    }
    b->at[i].count += s->value;
    b->at[i].series++;
}

bool bucket_sums_read(const struct bucket_sums *b, struct engine_buckets *ret) {
    if (b->bad || b->n < 2 || b->at[b->n - 1].le_s != INFINITY || !isfinite(b->at[b->n - 1].count))
        return false;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->at[i].series != b->at[0].series || (i > 0 && b->at[i].count < b->at[i - 1].count))
            return false;
    ret->n = b->n;
    for (uint32_t i = 0; i < b->n; i++) {
        ret->le_s[i] = b->at[i].le_s;
        ret->count[i] = b->at[i].count;
    }
    return true;
}
