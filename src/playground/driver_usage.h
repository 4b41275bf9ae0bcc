// SPDX-License-Identifier: Apache-2.0
/*
 * What metrics-server tells the HPA about CPU (kubernetes-sigs/metrics-server,
 * pkg/storage/pod.go): the last two readings of each pod's CPU time, one scrape apart, and their
 * difference over the time between. A pod has no usage until it was read twice, save a young one
 * that was read between 10 s and 15 s after its start: its first reading counts from the start.
 * Pure; all times are on one clock, which CPU time runs on too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum { DRIVER_NAME_LEN = 64 };

struct driver_cpu_reading {
    char pod[DRIVER_NAME_LEN];
    int64_t started_ns; // of its process
    int64_t at_ns;      // when it was read
    int64_t cpu_ns;     // used since the start
};

struct driver_cpu_point {
    struct driver_cpu_reading last, before;
    bool has_before;
};

struct driver_usage_store { // zero it
    struct driver_cpu_point points[LIMIT_PLAYGROUND_PODS];
    size_t n;
};

struct driver_usage {
    int64_t milli;     // thousandths of a core, rounded up as the HPA reads a quantity
    int64_t at_ns;     // the later reading
    int64_t window_ns; // between the two
};

// One scrape: of each pod that answered one reading, at most LIMIT_PLAYGROUND_PODS. A pod that is
// not among them is forgotten.
void driver_usage_scraped(struct driver_usage_store *s, const struct driver_cpu_reading *readings,
                          size_t n);
// False: metrics-server has nothing for this pod.
bool driver_usage_of(const struct driver_usage_store *s, const char *pod, struct driver_usage *ret);
