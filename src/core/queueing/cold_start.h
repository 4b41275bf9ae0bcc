// SPDX-License-Identifier: Apache-2.0
/*
 * How long a new replica takes until it serves: a node that has to be made, an image that has to be
 * pulled, a container that starts, weights that have to be read. Lognormal, as measured ones are;
 * one draw stretches all parts alike, so that the total's median is the sum of the parts and its
 * p90/p50 is the one given.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/random.h"
#include "base/str.h"

enum cold_start_part {
    COLD_START_NODE,      // until a node with a GPU is ready and the pod is bound to it
    COLD_START_IMAGE,     // pull and unpack
    COLD_START_CONTAINER, // device, process, imports
    COLD_START_MODEL,     // weights, compilation, graphs, until it is ready
    COLD_START_PARTS,
};

struct cold_start {
    const char *name, *title, *source;
    double p50_s[COLD_START_PARTS];
    double p90_over_p50; // >= 1; 1: always the same
};

extern const struct cold_start cold_starts[];
extern const unsigned cold_starts_n;

// ERR_NOTFOUND names those there are and the nearest.
int cold_start_find(struct str name, const struct cold_start **ret, struct err *e);
double cold_start_p50_s(const struct cold_start *c); // of the total
// Draws the parts; returns the total in ns. ret_parts_s may be NULL.
int64_t cold_start_draw(const struct cold_start *c, struct random *r,
                        double ret_parts_s[COLD_START_PARTS]);
