// SPDX-License-Identifier: Apache-2.0
/* For programs: a line an interval, and the whole result (docs/load.md says what each key means).
 */
#include "base/clock.h"
#include "load/result.h"

static void add_count(struct buf *b, const char *key, uint64_t v) {
    (void)buf_addf(b, ",\"%s\":%llu", key, (unsigned long long)v);
}

static void add_number(struct buf *b, const char *key, double v, int decimals) {
    (void)buf_addf(b, ",\"%s\":%.*f", key, decimals, v);
}

static void add_errors(struct buf *b, const struct load_counts *c) {
    (void)buf_addc(b, ",\"errors\":{");
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        (void)buf_addf(b, "%s\"%s\":%llu", i ? "," : "", load_error_names[i],
                       (unsigned long long)c->errors[i]);
    (void)buf_addc(b, "}");
}

static void add_ms(struct buf *b, const struct hdr *h, uint32_t per_million) {
    if (h->count == 0)
        (void)buf_addc(b, "null");
    else
        (void)buf_addf(b, "%.4f", (double)hdr_quantile(h, per_million) / NS_PER_MS);
}

static void add_three(struct buf *b, const char *key, const struct hdr *h) {
    (void)buf_addf(b, ",\"%s\":{\"p50\":", key);
    add_ms(b, h, 500000);
    (void)buf_addc(b, ",\"p95\":");
    add_ms(b, h, 950000);
    (void)buf_addc(b, ",\"p99\":");
    add_ms(b, h, 990000);
    (void)buf_addc(b, "}");
}

void load_write_progress(struct buf *b, const struct load_state *s, bool final) {
    struct load_counts c = load_counts_so_far(s);
    const struct load_figures *f = final ? &s->record.whole : &s->record.now;
    (void)buf_addf(b, "{\"t_s\":%.3f", (double)s->elapsed_ns / NS_PER_S);
    add_count(b, "sent", c.sent);
    add_count(b, "done", c.done);
    add_errors(b, &c);
    add_count(b, "in_flight", s->in_flight);
    add_number(b, "behind_ms", (double)s->behind_ns / NS_PER_MS, 3);
    add_three(b, "latency_ms", &f->latency);
    add_three(b, "ttft_ms", &f->first);
    (void)buf_addc(b, final ? ",\"final\":true}\n" : "}\n");
}

static void add_distribution(struct buf *b, const char *key, const struct hdr *h) {
    static const char *const names[LOAD_PERCENTILES] = {"p50", "p90", "p95", "p99", "p999", "max"};
    (void)buf_addf(b, ",\n\"%s\":", key);
    if (h->count == 0) {
        (void)buf_addc(b, "null");
        return;
    }
    (void)buf_addf(b, "{\"count\":%llu,\"mean\":%.4f,\"min\":%.4f", (unsigned long long)h->count,
                   hdr_mean(h) / NS_PER_MS, (double)h->min / NS_PER_MS);
    for (int i = 0; i < LOAD_PERCENTILES; i++) {
        (void)buf_addf(b, ",\"%s\":", names[i]);
        add_ms(b, h, load_percentiles[i].per_million);
    }
    (void)buf_addc(b, "}");
}

static void add_statuses(struct buf *b, const struct load_record *r) {
    const char *before = "";
    (void)buf_addc(b, ",\n\"statuses\":{");
    for (int i = 0; i < 600; i++)
        if (r->statuses[i] > 0) {
            (void)buf_addf(b, "%s\"%d\":%llu", before, i, (unsigned long long)r->statuses[i]);
            before = ",";
        }
    (void)buf_addc(b, "},\n\"firstErrors\":{");
    before = "";
    for (int i = 0; i < LOAD_ERROR_COUNT; i++)
        if (r->first_errors[i][0]) {
            (void)buf_addf(b, "%s\"%s\":", before, load_error_names[i]);
            (void)buf_add_json(b, str_from(r->first_errors[i]));
            before = ",";
        }
    (void)buf_addc(b, "}");
}

// Share of requests at or below each value: at most some 200 points, dense towards 1.
static void add_curve(struct buf *b, const struct hdr *h) {
    size_t at = 0;
    uint64_t value, count, seen = 0;
    double last = 0;
    const char *before = "";
    (void)buf_addc(b, ",\n\"curve\":[");
    while (hdr_next(h, &at, &value, &count)) {
        seen += count;
        double share = (double)seen / (double)h->count;
        bool end = seen == h->count;
        if (!end && (1 - share) > 0.95 * (1 - last))
            continue;
        (void)buf_addf(b, "%s[%.7f,%.4f]", before, share, (double)value / NS_PER_MS);
        before = ",";
        last = share;
    }
    (void)buf_addc(b, "]");
}

static void add_course(struct buf *b, const struct load_record *r) {
    (void)buf_addc(b, ",\n\"course\":[");
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct load_row *row = &r->rows[i];
        (void)buf_addf(b, "%s\n{\"t_s\":%.3f,\"seconds\":%.3f", i ? "," : "", row->end_s,
                       row->seconds);
        add_count(b, "sent", row->sent);
        add_count(b, "done", row->done);
        add_count(b, "errors", row->errors);
        add_count(b, "in_flight", row->in_flight);
        if (row->count > 0)
            (void)buf_addf(b, ",\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f",
                           (double)row->p50_ns / NS_PER_MS, (double)row->p95_ns / NS_PER_MS,
                           (double)row->p99_ns / NS_PER_MS, (double)row->max_ns / NS_PER_MS);
        if (row->first_count > 0)
            (void)buf_addf(b, ",\"ttft_p50_ms\":%.4f,\"ttft_p95_ms\":%.4f",
                           (double)row->first_p50_ns / NS_PER_MS,
                           (double)row->first_p95_ns / NS_PER_MS);
        (void)buf_addc(b, "}");
    }
    (void)buf_addc(b, "]");
}

static void add_plan(struct buf *b, const struct load_state *s) {
    const struct load_flags *f = s->options->flags;
    char started[32];
    clock_format_utc(s->start_unix_ns, started, sizeof(started));
    (void)buf_addf(b, "{\"version\":1,\"target\":\"%s://%s%s\",\"started\":\"%s\",",
                   s->target->tls ? "https" : "http", s->target->authority, s->target->path,
                   started);
    (void)buf_addc(b, f->replay ? "\"replay\":" : "\"rate\":");
    (void)buf_add_json(b, str_from(f->replay ? f->replay : f->rate));
    if (!f->replay)
        (void)buf_addf(b, ",\"arrivals\":\"%s\"",
                       f->arrivals == LOAD_ARRIVALS_POISSON ? "poisson" : "uniform");
    add_count(b, "seed", (uint64_t)f->seed);
    add_number(b, "planned_s", (double)s->end_ns / NS_PER_S, 3);
    add_number(b, "elapsed_s", (double)s->elapsed_ns / NS_PER_S, 3);
    (void)buf_addf(b, ",\"stopped\":%s", s->stopped ? "true" : "false");
}

void load_write_json(struct buf *b, const struct load_state *s) {
    const struct load_figures *w = &s->record.whole;
    const struct load_counts *c = &w->counts;
    add_plan(b, s);
    add_count(b, "sent", c->sent);
    add_count(b, "done", c->done);
    add_errors(b, c);
    add_count(b, "unfinished", s->unfinished);
    add_count(b, "waitedForConnection", c->waited);
    add_count(b, "connectionsOpened", c->opened);
    add_count(b, "bytesRead", c->bytes_in);
    add_count(b, "bytesWritten", c->bytes_out);
    add_count(b, "events", c->tokens);
    add_count(b, "tokensAnswered", c->answered_tokens);
    add_number(b, "cpu_s", (double)s->cpu_ns / NS_PER_S, 4);
    add_distribution(b, "latency_ms", &w->latency);
    add_distribution(b, "sinceSent_ms", &w->service);
    add_distribution(b, "late_ms", &w->late);
    add_distribution(b, "ttft_ms", &w->first);
    add_distribution(b, "betweenTokens_ms", &w->between);
    add_statuses(b, &s->record);
    add_curve(b, &w->latency);
    add_course(b, &s->record);
    (void)buf_addc(b, "}\n");
}
