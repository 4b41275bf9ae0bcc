// SPDX-License-Identifier: Apache-2.0
/*
 * Named sets of coefficients: a model on a kind of GPU, with where the figures come from. A profile
 * makes a station's configuration, and says what the GPUs do while the station works.
 */
#pragma once

#include "core/queueing/station.h"

// Of one GPU, from its data sheet.
struct gpu_kind {
    const char *name; // part of the name that NVML tells
    double memory_bytes;
    double memory_bytes_per_s; // bandwidth
    double dense_flops;        // tensor cores, 16 bit, without sparsity
    double tdp_w, idle_w;
};

struct station_profile {
    const char *name;   // "llama2-70b-h100-tp4"
    const char *title;  // for people
    const char *source; // of the times
    const struct gpu_kind *gpu;
    uint32_t gpus; // that one replica holds
    enum station_kind kind;
    struct station_continuous continuous;
    struct station_batching batching;
    // What the work asks of the hardware.
    double weights_bytes;
    double kv_bytes_per_token;
    double flops_per_token;   // continuous: of a forward pass, 2 x parameters
    double memory_used_bytes; // of a GPU while the model is loaded: engines take theirs at start
    double busy_tensor, busy_dram; // batches: activity while a batch of full size runs, 0..1
};

extern const struct station_profile *const station_profiles[];
extern const unsigned station_profiles_n;

// NULL: none of that name.
const struct station_profile *station_profile_find(const char *name);
// A configuration for station_new(); max_queue, seed and hooks are the caller's to set.
void station_profile_config(const struct station_profile *p, struct station_config *ret);
// Changes one coefficient from "KEY=VALUE" (a flag's text): base, sequence, context, prefill (ms;
// context and prefill per token, sequence per sequence), max-sequences, token-budget, kv-tokens,
// kv-reserve; for batches instances, max-batch, max-delay (ms), cv, time=N:MS[,N:MS...].
// ERR_INVALID names key, value and what is allowed.
int station_profile_set(struct station_profile *p, const char *text, struct err *e);

// What the GPUs of the replica did between two readings of its station, each GPU the same.
struct station_activity {
    double busy_ratio;   // time with a kernel resident: ~1 while anything runs, whatever the batch
    double sm_ratio;     // SMs with a warp
    double tensor_ratio; // follows the tokens
    double dram_ratio;   // weights and KV read, against the bandwidth
    double memory_used_bytes;
    double power_w;
};
void station_activity(const struct station_profile *p, const struct station_reading *before,
                      const struct station_reading *after, struct station_activity *ret);
