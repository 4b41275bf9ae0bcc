// SPDX-License-Identifier: Apache-2.0
/*
 * From totals to replicas, signal by signal (DESIGN 6.4, point 1): what each would raise to, lower
 * to, and whether it is breached at n.
 */
#pragma once

#include "core/policy/mean.h"
#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/external.h"
#include "core/signal/total.h"

enum { WANT_UNBOUNDED = INT32_MAX }; // as many as there may be: unknown upward

// ceil((R + safety * sqrt(R)) / rho): square-root staffing. INFINITY gives WANT_UNBOUNDED, anything
// above LIMIT_REPLICAS that limit.
int32_t size_staffed(double need, double safety, double rho);
// ceil(need), forgiving the last bits of a division.
int32_t size_ceil(double need);
// need > n (1 + tolerance), forgiving likewise.
bool size_exceeds(double need, int32_t n, double tolerance);

// Replicas that `running` requests on `pods` replicas amount to, of which one at capacity runs
// `target`: under continuous batching u = b / (c + g b) with b per replica, g = 0.62, c = target (1
// - g): batch size is convex in load (reference study: within 1 % from a quarter of the load to 1.1
// times it).
double size_running(double running, uint32_t pods, double target, bool continuous_batching);

// rho of a cold start (0: unknown): 1.05 up to a minute, 1 above.
double size_rho(int64_t cold_start_ns);

// Under continuous batching those that wait count with the running ones: an engine that is full
// runs no more, however many come.

// Does the signal size as a gauge, so that its mean is wanted?
bool size_needs_mean(const struct trigger_signal *s);

struct size_input {
    const struct trigger *trigger;
    const struct signal_workload *workload;
    const struct signal_external *queries; // as decide_input's
    int64_t now_ns;
    int32_t n;
    double rho;
    const struct record_capacity *capacity; // of this tick
};
// Evaluates one signal of the rule into a record's row. `mean`, where not NULL, makes a gauge its
// mean over the rate window.
void size_signal(const struct size_input *in, const struct trigger_signal *s, struct mean *mean,
                 struct record_signal *ret, struct signal_total *ret_total);
// What rate signals alone would want over a short window, for burst memory; 0 when none is known.
int32_t size_burst(const struct size_input *in, int64_t window_ns);
