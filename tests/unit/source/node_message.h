// SPDX-License-Identifier: Apache-2.0
/* NodeState messages as an agent of one to some GPUs sends them. */
#pragma once

#include "core/signal/reading.h"
#include "node.pb-c.h"
#include "unit.h"

// A message that is built in place; one at a time.
struct message {
    Gpuscale__V1__NodeState m;
    Gpuscale__V1__Gpu gpu[300], *gpus[300];
    Gpuscale__V1__GpuInfo info[300];
    Gpuscale__V1__Owner owner[300], *owners[300];
    Gpuscale__V1__Share share[16], *shares[16];
    size_t n_shares;
    double values[300][64];
    uint32_t age_id[300], age_ms[300], removed[300];
    char text[300][32];
};

static inline struct message *message(bool full, uint64_t seq) {
    static struct message x;
    memset(&x, 0, sizeof(x));
    gpuscale__v1__node_state__init(&x.m);
    x.m.boot_id = (char *)(uintptr_t) "boot-a";
    x.m.node = (char *)(uintptr_t) "node-1";
    x.m.has_seq = true;
    x.m.seq = seq;
    x.m.has_full = true;
    x.m.full = full;
    x.m.gpus = x.gpus;
    x.m.age_id = x.age_id;
    x.m.age_ms = x.age_ms;
    x.m.removed = x.removed;
    return &x;
}

// A GPU with one value (utilization) and, with a pod, that one owner.
static inline Gpuscale__V1__Gpu *add_gpu(struct message *x, uint32_t id, const char *uuid,
                                         double value, const char *pod) {
    size_t i = x->m.n_gpus++;
    Gpuscale__V1__Gpu *g = x->gpus[i] = &x->gpu[i];
    gpuscale__v1__gpu__init(g);
    g->has_id = true;
    g->id = id;
    if (uuid) {
        g->info = &x->info[i];
        gpuscale__v1__gpu_info__init(g->info);
        g->info->uuid = (char *)(uintptr_t)uuid;
        g->info->model = (char *)(uintptr_t) "H100";
    }
    g->has_valid = true;
    g->valid = UINT64_C(1) << GPU_UTILIZATION_PCT;
    g->values = x->values[i];
    g->n_values = 1;
    x->values[i][0] = value;
    g->has_owners_known = g->owners_known = pod != NULL;
    if (pod) {
        g->owners = &x->owners[i];
        g->n_owners = 1;
        x->owners[i] = &x->owner[i];
        gpuscale__v1__owner__init(&x->owner[i]);
        x->owner[i].namespace_ = (char *)(uintptr_t) "ns";
        x->owner[i].pod = (char *)(uintptr_t)pod;
    }
    return g;
}

// What a container's processes use of the GPU that was added last; pct or bytes below 0: not told.
static inline Gpuscale__V1__Share *add_share(struct message *x, const char *uid, double pct,
                                             double bytes) {
    Gpuscale__V1__Gpu *g = x->gpus[x->m.n_gpus - 1];
    Gpuscale__V1__Share *s = x->shares[x->n_shares] = &x->share[x->n_shares];
    if (g->n_shares == 0)
        g->shares = &x->shares[x->n_shares];
    x->n_shares++;
    g->n_shares++;
    g->has_shares_known = g->shares_known = true;
    gpuscale__v1__share__init(s);
    s->pod_uid = (char *)(uintptr_t)uid;
    s->container_id = (char *)(uintptr_t) "";
    s->has_processes = true;
    s->processes = 1;
    s->has_utilization_pct = pct >= 0;
    s->utilization_pct = pct;
    s->has_memory_used_bytes = bytes >= 0;
    s->memory_used_bytes = bytes >= 0 ? (uint64_t)bytes : 0;
    return s;
}

static inline void add_age(struct message *x, uint32_t id, uint32_t ms) {
    x->age_id[x->m.n_age_id++] = id;
    x->age_ms[x->m.n_age_ms++] = ms;
}
