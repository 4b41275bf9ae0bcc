// SPDX-License-Identifier: Apache-2.0
/*
 * What `gpuscale top` shows: rows in, the bytes of a frame out. Pure; what a terminal is told
 * beside the text (where to write, what to erase) is top_term.c's.
 */
#pragma once

#include "base/buf.h"
#include "tools/top_model.h"

struct top_screen {
    unsigned width, height; // height 0: as many lines as there are rows
    bool utf8, color;
    bool paused, help;
    bool typing; // the filter is being typed
    struct top_choice choice;
    size_t scroll;       // first row shown; brought into range by top_frame()
    const char *server;  // where the data comes from
    const char *trouble; // why there is nothing newer; NULL: all is well
    double age_s;        // of the data; NAN: there is none yet
    const char *when;    // "12:00:01"
    bool priced;         // some price was given
};

// Appends a frame: at most `height` lines of at most `width` columns, each ended with '\n' save the
// last; and the number of rows that the body shows (a page) into *ret_page. ERR_NOMEM, ERR_LIMIT.
int top_frame(struct buf *b, const struct top_snapshot *s, struct top_screen *screen,
              size_t *ret_page);
// The titles and rows alone, of one view (--once).
int top_body(struct buf *b, const struct top_snapshot *s, const struct top_screen *screen);
// The line that sums up all GPUs.
void top_sum_line(struct buf *b, const struct top_snapshot *s, const struct top_screen *screen);
