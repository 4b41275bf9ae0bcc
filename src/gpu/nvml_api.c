// SPDX-License-Identifier: Apache-2.0
/* See nvml_api.h. The layouts are measured ones; a compiler that lays them out otherwise stops. */
#include "gpu/nvml_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

_Static_assert(sizeof(struct nvml_utilization) == 8, "nvmlUtilization_t");
_Static_assert(sizeof(struct nvml_memory) == 24, "nvmlMemory_t");
_Static_assert(sizeof(struct nvml_memory_v2) == 40, "nvmlMemory_v2_t");
_Static_assert(sizeof(struct nvml_temperature) == 12, "nvmlTemperature_v1_t");
_Static_assert(sizeof(struct nvml_pci) == 68, "nvmlPciInfo_t");
_Static_assert(sizeof(struct nvml_field) == 40, "nvmlFieldValue_t");
_Static_assert(sizeof(struct nvml_attributes) == 40, "nvmlDeviceAttributes_t");
_Static_assert(sizeof(struct nvml_event) == 32, "nvmlEventData_t");
_Static_assert(sizeof(struct nvml_process_sample) == 32, "nvmlProcessUtilizationSample_t");
_Static_assert(sizeof(struct nvml_gpm_metric) == 40, "nvmlGpmMetric_t");
_Static_assert(offsetof(struct nvml_gpm_get, metrics) == 24, "nvmlGpmMetricsGet_t");

struct symbol {
    size_t offset; // of the pointer in struct nvml_api
    bool required;
    const char *names[NVML_NAMES];
};

enum { OPTIONAL = 0, REQUIRED = 1 };
#define SYMBOL(field, required_, arguments, ...)                                                   \
    {.offset = offsetof(struct nvml_api, field), .required = (required_), .names = {__VA_ARGS__}},
static const struct symbol symbols[] = {NVML_FUNCTIONS(SYMBOL)};

// Where platforms keep it that do not tell the loader: GKE mounts it for pods that ask for a GPU
// at the first place; on its nodes it lies at the second.
static const char *const places[] = {"libnvidia-ml.so.1",
                                     "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
                                     "/home/kubernetes/bin/nvidia/lib64/libnvidia-ml.so.1"};

static void *open_library(const char *library, struct err *e) {
    const char *one[] = {library};
    const char *const *from = library[0] ? one : places;
    size_t n = library[0] ? 1 : COUNT_OF(places);
    char first[256] = "";
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && access(from[i], F_OK) != 0)
            continue;
        void *l = dlopen(from[i], RTLD_NOW | RTLD_LOCAL);
        if (l)
            return l;
        const char *why = dlerror();
        if (i == 0 || !first[0] || access(from[i], F_OK) == 0)
            snprintf(first, sizeof first, "%s", why ? why : "no reason given");
    }
    err_set(e, ERR_NOTFOUND,
            "the NVIDIA driver's library cannot be loaded (%s): this node has no NVIDIA driver, or "
            "the pod does not get it (runtimeClassName nvidia with "
            "NVIDIA_DRIVER_CAPABILITIES=utility, CDI, or a mount and nvml:library=PATH)",
            first);
    return NULL;
}

// The file behind the links carries the driver's version in its name.
static void name_library(struct nvml_api *a) {
    struct link_map *map = NULL;
    char whole[PATH_MAX];
    if (dlinfo(a->library, RTLD_DI_LINKMAP, &map) || !map || !realpath(map->l_name, whole) ||
        str_copy(a->path, sizeof a->path, str_from(whole)))
        str_copy(a->path, sizeof a->path, str_from(places[0]));
}

int nvml_api_load(struct nvml_api *ret, const char *library, struct err *e) {
    struct nvml_api a = {.library = open_library(library, e)};
    if (!a.library)
        return ERR_NOTFOUND;
    name_library(&a);
    for (size_t i = 0; i < COUNT_OF(symbols); i++) {
        void *found = NULL;
        for (size_t k = 0; k < NVML_NAMES && symbols[i].names[k] && !found; k++)
            found = dlsym(a.library, symbols[i].names[k]);
        if (!found && symbols[i].required) {
            int r = err_set(e, ERR_UNSUPPORTED,
                            "%s has no %s: the NVIDIA driver is too old, or this is not NVML",
                            a.path, symbols[i].names[0]);
            nvml_api_unload(&a);
            return r;
        }
        memcpy((char *)&a + symbols[i].offset, &found, sizeof found);
    }
    *ret = a;
    return 0;
}

void nvml_api_unload(struct nvml_api *a) {
    if (a->library)
        dlclose(a->library);
    *a = (struct nvml_api){0};
}

struct code_text {
    int code;
    const char *name, *remedy;
};

static const struct code_text codes[] = {
    {NVML_SUCCESS, "NVML_SUCCESS", ""},
    {NVML_UNINITIALIZED, "NVML_ERROR_UNINITIALIZED", ""},
    {NVML_INVALID_ARGUMENT, "NVML_ERROR_INVALID_ARGUMENT", ""},
    {NVML_NOT_SUPPORTED, "NVML_ERROR_NOT_SUPPORTED", ""},
    {NVML_NO_PERMISSION, "NVML_ERROR_NO_PERMISSION",
     ": this container may not open /dev/nvidia*; runtimeClassName nvidia (or CDI) with "
     "NVIDIA_VISIBLE_DEVICES=all gives it the devices, a hostPath mount alone does not"},
    {NVML_NOT_FOUND, "NVML_ERROR_NOT_FOUND", ""},
    {NVML_INSUFFICIENT_SIZE, "NVML_ERROR_INSUFFICIENT_SIZE", ""},
    {NVML_INSUFFICIENT_POWER, "NVML_ERROR_INSUFFICIENT_POWER",
     ": a power cable of the GPU is not attached properly"},
    {NVML_DRIVER_NOT_LOADED, "NVML_ERROR_DRIVER_NOT_LOADED",
     ": the nvidia kernel module is not loaded on this node (lsmod; the driver's installer or "
     "driver pod is not done, or failed)"},
    {NVML_TIMEOUT, "NVML_ERROR_TIMEOUT", ""},
    {NVML_IRQ_ISSUE, "NVML_ERROR_IRQ_ISSUE", ": the kernel has an interrupt problem with the GPU"},
    {NVML_LIBRARY_NOT_FOUND, "NVML_ERROR_LIBRARY_NOT_FOUND", ""},
    {NVML_FUNCTION_NOT_FOUND, "NVML_ERROR_FUNCTION_NOT_FOUND", ""},
    {NVML_GPU_IS_LOST, "NVML_ERROR_GPU_IS_LOST", ""},
    {NVML_RESET_REQUIRED, "NVML_ERROR_RESET_REQUIRED", ""},
    {NVML_OPERATING_SYSTEM, "NVML_ERROR_OPERATING_SYSTEM", ""},
    {NVML_LIB_RM_VERSION_MISMATCH, "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
     ": the library and the kernel module are of two driver versions, as when the driver was "
     "upgraded under a running container; restart the pod, and the node if nvidia-smi on it says "
     "the same"},
    {NVML_IN_USE, "NVML_ERROR_IN_USE", ""},
    {NVML_MEMORY, "NVML_ERROR_MEMORY", ""},
    {NVML_NO_DATA, "NVML_ERROR_NO_DATA", ""},
    {NVML_INSUFFICIENT_RESOURCES, "NVML_ERROR_INSUFFICIENT_RESOURCES", ""},
    {NVML_ARGUMENT_VERSION_MISMATCH, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH", ""},
    {NVML_DEPRECATED, "NVML_ERROR_DEPRECATED", ""},
    {NVML_NOT_READY, "NVML_ERROR_NOT_READY", ""},
    {NVML_GPU_NOT_FOUND, "NVML_ERROR_GPU_NOT_FOUND", ""},
    {NVML_INVALID_STATE, "NVML_ERROR_INVALID_STATE", ""},
    {NVML_UNKNOWN, "NVML_ERROR_UNKNOWN",
     ": in a container this is what NVML says for ever once the container lost its devices (a "
     "systemd daemon-reload on the node does that); a restarted container has them again"},
};

static const struct code_text *code_text(int code) {
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (codes[i].code == code)
            return &codes[i];
    return NULL;
}

const char *nvml_code_name(int code) {
    static _Thread_local char text[64];
    const struct code_text *t = code_text(code);
    snprintf(text, sizeof text, "%s (%d)", t ? t->name : "an NVML error", code);
    return text;
}

const char *nvml_code_remedy(int code) {
    const struct code_text *t = code_text(code);
    return t ? t->remedy : "";
}
