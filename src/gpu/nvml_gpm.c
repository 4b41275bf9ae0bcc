// SPDX-License-Identifier: Apache-2.0
/*
 * GPM, the activity counters of Hopper and later: two samples, and the library says what happened
 * between them. The sample of each round is kept for the next; it must be at least 100 ms older
 * (NVML's reference), so in a round that comes earlier the values of the one before are said again.
 */
#include <math.h>

#include "base/clock.h"
#include "gpu/nvml_internal.h"

static const int64_t window_min_ns = 100 * NS_PER_MS;

struct gpm_value {
    uint32_t id;
    enum gpu_value value;
    double factor; // ours = theirs * factor
    bool whole;    // of whole GPUs only: the bus is not an instance's
};

// Numbers of nvmlGpmMetricId_t: activity in percent, PCIe in MiB/s.
static const struct gpm_value wanted[] = {
    {1, GPU_GR_ENGINE_ACTIVE_RATIO, 0.01, false}, {2, GPU_SM_ACTIVE_RATIO, 0.01, false},
    {3, GPU_SM_OCCUPANCY_RATIO, 0.01, false},     {5, GPU_TENSOR_ACTIVE_RATIO, 0.01, false},
    {10, GPU_DRAM_ACTIVE_RATIO, 0.01, false},     {20, GPU_PCIE_TX_BYTES_PER_S, 1048576, true},
    {21, GPU_PCIE_RX_BYTES_PER_S, 1048576, true},
};
enum { WANTED = sizeof wanted / sizeof wanted[0] };

void nvml_gpm_forget(struct nvml *n, struct nvml_entity *g) {
    for (int i = 0; i < 2; i++)
        if (g->gpm.samples[i] && n->up)
            n->api.gpm_free(g->gpm.samples[i]);
    g->gpm = (struct nvml_gpm){0};
}

static bool has_all(const struct nvml_api *a, bool instance) {
    return a->gpm_support && a->gpm_alloc && a->gpm_free && a->gpm_metrics &&
           (instance ? a->gpm_mig_sample != NULL : a->gpm_sample != NULL);
}

static int ask_support(struct nvml *n, struct nvml_entity *gpu) {
    struct nvml_gpm_support s = {.version = NVML_GPM_VERSION};
    int code = n->api.gpm_support(gpu->handle, &s);
    if (code == NVML_SUCCESS)
        gpu->gpm_support = s.supported ? NVML_GPM_YES : NVML_GPM_NO;
    return code;
}

static int take_sample(struct nvml *n, struct nvml_entity *g, struct nvml_dev *gpu) {
    for (int i = 0; i < 2; i++)
        if (!g->gpm.samples[i]) {
            int code = n->api.gpm_alloc(&g->gpm.samples[i]);
            if (code)
                return code;
        }
    return g->kind == NVML_INSTANCE
               ? n->api.gpm_mig_sample(gpu, g->info.gpu_instance_id, g->gpm.samples[1])
               : n->api.gpm_sample(gpu, g->gpm.samples[1]);
}

static int compute(struct nvml *n, struct nvml_entity *g, struct gpu_reading *ret) {
    struct nvml_gpm_get *get = n->gpm_get;
    get->version = NVML_GPM_VERSION;
    get->n = 0;
    get->before = g->gpm.samples[0];
    get->after = g->gpm.samples[1];
    const struct gpm_value *asked[WANTED];
    for (unsigned i = 0; i < WANTED; i++) {
        if (wanted[i].whole && g->kind == NVML_INSTANCE)
            continue;
        get->metrics[get->n] = (struct nvml_gpm_metric){.id = wanted[i].id, .code = NVML_NO_DATA};
        asked[get->n++] = &wanted[i];
    }
    int code = n->api.gpm_metrics(get);
    for (unsigned i = 0; i < get->n && code == NVML_SUCCESS; i++)
        if (get->metrics[i].code == NVML_SUCCESS && isfinite(get->metrics[i].value))
            gpu_reading_set(ret, asked[i]->value, get->metrics[i].value * asked[i]->factor);
    return code;
}

static void add(struct gpu_reading *to, const struct gpu_reading *from) {
    for (unsigned i = 0; i < WANTED; i++) {
        double v;
        if (gpu_reading_get(from, wanted[i].value, &v))
            gpu_reading_set(to, wanted[i].value, v);
    }
}

int nvml_gpm_read(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *ret) {
    bool instance = g->kind == NVML_INSTANCE;
    struct nvml_entity *gpu = instance ? &n->entities[g->parent] : g;
    if (!has_all(&n->api, instance))
        return NVML_FUNCTION_NOT_FOUND;
    // The counters are the GPU instance's: of one of several compute instances in it they say
    // nothing.
    if (g->shares_instance)
        return NVML_NOT_SUPPORTED;
    if (gpu->gpm_support == NVML_GPM_NOT_ASKED) {
        int code = ask_support(n, gpu);
        if (code)
            return code;
    }
    if (gpu->gpm_support == NVML_GPM_NO)
        return NVML_NOT_SUPPORTED;
    if (g->gpm.has && now_ns - g->gpm.taken_ns < window_min_ns) {
        add(ret, &g->gpm.last);
        return NVML_SUCCESS;
    }
    int code = take_sample(n, g, gpu->handle);
    struct gpu_reading fresh = {0};
    if (!code && g->gpm.has)
        code = compute(n, g, &fresh);
    if (code) {
        nvml_gpm_forget(n, g);
        return code;
    }
    struct nvml_gpm_sample *newest = g->gpm.samples[1];
    g->gpm.samples[1] = g->gpm.samples[0];
    g->gpm.samples[0] = newest;
    g->gpm.has = true;
    g->gpm.taken_ns = now_ns;
    g->gpm.last = fresh;
    add(ret, &fresh);
    return NVML_SUCCESS;
}
