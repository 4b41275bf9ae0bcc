// SPDX-License-Identifier: Apache-2.0
/* Cells of GPUs and workloads. '?' is unknown, '-' is none. */
#include "tools/top_columns.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static void say(struct top_cell *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct top_cell *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
    va_end(ap);
}

static const struct top_gpu *gpu(const void *ctx, size_t row) {
    const struct top_rows *r = ctx;
    return &r->snapshot->gpus.items[r->chosen[row]];
}

static const struct top_workload *workload(const void *ctx, size_t row) {
    const struct top_rows *r = ctx;
    return &r->snapshot->workloads.items[r->chosen[row]];
}

static void node(const void *ctx, size_t row, struct top_cell *c) {
    const char *name = gpu(ctx, row)->node;
    c->name = name[0] != '\0' ? str_from(name) : STR("?");
}

static void gpu_index(const void *ctx, size_t row, struct top_cell *c) {
    say(c, "%ld", gpu(ctx, row)->index);
}

static void model(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_gpu *g = gpu(ctx, row);
    struct str name = str_from(g->model);
    if (str_starts(name, "NVIDIA ") && name.n > 7)
        name = (struct str){name.p + 7, name.n - 7};
    say(c, "%s%s%.*s", g->mig, g->mig[0] != '\0' && name.n > 0 ? " " : "", (int)name.n, name.p);
    if (c->text[0] == '\0')
        say(c, "?");
}

static void pod(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_gpu *g = gpu(ctx, row);
    if (g->owners_n == 1 && g->pods == 1)
        say(c, "%.70s/%.80s", g->owners[0].namespace_, g->owners[0].pod);
    else if (g->owners_n > 0)
        say(c, "+%zu %.60s/%.80s", g->pods - 1, g->owners[0].namespace_, g->owners[0].pod);
    else
        say(c, g->owners_known ? "-" : "?");
}

static bool is_past(const struct top_gpu *g) {
    return g->state == TOP_STALE || g->state == TOP_LOST;
}

static void percent(struct top_cell *c, const struct top_gpu *g, double v) {
    if (isnan(v) || is_past(g)) // what was true once is not shown as if it were
        say(c, "?");
    else
        say(c, "%.0f%%", v);
}

static void util(const void *ctx, size_t row, struct top_cell *c) {
    percent(c, gpu(ctx, row), gpu(ctx, row)->util_pct);
}

static void sm(const void *ctx, size_t row, struct top_cell *c) {
    percent(c, gpu(ctx, row), gpu(ctx, row)->sm_pct);
}

static void memory(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_gpu *g = gpu(ctx, row);
    const double gib = 1024.0 * 1024 * 1024;
    char total[32] = "?";
    if (!isnan(g->memory_total_bytes))
        (void)snprintf(total, sizeof(total), "%.0f", g->memory_total_bytes / gib);
    if (isnan(g->memory_used_bytes) || is_past(g))
        say(c, "?/%sG", total);
    else
        say(c, "%.*f/%sG", g->memory_used_bytes < 10 * gib, g->memory_used_bytes / gib, total);
}

static void power(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_gpu *g = gpu(ctx, row);
    if (isnan(g->power_w) || is_past(g))
        say(c, "?");
    else
        say(c, "%.0fW", g->power_w);
}

static void span(struct top_cell *c, double s) {
    if (s < 10)
        say(c, "%.1fs", s);
    else if (s < 120)
        say(c, "%.0fs", s);
    else if (s < 7200)
        say(c, "%.0fm", floor(s / 60));
    else if (s < 48 * 3600)
        say(c, "%.0fh", floor(s / 3600));
    else
        say(c, "%.0fd", floor(s / 86400));
}

static void age(const void *ctx, size_t row, struct top_cell *c) {
    if (isnan(gpu(ctx, row)->age_s))
        say(c, "?");
    else
        span(c, gpu(ctx, row)->age_s);
}

static void state(const void *ctx, size_t row, struct top_cell *c) {
    say(c, "%s", top_state_name(gpu(ctx, row)->state));
}

static void idle(const void *ctx, size_t row, struct top_cell *c) {
    if (isnan(gpu(ctx, row)->idle_s))
        say(c, "-");
    else if (gpu(ctx, row)->idle_s < 1)
        say(c, "now");
    else
        span(c, gpu(ctx, row)->idle_s);
}

static void price(const void *ctx, size_t row, struct top_cell *c) {
    double usd = gpu(ctx, row)->usd_per_hour;
    if (isnan(usd))
        say(c, "?");
    else
        say(c, "%.2f", usd);
}

static void name(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_workload *w = workload(ctx, row);
    struct str target = str_from(w->target);
    if (str_starts(target, "deployment/"))
        target = (struct str){target.p + 11, target.n - 11};
    say(c, "%.70s/%.*s", w->namespace_, target.n > 80 ? 80 : (int)target.n, target.p);
}

static void replicas(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_workload *w = workload(ctx, row);
    char spec[24] = "?";
    if (w->spec >= 0)
        (void)snprintf(spec, sizeof(spec), "%ld", w->spec);
    if (w->ready < 0)
        say(c, "?/%s", spec);
    else if (w->starting > 0)
        say(c, "%ld+%ld/%s", w->ready, w->starting, spec);
    else
        say(c, "%ld/%s", w->ready, spec);
}

static void desired(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_workload *w = workload(ctx, row);
    if (w->unavailable || (w->desired < 0 && w->error != NULL))
        say(c, "?");
    else if (w->desired < 0)
        say(c, "-");
    else
        say(c, "%ld", w->desired);
}

static void reason(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_workload *w = workload(ctx, row);
    c->name = str_from(w->error != NULL    ? w->error
                       : w->unavailable    ? "unavailable"
                       : w->reason != NULL ? w->reason
                                           : "-");
}

static void total(struct top_cell *c, const struct top_total *t, bool fraction) {
    if (isnan(t->value))
        say(c, "?");
    else
        say(c, "%.*f%s", fraction && t->value < 100, t->value, t->partial ? "+" : "");
}

static void rate(const void *ctx, size_t row, struct top_cell *c) {
    total(c, &workload(ctx, row)->rate, true);
}

static void running(const void *ctx, size_t row, struct top_cell *c) {
    total(c, &workload(ctx, row)->running, false);
}

static void queue(const void *ctx, size_t row, struct top_cell *c) {
    total(c, &workload(ctx, row)->queue, false);
}

static void kv(const void *ctx, size_t row, struct top_cell *c) {
    if (isnan(workload(ctx, row)->kv_pct))
        say(c, "?");
    else
        say(c, "%.0f%%", workload(ctx, row)->kv_pct);
}

// Where it is not known who holds some GPUs, the workload may hold more than is known.
static void held(const void *ctx, struct top_cell *c, unsigned n) {
    const struct top_rows *r = ctx;
    if (!r->snapshot->holders_partial)
        say(c, "%u", n);
    else if (n == 0)
        say(c, "?");
    else
        say(c, "%u+", n);
}

static void cost(const void *ctx, struct top_cell *c, double usd, unsigned gpus) {
    const struct top_rows *r = ctx;
    bool partial = r->snapshot->holders_partial;
    if (isnan(usd) || (partial && gpus == 0))
        say(c, "?");
    else
        say(c, "%.2f%s", usd, partial ? "+" : "");
}

static void gpus(const void *ctx, size_t row, struct top_cell *c) {
    held(ctx, c, workload(ctx, row)->gpus);
}

static void idle_gpus(const void *ctx, size_t row, struct top_cell *c) {
    const struct top_workload *w = workload(ctx, row);
    bool partial = ((const struct top_rows *)ctx)->snapshot->holders_partial;
    if (w->gpus > 0)
        say(c, "%u%s", w->idle_gpus, partial ? "+" : "");
    else
        held(ctx, c, 0);
}

static void whole_cost(const void *ctx, size_t row, struct top_cell *c) {
    cost(ctx, c, workload(ctx, row)->usd_per_hour, workload(ctx, row)->gpus);
}

static void idle_cost(const void *ctx, size_t row, struct top_cell *c) {
    cost(ctx, c, workload(ctx, row)->idle_usd_per_hour, workload(ctx, row)->gpus);
}

const struct top_column top_gpu_columns[] = {
    {"NODE", 0, 4, 12, false, TOP_CUT_MIDDLE, node}, {"GPU", 0, 3, 0, true, TOP_CUT_END, gpu_index},
    {"MODEL", 6, 5, 10, false, TOP_CUT_END, model},  {"POD", 0, 3, 18, false, TOP_CUT_MIDDLE, pod},
    {"UTIL", 0, 4, 0, true, TOP_CUT_END, util},      {"SM", 4, 4, 0, true, TOP_CUT_END, sm},
    {"MEMORY", 3, 6, 0, true, TOP_CUT_END, memory},  {"POWER", 8, 5, 0, true, TOP_CUT_END, power},
    {"AGE", 7, 4, 0, true, TOP_CUT_END, age},        {"STATE", 0, 5, 0, false, TOP_CUT_END, state},
    {"IDLE", 2, 4, 0, true, TOP_CUT_END, idle},      {"$/H", 1, 5, 0, true, TOP_CUT_END, price},
};
const size_t top_gpu_columns_n = COUNT_OF(top_gpu_columns);

const struct top_column top_workload_columns[] = {
    {"WORKLOAD", 0, 8, 14, false, TOP_CUT_MIDDLE, name},
    {"READY", 0, 5, 0, true, TOP_CUT_END, replicas},
    {"WANT", 0, 4, 0, true, TOP_CUT_END, desired},
    {"REASON", 2, 6, 8, false, TOP_CUT_END, reason},
    {"REQ/S", 4, 5, 0, true, TOP_CUT_END, rate},
    {"RUN", 5, 4, 0, true, TOP_CUT_END, running},
    {"QUEUE", 3, 5, 0, true, TOP_CUT_END, queue},
    {"KV", 7, 4, 0, true, TOP_CUT_END, kv},
    {"GPUS", 0, 4, 0, true, TOP_CUT_END, gpus},
    {"IDLE", 0, 4, 0, true, TOP_CUT_END, idle_gpus},
    {"$/H", 6, 5, 0, true, TOP_CUT_END, whole_cost},
    {"IDLE$/H", 1, 7, 0, true, TOP_CUT_END, idle_cost},
};
const size_t top_workload_columns_n = COUNT_OF(top_workload_columns);
