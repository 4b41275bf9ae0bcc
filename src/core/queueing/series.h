// SPDX-License-Identifier: Apache-2.0
/*
 * Durations that grow by the same amount from one to the next, in whole picoseconds, and instants
 * that are exact to the picosecond: sums have a closed form and no rounding, so a run of iterations
 * ends exactly where its iterations one after the other would.
 */
#pragma once

#include <math.h>
#include <stdint.h>

#define PS_PER_NS INT64_C(1000)
#define PS_PER_S INT64_C(1000000000000)

struct instant {
    int64_t ns, ps; // 0 <= ps < 1000
};

struct series {
    int64_t first_ps; // > 0
    int64_t step_ps;  // >= 0
};

// The length of n of them. The caller's bounds keep it below 2^62.
static inline int64_t series_sum_ps(const struct series *s, int64_t n) {
    return s->first_ps * n + s->step_ps * (n * (n - 1) / 2);
}

// How many have ended after `ps`, max at most.
static inline int64_t series_ended(const struct series *s, int64_t ps, int64_t max) {
    if (ps < s->first_ps)
        return 0;
    double b = (double)s->first_ps - 0.5 * (double)s->step_ps;
    double guess = 2 * (double)ps / (b + sqrt(b * b + 2 * (double)s->step_ps * (double)ps));
    int64_t n = guess < (double)max ? (int64_t)guess : max;
    while (n > 0 && series_sum_ps(s, n) > ps)
        n--;
    while (n < max && series_sum_ps(s, n + 1) <= ps)
        n++;
    return n;
}

static inline struct instant instant_add(struct instant t, int64_t ps) {
    int64_t sum = t.ps + ps;
    return (struct instant){t.ns + sum / PS_PER_NS, sum % PS_PER_NS};
}

static inline int64_t instant_up_ns(struct instant t) {
    return t.ns + (t.ps > 0);
}

// Picoseconds from t to ns, at most limit_ps (> 0); negative before t.
static inline int64_t instant_until_ps(struct instant t, int64_t ns, int64_t limit_ps) {
    if (ns - t.ns > limit_ps / PS_PER_NS)
        return limit_ps;
    return (ns - t.ns) * PS_PER_NS - t.ps;
}
