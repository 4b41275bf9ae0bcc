// SPDX-License-Identifier: Apache-2.0
/*
 * The profiles, one row each. Where nobody's measurement could be used the row says that its times
 * are derived, and from what.
 */
#include "base/mem.h"
#include "core/queueing/station_profile.h"

#define MIB (1024.0 * 1024.0)

// NVIDIA H100 SXM5 data sheet: 80 GB HBM3 at 3.35 TB/s, 989 TFLOPS dense at 16 bit.
static const struct gpu_kind h100 = {
    .name = "NVIDIA H100 80GB HBM3",
    .memory_bytes = 81559 * MIB,
    .memory_bytes_per_s = 3.35e12,
    .dense_flops = 989e12,
};

// Of vLLM: --gpu-memory-utilization 0.9, taken when it starts.
#define VLLM_SHARE 0.9
// SMs are active in most of a kernel's time whatever the batch is: as gpu/sim_model.c assumes.
#define BUSY_SM 0.84

// 8.03e9 parameters in 16 bit, 32 layers, 8 KV heads of 128. base: the weights are read at 0.77 of
// the bandwidth, which is what a sweep of vLLM 0.23 on an A100 came to for this model at one
// request (75 tokens/s; johnmusgrave.com/p/vllm-throughput-latency-sweep-on). context: the KV read
// at 0.6 of the bandwidth, prefill: half of the dense operations; both are assumptions. sequence
// (sampling, scheduling): chosen so that 256 sequences of 600 tokens give 13,600 tokens a second,
// where 12,500 are published for vLLM on one H100 (morphllm.com/vllm-benchmarks, 2026-04).
static const struct station_profile llama3_8b_h100 = {
    .name = "llama3-8b-h100",
    .title = "Llama 3 8B on one H100, continuous batching",
    .model = "meta-llama/Meta-Llama-3-8B-Instruct",
    .source = "derived from the data sheet's bandwidth and operations, not measured",
    .gpu = &h100,
    .gpus = 1,
    .kind = STATION_CONTINUOUS,
    .continuous =
        {
            .base_s = 6.2e-3,
            .sequence_s = 0.010e-3,
            .context_s = 0.000065e-3,
            .prefill_s = 0.0325e-3,
            .roofline = true,
            .max_sequences = 256,
            .token_budget = 2048,
            .kv_tokens = 440000, // what 0.9 of the memory leaves beside weights and 2.5 GB
        },
    .weights_bytes = 16.06e9,
    .kv_bytes_per_token = 131072,
    .flops_per_token = 16.06e9,
    .busy_sm = BUSY_SM,
    .memory_used_bytes = VLLM_SHARE * 81559 * MIB,
};

// Fits over measured tables of Splitwise (Mutinifni/splitwise-sim, MIT), R2 0.999 and 0.93.
static const struct station_profile llama2_70b_h100_tp4 = {
    .name = "llama2-70b-h100-tp4",
    .title = "Llama 2 70B on four H100, continuous batching",
    .model = "meta-llama/Llama-2-70b-chat-hf",
    .source = "fitted to Splitwise's measurements of llama2-70b on H100, tensor parallel 4",
    .gpu = &h100,
    .gpus = 4,
    .kind = STATION_CONTINUOUS,
    .continuous =
        {
            .base_s = 28.6e-3,
            .context_s = 0.00064e-3,
            .prefill_s = 0.1073e-3,
            .max_sequences = 128,
            .token_budget = 512,
            .kv_tokens = 450000,
        },
    .weights_bytes = 137.9e9,
    .kv_bytes_per_token = 327680,
    .flops_per_token = 137.9e9,
    .busy_sm = BUSY_SM,
    .memory_used_bytes = VLLM_SHARE * 81559 * MIB,
};

static const struct station_profile bloom_176b_h100_tp8 = {
    .name = "bloom-176b-h100-tp8",
    .title = "BLOOM 176B on eight H100, continuous batching, short of KV memory",
    .model = "bigscience/bloom",
    .source = "fitted to Splitwise's measurements of bloom-176b on H100, tensor parallel 8",
    .gpu = &h100,
    .gpus = 8,
    .kind = STATION_CONTINUOUS,
    .continuous =
        {
            .base_s = 35.2e-3,
            .context_s = 0.00080e-3,
            .prefill_s = 0.1543e-3,
            .max_sequences = 128,
            .token_budget = 512,
            .kv_tokens = 56000,
        },
    .weights_bytes = 352e9,
    .kv_bytes_per_token = 4014080,
    .flops_per_token = 352e9,
    .busy_sm = BUSY_SM,
    .memory_used_bytes = VLLM_SHARE * 81559 * MIB,
};

// No model of anybody's: what the classic recipe's service is like.
static const struct station_profile classic = {
    .name = "classic",
    .title = "a model server that does one request at a time, 250 ms each",
    .model = "classic",
    .source = "made up for demonstrations",
    .gpu = &h100,
    .gpus = 1,
    .kind = STATION_BATCHES,
    .batching =
        {
            .instances = 1,
            .max_batch = 1,
            .points = {{1, 0.25}},
            .n_points = 1,
            .draw = STATION_LOGNORMAL,
            .cv = 0.25,
        },
    .busy_sm = BUSY_SM,
    .busy_tensor = 0.42,
    .busy_dram = 0.66,
    .memory_used_bytes = 20e9,
};

static const struct station_profile batched = {
    .name = "batched",
    .title = "a model server with a dynamic batcher: up to 8 requests together, 100 to 275 ms",
    .model = "batched",
    .source = "made up for demonstrations",
    .gpu = &h100,
    .gpus = 1,
    .kind = STATION_BATCHES,
    .batching =
        {
            .instances = 1,
            .max_batch = 8,
            .max_delay_ns = 10000000,
            .points = {{1, 0.100}, {8, 0.275}},
            .n_points = 2,
            .draw = STATION_LOGNORMAL,
            .cv = 0.1,
        },
    .busy_sm = BUSY_SM,
    .busy_tensor = 0.42,
    .busy_dram = 0.66,
    .memory_used_bytes = 20e9,
};

const struct station_profile *const station_profiles[] = {
    &llama3_8b_h100, &llama2_70b_h100_tp4, &bloom_176b_h100_tp8, &classic, &batched,
};
const unsigned station_profiles_n = COUNT_OF(station_profiles);
