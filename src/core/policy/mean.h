// SPDX-License-Identifier: Apache-2.0
/*
 * Mean over time of a total that is an interval, over the last window. GPU activity of one second
 * is 0 or 100 for an engine that does one request at a time: the largest of five minutes of such
 * seconds, which the down-window keeps, would ask for twice the replicas. What sizes is the mean,
 * as a rate is one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MEAN_POINTS = 32 };

struct mean_point {
    int64_t at_ns;
    double s;            // seconds taken in since the first point
    double lower, upper; // integrals since then, in units x seconds
};

struct mean {
    uint8_t head, n;
    bool seen;                             // the last call had something
    struct mean_point points[MEAN_POINTS]; // ring, head the oldest
};

// Takes in what the total is at at_ns, so since the last call, and gives the means over window_ns
// or over as much of it as was seen; at first what it is now. Without anything `known`, or with an
// unbounded upper end, the stretch counts nowhere and the interval is given back as it is.
// at_ns does not go back.
void mean_add(struct mean *m, int64_t at_ns, int64_t window_ns, bool known, double *lower,
              double *upper);
