// SPDX-License-Identifier: Apache-2.0
/* Counter windows: a small ring of (time, cumulative increase). */
#include "core/signal/window.h"

#include <math.h>

#include "base/clock.h"

static const struct signal_window_point *point(const struct signal_window *w, unsigned i) {
    return &w->points[(w->head + i) % SIGNAL_WINDOW_POINTS];
}

static void drop_oldest(struct signal_window *w) {
    w->head = (uint8_t)((w->head + 1) % SIGNAL_WINDOW_POINTS);
    w->n--;
}

// The index of the newest point not after `at_ns`, or -1.
static int last_not_after(const struct signal_window *w, int64_t at_ns) {
    int lo = 0, hi = w->n;
    while (lo < hi) { // the first point after at_ns
        int mid = (lo + hi) / 2;
        if (point(w, (unsigned)mid)->at_ns <= at_ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}

void signal_window_clear(struct signal_window *w) {
    w->head = w->n = 0;
    w->anchored = false;
}

void signal_window_anchor(struct signal_window *w, int64_t at_ns) {
    w->anchored = true;
    w->anchor_ns = at_ns;
}

int64_t signal_window_newest(const struct signal_window *w) {
    return w->n ? point(w, w->n - 1u)->at_ns : INT64_MIN;
}

// What was counted since the last point. A smaller value is a counter that began again: all that it
// shows was counted since, and all that is in the system arrived since.
static double increase(const struct signal_window *w, double value, double level) {
    if (value >= w->raw)
        return value - w->raw + (level - w->level);
    return value + level;
}

bool signal_window_add(struct signal_window *w, double value, double level, int64_t at_ns,
                       int64_t max_gap_ns, int64_t history_ns) {
    if (!isfinite(value) || value < 0 || !isfinite(level) || level < 0)
        return false;
    int64_t newest = signal_window_newest(w);
    if (w->n && at_ns <= newest)
        return false;
    if (w->n && at_ns - newest > max_gap_ns) {
        w->n = 0;
        w->anchored &= w->anchor_ns > newest; // it began to serve again after the hole began
    }

    double total = w->n ? point(w, w->n - 1u)->total + increase(w, value, level) : 0;
    w->raw = value;
    w->level = level;
    if (w->n >= 2 && newest - point(w, w->n - 2u)->at_ns < history_ns / 80)
        w->n--; // the newest is too close to the one before: this one replaces it
    while (w->n >= 2 && point(w, 1)->at_ns <= at_ns - history_ns)
        drop_oldest(w);
    if (w->n == SIGNAL_WINDOW_POINTS)
        drop_oldest(w);
    w->points[(w->head + w->n++) % SIGNAL_WINDOW_POINTS] = (struct signal_window_point){at_ns,
                                                                                        total};
    return true;
}

// The cumulative increase at at_ns, linear between points; before the first point, that point's.
static double total_at(const struct signal_window *w, int64_t at_ns) {
    int i = last_not_after(w, at_ns);
    const struct signal_window_point *a = point(w, i < 0 ? 0 : (unsigned)i);
    if (i < 0 || i + 1 == w->n)
        return a->total;
    const struct signal_window_point *b = point(w, (unsigned)i + 1);
    return a->total +
           (b->total - a->total) * (double)(at_ns - a->at_ns) / (double)(b->at_ns - a->at_ns);
}

int64_t signal_window_begin(const struct signal_window *w, int64_t from_ns, int64_t hole_ns) {
    int i = last_not_after(w, from_ns);
    if (i < 0 || i + 1 >= w->n)
        return from_ns;
    int64_t before_ns = point(w, (unsigned)i)->at_ns, after_ns = point(w, (unsigned)i + 1)->at_ns;
    // A pod that began again in the hole counted nothing in it before that: all came after.
    bool began = w->anchored && w->anchor_ns > before_ns && w->anchor_ns <= after_ns;
    return !began && after_ns - before_ns > hole_ns ? before_ns : from_ns;
}

static double per_s(double amount, int64_t ns) {
    return amount > 0 ? amount * (double)NS_PER_S / (double)ns : 0;
}

enum signal_rate signal_window_rate(const struct signal_window *w, int64_t window_ns,
                                    int64_t served_ns, double *ret_per_s) {
    if (w->n < 2)
        return SIGNAL_RATE_NONE;
    const struct signal_window_point *newest = point(w, w->n - 1u);
    const struct signal_window_point *oldest = point(w, 0);
    int64_t from_ns = newest->at_ns - window_ns;
    double amount = newest->total - total_at(w, from_ns);
    int64_t span_ns = newest->at_ns - oldest->at_ns;

    if (oldest->at_ns <= from_ns) {
        *ret_per_s = per_s(amount, window_ns);
        return SIGNAL_RATE_FULL;
    }
    if (w->anchored && w->anchor_ns >= from_ns && oldest->at_ns - w->anchor_ns <= window_ns / 4) {
        int64_t over_ns = served_ns < window_ns ? served_ns : window_ns;
        *ret_per_s = per_s(amount, over_ns > window_ns / 4 ? over_ns : window_ns / 4);
        return SIGNAL_RATE_FULL;
    }
    if (span_ns >= window_ns / 4) {
        *ret_per_s = per_s(amount, span_ns);
        return SIGNAL_RATE_FULL;
    }
    *ret_per_s = per_s(amount, window_ns);
    return SIGNAL_RATE_PARTIAL;
}

double signal_window_since(const struct signal_window *w, int64_t from_ns) {
    if (w->n < 2)
        return 0;
    double amount = point(w, w->n - 1u)->total - total_at(w, from_ns);
    return amount > 0 ? amount : 0;
}
