// SPDX-License-Identifier: Apache-2.0
/*
 * What is to be written for one workload, and why: made of the workload, of what scales it now, and
 * of the flags, in this order of precedence: flags, what scales it now, what fits the engine. The
 * trigger's metadata are checked by the scaler's own binding before anything is written.
 */
#pragma once

#include "core/policy/trigger.h"
#include "manifest/scaled_object.h"
#include "tools/generate_engine.h"
#include "tools/generate_options.h"

enum { PLAN_SETTINGS = 64, PLAN_REMARKS = 64, PLAN_KEPT = 32 };

// A key of the trigger metadata.
struct generate_setting {
    const char *key, *value;
    const char *why; // NULL: nothing to say
};

struct generate_plan {
    const struct generate_flags *flags;
    struct arena *a;
    struct err *e;
    int r; // the first failure sticks; its message is in e

    const struct manifest_scalable *workload; // NULL: only what scales it now is known
    const struct manifest_scaled *from;       // NULL: nothing scales it now
    struct engine_guess engine;               // preset is never NULL in a finished plan

    const char *namespace_; // NULL: kubectl's
    const char *name;
    const char *target_api, *target_kind, *target_name;
    const char *workload_text; // "deployment/llm"
    int64_t min, max, replicas;
    const char *min_why, *max_why;
    bool demand;    // something is known of requests while no pod exists
    bool tolerance; // the cluster's HPAs have one of their own
    bool closed;    // a NetworkPolicy for the scaler is to be written

    struct generate_setting settings[PLAN_SETTINGS];
    size_t n_settings;
    const char *remarks[PLAN_REMARKS]; // said at the head, each a sentence or more
    size_t n_remarks;
    // Triggers of `from` that stay as they are.
    const struct manifest_trigger *kept[PLAN_KEPT];
    size_t n_kept;
    bool ours;               // gpuscale scales it already
    bool idles;              // `from` has an idleReplicaCount
    const char *down_window; // of the scale-down window that `from` had; NULL
};

// 0, or plan->r: ERR_INVALID with the remedy, ERR_NOTFOUND (the engine is not recognised), ...
int generate_plan_make(struct generate_plan *p);

// ---- Inside -------------------------------------------------------------------------------------

// The value of a key; NULL: not set.
const char *plan_get(const struct generate_plan *p, const char *key);
// Sets a key that is not set yet.
void plan_set(struct generate_plan *p, const char *key, const char *value, const char *why);
const char *plan_text(struct generate_plan *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void plan_remark(struct generate_plan *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int plan_fail(struct generate_plan *p, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// Does one replica hold whole NVIDIA GPUs, so that their activity is its own?
bool plan_gpus_are_own(const struct generate_plan *p);
bool plan_engine_tells(const struct generate_plan *p, enum engine_value v);

// generate_from.c: what the present triggers meant, as settings, remarks and kept triggers; the
// engine, where the workload does not say it.
void plan_translate(struct generate_plan *p);
