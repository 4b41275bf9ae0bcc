// SPDX-License-Identifier: Apache-2.0
/* Fixed-bucket histogram: count, sum, quantile. */
#include "core/metrics/histogram.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"

const double histogram_latency_s[] = {
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,    0.1,    0.25,    0.5,    1,     2.5,    5,     10,
};
const unsigned histogram_latency_s_n = COUNT_OF(histogram_latency_s);

void histogram_init(struct histogram *h, const double *bounds, unsigned n) {
    assert(n <= HISTOGRAM_BUCKETS_MAX);
    for (unsigned i = 0; i < n; i++)
        assert(isfinite(bounds[i]) && (i == 0 || bounds[i - 1] < bounds[i]));
    *h = (struct histogram){.bounds = bounds, .n = n};
}

void histogram_add(struct histogram *h, double v) {
    histogram_add_n(h, v, 1);
}

void histogram_add_n(struct histogram *h, double v, uint64_t n) {
    if (isnan(v))
        return;
    unsigned i = 0;
    while (i < h->n && v > h->bounds[i])
        i++;
    h->counts[i] += n;
    h->count += n;
    h->sum += v * (double)n;
}

void histogram_merge(struct histogram *h, const struct histogram *other) {
    assert(h->bounds == other->bounds && h->n == other->n);
    for (unsigned i = 0; i <= h->n; i++)
        h->counts[i] += other->counts[i];
    h->count += other->count;
    h->sum += other->sum;
}

double histogram_quantile(const struct histogram *h, double q) {
    if (h->count == 0 || h->n == 0 || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    double rank = q * (double)h->count;
    uint64_t below = 0;
    unsigned i = 0;
    while (i < h->n && (double)(below + h->counts[i]) < rank)
        below += h->counts[i++];
    if (i == h->n)
        return h->bounds[h->n - 1];
    double upper = h->bounds[i];
    if (i == 0 && upper <= 0)
        return upper;
    double lower = i == 0 ? 0 : h->bounds[i - 1];
    if (h->counts[i] == 0)
        return lower;
    return lower + (upper - lower) * (rank - (double)below) / (double)h->counts[i];
}
