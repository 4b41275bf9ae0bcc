// SPDX-License-Identifier: Apache-2.0
/*
 * GPU exporters: how fast a dcgm-exporter page of 8 GPUs becomes readings, and what 1,000 such
 * nodes cost, each a page of its own served by another process; CPU and memory of this side only.
 *     bench_exporters [NODES [SECONDS [INTERVAL_S]]]
 */
#include "base/buf.h"
#include "base/mem.h"
#include "core/exporter/page.h"
#include "scrape_bench.h"
#include "source/exporters.h"

enum { NODES = 1000, SECONDS = 30, INTERVAL_S = 10, GPUS = 8 };

// All that dcgm-exporter knows of what we read, with the labels of its template.
static void page_make(struct buf *page, unsigned node, unsigned collection) {
    for (int v = 0; v < GPU_VALUE_MAX; v++) {
        const struct gpu_value_info *info = &gpu_values[v];
        if (!info->dcgm)
            continue;
        buf_addf(page, "# HELP %s %s\n# TYPE %s %s\n", info->dcgm, info->help, info->dcgm,
                 info->counter ? "counter" : "gauge");
        for (unsigned g = 0; g < GPUS; g++)
            buf_addf(page,
                     "%s{gpu=\"%u\",UUID=\"GPU-%08x-0000-0000-0000-%012x\","
                     "pci_bus_id=\"00000000:%02x:00.0\",device=\"nvidia%u\","
                     "modelName=\"NVIDIA H100 80GB HBM3\",hostname=\"node-%u\","
                     "DCGM_FI_DRIVER_VERSION=\"550.144.03\",container=\"vllm\","
                     "namespace=\"inference\",pod=\"llm-7d9f6b6c4-%u-%u\"} %.6f\n",
                     info->dcgm, g, node, g, g, g, node, node, g,
                     info->max < 100 ? 0.5 : 40.0 + (collection + g) % 20);
    }
}

static void parse_rate(void) {
    struct buf page;
    struct exporter_page *pg;
    struct exporter_page_result res;
    struct err e = {0};
    buf_init(&page, 1 << 20);
    page_make(&page, 1, 1);
    if (exporter_page_new(&pg, &e) < 0)
        die("page", &e);
    double best = 0;
    for (int round = 0; round < 5; round++) {
        int64_t start = clock_thread_cpu_ns(), now = start;
        unsigned pages = 0;
        while (now - start < NS_PER_S / 2) {
            for (int i = 0; i < 50; i++, pages++) {
                exporter_page_reset(pg);
                if (exporter_page_feed(pg, page.p, page.len, &e) < 0 ||
                    exporter_page_finish(pg, false, &res, &e) < 0)
                    die("page", &e);
            }
            now = clock_thread_cpu_ns();
        }
        double rate = pages / ((double)(now - start) / 1e9);
        best = rate > best ? rate : best;
    }
    printf(
        "a page of %zu GPUs, %zu bytes, %llu series: %.0f pages a CPU-second, %.2f GB/s, %.1f us "
        "a page\n",
        res.n_gpus, page.len, (unsigned long long)res.samples, best, best * (double)page.len / 1e9,
        1e6 / best);
    exporter_page_free(pg);
    buf_done(&page);
}

static void answer(struct http_request *r, void *ctx) {
    static unsigned collection;
    struct buf page;
    char node[16] = "0";
    buf_init(&page, 1 << 20);
    (void)http_request_param(r, "node", node, sizeof(node));
    page_make(&page, (unsigned)strtoul(node, NULL, 10), collection++);
    struct http_answer a = {
        .status = 200, .content_type = "text/plain; version=0.0.4", .body = buf_str(&page)};
    http_request_answer(r, &a);
    buf_done(&page);
}

static uint64_t told, failures;
static void on_gpu(void *ctx, const struct agents_gpu *gpu, unsigned changed, void **user) {
    told++;
}
static void on_removed(void *ctx, const char *node, const char *uuid, void *user) {
}
static void on_failure(void *ctx, const char *key, int failure, const struct err *why) {
    if (failures++ == 0)
        fprintf(stderr, "%s\n", why->msg);
}

static void scrape(unsigned nodes, unsigned seconds, unsigned interval_s, uint16_t port) {
    struct exporters *x;
    struct err e = {0};
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct exporters_options o = {.loop = &loop,
                                  .interval_ns = interval_s * NS_PER_S,
                                  .seed = 1,
                                  .gpu = on_gpu,
                                  .gpu_removed = on_removed,
                                  .failure = on_failure};
    long before = rss_kib();
    char(*text)[80] = calloc(nodes, sizeof(*text));
    const char **targets = calloc(nodes, sizeof(*targets));
    for (unsigned i = 0; i < nodes; i++) {
        struct in_addr in = {htonl(0x7f000001u + i)};
        snprintf(text[i], sizeof(text[i]), "http://%s:%u/metrics?node=%u", inet_ntoa(in), port, i);
        targets[i] = text[i];
    }
    if (exporters_new(&x, &o, &e) < 0 || exporters_set_targets(x, targets, nodes, &e) < 0)
        die("exporters", &e);
    run_for(&loop, (interval_s + 2) * NS_PER_S); // each was read, and every connection made
    told = failures = 0;
    int64_t cpu = clock_process_cpu_ns();
    run_for(&loop, seconds * NS_PER_S);
    cpu = clock_process_cpu_ns() - cpu;
    struct exporters_stats stats = exporters_stats(x);
    printf("%u nodes, %zu GPUs at %u s: %llu readings in %u s, %llu failures, %zu backed off\n",
           nodes, stats.gpus, interval_s, (unsigned long long)told, seconds,
           (unsigned long long)failures, stats.scrape.backed_off);
    printf("%.4f of a core (%.1f us of CPU a page); memory %.1f MiB (%.1f KiB a node)\n",
           (double)cpu / 1e9 / seconds, (double)cpu * GPUS / 1e3 / (double)(told ? told : 1),
           (double)(rss_kib() - before) / 1024, (double)(rss_kib() - before) / nodes);
    exporters_free(x);
    net_loop_drain_close(&loop);
    free(text);
    free(targets);
}

int main(int argc, char **argv) {
    unsigned nodes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : NODES;
    unsigned seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : SECONDS;
    unsigned interval_s = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : INTERVAL_S;
    uint16_t port;
    all_descriptors();
    parse_rate();
    pid_t child = serve_beside(answer, nodes, &port);
    scrape(nodes, seconds, interval_s, port);
    end_beside(child);
    return 0;
}
