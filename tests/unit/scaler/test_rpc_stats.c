// SPDX-License-Identifier: Apache-2.0
/* Counts of calls by method and code. */
#include "scaler/rpc_stats.h"

#include "net/grpc_status.h"
#include "unit.h"

#define P "/externalscaler.ExternalScaler/"

static void methods_are_told_apart(void **state) {
    assert_int_equal(rpc_method_of(P "GetMetrics"), RPC_GET_METRICS);
    assert_int_equal(rpc_method_of(P "GetMetricSpec"), RPC_GET_METRIC_SPEC);
    assert_int_equal(rpc_method_of(P "StreamMetricSpec"), RPC_STREAM_METRIC_SPEC);
    assert_int_equal(rpc_method_of(P "GetMetric"), RPC_OTHER);
    assert_int_equal(rpc_method_of(P "other"), RPC_OTHER);
    assert_int_equal(rpc_method_of("/grpc.health.v1.Health/Check"), RPC_OTHER);
    assert_int_equal(rpc_method_of(""), RPC_OTHER);
}

static void streams_do_not_count_as_latency(void **state) {
    static struct rpc_stats s;
    rpc_stats_init(&s);
    rpc_stats_observe(&s, P "GetMetrics", GRPC_OK, 100000);
    rpc_stats_observe(&s, P "GetMetrics", GRPC_UNAVAILABLE, 200000);
    rpc_stats_observe(&s, P "StreamIsActive", GRPC_OK, INT64_C(3600) * 1000000000);
    rpc_stats_observe(&s, "/x/y", 99, 1); // a code that is none
    assert_int_equal(s.latency_s[RPC_GET_METRICS].count, 2);
    assert_int_equal(s.ended[RPC_GET_METRICS][GRPC_UNAVAILABLE], 1);
    assert_int_equal(s.latency_s[RPC_STREAM_IS_ACTIVE].count, 0);
    assert_int_equal(s.ended[RPC_STREAM_IS_ACTIVE][GRPC_OK], 1);
    assert_int_equal(s.ended[RPC_OTHER][GRPC_UNKNOWN], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_told_apart),
        cmocka_unit_test(streams_do_not_count_as_latency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
