// SPDX-License-Identifier: Apache-2.0
/*
 * Parses a Prometheus text page for a while and prints bytes per second of CPU time:
 * `prom_rate PAGE SECONDS` -> "all" (every sample is handed over with its labels), "selected" (a
 * few names, the rest checked), "engine" (the whole page through the vLLM preset).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/engine/page.h"

static double sink;

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    (void)ctx, (void)e;
    sink += s->value + (double)s->n_labels;
    return 0;
}

static int parse(struct prom_parser *p, const char *page, size_t n, struct err *e) {
    prom_parser_reset(p);
    int r = prom_parser_feed(p, page, n, e);
    return r < 0 ? r : prom_parser_finish(p, false, e);
}

static int read_engine(struct engine_page *pg, const char *page, size_t n, struct err *e) {
    struct engine_page_result res;
    engine_page_reset(pg);
    int r = engine_page_feed(pg, page, n, e);
    if (r == 0)
        r = engine_page_finish(pg, false, &res, e);
    return r == ERR_NOTFOUND ? 0 : r; // another engine's page is read as well
}

// Best of five rounds; `what` and its rate are printed. 1: the page is malformed.
static int measure(const char *what, struct prom_parser *p, struct engine_page *pg,
                   const char *page, size_t n, double seconds) {
    double best = 0;
    for (int round = 0; round < 5; round++) {
        int64_t start = clock_thread_cpu_ns(), now = start;
        size_t bytes = 0;
        while ((double)(now - start) < seconds / 5 * 1e9) {
            for (int i = 0; i < 20; i++) {
                struct err e = {0};
                int r = pg ? read_engine(pg, page, n, &e) : parse(p, page, n, &e);
                if (r < 0) {
                    fprintf(stderr, "%s\n", e.msg);
                    return 1;
                }
                bytes += n;
            }
            now = clock_thread_cpu_ns();
        }
        best = fmax(best, (double)bytes / ((double)(now - start) / 1e9));
    }
    printf("%s %.0f\n", what, best);
    return 0;
}

int main(int argc, char **argv) {
    static const struct str names[] = {{"vllm:num_requests_waiting", 25},
                                       {"vllm:num_requests_running", 25},
                                       {"vllm:kv_cache_usage_perc", 24}};
    static char page[1 << 24];
    FILE *f = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!f) {
        fprintf(stderr, "usage: prom_rate PAGE SECONDS\n");
        return 2;
    }
    size_t n = fread(page, 1, sizeof(page), f);
    fclose(f);
    double seconds = strtod(argv[2], NULL);
    struct prom_parser p;
    struct engine_page *pg;
    if (engine_page_new(&pg, engine_presets[0], NULL) < 0)
        return 2;
    prom_parser_init(&p, on_sample, NULL);
    int status = measure("all", &p, NULL, page, n, seconds);
    unsigned long long samples = p.samples;
    prom_parser_select(&p, names, 3);
    status |= measure("selected", &p, NULL, page, n, seconds);
    status |= measure("engine", NULL, pg, page, n, seconds);
    printf("samples %llu\n", samples);
    prom_parser_done(&p);
    engine_page_free(pg);
    return status;
}
