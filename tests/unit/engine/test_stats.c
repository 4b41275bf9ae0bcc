// SPDX-License-Identifier: Apache-2.0
/* What is counted, and the page: runs of token times one by one, times of a request. */
#include "unit.h"

#include <math.h>

#include "base/mem.h"
#include "engine/stats.h"

static void test_a_run_counts_each_token_of_each_sequence(void **state) {
    struct engine_stats s;
    engine_stats_init(&s);
    // 9, 11, 13 ms, four sequences: the first below the first edge (10 ms).
    engine_stats_itl(&s, &(struct station_itl){
                             .first_s = 0.009, .step_s = 0.002, .iterations = 3, .sequences = 4});
    assert_int_equal(s.itl.count, 12);
    assert_int_equal(s.itl.counts[0], 4);
    assert_int_equal(s.itl.counts[1], 8);
    assert_true(fabs(s.itl.sum - 4 * 0.033) < 1e-12);
}

static void test_a_request_is_timed_from_its_arrival_at_the_server(void **state) {
    struct engine_stats s;
    engine_stats_init(&s);
    struct station_event ev = {.kind = STATION_FINISHED,
                               .at_ns = 3000000000,
                               .arrived_ns = 600000000,
                               .admitted_ns = 1000000000,
                               .first_token_ns = 2000000000,
                               .output_tokens = 11};
    engine_stats_finish(&s, &ev, 500000000);
    assert_int_equal(s.finished, 1);
    assert_true(fabs(s.e2e.sum - 2.5) < 1e-9);
    assert_true(fabs(s.inference.sum - 2.0) < 1e-9);
    assert_true(fabs(s.prefill.sum - 1.0) < 1e-9);
    assert_true(fabs(s.decode.sum - 1.0) < 1e-9);
    assert_true(fabs(s.tpot.sum - 0.1) < 1e-9);
    ev.output_tokens = 1; // between one token there is no time
    engine_stats_finish(&s, &ev, 500000000);
    assert_int_equal(s.tpot.count, 1);
}

static char *page(enum station_kind kind, const char *model) {
    struct engine_stats s;
    engine_stats_init(&s);
    s.finished = 5;
    s.aborted = 2;
    struct station_reading r = {.running = 3, .waiting = 4, .kv_used_tokens = 250, .preempted = 1};
    struct engine_page p = {
        .stats = &s, .reading = &r, .model = model, .kind = kind, .kv_tokens = 1000};
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(engine_page_write(&p, PROM_TEXT, &b), 0);
    (void)buf_add_byte(&b, 0);
    return b.p;
}

static void test_the_page_has_vllms_names_and_labels(void **state) {
    static const char *const lines[] = {
        "\nvllm:num_requests_waiting{engine=\"0\",model_name=\"a\\\"b\"} 4\n",
        "\nvllm:kv_cache_usage_perc{engine=\"0\",model_name=\"a\\\"b\"} 0.25\n",
        "\nvllm:num_preemptions_total{engine=\"0\",model_name=\"a\\\"b\"} 1\n",
        "finished_reason=\"length\"} 5\n",
        "finished_reason=\"abort\"} 2\n",
        "# TYPE vllm:time_to_first_token_seconds histogram\n",
        "_latency_seconds_bucket{engine=\"0\",model_name=\"a\\\"b\",le=\"0.025\"} 0\n",
    };
    char *text = page(STATION_CONTINUOUS, "a\"b");
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("not on the page: %s\n%s", lines[i], text);
    assert_null(strstr(text, "inference_queue_length"));
    mem_free(text);
}

static void test_batches_have_no_kv_memory_and_speak_custom_too(void **state) {
    char *text = page(STATION_BATCHES, "m");
    assert_null(strstr(text, "kv_cache"));
    assert_non_null(strstr(text, "\ninference_queue_length{engine=\"0\",model_name=\"m\"} 4\n"));
    assert_non_null(strstr(text, "\ninference_requests_total{engine=\"0\",model_name=\"m\"} 7\n"));
    mem_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_counts_each_token_of_each_sequence),
        cmocka_unit_test(test_a_request_is_timed_from_its_arrival_at_the_server),
        cmocka_unit_test(test_the_page_has_vllms_names_and_labels),
        cmocka_unit_test(test_batches_have_no_kv_memory_and_speak_custom_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
