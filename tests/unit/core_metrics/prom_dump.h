// SPDX-License-Identifier: Apache-2.0
/* Parses a page in pieces and writes down what came out, one line a sample, for comparison. */
#pragma once

#include <math.h>

#include "unit.h"

#include "core/metrics/prom_parse.h"

struct dump {
    char text[1 << 16];
    size_t n;
    size_t samples;
};

static const char *const dump_types[] = {"untyped", "counter", "gauge", "histogram", "summary"};

static inline void dump_add(struct dump *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void dump_add(struct dump *d, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(d->text + d->n, sizeof(d->text) - d->n, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof(d->text) - d->n);
    d->n += (size_t)n;
}

// type name[label=value][...] number [@timestamp]
static inline int dump_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct dump *d = ctx;
    (void)e;
    d->samples++;
    dump_add(d, "%s " STR_FMT, dump_types[s->type], STR_ARG(s->name));
    for (size_t i = 0; i < s->n_labels; i++)
        dump_add(d, "[" STR_FMT "=" STR_FMT "]", STR_ARG(s->labels[i].name),
                 STR_ARG(s->labels[i].value));
    if (isnan(s->value))
        dump_add(d, " nan");
    else
        dump_add(d, " %.17g", s->value);
    if (s->has_timestamp)
        dump_add(d, " @%" PRId64, s->timestamp_ms);
    dump_add(d, "\n");
    return 0;
}

// Feeds page[0..n) cut at `cut` and after each `step` bytes from there; returns the parser's code.
static inline int dump_page(struct dump *d, const char *page, size_t n, size_t cut, size_t step,
                            bool complete, struct err *e) {
    struct prom_parser p;
    int r = 0;
    d->n = d->samples = 0;
    d->text[0] = '\0';
    prom_parser_init(&p, dump_sample, d);
    if (cut)
        r = prom_parser_feed(&p, page, cut, e);
    for (size_t i = cut; i < n && r == 0; i += step)
        r = prom_parser_feed(&p, page + i, n - i < step ? n - i : step, e);
    if (r == 0)
        r = prom_parser_finish(&p, complete, e);
    prom_parser_done(&p);
    return r;
}

// A page whose bytes are in a block of their own, so that a sanitizer sees a read past the end.
static inline char *exact_copy(const char *p, size_t n) {
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, p, n);
    return copy;
}
