// SPDX-License-Identifier: Apache-2.0
/*
 * The agents' addresses from the EndpointSlices of their Service, beside those of agents.targets.
 * Whether an endpoint is ready does not matter: an agent that is not answers with what it has, or
 * is asked again after a while. What is terminating is left out.
 */
#include <arpa/inet.h>

#include "base/log.h"
#include "scaler/cluster_internal.h"
#include "scaler/replicas.h"

struct targets VEC(const char *);

// -1: the slice has no such port.
static int64_t port_of(const struct kube_endpoint_slice *s, const char *wanted) {
    long long number;
    if (str_to_i64(str_from(wanted), &number) == 0)
        return number > 0 && number < 65536 ? number : -1;
    for (size_t i = 0; i < s->n_ports; i++)
        if (strcmp(s->ports[i].name, wanted) == 0)
            return s->ports[i].port;
    return -1;
}

static int add_slice(struct targets *targets, struct arena *a, const struct kube_endpoint_slice *s,
                     const char *wanted) {
    unsigned char ip[sizeof(struct in6_addr)];
    int64_t port = port_of(s, wanted);
    for (size_t i = 0; port > 0 && i < s->n_endpoints; i++) {
        const struct kube_endpoint *p = &s->endpoints[i];
        bool v6 = inet_pton(AF_INET6, p->address, ip) == 1;
        if (p->terminating || (!v6 && inet_pton(AF_INET, p->address, ip) != 1))
            continue; // a name (addressType FQDN) is nobody's
        const char *text = arena_printf(a, "%s%s%s:%d", v6 ? "[" : "", p->address, v6 ? "]" : "",
                                        (int)port);
        if (text == NULL || vec_push(targets, text) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

void io_cluster_agents_tell(struct io *io) {
    const struct scaler_config *config = io->config;
    const struct kube_reflector *slices = cluster_cache_of(io->cluster, CLUSTER_AGENTS);
    if (!io_leads(io) || slices == NULL || !kube_reflector_synced(slices))
        return;
    CLEANUP_ARENA struct arena a;
    struct targets targets;
    struct err e = {0};
    int rc = 0;
    arena_init(&a, (size_t)LIMIT_NODES * 128);
    vec_init(&targets, LIMIT_NODES);
    for (size_t i = 0; rc == 0 && i < config->agents.targets.n; i++)
        rc = vec_push(&targets, config->agents.targets.items[i]);
    for (const struct kube_object *o = NULL;
         rc == 0 && (o = kube_reflector_next(slices, o)) != NULL;)
        rc = add_slice(&targets, &a, (const void *)o, config->kubernetes.agents.port);
    rc = rc < 0 ? err_set(&e, rc, "more agents than LIMIT_NODES, or no memory")
                : agents_set_targets(io->agents, targets.items, targets.n, &e);
    if (rc < 0)
        log_error("the agents' addresses are not taken, those before stay in use", LOG_ERR(&e));
    else
        log_info("agents of the Service", LOG_STR("service", config->kubernetes.agents.service),
                 LOG_I64("addresses", targets.n - config->agents.targets.n));
    vec_done(&targets);
}
