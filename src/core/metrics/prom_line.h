// SPDX-License-Identifier: Apache-2.0
/*
 * The grammar of one line of Prometheus text; inside this folder only. A line is given with its
 * newline, which is the sentinel that ends every scan.
 */
#pragma once

#include "core/metrics/prom_parse.h"

// The bytes that may be read: whole lines, free of NUL, valid UTF-8; end[-1] is '\n'.
struct prom_line {
    struct prom_parser *pp;
    const char *start; // of the line
    const char *end;   // of the bytes, at or behind the line's newline
    bool scratch_ready;
    // The sample line before this one among these bytes left its name in s.name (where it was not
    // in quotes) and so many labels in pp->labels: most lines repeat them.
    bool has_previous, plain_name;
    size_t previous_labels;
    struct prom_sample s;
};

// Reads the line at `start`, calls back for a sample. Returns the first byte after its newline,
// NULL on failure (told by prom_fail_*).
const char *prom_line_read(struct prom_line *ln);

// Reads `name{labels}` at p into ln->s.name, ln->pp->labels and ln->s.n_labels. Past it, or NULL.
const char *prom_series_read(struct prom_line *ln, const char *p);

// Scans a number: past it (and *ret set), or NULL when there is none or it does not fit a double.
// `p` must end in a byte that is no part of a number.
const char *prom_number_scan(const char *p, double *ret);

// Sticks a failure of the current line: "line N, column M: expected ..., got ..."; without the line
// where there is but one (a parser without a callback).
void prom_fail_syntax(struct prom_line *ln, const char *at, const char *expected);
void prom_fail(struct prom_parser *pp, enum prom_fault fault, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static inline bool prom_is_blank(char c) {
    return c == ' ' || c == '\t';
}
