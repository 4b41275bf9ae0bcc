// SPDX-License-Identifier: Apache-2.0
/*
 * The decision (DESIGN 6.4 and 6.5). A decider is the memory of one trigger: last decision,
 * down-window, means, burst memory, notices. A tick allocates nothing.
 *
 * A tick's want is the last decision, moved into [what is provably needed, what is provably
 * enough]; desired is the largest want of the last downWindow. How the design is read, and why:
 *
 *  - desired includes the present want in that maximum. (`want > n ? want : max` is not monotone:
 *    with 12 in the window and n = 4, want 10 gives 10, want 4 gives 12.)
 *  - The window takes a want every 15 s, and at once when it is larger than all it holds.
 *  - The window starts with the seed: a restarted scaler observes it whole before it lowers. After
 *    a blindness of longer than maxAge it gets the last decision anew.
 *  - A guard of which it is unknown whether it is breached withholds lowering, as a breached one
 *    does: else a lost page could lower.
 *  - A pod without a value counts as one replica's capacity. That may lower below n, but not take
 *    back a raise above it: an overloaded pod holds more than its capacity.
 *  - Gauges that size (GPU activity, running) are means over rateWindow, as rates are: the largest
 *    of five minutes of single seconds would ask for far too much. Guards are instant.
 *  - d - 0.999 is published whenever d is below the larger of spec and status, whatever the HPA's
 *    tolerance: its ceiling is d, so with tolerance 0 it changes nothing, and nobody has to tell.
 *  - While no pod is ready, missing pages are no failure: the last decision stands.
 *  - Zero is for what is known to be idle: while active, the decision is 1 at least.
 */
#pragma once

#include <stdint.h>

#include "core/policy/peak.h"
#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/external.h"
#include "core/signal/workload.h"

struct decider;

struct decide_input {
    int64_t now_ns;  // monotonic, not before the last tick's
    int64_t real_ns; // wall clock, for the record alone
    int32_t spec;    // spec.replicas; -1: not known
    int32_t status;  // status.replicas; -1: not known
    // What the trigger's queries said, one each in their order; NULL: nothing is known of them.
    const struct signal_external *queries;
    const struct record_scene *scene; // NULL: nothing is known
    // Who decides has not followed the sources for a whole rateWindow yet: nothing is lowered.
    bool settling;
    // Which pods there are is not known any more, only which there were: what serves may be more
    // than is seen, so nothing is lowered and nothing counts as idle.
    bool stale;
};

// What another process goes on with: the last decision and the down-window, largest want first.
enum { DECIDER_MEMORY_MAX = 32 };
struct decider_memory {
    bool decided; // else nothing of this counts
    int32_t desired;
    uint64_t sequence;
    uint32_t n;
    struct peak_entry window[DECIDER_MEMORY_MAX];
};

// Borrows the trigger (it outlives the decider). 0 or ERR_NOMEM.
int decider_new(struct decider **ret, const struct trigger *t);
struct decider *decider_free(struct decider *d);

// Takes over a decision made elsewhere or before a restart; before the first tick.
void decider_seed(struct decider *d, int32_t desired, uint64_t sequence, int64_t now_ns);
// The same with the down-window that belongs to it (times not after now_ns; none: as seeded).
void decider_restore(struct decider *d, const struct decider_memory *m, int64_t now_ns);
// What was decided is too old to be the last decision: the next tick begins from spec.replicas,
// with a number after `sequence` and after its own.
void decider_forget(struct decider *d, uint64_t sequence);
int64_t decider_window_ns(const struct decider *d); // when the window last took a want; INT64_MIN
// A window that is longer than its place holds a little longer there, never shorter.
void decider_remember(const struct decider *d, struct decider_memory *ret);

// Decides. The record's sequence grows by one each tick.
void decider_tick(struct decider *d, const struct signal_workload *w, const struct decide_input *in,
                  struct record *ret);

// What KEDA is told for decision d: d, or d - 0.999 (not below 0) when d is below the larger of
// spec and status, so that the HPA's default tolerance of 10 % does not swallow a decrease.
double decide_publish(int32_t d, int32_t spec, int32_t status);
