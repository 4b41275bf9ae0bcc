// SPDX-License-Identifier: Apache-2.0
/*
 * Plays KEDA and its HPA against a scaler, over KEDA's own gRPC contract: GetMetricSpec, GetMetrics
 * and IsActive at an interval, StreamIsActive all the time. The HPA's part is the arithmetic of one
 * external metric with an AverageValue target (k8s replica_calculator.go) inside the bounds; from
 * and to zero it is KEDA's: active means at least one.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct keda;

struct keda_options {
    const char *addr; // the scaler's gRPC address
    const char *namespace_, *name;
    const char *const (*metadata)[2]; // key, value; ends with {NULL, NULL}
    int max_replicas;
    int64_t poll_ns;     // of the RPCs: KEDA's pollingInterval and the HPA's sync in one
    int64_t cooldown_ns; // inactive for so long: to zero
    // A new answer was read, or (error not NULL) failed. `replicas` is what the HPA now wants.
    void (*answered)(void *ctx, double metric, bool active, int replicas, const char *error);
    // StreamIsActive said so: from zero at once.
    void (*pushed)(void *ctx, bool active);
    void *ctx;
};

int keda_new(struct keda **ret, uv_loop_t *loop, const struct keda_options *options, struct err *e);
struct keda *keda_free(struct keda *k);
// What the HPA sees as the present count.
void keda_set_replicas(struct keda *k, int replicas);
