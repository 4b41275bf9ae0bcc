// SPDX-License-Identifier: Apache-2.0
/* See watch_message.h. The message is built in an arena out of borrowed strings, then packed. */
#include "agent/watch_message.h"

#include "base/clock.h"
#include "node.pb-c.h"

// protobuf-c's structs hold char *, but packing does not write.
static char *borrow(const char *s) {
    union {
        const char *c;
        char *m;
    } u = {.c = s};
    return u.m;
}

static Gpuscale__V1__GpuInfo *make_info(struct arena *a, const struct gpu_info *i) {
    Gpuscale__V1__GpuInfo *m = arena_alloc(a, sizeof *m);
    if (!m)
        return NULL;
    gpuscale__v1__gpu_info__init(m);
    m->uuid = borrow(i->uuid);
    m->model = i->model[0] ? borrow(i->model) : NULL;
    m->pci_bus_id = i->pci_bus_id[0] ? borrow(i->pci_bus_id) : NULL;
    m->driver_version = i->driver_version[0] ? borrow(i->driver_version) : NULL;
    m->has_index = true;
    m->index = i->index;
    m->has_memory_total_bytes = i->memory_total_bytes > 0;
    m->memory_total_bytes = i->memory_total_bytes;
    if (i->parent_uuid[0]) {
        m->parent_uuid = borrow(i->parent_uuid);
        m->has_gpu_instance_id = true;
        m->gpu_instance_id = i->gpu_instance_id;
        m->mig_profile = borrow(i->mig_profile);
    }
    return m;
}

static void make_owner(const struct gpu_owner *o, Gpuscale__V1__Owner *m) {
    gpuscale__v1__owner__init(m);
    m->namespace_ = borrow(o->namespace_);
    m->pod = borrow(o->pod);
    m->container = o->container[0] ? borrow(o->container) : NULL;
    m->replica = o->replica[0] ? borrow(o->replica) : NULL;
}

static int make_owners(struct arena *a, const struct agent_gpu *g, Gpuscale__V1__Gpu *m) {
    m->has_owners_known = true;
    m->owners_known = g->owners_known;
    if (g->n_owners == 0)
        return 0;
    m->owners = arena_array(a, g->n_owners, sizeof(Gpuscale__V1__Owner *));
    Gpuscale__V1__Owner *all = arena_array(a, g->n_owners, sizeof *all);
    if (!m->owners || !all)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->n_owners; i++) {
        make_owner(&g->owners[i], &all[i]);
        m->owners[i] = &all[i];
    }
    m->n_owners = g->n_owners;
    return 0;
}

static int make_devices(struct arena *a, const struct agent_devices *d,
                        Gpuscale__V1__NodeState *m) {
    struct made {
        Gpuscale__V1__DeviceHolder holder;
        Gpuscale__V1__Owner owner;
    };
    Gpuscale__V1__Devices *devices = arena_alloc(a, sizeof *devices);
    Gpuscale__V1__DeviceHolder **list = arena_array(a, d->n, sizeof *list);
    struct made *all = arena_array(a, d->n, sizeof *all);
    if (!devices || (d->n > 0 && (!list || !all)))
        return ERR_NOMEM;
    gpuscale__v1__devices__init(devices);
    devices->has_complete = true;
    devices->complete = d->complete;
    devices->holders = list;
    devices->n_holders = d->n;
    for (uint32_t i = 0; i < d->n; i++) {
        const struct agent_claimed *c = &d->items[i];
        Gpuscale__V1__DeviceHolder *h = list[i] = &all[i].holder;
        gpuscale__v1__device_holder__init(h);
        make_owner(&c->owner, &all[i].owner);
        h->driver = borrow(c->driver);
        h->pool = borrow(c->pool);
        h->device = borrow(c->device);
        h->share = c->share[0] ? borrow(c->share) : NULL;
        h->owner = &all[i].owner;
    }
    m->devices = devices;
    return 0;
}

static int make_shares(struct arena *a, const struct agent_gpu *g, Gpuscale__V1__Gpu *m) {
    if (!g->shares_known)
        return 0;
    m->has_shares_known = m->shares_known = true;
    m->shares = arena_array(a, g->n_shares, sizeof *m->shares);
    Gpuscale__V1__Share *all = arena_array(a, g->n_shares, sizeof *all);
    if (g->n_shares > 0 && (!m->shares || !all))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->n_shares; i++) {
        const struct agent_share *share = &g->shares[i];
        gpuscale__v1__share__init(&all[i]);
        all[i].pod_uid = borrow(share->pod_uid);
        all[i].container_id = borrow(share->container_id);
        all[i].has_processes = true;
        all[i].processes = share->processes;
        all[i].has_memory_used_bytes = share->has_memory;
        all[i].memory_used_bytes = share->memory_bytes;
        all[i].has_utilization_pct = share->has_utilization;
        all[i].utilization_pct = share->utilization_pct;
        m->shares[i] = &all[i];
    }
    m->n_shares = g->n_shares;
    return 0;
}

static int make_gpu(struct arena *a, const struct agent_gpu *g, bool with_info,
                    Gpuscale__V1__Gpu *m) {
    gpuscale__v1__gpu__init(m);
    m->has_id = m->has_valid = m->has_lost = true;
    m->id = g->id;
    m->lost = g->lost;
    m->valid = g->has_reading ? g->reading.valid : 0;
    m->values = arena_array(a, GPU_VALUE_MAX, sizeof(double));
    if (!m->values)
        return ERR_NOMEM;
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++)
        if (m->valid >> i & 1)
            m->values[m->n_values++] = g->reading.v[i];
    if (with_info) {
        m->info = make_info(a, &g->info);
        if (!m->info)
            return ERR_NOMEM;
    }
    int r = make_owners(a, g, m);
    return r ? r : make_shares(a, g, m);
}

static int make_gpus(struct arena *a, const struct agent_state *s, uint64_t since,
                     Gpuscale__V1__NodeState *m) {
    m->gpus = arena_array(a, s->n_gpus, sizeof(Gpuscale__V1__Gpu *));
    Gpuscale__V1__Gpu *all = arena_array(a, s->n_gpus, sizeof *all);
    if (s->n_gpus > 0 && (!m->gpus || !all))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->n_gpus; i++) {
        const struct agent_gpu *g = &s->gpus[i];
        if (g->changed <= since)
            continue;
        int r = make_gpu(a, g, g->info_changed > since, &all[m->n_gpus]);
        if (r)
            return r;
        m->gpus[m->n_gpus] = &all[m->n_gpus];
        m->n_gpus++;
    }
    return 0;
}

static int make_ages(struct arena *a, const struct agent_state *s, int64_t now_ns,
                     Gpuscale__V1__NodeState *m) {
    m->age_id = arena_array(a, s->n_gpus, sizeof *m->age_id);
    m->age_ms = arena_array(a, s->n_gpus, sizeof *m->age_ms);
    if (s->n_gpus > 0 && (!m->age_id || !m->age_ms))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->n_gpus; i++) {
        const struct agent_gpu *g = &s->gpus[i];
        if (!g->has_reading)
            continue;
        int64_t ms = (now_ns - g->read_ns) / NS_PER_MS;
        m->age_id[m->n_age_id++] = g->id;
        m->age_ms[m->n_age_ms++] = ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    }
    return 0;
}

static int pack(struct buf *out, const Gpuscale__V1__NodeState *m) {
    size_t n = gpuscale__v1__node_state__get_packed_size(m);
    buf_clear(out);
    char *into = buf_reserve(out, n);
    if (!into)
        return ERR_LIMIT;
    gpuscale__v1__node_state__pack(m, (uint8_t *)into);
    buf_commit(out, n);
    return 0;
}

int agent_watch_encode(struct buf *out, struct arena *arena, const struct agent_state *state,
                       const struct agent_node *node, const struct agent_cursor *cursor,
                       int64_t now_ns, struct agent_cursor *ret_next) {
    Gpuscale__V1__NodeState m;
    uint32_t removed[AGENT_REMOVED_MAX];
    arena_reset(arena);
    gpuscale__v1__node_state__init(&m);
    uint64_t since = cursor->seq == 0 ? 0 : cursor->version;
    int n_removed = since == 0 ? -1 : agent_state_removed_since(state, since, removed);
    if (n_removed < 0) {
        m.has_full = m.full = true;
        since = 0;
    } else {
        m.removed = removed;
        m.n_removed = (size_t)n_removed;
    }
    m.boot_id = borrow(node->boot_id);
    m.node = borrow(node->name);
    m.agent_version = borrow(GPUSCALE_VERSION);
    m.has_seq = m.has_interval_ms = m.has_driver_stalled_ms = true;
    m.seq = cursor->seq + 1;
    m.interval_ms = (uint32_t)(state->interval_ns / NS_PER_MS);
    m.driver_stalled_ms = (uint64_t)(agent_state_stalled_ns(state, now_ns) / NS_PER_MS);
    int r = make_gpus(arena, state, since, &m);
    if (!r)
        r = make_ages(arena, state, now_ns, &m);
    if (!r && (since == 0 || state->devices.changed > since))
        r = make_devices(arena, &state->devices, &m);
    if (!r)
        r = pack(out, &m);
    if (r)
        return r;
    *ret_next = (struct agent_cursor){.seq = m.seq, .version = state->version};
    return 0;
}
