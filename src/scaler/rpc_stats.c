// SPDX-License-Identifier: Apache-2.0
/* Counts of calls by method and code; see the header. */
#include "scaler/rpc_stats.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "net/grpc_status.h"

const char *const rpc_method_names[RPC_METHOD_MAX] = {
    [RPC_GET_METRICS] = "GetMetrics",
    [RPC_IS_ACTIVE] = "IsActive",
    [RPC_GET_METRIC_SPEC] = "GetMetricSpec",
    [RPC_STREAM_IS_ACTIVE] = "StreamIsActive",
    [RPC_STREAM_METRIC_SPEC] = "StreamMetricSpec",
    [RPC_OTHER] = "other",
};

enum rpc_method rpc_method_of(const char *path) {
    static const char prefix[] = "/externalscaler.ExternalScaler/";
    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
        return RPC_OTHER;
    for (int m = 0; m < RPC_OTHER; m++)
        if (strcmp(path + sizeof(prefix) - 1, rpc_method_names[m]) == 0)
            return m;
    return RPC_OTHER;
}

static bool is_stream(enum rpc_method m) {
    // "other" holds health watches and reflection, which last as long as their client.
    return m == RPC_STREAM_IS_ACTIVE || m == RPC_STREAM_METRIC_SPEC || m == RPC_OTHER;
}

void rpc_stats_init(struct rpc_stats *s) {
    *s = (struct rpc_stats){0};
    for (int m = 0; m < RPC_METHOD_MAX; m++)
        histogram_init(&s->latency_s[m], histogram_latency_s, histogram_latency_s_n);
}

void rpc_stats_observe(struct rpc_stats *s, const char *path, int status, int64_t took_ns) {
    enum rpc_method m = rpc_method_of(path);
    int code = status >= 0 && status < RPC_CODES ? status : GRPC_UNKNOWN; // as clients read it
    s->ended[m][code]++;
    if (!is_stream(m))
        histogram_add(&s->latency_s[m], (double)took_ns / NS_PER_S);
}
