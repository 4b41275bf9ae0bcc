// SPDX-License-Identifier: Apache-2.0
/* See owners.h. */
#include "agent/owners.h"

#include <stdio.h>
#include <string.h>

void agent_owners_init(struct agent_owners *o) {
    o->known = false;
    vec_init(&o->list, LIMIT_GPU_ENTITIES_PER_NODE * LIMIT_OWNERS_PER_GPU);
}

void agent_owners_done(struct agent_owners *o) {
    vec_done(&o->list);
}

bool agent_owner_holds(const struct agent_owner *o, const struct gpu_info *gpu) {
    char index[16];
    if (strcmp(o->gpu, gpu->uuid) == 0)
        return true;
    snprintf(index, sizeof index, "%u", gpu->index);
    return gpu->parent_uuid[0] == 0 && strcmp(o->gpu, index) == 0;
}
