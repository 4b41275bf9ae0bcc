// SPDX-License-Identifier: Apache-2.0
/* The flags of `gpuscale generate`. */
#pragma once

#include "conf/conf.h"

enum generate_style { STYLE_GPUSCALE, STYLE_PROMETHEUS, STYLE_MANAGED, STYLE_HPA };
enum generate_policies { POLICIES_AUTO, POLICIES_ADD, POLICIES_NONE };

// Keys of the trigger metadata that are flags: member, key, flag, what --help calls the value,
// help.
#define GENERATE_METADATA(X)                                                                       \
    X(engine, "engine", "engine", "NAME",                                                          \
      "Which preset reads the metrics page: vllm, sglang, triton, custom, ... Without it, it is "  \
      "recognised.")                                                                               \
    X(metrics_port, "metricsPort", "metrics-port", "PORT", "Where the page is.")                   \
    X(metrics_path, "metricsPath", "metrics-path", "PATH", "Likewise.")                            \
    X(capacity, "capacity", "capacity", "N|learn",                                                 \
      "Requests a second that one replica serves within its SLO, or learn.")                       \
    X(work, "work", "work", "N|capacity", "Tokens a second that one replica does.")                \
    X(ttft, "ttft", "ttft", "TIME", "The SLO's time to first token.")                              \
    X(itl, "itl", "itl", "TIME", "The SLO's time between tokens.")                                 \
    X(slo_goal, "sloGoal", "slo-goal", "RATIO", "Share of requests within both.")                  \
    X(request_rate, "requestRate", "request-rate", "N", "Target: requests a second a replica.")    \
    X(token_rate, "tokenRate", "token-rate", "N", "Target: tokens a second a replica.")            \
    X(running, "running", "running", "N", "Target: requests that a replica serves at once.")       \
    X(queue, "queue", "queue", "N", "Guard: waiting requests a replica.")                          \
    X(kv_cache, "kvCache", "kv-cache", "RATIO", "Guard: how full the KV cache may be, 0.9.")       \
    X(gpu_utilization, "gpuUtilization", "gpu-utilization", "PERCENT", "Target: GPU busy time.")   \
    X(sm_activity, "smActivity", "sm-activity", "PERCENT", "Target: SM activity.")                 \
    X(tensor_activity, "tensorActivity", "tensor-activity", "PERCENT", "Target: tensor cores.")    \
    X(gpu_memory, "gpuMemory", "gpu-memory", "PERCENT", "Target: GPU memory.")                     \
    X(power, "power", "power", "WATTS", "Target: power.")                                          \
    X(when, "when", "when", "EXPRESSION",                                                          \
      "When the signals that it names may raise: all, any, 'queue and gpuUtilization'.")           \
    X(demand, "demand", "demand", "NAME",                                                          \
      "Demand source of the scaler's configuration: what knows of requests while no pod exists.")  \
    X(activation, "activation", "activation", "N", "Demand above which a service at zero starts.") \
    X(safety, "safety", "safety", "N", "Staffing margin.")                                         \
    X(rate_window, "rateWindow", "rate-window", "TIME", "Window of rates.")                        \
    X(down_window, "downWindow", "down-window", "TIME", "How long a lower number must hold.")      \
    X(tolerance, "tolerance", "tolerance", "RATIO", "Upward, of targets.")                         \
    X(down_margin, "downMargin", "down-margin", "RATIO", "Downward, of targets.")                  \
    X(max_age, "maxAge", "max-age", "TIME", "When a value is too old.")                            \
    X(cold_start, "coldStart", "cold-start", "TIME", "Pod start; 0: learned.")                     \
    X(burst_memory, "burstMemory", "burst-memory", "TIME",                                         \
      "Keep the highest 30 s demand of so long.")                                                  \
    X(mode, "mode", "mode", "scale|observe",                                                       \
      "observe: decide and record, tell KEDA the present count.")

struct generate_flags {
#define GENERATE_MEMBER(member, key, flag, arg, help) const char *member;
    GENERATE_METADATA(GENERATE_MEMBER)
#undef GENERATE_MEMBER
    CONF_LIST_OF(const char *) set, from;
    int style, policies;
    const char *name, *namespace_, *target;
    const char *min, *max;  // NULL: not told
    const char *kubernetes; // "1.37"
    const char *scaler, *authentication, *scaler_namespace;
    const char *prometheus, *prometheus_server, *replicas_query;
    bool adapter;
    const char *output, *kubeconfig, *context;
    // The arguments that are no flags.
    char **inputs;
    int n_inputs;
};

extern const struct conf_spec generate_spec;

// The value of a metadata key's flag; NULL: not given.
const char *generate_flag(const struct generate_flags *flags, const char *key);
// The i-th metadata key in the order in which they are written; NULL behind the last.
const char *generate_key(unsigned i);
