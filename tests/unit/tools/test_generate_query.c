// SPDX-License-Identifier: Apache-2.0
/* tools/generate_query: what queries of articles and of charts were about. */
#include "tools/generate_query.h"

#include "base/mem.h"
#include "unit.h"

#define BIT(s) (1u << (s))

static void queries_are_recognised(void **state) {
    static const struct {
        const char *text;
        enum query_about about;
        uint32_t signals;
        const char *preset;
        bool averaged, ratio, narrowed;
    } cases[] = {
        {"gpu_utilization", QUERY_SIGNAL, BIT(SIGNAL_GPU_UTILIZATION), NULL, 0, 0, 0},
        {"avg(DCGM_FI_DEV_GPU_UTIL{pod=~\"llm.*\"})", QUERY_SIGNAL, BIT(SIGNAL_GPU_UTILIZATION),
         NULL, 1, 0, 1},
        {"sum(gpu_utilization{instance=~\".*\"}) / count(gpu_utilization{instance=~\".*\"})",
         QUERY_SIGNAL, BIT(SIGNAL_GPU_UTILIZATION), NULL, 1, 0, 0},
        {"avg(DCGM_FI_PROF_SM_ACTIVE)", QUERY_SIGNAL, BIT(SIGNAL_SM_ACTIVITY), NULL, 1, 1, 0},
        {"100 * avg(DCGM_FI_PROF_SM_ACTIVE)", QUERY_SIGNAL, BIT(SIGNAL_SM_ACTIVITY), NULL, 1, 0, 0},
        {"sum(vllm:num_requests_waiting{namespace=\"ml\"})", QUERY_SIGNAL, BIT(SIGNAL_QUEUE),
         "vllm", 0, 0, 1},
        {"vllm_num_requests_waiting", QUERY_SIGNAL, BIT(SIGNAL_QUEUE), "vllm", 0, 0, 0},
        {"sum(vllm:num_requests_waiting + vllm:num_requests_running)", QUERY_SIGNAL,
         BIT(SIGNAL_QUEUE) | BIT(SIGNAL_RUNNING), "vllm", 0, 0, 0},
        {"sum(sglang:num_queue_reqs)", QUERY_SIGNAL, BIT(SIGNAL_QUEUE), "sglang", 0, 0, 0},
        {"avg(vllm:gpu_cache_usage_perc)", QUERY_SIGNAL, BIT(SIGNAL_KV_CACHE), "vllm", 1, 0, 0},
        {"sum(rate(vllm:request_success_total[1m]))", QUERY_SIGNAL, BIT(SIGNAL_REQUEST_RATE),
         "vllm", 0, 0, 0},
        {"sum(rate(http_requests_total{job=\"x\"}[1m]))", QUERY_SIGNAL, BIT(SIGNAL_REQUEST_RATE),
         NULL, 0, 0, 0},
        {"inference_queue_length", QUERY_SIGNAL, BIT(SIGNAL_QUEUE), "custom", 0, 0, 0},
        {"max(DCGM_FI_DEV_FB_USED)", QUERY_GPU_MEMORY, 0, NULL, 1, 0, 0},
        {"histogram_quantile(0.95, sum by (le) "
         "(rate(vllm:time_to_first_token_seconds_bucket[1m])))",
         QUERY_TTFT, 0, "vllm", 0, 0, 0},
        {"sum(rabbitmq_queue_messages_ready)", QUERY_UNKNOWN, 0, NULL, 0, 0, 0},
        {"", QUERY_UNKNOWN, 0, NULL, 0, 0, 0},
        {"\"gpu_utilization\"", QUERY_UNKNOWN, 0, NULL, 0, 0, 0},      // a text
        {"x{gpu_utilization=\"1\"}", QUERY_UNKNOWN, 0, NULL, 0, 0, 0}, // a label
        {"sum(((((", QUERY_UNKNOWN, 0, NULL, 0, 0, 0},
    };
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct query_reading q;
        query_read(str_from(cases[i].text), &a, &q);
        const char *preset = q.preset ? q.preset->name : "";
        if (q.about != cases[i].about || q.signals != cases[i].signals ||
            q.averaged != cases[i].averaged || q.ratio != cases[i].ratio ||
            q.narrowed != cases[i].narrowed ||
            strcmp(preset, cases[i].preset ? cases[i].preset : "") != 0)
            fail_msg("%s: about %d, signals %x, %s, averaged %d, ratio %d, narrowed %d",
                     cases[i].text, q.about, q.signals, preset, q.averaged, q.ratio, q.narrowed);
    }
    arena_done(&a);
}

static void the_quantile_is_the_share_that_was_wanted(void **state) {
    struct arena a;
    arena_init(&a, 1 << 20);
    struct query_reading q;
    query_read(STR("histogram_quantile(0.95, rate(vllm:time_to_first_token_seconds_bucket[5m]))"),
               &a, &q);
    assert_true(q.quantile == 0.95);
    arena_done(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_recognised),
        cmocka_unit_test(the_quantile_is_the_share_that_was_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
