// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus text format 0.0.4 or OpenMetrics 1.0.0, written into a struct buf. A family's HELP and
 * TYPE go out with its first sample, so that a family without a known value, or switched off,
 * leaves no trace. NaN is how a caller says "unknown": such a sample is not written (absent, never
 * 0).
 *
 *     struct prom_writer w;
 *     prom_writer_init(&w, &page, PROM_TEXT);
 *     prom_family(&w, "gpuscale_gpu_power_watts", PROM_GAUGE, "Power drawn.");
 *     prom_sample(&w, labels, n_labels, 312.5);
 *     r = prom_writer_end(&w);
 *
 * Failures stick: after the first one nothing more is written, and prom_writer_end() takes back all
 * that this writer wrote (a cut page must not be served). Metric and label names come from code and
 * are asserted; label values and help texts are any bytes, made valid UTF-8 and escaped.
 *
 * Names are those of the text format in both. What OpenMetrics writes otherwise: a counter's family
 * has its name without `_total` (a counter whose name has no `_total` is of type `unknown` there,
 * as client_golang writes it: a parser that is strict refuses the page otherwise), an info's
 * without `_info`; UNIT where the family's name ends with one; le as OpenMetrics' canonical number
 * ("1.0" for "1"); quotes in HELP escaped; `# EOF` at the end. No timestamps, no `_created` (it is
 * not known since when a driver counts).
 */
#pragma once

#include "base/buf.h"
#include "core/metrics/prom.h"

struct histogram;

enum prom_format { PROM_TEXT, PROM_OPENMETRICS, PROM_FORMAT_MAX };
// What the Content-Type header says of a page.
const char *prom_content_type(enum prom_format f);

struct prom_writer {
    struct buf *out;
    enum prom_format format;
    size_t start;     // length of *out at init
    int rc;           // first failure
    const char *name; // the current family; NULL: none or switched off
    const char *help;
    enum prom_type type;
    bool head_written;
};

void prom_writer_init(struct prom_writer *w, struct buf *out, enum prom_format format);
// Ends the page. 0, or ERR_LIMIT or ERR_NOMEM: then *out is as it was at init.
int prom_writer_end(struct prom_writer *w);

// Begins a family. `name` and `help` are borrowed until the next family or the end; help may be
// NULL.
void prom_family(struct prom_writer *w, const char *name, enum prom_type type, const char *help);
// The same; while `on` is false the family's samples are dropped.
void prom_family_if(struct prom_writer *w, bool on, const char *name, enum prom_type type,
                    const char *help);

void prom_sample(struct prom_writer *w, const struct prom_label *labels, size_t n, double value);
void prom_sample_u64(struct prom_writer *w, const struct prom_label *labels, size_t n,
                     uint64_t value);

// For pages on which many families repeat the same labels: encode them once
// ('gpu="0",UUID="GPU-1"', without braces), then write the text. 0, ERR_LIMIT or ERR_NOMEM (*out
// unchanged).
int prom_labels_encode(struct buf *out, const struct prom_label *labels, size_t n);
void prom_sample_text(struct prom_writer *w, struct str labels_text, double value);
// The whole histogram family's series for one label set: _bucket (cumulative, le last), _sum,
// _count.
void prom_sample_histogram(struct prom_writer *w, const struct prom_label *labels, size_t n,
                           const struct histogram *h);
