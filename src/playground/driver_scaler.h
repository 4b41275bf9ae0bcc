// SPDX-License-Identifier: Apache-2.0
/*
 * KEDA's client of an external scaler (pkg/scalers/external_scaler.go, v2.21.0), over gRPC: asks
 * GetMetricSpec, then GetMetrics and IsActive, each half once more at once when it fails; holds
 * StreamIsActive open, opened again after 2 s, doubling to 60 s, from 2 s again after an orderly
 * end. Connects as grpc-go does: a connection that breaks is made anew for the next call, one that
 * cannot be made waits 1 s, growing by 1.6 to 120 s; calls fail meanwhile. All divided by `speed`.
 *
 * Not done: StreamMetricSpec (KEDA hears there of a new target; gpuscale's is 1 for ever).
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "core/hpa/keda.h"

struct driver_scaler;

enum driver_asker { DRIVER_ASKER_HPA, DRIVER_ASKER_KEDA, DRIVER_ASKERS };

struct driver_scaler_answer {
    struct keda_sample sample;
    double target;           // of its metric spec; 0: spec_failed
    const char *metric_name; // of the same; "": spec_failed
    const char *error;       // what failed, NULL: nothing
};

struct driver_scaler_options {
    const char *addr, *namespace_, *name;
    const char *const (*metadata)[2]; // key, value; ends with {NULL, NULL}; borrowed for life
    double speed;
    void (*pushed)(void *ctx); // StreamIsActive said true (KEDA ignores false)
    void *ctx;
};

// ERR_INVALID: more than LIMIT_METADATA_KEYS keys; ERR_NOMEM. An address that is none is told by
// every ask.
int driver_scaler_new(struct driver_scaler **ret, uv_loop_t *loop,
                      const struct driver_scaler_options *options, struct err *e);
struct driver_scaler *driver_scaler_free(struct driver_scaler *s);
// The scaler listens elsewhere: calls in flight fail.
void driver_scaler_set_addr(struct driver_scaler *s, const char *addr);
// Asks once; `answered` comes later, from the loop, views for the call. False: this asker's last
// question is not answered yet.
bool driver_scaler_ask(struct driver_scaler *s, enum driver_asker asker,
                       void (*answered)(void *ctx, const struct driver_scaler_answer *answer),
                       void *ctx);
