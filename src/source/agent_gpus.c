// SPDX-License-Identifier: Apache-2.0
/*
 * The GPU table: records by UUID, their strings, and which node a record listens to.
 */
#include "source/agent_gpus.h"

#include <math.h>

#include "source/agent_table.h"

void agent_gpus_init(struct agent_gpus *gpus, const struct agents_ops *ops, void *ctx) {
    *gpus = (struct agent_gpus){.ops = ops, .ctx = ctx};
}

static void gpu_free(struct agent_gpu *g) {
    mem_free(g->text);
    mem_free(g->owners);
    mem_free(g->shares);
    mem_free(g);
}

void agent_gpus_done(struct agent_gpus *gpus) {
    struct agent_gpu *g, *tmp;
    HASH_ITER(hh, gpus->by_uuid, g, tmp) {
        HASH_DEL(gpus->by_uuid, g);
        gpu_free(g);
    }
    gpus->n = 0;
}

static const char *gpu_text(const struct agent_gpu *g, enum agent_text i) {
    return g->text + g->text_at[i];
}

void agent_gpu_view(const struct agent_gpu *g, struct agents_gpu *ret) {
    *ret = (struct agents_gpu){
        .node = g->owner && g->owner->name ? g->owner->name : "",
        .uuid = gpu_text(g, AGENT_UUID),
        .model = gpu_text(g, AGENT_MODEL),
        .pci_bus_id = gpu_text(g, AGENT_PCI_BUS_ID),
        .driver_version = gpu_text(g, AGENT_DRIVER_VERSION),
        .parent_uuid = gpu_text(g, AGENT_PARENT_UUID),
        .mig_profile = gpu_text(g, AGENT_MIG_PROFILE),
        .index = g->index,
        .gpu_instance_id = g->gpu_instance_id,
        .memory_total_bytes = g->memory_total_bytes,
        .owners_known = g->owners_known,
        .lost = g->lost,
        .owners = g->owners,
        .n_owners = g->n_owners,
        .shares_known = g->shares_known,
        .shares = g->shares,
        .n_shares = g->n_shares,
        .reading = &g->reading,
        .reading_at_ns = g->reading_at_ns,
        .user = g->user,
    };
}

// Copies the strings of `info` into one allocation.
static int text_new(const Gpuscale__V1__GpuInfo *info, char **ret, uint16_t ret_at[AGENT_TEXTS]) {
    const char *const texts[AGENT_TEXTS] = {
        [AGENT_UUID] = info->uuid,
        [AGENT_MODEL] = info->model,
        [AGENT_PCI_BUS_ID] = info->pci_bus_id,
        [AGENT_DRIVER_VERSION] = info->driver_version,
        [AGENT_PARENT_UUID] = info->parent_uuid,
        [AGENT_MIG_PROFILE] = info->mig_profile,
    };
    size_t n = 0;
    for (int i = 0; i < AGENT_TEXTS; i++) {
        ret_at[i] = (uint16_t)n;
        n += (texts[i] ? strlen(texts[i]) : 0) + 1;
    }
    char *text = mem_zalloc(n);
    if (!text)
        return ERR_NOMEM;
    for (int i = 0; i < AGENT_TEXTS; i++) {
        if (texts[i])
            memcpy(text + ret_at[i], texts[i], strlen(texts[i]));
    }
    *ret = text;
    return 0;
}

static size_t text_size(const struct agent_gpu *g) {
    return g->text_at[AGENT_TEXTS - 1] + strlen(gpu_text(g, AGENT_TEXTS - 1)) + 1;
}

int agent_gpu_set_info(struct agent_gpu *g, const Gpuscale__V1__GpuInfo *info, bool *ret_changed) {
    char *text;
    uint16_t at[AGENT_TEXTS];
    if (text_new(info, &text, at) < 0)
        return ERR_NOMEM;
    bool same = g->text && !memcmp(at, g->text_at, sizeof(at)) &&
                !memcmp(text, g->text, text_size(g)) && g->index == info->index &&
                g->gpu_instance_id == info->gpu_instance_id &&
                g->memory_total_bytes == info->memory_total_bytes;
    *ret_changed = !same;
    if (same) {
        mem_free(text);
        return 0;
    }
    // The UUID is the table's key and stays where it is: a record never changes its UUID, so the
    // hash handle only needs the new place.
    mem_free(g->text);
    g->text = text;
    memcpy(g->text_at, at, sizeof(at));
    g->hh.key = text;
    g->index = info->index;
    g->gpu_instance_id = info->gpu_instance_id;
    g->memory_total_bytes = info->memory_total_bytes;
    return 0;
}

struct agent_gpu *agent_gpus_find(struct agent_gpus *gpus, const char *uuid) {
    struct agent_gpu *g;
    HASH_FIND_STR(gpus->by_uuid, uuid, g);
    return g;
}

struct agent_gpu *agent_gpus_add(struct agent_gpus *gpus, const Gpuscale__V1__GpuInfo *info) {
    struct agent_gpu *g = mem_zalloc(sizeof(*g));
    bool changed;
    if (!g)
        return NULL;
    g->reading_at_ns = INT64_MIN;
    if (agent_gpu_set_info(g, info, &changed) < 0) {
        gpu_free(g);
        return NULL;
    }
    map_oom();
    HASH_ADD_KEYPTR(hh, gpus->by_uuid, g->text, strlen(g->text), g);
    if (map_oom()) {
        gpu_free(g);
        return NULL;
    }
    gpus->n++;
    return g;
}

void agent_gpus_drop(struct agent_gpus *gpus, struct agent_gpu *g, const char *node) {
    HASH_DEL(gpus->by_uuid, g);
    gpus->n--;
    if (g->told && gpus->ops->gpu_removed)
        gpus->ops->gpu_removed(gpus->ctx, node, gpu_text(g, AGENT_UUID), g->user);
    gpu_free(g);
}

static size_t owner_text(const Gpuscale__V1__Owner *o, const char *ret[4]) {
    ret[0] = o->namespace_ ? o->namespace_ : "";
    ret[1] = o->pod ? o->pod : "";
    ret[2] = o->container ? o->container : "";
    ret[3] = o->replica ? o->replica : "";
    return strlen(ret[0]) + strlen(ret[1]) + strlen(ret[2]) + strlen(ret[3]) + 4;
}

static bool owners_same(const struct agent_gpu *g, size_t n, Gpuscale__V1__Owner *const *owners) {
    if (g->n_owners != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *t[4];
        owner_text(owners[i], t);
        const struct agents_owner *o = &g->owners[i];
        if (strcmp(o->namespace_, t[0]) != 0 || strcmp(o->pod, t[1]) != 0 ||
            strcmp(o->container, t[2]) != 0 || strcmp(o->replica, t[3]) != 0)
            return false;
    }
    return true;
}

static struct agents_owner *owners_new(size_t n, Gpuscale__V1__Owner *const *owners) {
    size_t size = n * sizeof(struct agents_owner);
    const char *t[4];
    for (size_t i = 0; i < n; i++)
        size += owner_text(owners[i], t);
    struct agents_owner *copy = mem_alloc(size);
    if (!copy)
        return NULL;
    char *at = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        owner_text(owners[i], t);
        char *to[4];
        for (int k = 0; k < 4; k++) {
            size_t len = strlen(t[k]) + 1;
            to[k] = memcpy(at, t[k], len);
            at += len;
        }
        copy[i] = (struct agents_owner){to[0], to[1], to[2], to[3]};
    }
    return copy;
}

int agent_gpu_set_owners(struct agent_gpu *g, bool known, size_t n,
                         Gpuscale__V1__Owner *const *owners, bool *ret_changed) {
    if (!known)
        n = 0;
    *ret_changed = g->owners_known != known || !owners_same(g, n, owners);
    if (!*ret_changed)
        return 0;
    struct agents_owner *copy = NULL;
    if (n > 0 && !(copy = owners_new(n, owners)))
        return ERR_NOMEM;
    mem_free(g->owners);
    g->owners = copy;
    g->n_owners = (uint16_t)n;
    g->owners_known = known;
    return 0;
}

// --- what pods' processes use

// A value that cannot be is unknown. Several processes may add up to more than 100 %.
static bool share_number(double v, double *ret) {
    enum { MOST = 1000000 };
    *ret = v;
    return isfinite(v) && v >= 0 && v <= 100.0 * MOST;
}

static void share_add(struct gpu_share *to, const Gpuscale__V1__Share *m, uint64_t *bad_values) {
    double pct = 0;
    bool has_pct = m->has_utilization_pct && share_number(m->utilization_pct, &pct);
    *bad_values += m->has_utilization_pct && !has_pct;
    to->processes += m->has_processes ? m->processes : 0;
    to->has_memory &= m->has_memory_used_bytes;
    to->has_utilization &= has_pct;
    to->memory_bytes += m->has_memory_used_bytes ? (double)m->memory_used_bytes : 0;
    to->utilization_pct += has_pct ? pct : 0;
}

// The containers' shares of each pod together; the number of pods.
static size_t shares_sum(size_t n, Gpuscale__V1__Share *const *shares,
                         struct gpu_share ret[LIMIT_OWNERS_PER_GPU], uint64_t *bad_values) {
    size_t pods = 0;
    for (size_t i = 0; i < n; i++) {
        const char *uid = shares[i]->pod_uid ? shares[i]->pod_uid : "";
        size_t k = 0;
        while (k < pods && strcmp(ret[k].pod_uid, uid) != 0)
            k++;
        if (k == pods) {
            ret[pods++] = (struct gpu_share){.has_memory = true, .has_utilization = true};
            (void)str_copy(ret[k].pod_uid, sizeof(ret[k].pod_uid), str_from(uid)); // checked
        }
        share_add(&ret[k], shares[i], bad_values);
    }
    return pods;
}

static bool share_same(const struct gpu_share *a, const struct gpu_share *b) {
    return strcmp(a->pod_uid, b->pod_uid) == 0 && a->has_memory == b->has_memory &&
           a->has_utilization == b->has_utilization && a->processes == b->processes &&
           a->memory_bytes == b->memory_bytes && a->utilization_pct == b->utilization_pct;
}

int agent_gpu_set_shares(struct agent_gpu *g, bool known, size_t n,
                         Gpuscale__V1__Share *const *shares, uint64_t *bad_values,
                         bool *ret_changed) {
    struct gpu_share sums[LIMIT_OWNERS_PER_GPU];
    n = known ? shares_sum(n, shares, sums, bad_values) : 0;
    bool same = g->shares_known == known && g->n_shares == n;
    for (size_t i = 0; same && i < n; i++)
        same = share_same(&g->shares[i], &sums[i]);
    *ret_changed = !same;
    if (same)
        return 0;
    if (n != g->n_shares) {
        struct gpu_share *copy = n > 0 ? mem_array(n, sizeof(*copy)) : NULL;
        if (n > 0 && !copy)
            return ERR_NOMEM;
        mem_free(g->shares);
        g->shares = copy;
        g->n_shares = (uint16_t)n;
    }
    if (n > 0)
        memcpy(g->shares, sums, n * sizeof(sums[0]));
    g->shares_known = known;
    return 0;
}
