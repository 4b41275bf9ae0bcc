// SPDX-License-Identifier: Apache-2.0
/*
 * When to try again: doubling from `min` to `max`, drawn between half of it and all of it so that
 * many clients do not come back together, never before the time that the server named. Pure.
 */
#pragma once

#include <stdint.h>

#include "base/random.h"

struct kube_backoff {
    int64_t min_ns, max_ns;
    unsigned failures; // in a row
    struct random random;
};

// client-go's bounds of a reflector (tools/cache/reflector.go): 800 ms, 30 s.
#define KUBE_BACKOFF_MIN_NS 800000000LL
#define KUBE_BACKOFF_MAX_NS 30000000000LL

void kube_backoff_init(struct kube_backoff *b, int64_t min_ns, int64_t max_ns, uint64_t seed);
void kube_backoff_reset(struct kube_backoff *b); // it went well
// One more failure: the time to wait. `retry_after_ms` is the server's (-1: none), at most
// LIMIT_KUBE_RETRY_AFTER_MS of it counts.
int64_t kube_backoff_next_ns(struct kube_backoff *b, int64_t retry_after_ms);
