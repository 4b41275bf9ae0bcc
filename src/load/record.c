// SPDX-License-Identifier: Apache-2.0
/* Figures: adding intervals up, rows of the course. */
#include "load/record.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

const char *const load_error_names[] = {"refused",  "reset", "timeout", "status",
                                        "protocol", "tls",   "other",   NULL};

enum { HISTOGRAMS = 5 };

static void histograms_of(struct load_figures *f, struct hdr *ret[HISTOGRAMS]) {
    ret[0] = &f->latency;
    ret[1] = &f->service;
    ret[2] = &f->late;
    ret[3] = &f->first;
    ret[4] = &f->between;
}

static int figures_init(struct load_figures *f, uint64_t longest_ns) {
    struct hdr *all[HISTOGRAMS];
    int r = 0;
    histograms_of(f, all);
    for (int i = 0; i < HISTOGRAMS && r == 0; i++)
        r = hdr_init(all[i], longest_ns);
    return r;
}

static void figures_done(struct load_figures *f) {
    struct hdr *all[HISTOGRAMS];
    histograms_of(f, all);
    for (int i = 0; i < HISTOGRAMS; i++)
        hdr_done(all[i]);
}

static void figures_clear(struct load_figures *f) {
    struct hdr *all[HISTOGRAMS];
    histograms_of(f, all);
    for (int i = 0; i < HISTOGRAMS; i++)
        hdr_clear(all[i]);
    f->counts = (struct load_counts){0};
}

static void counts_add(struct load_counts *to, const struct load_counts *from) {
    to->sent += from->sent;
    to->done += from->done;
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        to->errors[i] += from->errors[i];
    to->waited += from->waited;
    to->opened += from->opened;
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    to->tokens += from->tokens;
    to->answered_tokens += from->answered_tokens;
}

static void figures_add(struct load_figures *to, struct load_figures *from) {
    struct hdr *a[HISTOGRAMS], *b[HISTOGRAMS];
    histograms_of(to, a);
    histograms_of(from, b);
    for (int i = 0; i < HISTOGRAMS; i++)
        hdr_merge(a[i], b[i]);
    counts_add(&to->counts, &from->counts);
}

int load_record_init(struct load_record *r, int64_t longest_ns, int64_t interval_ns, int64_t run_ns,
                     struct err *e) {
    *r = (struct load_record){.interval_ns = interval_ns, .row_ns = interval_ns};
    int64_t most = LIMIT_LOAD_ROWS * interval_ns;
    if (run_ns > most)
        r->row_ns = (run_ns + most - 1) / most * interval_ns;
    r->max_rows = LIMIT_LOAD_ROWS + 2; // the last is a short one
    r->rows = mem_array(r->max_rows, sizeof(*r->rows));
    if (!r->rows || figures_init(&r->now, (uint64_t)longest_ns) < 0 ||
        figures_init(&r->stretch, (uint64_t)longest_ns) < 0 ||
        figures_init(&r->whole, (uint64_t)longest_ns) < 0) {
        load_record_done(r);
        return err_set(e, ERR_NOMEM, "no memory for the figures");
    }
    return 0;
}

void load_record_done(struct load_record *r) {
    figures_done(&r->now);
    figures_done(&r->stretch);
    figures_done(&r->whole);
    mem_free(r->rows);
    r->rows = NULL;
}

void load_record_error(struct load_record *r, enum load_error kind, const char *what) {
    r->now.counts.errors[kind]++;
    if (r->first_errors[kind][0] == '\0')
        (void)snprintf(r->first_errors[kind], sizeof(r->first_errors[kind]), "%s", what);
}

uint64_t load_counts_errors(const struct load_counts *c) {
    uint64_t n = 0;
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        n += c->errors[i];
    return n;
}

static void add_row(struct load_record *r, int64_t at_ns, uint32_t in_flight) {
    struct load_figures *s = &r->stretch;
    if (r->n_rows == r->max_rows || at_ns <= r->row_start_ns)
        return;
    r->rows[r->n_rows++] = (struct load_row){
        .end_s = (double)at_ns / NS_PER_S,
        .seconds = (double)(at_ns - r->row_start_ns) / NS_PER_S,
        .sent = s->counts.sent,
        .done = s->counts.done,
        .errors = load_counts_errors(&s->counts),
        .in_flight = in_flight,
        .count = s->latency.count,
        .p50_ns = hdr_quantile(&s->latency, 500000),
        .p95_ns = hdr_quantile(&s->latency, 950000),
        .p99_ns = hdr_quantile(&s->latency, 990000),
        .max_ns = s->latency.max,
        .first_count = s->first.count,
        .first_p50_ns = hdr_quantile(&s->first, 500000),
        .first_p95_ns = hdr_quantile(&s->first, 950000),
    };
    r->row_start_ns = at_ns;
    figures_clear(s);
}

void load_record_turn(struct load_record *r, int64_t at_ns, uint32_t in_flight, bool last) {
    figures_add(&r->whole, &r->now);
    figures_add(&r->stretch, &r->now);
    figures_clear(&r->now);
    // Intervals end a little late, one more than the other.
    if (last || at_ns - r->row_start_ns >= r->row_ns - r->interval_ns / 2)
        add_row(r, at_ns, in_flight);
}
