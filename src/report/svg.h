// SPDX-License-Identifier: Apache-2.0
/*
 * Line charts as SVG, drawn once, without scripts: axes with round ticks, a legend, a name and a
 * description for screen readers. Colours are the page's: lines have the classes s1 to s6, the
 * rest grid, axis and label.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

enum svg_scale {
    SVG_LINEAR, // from 0 unless the least value is negative
    SVG_LOG,    // of values above 0; others are left out
    SVG_NINES,  // shares of 0 to below 1: 90 %, 99 %, 99.9 % are evenly apart
};

struct svg_point {
    double x, y; // y NAN: the line has a gap there
};

struct svg_series {
    const char *name;
    unsigned color; // 1..6
    bool dashed, stepped;
    const struct svg_point *points; // ascending in x
    size_t n;
};

struct svg_chart {
    const char *title, *description;
    const char *x_label, *y_label;
    enum svg_scale x_scale, y_scale;
    double x_max; // 0: as far as the points go
    const struct svg_series *series;
    size_t n;
};

// 0, ERR_LIMIT or ERR_NOMEM of the buffer. A chart without a point says so.
int svg_write(struct buf *b, const struct svg_chart *chart);
// Text with &, <, >, " escaped, for HTML and SVG.
int svg_add_text(struct buf *b, struct str s);
