// SPDX-License-Identifier: Apache-2.0
/* Charts: ranges, ticks, paths. */
#include "report/svg.h"

#include <math.h>
#include <stdint.h>

#include "base/mem.h"

enum { WIDTH = 560, HEIGHT = 300, LEFT = 58, RIGHT = 26, TOP = 44, BOTTOM = 44, TICKS_MAX = 24 };

struct axis {
    enum svg_scale scale;
    double low, high; // in the scale's own measure
    double ticks[TICKS_MAX];
    size_t n_ticks;
};

int svg_add_text(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        const char *entity = s.p[i] == '&'   ? "&amp;"
                             : s.p[i] == '<' ? "&lt;"
                             : s.p[i] == '>' ? "&gt;"
                             : s.p[i] == '"' ? "&quot;"
                                             : NULL;
        (void)(entity ? buf_addc(b, entity) : buf_add_byte(b, s.p[i]));
    }
    return b->err;
}

// A value in its scale's measure; NAN where the scale has no place for it.
static double measure(enum svg_scale scale, double v) {
    switch (scale) {
    case SVG_LINEAR:
        return isfinite(v) ? v : NAN;
    case SVG_LOG:
        return v > 0 && isfinite(v) ? log10(v) : NAN;
    case SVG_NINES:
        return v >= 0 && v < 1 ? -log10(1 - v) : NAN;
    }
    return NAN;
}

static void range_of(const struct svg_chart *c, bool x, struct axis *a) {
    a->scale = x ? c->x_scale : c->y_scale;
    a->low = INFINITY;
    a->high = -INFINITY;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->series[i].n; k++) {
            const struct svg_point *p = &c->series[i].points[k];
            double v = measure(a->scale, x ? p->x : p->y);
            if (isnan(v) || (x && isnan(p->y)))
                continue;
            a->low = fmin(a->low, v);
            a->high = fmax(a->high, v);
        }
    if (x && c->x_max > 0)
        a->high = fmax(a->high, measure(a->scale, c->x_max));
}

static void add_tick(struct axis *a, double v) {
    double m = measure(a->scale, v);
    if (a->n_ticks < TICKS_MAX && m >= a->low - 1e-9 && m <= a->high + 1e-9)
        a->ticks[a->n_ticks++] = v;
}

// Steps of 1, 2 or 5 times a power of ten, about five of them.
static double round_step(double range) {
    double step = pow(10, floor(log10(range / 5)));
    while (range / step > 7)
        step *= range / step > 14 ? 5 : 2;
    return step;
}

static void ticks_linear(struct axis *a, bool widen) {
    if (a->low > 0 || !isfinite(a->low))
        a->low = 0;
    if (!(a->high > a->low))
        a->high = a->low + 1;
    double step = round_step(a->high - a->low);
    if (widen)
        a->high = ceil(a->high / step - 1e-9) * step;
    for (double v = ceil(a->low / step) * step; v <= a->high + step / 1000; v += step)
        add_tick(a, fabs(v) < step / 1000 ? 0 : v);
}

static void ticks_log(struct axis *a) {
    a->low = floor(a->low * 3) / 3;
    a->high = ceil(a->high * 3) / 3;
    if (!(a->high > a->low))
        a->high = a->low + 1;
    bool fine = a->high - a->low <= 2.5;
    for (int decade = (int)floor(a->low); decade <= (int)ceil(a->high); decade++) {
        add_tick(a, pow(10, decade));
        if (fine) {
            add_tick(a, 2 * pow(10, decade));
            add_tick(a, 5 * pow(10, decade));
        }
    }
}

static void ticks_nines(struct axis *a) {
    a->low = 0;
    if (!(a->high > 1))
        a->high = 1;
    add_tick(a, 0);
    add_tick(a, 0.5);
    for (int nines = 1; nines <= 9; nines++)
        add_tick(a, 1 - pow(10, -nines));
}

static void scale_axis(const struct svg_chart *c, bool x, struct axis *a) {
    range_of(c, x, a);
    if (a->scale == SVG_LOG && isfinite(a->low))
        ticks_log(a);
    else if (a->scale == SVG_NINES)
        ticks_nines(a);
    else
        ticks_linear(a, !x);
}

static double at_x(const struct axis *a, double v) {
    return LEFT + (measure(a->scale, v) - a->low) / (a->high - a->low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct axis *a, double v) {
    return HEIGHT - BOTTOM -
           (measure(a->scale, v) - a->low) / (a->high - a->low) * (HEIGHT - TOP - BOTTOM);
}

static void add_tick_label(struct buf *b, const struct axis *a, double v) {
    if (a->scale == SVG_NINES)
        (void)buf_addf(b, "%.*f", v < 0.995 ? 0 : (int)(-log10(1 - v) - 2 + 0.5), 100 * v);
    else
        (void)buf_addf(b, fabs(v) >= 1000 && fabs(v) < 1e9 ? "%.0f" : "%.4g", v);
}

static void add_axes(struct buf *b, const struct svg_chart *c, const struct axis *x,
                     const struct axis *y) {
    for (size_t i = 0; i < y->n_ticks; i++) {
        double at = at_y(y, y->ticks[i]);
        (void)buf_addf(b,
                       "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                       "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
                       LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4);
        add_tick_label(b, y, y->ticks[i]);
        (void)buf_addc(b, "</text>\n");
    }
    for (size_t i = 0; i < x->n_ticks; i++) {
        double at = at_x(x, x->ticks[i]);
        (void)buf_addf(b,
                       "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                       "<text class=\"label\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                       at, at, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4, at, HEIGHT - BOTTOM + 18);
        add_tick_label(b, x, x->ticks[i]);
        (void)buf_addc(b, "</text>\n");
    }
    (void)buf_addf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT,
                   WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    (void)buf_addf(b, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT,
                   HEIGHT - 6);
    (void)svg_add_text(b, str_from(c->x_label));
    (void)buf_addf(b, "</text>\n<text class=\"label\" x=\"4\" y=\"14\">");
    (void)svg_add_text(b, str_from(c->y_label));
    (void)buf_addc(b, "</text>\n");
}

static void add_path(struct buf *b, const struct svg_series *s, const struct axis *x,
                     const struct axis *y) {
    bool pen = false, drawn = false;
    double last_y = 0;
    for (size_t i = 0; i < s->n; i++) {
        double px = measure(x->scale, s->points[i].x), py = measure(y->scale, s->points[i].y);
        if (isnan(px) || isnan(py)) {
            pen = false;
            continue;
        }
        px = at_x(x, s->points[i].x);
        py = at_y(y, s->points[i].y);
        if (!drawn)
            (void)buf_addf(b, "<path class=\"line s%u%s\" d=\"", s->color,
                           s->dashed ? " dashed" : "");
        if (pen && s->stepped)
            (void)buf_addf(b, "L%.1f %.1f", px, last_y);
        // A single point is a dot: a line of no length with round ends.
        (void)buf_addf(b, "%c%.1f %.1f", pen ? 'L' : 'M', px, py);
        if (!pen && (i + 1 == s->n || isnan(measure(y->scale, s->points[i + 1].y))))
            (void)buf_addf(b, "L%.1f %.1f", px, py);
        pen = drawn = true;
        last_y = py;
    }
    if (drawn)
        (void)buf_addc(b, "\"/>\n");
}

static void add_legend(struct buf *b, const struct svg_chart *c) {
    double at = LEFT;
    for (size_t i = 0; i < c->n; i++) {
        const struct svg_series *s = &c->series[i];
        (void)buf_addf(b,
                       "<line class=\"line s%u%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"29\" y2=\"29\"/>"
                       "<text class=\"label\" x=\"%.1f\" y=\"33\">",
                       s->color, s->dashed ? " dashed" : "", at, at + 18, at + 24);
        (void)svg_add_text(b, str_from(s->name));
        (void)buf_addc(b, "</text>\n");
        at += 24 + 6.2 * (double)strlen(s->name) + 12;
    }
}

int svg_write(struct buf *b, const struct svg_chart *c) {
    struct axis x = {0}, y = {0};
    size_t points = 0;
    scale_axis(c, true, &x);
    scale_axis(c, false, &y);
    for (size_t i = 0; i < c->n; i++)
        points += c->series[i].n;
    (void)buf_addf(b, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    (void)svg_add_text(b, str_from(c->title));
    (void)buf_addc(b, "\"><desc>");
    (void)svg_add_text(b, str_from(c->description));
    (void)buf_addc(b, "</desc>\n");
    add_axes(b, c, &x, &y);
    if (points == 0)
        (void)buf_addf(b,
                       "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">"
                       "nothing was measured</text>\n",
                       (LEFT + WIDTH) / 2, HEIGHT / 2);
    add_legend(b, c);
    for (size_t i = c->n; i-- > 0;) // the first is on top
        add_path(b, &c->series[i], &x, &y);
    return buf_addc(b, "</svg>\n") < 0 || b->err ? b->err : 0;
}
