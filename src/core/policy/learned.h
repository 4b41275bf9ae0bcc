// SPDX-License-Identifier: Apache-2.0
/*
 * What a decider knows beside its last decision and its down-window (decide.h's decider_memory):
 * with both, and with what the workload has taught (core/signal/learned.h), another process decides
 * as this one would have. Plain storage without pointers.
 */
#pragma once

#include "base/err.h"
#include "core/policy/decide.h"
#include "core/policy/mean.h"

// The gauges that may size: those of SIGNAL_LEVEL, and `running`.
enum { DECIDER_MEANS_MAX = 8 };

struct decider_learned {
    int32_t spec; // spec.replicas as last known; -1: never
    // The SLO's trim (capacity.h). Its counts of requests begin anew: they are of buckets that the
    // next process has not seen.
    bool trimmed;
    double trim_ln, trim_misses;
    int64_t trim_short_until_ns;
    uint32_t burst_n; // burst memory, largest want first, as the down-window
    struct peak_entry burst[DECIDER_MEMORY_MAX];
    // INT64_MIN: is not. Unseen, unknown: no capacity signal had a value, nobody knew a want, for
    // longer than maxAge; less than that is no more than the change itself takes.
    int64_t unseen_since_ns, unknown_since_ns;
    int64_t gated_since_ns, saturating_since_ns;
    uint32_t mean_n;
    struct decider_mean {
        char signal[TRIGGER_SIGNAL_NAME_MAX]; // trigger_signal_name()
        struct mean mean;
    } means[DECIDER_MEANS_MAX];
};

void decider_learned_of(const struct decider *d, int64_t now_ns, struct decider_learned *ret);
// In place of what it knows itself: of two memories the one of the last leader's whole. After
// decider_restore(), before the first tick. A mean whose signal the rule does not size by, or that
// ends after now_ns, begins anew.
void decider_learned_take(struct decider *d, const struct decider_learned *x, int64_t now_ns);
// Nothing: as a new decider.
void decider_learned_none(struct decider_learned *ret);
// Can anyone have come to know this by now_ns? ERR_PARSE with the first thing that nobody can.
int decider_learned_check(const struct decider_learned *x, int64_t now_ns, struct err *e);
