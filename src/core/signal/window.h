// SPDX-License-Identifier: Apache-2.0
/*
 * The increase of one counter of one pod over a sliding window. Points are kept as cumulative
 * increases since the window began, so a counter that restarts (a smaller value) costs nothing:
 * what it shows now is what it counted since. Memory is fixed: points closer together than a 48th
 * of the history are merged into the newest.
 *
 * No clock steps here: times are monotonic and a point that is not newer than the last is refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SIGNAL_WINDOW_POINTS = 64 };

struct signal_window {
    int64_t anchor_ns; // from here on nothing is missing: the pod's start, or the first point
    bool anchored;     // the pod began at anchor_ns: before it, nothing happened
    double raw;        // the counter as last shown
    double total;      // cumulative increase since the first point
    uint16_t head, n;
    struct {
        int64_t at_ns;
        double total;
    } points[SIGNAL_WINDOW_POINTS];
};

enum signal_rate {
    SIGNAL_RATE_NONE,    // nothing known
    SIGNAL_RATE_PARTIAL, // at least `per_s`: part of the window was not seen
    SIGNAL_RATE_FULL,
};

void signal_window_clear(struct signal_window *w);
// The pod began to serve at `at_ns`: before that it counted nothing. Call before the first point.
void signal_window_anchor(struct signal_window *w, int64_t at_ns);

// The counter shows `value` (>= 0, finite; anything else is refused) at `at_ns`. `level` is added
// to what is differenced: the requests in the system for a counter of *finished* requests, 0
// otherwise. False when refused (not newer than the last point). A hole longer than max_gap_ns
// starts the window anew: nothing is differenced across it. history_ns: the longest window asked
// for.
bool signal_window_add(struct signal_window *w, double value, double level, int64_t at_ns,
                       int64_t max_gap_ns, int64_t history_ns);

// Increase a second over the last window_ns before the newest point, never below 0. FULL when the
// points span the window, or the pod is younger than that, or they span a quarter of it at least
// (then it is the rate over what was seen). PARTIAL: increase / window_ns, a lower bound.
enum signal_rate signal_window_rate(const struct signal_window *w, int64_t window_ns,
                                    double *ret_per_s);
// Time of the newest point; INT64_MIN: none.
int64_t signal_window_newest(const struct signal_window *w);
