// SPDX-License-Identifier: Apache-2.0
/* What the agent looks after while it runs: its configuration file, its certificates, a stall. */
#include "agent/agent_internal.h"
#include "agent/trim.h"
#include "base/clock.h"
#include "base/log.h"

enum { TLS_EVERY = 5 }; // upkeeps, of 2 s each

static void on_dcgm(void *ctx, enum agent_dcgm_answer answer) {
    struct agent *a = ctx;
    if (answer == AGENT_DCGM_FOUND)
        log_info("a dcgm-exporter answers: DCGM series are left to it",
                 LOG_STR("address", a->config->config.metrics.dcgm_exporter));
    agent_page_options_update(a);
}

int agent_probe_restart(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    a->probe = agent_dcgm_probe_stop(a->probe);
    if (c->metrics.dcgm != AGENT_DCGM_AUTO)
        return 0;
    return agent_dcgm_probe_start(&a->probe, &a->loop, c->metrics.dcgm_exporter, on_dcgm, a, e);
}

static void take_owners(struct agent *a, struct agent_owners *owners) {
    agent_owners_done(&a->owners);
    a->owners = *owners;
    if (agent_state_set_owners(&a->state, &a->owners))
        log_error("owners not assigned", LOG_STR("reason", "no memory"));
}

static bool on_kubelet(void *ctx, struct agent_owners *owners) {
    struct agent *a = ctx;
    uint64_t version = a->state.version;
    take_owners(a, owners);
    bool news = a->state.version != version;
    if (news)
        agent_watch_tell(a->watch);
    return news;
}

int agent_kubelet_restart(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    a->kubelet = agent_kubelet_stop(a->kubelet);
    if (!agent_config_asks_kubelet(c))
        return 0;
    struct agent_kubelet_options o = {
        .socket = c->pod_resources.socket,
        .may_be_absent = c->pod_resources.mode == AGENT_KUBELET_AUTO,
        .interval_ns = c->pod_resources.interval_ns,
        .max_age_ns = agent_config_owners_max_age_ns(c),
        .believed = on_kubelet,
        .ctx = a,
    };
    return agent_kubelet_start(&a->kubelet, &a->loop, &o, e);
}

static bool kubelet_differs(const struct agent_config *a, const struct agent_config *b) {
    return agent_config_asks_kubelet(a) != agent_config_asks_kubelet(b) ||
           a->pod_resources.mode != b->pod_resources.mode ||
           strcmp(a->pod_resources.socket, b->pod_resources.socket) != 0 ||
           a->pod_resources.interval_ns != b->pod_resources.interval_ns ||
           a->pod_resources.max_age_ns != b->pod_resources.max_age_ns;
}

static void apply(struct agent *a, struct agent_config_file *fresh) {
    const char *restart = agent_config_needs_restart(&a->config->config, &fresh->config);
    struct agent_owners owners;
    struct err e = {0};
    if (agent_config_owners(&fresh->config, &owners, &e)) {
        log_error("configuration not reloaded", LOG_ERR(&e));
        a->config_ok = false;
        agent_config_free(fresh);
        return;
    }
    if (restart)
        log_warn("a changed key takes effect at the next start", LOG_STR("key", restart));
    struct agent_config_file *old = a->config;
    bool kubelet_changed = kubelet_differs(&old->config, &fresh->config);
    // While the kubelet is asked as before, what it said holds; the file names nobody then.
    if (a->kubelet && !kubelet_changed)
        agent_owners_done(&owners);
    else
        take_owners(a, &owners);
    bool probe_changed = old->config.metrics.dcgm != fresh->config.metrics.dcgm ||
                         strcmp(old->config.metrics.dcgm_exporter,
                                fresh->config.metrics.dcgm_exporter) != 0;
    a->config = fresh;
    a->config_ok = true;
    log_setup(2, fresh->config.log.format, fresh->config.log.level, "gpuscale-agent");
    if (probe_changed && agent_probe_restart(a, &e))
        log_error("dcgm-exporter is not looked for", LOG_ERR(&e));
    if (kubelet_changed && agent_kubelet_restart(a, &e))
        log_error("the kubelet is not asked", LOG_ERR(&e));
    agent_page_options_update(a);
    agent_watch_tell(a->watch);
    log_info("configuration reloaded", LOG_I64("pods", fresh->config.pods.n));
    agent_config_free(old);
}

static void reload_tls(struct net_tls *tls, const char *server) {
    struct err e = {0};
    if (!tls)
        return;
    int r = net_tls_reload_if_changed(tls, &e);
    if (r > 0)
        log_info("certificate reloaded", LOG_STR("server", server),
                 LOG_I64("not_after_s", net_tls_not_after_s(tls)));
    else if (r < 0)
        log_error("certificate not reloaded, the one before stays", LOG_STR("server", server),
                  LOG_ERR(&e));
}

static void reload_metrics(struct agent *a) {
    struct err e = {0};
    const char *file = a->config->config.metrics.web_config;
    if (!a->web) {
        reload_tls(a->metrics_tls, "metrics");
        return;
    }
    int r = web_auth_reload(a->web, &e);
    if (r > 0) {
        log_info("web-config reloaded", LOG_STR("file", file));
        if (a->metrics)
            http_server_renew(a->metrics);
    } else if (r < 0) {
        log_error("web-config not reloaded, the version before stays", LOG_ERR(&e));
    }
}

void agent_reload(struct agent *a) {
    struct agent_config_file *fresh;
    struct err e = {0};
    reload_metrics(a);
    reload_tls(a->grpc_tls, "grpc");
    const char *file = a->config->path;
    if ((file && conf_file_check_again(file, &e)) ||
        agent_config_load(&fresh, a->argc, a->argv, &e)) {
        a->config_ok = false;
        log_error("configuration not reloaded, the one before stays", LOG_ERR(&e));
        return;
    }
    apply(a, fresh);
}

void agent_watch_stall(struct agent *a, int64_t now_ns) {
    int64_t stalled_ns = agent_state_stalled_ns(&a->state, now_ns);
    if (stalled_ns >= 3 * a->state.interval_ns && !a->stall_told) {
        a->stall_told = true;
        log_warn("the GPU driver does not answer; readings age", LOG_DUR("stalled", stalled_ns));
    } else if (stalled_ns == 0 && a->stall_told) {
        a->stall_told = false;
        log_info("the GPU driver answers again");
    }
}

void agent_upkeep(void *ctx) {
    struct agent *a = ctx;
    if (a->config->path && conf_file_changed(a->config->path, &a->config_stamp))
        agent_reload(a);
    if (++a->upkeeps == 1)
        agent_trim_startup_memory();
    if (a->upkeeps % TLS_EVERY == 0) {
        reload_metrics(a);
        reload_tls(a->grpc_tls, "grpc");
    }
    agent_watch_stall(a, clock_mono_ns());
}
