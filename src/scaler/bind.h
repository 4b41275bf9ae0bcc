// SPDX-License-Identifier: Apache-2.0
/*
 * From what KEDA sends to a checked trigger. Both threads bind, each for itself: rpc for the
 * errors, io to decide. The binder is made once before the threads start and is read-only then.
 */
#pragma once

#include "core/engine/preset.h"
#include "core/policy/trigger.h"
#include "scaler/object_key.h"

struct config_prometheus;
struct scaler_config;

enum { BINDER_PRESETS_MAX = 32 };

struct binder {
    struct trigger_preset presets[BINDER_PRESETS_MAX];
    size_t n_presets;
    const char *const *demand; // names of the configured demand sources, ends with NULL; borrowed
    const uint32_t *demand_provides;         // bits of enum demand_value, of each; borrowed
    const struct config_prometheus *servers; // of the configuration; borrowed
    size_t n_servers;
    const char **names; // demand and demand_provides where they are the binder's own
    uint32_t *provides;
};

void binder_init(struct binder *b, const char *const *demand_names,
                 const uint32_t *demand_provides);
// With what the configuration has (borrowed). The error of a demand source; then, and at the end,
// binder_done().
int binder_of_config(struct binder *b, const struct scaler_config *c, struct err *e);
void binder_done(struct binder *b);
// The Prometheus servers that triggers may name (none until told): a query is then made what its
// namespace may read.
void binder_set_servers(struct binder *b, const struct config_prometheus *servers, size_t n);
// The trigger, or ERR_INVALID, ERR_LIMIT, ERR_NOMEM with a sentence that begins with the
// ScaledObject, or the rule of the configuration.
int binder_bind(const struct binder *b, const struct object_ref *r, struct trigger **ret,
                struct err *e);
