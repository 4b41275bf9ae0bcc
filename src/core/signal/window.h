// SPDX-License-Identifier: Apache-2.0
/*
 * The increase of one counter of one pod over a sliding window. Points are kept as cumulative
 * increases since the window began, so a counter that restarts (shows a smaller value) costs
 * nothing: what it shows now is what it counted since. Memory is fixed: points closer together than
 * an 80th of the history are merged into the newest.
 *
 * Times are monotonic; a point that is not newer than the last is refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SIGNAL_WINDOW_POINTS = 88 };

struct signal_window_point {
    int64_t at_ns;
    double total; // cumulative increase since the window began; with a level it may also fall
};

struct signal_window {
    int64_t anchor_ns; // with `anchored`: for a while before it, the pod counted nothing
    bool anchored;
    uint8_t head, n;   // ring of points, head the oldest
    double raw, level; // as last shown
    struct signal_window_point points[SIGNAL_WINDOW_POINTS];
};

enum signal_rate {
    SIGNAL_RATE_NONE,    // nothing known
    SIGNAL_RATE_PARTIAL, // at least so much: part of the window was not seen
    SIGNAL_RATE_FULL,
};

void signal_window_clear(struct signal_window *w);
// The pod began to serve at `at_ns`, or again: for a while before, it counted nothing.
void signal_window_anchor(struct signal_window *w, int64_t at_ns);

// The counter shows `value` at `at_ns`. `level` is added to what is differenced: the requests in
// the system for a counter of *finished* requests (their increase plus the change of those in the
// system is what arrived), else 0. Points further apart than max_gap_ns are not differenced: the
// window starts anew. history_ns: the longest window that will be asked for.
// False when refused: not newer than the last point, or a value that is negative or not finite.
bool signal_window_add(struct signal_window *w, double value, double level, int64_t at_ns,
                       int64_t max_gap_ns, int64_t history_ns);

// Increase a second over the window_ns before the newest point, never below 0.
//  FULL: the points span the window; or, as the rate over what they span, at least a quarter of it;
//  or the pod began within it (seen from its first quarter window on): then the increase over
//  window_ns, or over served_ns where that is shorter (how long the whole workload has served; not
//  under a quarter). So the sum over old and new pods is the workload's arrivals, however they move
//  between pods. PARTIAL: increase / window_ns, a lower bound.
enum signal_rate signal_window_rate(const struct signal_window *w, int64_t window_ns,
                                    int64_t served_ns, double *ret_per_s);
// Increase after from_ns, as far as it was seen; never below 0. For pods that have left.
double signal_window_since(const struct signal_window *w, int64_t from_ns);
// Where a window that begins at from_ns must begin so that nothing is guessed: there, or at the
// last point before, when from_ns lies in a hole of more than hole_ns between two points. What came
// in a hole is known as a sum, not when.
int64_t signal_window_begin(const struct signal_window *w, int64_t from_ns, int64_t hole_ns);
// Time of the newest point; INT64_MIN: none.
int64_t signal_window_newest(const struct signal_window *w);
