// SPDX-License-Identifier: Apache-2.0
/*
 * Which GPUs and MIG instances there are. A UUID keeps its slot. A GPU that was lost when it
 * vanished from NVML's list stays listed as lost, so that the alarm about it does not end by
 * itself; one that was well (given to a virtual machine, say) is not listed any more. Handles of
 * instances are asked for each time: NVML may use them again for other instances.
 */
#include <stdio.h>

#include "base/mem.h"
#include "gpu/nvml_internal.h"

static struct nvml_entity *find(struct nvml *n, const char *uuid) {
    for (unsigned i = 0; i < n->used; i++)
        if (strcmp(n->entities[i].info.uuid, uuid) == 0)
            return &n->entities[i];
    return NULL;
}

// The place of a UUID: its own, a new one, or that of a UUID that is not there any more. NULL: all
// are in use.
static struct nvml_entity *claim(struct nvml *n, const char *uuid) {
    struct nvml_entity *g = find(n, uuid);
    if (!g && n->used < COUNT_OF(n->entities))
        g = &n->entities[n->used++];
    for (unsigned i = 0; i < n->used && !g; i++)
        if (!n->entities[i].listed && !n->entities[i].seen)
            g = &n->entities[i];
    if (!g)
        return NULL;
    if (strcmp(g->info.uuid, uuid) != 0) {
        *g = (struct nvml_entity){0}; // what is not listed holds nothing
        snprintf(g->info.uuid, sizeof g->info.uuid, "%s", uuid);
    }
    g->seen = true;
    return g;
}

// What was learned of an earlier state of the device holds no more.
static void renew(struct nvml *n, struct nvml_entity *g) {
    nvml_gpm_forget(n, g);
    g->gpm_support = NVML_GPM_NOT_ASKED;
    g->xid_heard = false;
    memset(g->refused_ns, 0, sizeof g->refused_ns);
}

void nvml_copy_text(char *dst, size_t cap, const char *src, size_t src_cap) {
    size_t n = 0;
    for (; n < src_cap && n < cap - 1 && src[n]; n++)
        dst[n] = src[n] >= 0x20 && src[n] < 0x7f ? src[n] : '?';
    dst[n] = 0;
}

static bool read_text(int (*call)(struct nvml_dev *, char *, uint32_t), struct nvml_dev *d,
                      char *dst, size_t cap) {
    char text[GPU_UUID_MAX] = "";
    if (call(d, text, sizeof text))
        return false;
    nvml_copy_text(dst, cap, text, sizeof text);
    return true;
}

// Whether MIG is on. Not known (a failed call): as before, and on for a GPU that is new, for that
// claims less.
static enum nvml_kind kind_of(struct nvml *n, const struct nvml_entity *g, struct nvml_dev *d) {
    uint32_t current = 0, pending = 0;
    int code = n->api.mig_mode ? n->api.mig_mode(d, &current, &pending) : NVML_NOT_SUPPORTED;
    if (code == NVML_SUCCESS)
        return current == NVML_MIG_OFF ? NVML_WHOLE : NVML_BOARD;
    if (nvml_code_is_refusal(code))
        return NVML_WHOLE;
    return g->kind ? g->kind : NVML_BOARD;
}

void nvml_mig_profile(const char *name, const struct nvml_attributes *a, uint64_t gpu_bytes,
                      char *dst, size_t cap) {
    const uint64_t gib = UINT64_C(1) << 30;
    const char *told = name ? strstr(name, "MIG ") : NULL;
    dst[0] = 0;
    if (told && strstr(told, "g.")) {
        snprintf(dst, cap, "%s", told + 4);
        return;
    }
    if (!a || gpu_bytes == 0 || a->gpu_slices == 0)
        return;
    // The name counts memory in eighths of the GPU's, which is rounded up to whole GiB.
    uint64_t eighths = (8 * (a->memory_mib << 20) + gpu_bytes - 1) / gpu_bytes;
    unsigned long long gb = (eighths * ((gpu_bytes + gib - 1) / gib) + 4) / 8;
    if (a->compute_slices == a->gpu_slices || a->compute_slices == 0)
        snprintf(dst, cap, "%ug.%llugb", a->gpu_slices, gb);
    else
        snprintf(dst, cap, "%uc.%ug.%llugb", a->compute_slices, a->gpu_slices, gb);
}

static void describe_instance(struct nvml *n, const struct nvml_entity *gpu, struct nvml_dev *d,
                              uint64_t gpu_bytes, struct gpu_info *info) {
    char name[GPU_MODEL_MAX] = "";
    struct nvml_attributes a = {0};
    read_text(n->api.name, d, name, sizeof name);
    bool has = n->api.attributes && n->api.attributes(d, &a) == NVML_SUCCESS;
    char profile[sizeof info->mig_profile];
    nvml_mig_profile(name, has ? &a : NULL, gpu_bytes, profile, sizeof profile);
    if (profile[0])
        snprintf(info->mig_profile, sizeof info->mig_profile, "%s", profile);
    snprintf(info->model, sizeof info->model, "%s", gpu->info.model);
    snprintf(info->pci_bus_id, sizeof info->pci_bus_id, "%s", gpu->info.pci_bus_id);
    snprintf(info->parent_uuid, sizeof info->parent_uuid, "%s", gpu->info.uuid);
    snprintf(info->driver_version, sizeof info->driver_version, "%s", n->driver);
    info->index = gpu->info.index;
    uint64_t bytes;
    if (nvml_memory_total(n, d, &bytes) == NVML_SUCCESS)
        info->memory_total_bytes = bytes;
    else if (has && info->memory_total_bytes == 0)
        info->memory_total_bytes = a.memory_mib << 20;
}

// One instance: 0, ERR_UNAVAILABLE (it is there and cannot be read) or ERR_LIMIT.
static int look_at_instance(struct nvml *n, uint32_t parent, struct nvml_dev *d,
                            uint64_t gpu_bytes) {
    char uuid[GPU_UUID_MAX] = "";
    uint32_t gi, ci;
    if (!n->api.gpu_instance || !n->api.compute_instance ||
        !read_text(n->api.uuid, d, uuid, sizeof uuid) || !uuid[0] || n->api.gpu_instance(d, &gi) ||
        n->api.compute_instance(d, &ci))
        return ERR_UNAVAILABLE;
    struct nvml_entity *g = claim(n, uuid);
    if (!g)
        return ERR_LIMIT;
    struct gpu_info before = g->info;
    describe_instance(n, &n->entities[parent], d, gpu_bytes, &g->info);
    // The same UUID may come again for another instance on the same place.
    if (!g->listed || g->lost || g->parent != parent || before.gpu_instance_id != gi ||
        g->compute_instance != ci || strcmp(before.mig_profile, g->info.mig_profile) != 0) {
        renew(n, g);
        g->xid = 0;
    }
    g->kind = NVML_INSTANCE;
    g->parent = parent;
    g->info.gpu_instance_id = gi;
    g->compute_instance = ci;
    g->handle = d;
    g->listed = true;
    return 0;
}

// Instances of a GPU that the enumeration could not reach: they are as they were, or lost with it.
static void keep_instances(struct nvml *n, uint32_t parent, bool lost) {
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (!g->listed || g->seen || g->kind != NVML_INSTANCE || g->parent != parent)
            continue;
        g->seen = true;
        if (lost) {
            g->lost = true;
            g->handle = NULL;
        }
    }
}

static int look_at_instances(struct nvml *n, struct nvml_entity *gpu, uint64_t gpu_bytes) {
    uint32_t parent = (uint32_t)(gpu - n->entities), max = 0;
    bool all = true;
    if (!n->api.mig_max || !n->api.mig_by_index)
        return 0;
    if (n->api.mig_max(gpu->handle, &max)) {
        keep_instances(n, parent, false);
        return 0;
    }
    for (uint32_t i = 0; i < max && i < LIMIT_GPU_ENTITIES_PER_NODE; i++) {
        struct nvml_dev *d = NULL;
        int code = n->api.mig_by_index(gpu->handle, i, &d);
        if (code == NVML_NOT_FOUND || code == NVML_INVALID_ARGUMENT)
            continue; // a hole: large instances leave several
        int r = code || !d ? ERR_UNAVAILABLE : look_at_instance(n, parent, d, gpu_bytes);
        if (r == ERR_LIMIT)
            return r;
        all = all && r == 0;
    }
    if (!all)
        keep_instances(n, parent, false);
    return 0;
}

static int look_at_gpu(struct nvml *n, uint32_t index, struct nvml_dev *d, const char *uuid) {
    struct nvml_entity *g = claim(n, uuid);
    if (!g)
        return ERR_LIMIT;
    enum nvml_kind kind = kind_of(n, g, d);
    if (g->handle != d || g->lost || g->kind != kind || !g->listed)
        renew(n, g);
    g->kind = kind;
    g->handle = d;
    g->listed = true;
    g->info.index = index;
    snprintf(g->info.driver_version, sizeof g->info.driver_version, "%s", n->driver);
    read_text(n->api.name, d, g->info.model, sizeof g->info.model);
    struct nvml_pci pci = {0};
    if (n->api.pci && n->api.pci(d, &pci) == NVML_SUCCESS)
        nvml_copy_text(g->info.pci_bus_id, sizeof g->info.pci_bus_id, pci.bus_id,
                       sizeof pci.bus_id);
    uint64_t bytes = 0;
    bool told = nvml_memory_total(n, d, &bytes) == NVML_SUCCESS;
    if (kind == NVML_WHOLE) {
        if (told)
            g->info.memory_total_bytes = bytes;
        return 0;
    }
    g->info.memory_total_bytes = 0; // its instances have it: a sum must not count it twice
    return look_at_instances(n, g, bytes);
}

// A GPU at `index` that did not answer: the one that was there before, if it was not met elsewhere.
static void look_past_gpu(struct nvml *n, uint32_t index, int code) {
    bool known = false;
    for (unsigned i = 0; i < n->used && !known; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (!g->listed || g->seen || g->kind == NVML_INSTANCE || g->info.index != index)
            continue;
        bool lost = nvml_code_is_loss(code) || code == NVML_NOT_FOUND;
        known = g->seen = true;
        if (lost) {
            g->lost = true;
            g->handle = NULL;
        }
        keep_instances(n, i, lost);
    }
    if (!known) {
        n->unreadable++;
        n->unreadable_code = code;
    }
}

static void drop_unseen(struct nvml *n) {
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (!g->listed || g->seen || g->kind == NVML_INSTANCE || !g->lost)
            continue;
        g->seen = true; // lost, and still missed
        g->handle = NULL;
        keep_instances(n, i, true);
    }
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *g = &n->entities[i];
        if (!g->listed || g->seen)
            continue;
        nvml_gpm_forget(n, g);
        g->listed = g->lost = g->xid_heard = false;
        g->handle = NULL;
    }
}

static void note_sharing(struct nvml *n) {
    for (unsigned i = 0; i < n->used; i++) {
        struct nvml_entity *a = &n->entities[i];
        if (!a->listed || a->kind != NVML_INSTANCE)
            continue;
        a->shares_instance = false;
        for (unsigned k = 0; k < n->used && !a->shares_instance; k++) {
            const struct nvml_entity *b = &n->entities[k];
            a->shares_instance = k != i && b->listed && b->kind == NVML_INSTANCE &&
                                 b->parent == a->parent &&
                                 b->info.gpu_instance_id == a->info.gpu_instance_id;
        }
    }
}

// Asks for each GPU; those that do not answer are looked at after the others are placed.
static int look_at_all(struct nvml *n, uint32_t count, struct err *e) {
    int codes[LIMIT_GPU_ENTITIES_PER_NODE] = {0};
    uint32_t answered = 0, lost = 0;
    int last = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct nvml_dev *d = NULL;
        char raw[GPU_UUID_MAX] = "", uuid[GPU_UUID_MAX];
        codes[i] = n->api.by_index(i, &d);
        if (!codes[i])
            codes[i] = n->api.uuid(d, raw, sizeof raw);
        nvml_copy_text(uuid, sizeof uuid, raw, sizeof raw);
        if (!codes[i] && !uuid[0])
            codes[i] = NVML_NO_DATA;
        if (codes[i]) {
            last = codes[i];
            lost += nvml_code_is_loss(codes[i]) || codes[i] == NVML_NOT_FOUND;
            continue;
        }
        answered++;
        if (look_at_gpu(n, i, d, uuid))
            return err_set(e, ERR_LIMIT, "more than %d GPUs and MIG instances",
                           LIMIT_GPU_ENTITIES_PER_NODE);
    }
    if (count > 0 && answered == 0 && lost == 0) {
        nvml_note_failure(n, "nvmlDeviceGetHandleByIndex_v2", last);
        return err_set(e, ERR_UNAVAILABLE, "none of %u GPUs can be opened: %s%s", count,
                       nvml_code_name(last), nvml_code_remedy(last));
    }
    n->unreadable = 0;
    for (uint32_t i = 0; i < count; i++)
        if (codes[i])
            look_past_gpu(n, i, codes[i]);
    return 0;
}

int nvml_refresh(struct nvml *n, struct err *e) {
    uint32_t count = 0;
    int code = n->api.count(&count);
    nvml_note_failure(n, "nvmlDeviceGetCount_v2", code);
    if (code)
        return err_set(e, ERR_UNAVAILABLE, "nvmlDeviceGetCount_v2: %s%s", nvml_code_name(code),
                       nvml_code_remedy(code));
    if (count > LIMIT_GPU_ENTITIES_PER_NODE)
        return err_set(e, ERR_LIMIT, "%u GPUs, at most %d are kept", count,
                       LIMIT_GPU_ENTITIES_PER_NODE);
    for (unsigned i = 0; i < n->used; i++)
        n->entities[i].seen = false;
    int r = look_at_all(n, count, e);
    if (r)
        return r;
    drop_unseen(n);
    note_sharing(n);
    nvml_events_listen(n);
    return 0;
}
