// SPDX-License-Identifier: Apache-2.0
/* The result as one page that needs nothing else: figures, the latency curve, the course. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "load/result.h"
#include "report/svg.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#5c6670;--grid:#e3e6e9;"
    "--c1:#1f6feb;--c2:#c2410c;--c3:#15803d;--c4:#7c3aed;--c5:#be123c;--c6:#64748b}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e8eaed;--dim:#9aa4ad;"
    "--grid:#2b3136;--c1:#6ea8fe;--c2:#fb923c;--c3:#4ade80;--c4:#c4a5fd;--c5:#fb7185;"
    "--c6:#94a3b8}}"
    "body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--bg);color:var(--fg);"
    "font:16px/1.45 system-ui,sans-serif}"
    "h1{font-size:1.25rem;margin:0;overflow-wrap:anywhere}h2{font-size:1rem;margin:1.2rem 0 .2rem}"
    "p{margin:.2rem 0;color:var(--dim)}"
    ".tiles{display:flex;flex-wrap:wrap;gap:.4rem 2.2rem;margin:1rem 0;padding:0}"
    ".tiles div{min-width:5.5rem}.tiles dt{color:var(--dim);font-size:.85rem}"
    ".tiles dd{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums}"
    ".bad{color:var(--c5)}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));"
    "gap:.5rem 2rem}"
    "svg{width:100%;height:auto;font:12px system-ui,sans-serif}"
    ".grid{stroke:var(--grid)}.axis{stroke:var(--dim)}.label{fill:var(--dim)}"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    ".dashed{stroke-dasharray:5 4}"
    ".s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}"
    ".s5{stroke:var(--c5)}.s6{stroke:var(--c6)}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--grid)}"
    "th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:600}"
    ".text,th.text{text-align:left}";

enum { CURVE_POINTS = 512, SERIES_MAX = 4 };

// Room for the lines of one chart after the other.
struct canvas {
    struct buf *b;
    struct svg_point *points; // SERIES_MAX lines of so many
    size_t per_line;
};

static void add_ms(struct buf *b, uint64_t ns) {
    double ms = (double)ns / NS_PER_MS;
    (void)buf_addf(b, "%.*f", ms < 0.9995 ? 3 : ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0, ms);
}

static void start_tile(struct buf *b, const char *name, bool bad) {
    (void)buf_addf(b, "<div><dt>%s</dt><dd%s>", name, bad ? " class=\"bad\"" : "");
}

static void end_tile(struct buf *b, const char *unit) {
    (void)buf_addf(b, "%s</dd></div>\n", unit);
}

static void count_tile(struct buf *b, const char *name, uint64_t n, bool bad) {
    start_tile(b, name, bad);
    (void)buf_add_u64(b, n);
    end_tile(b, "");
}

static void ms_tile(struct buf *b, const char *name, const struct hdr *h, uint32_t per_million) {
    if (h->count == 0)
        return;
    start_tile(b, name, false);
    add_ms(b, hdr_quantile(h, per_million));
    end_tile(b, " ms");
}

static void add_tiles(struct buf *b, const struct load_state *s) {
    const struct load_figures *w = &s->record.whole;
    uint64_t errors = load_counts_errors(&w->counts);
    (void)buf_addc(b, "<dl class=\"tiles\">\n");
    count_tile(b, "sent", w->counts.sent, false);
    count_tile(b, "answered", w->counts.done, false);
    count_tile(b, "errors", errors, errors > 0);
    start_tile(b, "answered a second", false);
    (void)buf_addf(b, "%.1f", (double)w->counts.done * NS_PER_S / (double)s->elapsed_ns);
    end_tile(b, "");
    ms_tile(b, "p50", &w->latency, 500000);
    ms_tile(b, "p95", &w->latency, 950000);
    ms_tile(b, "p99", &w->latency, 990000);
    ms_tile(b, "first token, p50", &w->first, 500000);
    (void)buf_addc(b, "</dl>\n");
}

// A histogram as a line over shares; the greatest value stands where half a request would.
static size_t curve_of(const struct hdr *h, struct svg_point *ret, size_t max) {
    size_t at = 0, n = 0;
    uint64_t value, count, seen = 0;
    double last = 0;
    while (hdr_next(h, &at, &value, &count)) {
        seen += count;
        double left = 1 - (double)seen / (double)h->count;
        bool end = seen == h->count;
        if (n > 0 && !end && (left > 0.97 * (1 - last) || n == max - 1))
            continue;
        last = 1 - left;
        ret[n++] = (struct svg_point){end ? 1 - 0.5 / (double)h->count : last,
                                      (double)value / NS_PER_MS};
    }
    return n;
}

static bool wide(const struct hdr *h) {
    return h->count > 0 && h->max > 20 * (hdr_quantile(h, 500000) + 1);
}

static void chart(struct canvas *c, const char *title, const char *about, struct svg_chart *what) {
    (void)buf_addf(c->b, "<section><h2>%s</h2><p>%s</p>\n", title, about);
    what->title = title;
    what->description = about;
    (void)svg_write(c->b, what);
    (void)buf_addc(c->b, "</section>\n");
}

static void add_curve(struct canvas *c, const struct load_state *s) {
    static const char *const names[] = {"latency", "since it really left", "first token",
                                        "between tokens"};
    const struct load_figures *w = &s->record.whole;
    const struct hdr *all[] = {&w->latency, &w->service, &w->first, &w->between};
    struct svg_series series[SERIES_MAX];
    size_t n = 0;
    bool log_scale = wide(&w->latency);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct svg_point *points = c->points + n * c->per_line;
        if (all[i]->count == 0)
            continue;
        log_scale = log_scale || i == 3; // tokens are far quicker than answers
        series[n] = (struct svg_series){.name = names[i],
                                        .color = (unsigned)i + 1,
                                        .dashed = i == 1,
                                        .points = points,
                                        .n = curve_of(all[i], points, CURVE_POINTS)};
        n++;
    }
    chart(c, "Latency curve",
          "So much of all (per cent, on a scale where 90, 99 and 99.9 are evenly apart) took at "
          "most so long.",
          &(struct svg_chart){.x_label = "per cent of requests",
                              .y_label = log_scale ? "ms (logarithmic)" : "ms",
                              .x_scale = SVG_NINES,
                              .y_scale = log_scale ? SVG_LOG : SVG_LINEAR,
                              .series = series,
                              .n = n});
}

enum row_value {
    ROW_P50,
    ROW_P95,
    ROW_P99,
    ROW_FIRST_P50,
    ROW_WANTED,
    ROW_SENT,
    ROW_DONE,
    ROW_ERRORS,
    ROW_IN_FLIGHT,
};

static double value_of(const struct load_state *s, const struct load_row *row, enum row_value v) {
    const struct shape *shape = &s->options->shape;
    double ms = row->count ? 1.0 / NS_PER_MS : NAN;
    switch (v) {
    case ROW_P50:
        return (double)row->p50_ns * ms;
    case ROW_P95:
        return (double)row->p95_ns * ms;
    case ROW_P99:
        return (double)row->p99_ns * ms;
    case ROW_FIRST_P50:
        return row->first_count ? (double)row->first_p50_ns / NS_PER_MS : NAN;
    case ROW_WANTED:
        return shape->n == 0 ? NAN // a trace
                             : (shape_count(shape, row->end_s) -
                                shape_count(shape, row->end_s - row->seconds)) /
                                   row->seconds;
    case ROW_SENT:
        return (double)row->sent / row->seconds;
    case ROW_DONE:
        return (double)row->done / row->seconds;
    case ROW_ERRORS:
        return (double)row->errors / row->seconds;
    case ROW_IN_FLIGHT:
        return row->in_flight;
    }
    return NAN;
}

struct line {
    const char *name;
    enum row_value value;
    unsigned color;
    bool dashed;
};

static void over_time(struct canvas *c, const struct load_state *s, const char *title,
                      const char *about, const char *unit, bool log_scale, const struct line *lines,
                      size_t n) {
    struct svg_series series[SERIES_MAX];
    const struct load_record *r = &s->record;
    for (size_t i = 0; i < n; i++) {
        struct svg_point *points = c->points + i * c->per_line;
        for (size_t k = 0; k < r->n_rows; k++)
            points[k] = (struct svg_point){r->rows[k].end_s - r->rows[k].seconds / 2,
                                           value_of(s, &r->rows[k], lines[i].value)};
        series[i] = (struct svg_series){.name = lines[i].name,
                                        .color = lines[i].color,
                                        .dashed = lines[i].dashed,
                                        .points = points,
                                        .n = r->n_rows};
    }
    chart(c, title, about,
          &(struct svg_chart){.x_label = "seconds since the start",
                              .y_label = unit,
                              .x_max = (double)s->elapsed_ns / NS_PER_S,
                              .y_scale = log_scale ? SVG_LOG : SVG_LINEAR,
                              .series = series,
                              .n = n});
}

static void add_charts(struct canvas *c, const struct load_state *s) {
    static const struct line latency[] = {{"p50", ROW_P50, 1, false},
                                          {"p95", ROW_P95, 2, false},
                                          {"p99", ROW_P99, 5, false},
                                          {"first token p50", ROW_FIRST_P50, 3, false}};
    static const struct line rates[] = {{"answered", ROW_DONE, 1, false},
                                        {"sent", ROW_SENT, 3, false},
                                        {"errors", ROW_ERRORS, 5, false},
                                        {"wanted", ROW_WANTED, 6, true}};
    static const struct line flight[] = {{"in flight", ROW_IN_FLIGHT, 4, false}};
    bool tokens = s->record.whole.first.count > 0; // far quicker than answers
    bool log_scale = tokens || wide(&s->record.whole.latency);
    (void)buf_addc(c->b, "<div class=\"charts\">\n");
    add_curve(c, s);
    over_time(c, s, "Latency over time", "Of the answers that ended then.",
              log_scale ? "ms (logarithmic)" : "ms", log_scale, latency, tokens ? 4 : 3);
    over_time(c, s, "Rate", "What the schedule wanted, what left, what came back.", "a second",
              false, rates, 4);
    over_time(c, s, "In flight", "Requests that left and were not answered yet.", "requests", false,
              flight, 1);
    (void)buf_addc(c->b, "</div>\n");
}

static void add_row(struct buf *b, const char *name, const struct hdr *h) {
    if (h->count == 0)
        return;
    (void)buf_addf(b, "<tr><td>%s</td>", name);
    for (size_t i = 0; i < LOAD_PERCENTILES; i++) {
        (void)buf_addc(b, "<td>");
        add_ms(b, hdr_quantile(h, load_percentiles[i].per_million));
        (void)buf_addc(b, "</td>");
    }
    (void)buf_addc(b, "<td>");
    add_ms(b, (uint64_t)(hdr_mean(h) + 0.5));
    (void)buf_addc(b, "</td></tr>\n");
}

static void add_tables(struct buf *b, const struct load_state *s) {
    const struct load_figures *w = &s->record.whole;
    (void)buf_addc(b, "<h2>Milliseconds</h2><div class=\"scroll\"><table><tr><th></th>");
    for (size_t i = 0; i < LOAD_PERCENTILES; i++)
        (void)buf_addf(b, "<th>%s</th>", load_percentiles[i].name);
    (void)buf_addc(b, "<th>mean</th></tr>\n");
    add_row(b, "latency", &w->latency);
    add_row(b, "since it really left", &w->service);
    add_row(b, "first token", &w->first);
    add_row(b, "between tokens", &w->between);
    add_row(b, "sent late by", &w->late);
    (void)buf_addc(b,
                   "</table></div>\n<p>Latency counts from the time at which a request was meant "
                   "to leave to the last byte of its answer, for answers with 200 to 399.</p>\n");
    if (load_counts_errors(&w->counts) == 0)
        return;
    (void)buf_addc(b,
                   "<h2>Errors</h2><div class=\"scroll\"><table>"
                   "<tr><th></th><th>requests</th><th class=\"text\">the first said</th></tr>\n");
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        if (w->counts.errors[i] > 0) {
            (void)buf_addf(b, "<tr><td>%s</td><td>%llu</td><td class=\"text\">",
                           load_error_names[i], (unsigned long long)w->counts.errors[i]);
            (void)svg_add_text(b, str_from(s->record.first_errors[i]));
            (void)buf_addc(b, "</td></tr>\n");
        }
    (void)buf_addc(b, "</table></div>\n");
}

static void add_head(struct buf *b, const struct load_state *s) {
    char url[LIMIT_URL_BYTES + NET_HOST_MAX + 32], started[32];
    struct buf plan;
    (void)snprintf(url, sizeof(url), "%s://%s%s", s->target->tls ? "https" : "http",
                   s->target->authority, s->target->path);
    clock_format_utc(s->start_unix_ns, started, sizeof(started));
    buf_init(&plan, LIMIT_URL_BYTES * 2);
    load_write_plan(&plan, s);
    (void)buf_addc(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width\">"
                      "<meta name=\"generator\" content=\"gpuscale " GPUSCALE_VERSION "\">"
                      "<title>Load on ");
    (void)svg_add_text(b, str_from(url));
    (void)buf_addf(b, "</title><style>%s</style></head><body>\n<h1>Load on ", style);
    (void)svg_add_text(b, str_from(url));
    (void)buf_addc(b, "</h1>\n<p>");
    (void)svg_add_text(b, buf_str(&plan));
    (void)buf_addf(b, "; %.1f s from %s%s</p>\n", (double)s->elapsed_ns / NS_PER_S, started,
                   s->stopped ? "; stopped by a signal" : "");
    buf_done(&plan);
}

int load_write_html(struct buf *b, const struct load_state *s) {
    struct canvas c = {.b = b};
    c.per_line = s->record.n_rows > CURVE_POINTS ? s->record.n_rows : CURVE_POINTS;
    c.points = mem_array(SERIES_MAX * c.per_line, sizeof(*c.points));
    if (!c.points)
        return ERR_NOMEM;
    add_head(b, s);
    add_tiles(b, s);
    add_charts(&c, s);
    add_tables(b, s);
    (void)buf_addc(b, "</body></html>\n");
    mem_free(c.points);
    return b->err;
}
