// SPDX-License-Identifier: Apache-2.0
/*
 * The two HTTP servers: one for people and Prometheus (the page, /metrics, /api/v1/...), one for
 * the kubelet
 * (/healthz, /readyz and nothing else, plain). Both on the io loop, answered from memory.
 */
#include "base/clock.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/metrics_format.h"
#include "scaler/api.h"
#include "scaler/gate.h"
#include "scaler/cluster.h"
#include "scaler/io.h"
#include "scaler/live.h"
#include "scaler/metrics_api.h"
#include "scaler/metrics_page.h"
#include "scaler/refused.h"

enum { METRICS_PAGE_MAX = 64 << 20, MISSING_MAX = 16 << 10, RPC_SILENT_S = 30 };

static void answer_metrics(struct http_request *r, struct io *io, const struct view *view) {
    CLEANUP_BUF struct buf page;
    buf_init(&page, METRICS_PAGE_MAX);
    enum prom_format format = metrics_format(r);
    if (metrics_page_render(io, format, &page) < 0) {
        http_request_answer_text(r, 500, "the page is over its limit or memory is short");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = prom_content_type(format),
                                                 .extra_headers = METRICS_FORMAT_VARY,
                                                 .body = buf_str(&page)});
}

static void handle_metrics(struct http_request *r, void *ctx) {
    gate_metrics(r, ctx, answer_metrics);
}

static void handle_workloads(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_workloads);
}

static void handle_objects(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_objects);
}

static void handle_decisions(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_decisions);
}

static void handle_gpus(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_gpus);
}

static void handle_sources(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_sources);
}

static void handle_replicas(struct http_request *r, void *ctx) {
    gate_status(r, ctx, api_replicas);
}

static void handle_live(struct http_request *r, void *ctx) {
    gate_status(r, ctx, live_feed);
}

static void handle_page(struct http_request *r, void *ctx) {
    gate_status(r, ctx, live_page);
}

static void handle_healthz(struct http_request *r, void *ctx) {
    const struct io *io = ctx;
    int64_t silent_ns = clock_mono_ns() - io->rpc_heard_ns;
    if (silent_ns > RPC_SILENT_S * NS_PER_S)
        http_request_answer_text(r, 503, "the rpc thread has been silent for %d s",
                                 (int)(silent_ns / NS_PER_S));
    else
        http_request_answer_text(r, 200, "ok");
}

static void handle_readyz(struct http_request *r, void *ctx) {
    const struct io *io = ctx;
    CLEANUP_BUF struct buf missing, text;
    buf_init(&missing, MISSING_MAX);
    buf_init(&text, MISSING_MAX + 16);
    bool ready = io_ready(io, clock_mono_ns(), &missing);
    if (ready)
        io_cluster_troubles(io, &missing); // ready all the same: the last state stands
    const char *begin = !ready ? "" : missing.len > 0 ? "ok, but:\n" : "ok";
    (void)buf_addf(&text, "%s" STR_FMT "\n", begin, STR_ARG(str_trim(buf_str(&missing))));
    http_request_answer(r, &(struct http_answer){.status = ready ? 200 : 503,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = buf_str(&text)});
}

static const struct http_route http_routes[] = {
    {"GET", "/metrics", handle_metrics},
    {"GET", "/api/v1/workloads", handle_workloads},
    {"GET", "/api/v1/objects", handle_objects},
    {"GET", "/api/v1/decisions", handle_decisions},
    {"GET", "/api/v1/gpus", handle_gpus},
    {"GET", "/api/v1/sources", handle_sources},
    {"GET", "/api/v1/live", handle_live},
    {"GET", "/", handle_page},
    {"GET", "/api/v1/replicas", handle_replicas},
    {"GET", "/login", gate_login_form},
    {"POST", "/login", gate_login},
    {"POST", "/logout", gate_logout},
    {0},
};

static const struct http_route health_routes[] = {
    {"GET", "/healthz", handle_healthz},
    {"GET", "/readyz", handle_readyz},
    {0},
};

static void refused(void *ctx, const struct net_addr *peer, const struct err *why) {
    scaler_log_refused("http", peer, why);
}

static int open_one(struct io *io, struct http_server **ret, const char *name, const char *listen,
                    struct net_tls *tls, const struct http_route *routes, struct err *e) {
    struct http_server_options o = {.listen = listen,
                                    .tls = tls,
                                    .max_connections = LIMIT_HTTP_CONNECTIONS,
                                    .routes = routes,
                                    .ctx = io,
                                    .refused = refused};
    int rc = http_server_open(ret, &io->loop, &o, e);
    if (rc < 0)
        return err_wrap(e, "%s.listen", name);
    char address[128];
    net_addr_format(http_server_addr(*ret), address, sizeof(address));
    log_info("listening", LOG_STR("server", name), LOG_STR("addr", address),
             LOG_STR("tls", tls ? "on" : "off"));
    return 0;
}

int io_http_start(struct io *io, struct err *e) {
    const struct scaler_config *c = io->config;
    if (c->http.tls.cert != NULL) {
        struct net_tls_files files = config_tls_files(&c->http.tls);
        int rc = net_tls_new(&io->http_tls, NET_TLS_SERVER, NET_TLS_ALPN_HTTP1, &files, e);
        if (rc < 0)
            return err_wrap(e, "http.tls");
    }
    if (io->http_tls == NULL)
        io->http_tls = gate_tls(io->gate);
    int rc = open_one(io, &io->http, "http", c->http.listen, io->http_tls, http_routes, e);
    if (rc == 0)
        rc = open_one(io, &io->health, "health", c->health.listen, NULL, health_routes, e);
    return rc;
}

void io_http_reload(struct io *io) {
    io_metrics_api_reload(io);
    struct err e = {0};
    int rc = 0;
    io->http_tls_checked_ns = clock_mono_ns();
    bool file = io->config->http.web_config != NULL;
    if (file)
        rc = gate_reload(io->gate, &e);
    else if (io->http_tls != NULL)
        rc = net_tls_reload_if_changed(io->http_tls, &e);
    if (rc > 0) {
        log_info(file ? "web-config re-read" : "HTTP certificate re-read");
        if (io->http != NULL)
            http_server_renew(io->http);
    }
    if (rc < 0) {
        io->count.tls_reload_failures++;
        log_error(file ? "web-config not re-read, the version before stays"
                       : "HTTP certificate not re-read, the old one stays",
                  LOG_ERR(&e));
    }
}
