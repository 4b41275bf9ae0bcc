// SPDX-License-Identifier: Apache-2.0
/*
 * Simulated GPUs: "N[,SCENARIO][,KEY=VALUE]...", for example "8,ramp,period=2m".
 *
 *     scenarios  idle (default) steady ramp burst sawtooth flaky lost hang    (sim_scenario.h)
 *     level=R    0..1, how busy the scenario makes a GPU
 *     period=D   of ramp, burst, sawtooth and hang, a duration
 *     after=D    when a GPU is lost or the driver hangs, from the first sample on
 *     for=D      for how long; 0 of lost: for good
 *     gpu=I      which GPU is lost or hangs (the last one)
 *     seed=S     of noise and UUIDs (1): the same seed gives the same run
 *     load=PATH  a unix datagram socket on which load is told (sim_load.h)
 */
#pragma once

#include "gpu/source.h"

extern const struct gpu_source_ops gpu_sim;
