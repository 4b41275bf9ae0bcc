// SPDX-License-Identifier: Apache-2.0
/* For people: the line while it runs, the table at the end. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "load/result.h"

const struct load_percentile load_percentiles[LOAD_PERCENTILES] = {
    {"p50", 500000}, {"p90", 900000},   {"p95", 950000},
    {"p99", 990000}, {"p99.9", 999000}, {"max", 1000000},
};

struct load_counts load_counts_so_far(const struct load_state *s) {
    const struct load_counts *a = &s->record.whole.counts, *b = &s->record.now.counts;
    struct load_counts c = {.sent = a->sent + b->sent,
                            .done = a->done + b->done,
                            .waited = a->waited + b->waited,
                            .opened = a->opened + b->opened,
                            .bytes_in = a->bytes_in + b->bytes_in,
                            .bytes_out = a->bytes_out + b->bytes_out,
                            .tokens = a->tokens + b->tokens,
                            .answered_tokens = a->answered_tokens + b->answered_tokens};
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        c.errors[i] = a->errors[i] + b->errors[i];
    return c;
}

// Three digits that say something: "0.052", "5.12", "51.2", "512".
static void add_ms(struct buf *b, int width, uint64_t ns) {
    double ms = (double)ns / NS_PER_MS;
    int decimals = ms < 0.9995 ? 3 : ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0;
    (void)buf_addf(b, "%*.*f", width, decimals, ms);
}

static void add_rate(struct buf *b, double rate) {
    (void)buf_addf(b, "%.*f/s", rate < 99.95 ? 1 : 0, rate);
}

void load_write_line(struct buf *b, const struct load_state *s) {
    struct load_counts c = load_counts_so_far(s);
    const struct load_figures *now = &s->record.now;
    double every = (double)s->options->flags->interval_ns / NS_PER_S;
    uint64_t errors = load_counts_errors(&c);
    (void)buf_addf(b, "%.1f/%.1f s  sent ", (double)s->elapsed_ns / NS_PER_S,
                   (double)s->end_ns / NS_PER_S);
    add_rate(b, (double)now->counts.sent / every);
    (void)buf_addc(b, " done ");
    add_rate(b, (double)now->counts.done / every);
    (void)buf_addf(b, "  in flight %u", s->in_flight);
    if (now->latency.count > 0) {
        (void)buf_addc(b, "  p50 ");
        add_ms(b, 0, hdr_quantile(&now->latency, 500000));
        (void)buf_addc(b, " p99 ");
        add_ms(b, 0, hdr_quantile(&now->latency, 990000));
        (void)buf_addc(b, " ms");
    }
    if (errors > 0)
        (void)buf_addf(b, "  errors %llu", (unsigned long long)errors);
    if (s->behind_ns > 0) {
        (void)buf_addc(b, "  waits ");
        add_ms(b, 0, (uint64_t)s->behind_ns);
        (void)buf_addc(b, " ms for a connection");
    }
}

void load_write_plan(struct buf *b, const struct load_state *s) {
    const struct load_flags *f = s->options->flags;
    if (f->replay)
        (void)buf_addf(b, "replay of %s%s", f->replay, f->speed == 1 ? "" : ", speed ");
    if (f->replay && f->speed != 1)
        (void)buf_add_double(b, f->speed);
    if (!f->replay)
        (void)buf_addf(b, "rate %s, %s arrivals", f->rate,
                       f->arrivals == LOAD_ARRIVALS_POISSON ? "Poisson" : "uniform");
    if (s->options->openai && s->options->lengths.prompt)
        (void)buf_addf(b, ", %u:%u tokens%s", s->options->lengths.prompt,
                       s->options->lengths.output, s->options->lengths.fixed ? "" : " in the mean");
    (void)buf_addf(b, ", seed %lld", (long long)f->seed);
}

static void add_row(struct buf *b, const char *name, const struct hdr *h) {
    if (h->count == 0)
        return;
    (void)buf_addf(b, "  %-22s", name);
    for (size_t i = 0; i < LOAD_PERCENTILES; i++)
        add_ms(b, 9, hdr_quantile(h, load_percentiles[i].per_million));
    add_ms(b, 9, (uint64_t)(hdr_mean(h) + 0.5));
    (void)buf_addc(b, "\n");
}

static void add_percentiles(struct buf *b, const struct load_figures *f) {
    if (f->late.count == 0)
        return;
    (void)buf_addc(b, "\nMilliseconds            ");
    for (size_t i = 0; i < LOAD_PERCENTILES; i++)
        (void)buf_addf(b, "%9s", load_percentiles[i].name);
    (void)buf_addf(b, "%9s\n", "mean");
    add_row(b, "latency", &f->latency);
    add_row(b, "  since it really left", &f->service);
    add_row(b, "first token", &f->first);
    add_row(b, "between tokens", &f->between);
    add_row(b, "sent late by", &f->late);
    if (f->latency.count > 0)
        (void)buf_addc(b, "Latency counts from the time at which a request was meant to leave to "
                          "the last byte of its answer,\nfor answers with 200 to 399.\n");
}

static void add_statuses(struct buf *b, const struct load_record *r) {
    const char *before = " (";
    for (int i = 400; i < 600; i++)
        if (r->statuses[i] > 0) {
            (void)buf_addf(b, "%s%d: %llu", before, i, (unsigned long long)r->statuses[i]);
            before = ", ";
        }
    (void)buf_addc(b, ")");
}

static void add_errors(struct buf *b, const struct load_record *r) {
    const struct load_counts *c = &r->whole.counts;
    uint64_t all = load_counts_errors(c);
    if (all == 0)
        return;
    (void)buf_addc(b, "\nErrors\n");
    for (int i = 0; i < LOAD_ERROR_COUNT; i++) {
        if (c->errors[i] == 0)
            continue;
        (void)buf_addf(b, "  %-10s %9llu", load_error_names[i], (unsigned long long)c->errors[i]);
        if (i == LOAD_ERROR_STATUS)
            add_statuses(b, r);
        else
            (void)buf_addf(b, "  first: %s", r->first_errors[i]);
        (void)buf_addc(b, "\n");
    }
}

// What a reader must know before trusting the figures.
static void add_remarks(struct buf *b, const struct load_state *s) {
    const struct load_figures *f = &s->record.whole;
    uint64_t late = hdr_quantile(&f->late, 990000);
    double cpu = s->elapsed_ns ? (double)s->cpu_ns / (double)s->elapsed_ns : 0;
    if (s->stopped)
        (void)buf_addf(b,
                       "\nStopped by a signal: %llu requests were still in flight and count "
                       "nowhere.\n",
                       (unsigned long long)s->unfinished);
    if (f->counts.waited > 0)
        (void)buf_addf(b,
                       "\n%llu requests found none of %lld connections free and waited; the wait "
                       "is in their latency.\n--connections raises the limit.\n",
                       (unsigned long long)f->counts.waited,
                       (long long)s->options->flags->connections);
    else if (late > 10 * NS_PER_MS)
        (void)buf_addf(b,
                       "\n1 %% of the requests left more than %.0f ms late: this machine, not the "
                       "target, is slow\n(this program used %.0f %% of a core), or connections "
                       "took long to open.\n",
                       (double)late / NS_PER_MS, 100 * cpu);
    uint64_t redirects = 0;
    for (int i = 300; i < 400; i++)
        redirects += s->record.statuses[i];
    if (redirects > 0)
        (void)buf_addf(b, "\n%llu answers were redirects (3xx), which are not followed.\n",
                       (unsigned long long)redirects);
}

void load_write_table(struct buf *b, const struct load_state *s) {
    const struct load_counts *c = &s->record.whole.counts;
    uint64_t errors = load_counts_errors(c);
    double seconds = (double)s->elapsed_ns / NS_PER_S;
    char in[32], out[32];
    (void)buf_addf(b, "%s://%s%s\n", s->target->tls ? "https" : "http", s->target->authority,
                   s->target->path);
    load_write_plan(b, s);
    (void)buf_addf(b, "\n\nRequests   sent %llu, answered %llu, errors %llu",
                   (unsigned long long)c->sent, (unsigned long long)c->done,
                   (unsigned long long)errors);
    if (errors > 0)
        (void)buf_addf(b, " (%.2f %%)", 100.0 * (double)errors / (double)(errors + c->done));
    (void)buf_addf(b, "\nIn %.1f s   ", seconds);
    add_rate(b, (double)c->sent / seconds);
    (void)buf_addc(b, " sent, ");
    add_rate(b, (double)c->done / seconds);
    (void)buf_addc(b, " answered");
    if (c->tokens > 0)
        (void)buf_addf(b, ", %.0f events/s", (double)c->tokens / seconds);
    else if (c->answered_tokens > 0)
        (void)buf_addf(b, ", %.0f tokens/s", (double)c->answered_tokens / seconds);
    units_format_bytes(c->bytes_in, in, sizeof(in));
    units_format_bytes(c->bytes_out, out, sizeof(out));
    (void)buf_addf(b, "; %s read, %s written, %llu connections opened\n", in, out,
                   (unsigned long long)c->opened);
    add_percentiles(b, &s->record.whole);
    add_errors(b, &s->record);
    add_remarks(b, s);
}
