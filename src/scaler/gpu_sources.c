// SPDX-License-Identifier: Apache-2.0
/*
 * What agents and exporters tell of GPUs, carried into the join (gpus.h says whose word counts
 * where both tell one). A change marks the feeds of the pods that hold the GPU, so that they are
 * decided at once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/cluster.h"
#include "scaler/io.h"

enum { POD_KEY_MAX = 2 * KUBE_NAME_MAX };

static void mark_owners(struct io *io, const struct agents_gpu *gpu) {
    char key[POD_KEY_MAX];
    for (size_t i = 0; i < gpu->n_owners; i++) {
        (void)snprintf(key, sizeof(key), "%s/%s", gpu->owners[i].namespace_, gpu->owners[i].pod);
        for (const struct pod_entry *p = io_pod_find(io, key); p != NULL; p = p->same)
            io_feed_mark(io, p->feed);
    }
}

static void on_gpu(struct io *io, enum gpu_source source, const struct agents_gpu *gpu,
                   unsigned changed, void **user) {
    bool counts;
    io->count.gpu_updates++;
    int rc = gpus_told(&io->gpus, source, gpu, changed, clock_mono_ns(), user, &counts);
    if (rc < 0) {
        io->count.gpu_refused++;
        log_warn("GPU not joined to its pods", LOG_STR("node", gpu->node),
                 LOG_STR("gpu", gpu->uuid), LOG_STR("reason", err_code_name(rc)));
    }
    if (counts && (changed & ~(unsigned)AGENTS_AGE))
        mark_owners(io, gpu);
}

static void on_agent_gpu(void *ctx, const struct agents_gpu *gpu, unsigned changed, void **user) {
    struct io *io = ctx;
    struct agents_owner owners[CLAIMS_OWNERS_MAX];
    struct agents_gpu joined = claims_join(&io->claims, gpu, owners);
    on_gpu(io, GPU_OF_AGENT, &joined, changed, user);
}

struct retelling {
    struct io *io;
    const char *node; // NULL: all
};

static void retell(void *ctx, const struct agents_gpu *gpu) {
    struct retelling *r = ctx;
    void *user = gpu->user; // NULL: not told yet, it will be
    if (user != NULL && (r->node == NULL || strcmp(r->node, gpu->node) == 0))
        on_agent_gpu(r->io, gpu, AGENTS_OWNERS, &user);
}

static void on_devices(void *ctx, const char *node, bool complete,
                       const struct agents_device *devices, size_t n) {
    struct io *io = ctx;
    if (claims_told(&io->claims, node, complete, devices, n) < 0) {
        log_warn("claimed devices not taken: no memory", LOG_STR("node", node));
        return;
    }
    if (n > 0)
        io_cluster_follow_slices(io);
    agents_each_gpu(io->agents, retell, &(struct retelling){io, node});
}

void io_gpu_sources_claims(struct io *io) {
    if (io->agents != NULL)
        agents_each_gpu(io->agents, retell, &(struct retelling){io, NULL});
}

static void on_exporter_gpu(void *ctx, const struct agents_gpu *gpu, unsigned changed,
                            void **user) {
    on_gpu(ctx, GPU_OF_EXPORTER, gpu, changed, user);
}

static void on_gpu_removed(void *ctx, const char *node, const char *uuid, void *user) {
    struct io *io = ctx;
    gpus_removed(&io->gpus, user);
    log_info("GPU gone", LOG_STR("node", node), LOG_STR("gpu", uuid));
}

static void on_node(void *ctx, const struct agents_node *n, const struct err *why) {
    if (n->state == AGENTS_CONNECTED)
        log_info("agent connected", LOG_STR("node", n->node), LOG_STR("addr", n->address),
                 LOG_STR("version", n->agent_version));
    else if (n->state == AGENTS_LOST_STREAM)
        log_warn("agent lost: its GPUs' last readings age", LOG_STR("node", n->node),
                 LOG_STR("addr", n->address), LOG_STR("error", why ? why->msg : ""));
    else
        log_info("agent", LOG_STR("state", agents_node_state_name(n->state)),
                 LOG_STR("node", n->node), LOG_STR("addr", n->address),
                 LOG_STR("error", why ? why->msg : ""));
}

static void on_agents_resolve(void *ctx, const char *target, const struct err *why) {
    if (why != NULL)
        log_warn("agents' name not resolved, addresses found before stay in use",
                 LOG_STR("target", target), LOG_ERR(why));
    else
        log_info("agents' name resolved again", LOG_STR("target", target));
}

static void on_exporters_resolve(void *ctx, const char *target, const struct err *why) {
    if (why != NULL)
        log_warn("exporters' name not resolved, addresses found before stay in use",
                 LOG_STR("target", target), LOG_ERR(why));
    else
        log_info("exporters' name resolved again", LOG_STR("target", target));
}

static void tls_event(struct io *io, const char *whose, const struct err *why) {
    if (why != NULL) {
        io->count.tls_reload_failures++;
        log_error("certificates not re-read, the old ones stay", LOG_STR("of", whose),
                  LOG_ERR(why));
    } else {
        log_info("certificates re-read", LOG_STR("of", whose));
    }
}

static void on_agents_tls(void *ctx, const struct err *why) {
    tls_event(ctx, "agents", why);
}

static void on_exporters_tls(void *ctx, const struct err *why) {
    tls_event(ctx, "exporters", why);
}

static void on_exporter_failure(void *ctx, const char *key, int failure, const struct err *why) {
    log_warn("GPU exporter's page failed: its GPUs' last readings age", LOG_STR("url", key),
             LOG_STR("reason", scrape_failure_name(failure)), LOG_ERR(why));
}

static void on_exporter_recovered(void *ctx, const char *key) {
    log_info("GPU exporter's page is good again", LOG_STR("url", key));
}

static void on_exporter_gaps(void *ctx, const char *key, uint32_t missing, uint32_t bad,
                             const char *text) {
    if ((missing | bad) != 0)
        log_warn("GPU exporter's page lacks values: they are unknown", LOG_STR("url", key),
                 LOG_STR("values", text));
    else
        log_info("GPU exporter's page is whole again", LOG_STR("url", key));
}

static void on_exporter_stuck(void *ctx, const char *key, bool stuck) {
    if (stuck)
        log_warn("GPU exporter answers and reads its GPUs no more: its last readings age",
                 LOG_STR("url", key));
    else
        log_info("GPU exporter reads its GPUs again", LOG_STR("url", key));
}

// The name in the agents' certificates: as configured, else their Service's.
static const char *agents_name(const struct scaler_config *c, char *dst, size_t cap) {
    struct str name = str_from(c->kubernetes.agents.service), ns = str_cut(&name, '/');
    if (c->agents.tls.server_name != NULL || c->kubernetes.agents.service == NULL)
        return c->agents.tls.server_name;
    (void)snprintf(dst, cap, STR_FMT "." STR_FMT ".svc", STR_ARG(name), STR_ARG(ns));
    return dst;
}

static int start_agents(struct io *io, struct err *e) {
    static const struct agents_ops ops = {
        .gpu = on_agent_gpu,
        .gpu_removed = on_gpu_removed,
        .devices = on_devices,
        .node = on_node,
        .resolve = on_agents_resolve,
        .tls_event = on_agents_tls,
    };
    const struct scaler_config *c = io->config;
    struct net_tls_files files = config_tls_files(&c->agents.tls);
    char name[160]; // copied
    struct agents_options o = {
        .loop = &io->loop,
        .ops = &ops,
        .ctx = io,
        .client = "gpuscale-scaler/" GPUSCALE_VERSION,
        .tls = config_tls_on(&c->agents.tls) ? &files : NULL,
        .server_name = agents_name(c, name, sizeof(name)),
        .seed = io->seed,
    };
    int rc = agents_new(&io->agents, &o, e);
    if (rc == 0)
        rc = agents_set_targets(io->agents, c->agents.targets.items, c->agents.targets.n, e);
    return rc < 0 ? err_wrap(e, "agents") : 0;
}

static int start_exporters(struct io *io, bool leads, struct err *e) {
    const struct scaler_config *c = io->config;
    struct net_tls_files files = config_tls_files(&c->exporters.tls);
    struct exporters_options o = {
        .loop = &io->loop,
        .tls = config_tls_on(&c->exporters.tls) ? &files : NULL,
        .tls_server_name = c->exporters.tls.server_name,
        .path = c->exporters.path,
        .interval_ns = c->exporters.interval_ns,
        .collect_interval_ns = c->exporters.collect_interval_ns,
        .seed = io->seed + 3,
        .gpu = on_exporter_gpu,
        .gpu_removed = on_gpu_removed,
        .failure = on_exporter_failure,
        .recovered = on_exporter_recovered,
        .gaps = on_exporter_gaps,
        .stuck = on_exporter_stuck,
        .resolve = on_exporters_resolve,
        .tls_event = on_exporters_tls,
        .ctx = io,
    };
    int rc = exporters_new(&io->exporters, &o, e);
    if (rc == 0)
        rc = exporters_set_targets(io->exporters, c->exporters.targets.items,
                                   leads ? c->exporters.targets.n : 0, e);
    return rc < 0 ? err_wrap(e, "exporters") : 0;
}

int io_gpu_sources_start(struct io *io, struct err *e) {
    int rc = start_agents(io, e);
    return rc < 0 ? rc : start_exporters(io, true, e);
}

static void free_agent_gpu(void *ctx, const struct agents_gpu *gpu) {
    struct io *io = ctx;
    gpus_removed(&io->gpus, gpu->user);
}

static void free_exporter_gpu(void *ctx, const struct agents_gpu *gpu, const char *key) {
    free_agent_gpu(ctx, gpu);
}

// Exporters are given their targets once: for others they are made anew.
static int restart_exporters(struct io *io, bool leads, struct err *e) {
    struct exporters *before = TAKE_PTR(io->exporters);
    int rc = start_exporters(io, leads, e);
    if (io->exporters == NULL) { // no memory: the ones before go on
        io->exporters = before;
        return rc;
    }
    exporters_each_gpu(before, free_exporter_gpu, io);
    exporters_free(before);
    return rc;
}

int io_gpu_sources_lead(struct io *io, bool leads, struct err *e) {
    const struct scaler_config *c = io->config;
    int rc = agents_set_targets(io->agents, leads ? c->agents.targets.items : NULL,
                                leads ? c->agents.targets.n : 0, e);
    if (rc < 0)
        return err_wrap(e, "agents");
    if (leads && io->cluster != NULL)
        io_cluster_agents_tell(io);
    return c->exporters.targets.n > 0 ? restart_exporters(io, leads, e) : 0;
}

void io_gpu_sources_stop(struct io *io) {
    if (io->agents != NULL)
        agents_each_gpu(io->agents, free_agent_gpu, io);
    if (io->exporters != NULL)
        exporters_each_gpu(io->exporters, free_exporter_gpu, io);
    io->agents = agents_free(io->agents);
    io->exporters = exporters_free(io->exporters);
    claims_done(&io->claims);
}
