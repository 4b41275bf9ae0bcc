// SPDX-License-Identifier: Apache-2.0
/*
 * Servers of any model, and a server of one's own. Most do one request, or one batch, at a time on
 * the GPU, so that its busy time grows with the load.
 */
#include "core/engine/presets.h"

enum { ONE_AT_A_TIME = ENGINE_LINEAR_GPU_UTILIZATION | ENGINE_LINEAR_SM_ACTIVITY };

// Requests that are not inference: probes and our own scrapes.
#define NOT_PROBES "/metrics /health /healthz /health_check /ready /readyz /live /livez /ping"

// The classic server of one's own: a queue, and one request at a time.
const struct engine_preset engine_custom = {
    .name = "custom",
    .title = "a server of your own",
    .port = 8080,
    .path = "/metrics",
    .enable = "the server must write them itself",
    .linear = ONE_AT_A_TIME,
    .requests = ENGINE_COUNTS_FINISHED,
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("inference_queue_length"), ONE("inference_queue_size"),
                                  ONE("inference_requests_waiting"),
                                  ONE("inference_requests_queued")),
            [ENGINE_RUNNING] = WAYS(ONE("inference_requests_running"),
                                    ONE("inference_requests_in_flight"), ONE("inference_in_flight"),
                                    ONE("inference_requests_active")),
            [ENGINE_REQUESTS_TOTAL] = WAYS(
                ONE("inference_requests_total"),
                SUM(ONLY("http_requests_total", NONE_OF("handler", NOT_PROBES),
                         NONE_OF("path", NOT_PROBES), NONE_OF("endpoint", NOT_PROBES)))),
            [ENGINE_PROMPT_TOKENS_TOTAL] = WAYS(ONE("inference_prompt_tokens_total")),
            [ENGINE_GENERATION_TOKENS_TOTAL] = WAYS(ONE("inference_generation_tokens_total")),
        },
};

// Triton with any other backend. There is no gauge of running requests, and none can be made: the
// duration counters move when a request ends, so they say 0 while a server hangs.
const struct engine_preset engine_triton = {
    .name = "triton",
    .title = "NVIDIA Triton Inference Server",
    .port = 8002,
    .path = "/metrics",
    .enable = "do not start it with --allow-metrics=false",
    .linear = ONE_AT_A_TIME,
    .requests = ENGINE_COUNTS_FINISHED,
    .values =
        {
            // ensembles show 0 here, their parts the requests
            [ENGINE_QUEUE] = WAYS(ONE("nv_inference_pending_request_count")),
            // once in each model: a request to an ensemble counts in it and in its parts
            [ENGINE_REQUESTS_TOTAL] = WAYS(
                SUM(ALL("nv_inference_request_success"), ALSO("nv_inference_request_failure"))),
        },
};

// Ray Serve with any deployment; the page is the Ray node's and has all of the node's replicas. A
// request counts once in each deployment that it passes.
const struct engine_preset engine_ray_serve = {
    .name = "ray-serve",
    .title = "Ray Serve",
    .port = 8080,
    .path = "/metrics",
    .enable = "start Ray with --metrics-export-port=8080",
    .linear = ONE_AT_A_TIME,
    .requests = ENGINE_COUNTS_FINISHED,
    .values =
        {
            [ENGINE_QUEUE] = WAYS(ONE("ray_serve_deployment_queued_queries")),
            [ENGINE_RUNNING] = WAYS(ONE("ray_serve_replica_processing_queries"),
                                    ONE("ray_serve_num_ongoing_requests_at_replicas")),
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("ray_serve_deployment_request_counter_total"),
                                           ONE("ray_serve_deployment_request_counter")),
        },
};

// TorchServe tells no queue: its queue time is a counter of requests that have left the queue.
const struct engine_preset engine_torchserve = {
    .name = "torchserve",
    .title = "TorchServe",
    .port = 8082,
    .path = "/metrics",
    .enable = "set metrics_mode=prometheus and metrics_address=http://0.0.0.0:8082 in "
              "config.properties",
    .linear = ONE_AT_A_TIME,
    .requests = ENGINE_COUNTS_ARRIVED,
    .values =
        {
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("ts_inference_requests_total")),
        },
};

// KServe: the Python server's own page (8080), or the aggregated one (9088) or the queue proxy's
// (9091), which count for any runtime. The queue proxy's depth is told when a request arrives and
// never falls by itself, so it is not read.
const struct engine_preset engine_kserve = {
    .name = "kserve",
    .title = "KServe (Python server, or any runtime behind its queue proxy)",
    .port = 8080,
    .path = "/metrics",
    .enable = "for a runtime without its own page set metricsPort to the queue proxy's (9091) or, "
              "with serving.kserve.io/enable-metric-aggregation, the aggregated page's (9088)",
    .linear = ONE_AT_A_TIME,
    .requests = ENGINE_COUNTS_FINISHED,
    .values =
        {
            [ENGINE_REQUESTS_TOTAL] = WAYS(ONE("request_predict_seconds_count"),
                                           ONE("kn_serving_invocation_duration_seconds_count"),
                                           ONE("kn_queueproxy_app_duration_seconds_count"),
                                           ONE("revision_app_request_count")),
        },
};
