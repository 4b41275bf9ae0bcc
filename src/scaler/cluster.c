// SPDX-License-Identifier: Apache-2.0
/* Start and end of what belongs to the cluster; see the header. */
#include "scaler/cluster.h"

#include "base/log.h"
#include "scaler/io.h"

struct cluster {
    struct kube_config config; // outlives io->kube
};

int io_cluster_start(struct io *io, struct err *e) {
    if (!io->config->kubernetes.enabled)
        return 0;
    struct kube_environment environment = kube_environment_read();
    struct cluster *c = mem_zalloc(sizeof(*c));
    if (c == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = kube_config_load(&c->config, &environment, io->config->kubernetes.kubeconfig, NULL, e);
    if (rc < 0) {
        mem_free(c);
        return err_wrap(e, "kubernetes");
    }
    io->cluster = c;
    struct kube_client_options o = {.loop = &io->loop, .config = &c->config, .seed = io->seed + 4};
    rc = kube_client_new(&io->kube, &o, e);
    if (rc < 0)
        return err_wrap(e, "kubernetes");
    rc = access_new(&io->access, &(struct access_options){.kube = io->kube}, e);
    if (rc < 0)
        return rc;
    log_info("cluster", LOG_STR("server", c->config.server), LOG_STR("source", c->config.source));
    return 0;
}

void io_cluster_stop(struct io *io) {
    io->access = access_free(io->access);
    io->kube = kube_client_free(io->kube);
}

void io_cluster_done(struct io *io) {
    if (io->cluster == NULL)
        return;
    kube_config_done(&io->cluster->config);
    mem_free(io->cluster);
    io->cluster = NULL;
}
