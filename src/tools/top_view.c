// SPDX-License-Identifier: Apache-2.0
/* A frame of text; see the header. */
#include "tools/top_view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/top_columns.h"

#define RESET "\033[0m"

enum { FRAME_LINE_MAX = 1024, HEAD_LINES = 3, FOOT_LINES = 1 };

// Where the lines of a frame go: what does not fit is not written.
struct page {
    struct buf *b;
    const struct top_screen *screen;
    unsigned lines;
};

static void add_line(struct page *p, const char *color, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_line(struct page *p, const char *color, const char *fmt, ...) {
    char text[FRAME_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (p->screen->height > 0 && p->lines >= p->screen->height)
        return;
    if (p->lines++ > 0)
        (void)buf_add_byte(p->b, '\n');
    bool painted = p->screen->color && color != NULL && text[0] != '\0';
    if (painted)
        (void)buf_addc(p->b, color);
    (void)top_text_add(p->b, str_from(text), p->screen->width, TOP_CUT_END, p->screen->utf8);
    if (painted)
        (void)buf_addc(p->b, RESET);
}

static const char *const bold = "\033[1m";
static const char *const red = "\033[31m";

static const char *color_of(const struct top_snapshot *s, const struct top_choice *c,
                            uint32_t row) {
    if (c->view == TOP_WORKLOADS) {
        const struct top_workload *w = &s->workloads.items[row];
        return w->unavailable || w->error != NULL ? red : w->idle_gpus > 0 ? "\033[33m" : NULL;
    }
    static const char *const colors[TOP_STATE_MAX] = {
        [TOP_IDLE] = "\033[33m",  [TOP_FREE] = "\033[33m", [TOP_UNKNOWN] = "\033[2m",
        [TOP_STALE] = "\033[31m", [TOP_LOST] = "\033[31m",
    };
    return colors[s->gpus.items[row].state];
}

static struct top_table table_of(const struct top_rows *rows, const struct top_screen *screen) {
    bool gpus = screen->choice.view == TOP_GPUS;
    return (struct top_table){.columns = gpus ? top_gpu_columns : top_workload_columns,
                              .columns_n = gpus ? top_gpu_columns_n : top_workload_columns_n,
                              .ctx = rows,
                              .utf8 = screen->utf8};
}

// Titles and rows `from`.. of the table.
static void add_table(struct page *p, struct top_rows *rows, size_t from, size_t n) {
    struct top_table t = table_of(rows, p->screen);
    unsigned widths[TOP_COLUMNS_MAX];
    CLEANUP_BUF struct buf line;
    buf_init(&line, FRAME_LINE_MAX * 4);
    t.from = from;
    t.rows = n;
    top_table_fit(&t, p->screen->width, widths);
    top_table_titles(&line, &t, widths);
    add_line(p, bold, STR_FMT, STR_ARG(buf_str(&line)));
    for (size_t i = from; i < from + n; i++) {
        buf_clear(&line);
        top_table_row(&line, &t, widths, i);
        add_line(p, color_of(rows->snapshot, &p->screen->choice, rows->chosen[i]), STR_FMT,
                 STR_ARG(buf_str(&line)));
    }
}

static int choose(const struct top_snapshot *s, const struct top_choice *c, uint32_t **ret,
                  size_t *ret_n) {
    size_t all = c->view == TOP_GPUS ? s->gpus.n : s->workloads.n;
    *ret = mem_array(all + 1, sizeof(**ret));
    if (*ret == NULL)
        return ERR_NOMEM;
    *ret_n = top_choose(s, c, *ret);
    return 0;
}

static void say(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct buf *b, const char *fmt, ...) {
    char text[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)buf_addc(b, text);
}

// What matters most comes first: a narrow terminal cuts the end.
static void sum_text(struct buf *b, const struct top_snapshot *s) {
    struct top_sum t = top_sum(s);
    size_t idle = t.idle + t.free;
    say(b, "%zu GPU%s: %zu busy, %zu idle", t.gpus, t.gpus == 1 ? "" : "s", t.busy, idle);
    if (t.free > 0)
        say(b, " (%zu free)", t.free);
    if (idle > t.idle_unpriced)
        say(b, " for $%.2f%s/h", t.idle_usd_per_hour, t.idle_unpriced > 0 ? "+" : "");
    if (t.dark > 0)
        say(b, ", %zu unknown", t.dark);
    say(b, "; %zu held", t.held);
    if (t.holder_unknown > 0)
        say(b, " (%zu?)", t.holder_unknown);
    if (t.unpriced < t.gpus)
        say(b, "; all $%.2f%s/h", t.usd_per_hour, t.unpriced > 0 ? "+" : "");
    else if (idle > 0)
        say(b, "; --price gives $/h");
}

void top_sum_line(struct buf *b, const struct top_snapshot *s, const struct top_screen *screen) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, FRAME_LINE_MAX);
    sum_text(&text, s);
    (void)top_text_add(b, buf_str(&text), screen->width, TOP_CUT_END, screen->utf8);
    (void)buf_add_byte(b, '\n');
}

static const char *const help_text[] = {
    "q quit, space pause, g w tab: GPUs or workloads",
    "arrows j k, page up and down, home, end: scroll",
    "s > <: another order, r reverses it",
    "/ filter by namespace, pod, node, model, state; Enter keeps, Esc clears",
    "",
    "?      not known, which is not 0      -  none, and that is known",
    "busy   works",
    "idle   does nothing; a pod holds it, or it is not known who does",
    "free   does nothing, and no pod holds it",
    "stale  its last reading is old        lost  the driver does not answer",
    "+1 ml/llm-0   shared: one pod more than is named holds it",
    "IDLE   for how long top has seen it do nothing: its activity is known and",
    "       below 0.5 %, or not measurable and its engines run and queue nothing",
    "$/H    by --price MODEL=USD; a MIG instance costs its slices of seven",
    "READY  ready+starting/spec.replicas   WANT  the scaler's decision",
    "12+    at least 12: the rest is not known   KV  of the fullest pod",
};

static void add_help(struct page *p) {
    for (size_t i = 0; i < COUNT_OF(help_text); i++)
        add_line(p, NULL, "%s", help_text[i]);
}

static void add_head(struct page *p, const struct top_snapshot *s) {
    const struct top_screen *screen = p->screen;
    CLEANUP_BUF struct buf sum;
    char order[64];
    buf_init(&sum, FRAME_LINE_MAX);
    (void)snprintf(order, sizeof(order), "by %s%s",
                   top_sort_name(screen->choice.view, screen->choice.sort),
                   screen->choice.reverse ? " reversed" : "");
    add_line(p, bold, "gpuscale top  %s  %s%s  %s%s%s", screen->when,
             screen->choice.view == TOP_GPUS ? "GPUs" : "workloads",
             screen->paused ? "  PAUSED" : "", order,
             screen->choice.filter[0] != '\0' || screen->typing ? "  /" : "",
             screen->choice.filter);
    if (isnan(screen->age_s)) {
        add_line(p, NULL, "%s", screen->trouble != NULL ? "no data yet" : "asking ...");
        return;
    }
    sum_text(&sum, s);
    add_line(p, NULL, STR_FMT, STR_ARG(buf_str(&sum)));
}

static void add_foot(struct page *p, size_t from, size_t shown, size_t n, size_t all) {
    const struct top_screen *screen = p->screen;
    char rows[128] = "";
    if (n == 0 && all > 0)
        (void)snprintf(rows, sizeof(rows), "none of %zu fits the filter", all);
    else if (n < all)
        (void)snprintf(rows, sizeof(rows), "%zu-%zu of %zu (of %zu)", from + 1, from + shown, n,
                       all);
    else if (shown < n)
        (void)snprintf(rows, sizeof(rows), "%zu-%zu of %zu", from + 1, from + shown, n);
    while (p->lines + FOOT_LINES < screen->height)
        add_line(p, NULL, "%s", "");
    if (screen->typing)
        add_line(p, bold, "filter: %s_  (Enter: keep, Esc: none)", screen->choice.filter);
    else if (screen->trouble != NULL && !isnan(screen->age_s))
        add_line(p, red, "data %.0f s old: %s", screen->age_s, screen->trouble);
    else if (screen->trouble != NULL)
        add_line(p, red, "%s", screen->trouble);
    else
        add_line(p, NULL, "%s%sq quit  h help  tab view  s sort  / filter", rows,
                 rows[0] != '\0' ? "   " : "");
}

int top_frame(struct buf *b, const struct top_snapshot *s, struct top_screen *screen,
              size_t *ret_page) {
    struct page p = {.b = b, .screen = screen};
    uint32_t *chosen;
    size_t n, all = screen->choice.view == TOP_GPUS ? s->gpus.n : s->workloads.n;
    int r = choose(s, &screen->choice, &chosen, &n);
    if (r < 0)
        return r;
    size_t room = screen->height > HEAD_LINES + FOOT_LINES
                      ? screen->height - HEAD_LINES - FOOT_LINES
                      : 0;
    if (screen->scroll + room > n)
        screen->scroll = n > room ? n - room : 0;
    size_t shown = n - screen->scroll < room ? n - screen->scroll : room;
    struct top_rows rows = {s, chosen};
    add_head(&p, s);
    if (screen->help)
        add_help(&p);
    else if (!isnan(screen->age_s) || screen->trouble == NULL)
        add_table(&p, &rows, screen->scroll, shown);
    add_foot(&p, screen->scroll, shown, n, all);
    mem_free(chosen);
    *ret_page = room;
    return b->err;
}

int top_body(struct buf *b, const struct top_snapshot *s, const struct top_screen *screen) {
    struct page p = {.b = b, .screen = screen};
    uint32_t *chosen;
    size_t n;
    int r = choose(s, &screen->choice, &chosen, &n);
    if (r < 0)
        return r;
    struct top_rows rows = {s, chosen};
    add_table(&p, &rows, 0, n);
    (void)buf_add_byte(b, '\n');
    mem_free(chosen);
    return b->err;
}
