// SPDX-License-Identifier: Apache-2.0
/* The inside of a decider, for core/policy alone. */
#pragma once

#include "core/policy/capacity.h"
#include "core/policy/decide.h"
#include "core/policy/mean.h"
#include "core/policy/peak.h"

struct decider {
    const struct trigger *trigger;
    uint64_t sequence;
    bool seeded;
    int32_t last;                   // the last decision
    int32_t spec;                   // spec.replicas as last known
    struct peak window;             // wants of the last downWindow
    struct peak burst;              // wants of the last burstMemory; cap 0: off
    struct mean *means[SIGNAL_MAX]; // of the rule's signals, NULL: none
    int64_t sampled_ns;             // when the window last took a want by the clock
    int64_t burst_ns;
    int64_t known_ns;       // last tick that knew a want
    int64_t seen_ns;        // newest value of any capacity signal
    int64_t gated_since_ns; // a gated guard has been breached in vain since; INT64_MIN: is not
    int64_t saturating_since_ns;
    struct trim trim;
};
