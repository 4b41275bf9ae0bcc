// SPDX-License-Identifier: Apache-2.0
/*
 * Is this a message that an agent can have sent? Shape only: a value out of its range is no reason
 * to end a stream, it is unknown (agent_node.c). Strings were checked for UTF-8 and NUL by the
 * gRPC client.
 */
#include "source/agent_table.h"

static int bad(struct err *e, const char *what) {
    return err_set(e, ERR_PROTO, "the agent's message is not one: %s", what);
}

static bool printable(const char *s, size_t min, size_t max) {
    size_t n = s ? strlen(s) : 0;
    if (n < min || n > max)
        return false;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    }
    return true;
}

static int info_check(const Gpuscale__V1__GpuInfo *info, struct err *e) {
    if (!printable(info->uuid, 1, GPU_UUID_MAX - 1))
        return bad(e, "a GPU without a usable UUID");
    if (!printable(info->model, 0, GPU_MODEL_MAX - 1) ||
        !printable(info->pci_bus_id, 0, GPU_PCI_MAX - 1) ||
        !printable(info->driver_version, 0, GPU_DRIVER_MAX - 1) ||
        !printable(info->parent_uuid, 0, GPU_UUID_MAX - 1) || !printable(info->mig_profile, 0, 31))
        return bad(e, "a text of a GPU is too long or has control characters");
    return 0;
}

static int owner_check(const Gpuscale__V1__Owner *o, struct err *e) {
    if (!o || !printable(o->namespace_, 1, KUBE_NAME_MAX - 1) ||
        !printable(o->pod, 1, KUBE_NAME_MAX - 1) ||
        !printable(o->container, 0, KUBE_NAME_MAX - 1) || !printable(o->replica, 0, 15))
        return bad(e, "an owner of a GPU without a usable namespace or pod");
    return 0;
}

static int gpu_check(const Gpuscale__V1__Gpu *g, struct err *e) {
    if (!g->has_id)
        return bad(e, "a GPU without an id");
    if (g->n_owners > LIMIT_OWNERS_PER_GPU)
        return err_set(e, ERR_LIMIT, "GPU %u has %zu owners, at most %d", g->id, g->n_owners,
                       LIMIT_OWNERS_PER_GPU);
    if (g->n_shares > LIMIT_OWNERS_PER_GPU)
        return err_set(e, ERR_LIMIT, "GPU %u has %zu shares, at most %d", g->id, g->n_shares,
                       LIMIT_OWNERS_PER_GPU);
    for (size_t i = 0; i < g->n_shares; i++)
        if (!printable(g->shares[i]->pod_uid, 0, 36) ||
            !printable(g->shares[i]->container_id, 0, 64))
            return bad(e, "a share of a GPU with names that are too long");
    for (size_t i = 0; i < g->n_owners; i++) {
        int r = owner_check(g->owners[i], e);
        if (r < 0)
            return r;
    }
    return g->info ? info_check(g->info, e) : 0;
}

static int devices_check(const Gpuscale__V1__Devices *d, struct err *e) {
    if (d->n_holders > LIMIT_CLAIMED_DEVICES)
        return err_set(e, ERR_LIMIT, "%zu claimed devices, at most %d", d->n_holders,
                       LIMIT_CLAIMED_DEVICES);
    int r = 0;
    for (size_t i = 0; i < d->n_holders && !r; i++) {
        const Gpuscale__V1__DeviceHolder *h = d->holders[i];
        if (!printable(h->driver, 1, KUBE_NAME_MAX - 1) ||
            !printable(h->pool, 1, KUBE_NAME_MAX - 1) ||
            !printable(h->device, 1, KUBE_NAME_MAX - 1) ||
            !printable(h->share, 0, KUBE_NAME_MAX - 1))
            return bad(e, "a claimed device without usable names");
        r = owner_check(h->owner, e);
    }
    return r;
}

static int twice_check(const Gpuscale__V1__NodeState *m, struct err *e) {
    for (size_t i = 0; i < m->n_gpus; i++) {
        const Gpuscale__V1__Gpu *a = m->gpus[i];
        for (size_t k = 0; k < i; k++) {
            const Gpuscale__V1__Gpu *b = m->gpus[k];
            if (a->id == b->id)
                return bad(e, "a GPU id comes twice");
            if (a->info && b->info && !strcmp(a->info->uuid, b->info->uuid))
                return bad(e, "a GPU's UUID comes twice");
        }
    }
    return 0;
}

int agent_message_check(const Gpuscale__V1__NodeState *m, struct err *e) {
    if (!printable(m->boot_id, 1, AGENT_BOOT_ID_MAX))
        return bad(e, "no usable boot_id");
    if (!printable(m->node, 0, KUBE_NAME_MAX - 1) ||
        !printable(m->agent_version, 0, AGENT_VERSION_MAX))
        return bad(e, "a name that is too long or has control characters");
    if (m->n_gpus > LIMIT_GPU_ENTITIES_PER_NODE || m->n_removed > LIMIT_GPU_ENTITIES_PER_NODE ||
        m->n_age_id > LIMIT_GPU_ENTITIES_PER_NODE)
        return err_set(e, ERR_LIMIT, "%zu GPUs, %zu removed, %zu ages, at most %d of each",
                       m->n_gpus, m->n_removed, m->n_age_id, LIMIT_GPU_ENTITIES_PER_NODE);
    if (m->n_age_id != m->n_age_ms)
        return bad(e, "not as many ages as ids of ages");
    for (size_t i = 0; i < m->n_gpus; i++) {
        int r = gpu_check(m->gpus[i], e);
        if (r < 0)
            return r;
    }
    int r = m->devices ? devices_check(m->devices, e) : 0;
    return r < 0 ? r : twice_check(m, e);
}
