// SPDX-License-Identifier: Apache-2.0
/* The demo's ending; see table.h. */
#include "playground/table.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"

enum { CELL_LEN = 32, NAME_WIDTH = 20, COLUMN_WIDTH = 18 };

void table_format_ms(char *dst, size_t cap, double ms) {
    if (!isfinite(ms))
        (void)snprintf(dst, cap, "-");
    else if (ms < 999.5)
        (void)snprintf(dst, cap, "%.0f ms", ms);
    else
        (void)snprintf(dst, cap, ms < 99995 ? "%.2f s" : "%.0f s", ms / 1000);
}

static void cell_gpu_s(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, "%.1f", r->gpu_s);
}
static void cell_idle(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, "%.1f", r->idle_gpu_s);
}
static void cell_usd(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, r->usd < 10 ? "$%.3f" : "$%.2f", r->usd);
}
static void cell_p50(char *dst, const struct table_row *r) {
    table_format_ms(dst, CELL_LEN, r->p50_ms);
}
static void cell_p95(char *dst, const struct table_row *r) {
    table_format_ms(dst, CELL_LEN, r->p95_ms);
}
static void cell_p99(char *dst, const struct table_row *r) {
    table_format_ms(dst, CELL_LEN, r->p99_ms);
}
static void cell_errors(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, "%lld", (long long)r->errors);
}
static void cell_served(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, "%lld", (long long)r->served);
}
static void cell_events(char *dst, const struct table_row *r) {
    (void)snprintf(dst, CELL_LEN, "%lld", (long long)r->scale_events);
}

static const struct {
    const char *name;
    void (*cell)(char *dst, const struct table_row *r);
} lines[] = {
    {"GPU-seconds", cell_gpu_s}, {"idle GPU-seconds", cell_idle},  {"cost", cell_usd},
    {"latency p50", cell_p50},   {"        p95", cell_p95},        {"        p99", cell_p99},
    {"errors", cell_errors},     {"requests served", cell_served}, {"scale events", cell_events},
};

int table_write(struct buf *out, const struct table_row *rows, size_t n) {
    char cell[CELL_LEN];
    (void)buf_addf(out, "%-*s", NAME_WIDTH, "");
    for (size_t i = 0; i < n; i++)
        (void)buf_addf(out, "%*s%s", COLUMN_WIDTH, rows[i].label, i + 1 < n ? "  " : "\n");
    for (size_t l = 0; l < COUNT_OF(lines); l++) {
        (void)buf_addf(out, "%-*s", NAME_WIDTH, lines[l].name);
        for (size_t i = 0; i < n; i++) {
            lines[l].cell(cell, &rows[i]);
            (void)buf_addf(out, "%*s%s", COLUMN_WIDTH, cell, i + 1 < n ? "  " : "\n");
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!rows[i].whole)
            (void)buf_addf(out, "The act of %s was cut short.\n", rows[i].label);
    }
    return out->err;
}

static void add_number(struct buf *out, const char *key, double v) {
    (void)buf_addf(out, ",\"%s\":", key);
    if (isfinite(v))
        (void)buf_addf(out, "%.3f", v);
    else
        (void)buf_addc(out, "null");
}

int table_write_json(struct buf *out, const struct table_row *rows, size_t n) {
    (void)buf_add_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        const struct table_row *r = &rows[i];
        (void)buf_addf(out, "%s{\"policy\":", i ? "," : "");
        (void)buf_add_json(out, str_from(r->id));
        add_number(out, "gpuSeconds", r->gpu_s);
        add_number(out, "idleGpuSeconds", r->idle_gpu_s);
        add_number(out, "usd", r->usd);
        add_number(out, "p50Ms", r->p50_ms);
        add_number(out, "p95Ms", r->p95_ms);
        add_number(out, "p99Ms", r->p99_ms);
        (void)buf_addf(out, ",\"errors\":%lld,\"served\":%lld,\"scaleEvents\":%lld,\"whole\":%s}",
                       (long long)r->errors, (long long)r->served, (long long)r->scale_events,
                       r->whole ? "true" : "false");
    }
    (void)buf_add_byte(out, ']');
    return out->err;
}
