// SPDX-License-Identifier: Apache-2.0
/* metrics-server's two readings a pod; see driver_usage.h. */
#include "playground/driver_usage.h"

#include <string.h>

#include "base/clock.h"

#define RESOLUTION_NS (15 * NS_PER_S) // --metric-resolution of its manifests and chart
#define FRESH_MIN_NS (10 * NS_PER_S)  // freshContainerMinMetricsResolution
#define NANO_PER_MILLI 1000000

static const struct driver_cpu_point *find(const struct driver_usage_store *s, const char *pod) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->points[i].last.pod, pod) == 0)
            return &s->points[i];
    return NULL;
}

// podStorage.Store
static struct driver_cpu_point next_point(const struct driver_cpu_reading *r,
                                          const struct driver_cpu_point *old) {
    struct driver_cpu_point p = {.last = *r};
    int64_t age_ns = r->at_ns - r->started_ns;
    if (age_ns >= FRESH_MIN_NS && age_ns < RESOLUTION_NS) {
        p.before = *r;
        p.before.at_ns = r->started_ns;
        p.before.cpu_ns = 0;
        p.has_before = true;
    } else if (old && r->started_ns < old->last.at_ns) { // the same process as then
        bool is_new = r->at_ns > old->last.at_ns;
        p.before = is_new ? old->last : old->before;
        p.has_before = is_new || (old->has_before && old->before.at_ns < r->at_ns);
    }
    return p;
}

void driver_usage_scraped(struct driver_usage_store *s, const struct driver_cpu_reading *readings,
                          size_t n) {
    struct driver_usage_store fresh = {0};
    for (size_t i = 0; i < n && i < LIMIT_PLAYGROUND_PODS; i++)
        fresh.points[fresh.n++] = next_point(&readings[i], find(s, readings[i].pod));
    *s = fresh;
}

// resourceUsage
bool driver_usage_of(const struct driver_usage_store *s, const char *pod,
                     struct driver_usage *ret) {
    const struct driver_cpu_point *p = find(s, pod);
    if (!p || !p->has_before || p->last.started_ns < p->before.started_ns ||
        p->last.cpu_ns < p->before.cpu_ns)
        return false;
    int64_t window_ns = p->last.at_ns - p->before.at_ns;
    int64_t used_ns = p->last.cpu_ns - p->before.cpu_ns;
    int64_t nano = (int64_t)((double)used_ns / ((double)window_ns / NS_PER_S));
    *ret = (struct driver_usage){.milli = (nano + NANO_PER_MILLI - 1) / NANO_PER_MILLI,
                                 .at_ns = p->last.at_ns,
                                 .window_ns = window_ns};
    return true;
}
