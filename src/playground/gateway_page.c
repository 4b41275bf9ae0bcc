// SPDX-License-Identifier: Apache-2.0
/* What the gateway says by itself: its counters, its health, its errors. */
#include <stdio.h>

#include "base/mem.h"
#include "core/metrics/prom_write.h"
#include "playground/gateway_internal.h"

static const char *const error_names[GATEWAY_ERRORS] = {
    [GATEWAY_HOLD_FULL] = "hold_full",
    [GATEWAY_HOLD_TIMEOUT] = "hold_timeout",
    [GATEWAY_BUSY] = "busy",
    [GATEWAY_FAILED] = "failed",
    [GATEWAY_CUT] = "cut",
    [GATEWAY_TIMEOUT] = "timeout",
    [GATEWAY_GONE] = "gone",
};

static const char *const retry_names[GATEWAY_RETRIES] = {
    [GATEWAY_RETRY_REFUSED] = "refused",
    [GATEWAY_RETRY_RESET] = "reset",
    [GATEWAY_RETRY_GARBAGE] = "garbage",
    [GATEWAY_RETRY_BUSY] = "busy",
};

const char *gateway_error_name(enum gateway_error e) {
    return error_names[e];
}

static size_t word_error(char *dst, size_t cap, int status, const char *type, const char *why) {
    int n = snprintf(dst, cap, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"code\":%d}}\n",
                     why, type, status);
    return n < 0 ? 0 : (size_t)n;
}

// The codec's reasons are its own words: nothing to escape.
static size_t word_refusal(char *dst, size_t cap, int status, const char *why) {
    return word_error(dst, cap, status, "invalid_request_error", why);
}

const struct http_refusals gateway_refusals = {"application/json", word_refusal};

void gateway_answer_error(struct http_request *r, int status, const char *type, const char *why) {
    char text[512];
    size_t n = word_error(text, sizeof(text), status, type, why);
    http_request_answer(
        r, &(struct http_answer){.status = status,
                                 .content_type = "application/json",
                                 .extra_headers = status == 503 ? "Retry-After: 1\r\n" : NULL,
                                 .body = {text, n < sizeof(text) ? n : sizeof(text) - 1}});
}

void gateway_health(struct http_request *r, void *ctx) {
    (void)ctx;
    http_request_answer_text(r, 200, "ok");
}

static struct prom_label label(const char *name, const char *value) {
    return (struct prom_label){str_from(name), str_from(value)};
}

static void write_counters(struct prom_writer *w, const struct gateway *g,
                           const struct gateway_stats *s) {
    struct prom_label labels[2] = {label("service", g->service)};
    static const char *const classes[6] = {"", "1xx", "2xx", "3xx", "4xx", "5xx"};
    prom_family(w, "gateway_requests_total", PROM_COUNTER, "Requests that arrived.");
    prom_sample_u64(w, labels, 1, s->arrived);
    prom_family(w, "gateway_requests_held", PROM_GAUGE, "Requests that wait for a ready replica.");
    prom_sample_u64(w, labels, 1, s->held);
    prom_family(w, "gateway_requests_active", PROM_GAUGE, "Requests at a replica.");
    prom_sample_u64(w, labels, 1, s->in_flight);
    prom_family(w, "gateway_answers_total", PROM_COUNTER,
                "Answers of replicas that were passed on whole, by status class.");
    for (unsigned i = 1; i < COUNT_OF(classes); i++) {
        labels[1] = label("code", classes[i]);
        prom_sample_u64(w, labels, 2, s->answered[i]);
    }
    prom_family(w, "gateway_errors_total", PROM_COUNTER, "Requests without a good answer, by why.");
    for (unsigned i = 0; i < GATEWAY_ERRORS; i++) {
        labels[1] = label("kind", error_names[i]);
        prom_sample_u64(w, labels, 2, s->errors[i]);
    }
    prom_family(w, "gateway_retries_total", PROM_COUNTER,
                "Requests sent to another replica, by what the one before did.");
    for (unsigned i = 0; i < GATEWAY_RETRIES; i++) {
        labels[1] = label("reason", retry_names[i]);
        prom_sample_u64(w, labels, 2, s->retries[i]);
    }
    prom_family(w, "gateway_request_duration_seconds", PROM_HISTOGRAM,
                "From arrival to the end of a replica's answer.");
    prom_sample_histogram(w, labels, 1, &s->seconds);
}

static void write_replicas(struct prom_writer *w, const struct gateway *g) {
    struct prom_label labels[2] = {label("service", g->service)};
    prom_family(w, "gateway_replica_requests", PROM_GAUGE, "Requests at each replica.");
    for (unsigned i = 0; i < g->n_replicas; i++) {
        const struct gateway_replica *r = g->replicas[i];
        labels[1] = label("replica", r->name);
        if (!r->removed)
            prom_sample_u64(w, labels, 2, r->requests);
    }
}

void gateway_page(struct http_request *r, void *ctx) {
    const struct gateway *g = ctx;
    struct gateway_stats stats = gateway_stats(g);
    struct prom_writer w;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    prom_writer_init(&w, &b, PROM_TEXT);
    write_counters(&w, g, &stats);
    write_replicas(&w, g);
    if (prom_writer_end(&w) < 0) {
        http_request_answer_text(r, 500, "the page does not fit");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = prom_content_type(PROM_TEXT),
                                                 .body = buf_str(&b)});
}
