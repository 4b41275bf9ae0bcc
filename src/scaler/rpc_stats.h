// SPDX-License-Identifier: Apache-2.0
/*
 * What the rpc thread counts. Plain storage: the thread owns one, and hands a copy to the io thread
 * each second, which renders it on /metrics.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/metrics/histogram.h"

enum rpc_method {
    RPC_GET_METRICS,
    RPC_IS_ACTIVE,
    RPC_GET_METRIC_SPEC,
    RPC_STREAM_IS_ACTIVE,
    RPC_STREAM_METRIC_SPEC,
    RPC_OTHER, // health, reflection, unknown methods
    RPC_METHOD_MAX,
};

enum { RPC_CODES = 17 };
extern const char *const rpc_method_names[RPC_METHOD_MAX]; // "GetMetrics", ..., "other"

struct rpc_stats {
    struct histogram latency_s[RPC_METHOD_MAX]; // unary calls
    uint64_t ended[RPC_METHOD_MAX][RPC_CODES];  // every call, by status
    // Gauges, set when the copy is made:
    uint64_t objects, objects_invalid, waiting, connections, calls_open;
    uint64_t streams_active, streams_spec, followers;
    // Counters:
    uint64_t pushes, pushes_blocked, objects_refused, messages_lost, stale_answers, followers_slow;
    uint64_t handshake_failures, certificates_refused, connections_refused, protocol_errors,
        reload_failures;
    int64_t cert_not_after_s; // 0: none
};

// "/pkg.Service/GetMetrics" -> RPC_GET_METRICS.
enum rpc_method rpc_method_of(const char *path);
void rpc_stats_init(struct rpc_stats *s);
void rpc_stats_observe(struct rpc_stats *s, const char *path, int status, int64_t took_ns);
