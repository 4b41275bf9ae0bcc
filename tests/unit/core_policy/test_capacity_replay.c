// SPDX-License-Identifier: Apache-2.0
/*
 * The real decider on Azure's conversations of 2023 and synthetic llama2-70b engines, set up as the
 * reference study's azure6: the second half of the trace, two laps, six shifted copies, 18 replicas
 * at the start. Replica-hours and attainment for a profiled, a learned and a learned and trimmed
 * capacity, by cold start, beside the study's bound (its clairvoyant), over the first two laps and,
 * what has been learned by then, over the fifth and sixth. Prints a table.
 */
#include <stdlib.h>

#include "fleet.h"

enum { TRACE_MAX = 20000, COPIES = 6, LAPS = 6, STUDY_LAPS = 2 };

static struct fleet_request *trace, *requests;
static size_t trace_n, request_n;
static double trace_s;

static int by_time(const void *a, const void *b) {
    double x = ((const struct fleet_request *)a)->at_s, y = ((const struct fleet_request *)b)->at_s;
    return (x > y) - (x < y);
}

// Seconds of the day of "2023-11-16 18:15:46.6805900".
static bool read_line(const char *line, struct fleet_request *ret) {
    int h, m, prompt, output;
    double s;
    if (sscanf(line, "%*d-%*d-%*d %d:%d:%lf,%d,%d", &h, &m, &s, &prompt, &output) != 5)
        return false;
    *ret = (struct fleet_request){h * 3600 + m * 60 + s, prompt, output > 0 ? output : 1};
    return true;
}

static bool read_trace(void) {
    const char *root = getenv("GPUSCALE_SOURCE_ROOT");
    char path[4096], line[256];
    snprintf(path, sizeof(path), "%s/../shared/data/traces/azure2023_conv.csv", root ? root : ".");
    FILE *f = fopen(path, "r");
    if (!f) {
        printf("# %s is not there: not replayed\n", path);
        return false; // said, not skip(): meson takes cmocka's TAP line of it for a failure
    }
    trace = mem_array(TRACE_MAX, sizeof(*trace));
    assert_non_null(trace);
    while (trace_n < TRACE_MAX && fgets(line, sizeof(line), f))
        trace_n += read_line(line, &trace[trace_n]);
    fclose(f);
    assert_true(trace_n > 10000);
    return true;
}

// The second half, as the study took it.
static void lay_out(void) {
    double first = trace[0].at_s, last = trace[trace_n - 1].at_s, middle = (first + last) / 2;
    trace_s = last - middle;
    requests = mem_array(trace_n * COPIES * LAPS, sizeof(*requests));
    assert_non_null(requests);
    for (size_t i = 0; i < trace_n; i++)
        for (int c = 0; c < COPIES && trace[i].at_s >= middle; c++)
            for (int lap = 0; lap < LAPS; lap++) {
                struct fleet_request r = trace[i];
                r.at_s = fmod(r.at_s - middle + c * trace_s / COPIES, trace_s) + lap * trace_s;
                requests[request_n++] = r;
            }
    qsort(requests, request_n, sizeof(*requests), by_time);
}

// 2.0 requests a second of the first half's mean work: the study's profile.
static double profile(void) {
    double work = 0, middle = (trace[0].at_s + trace[trace_n - 1].at_s) / 2;
    size_t n = 0;
    for (; trace[n].at_s < middle; n++)
        work += trace[n].output + WORK_PROMPT_WEIGHT * trace[n].prompt;
    return 2.0 * work / (double)n;
}

struct part {
    double hours, attained;
};

static struct part run_laps(struct fleet *f, int laps) {
    double replica_s = f->replica_s, done = f->done, missed = f->missed;
    fleet_run(f, laps * trace_s);
    return (struct part){(f->replica_s - replica_s) / 3600,
                         1 - (f->missed - missed) / (f->done - done)};
}

static void replays_azure(void **state) {
    (void)state;
    static struct fleet f;
    static const struct {
        const char *name;
        bool profiled, trimmed;
        double study[3]; // ratio to the bound in the study's own simulator, 0: not told
    } rules[] = {
        {"profiled", true, false, {1.24, 1.22, 1.19}},
        {"profiled, trimmed", true, true, {1.22, 1.21, 1.18}},
        {"learned", false, false, {0}},
        {"learned, trimmed", false, true, {1.24, 1.23, 1.20}},
    };
    static const double cold_s[] = {60, 120, 300}, bound_h[] = {13.86, 14.00, 14.39};
    if (!read_trace())
        return;
    lay_out();
    double capacity = profile();
    printf("# %zu requests in %.0f s; profile %.0f tokens/s\n", request_n, LAPS * trace_s,
           capacity);
    for (size_t r = 0; r < COUNT_OF(rules); r++)
        for (size_t c = 0; c < COUNT_OF(cold_s); c++) {
            char metadata[128];
            int n = snprintf(metadata, sizeof(metadata), "engine=vllm;demand=gw;coldStart=%.0f",
                             cold_s[c]);
            if (rules[r].profiled)
                snprintf(metadata + n, sizeof(metadata) - (size_t)n, ";work=capacity;capacity=%.1f",
                         capacity);
            struct fleet_options o = {.metadata = metadata,
                                      .model = fleet_70b,
                                      .cold_start_s = cold_s[c],
                                      .n0 = 18,
                                      .max = 45,
                                      .demand = true,
                                      .no_histograms = !rules[r].trimmed,
                                      .jitter_s = 0.2,
                                      .seed = 1};
            fleet_open(&f, &o, requests, request_n);
            struct part first = run_laps(&f, STUDY_LAPS);
            run_laps(&f, LAPS - 2 * STUDY_LAPS);
            struct part last = run_laps(&f, STUDY_LAPS);
            printf(
                "# %-18s start %3.0f s: %5.2f h, %.2f of the bound (study %.2f), %6.2f%% in SLO; "
                "laps 5 and 6: %5.2f h, %.2f, %6.2f%%; n %d..%d, %d turns, u* %.0f, rho %.2f\n",
                rules[r].name, cold_s[c], first.hours, first.hours / bound_h[c], rules[r].study[c],
                100 * first.attained, last.hours, last.hours / bound_h[c], 100 * last.attained,
                f.least, f.most, f.reversals, f.r.capacity.per_replica, f.r.capacity.rho);
            assert_true(first.hours / bound_h[c] < 1.55 && last.hours / bound_h[c] < 1.6);
            assert_true(first.attained > 0.99 && last.attained > 0.99);
            assert_true(f.reversals <= 60);
            fleet_close(&f);
        }
    mem_free(requests);
    mem_free(trace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replays_azure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
