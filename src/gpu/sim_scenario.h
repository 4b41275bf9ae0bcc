// SPDX-License-Identifier: Apache-2.0
/*
 * What happens to the simulated GPUs, as a function of time: how busy each is, which values are
 * unknown, when one is lost and when the driver hangs. Pure and stateless: the same seed, GPU and
 * time give the same answer, whatever was asked before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sim_kind {
    SIM_IDLE,     // nothing runs
    SIM_STEADY,   // at `level`, with a little noise
    SIM_RAMP,     // from nothing to `level` within `period`, and stays
    SIM_BURST,    // a tenth of `level`, and once each `period` a burst of a quarter of it
    SIM_SAWTOOTH, // rises for `period`, falls to nothing, again
    SIM_FLAKY,    // steady, but values come and go, and calls fail
    SIM_LOST,     // steady, but GPU `gpu` is off the bus from `after` on, for `for`
    SIM_HANG,     // steady, but from `after` on a call blocks for `for`; again each `period`
    SIM_KINDS,
};

struct sim_scenario {
    enum sim_kind kind;
    uint64_t seed;
    double level;      // 0..1
    int64_t period_ns; // > 0
    int64_t after_ns;  // lost, hang: since the first sample
    int64_t for_ns;    // lost, hang; 0 of lost: it does not return
    uint32_t gpu;      // lost, hang: which one
};

// The defaults of a kind for `n` GPUs.
struct sim_scenario sim_scenario_default(enum sim_kind kind, uint32_t n);
const char *sim_scenario_name(enum sim_kind kind);
// ERR_INVALID with the names that exist and the nearest.
int sim_scenario_by_name(struct str name, enum sim_kind *ret, struct err *e);

// t_ns: since the first sample. 0..1.
double sim_scenario_busy(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns);
// Bits of values that cannot be read now (flaky), to be cleared.
uint64_t sim_scenario_unknown(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns);
bool sim_scenario_call_fails(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns);
bool sim_scenario_lost(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns);
// For how long a call at t_ns blocks: 0, or the time to the end of the hang.
int64_t sim_scenario_hang_ns(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns);
