// SPDX-License-Identifier: Apache-2.0
/*
 * autoscaling/v2 HorizontalPodAutoscaler -> struct hpa_spec, with what the API server fills in
 * (pkg/apis/autoscaling/v2/defaults.go), and of its status what the next sync depends on or a
 * person wants to compare with.
 */
#pragma once

#include "core/hpa/hpa.h"
#include "manifest/reader.h"

struct manifest_condition {
    const char *type, *status, *reason, *message;
    int64_t since_ns;
    const struct conf_node *at;
};

// An entry of status.currentMetrics.
struct manifest_current {
    enum hpa_metric_type type;
    const char *name, *container; // container NULL: none
    bool has_utilization, has_value, has_average;
    int32_t utilization_pct;
    struct quantity value, average;
};

struct manifest_hpa {
    const char *name, *namespace_; // "default" where there is none
    const char *target_kind, *target_name;
    struct hpa_spec spec; // its metrics' names, selectors and objects are set
    // Of each metric: the describedObject ("Service/web", NULL: no Object metric), and the selector
    // as kubectl takes it ("app=web,tier in (a,b)", NULL: none).
    struct manifest_metric_name {
        const char *object, *selector;
    } * names;
    bool min_defaulted, metrics_defaulted; // the API server's, not written down
    // status; -1: not there
    int32_t status_current, status_desired;
    struct manifest_condition *conditions;
    size_t n_conditions;
    struct manifest_current *currents;
    size_t n_currents;
};

// Reads and checks (hpa_spec_check).
void manifest_hpa_read(struct manifest_reader *r, const struct conf_node *n,
                       struct manifest_hpa *ret);
