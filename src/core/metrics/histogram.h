// SPDX-License-Identifier: Apache-2.0
/*
 * A histogram of fixed buckets with exact counts and sum, for the programs' own metrics (RPC and
 * scrape durations). Plain storage, one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS_MAX = 32 };

struct histogram {
    const double *bounds;                       // ascending upper bounds, borrowed (const tables)
    unsigned n;                                 // bounds, +Inf not among them
    uint64_t counts[HISTOGRAM_BUCKETS_MAX + 1]; // not cumulative; [n] is the +Inf bucket
    uint64_t count;
    double sum;
};

// 50 us .. 10 s in steps of 1, 2.5, 5: durations in seconds.
extern const double histogram_latency_s[];
extern const unsigned histogram_latency_s_n;

// n <= HISTOGRAM_BUCKETS_MAX; bounds finite and strictly ascending (asserted).
void histogram_init(struct histogram *h, const double *bounds, unsigned n);
void histogram_add(struct histogram *h,
                   double v); // v <= bound falls into the bucket; NaN is dropped
void histogram_add_n(struct histogram *h, double v, uint64_t n);          // n times
void histogram_merge(struct histogram *h, const struct histogram *other); // same bounds (asserted)

// The q-quantile (0..1) as PromQL's histogram_quantile() reads it: linear inside a bucket, the
// first bucket from 0, the last finite bound when it falls into +Inf. NaN when the histogram is
// empty.
double histogram_quantile(const struct histogram *h, double q);
