// SPDX-License-Identifier: Apache-2.0
/* Back-off with jitter. */
#include "kube/backoff.h"

#include "base/clock.h"
#include "base/limits.h"

void kube_backoff_init(struct kube_backoff *b, int64_t min_ns, int64_t max_ns, uint64_t seed) {
    *b = (struct kube_backoff){.min_ns = min_ns, .max_ns = max_ns};
    random_init(&b->random, seed);
}

void kube_backoff_reset(struct kube_backoff *b) {
    b->failures = 0;
}

int64_t kube_backoff_next_ns(struct kube_backoff *b, int64_t retry_after_ms) {
    int64_t full = b->min_ns;
    for (unsigned i = 0; i < b->failures && full < b->max_ns; i++)
        full *= 2;
    if (full > b->max_ns)
        full = b->max_ns;
    if (b->failures < UINT32_MAX)
        b->failures++;
    if (retry_after_ms > LIMIT_KUBE_RETRY_AFTER_MS)
        retry_after_ms = LIMIT_KUBE_RETRY_AFTER_MS;
    int64_t wait = full / 2 + (int64_t)random_below(&b->random, (uint64_t)(full / 2) + 1);
    int64_t named = retry_after_ms > 0 ? retry_after_ms * NS_PER_MS : 0;
    // On top of the server's time, or all whom it told it come back in the same moment.
    return named > 0 ? named + wait / 4 : wait;
}
