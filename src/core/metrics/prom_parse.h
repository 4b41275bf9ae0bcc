// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus text format 0.0.4, read. Bytes in, in any split; borrowed views out, one call a
 * sample. Each sample, label, escape, number and UTF-8 sequence is checked, of every line. The
 * first fault ends the page (strict: half a page would be read as missing series); the error says
 * line, column and what was expected there. No clock, no I/O.
 *
 * Read as Prometheus' own parser reads it (tests/e2e/textparse compares the two): blanks and tabs
 * between tokens, a comma after the last label, `name{...}` and the quoted `{"name",...}`, numbers
 * as Go's ParseFloat without hex and '_'. Stricter: commas between labels, no escapes but \n \" \\,
 * no newline in a label value, no NUL, UTF-8 in comments too, a label once in a series, limits
 * (base/limits.h LIMIT_METRICS_*). Looser: OpenMetrics' exemplars are checked and dropped; # UNIT
 * and # EOF are comments. Types are the page's TYPE lines, which are often wrong: informative only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/metrics/prom.h"

enum { PROM_LABELS_MAX = 64 }; // LIMIT_METRICS_LABELS

struct prom_sample {
    struct str name;                 // with its suffix, as on the line
    const struct prom_label *labels; // in the page's order, which is not stable: compare as a set
    size_t n_labels;
    double value; // may be NaN or infinite
    bool has_timestamp;
    int64_t timestamp_ms;
    enum prom_type type; // of the family whose TYPE line precedes it, else PROM_UNTYPED
    int selected;        // index into the names given to prom_parser_select(), -1 without selection
    uint64_t line;       // 1 = the page's first
};

// All views are valid during the call only. Non-zero ends the page: the parser fails with that code
// (set *e).
typedef int (*prom_sample_fn)(void *ctx, const struct prom_sample *s, struct err *e);

// What kind of fault a page has, for counters and messages; prom_parser_fault().
enum prom_fault {
    PROM_FAULT_NONE,
    PROM_FAULT_SYNTAX,
    PROM_FAULT_TRUNCATED, // the last line has no newline and nothing proves that it is whole
    PROM_FAULT_NOT_TEXT,  // HTML, JSON, binary: the address is not a metrics page
    PROM_FAULT_UTF8,
    PROM_FAULT_LIMIT,
    PROM_FAULT_CALLBACK,
    PROM_FAULT_NOMEM,
};

struct prom_parser {
    prom_sample_fn fn;
    void *ctx;
    const struct str *selected; // borrowed
    size_t n_selected;
    uint64_t selected_lengths; // bit n & 63 for each length n among them

    struct buf carry;   // the unfinished last line of the bytes so far
    struct buf scratch; // unescaped label values of the current line
    struct buf family;  // name of the last TYPE line
    enum prom_type family_type;
    struct buf last_name; // of the last sample line, with what was decided about it:
    enum prom_type last_type;
    int last_selected;

    uint64_t lines, bytes, samples; // so far
    int rc;                         // first failure: sticks
    enum prom_fault fault;
    struct err error;
    struct prom_label labels[PROM_LABELS_MAX];
};

// No memory is taken before the first feed.
void prom_parser_init(struct prom_parser *p, prom_sample_fn fn, void *ctx);
void prom_parser_done(struct prom_parser *p);
void prom_parser_reset(struct prom_parser *p); // ready for another page; keeps memory and selection

// Calls back only for samples with one of these exact names; other lines are checked all the same.
// `names` is borrowed. n = 0 ends the selection.
void prom_parser_select(struct prom_parser *p, const struct str *names, size_t n);

// 0; ERR_PARSE (malformed), ERR_LIMIT, ERR_NOMEM or the callback's code. After a failure every call
// gives the same failure until reset.
int prom_parser_feed(struct prom_parser *p, const char *bytes, size_t n, struct err *e);

// The end of the page. The format demands a newline after the last line. Where it is missing, the
// page may have been cut inside a number (12 of 123): it is refused (PROM_FAULT_TRUNCATED), except
// when `complete` says that the transport proved the end (Content-Length was reached, or the last
// chunk of a chunked body came), as Prometheus does. A body that ends with the connection proves
// nothing: pass false.
int prom_parser_finish(struct prom_parser *p, bool complete, struct err *e);

static inline enum prom_fault prom_parser_fault(const struct prom_parser *p) {
    return p->fault;
}
// "syntax", "truncated", ...: stable lower-case names for metrics labels.
const char *prom_fault_name(enum prom_fault f);

// A number as the format has it (Go's ParseFloat without hex and '_'; correctly rounded):
// 0 or ERR_PARSE. NaN without, Inf and Infinity with or without a sign, in any case. A number too
// large for a double is malformed, one too small is 0.
int prom_parse_double(struct str s, double *ret);
