// SPDX-License-Identifier: Apache-2.0
/* The inside of what is learned, for core/signal alone. */
#pragma once

#include "core/signal/meter.h"

enum { WORK_POINTS = 48, WORK_GENERATIONS = 2 };

// All ready pods together, counted up.
struct work_point {
    int64_t at_ns;
    double work, finished;
};

// The extremes of 12 h of lessons.
struct work_extremes {
    uint32_t lessons;
    double light_u, light_y, seen_u, full_u;
};

struct work_buckets {
    uint32_t epoch;
    uint32_t n; // edges; 0: none seen
    double le_s[LIMIT_ENGINE_BUCKETS], count[LIMIT_ENGINE_BUCKETS];
};

struct work {
    double work, finished; // counted up
    uint8_t head, n;       // ring of points
    struct work_point points[WORK_POINTS];
    double block_work, block_finished; // since the last block of 20
    double last_per_request;           // of the last block
    int64_t lesson_ns;                 // of the last lesson; 0: none
    uint32_t lessons;
    double weight, u, y, uu, uy;
    struct work_extremes extremes[WORK_GENERATIONS]; // [0] the present ones
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
