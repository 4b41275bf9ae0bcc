// SPDX-License-Identifier: Apache-2.0
/* Fitting and writing of tables; see the header. */
#include "tools/top_table.h"

#include <assert.h>

static struct str text_of(const struct top_cell *c) {
    return c->name.p != NULL ? c->name : str_from(c->text);
}

static unsigned natural(const struct top_table *t, const struct top_column *c) {
    size_t most = strlen(c->title) > c->width ? strlen(c->title) : c->width;
    for (size_t i = 0; i < t->rows; i++) {
        struct top_cell cell = {0};
        c->cell(t->ctx, t->from + i, &cell);
        size_t w = top_text_width(text_of(&cell), t->utf8);
        most = w > most ? w : most;
    }
    return (unsigned)most;
}

static size_t sum(const struct top_table *t, const unsigned *widths) {
    size_t total = 0;
    for (size_t i = 0; i < t->columns_n; i++)
        total += widths[i] > 0 ? widths[i] + 1 : 0; // and a blank
    return total > 0 ? total - 1 : 0;
}

// The widest column that may still be cut; -1: none.
static int to_cut(const struct top_table *t, const unsigned *widths) {
    int best = -1;
    for (size_t i = 0; i < t->columns_n; i++)
        if (t->columns[i].least > 0 && widths[i] > t->columns[i].least &&
            (best < 0 || widths[i] > widths[best]))
            best = (int)i;
    return best;
}

static int to_drop(const struct top_table *t, const unsigned *widths) {
    int best = -1;
    for (size_t i = 0; i < t->columns_n; i++)
        if (t->columns[i].rank > 0 && widths[i] > 0 &&
            (best < 0 || t->columns[i].rank > t->columns[best].rank))
            best = (int)i;
    return best;
}

void top_table_fit(const struct top_table *t, size_t width, unsigned ret[TOP_COLUMNS_MAX]) {
    unsigned whole[TOP_COLUMNS_MAX] = {0};
    assert(t->columns_n <= TOP_COLUMNS_MAX);
    for (size_t i = 0; i < t->columns_n; i++)
        whole[i] = natural(t, &t->columns[i]);
    for (;;) {
        memcpy(ret, whole, sizeof(whole));
        int i;
        while (sum(t, ret) > width && (i = to_cut(t, ret)) >= 0)
            ret[i]--;
        if (sum(t, ret) <= width || (i = to_drop(t, ret)) < 0)
            return;
        whole[i] = 0;
    }
}

static void pad(struct buf *b, size_t n) {
    while (n-- > 0)
        (void)buf_add_byte(b, ' ');
}

static void add_cell(struct buf *b, const struct top_column *c, struct str text, unsigned width,
                     bool utf8) {
    size_t w = top_text_width(text, utf8);
    if (c->right && w < width)
        pad(b, width - w);
    size_t done = top_text_add(b, text, width, c->cut, utf8);
    if (!c->right && done < width)
        pad(b, width - done);
}

static void trim(struct buf *b, size_t start) {
    while (b->len > start && b->p[b->len - 1] == ' ')
        buf_truncate(b, b->len - 1);
}

static void add_line(struct buf *b, const struct top_table *t, const unsigned *widths, size_t row,
                     bool titles) {
    size_t start = b->len;
    bool first = true;
    for (size_t i = 0; i < t->columns_n; i++) {
        const struct top_column *c = &t->columns[i];
        struct top_cell cell = {0};
        if (widths[i] == 0)
            continue;
        if (!first)
            (void)buf_add_byte(b, ' ');
        first = false;
        if (titles)
            cell.name = str_from(c->title);
        else
            c->cell(t->ctx, row, &cell);
        add_cell(b, c, text_of(&cell), widths[i], t->utf8);
    }
    trim(b, start);
}

void top_table_titles(struct buf *b, const struct top_table *t,
                      const unsigned widths[TOP_COLUMNS_MAX]) {
    add_line(b, t, widths, 0, true);
}

void top_table_row(struct buf *b, const struct top_table *t, const unsigned widths[TOP_COLUMNS_MAX],
                   size_t row) {
    add_line(b, t, widths, row, false);
}
