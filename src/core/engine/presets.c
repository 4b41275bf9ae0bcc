// SPDX-License-Identifier: Apache-2.0
/*
 * The engines that gpuscale knows, a row each. Names are exact (one metric's name is often the
 * beginning of another's). docs/engines.md is the table for people: keep it in step.
 */
#include "base/mem.h"
#include "core/engine/preset.h"

#define ONE(metric)                                                                                \
    {                                                                                              \
        .add = { {.name = (metric)} }                                                              \
    }
#define FULLEST(metric)                                                                            \
    {                                                                                              \
        .combine = ENGINE_MAX, .add = { {.name = (metric)} }                                       \
    }

// Requests that are not inference: probes and our own scrapes.
#define NOT_PROBES "/metrics /health /healthz /health_check /ready /readyz /live /livez /ping"

const struct engine_preset
    engine_presets[] =
        {
            {
                // vLLM 0.6 to 0.32 (V0 and V1): one series for each data-parallel rank (label
                // `engine`; V0 had none) and model.
                .name = "vllm",
                .title = "vLLM",
                .port = 8000,
                .path = "/metrics",
                .continuous_batching = true,
                .requests = ENGINE_COUNTS_FINISHED,
                .kv_ceiling_ratio = 1, // beyond it running requests are preempted
                .values =
                    {
                        [ENGINE_QUEUE] = {.ways = {ONE("vllm:num_requests_waiting")}},
                        [ENGINE_RUNNING] = {.ways = {ONE("vllm:num_requests_running")}},
                        [ENGINE_KV_CACHE_RATIO] = {.ways = {FULLEST("vllm:kv_cache_usage_perc"),
                                                            FULLEST("vllm:gpu_cache_usage_perc")}},
                        // all of finished_reason: stop, length, abort, error
                        [ENGINE_REQUESTS_TOTAL] = {.ways = {ONE("vllm:request_success_total")}},
                        // prompt_tokens_total has those that a prefix cache or a transfer of KV
                        // blocks gave, too
                        [ENGINE_PROMPT_TOKENS_TOTAL] =
                            {
                                .ways = {{.add = {{.name = "vllm:prompt_tokens_by_source_total",
                                                   .where = {{"source",
                                                              ENGINE_LABEL_IS, "local_compute"}}}}},
                                         ONE("vllm:prompt_tokens_total")}},
                        [ENGINE_GENERATION_TOKENS_TOTAL] =
                            {.ways = {ONE("vllm:generation_tokens_total")}},
                        [ENGINE_ITL_SUM_S] =
                            {
                                .ways = {ONE("vllm:inter_token_latency_seconds_sum"),
                                         ONE("vllm:time_per_output_token_seconds_sum")}},
                        [ENGINE_ITL_COUNT] =
                            {
                                .ways = {ONE("vllm:inter_token_latency_seconds_count"),
                                         ONE("vllm:time_per_output_token_seconds_count")}},
                        [ENGINE_AWAKE] = {.ways =
                                              {
                                                  {
                                                      .combine = ENGINE_MIN,
                                                      .add =
                                                          {{.name = "vllm:engine_sleep_state",
                                                            .where = {{"sleep_state",
                                                                       ENGINE_LABEL_IS, "awake"}}}},
                                                  }}},
                    },
                .histograms =
                    {
                        [ENGINE_TTFT] = {.ways = {{.name =
                                                       "vllm:time_to_first_token_seconds_bucket"}}},
                        // 0.11 on; before, of each token
                        [ENGINE_TPOT] =
                            {.ways = {{.name = "vllm:request_time_per_output_token_seconds_bucket"},
                                      {.name = "vllm:inter_token_latency_seconds_bucket"},
                                      {.name = "vllm:time_per_output_token_seconds_bucket"}}},
                    },
            },
            {
                // The classic server of one's own: a queue, and one request at a time on the GPU,
                // so that the GPU's busy time is its load.
                .name = "custom",
                .title = "a server of your own",
                .port = 8080,
                .path = "/metrics",
                .enable = "the server must write them itself",
                .continuous_batching = false,
                .linear = ENGINE_LINEAR_GPU_UTILIZATION | ENGINE_LINEAR_SM_ACTIVITY,
                .requests = ENGINE_COUNTS_FINISHED,
                .values =
                    {
                        [ENGINE_QUEUE] = {.ways = {ONE("inference_queue_length"),
                                                   ONE("inference_queue_size"),
                                                   ONE("inference_requests_waiting"),
                                                   ONE("inference_requests_queued")}},
                        [ENGINE_RUNNING] = {.ways = {ONE("inference_requests_running"),
                                                     ONE("inference_requests_in_flight"),
                                                     ONE("inference_in_flight"),
                                                     ONE("inference_requests_active")}},
                        [ENGINE_REQUESTS_TOTAL] =
                            {.ways = {ONE("inference_requests_total"),
                                      {.add = {{.name = "http_requests_total",
                                                .where = {{"handler", ENGINE_LABEL_NONE_OF,
                                                           NOT_PROBES},
                                                          {"path", ENGINE_LABEL_NONE_OF,
                                                           NOT_PROBES},
                                                          {"endpoint", ENGINE_LABEL_NONE_OF,
                                                           NOT_PROBES}}}}}}},
                        [ENGINE_PROMPT_TOKENS_TOTAL] =
                            {.ways = {ONE("inference_prompt_tokens_total")}},
                        [ENGINE_GENERATION_TOKENS_TOTAL] =
                            {.ways = {ONE("inference_generation_tokens_total")}},
                    },
            },
};

const unsigned engine_presets_n = COUNT_OF(engine_presets);
