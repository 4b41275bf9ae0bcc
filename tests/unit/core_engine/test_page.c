// SPDX-License-Identifier: Apache-2.0
/* Engine pages: what each metric means, how ranks add up, and that nothing unknown is read as 0. */
#include <math.h>

#include "page_read.h"

#include "base/limits.h"
#include "base/mem.h"

// What a value must be when it must not be told.
#define MISSING (-1.0)
#define BAD (-2.0)

struct value_case {
    const char *fact;
    const char *page;
    enum engine_value value;
    double want;
};

static void check_cases(const struct engine_preset *p, const struct value_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct value_case *c = &cases[i];
        for (size_t cut = 0; cut <= strlen(c->page); cut++) {
            struct engine_page_result res = {0};
            struct err e = {0};
            int r = page_read(p, c->page, cut, &res, &e);
            if (r != 0 && r != ERR_NOTFOUND)
                fail_msg("%s: %s", c->fact, e.msg);
            double got = SAMPLE_HAS(&res.sample, c->value) ? res.sample.v[c->value]
                         : res.bad >> c->value & 1         ? BAD
                         : res.missing >> c->value & 1     ? MISSING
                                                           : NAN;
            if (!(fabs(got - c->want) < 1e-12))
                fail_msg("%s (cut %zu): got %g, want %g", c->fact, cut, got, c->want);
        }
    }
}

static void test_vllm_pages(void **state) {
    static const struct value_case cases[] = {
        {"the queue is the waiting requests",
         "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 12.0\n", ENGINE_QUEUE, 12},
        {"the breakdown by reason has the queue's name as its beginning and is not added",
         "vllm:num_requests_waiting{engine=\"0\"} 12.0\n"
         "vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 9.0\n"
         "vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"deferred\"} 3.0\n",
         ENGINE_QUEUE, 12},
        {"queues of data-parallel ranks add up",
         "vllm:num_requests_waiting{engine=\"0\"} 12\nvllm:num_requests_waiting{engine=\"1\"} 5\n",
         ENGINE_QUEUE, 17},
        {"running requests of ranks and models add up",
         "vllm:num_requests_running{engine=\"0\",model_name=\"a\"} 3\n"
         "vllm:num_requests_running{engine=\"1\",model_name=\"b\"} 4\n",
         ENGINE_RUNNING, 7},
        {"V0 had no engine label", "vllm:num_requests_running{model_name=\"a\"} 3\n",
         ENGINE_RUNNING, 3},
        {"the fullest rank's KV cache counts, whatever its place",
         "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} "
         "0.75\n"
         "vllm:kv_cache_usage_perc{engine=\"2\"} 0.5\n",
         ENGINE_KV_CACHE_RATIO, 0.75},
        {"the old spelling of the KV cache", "vllm:gpu_cache_usage_perc 0.5\n",
         ENGINE_KV_CACHE_RATIO, 0.5},
        {"the new spelling is preferred, in any order",
         "vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.5\n", ENGINE_KV_CACHE_RATIO,
         0.5},
        {"an empty KV cache is 0, known", "vllm:kv_cache_usage_perc 0.0\n", ENGINE_KV_CACHE_RATIO,
         0},
        {"a ratio above 1 is somebody's percentage: unknown", "vllm:kv_cache_usage_perc 81.3\n",
         ENGINE_KV_CACHE_RATIO, BAD},
        {"NaN is unknown", "vllm:kv_cache_usage_perc NaN\n", ENGINE_KV_CACHE_RATIO, BAD},
        {"one rank's NaN makes the sum unknown",
         "vllm:num_requests_waiting{engine=\"0\"} 12\nvllm:num_requests_waiting{engine=\"1\"} "
         "NaN\n",
         ENGINE_QUEUE, BAD},
        {"also when it comes first",
         "vllm:num_requests_waiting{engine=\"1\"} NaN\nvllm:num_requests_waiting{engine=\"0\"} "
         "12\n",
         ENGINE_QUEUE, BAD},
        {"an infinite queue is unknown", "vllm:num_requests_waiting +Inf\n", ENGINE_QUEUE, BAD},
        {"a negative queue is unknown", "vllm:num_requests_waiting -1\n", ENGINE_QUEUE, BAD},
        {"all reasons of finishing are finished requests",
         "vllm:request_success_total{finished_reason=\"stop\"} 10\n"
         "vllm:request_success_total{finished_reason=\"length\"} 5\n"
         "vllm:request_success_total{finished_reason=\"abort\"} 2\n"
         "vllm:request_success_created{finished_reason=\"stop\"} 1.7e9\n",
         ENGINE_REQUESTS_TOTAL, 17},
        {"_created is no counter's part",
         "vllm:prompt_tokens_total 81244.0\nvllm:prompt_tokens_created 1.76e9\n",
         ENGINE_PROMPT_TOKENS_TOTAL, 81244},
        {"inter-token latency is the histogram's sum and count",
         "vllm:inter_token_latency_seconds_bucket{le=\"0.01\"} 3\n"
         "vllm:inter_token_latency_seconds_sum 251.44\nvllm:inter_token_latency_seconds_count "
         "27253\n",
         ENGINE_ITL_SUM_S, 251.44},
        {"its name before 0.11", "vllm:time_per_output_token_seconds_count 7\n", ENGINE_ITL_COUNT,
         7},
        {"an engine that is awake",
         "vllm:engine_sleep_state{sleep_state=\"awake\"} 1\n"
         "vllm:engine_sleep_state{sleep_state=\"discard_all\"} 0\n",
         ENGINE_AWAKE, 1},
        {"a sleeping engine",
         "vllm:engine_sleep_state{sleep_state=\"awake\"} 0\n"
         "vllm:engine_sleep_state{sleep_state=\"weights_offloaded\"} 1\n",
         ENGINE_AWAKE, 0},
        {"one sleeping rank is enough",
         "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 1\n"
         "vllm:engine_sleep_state{engine=\"1\",sleep_state=\"awake\"} 0\n",
         ENGINE_AWAKE, 0},
        {"without the series nobody knows whether it sleeps", "vllm:num_requests_waiting 0\n",
         ENGINE_AWAKE, MISSING},
        {"a missing queue is unknown, not empty", "vllm:num_requests_running 3\n", ENGINE_QUEUE,
         MISSING},
        {"a declared family without series is missing",
         "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_running 3\n", ENGINE_QUEUE,
         MISSING},
        {"Ray's prefix is another engine's name", "ray_vllm_num_requests_waiting 3\n", ENGINE_QUEUE,
         MISSING},
        {"a series that comes twice counts once, labels in any order",
         "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 12\n"
         "vllm:num_requests_waiting{model_name=\"m\",engine=\"0\"} 12\n",
         ENGINE_QUEUE, 12},
        {"timestamps and comments change nothing",
         "# HELP vllm:num_requests_waiting x\nvllm:num_requests_waiting 3 1736937600000\n# EOF\n",
         ENGINE_QUEUE, 3},
    };
    check_cases(preset_named("vllm"), cases, COUNT_OF(cases));
}

static void test_custom_pages(void **state) {
    static const struct value_case cases[] = {
        {"the classic recipe's queue", "inference_queue_length 12\n", ENGINE_QUEUE, 12},
        {"with labels of any kind",
         "inference_queue_length{pod=\"a\",queue=\"x\"} 2\n"
         "inference_queue_length{pod=\"a\",queue=\"y\"} 3\n",
         ENGINE_QUEUE, 5},
        {"the first spelling on the list counts alone",
         "inference_requests_waiting 7\ninference_queue_size 5\n", ENGINE_QUEUE, 5},
        {"running", "inference_in_flight 1\n", ENGINE_RUNNING, 1},
        {"requests",
         "inference_requests_total{status=\"200\"} 10\n"
         "inference_requests_total{status=\"500\"} 2\n",
         ENGINE_REQUESTS_TOTAL, 12},
        {"HTTP requests without probes and scrapes",
         "http_requests_total{handler=\"/predict\",status=\"2xx\"} 12\n"
         "http_requests_total{handler=\"/metrics\",status=\"2xx\"} 99\n"
         "http_requests_total{handler=\"/healthz\",status=\"2xx\"} 88\n"
         "http_requests_total{path=\"/readyz\"} 77\n"
         "http_requests_total{endpoint=\"/v1/completions\"} 3\n",
         ENGINE_REQUESTS_TOTAL, 15},
        {"HTTP requests without such a label", "http_requests_total{code=\"200\"} 4\n",
         ENGINE_REQUESTS_TOTAL, 4},
        {"probes alone are no requests: unknown", "http_requests_total{handler=\"/metrics\"} 99\n",
         ENGINE_REQUESTS_TOTAL, MISSING},
        {"a path that begins like a probe's is none",
         "http_requests_total{handler=\"/healthcare\"} 4\n", ENGINE_REQUESTS_TOTAL, 4},
    };
    check_cases(preset_named("custom"), cases, COUNT_OF(cases));
    struct engine_page_result res = {0};
    assert_int_equal(page_read(preset_named("custom"), "inference_queue_length 1\n", 0, &res, NULL),
                     0);
    assert_int_equal(res.sample.valid, 1u << ENGINE_QUEUE);
    assert_false(res.missing >> ENGINE_KV_CACHE_RATIO & 1); // it is not even looked for
}

// What rows of other engines need: filters, sums of metrics, copies, ratios, units.
static const struct engine_preset shapes = {
    .name = "shapes",
    .path = "/metrics",
    .values =
        {
            // priority="" is the total over priorities; ranks of one group tell the same; there may
            // be a second queue
            [ENGINE_QUEUE] = WAYS(SUM({.name = "s:num_queue_reqs",
                                       .where = WHERE(IS("priority", "")),
                                       .copies = "tp_rank pp_rank"},
                                      ALSO("s:bootstrap_queue_reqs"))),
            // in flight includes what is queued
            [ENGINE_RUNNING] = WAYS(SUM(ALL("d_inflight"), {.name = "d_queued", .factor = -1})),
            // a fraction in newer versions, used and max in older ones
            [ENGINE_KV_CACHE_RATIO] = WAYS(FULLEST(ONLY("t_kv", IS("type", "fraction"))),
                                           {.add = TERMS(ONLY("t_kv", IS("type", "used"))),
                                            .per = TERMS(ONLY("t_kv", IS("type", "max")))}),
            // microseconds
            [ENGINE_ITL_SUM_S] = WAYS(SUM({.name = "t_us", .factor = 1e-6})),
        },
};

static void test_rows_can_filter_add_divide_and_convert(void **state) {
    static const struct value_case cases[] = {
        {"SGLang without priorities", "s:num_queue_reqs{tp_rank=\"0\"} 7\n", ENGINE_QUEUE, 7},
        {"SGLang with priorities: the total alone",
         "s:num_queue_reqs{tp_rank=\"0\",priority=\"\"} 7\n"
         "s:num_queue_reqs{tp_rank=\"0\",priority=\"1\"} 4\n"
         "s:num_queue_reqs{tp_rank=\"0\",priority=\"2\"} 3\n",
         ENGINE_QUEUE, 7},
        {"SGLang with metrics of all tensor-parallel ranks: each group once",
         "s:num_queue_reqs{tp_rank=\"0\"} 7\ns:num_queue_reqs{tp_rank=\"1\"} 7\n", ENGINE_QUEUE, 7},
        {"its ranks are read at different instants: the largest counts",
         "s:num_queue_reqs{tp_rank=\"0\"} 6\ns:num_queue_reqs{tp_rank=\"1\"} 8\n"
         "s:num_queue_reqs{tp_rank=\"2\"} 7\n",
         ENGINE_QUEUE, 8},
        {"with data-parallel attention the tensor-parallel ranks count through the groups",
         "s:num_queue_reqs{dp_rank=\"0\",tp_rank=\"0\"} 7\n"
         "s:num_queue_reqs{dp_rank=\"1\",tp_rank=\"1\"} 2\n"
         "s:num_queue_reqs{dp_rank=\"2\",tp_rank=\"2\"} 4\n",
         ENGINE_QUEUE, 13},
        {"both at once: four groups of two",
         "s:num_queue_reqs{dp_rank=\"0\",tp_rank=\"0\"} 7\n"
         "s:num_queue_reqs{dp_rank=\"0\",tp_rank=\"1\"} 7\n"
         "s:num_queue_reqs{dp_rank=\"1\",tp_rank=\"2\"} 2\n"
         "s:num_queue_reqs{dp_rank=\"1\",tp_rank=\"3\"} 2\n",
         ENGINE_QUEUE, 9},
        {"a copy's NaN makes the sum unknown",
         "s:num_queue_reqs{tp_rank=\"0\"} 7\ns:num_queue_reqs{tp_rank=\"1\"} NaN\n", ENGINE_QUEUE,
         BAD},
        {"data-parallel ranks add up",
         "s:num_queue_reqs{dp_rank=\"0\"} 7\ns:num_queue_reqs{dp_rank=\"1\"} 2\n", ENGINE_QUEUE, 9},
        {"a second queue is added when it is there",
         "s:num_queue_reqs 7\ns:bootstrap_queue_reqs 2\n", ENGINE_QUEUE, 9},
        {"a second queue alone is not the queue", "s:bootstrap_queue_reqs 2\n", ENGINE_QUEUE,
         MISSING},
        {"a broken second queue makes the sum unknown",
         "s:num_queue_reqs 7\ns:bootstrap_queue_reqs NaN\n", ENGINE_QUEUE, BAD},
        {"a difference of two gauges", "d_inflight 9\nd_queued 4\n", ENGINE_RUNNING, 5},
        {"read at different instants it is not below 0", "d_inflight 3\nd_queued 4\n",
         ENGINE_RUNNING, 0},
        {"both sides of a difference are needed", "d_inflight 9\n", ENGINE_RUNNING, MISSING},
        {"the fraction, preferred",
         "t_kv{type=\"fraction\"} 0.5\nt_kv{type=\"used\"} 1\n"
         "t_kv{type=\"max\"} 4\n",
         ENGINE_KV_CACHE_RATIO, 0.5},
        {"used over max", "t_kv{type=\"used\"} 1\nt_kv{type=\"max\"} 4\n", ENGINE_KV_CACHE_RATIO,
         0.25},
        {"used over max, models added up on both sides",
         "t_kv{m=\"a\",type=\"used\"} 1\nt_kv{m=\"a\",type=\"max\"} 4\n"
         "t_kv{m=\"b\",type=\"used\"} 3\nt_kv{m=\"b\",type=\"max\"} 4\n",
         ENGINE_KV_CACHE_RATIO, 0.5},
        {"used without max says nothing", "t_kv{type=\"used\"} 1\n", ENGINE_KV_CACHE_RATIO,
         MISSING},
        {"nothing is divided by 0", "t_kv{type=\"used\"} 0\nt_kv{type=\"max\"} 0\n",
         ENGINE_KV_CACHE_RATIO, BAD},
        {"microseconds into seconds", "t_us 2500000\n", ENGINE_ITL_SUM_S, 2.5},
    };
    check_cases(&shapes, cases, COUNT_OF(cases));
}

static void test_a_page_of_another_engine_says_what_was_looked_for(void **state) {
    struct engine_page_result res = {0};
    struct err e = {0};
    assert_int_equal(page_read(preset_named("vllm"), "sglang:num_queue_reqs 3\nx 1\n", 0, &res, &e),
                     ERR_NOTFOUND);
    assert_string_equal(
        e.msg, "2 samples, none of them of engine \"vllm\" (looked for vllm:num_requests_waiting, "
               "vllm:num_requests_running, vllm:kv_cache_usage_perc, ...): wrong port, path or "
               "engine, or metrics not enabled");
    assert_int_equal(res.sample.valid, 0);
    assert_int_equal(res.missing, (1u << (ENGINE_VALUE_MAX + ENGINE_HISTOGRAM_MAX)) - 1);
    assert_int_equal(res.samples, 2);
    assert_int_equal(page_read(preset_named("custom"), "", 0, &res, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "the server must write them itself"));
}

static void test_a_malformed_page_gives_no_sample_at_all(void **state) {
    struct engine_page_result res = {.sample.valid = 0xabcd};
    struct err e = {0};
    static const char *const pages[] = {
        "vllm:num_requests_waiting 12\nvllm:num_requests_running 1",
        "vllm:num_requests_waiting 12\n<html>\n",
        "<html>\n",
        "vllm:num_requests_waiting 12\nx{a=b} 1\n",
    };
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        assert_int_equal(page_read(preset_named("vllm"), pages[i], 0, &res, &e), ERR_PARSE);
        assert_int_equal(res.sample.valid, 0xabcd);
    }
}

static void test_a_page_object_reads_one_page_after_the_other(void **state) {
    struct engine_page *pg;
    struct engine_page_result res;
    struct err e = {0};
    assert_int_equal(engine_page_new(&pg, preset_named("vllm"), &e), 0);
    assert_int_equal(engine_page_feed(pg, "vllm:num_requests_waiting 12\n", 29, &e), 0);
    assert_int_equal(engine_page_finish(pg, false, &res, &e), 0);
    assert_true(res.sample.v[ENGINE_QUEUE] == 12);
    engine_page_reset(pg);
    assert_int_equal(engine_page_feed(pg, "?\n", 2, &e), ERR_PARSE);
    assert_int_equal(engine_page_fault(pg), PROM_FAULT_SYNTAX);
    engine_page_reset(pg);
    assert_int_equal(engine_page_feed(pg, "vllm:num_requests_waiting 3\n", 28, &e), 0);
    assert_int_equal(engine_page_feed(pg, "vllm:num_requests_waiting 3\n", 28, &e), 0);
    assert_int_equal(engine_page_finish(pg, false, &res, &e), 0);
    assert_true(res.sample.v[ENGINE_QUEUE] == 3);
    assert_int_equal(res.sample.valid, 1u << ENGINE_QUEUE);
    assert_int_equal(res.duplicates, 1);
    assert_int_equal(res.samples, 2);
    engine_page_free(pg);
}

static void test_missing_and_bad_values_are_described_by_name(void **state) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, 4096);
    uint32_t values = 1u << ENGINE_QUEUE | 1u << ENGINE_KV_CACHE_RATIO;
    assert_int_equal(engine_page_describe(preset_named("vllm"), values, &out), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "queue (vllm:num_requests_waiting), kvCache "
                               "(vllm:kv_cache_usage_perc or vllm:gpu_cache_usage_perc)");
    buf_clear(&out);
    assert_int_equal(
        engine_page_describe(&shapes, 1u << ENGINE_KV_CACHE_RATIO | 1u << ENGINE_RUNNING, &out), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "running (d_inflight - d_queued), kvCache "
                               "(t_kv{type=\"fraction\"} or "
                               "t_kv{type=\"used\"} / t_kv{type=\"max\"})");
}

static void test_too_many_series_of_interest_are_an_error_by_name(void **state) {
    struct engine_page *pg;
    struct err e = {0};
    int r = 0;
    assert_int_equal(engine_page_new(&pg, preset_named("vllm"), &e), 0);
    for (int i = 0; i <= LIMIT_PAGE_SERIES && r == 0; i++) {
        char line[64];
        snprintf(line, sizeof(line), "vllm:num_requests_waiting{i=\"%d\"} 1\n", i);
        r = engine_page_feed(pg, line, strlen(line), &e);
        assert_int_equal(r, i < LIMIT_PAGE_SERIES ? 0 : ERR_LIMIT);
    }
    assert_non_null(strstr(e.msg, "LIMIT_PAGE_SERIES"));
    engine_page_free(pg);
}

static void test_every_failing_allocation_is_reported(void **state) {
    int failures = 0;
    for (long k = 1;; k++) {
        struct engine_page_result res = {0};
        struct err e = {0};
        mem_fail_from(k);
        int r = page_read(preset_named("vllm"),
                          "# HELP x y\nvllm:num_requests_waiting{a=\"\\n\"} 1\n", 30, &res, &e);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        failures++;
    }
    assert_true(failures >= 8);
}

#define TTFT "vllm:time_to_first_token_seconds_bucket"
#define TPOT "vllm:request_time_per_output_token_seconds_bucket"
#define ITL "vllm:inter_token_latency_seconds_bucket"

struct histogram_case {
    const char *fact;
    const char *page;
    enum engine_histogram histogram;
    uint32_t n; // edges; 0: unknown
    bool bad;
    double first, last; // their counts
};

static const struct histogram_case histogram_cases[] = {
    {"edges and counts, +Inf the last", TTFT "{le=\"0.5\"} 3\n" TTFT "{le=\"+Inf\"} 5\n",
     ENGINE_TTFT, 2, false, 3, 5},
    {"edges come in any order",
     TTFT "{le=\"+Inf\"} 5\n" TTFT "{le=\"1\"} 4\n" TTFT "{le=\"0.5\"} 3\n", ENGINE_TTFT, 3, false,
     3, 5},
    {"ranks add up edge by edge, however an edge is written",
     TTFT "{engine=\"0\",le=\"1\"} 3\n" TTFT "{engine=\"0\",le=\"+Inf\"} 5\n" TTFT
          "{engine=\"1\",le=\"1.0\"} 10\n" TTFT "{engine=\"1\",le=\"+Inf\"} 10\n",
     ENGINE_TTFT, 2, false, 13, 15},
    {"a request's own mean counts before the single tokens'",
     ITL "{le=\"0.1\"} 90\n" ITL "{le=\"+Inf\"} 100\n" TPOT "{le=\"0.1\"} 3\n" TPOT
         "{le=\"+Inf\"} 4\n",
     ENGINE_TPOT, 2, false, 3, 4},
    {"before 0.11 there were the tokens alone",
     "vllm:time_per_output_token_seconds_bucket{le=\"0.1\"} 90\n"
     "vllm:time_per_output_token_seconds_bucket{le=\"+Inf\"} 100\n",
     ENGINE_TPOT, 2, false, 90, 100},
    {"no +Inf: how many there were is not known", TTFT "{le=\"0.5\"} 3\n" TTFT "{le=\"1\"} 5\n",
     ENGINE_TTFT, 0, true, 0, 0},
    {"+Inf alone has no edge", TTFT "{le=\"+Inf\"} 5\n", ENGINE_TTFT, 0, true, 0, 0},
    {"counts that fall are no histogram", TTFT "{le=\"0.5\"} 6\n" TTFT "{le=\"+Inf\"} 5\n",
     ENGINE_TTFT, 0, true, 0, 0},
    {"ranks with different edges do not add up",
     TTFT "{engine=\"0\",le=\"1\"} 3\n" TTFT "{engine=\"0\",le=\"+Inf\"} 5\n" TTFT
          "{engine=\"1\",le=\"2\"} 10\n" TTFT "{engine=\"1\",le=\"+Inf\"} 10\n",
     ENGINE_TTFT, 0, true, 0, 0},
    {"an edge that is no number", TTFT "{le=\"x\"} 3\n" TTFT "{le=\"+Inf\"} 5\n", ENGINE_TTFT, 0,
     true, 0, 0},
    {"a series without an edge", TTFT " 3\n" TTFT "{le=\"1\"} 3\n" TTFT "{le=\"+Inf\"} 5\n",
     ENGINE_TTFT, 0, true, 0, 0},
    {"a count that is no number", TTFT "{le=\"1\"} NaN\n" TTFT "{le=\"+Inf\"} 5\n", ENGINE_TTFT, 0,
     true, 0, 0},
    {"a negative edge is no latency", TTFT "{le=\"-1\"} 0\n" TTFT "{le=\"+Inf\"} 5\n", ENGINE_TTFT,
     0, true, 0, 0},
    {"not on the page", "vllm:num_requests_waiting 1\n", ENGINE_TTFT, 0, false, 0, 0},
};

static void test_histograms_are_added_up_or_unknown(void **state) {
    for (size_t i = 0; i < COUNT_OF(histogram_cases); i++) {
        const struct histogram_case *c = &histogram_cases[i];
        for (size_t cut = 0; cut <= strlen(c->page); cut++) {
            struct engine_page_result res = {0};
            struct err e = {0};
            int r = page_read(preset_named("vllm"), c->page, cut, &res, &e);
            const struct engine_buckets *b = &res.sample.histograms[c->histogram];
            bool bad = res.bad & ENGINE_HISTOGRAM_BIT(c->histogram);
            bool missing = res.missing & ENGINE_HISTOGRAM_BIT(c->histogram);
            if ((r && r != ERR_NOTFOUND) || b->n != c->n || bad != c->bad ||
                missing != (c->n == 0 && !c->bad))
                fail_msg("%s (cut %zu): %u edges, bad %d, missing %d", c->fact, cut, b->n, bad,
                         missing);
            if (b->n && (b->count[0] != c->first || b->count[b->n - 1] != c->last))
                fail_msg("%s: %g to %g", c->fact, b->count[0], b->count[b->n - 1]);
        }
    }
}

static void test_more_edges_than_the_limit_are_unknown(void **state) {
    static char page[LIMIT_ENGINE_BUCKETS * 80];
    for (int edges = LIMIT_ENGINE_BUCKETS - 1; edges <= LIMIT_ENGINE_BUCKETS; edges++) {
        size_t at = 0;
        for (int i = 1; i <= edges; i++)
            at += (size_t)snprintf(page + at, sizeof(page) - at, TTFT "{le=\"%d\"} %d\n", i, i);
        snprintf(page + at, sizeof(page) - at, TTFT "{le=\"+Inf\"} 100\n");
        struct engine_page_result res = {0};
        struct err e = {0};
        page_read(preset_named("vllm"), page, 0, &res, &e);
        bool fits = edges < LIMIT_ENGINE_BUCKETS;
        assert_int_equal(res.sample.histograms[ENGINE_TTFT].n, fits ? LIMIT_ENGINE_BUCKETS : 0);
        assert_int_equal(!!(res.bad & ENGINE_HISTOGRAM_BIT(ENGINE_TTFT)), !fits);
    }
}

static void test_edges_in_milliseconds_become_seconds(void **state) {
    const struct engine_preset ms = {
        .name = "ms",
        .histograms = {[ENGINE_TTFT] = BUCKETS({.name = "first_ms_bucket",
                                                .where = WHERE(IS("k", "a")),
                                                .factor = 1e-3})},
    };
    struct engine_page_result res = {0};
    struct err e = {0};
    const char *page =
        "first_ms_bucket{k=\"a\",le=\"2500\"} 3\nfirst_ms_bucket{k=\"b\",le=\"1\"} 3\n"
        "first_ms_bucket{k=\"a\",le=\"+Inf\"} 4\n";
    page_read(&ms, page, 0, &res, &e);
    assert_int_equal(res.sample.histograms[ENGINE_TTFT].n, 2);
    assert_true(fabs(res.sample.histograms[ENGINE_TTFT].le_s[0] - 2.5) < 1e-12);
}

static void test_a_histogram_of_one_page_is_not_in_the_next(void **state) {
    struct engine_page *pg;
    struct engine_page_result res = {0};
    struct err e = {0};
    const char *page = TTFT "{le=\"1\"} 3\n" TTFT "{le=\"+Inf\"} 5\n";
    assert_int_equal(engine_page_new(&pg, preset_named("vllm"), &e), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engine_page_feed(pg, page, strlen(page), &e), 0);
        engine_page_finish(pg, false, &res, &e);
        assert_true(res.sample.histograms[ENGINE_TTFT].count[1] == 5);
        engine_page_reset(pg);
    }
    engine_page_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vllm_pages),
        cmocka_unit_test(test_custom_pages),
        cmocka_unit_test(test_rows_can_filter_add_divide_and_convert),
        cmocka_unit_test(test_a_page_of_another_engine_says_what_was_looked_for),
        cmocka_unit_test(test_a_malformed_page_gives_no_sample_at_all),
        cmocka_unit_test(test_a_page_object_reads_one_page_after_the_other),
        cmocka_unit_test(test_missing_and_bad_values_are_described_by_name),
        cmocka_unit_test(test_too_many_series_of_interest_are_an_error_by_name),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
        cmocka_unit_test(test_histograms_are_added_up_or_unknown),
        cmocka_unit_test(test_more_edges_than_the_limit_are_unknown),
        cmocka_unit_test(test_edges_in_milliseconds_become_seconds),
        cmocka_unit_test(test_a_histogram_of_one_page_is_not_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
