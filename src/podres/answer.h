// SPDX-License-Identifier: Apache-2.0
/*
 * What the kubelet's List says of GPUs: which container holds which device. Pure.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "podres/device.h"
#include "podresources.pb-c.h"

// A container and a GPU of a device plugin.
struct podres_holder {
    const char *namespace_, *pod, *container;
    struct podres_device device;
};

// A container and a GPU of a resource claim (dynamic resource allocation): the kubelet knows such a
// device by its name in a ResourceSlice only.
struct podres_claimed {
    const char *namespace_, *pod, *container;
    const char *driver, *pool, *device, *share; // share: "" when it is not shared
};

struct podres_answer {
    size_t pods; // on the node, with GPUs or without
    // Claimed devices without a name (older kubelets, 1.32 tells them): each may be any GPU.
    size_t unnamed;
    struct VEC(struct podres_holder) holders;
    struct VEC(struct podres_claimed) claimed;
};

// All strings of *ret are the message's. ERR_PROTO: names that no kubelet tells; ERR_LIMIT: more
// holders than a node can have; ERR_NOMEM. *ret is then to be left alone.
int podres_answer_read(struct podres_answer *ret, const V1__ListPodResourcesResponse *m,
                       struct err *e);
void podres_answer_done(struct podres_answer *a);
