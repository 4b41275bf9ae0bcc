// SPDX-License-Identifier: Apache-2.0
/*
 * A table in so many columns of a terminal: each of its columns as wide as its widest cell, names
 * cut first when that is too much, then whole columns left out, the least important first.
 */
#pragma once

#include "tools/top_text.h"

struct top_cell {
    char text[160];
    struct str name; // instead of `text` where .p is set: borrowed
};

struct top_column {
    const char *title;
    unsigned rank;  // left out first: the highest; 0: never
    unsigned width; // at least so wide (numbers that change should not move their neighbours)
    unsigned least; // may be cut down to so much; 0: not cut
    bool right;
    enum top_cut cut;
    void (*cell)(const void *ctx, size_t row, struct top_cell *ret);
};

enum { TOP_COLUMNS_MAX = 16 };

struct top_table {
    const struct top_column *columns;
    size_t columns_n;
    const void *ctx;
    size_t from, rows; // those that are shown
    bool utf8;
};

// How wide each column is in `width`; 0: left out.
void top_table_fit(const struct top_table *t, size_t width, unsigned ret[TOP_COLUMNS_MAX]);
// Appends one line, without a newline and without blanks at its end; the titles, or a row.
void top_table_titles(struct buf *b, const struct top_table *t,
                      const unsigned widths[TOP_COLUMNS_MAX]);
void top_table_row(struct buf *b, const struct top_table *t, const unsigned widths[TOP_COLUMNS_MAX],
                   size_t row);
