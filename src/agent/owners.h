// SPDX-License-Identifier: Apache-2.0
/*
 * Who holds which GPU: a list of (device, namespace, pod, container), from the configuration file
 * or from the kubelet, and what containers hold through resource claims. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/limits.h"
#include "base/vec.h"
#include "podres/answer.h"

struct agent_owner {
    struct podres_device device;
    struct gpu_owner owner; // its replica is the device's
};

// A device of a resource claim, which the kubelet knows only by its name in a ResourceSlice.
struct agent_claimed {
    char driver[KUBE_NAME_MAX], pool[KUBE_NAME_MAX], device[KUBE_NAME_MAX], share[KUBE_NAME_MAX];
    struct gpu_owner owner;
};

struct agent_owners {
    bool doubt; // somebody holds what may be any GPU
    bool known; // false: nobody knows, the lists are empty; a list without a GPU: nobody holds it
    struct VEC(struct agent_owner) list;
    struct VEC(struct agent_claimed) claimed;
};

void agent_owners_init(struct agent_owners *o);
void agent_owners_done(struct agent_owners *o);
// What the kubelet says. ERR_NOMEM, ERR_LIMIT.
int agent_owners_from(struct agent_owners *ret, const struct podres_answer *answer, struct err *e);
