// SPDX-License-Identifier: Apache-2.0
/* The ScaledObject that the tests of KEDA's part begin with: two triggers, all else by default. */
#pragma once

#include "core/hpa/keda.h"

static const struct keda_trigger two[] = {
    {.name = "gpu", .metric_name = "prometheus", .target_milli = 55000},
    {.name = "queue", .metric_name = "prometheus", .target_milli = 10000},
};

static inline struct keda_object object(void) {
    struct keda_object o;
    keda_object_init(&o);
    o.triggers = two;
    o.n_triggers = 2;
    return o;
}
