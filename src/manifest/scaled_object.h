// SPDX-License-Identifier: Apache-2.0
/*
 * What scales a workload already: KEDA's ScaledObject, or a HorizontalPodAutoscaler
 * (autoscaling/v2) read into the same shape, its metrics as triggers of the types "cpu", "memory",
 * "external" (of an External metric: metadata metricName, threshold) and "pods".
 */
#pragma once

#include "manifest/workload.h"

struct manifest_trigger {
    const char *type, *name, *metric_type; // "" without
    struct manifest_pair *metadata;
    size_t n_metadata;
    const struct conf_node *at; // as it stands
};

struct manifest_scaled {
    const struct manifest_object *object;
    bool is_hpa;
    const char *namespace_, *name; // namespace NULL: not told
    const char *target_api, *target_kind, *target_name;
    int32_t min, max;
    bool min_told, max_told;
    struct manifest_trigger *triggers;
    size_t n_triggers;
    // As they stand; NULL: not there.
    const struct conf_node *labels, *annotations, *spec, *advanced, *hpa_config, *behavior;
};

bool manifest_is_scaled(const struct manifest_object *o);
void manifest_scaled_read(struct manifest_reader *r, const struct manifest_object *o,
                          struct manifest_scaled *ret);
const char *manifest_trigger_value(const struct manifest_trigger *t, const char *key); // NULL
