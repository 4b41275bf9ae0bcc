// SPDX-License-Identifier: Apache-2.0
/*
 * GPUs that pods hold through resource claims (DRA). An agent learns of them from its kubelet as
 * {driver, pool, device} of a pod; which GPU that is, the driver's ResourceSlices say by its uuid.
 * Joined here: whose GPU it is then. A device that no slice tells, or one without a uuid, stays
 * unknown, and so do the node's GPUs without another owner. io thread.
 */
#pragma once

#include "base/limits.h"
#include "kube/reflector.h"
#include "source/agents.h"

struct claims {
    struct claims_node *nodes; // that have such devices, by name
    struct claims_gpu *gpus;   // by "DRIVER POOL DEVICE": of the slices
    size_t devices, unknown;   // held; of them not known to be any GPU
    bool stale;                // the slices have changed
};

// What the node's agent tells. ERR_NOMEM: what it told before stands.
int claims_told(struct claims *c, const char *node, bool complete,
                const struct agents_device *devices, size_t n);
// Takes the slices (of newest generation of each pool) anew. ERR_NOMEM: those before stand.
int claims_resolve(struct claims *c, const struct kube_reflector *slices);
void claims_done(struct claims *c);

enum { CLAIMS_OWNERS_MAX = 2 * LIMIT_OWNERS_PER_GPU };
// The GPU with the owners that hold it through claims, too; `owners` is room for them. The strings
// are the claims' and the agent's.
struct agents_gpu claims_join(const struct claims *c, const struct agents_gpu *gpu,
                              struct agents_owner owners[CLAIMS_OWNERS_MAX]);
