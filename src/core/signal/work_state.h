// SPDX-License-Identifier: Apache-2.0
/* The inside of what is learned, for core/signal alone. */
#pragma once

#include "core/signal/learned.h"
#include "core/signal/meter.h"

struct work_buckets {
    uint32_t epoch;
    uint32_t n; // edges; 0: none seen
    double le_s[LIMIT_ENGINE_BUCKETS], count[LIMIT_ENGINE_BUCKETS];
};

struct work {
    struct work_learned learned;
    bool taught; // a page has counted here
    struct work_buckets buckets[ENGINE_HISTOGRAM_MAX];
};

// A pod's last counts of a histogram.
struct pod_buckets {
    uint32_t n, epoch; // n 0: none
    double count[LIMIT_ENGINE_BUCKETS];
};

struct pod;
struct signal_workload;
// The pod is ready and gave this page.
void work_page(struct signal_workload *w, struct pod *p, const struct engine_sample *s,
               int64_t at_ns);
// The pod becomes ready, or stops: what it counted before is no measure of what follows.
void work_pod_changed(struct pod *p);
