// SPDX-License-Identifier: Apache-2.0
/*
 * Who holds which GPU: a list of (GPU, namespace, pod, container), from the configuration file. Its
 * absence means that nobody knows; a list without a GPU means that nobody holds that GPU.
 */
#pragma once

#include <stdbool.h>

#include "base/limits.h"
#include "base/vec.h"
#include "core/signal/reading.h"

struct agent_owner {
    char gpu[GPU_UUID_MAX]; // a UUID, or the index of a whole GPU in decimal
    struct gpu_owner owner;
};

struct agent_owners {
    bool known;
    struct VEC(struct agent_owner) list;
};

void agent_owners_init(struct agent_owners *o);
void agent_owners_done(struct agent_owners *o);
bool agent_owner_holds(const struct agent_owner *o, const struct gpu_info *gpu);
