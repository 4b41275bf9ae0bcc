// SPDX-License-Identifier: Apache-2.0
/*
 * The decision (DESIGN 6.4 and 6.5). A decider is the memory of one trigger: last decision,
 * down-window, burst memory, notices. A tick allocates nothing.
 *
 * Deliberate readings of DESIGN 6.4, 6.5 (decision-cases.md all hold):
 *  - desired is the largest want of the last downWindow, the present one included. (The design's
 * `want > n ? want : max` is not monotone: with 12 in the window and n = 4, want 10 gives 10 and
 * want 4 gives 12.)
 *  - the window takes a want every 15 s, and at once when it is larger than all it holds.
 *  - the window starts with the seed (a restarted scaler observes a whole window before it lowers);
 * after a blindness of longer than maxAge it gets the last decision anew.
 *  - a guard of which it is unknown whether it is breached withholds lowering, as a breached one
 * does: else a lost page could lower.
 *  - d - 0.999 is published whenever d is below the larger of spec and status, whatever the HPA's
 * tolerance: its ceiling is d, so with tolerance 0 it changes nothing, and nobody has to tell us
 * the tolerance.
 *  - while no pod is ready but pods start, missing engine pages are no failure: the last decision
 * stands.
 */
#pragma once

#include <stdint.h>

#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/workload.h"

struct decider;

struct decide_input {
    int64_t now_ns;  // monotonic, not before the last tick's
    int64_t real_ns; // wall clock, for the record alone
    int32_t spec;    // spec.replicas; -1: not known
    int32_t status;  // status.replicas; -1: not known
};

// Borrows the trigger (it outlives the decider). 0 or ERR_NOMEM.
int decider_new(struct decider **ret, const struct trigger *t);
struct decider *decider_free(struct decider *d);

// Takes over a decision made elsewhere or before a restart; before the first tick.
void decider_seed(struct decider *d, int32_t desired, uint64_t sequence, int64_t now_ns);

// Decides. The record's sequence grows by one each tick.
void decider_tick(struct decider *d, const struct signal_workload *w, const struct decide_input *in,
                  struct record *ret);

// What KEDA is told for decision d: d, or d - 0.999 (not below 0) when d is below the larger of
// spec and status, so that the HPA's default tolerance of 10 % does not swallow a decrease.
double decide_publish(int32_t d, int32_t spec, int32_t status);
