// SPDX-License-Identifier: Apache-2.0
/* Answers of a kubelet, built in an arena. */
#pragma once

#include "base/arena.h"
#include "podres/answer.h"

struct list_unit {
    struct arena arena;
    V1__ListPodResourcesResponse m;
};

static inline void list_init(struct list_unit *l) {
    arena_init(&l->arena, 64 << 20);
    v1__list_pod_resources_response__init(&l->m);
}

static inline void list_done(struct list_unit *l) {
    arena_done(&l->arena);
}

// Puts one more pointer behind *items, which has room for 16384.
#define LIST_ADD(l, items, n, thing)                                                               \
    do {                                                                                           \
        if (!(items))                                                                              \
            (items) = arena_array(&(l)->arena, 20000, sizeof *(items));                            \
        (items)[(n)++] = (thing);                                                                  \
    } while (0)

static inline V1__ContainerResources *list_container(struct list_unit *l, const char *pod) {
    V1__PodResources *p = arena_zalloc(&l->arena, sizeof *p);
    V1__ContainerResources *c = arena_zalloc(&l->arena, sizeof *c);
    v1__pod_resources__init(p);
    v1__container_resources__init(c);
    p->namespace_ = arena_strdup(&l->arena, STR("ml"));
    p->name = arena_strdup(&l->arena, str_from(pod));
    c->name = arena_strdup(&l->arena, STR("main"));
    LIST_ADD(l, p->containers, p->n_containers, c);
    LIST_ADD(l, l->m.pod_resources, l->m.n_pod_resources, p);
    return c;
}

static inline V1__ContainerDevices *list_devices(struct list_unit *l, V1__ContainerResources *c,
                                                 const char *resource, const char *id) {
    V1__ContainerDevices *d = arena_zalloc(&l->arena, sizeof *d);
    v1__container_devices__init(d);
    d->resource_name = arena_strdup(&l->arena, str_from(resource));
    LIST_ADD(l, d->device_ids, d->n_device_ids, arena_strdup(&l->arena, str_from(id)));
    LIST_ADD(l, c->devices, c->n_devices, d);
    return d;
}

// NULL: not there.
static inline V1__ClaimResource *list_claim(struct list_unit *l, V1__ContainerResources *c,
                                            const char *driver, const char *pool,
                                            const char *device, const char *share) {
    V1__DynamicResource *d = arena_zalloc(&l->arena, sizeof *d);
    V1__ClaimResource *r = arena_zalloc(&l->arena, sizeof *r);
    v1__dynamic_resource__init(d);
    v1__claim_resource__init(r);
    r->driver_name = driver ? arena_strdup(&l->arena, str_from(driver)) : NULL;
    r->pool_name = pool ? arena_strdup(&l->arena, str_from(pool)) : NULL;
    r->device_name = device ? arena_strdup(&l->arena, str_from(device)) : NULL;
    r->share_id = share ? arena_strdup(&l->arena, str_from(share)) : NULL;
    LIST_ADD(l, d->claim_resources, d->n_claim_resources, r);
    LIST_ADD(l, c->dynamic_resources, c->n_dynamic_resources, d);
    return r;
}
