// SPDX-License-Identifier: Apache-2.0
/*
 * Engine scrapes (budget: 2,000 pods at 5 s on 0.1 core): as many targets as asked for, each an
 * address of this machine, served a vLLM-sized page by another process; CPU and memory of this side
 * only.   bench_scrape [TARGETS [SECONDS]]
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/engine/preset.h"
#include "scrape_bench.h"
#include "source/engines.h"

enum { TARGETS = 2000, SECONDS = 20 };

// The shape of a vLLM page: gauges and counters first, then histograms with many buckets.
static void page_make(struct buf *page) {
    static const char labels[] = "engine=\"0\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"";
    static const char *const values[] = {"num_requests_running",       "num_requests_waiting",
                                         "kv_cache_usage_perc",        "num_preemptions_total",
                                         "prompt_tokens_total",        "generation_tokens_total",
                                         "prefix_cache_queries_total", "prefix_cache_hits_total"};
    static const char *const histograms[] = {
        "time_to_first_token_seconds",    "inter_token_latency_seconds",
        "e2e_request_latency_seconds",    "request_queue_time_seconds",
        "request_inference_time_seconds", "request_prefill_time_seconds",
        "request_decode_time_seconds",    "request_prompt_tokens",
        "request_generation_tokens",      "iteration_tokens_total",
        "request_params_max_tokens",      "request_params_n"};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        buf_addf(page, "# HELP vllm:%s What it says.\n# TYPE vllm:%s gauge\nvllm:%s{%s} 0.5\n",
                 values[i], values[i], values[i], labels);
    buf_addf(page, "vllm:request_success_total{%s,finished_reason=\"stop\"} 12345.0\n", labels);
    for (size_t i = 0; i < COUNT_OF(histograms); i++) {
        buf_addf(page, "# TYPE vllm:%s histogram\n", histograms[i]);
        for (int k = 0; k < 22; k++)
            buf_addf(page, "vllm:%s_bucket{%s,le=\"%g\"} %d.0\n", histograms[i], labels,
                     0.001 * (k + 1), 100 * k);
        buf_addf(page, "vllm:%s_count{%s} 2200.0\nvllm:%s_sum{%s} 812.25\n", histograms[i], labels,
                 histograms[i], labels);
    }
}

static struct buf page;

static void answer(struct http_request *r, void *ctx) {
    struct http_answer a = {.status = 200,
                            .content_type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = buf_str(&page)};
    http_request_answer(r, &a);
}

static uint64_t samples, failures;
static void on_sample(void *ctx, const char *key, const struct engine_sample *s, int64_t at) {
    samples += SAMPLE_HAS(s, ENGINE_QUEUE);
}
static void on_failure(void *ctx, const char *key, int failure, const struct err *why) {
    if (failures++ == 0)
        fprintf(stderr, "%s\n", why->msg);
}

static void scrape(unsigned n, unsigned seconds, uint16_t port) {
    const struct engine_preset *vllm;
    struct engines *engines;
    struct err e = {0};
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct engines_options o = {
        .loop = &loop, .seed = 1, .sample = on_sample, .failure = on_failure};
    long before = rss_kib();
    if (engine_preset_find(STR("vllm"), &vllm, &e) < 0 || engines_new(&engines, &o, &e) < 0)
        die("engines", &e);
    struct engines_target *targets = calloc(n, sizeof(*targets));
    char(*text)[2][64] = calloc(n, sizeof(*text));
    for (unsigned i = 0; i < n; i++) {
        struct in_addr in = {htonl(0x7f000001u + i)};
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &in, address, sizeof(address));
        snprintf(text[i][0], sizeof(text[i][0]), "inference/engine-%u", i);
        snprintf(text[i][1], sizeof(text[i][1]), "http://%s:%u/metrics", address, port);
        targets[i] = (struct engines_target){.key = text[i][0], .url = text[i][1], .preset = vllm};
    }
    if (engines_set_targets(engines, targets, n, &e) < 0)
        die("targets", &e);
    run_for(&loop, 6 * NS_PER_S); // every connection has been made
    samples = failures = 0;
    int64_t cpu = clock_process_cpu_ns();
    run_for(&loop, seconds * NS_PER_S);
    cpu = clock_process_cpu_ns() - cpu;
    struct scrape_stats stats = engines_stats(engines);
    printf("%u targets at 5 s, pages of %zu bytes: %llu pages in %u s, %llu failures, %zu backed "
           "off\n",
           n, page.len, (unsigned long long)samples, seconds, (unsigned long long)failures,
           stats.backed_off);
    printf("%.3f of a core (%.1f us of CPU a page); memory %.1f MiB (%.1f KiB a target)\n",
           (double)cpu / 1e9 / seconds, (double)cpu / 1e3 / (double)(samples ? samples : 1),
           (double)(rss_kib() - before) / 1024, (double)(rss_kib() - before) / n);
    engines_free(engines);
    net_loop_drain_close(&loop);
    free(targets);
    free(text);
}

int main(int argc, char **argv) {
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : TARGETS;
    unsigned seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : SECONDS;
    all_descriptors();
    buf_init(&page, 1 << 20);
    page_make(&page);
    uint16_t port;
    pid_t child = serve_beside(answer, n, &port);
    scrape(n, seconds, port);
    end_beside(child);
    return 0;
}
