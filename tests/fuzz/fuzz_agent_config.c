// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's configuration file with its list of pods that hold GPUs: any bytes bind or are
 * refused with a message of one line; every pod of a bound list becomes an owner, unchanged.
 */
#include "agent/config.h"
#include "fuzz.h"

FUZZ_LIBFYAML_LEAKS

static void check_owners(const struct agent_config *c) {
    struct agent_owners o;
    require(agent_config_owners(c, &o, NULL) == 0);
    require(o.list.n == c->pods.n && (o.known || c->pods.n == 0));
    for (size_t i = 0; i < o.list.n; i++) {
        const struct agent_pod_config *p = &c->pods.items[i];
        const struct agent_owner *owner = &o.list.items[i];
        require(strcmp(owner->device.gpu, p->gpu) == 0);
        require(strcmp(owner->owner.namespace_, p->namespace_) == 0);
        require(strcmp(owner->owner.pod, p->pod) == 0);
        require(strcmp(owner->owner.container, p->container ? p->container : "") == 0);
    }
    agent_owners_done(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char program[] = "gpuscale-agent", flag[] = "--config", path[64];
    char *argv[] = {program, flag, path, NULL};
    struct agent_config_file *c = NULL;
    struct err e = {0};
    snprintf(path, sizeof(path), "%s", fuzz_file(data, size));
    if (agent_config_load(&c, 3, argv, &e) < 0) {
        require(!c);
        require_message(&e);
        return 0;
    }
    check_owners(&c->config);
    require(agent_config_needs_restart(&c->config, &c->config) == NULL);
    require(agent_config_stale_after_ns(&c->config) > 0);
    agent_config_free(c);
    return 0;
}
