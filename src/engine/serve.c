// SPDX-License-Identifier: Apache-2.0
/* The engine's routes. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "engine/answer.h"
#include "engine/engine_internal.h"
#include "net/addr.h"
#include "net/metrics_format.h"

enum { PAGE_MAX = 1 << 20 };

static const char *const not_ready[] = {
    [ENGINE_LOADING] = "the model is being loaded",
    [ENGINE_DRAINING] = "the server is draining",
    [ENGINE_CLOSING] = "the server is draining",
};

static void handle_health(struct http_request *r, void *ctx) {
    const struct engine *m = ctx;
    if (m->state == ENGINE_READY)
        http_request_answer_text(r, 200, "ok");
    else
        http_request_answer(r, &(struct http_answer){.status = 503,
                                                     .content_type = "text/plain; charset=utf-8",
                                                     .extra_headers = "Retry-After: 1\r\n",
                                                     .body = str_from(not_ready[m->state])});
}

static int status_of(int code) {
    return code == ERR_NOTFOUND ? 404 : code == ERR_NOMEM ? 500 : 400;
}

static uint64_t max_tokens(const struct engine *m) {
    return m->plan.profile.kind == STATION_CONTINUOUS ? m->plan.profile.continuous.kv_tokens : 0;
}

static void generate(struct engine *m, struct http_request *r, enum engine_request_kind kind) {
    if (m->state != ENGINE_READY) {
        bool loading = m->state == ENGINE_LOADING;
        m->stats.refused[loading ? ENGINE_REFUSED_LOADING : ENGINE_REFUSED_DRAINING]++;
        engine_refuse(r, 503, not_ready[m->state]);
        return;
    }
    struct engine_request_rules rules = {.model = m->plan.model, .max_tokens = max_tokens(m)};
    struct engine_request q;
    struct err e = {0};
    int rc = engine_request_parse(kind, http_request_body(r), &rules, &q, &e);
    if (rc < 0) {
        m->stats.bad++;
        engine_refuse(r, status_of(rc), e.msg);
        return;
    }
    engine_job_start(m, r, &q);
}

static void handle_completions(struct http_request *r, void *ctx) {
    generate(ctx, r, ENGINE_COMPLETION);
}

static void handle_chat(struct http_request *r, void *ctx) {
    generate(ctx, r, ENGINE_CHAT);
}

static void handle_predict(struct http_request *r, void *ctx) {
    generate(ctx, r, ENGINE_PREDICT);
}

static void handle_models(struct http_request *r, void *ctx) {
    struct engine *m = ctx;
    CLEANUP_BUF struct buf body;
    buf_init(&body, PAGE_MAX);
    engine_answer_models(&body, m->plan.model, (int64_t)m->started_real_s, max_tokens(m));
    http_request_answer(r, &(struct http_answer){.status = body.err ? 500 : 200,
                                                 .content_type = "application/json",
                                                 .body = buf_str(&body)});
}

static void handle_metrics(struct http_request *r, void *ctx) {
    struct engine *m = ctx;
    CLEANUP_BUF struct buf page;
    buf_init(&page, PAGE_MAX);
    struct station_reading reading;
    engine_pump(m);
    station_read(m->station, &reading);
    struct engine_page p = {
        .stats = &m->stats,
        .reading = &reading,
        .model = m->plan.model,
        .kind = m->plan.profile.kind,
        .kv_tokens = max_tokens(m),
        .started_s = m->started_real_s,
        .cpu_s = (double)clock_process_cpu_ns() * 1e-9,
    };
    enum prom_format format = metrics_format(r);
    if (engine_page_write(&p, format, &page) < 0) {
        http_request_answer_text(r, 500, "no memory for the page");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = prom_content_type(format),
                                                 .extra_headers = METRICS_FORMAT_VARY,
                                                 .body = buf_str(&page)});
}

static const struct http_route routes[] = {
    {"POST", "/v1/completions", handle_completions},
    {"POST", "/v1/chat/completions", handle_chat},
    {"POST", "/predict", handle_predict},
    {"GET", "/v1/models", handle_models},
    {"GET", "/metrics", handle_metrics},
    {"GET", "/health", handle_health},
    {"GET", "/ready", handle_health},
    {NULL, NULL, NULL},
};

static size_t word_refusal(char *dst, size_t cap, int status, const char *why) {
    CLEANUP_BUF struct buf body;
    buf_init(&body, cap);
    engine_answer_error(&body, status, str_from(why));
    if (body.len > 0)
        memcpy(dst, body.p, body.len);
    return body.len;
}

static const struct http_refusals refusals = {"application/json", word_refusal};

int engine_serve_start(struct engine *m, const char *listen, struct err *e) {
    struct http_server_options o = {
        .listen = listen,
        .max_connections = LIMIT_ENGINE_CONNECTIONS,
        .routes = routes,
        .refusals = &refusals,
        .ctx = m,
    };
    int r = http_server_open(&m->server, &m->loop, &o, e);
    if (r < 0)
        return r;
    char address[NET_HOST_MAX];
    net_addr_format(http_server_addr(m->server), address, sizeof(address));
    log_info("listening", LOG_STR("server", "http"), LOG_STR("addr", address));
    return 0;
}
