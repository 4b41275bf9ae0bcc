// SPDX-License-Identifier: Apache-2.0
/*
 * Named sets of coefficients: a model on a kind of GPU, with where the figures come from. A profile
 * makes a station's configuration, and says what the GPUs do while the station works. The rows are
 * in profiles.c; adding a profile is adding a row.
 */
#pragma once

#include "base/str.h"
#include "core/queueing/station.h"

// Of one GPU, from its data sheet.
struct gpu_kind {
    const char *name;          // as NVML tells it
    double memory_bytes;       // as NVML tells it
    double memory_bytes_per_s; // bandwidth
    double dense_flops;        // tensor cores, 16 bit, without sparsity
};

struct station_profile {
    const char *name;   // "llama2-70b-h100-tp4"
    const char *title;  // for people
    const char *model;  // as an OpenAI client names it
    const char *source; // of the times, a sentence
    const struct gpu_kind *gpu;
    uint32_t gpus; // that one replica holds
    enum station_kind kind;
    struct station_continuous continuous; // of its kind alone
    struct station_batching batching;     // of its kind alone
    // What the work asks of the hardware. Activities are 0..1, of the time in which anything runs.
    double weights_bytes;      // read once in each iteration
    double kv_bytes_per_token; // read for each token of context
    double flops_per_token;    // of a forward pass: 2 x parameters
    double busy_sm;
    double busy_tensor, busy_dram; // batches; continuous: they follow from the tokens
    double memory_used_bytes;      // of each GPU while the model is loaded
};

extern const struct station_profile *const station_profiles[]; // [0] is the default
extern const unsigned station_profiles_n;

// ERR_NOTFOUND names the profiles there are and the nearest.
int station_profile_find(struct str name, const struct station_profile **ret, struct err *e);
// A configuration for station_new(); max_queue, seed and hooks are the caller's to set.
void station_profile_config(const struct station_profile *p, struct station_config *ret);
// Changes one coefficient from "KEY=VALUE" (a flag's text). Continuous: base, sequence, context,
// prefill (ms; of one iteration, sequence, token of context, token of prompt), roofline,
// kv-reserve (true or false), max-sequences, token-budget, kv-tokens. Batches: instances,
// max-batch, max-delay (ms), time=N:MS[,N:MS...] (a batch of N takes so long), cv (of the times,
// lognormal; 0: constant). ERR_INVALID names key, value and what is allowed; what only
// station_new() can judge, it judges.
int station_profile_set(struct station_profile *p, struct str text, struct err *e);

// What the GPUs of the replica did between two readings of its station, each GPU the same.
struct station_activity {
    double busy_ratio;   // time with a kernel resident: ~1 while anything runs, whatever the batch
    double sm_ratio;     // SMs with a warp
    double tensor_ratio; // continuous: the tokens' operations against what the GPUs could do
    double dram_ratio;   // continuous: weights and KV read, against the bandwidth
};
// `after` is later than `before`, else nothing was done.
void station_activity(const struct station_profile *p, const struct station_reading *before,
                      const struct station_reading *after, struct station_activity *ret);
