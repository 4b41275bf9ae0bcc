// SPDX-License-Identifier: Apache-2.0
/*
 * Engines of language models. All batch continuously: their GPUs are near 100 % busy from the first
 * request on, so no GPU value is linear. Names are exact: one metric's name is often the beginning
 * of another's.
 */
#include "core/engine/presets.h"

// vLLM 0.6 to 0.32 (V0 and V1): one series for each data-parallel rank (label `engine`; V0 had
// none) and model.
const struct engine_preset engine_vllm = {
    .name = "vllm",
    .title = "vLLM",
    .port = 8000,
    .path = "/metrics",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .kv_ceiling_ratio = 1, // beyond it running requests are preempted
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("vllm:num_requests_waiting")),
            [ENGINE_RUNNING] = WAYS(ONE("vllm:num_requests_running")),
            [ENGINE_KV_CACHE_RATIO] = WAYS(FULLEST(ALL("vllm:kv_cache_usage_perc")),
                                           FULLEST(ALL("vllm:gpu_cache_usage_perc"))),
            // all of finished_reason: stop, length, abort, error
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("vllm:request_success_total")),
            // prompt_tokens_total has those that a prefix cache or a transfer of KV blocks gave,
            // too
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(
                SUM(ONLY("vllm:prompt_tokens_by_source_total", IS("source", "local_compute"))),
                ONE("vllm:prompt_tokens_total")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("vllm:generation_tokens_total")),
            [ENGINE_ITL_SUM_S] = WAYS(ONE("vllm:inter_token_latency_seconds_sum"),
                                      ONE("vllm:time_per_output_token_seconds_sum")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("vllm:inter_token_latency_seconds_count"),
                                      ONE("vllm:time_per_output_token_seconds_count")),
            [ENGINE_AWAKE] = WAYS(
                LEAST(ONLY("vllm:engine_sleep_state", IS("sleep_state", "awake")))),
        },
    .histograms =
        {
            [ENGINE_TTFT] = BUCKETS(ALL("vllm:time_to_first_token_seconds_bucket")),
            // 0.11 on; before, of each token
            [ENGINE_TPOT] = BUCKETS(ALL("vllm:request_time_per_output_token_seconds_bucket"),
                                    ALL("vllm:inter_token_latency_seconds_bucket"),
                                    ALL("vllm:time_per_output_token_seconds_bucket")),
        },
};

// A scheduler's number. With priorities, priority="" is the total already. Tensor-parallel,
// pipeline and expert ranks of one group run one schedule and, asked to (metrics for all
// schedulers), tell it each; `tp_rank` counts through all groups, so rank 0 alone would lose the
// data-parallel groups (`dp_rank`), which do add up.
#define SCHEDULER .where = WHERE(IS("priority", "")), .copies = "tp_rank pp_rank moe_ep_rank"
#define SCHEDULED(metric)                                                                          \
    { .name = (metric), SCHEDULER }
#define SCHEDULED_ALSO(metric)                                                                     \
    { .name = (metric), SCHEDULER, .optional = true }

// What else waits: for a grammar; in a disaggregated prefill node for a decode node (two
// spellings), in a decode node for memory and for the KV blocks.
#define SGLANG_QUEUE                                                                               \
    SUM(SCHEDULED("sglang:num_queue_reqs"), SCHEDULED_ALSO("sglang:num_grammar_queue_reqs"),       \
        SCHEDULED_ALSO("sglang:num_prefill_bootstrap_queue_reqs"),                                 \
        SCHEDULED_ALSO("sglang:num_prefill_prealloc_queue_reqs"),                                  \
        SCHEDULED_ALSO("sglang:num_decode_prealloc_queue_reqs"),                                   \
        SCHEDULED_ALSO("sglang:num_decode_transfer_queue_reqs"))
// prompt_tokens_total has the cached ones, too.
#define SGLANG_PROMPT_TOKENS                                                                       \
    SUM(ALL("sglang:prompt_tokens_total"), LESS("sglang:cached_tokens_total"))

const struct engine_preset engine_sglang = {
    .name = "sglang",
    .title = "SGLang",
    .port = 30000,
    .path = "/metrics",
    .enable = "start it with --enable-metrics",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .kv_ceiling_ratio = 1, // beyond it running requests are retracted
    .values =
        {
            [ENGINE_QUEUE] = WAYS(SGLANG_QUEUE),
            [ENGINE_RUNNING] = WAYS(SUM(SCHEDULED("sglang:num_running_reqs"))),
            [ENGINE_KV_CACHE_RATIO] = WAYS(FULLEST(ALL("sglang:token_usage"))),
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("sglang:num_requests_total")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(SGLANG_PROMPT_TOKENS),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("sglang:generation_tokens_total")),
            [ENGINE_ITL_SUM_S] = WAYS(ONE("sglang:inter_token_latency_seconds_sum"),
                                      ONE("sglang:time_per_output_token_seconds_sum")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("sglang:inter_token_latency_seconds_count"),
                                      ONE("sglang:time_per_output_token_seconds_count")),
        },
    .histograms =
        {
            [ENGINE_TTFT] = BUCKETS(ALL("sglang:time_to_first_token_seconds_bucket")),
            [ENGINE_TPOT] = BUCKETS(ALL("sglang:inter_token_latency_seconds_bucket"),
                                    ALL("sglang:time_per_output_token_seconds_bucket")),
        },
};

// trtllm-serve. Its /metrics is JSON. The iteration gauges came in 2026, with iteration statistics;
// before, queue and running are unknown. `trtllm:` is the prefix of older versions under Dynamo.
const struct engine_preset engine_trtllm = {
    .name = "trtllm",
    .title = "TensorRT-LLM (trtllm-serve)",
    .port = 8000,
    .path = "/prometheus/metrics",
    .enable = "set return_perf_metrics and enable_iter_perf_stats to true in its options file",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .kv_ceiling_ratio = 1, // beyond it requests wait, or are paused
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("trtllm_num_requests_waiting"),
                                  ONE("trtllm:num_requests_waiting")),
            [ENGINE_RUNNING] = WAYS(ONE("trtllm_num_requests_running"),
                                    ONE("trtllm:num_requests_running")),
            [ENGINE_KV_CACHE_RATIO] = WAYS(FULLEST(ALL("trtllm_kv_cache_utilization")),
                                           FULLEST(ALL("trtllm:kv_cache_utilization"))),
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("trtllm_request_success_total"),
                                           ONE("trtllm:request_success_total")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(ONE("trtllm_prompt_tokens_total")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("trtllm_generation_tokens_total")),
            // one observation a request: the mean over its tokens
            [ENGINE_ITL_SUM_S] = WAYS(ONE("trtllm_time_per_output_token_seconds_sum"),
                                      ONE("trtllm:time_per_output_token_seconds_sum")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("trtllm_time_per_output_token_seconds_count"),
                                      ONE("trtllm:time_per_output_token_seconds_count")),
        },
    .histograms =
        {
            [ENGINE_TTFT] = BUCKETS(ALL("trtllm_time_to_first_token_seconds_bucket"),
                                    ALL("trtllm:time_to_first_token_seconds_bucket")),
            [ENGINE_TPOT] = BUCKETS(ALL("trtllm_time_per_output_token_seconds_bucket"),
                                    ALL("trtllm:time_per_output_token_seconds_bucket")),
        },
};

#define TRTLLM_REQUESTS(type) SUM(ONLY("nv_trt_llm_request_metrics", IS("request_type", type)))
#define TRTLLM_BLOCKS(type)                                                                        \
    ONLY("nv_trt_llm_kv_cache_block_metrics", IS("kv_cache_block_type", type))

// Triton with the TensorRT-LLM backend, in the model layout of that backend: Triton counts a
// request once in each model that it passes (preprocessing, tensorrt_llm, postprocessing, and the
// ensemble), so only the model `tensorrt_llm` is counted.
const struct engine_preset engine_triton_trtllm =
    {
        .name = "triton-trtllm",
        .title = "Triton with the TensorRT-LLM backend",
        .port = 8002,
        .path = "/metrics",
        .enable = "do not start it with --allow-metrics=false",
        .continuous_batching = true,
        .requests = ENGINE_COUNTS_FINISHED,
        .kv_ceiling_ratio = 1,
        .values =
            {
                [ENGINE_QUEUE] = WAYS(TRTLLM_REQUESTS("waiting")),
                [ENGINE_RUNNING] = WAYS(TRTLLM_REQUESTS("scheduled")),
                // `fraction` came later than used and max
                [ENGINE_KV_CACHE_RATIO] = WAYS(
                    FULLEST(TRTLLM_BLOCKS("fraction")),
                    {.add = TERMS(TRTLLM_BLOCKS("used")), .per = TERMS(TRTLLM_BLOCKS("max"))}),
                [ENGINE_REQUESTS_TOTAL] = WAYS(
                    SUM(ONLY("nv_inference_request_success", IS("model", "tensorrt_llm")),
                        {.name = "nv_inference_request_failure",
                         .where = WHERE(IS("model", "tensorrt_llm")),
                         .optional = true})),
            },
        .histograms =
            {
                // milliseconds; with --metrics-config histogram_latencies=true, decoupled models
                [ENGINE_TTFT] = BUCKETS({.name = "nv_inference_first_response_histogram_ms_bucket",
                                         .where = WHERE(IS("model", "tensorrt_llm")),
                                         .factor = 1e-3}),
            },
};

// Text Generation Inference (2 and 3). Its gauges come with the first request. No time to first
// token; the mean time per token has the prefill in it, so it is no inter-token latency.
const struct engine_preset engine_tgi = {
    .name = "tgi",
    .title = "Hugging Face Text Generation Inference",
    .port = 80, // of the image; the launcher's own default is 3000
    .path = "/metrics",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_ARRIVED,
    .kv_ceiling_ratio = 1, // tokens that the batch may grow to: beyond it requests wait
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("tgi_queue_size")),
            [ENGINE_RUNNING] = WAYS(ONE("tgi_batch_current_size")),
            [ENGINE_KV_CACHE_RATIO] = WAYS({.add = TERMS(ALL("tgi_batch_current_max_tokens")),
                                            .per = TERMS(ALL("tgi_batch_max_total_tokens"))}),
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("tgi_request_count")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(ONE("tgi_request_input_length_sum")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("tgi_request_generated_tokens_sum")),
        },
};

// llama.cpp's server. No request counter, and no KV cache since May 2025.
const struct engine_preset engine_llamacpp = {
    .name = "llamacpp",
    .title = "llama.cpp server",
    .port = 8080,
    .path = "/metrics",
    .enable = "start it with --metrics",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("llamacpp:requests_deferred")),
            [ENGINE_RUNNING] = WAYS(ONE("llamacpp:requests_processing")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(ONE("llamacpp:prompt_tokens_total")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("llamacpp:tokens_predicted_total")),
            // each slot's own time for its tokens, added up over the slots
            [ENGINE_ITL_SUM_S] = WAYS(ONE("llamacpp:tokens_predicted_seconds_total")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("llamacpp:tokens_predicted_total")),
        },
};

// Dynamo. A frontend's page speaks for all its workers (in flight includes what has no first token
// yet); a worker's has the KV cache and passes on its engine's own metrics. No page has both.
const struct engine_preset engine_dynamo = {
    .name = "dynamo",
    .title = "NVIDIA Dynamo (frontend or worker)",
    .port = 8000, // the frontend's; a worker's is DYN_SYSTEM_PORT
    .path = "/metrics",
    .enable = "a worker has a page only with DYN_SYSTEM_PORT set: give it as metricsPort",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .kv_ceiling_ratio = 1,
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("dynamo_frontend_queued_requests"),
                                  ONE("vllm:num_requests_waiting"), SGLANG_QUEUE,
                                  ONE("trtllm_num_requests_waiting")),
            [ENGINE_RUNNING] = WAYS(SUM(ALL("dynamo_frontend_inflight_requests"),
                                        {.name = "dynamo_frontend_queued_requests", .factor = -1}),
                                    ONE("vllm:num_requests_running"),
                                    SUM(SCHEDULED("sglang:num_running_reqs")),
                                    ONE("trtllm_num_requests_running")),
            [ENGINE_KV_CACHE_RATIO] = WAYS(
                FULLEST(ALL("dynamo_component_gpu_cache_usage_percent")),
                FULLEST(ALL("dynamo_component_kvstats_gpu_cache_usage_percent"))),
            [ENGINE_REQUESTS_TOTAL] = WAYS(
                ONE("dynamo_frontend_requests_total"), ONE("vllm:request_success_total"),
                ONE("sglang:num_requests_total"), ONE("trtllm_request_success_total")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(
                ONE("dynamo_frontend_input_sequence_tokens_sum"), ONE("vllm:prompt_tokens_total"),
                SGLANG_PROMPT_TOKENS, ONE("trtllm_prompt_tokens_total")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(
                ONE("dynamo_frontend_output_tokens_total"), ONE("vllm:generation_tokens_total"),
                ONE("sglang:generation_tokens_total"), ONE("trtllm_generation_tokens_total")),
            [ENGINE_ITL_SUM_S] = WAYS(ONE("dynamo_frontend_inter_token_latency_seconds_sum"),
                                      ONE("vllm:inter_token_latency_seconds_sum"),
                                      ONE("sglang:inter_token_latency_seconds_sum"),
                                      ONE("trtllm_time_per_output_token_seconds_sum")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("dynamo_frontend_inter_token_latency_seconds_count"),
                                      ONE("vllm:inter_token_latency_seconds_count"),
                                      ONE("sglang:inter_token_latency_seconds_count"),
                                      ONE("trtllm_time_per_output_token_seconds_count")),
        },
    .histograms =
        {
            [ENGINE_TTFT] = BUCKETS(ALL("dynamo_frontend_time_to_first_token_seconds_bucket"),
                                    ALL("vllm:time_to_first_token_seconds_bucket"),
                                    ALL("sglang:time_to_first_token_seconds_bucket"),
                                    ALL("trtllm_time_to_first_token_seconds_bucket")),
            [ENGINE_TPOT] = BUCKETS(ALL("dynamo_frontend_inter_token_latency_seconds_bucket"),
                                    ALL("vllm:request_time_per_output_token_seconds_bucket"),
                                    ALL("vllm:inter_token_latency_seconds_bucket"),
                                    ALL("sglang:inter_token_latency_seconds_bucket"),
                                    ALL("trtllm_time_per_output_token_seconds_bucket")),
        },
};

// vLLM inside Ray Serve: vLLM's metrics under Ray's names, on the page of the Ray node. Ray writes
// `_` for `:`; older versions kept it. What waits at Ray's handles has not reached vLLM yet.
const struct engine_preset engine_ray_serve_llm = {
    .name = "ray-serve-llm",
    .title = "vLLM in Ray Serve",
    .port = 8080,
    .path = "/metrics",
    .enable = "start Ray with --metrics-export-port=8080",
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
    .kv_ceiling_ratio = 1,
    .values =
        {
            [ENGINE_QUEUE] = WAYS(SUM(ALL("ray_vllm_num_requests_waiting"),
                                      ALSO("ray_serve_deployment_queued_queries")),
                                  SUM(ALL("ray_vllm:num_requests_waiting"),
                                      ALSO("ray_serve_deployment_queued_queries"))),
            [ENGINE_RUNNING] = WAYS(ONE("ray_vllm_num_requests_running"),
                                    ONE("ray_vllm:num_requests_running")),
            [ENGINE_KV_CACHE_RATIO] = WAYS(FULLEST(ALL("ray_vllm_kv_cache_usage_perc")),
                                           FULLEST(ALL("ray_vllm_gpu_cache_usage_perc")),
                                           FULLEST(ALL("ray_vllm:kv_cache_usage_perc")),
                                           FULLEST(ALL("ray_vllm:gpu_cache_usage_perc"))),
            [ENGINE_REQUESTS_TOTAL] = WAYS(
                ONE("ray_vllm_request_success_total"), ONE("ray_vllm_request_success"),
                ONE("ray_vllm:request_success_total"), ONE("ray_vllm:request_success")),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(
                ONE("ray_vllm_prompt_tokens_total"), ONE("ray_vllm_prompt_tokens"),
                ONE("ray_vllm:prompt_tokens_total"), ONE("ray_vllm:prompt_tokens")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(
                ONE("ray_vllm_generation_tokens_total"), ONE("ray_vllm_generation_tokens"),
                ONE("ray_vllm:generation_tokens_total"), ONE("ray_vllm:generation_tokens")),
            [ENGINE_ITL_SUM_S] = WAYS(ONE("ray_vllm_inter_token_latency_seconds_sum"),
                                      ONE("ray_vllm_time_per_output_token_seconds_sum"),
                                      ONE("ray_vllm:time_per_output_token_seconds_sum")),
            [ENGINE_ITL_COUNT] = WAYS(ONE("ray_vllm_inter_token_latency_seconds_count"),
                                      ONE("ray_vllm_time_per_output_token_seconds_count"),
                                      ONE("ray_vllm:time_per_output_token_seconds_count")),
        },
    .histograms =
        {
            [ENGINE_TTFT] = BUCKETS(ALL("ray_vllm_time_to_first_token_seconds_bucket"),
                                    ALL("ray_vllm:time_to_first_token_seconds_bucket")),
            [ENGINE_TPOT] = BUCKETS(ALL("ray_vllm_request_time_per_output_token_seconds_bucket"),
                                    ALL("ray_vllm_inter_token_latency_seconds_bucket"),
                                    ALL("ray_vllm_time_per_output_token_seconds_bucket"),
                                    ALL("ray_vllm:time_per_output_token_seconds_bucket")),
        },
};

// Ollama has no metrics page at all: nothing is scraped. It batches a few requests (NUM_PARALLEL),
// so its GPU saturates.
const struct engine_preset engine_ollama = {
    .name = "ollama",
    .title = "Ollama",
    .port = 11434,
    .continuous_batching = true,
    .requests = ENGINE_COUNTS_FINISHED,
};
