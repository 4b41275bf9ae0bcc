// SPDX-License-Identifier: Apache-2.0
/*
 * A plausible H100 (SXM5, 80 GB) for simulation: what a GPU that is so busy draws, heats, holds and
 * counts. Pure: time is an argument, the state of one GPU is a struct. Figures are the data sheet's
 * (700 W, 80 GB HBM3) and what nvidia-smi shows on an idle one (about 70 W, 345 MHz).
 */
#pragma once

#include "core/signal/reading.h"

// What the work on a GPU does to it, all 0..1.
struct sim_activity {
    double busy;              // time in which a kernel is resident (utilization)
    double sm, tensor, dram;  // activity of the units; negative: derived from busy
    double memory_used_bytes; // negative: derived from busy
};

struct sim_gpu {
    double temperature_c;
    double energy_j;
    int64_t last_ns; // time of the last step
    bool started;
};

void sim_model_info(uint64_t seed, uint32_t index, struct gpu_info *ret);
// Steps the GPU to now_ns (never backwards: an older time changes nothing) and reads it.
void sim_model_step(struct sim_gpu *g, const struct sim_activity *a, int64_t now_ns,
                    struct gpu_reading *ret);
