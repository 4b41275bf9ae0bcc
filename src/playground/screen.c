// SPDX-License-Identifier: Apache-2.0
/* The demo's lines; see screen.h. */
#include "playground/screen.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { WIDTH = 100, INDENT = 9 };

static const char *paint(const struct screen *s, const char *code) {
    return s->color ? code : "";
}
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define RESET "\033[0m"

void screen_intro(struct screen *s, const char *folder, const char *page_url) {
    printf("%sgpuscale demo%s: one node agent (4 simulated GPUs), one scaler, a mock LLM service "
           "behind a\ngateway, and KEDA's calls over gRPC. Each pod has one GPU and serves 2 "
           "requests/s.\n\n"
           "  req/s     arriving at the gateway        held   waiting there for a ready pod\n"
           "  run/wait  in the engines: being served and queued\n"
           "  GPU 0-3   utilization / SM activity in %%, from the agent's stream; -- unknown\n"
           "  metric    what KEDA reads of the scaler: the replicas wanted, target 1 (0.999 less "
           "while\n"
           "            they go down: same ceiling, and out of the HPA's tolerance)\n"
           "  pods      ready+starting of spec.replicas\n\n"
           "Files and logs: %s   Status: %s\n",
           paint(s, BOLD), paint(s, RESET), folder, page_url);
    s->rows = 0;
}

static void print_gpu(const struct screen *s, const struct gpu_reading *r, bool held) {
    double busy, sm;
    if (!gpu_reading_get(r, GPU_UTILIZATION_PCT, &busy)) {
        printf("    --  ");
        return;
    }
    const char *color = !held ? paint(s, DIM) : busy > 90 ? paint(s, YELLOW) : "";
    if (gpu_reading_get(r, GPU_SM_ACTIVE_RATIO, &sm))
        printf(" %s%3.0f/%-3.0f%s", color, busy, sm * 100, paint(s, RESET));
    else
        printf(" %s%3.0f/-- %s", color, busy, paint(s, RESET));
}

void screen_row(struct screen *s, const struct screen_row *row) {
    if (s->rows++ % 20 == 0)
        printf("\n%s  time  req/s  held  run/wait   GPU 0   GPU 1   GPU 2   GPU 3   metric  active"
               "  pods%s\n",
               paint(s, BOLD), paint(s, RESET));
    double running = 0, waiting = 0;
    for (int i = 0; i < SERVICE_PODS_MAX; i++) {
        if (row->service->pods[i].state == SERVICE_POD_READY) {
            struct service_load load = service_pod_load(&row->service->pods[i]);
            running += load.running;
            waiting += load.waiting;
        }
    }
    printf("%5.0fs  %5.1f  %4.0f  %3.0f/%-4.0f ", row->at_s, row->rate, row->service->held, running,
           waiting);
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        print_gpu(s, &row->gpus[i], row->service->pods[i].state != SERVICE_POD_NONE);
    if (isnan(row->metric))
        printf("       --      --");
    else
        printf("  %7.3f  %6s", row->metric, row->active ? "yes" : "no");
    printf("  %d+%d/%d\n", service_pods(row->service, SERVICE_POD_READY),
           service_pods(row->service, SERVICE_POD_STARTING), row->replicas);
    fflush(stdout);
}

void screen_event(struct screen *s, double at_s, const char *who, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    printf("%5.0fs  %s%s: %s%s\n", at_s, paint(s, CYAN), who, text, paint(s, RESET));
    fflush(stdout);
}

void screen_why(struct screen *s, struct str text) {
    while (text.n) {
        struct str line = str_trim(str_cut(&text, '\n'));
        int column = 0;
        while (line.n) {
            struct str word = str_cut(&line, ' ');
            if (column && column + 1 + (int)word.n > WIDTH - INDENT) {
                printf("%s\n", paint(s, RESET));
                column = 0;
            }
            if (!column)
                printf("%*s%s", INDENT, "", paint(s, DIM));
            printf("%s" STR_FMT, column ? " " : "", STR_ARG(word));
            column += (int)word.n + (column ? 1 : 0);
        }
        if (column)
            printf("%s\n", paint(s, RESET));
    }
    fflush(stdout);
}
