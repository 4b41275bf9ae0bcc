// SPDX-License-Identifier: Apache-2.0
/*
 * XID errors. NVML tells them as events of a set in which GPUs are registered (instances cannot
 * be); an event says which GPU instance it concerns, or that it concerns the whole GPU. The set is
 * emptied once a round, without waiting. Without the privilege to watch MIG (the nvidia-caps
 * device "monitor" or CAP_SYS_ADMIN) the driver tells events of whole GPUs only.
 */
#include "base/mem.h"
#include "gpu/nvml_internal.h"

static bool has_all(const struct nvml_api *a) {
    return a->event_set_new && a->event_set_free && a->event_register && a->event_wait;
}

void nvml_events_stop(struct nvml *n) {
    if (n->events && n->up)
        n->api.event_set_free(n->events);
    n->events = NULL;
    for (unsigned i = 0; i < n->used; i++)
        n->entities[i].xid_heard = false;
}

void nvml_events_listen(struct nvml *n) {
    if (!has_all(&n->api))
        return;
    if (!n->events && n->api.event_set_new(&n->events)) {
        n->events = NULL;
        return;
    }
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (!g->listed || !g->handle || g->kind == NVML_INSTANCE || g->xid_heard)
            continue;
        // Where events are not supported this fails, now and at each enumeration.
        g->xid_heard = n->api.event_register(g->handle, NVML_EVENT_XID, n->events) == NVML_SUCCESS;
    }
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (g->listed && g->kind == NVML_INSTANCE)
            g->xid_heard = n->entities[g->parent].xid_heard;
    }
}

static struct nvml_entity *gpu_of(struct nvml *n, struct nvml_dev *device) {
    char raw[GPU_UUID_MAX] = "", uuid[GPU_UUID_MAX];
    for (unsigned i = 0; i < n->used; i++)
        if (n->entities[i].listed && n->entities[i].handle == device)
            return &n->entities[i];
    if (!device || n->api.uuid(device, raw, sizeof raw))
        return NULL;
    nvml_copy_text(uuid, sizeof uuid, raw, sizeof raw);
    for (unsigned i = 0; i < n->used; i++)
        if (n->entities[i].listed && strcmp(n->entities[i].info.uuid, uuid) == 0)
            return &n->entities[i];
    return NULL;
}

static bool concerns(const struct nvml_event *event, const struct nvml_entity *g) {
    return event->gpu_instance == NVML_INSTANCE_NONE ||
           (event->gpu_instance == g->info.gpu_instance_id &&
            (event->compute_instance == NVML_INSTANCE_NONE ||
             event->compute_instance == g->compute_instance));
}

static void take(struct nvml *n, const struct nvml_event *event) {
    struct nvml_entity *gpu = event->type & NVML_EVENT_XID ? gpu_of(n, event->device) : NULL;
    if (!gpu)
        return;
    gpu->xid = (uint32_t)event->data;
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (g->listed && g->kind == NVML_INSTANCE && &n->entities[g->parent] == gpu &&
            concerns(event, g))
            g->xid = gpu->xid;
    }
}

void nvml_events_drain(struct nvml *n) {
    for (int i = 0; i < LIMIT_NVML_EVENTS_PER_ROUND && n->events; i++) {
        // The older wait fills in no instances.
        struct nvml_event event = {.gpu_instance = NVML_INSTANCE_NONE,
                                   .compute_instance = NVML_INSTANCE_NONE};
        int code = n->api.event_wait(n->events, &event, 0);
        if (code == NVML_TIMEOUT)
            return;
        if (code) { // as when a GPU of the set is lost; a new set is made at the next enumeration
            nvml_events_stop(n);
            return;
        }
        take(n, &event);
    }
}
