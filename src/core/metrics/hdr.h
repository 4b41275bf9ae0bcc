// SPDX-License-Identifier: Apache-2.0
/*
 * A histogram of latencies over many orders of magnitude (after HdrHistogram): buckets of one unit
 * below 2048, above it 1024 to each doubling, so that a value is known to within 1/1024 of itself
 * (three significant digits). Adding is a shift and an increment. Values are whole units, here
 * nanoseconds.
 *
 * Quantiles rank exactly: the value of quantile q is the smallest v such that at least q * count
 * values are <= v (nearest rank), told as its bucket's highest value, or the exact minimum or
 * maximum where that is nearer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hdr {
    uint64_t *counts;
    size_t n;              // buckets
    size_t lowest, behind; // buckets outside of [lowest, behind) are empty
    uint64_t count, min, max;
    uint64_t over; // values beyond the highest bucket, counted in it; `max` has the true one
    double sum;
};

// Room for values up to `highest`. ERR_NOMEM.
int hdr_init(struct hdr *h, uint64_t highest);
void hdr_done(struct hdr *h);
void hdr_clear(struct hdr *h);
void hdr_merge(struct hdr *h, const struct hdr *other); // made with the same `highest` (asserted)
// `per_million`: 500000 is the median, 999000 the 99.9th percentile; 0 the minimum, 1000000 the
// maximum. 0 when nothing was added.
uint64_t hdr_quantile(const struct hdr *h, uint32_t per_million);
double hdr_mean(const struct hdr *h);
// Walks the buckets that hold something, ascending, from *at = 0: highest value and count of each.
bool hdr_next(const struct hdr *h, size_t *at, uint64_t *ret_value, uint64_t *ret_count);

enum { HDR_LINEAR = 2048, HDR_HALF = HDR_LINEAR / 2 };

static inline size_t hdr_index(uint64_t v) {
    if (v < HDR_LINEAR)
        return (size_t)v;
    unsigned shift = 53u - (unsigned)__builtin_clzll(v); // v >> shift is in [1024, 2048)
    return HDR_LINEAR + (size_t)(shift - 1) * HDR_HALF + (size_t)((v >> shift) - HDR_HALF);
}

static inline void hdr_add(struct hdr *h, uint64_t v) {
    size_t i = hdr_index(v);
    if (i >= h->n) {
        i = h->n - 1;
        h->over++;
    }
    h->counts[i]++;
    h->count++;
    h->sum += (double)v;
    h->lowest = i < h->lowest ? i : h->lowest;
    h->behind = i >= h->behind ? i + 1 : h->behind;
    h->min = v < h->min ? v : h->min;
    h->max = v > h->max ? v : h->max;
}
