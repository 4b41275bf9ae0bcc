// SPDX-License-Identifier: Apache-2.0
/* The agent's ports: /metrics, the Watch stream's gRPC server, and health. */
#include <fcntl.h>
#include <unistd.h>

#include "agent/agent_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/metrics_format.h"

enum { GRACE_MS = 2000 };

// Resident memory, or 0.
static uint64_t resident_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    unsigned long long pages;
    struct str rest = {text, n > 0 ? (size_t)n : 0};
    str_cut(&rest, ' ');
    if (str_to_u64(str_cut(&rest, ' '), &pages))
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct agent_page_stats page_stats(const struct agent *a) {
    struct agent_watch_stats w = agent_watch_stats(a->watch);
    struct http_server_stats http = http_server_stats(a->metrics);
    struct grpc_server_stats grpc = {0};
    if (a->grpc)
        grpc = grpc_server_stats(a->grpc);
    return (struct agent_page_stats){
        .node = a->node_name,
        .source = a->source_name,
        .dcgm_exporter_found = a->probe && agent_dcgm_probe_answer(a->probe) == AGENT_DCGM_FOUND,
        .kubelet = agent_kubelet_stats(a->kubelet),
        .streams = w.streams,
        .stream_messages = w.messages,
        .stream_skips = w.skips,
        .streams_ended_slow = w.ended_slow,
        .scrapes = a->scrapes,
        .bad_requests = http.bad_requests,
        .tls = {{"metrics", http.handshake_failures, http.certificates_refused,
                 a->metrics_tls ? net_tls_not_after_s(a->metrics_tls) : 0},
                {"grpc", grpc.handshake_failures, grpc.certificates_refused,
                 a->grpc_tls ? net_tls_not_after_s(a->grpc_tls) : 0}},
        .rounds_discarded = a->rounds_discarded,
        .config_ok = a->config_ok,
        .log_lines_lost = log_lost_lines(),
        .cpu_s = (double)clock_process_cpu_ns() / 1e9,
        .start_time_s = (double)(a->started_real_ns / NS_PER_MS) / 1e3,
        .resident_bytes = resident_bytes(),
    };
}

static void answer_metrics(struct http_request *request, void *ctx) {
    struct agent *a = ctx;
    struct agent_page *page = &a->pages[metrics_format(request)];
    int64_t now_ns = clock_mono_ns();
    a->scrapes++;
    if (!agent_page_is_fresh(page, &a->state, &a->page_options, now_ns)) {
        struct agent_page_stats stats = page_stats(a);
        int r = agent_page_render(page, &a->state, &a->page_options, &stats, now_ns);
        if (r) {
            log_error("page of metrics not made", LOG_STR("reason", err_code_name(r)));
            http_request_answer_text(request, 500, "the page could not be made: %s",
                                     err_code_name(r));
            return;
        }
    }
    struct http_answer answer = {
        .status = 200,
        .content_type = prom_content_type(page->format),
        .extra_headers = METRICS_FORMAT_VARY,
        .body = buf_str(&page->text),
    };
    struct str gzip;
    if (http_request_accepts_gzip(request) && agent_page_gzip(page, &gzip) == 0) {
        answer.body = gzip;
        answer.body_gzip = true;
    }
    http_request_answer(request, &answer);
}

static void handle_metrics(struct http_request *request, void *ctx) {
    struct agent *a = ctx;
    if (a->web)
        web_auth_admit(a->web, request, answer_metrics, a);
    else
        answer_metrics(request, a);
}

static void handle_healthz(struct http_request *request, void *ctx) {
    http_request_answer_text(request, 200, "ok");
}

static void handle_readyz(struct http_request *request, void *ctx) {
    const struct agent *a = ctx;
    if (a->stopping)
        http_request_answer_text(request, 503, "shutting down");
    else if (!a->source_open)
        http_request_answer_text(request, 503, "the GPU source is not open yet");
    else if (!a->state.sampled)
        http_request_answer_text(request, 503, "the GPUs were not read yet");
    else
        http_request_answer_text(request, 200, "ok");
}

static const struct http_route metrics_routes[] = {
    {"GET", "/metrics", handle_metrics},
    {0},
};
static const struct http_route health_routes[] = {
    {"GET", "/healthz", handle_healthz},
    {"GET", "/readyz", handle_readyz},
    {0},
};

static void say_listening(const char *server, const struct net_addr *addr, bool tls, bool mutual) {
    char text[128];
    net_addr_format(addr, text, sizeof text);
    log_info("listening", LOG_STR("server", server), LOG_STR("addr", text),
             LOG_STR("tls", mutual ? "mutual"
                            : tls  ? "on"
                                   : "off"));
}

// Who only opened the port and went (a probe) is no line.
static void log_refused(const char *server, const struct net_addr *peer, const struct err *why) {
    char from[NET_HOST_MAX];
    if (why->code != ERR_AUTH && why->code != ERR_PROTO)
        return;
    net_addr_format(peer, from, sizeof from);
    log_warn("client refused", LOG_STR("server", server), LOG_STR("from", from), LOG_ERR(why));
}

static void refused_metrics(void *ctx, const struct net_addr *peer, const struct err *why) {
    log_refused("metrics", peer, why);
}

static void refused_grpc(void *ctx, const struct net_addr *peer, const struct err *why) {
    log_refused("grpc", peer, why);
}

static int load_tls(struct net_tls **ret, const struct agent_tls_config *c, enum net_tls_alpn alpn,
                    struct err *e) {
    struct net_tls_files files = {.cert = c->cert,
                                  .key = c->key,
                                  .ca = c->ca,
                                  .allowed = c->allowed_names.items,
                                  .n_allowed = c->allowed_names.n};
    if (!c->cert)
        return 0; // plain
    return net_tls_new(ret, NET_TLS_SERVER, alpn, &files, e);
}

static int serve_metrics(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    int r;
    if (c->metrics.web_config)
        r = web_auth_open(&a->web, &a->loop, c->metrics.web_config, e);
    else
        r = load_tls(&a->metrics_tls, &c->metrics.tls, NET_TLS_ALPN_HTTP1, e);
    if (a->web)
        a->metrics_tls = web_auth_tls(a->web);
    struct http_server_options o = {
        .listen = c->metrics.listen,
        .tls = a->metrics_tls,
        .max_connections = LIMIT_HTTP_CONNECTIONS,
        .routes = metrics_routes,
        .ctx = a,
        .refused = refused_metrics,
    };
    if (!r)
        r = http_server_open(&a->metrics, &a->loop, &o, e);
    if (r)
        return err_wrap(e, "metrics port");
    say_listening("metrics", http_server_addr(a->metrics), a->metrics_tls,
                  c->metrics.tls.ca || (a->web && web_auth_mutual(a->web)));
    if (a->web && web_auth_has_users(a->web) && !a->metrics_tls)
        log_warn("passwords for /metrics cross the network readable: no tls_server_config",
                 LOG_STR("file", c->metrics.web_config));
    return 0;
}

static int serve_health(struct agent *a, struct err *e) {
    struct http_server_options o = {
        .listen = a->config->config.health.listen,
        .max_connections = LIMIT_HTTP_CONNECTIONS,
        .routes = health_routes,
        .ctx = a,
    };
    if (http_server_open(&a->health, &a->loop, &o, e))
        return err_wrap(e, "health port");
    say_listening("health", http_server_addr(a->health), false, false);
    return 0;
}

static int serve_grpc(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    int r = load_tls(&a->grpc_tls, &c->grpc.tls, NET_TLS_ALPN_H2, e);
    a->services[0] = agent_watch_service(a->watch);
    struct grpc_server_options o = {
        .listen = c->grpc.listen,
        .tls = a->grpc_tls,
        .max_connections = LIMIT_GRPC_AGENT_CONNECTIONS,
        .services = a->services,
        .max_connection_age_ms = (uint32_t)(c->grpc.max_connection_age_ns / NS_PER_MS),
        .refused = refused_grpc,
    };
    if (!r)
        r = grpc_server_open(&a->grpc, &a->loop, &o, e);
    if (r)
        return err_wrap(e, "gRPC port");
    say_listening("grpc", grpc_server_addr(a->grpc), a->grpc_tls, c->grpc.tls.ca);
    return 0;
}

int agent_serve_start(struct agent *a, struct err *e) {
    int r = serve_metrics(a, e);
    if (!r)
        r = serve_health(a, e);
    return r ? r : serve_grpc(a, e);
}

static void on_server_closed(void *ctx) {
}

void agent_serve_stop(struct agent *a) {
    if (a->metrics)
        http_server_close(a->metrics, GRACE_MS, on_server_closed, a);
    web_auth_stop(a->web);
    if (a->health)
        http_server_close(a->health, GRACE_MS, on_server_closed, a);
    if (a->grpc)
        grpc_server_close(a->grpc, GRACE_MS, on_server_closed, a);
    a->metrics = a->health = NULL;
    a->grpc = NULL;
}

void agent_page_options_update(struct agent *a) {
    const struct agent_config *c = &a->config->config;
    bool dcgm = c->metrics.dcgm == AGENT_DCGM_ON;
    if (c->metrics.dcgm == AGENT_DCGM_AUTO)
        dcgm = a->probe && agent_dcgm_probe_answer(a->probe) == AGENT_DCGM_NONE;
    a->page_options = (struct agent_page_options){
        .dcgm = dcgm,
        .classic = c->metrics.classic,
        .own = c->metrics.own,
        .shares = c->pod_processes.on,
        .hostname_label = c->metrics.hostname_label,
        .stale_after_ns = agent_config_stale_after_ns(c),
    };
}
