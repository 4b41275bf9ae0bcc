// SPDX-License-Identifier: Apache-2.0
/* The demo in a terminal; see screen.h. */
#include "playground/screen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { GPUS_SHOWN = 8, GPUS_LEAST = 2, FIXED_LINES = 13, BAR_WIDTH = 20, INDENT = 9 };

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define RESET "\033[0m"

struct drawing {
    struct screen *s;
    struct buf *out;
    int lines;
};

static const char *paint(const struct screen *s, const char *code) {
    return s->color ? code : "";
}

void screen_begin_act(struct screen *s) {
    s->n_events = s->n_history = 0;
    s->since_heading = 0;
}

void screen_add_event(struct screen *s, double t_s, const char *who, const char *text) {
    if (s->n_events == SCREEN_EVENTS) {
        memmove(s->events, s->events + 1, sizeof(s->events) - sizeof(s->events[0]));
        s->n_events--;
    }
    struct screen_event *e = &s->events[s->n_events++];
    e->t_s = t_s;
    (void)snprintf(e->who, sizeof(e->who), "%s", who);
    (void)snprintf(e->text, sizeof(e->text), "%s", text);
    for (char *c = e->text; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
}

void screen_add_second(struct screen *s, double arriving, double replicas) {
    if (s->n_history == SCREEN_HISTORY) { // a long act: every second value
        for (size_t i = 0; i < SCREEN_HISTORY / 2; i++) {
            s->arriving[i] = s->arriving[2 * i];
            s->replicas[i] = s->replicas[2 * i];
        }
        s->n_history /= 2;
    }
    s->arriving[s->n_history] = arriving;
    s->replicas[s->n_history++] = replicas;
}

// One line, cut at the width; `code` colors it whole.
static void line(struct drawing *d, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void line(struct drawing *d, const char *code, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    // Columns are code points here: what is drawn has one column each.
    size_t n = 0;
    for (int columns = 0; text[n]; n++) {
        if (((unsigned char)text[n] & 0xc0) != 0x80 && ++columns > d->s->columns)
            break;
    }
    (void)buf_addf(d->out, "%s%.*s%s\033[K\n", paint(d->s, code), (int)n, text,
                   code[0] ? paint(d->s, RESET) : "");
    d->lines++;
}

static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// Values scaled to the largest, one column each, at most `width`; what is not known is a '?'.
static void spark(char *dst, size_t cap, const double *values, size_t n, size_t width) {
    double top = 1e-9;
    size_t from = 0, used = 0;
    for (size_t i = from; i < n; i++)
        top = fmax(top, values[i]);
    size_t shown = n < width ? n : width;
    dst[0] = '\0';
    for (size_t i = 0; i < shown; i++) {
        double v = values[i * n / shown];
        int level = isnan(v) ? 0 : (int)ceil(v / top * 8);
        level = level < 0 ? 0 : level > 8 ? 8 : level;
        used += (size_t)snprintf(dst + used, cap - used, "%s", isnan(v) ? "?" : blocks[level]);
        if (used + 4 >= cap)
            break;
    }
}

static void format_rate(char *dst, size_t cap, double per_s) {
    if (isnan(per_s))
        (void)snprintf(dst, cap, "-");
    else
        (void)snprintf(dst, cap, "%.1f", per_s);
}

static void draw_head(struct drawing *d, const struct screen_frame *f) {
    const struct act_view *v = f->view;
    double t_s = v->t_s < 0 ? 0 : v->t_s;
    char latency[3][32], arriving[32], served[32];
    format_rate(arriving, sizeof(arriving), f->arriving);
    format_rate(served, sizeof(served), f->served);
    table_format_ms(latency[0], 32, v->load ? v->load->p50_ms : NAN);
    table_format_ms(latency[1], 32, v->load ? v->load->p95_ms : NAN);
    table_format_ms(latency[2], 32, v->load ? v->load->p99_ms : NAN);
    line(d, BOLD, "gpuscale demo   act %d of %d: %s   %s%.0f of %.0f s   clocks x%g", f->act,
         f->acts, f->label, v->t_s < 0 ? "starts, " : "", t_s > f->act_s ? f->act_s : t_s, f->act_s,
         f->speed);
    line(d, "", "requests   %5s/s arrive  %5s/s served   %u under way  %u held  %lld errors",
         arriving, served, v->gateway.in_flight, v->gateway.held,
         (long long)(v->load ? v->load->errors : 0));
    line(d, "", "latency    p50 %s   p95 %s   p99 %s", latency[0], latency[1], latency[2]);
    line(d, "", "replicas   %d wanted: %d ready, %d starting, %d without a GPU, %d ending", v->spec,
         v->ready, v->starting, v->pending, v->terminating);
    line(d, "", "GPU time   %.1f GPU-s, of these %.1f idle   $%.3f", v->gpu_s, v->idle_gpu_s,
         v->gpu_s / 3600 * f->usd_per_gpu_hour);
}

static void draw_gpu(struct drawing *d, int i, const struct act_gpu *g) {
    double busy;
    char bar[BAR_WIDTH * 3 + 1] = "", figure[16] = "  ?";
    if (gpu_reading_get(&g->reading, GPU_UTILIZATION_PCT, &busy)) {
        (void)snprintf(figure, sizeof(figure), "%3.0f", busy);
        size_t used = 0;
        for (int k = 0; k < BAR_WIDTH; k++)
            used += (size_t)snprintf(bar + used, sizeof(bar) - used, "%s",
                                     busy * BAR_WIDTH / 100 > k + 0.5 ? "█" : "·");
    }
    const char *what = "free", *color = DIM;
    if (g->pod && g->state == ROSTER_STARTING)
        what = "loads", color = YELLOW;
    else if (g->pod && g->state == ROSTER_TERMINATING)
        what = "ends", color = YELLOW;
    else if (g->pod)
        what = g->requests ? "busy" : "idle", color = g->requests ? GREEN : RED;
    line(d, color, "GPU %-2d  %-8s %-6s %s %% %s  %u requests", i, g->pod ? g->pod : "-", what,
         figure, bar, g->requests);
}

static void draw_rule(struct drawing *d, const struct driver_view *v) {
    char text[512];
    size_t n = 0;
    if (!v)
        return;
    line(d, "", "rule       %s", v->rule);
    for (size_t i = 0; i < v->n_signals && n < sizeof(text) - 1; i++) {
        const struct driver_signal *s = &v->signals[i];
        int more = s->known ? snprintf(text + n, sizeof(text) - n, "%s%s %.4g (target %.4g)",
                                       i ? "   " : "", s->name, s->value, s->target)
                            : snprintf(text + n, sizeof(text) - n, "%s%s unknown", i ? "   " : "",
                                       s->name);
        n += more > 0 ? (size_t)more : 0;
    }
    line(d, "", "signals    %s", v->n_signals ? text : "");
}

static void draw_course(struct drawing *d) {
    char text[SCREEN_HISTORY * 3 + 1];
    size_t width = d->s->columns > 12 ? (size_t)(d->s->columns - 11) : 1;
    spark(text, sizeof(text), d->s->arriving, d->s->n_history, width);
    line(d, CYAN, "load       %s", text);
    spark(text, sizeof(text), d->s->replicas, d->s->n_history, width);
    line(d, CYAN, "replicas   %s", text);
}

static void draw_finished(struct drawing *d, const struct screen_frame *f) {
    for (size_t i = 0; i < f->n_finished; i++) {
        const struct table_row *r = &f->finished[i];
        char p95[32];
        table_format_ms(p95, sizeof(p95), r->p95_ms);
        line(d, BOLD, "%-17s %6.1f GPU-s (%.1f idle)  p95 %s  %lld served  %lld errors", r->label,
             r->gpu_s, r->idle_gpu_s, p95, (long long)r->served, (long long)r->errors);
    }
}

int screen_draw(struct screen *s, struct buf *out, const struct screen_frame *f) {
    struct drawing d = {s, out, 0};
    if (s->drawn)
        (void)buf_addf(out, "\033[%dA\r", s->drawn);
    draw_head(&d, f);
    draw_rule(&d, f->view->driver);
    draw_course(&d);
    int room = s->rows ? s->rows - FIXED_LINES - SCREEN_EVENTS - (int)f->n_finished : GPUS_SHOWN;
    room = room > GPUS_SHOWN ? GPUS_SHOWN : room < GPUS_LEAST ? GPUS_LEAST : room;
    int shown = f->view->gpu_n < room ? f->view->gpu_n : room;
    for (int i = 0; i < shown; i++)
        draw_gpu(&d, i, &f->view->gpus[i]);
    if (shown < f->view->gpu_n)
        line(&d, DIM, "...and %d more", f->view->gpu_n - shown);
    for (size_t i = 0; i < s->n_events; i++)
        line(&d, "", "%5.1f s  %s: %s", s->events[i].t_s, s->events[i].who, s->events[i].text);
    for (size_t i = s->n_events; i < SCREEN_EVENTS; i++)
        line(&d, "", "%s", "");
    draw_finished(&d, f);
    if (f->page)
        line(&d, DIM, "The page: %s", f->page);
    (void)buf_addc(out, "\033[J");
    s->drawn = d.lines;
    return out->err;
}

int screen_row(struct screen *s, struct buf *out, const struct screen_frame *f) {
    const struct act_view *v = f->view;
    char p95[32], arriving[32], served[32];
    format_rate(arriving, sizeof(arriving), f->arriving);
    format_rate(served, sizeof(served), f->served);
    if (s->since_heading++ % 20 == 0)
        (void)buf_addc(out, "  time  arrive/s  served/s  under way  held  errors       p95  ready+"
                            "starting/wanted  GPU-s   idle\n");
    table_format_ms(p95, sizeof(p95), v->load ? v->load->p95_ms : NAN);
    (void)buf_addf(out, "%4.0f s  %8s  %8s  %9u  %4u  %6lld  %8s  %6d+%d/%d %18.1f  %5.1f\n",
                   v->t_s, arriving, served, v->gateway.in_flight, v->gateway.held,
                   (long long)(v->load ? v->load->errors : 0), p95, v->ready, v->starting, v->spec,
                   v->gpu_s, v->idle_gpu_s);
    return out->err;
}

int screen_event_line(struct buf *out, double t_s, const char *who, const char *text, int columns) {
    struct str rest = str_from(text);
    int column = 0;
    (void)buf_addf(out, "%4.0f s  %s:", t_s, who);
    column = INDENT + (int)strlen(who);
    while (rest.n) {
        size_t space = 0;
        while (space < rest.n && rest.p[space] != ' ' && rest.p[space] != '\n')
            space++;
        struct str word = {rest.p, space};
        rest.p += space < rest.n ? space + 1 : space;
        rest.n -= space < rest.n ? space + 1 : space;
        if (!word.n)
            continue;
        if (column + 1 + (int)word.n > columns) {
            (void)buf_addf(out, "\n%*s", INDENT - 1, "");
            column = INDENT - 1;
        }
        (void)buf_addf(out, " " STR_FMT, STR_ARG(word));
        column += 1 + (int)word.n;
    }
    (void)buf_add_byte(out, '\n');
    return out->err;
}
