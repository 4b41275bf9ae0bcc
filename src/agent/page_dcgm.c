// SPDX-License-Identifier: Apache-2.0
/*
 * dcgm-exporter's series, and the classic ones, which carry the same labels. Label order is
 * dcgm-exporter's template's:
 * gpu,UUID,pci_bus_id,device,modelName[,GPU_I_PROFILE,GPU_I_ID],Hostname,
 * DCGM_FI_DRIVER_VERSION,container,namespace,pod[,vgpu]. A GPU without a known owner has no pod
 * labels.
 */
#include "agent/page_gpu.h"

#include <stdio.h>

#include "base/mem.h"

enum { LABELS_MAX = 16 };

struct label_set {
    struct prom_label items[LABELS_MAX];
    size_t n;
    char index[16], device[24], instance[16];
};

static void add(struct label_set *l, const char *name, const char *value) {
    l->items[l->n++] = (struct prom_label){str_from(name), str_from(value)};
}

static void add_if(struct label_set *l, const char *name, const char *value) {
    if (value[0])
        add(l, name, value);
}

static void gpu_labels(struct label_set *l, const struct agent_page_view *v,
                       const struct gpu_info *i) {
    bool mig = i->parent_uuid[0] != 0;
    l->n = 0;
    snprintf(l->index, sizeof l->index, "%u", i->index);
    snprintf(l->device, sizeof l->device, "nvidia%u", i->index);
    snprintf(l->instance, sizeof l->instance, "%u", i->gpu_instance_id);
    add(l, "gpu", l->index);
    add(l, "UUID", mig ? i->parent_uuid : i->uuid);
    add_if(l, "pci_bus_id", i->pci_bus_id);
    add(l, "device", l->device);
    add_if(l, "modelName", i->model);
    if (mig) {
        add(l, "GPU_I_PROFILE", i->mig_profile);
        add(l, "GPU_I_ID", l->instance);
    }
    add(l, v->options->hostname_label == AGENT_HOSTNAME_UPPER ? "Hostname" : "hostname", v->node);
    add_if(l, "DCGM_FI_DRIVER_VERSION", i->driver_version);
}

static void owner_labels(struct label_set *l, const struct gpu_owner *o) {
    add_if(l, "container", o->container);
    add(l, "namespace", o->namespace_);
    add(l, "pod", o->pod);
    add_if(l, "vgpu", o->replica);
}

// The encoded labels of one series; `value` is of the whole GPU however many series it has.
struct series {
    const struct agent_gpu *gpu;
    size_t at, len; // in the scratch buffer
};

struct series_list VEC(struct series);

static int encode(struct series_list *list, const struct agent_page_view *v,
                  const struct agent_gpu *g, const struct label_set *l) {
    size_t at = v->labels->len;
    int r = prom_labels_encode(v->labels, l->items, l->n);
    struct series s = {.gpu = g, .at = at, .len = v->labels->len - at};
    return r ? r : vec_push(list, s);
}

static int encode_all(struct series_list *list, const struct agent_page_view *v) {
    int r = 0;
    buf_clear(v->labels);
    for (uint32_t i = 0; i < v->state->n_gpus && !r; i++) {
        const struct agent_gpu *g = &v->state->gpus[i];
        struct label_set l;
        if (!agent_page_gpu_is_fresh(v, g))
            continue;
        gpu_labels(&l, v, &g->info);
        if (g->n_owners == 0) {
            r = encode(list, v, g, &l);
            continue;
        }
        size_t own = l.n;
        for (uint32_t k = 0; k < g->n_owners && !r; k++) {
            l.n = own;
            owner_labels(&l, &g->owners[k]);
            r = encode(list, v, g, &l);
        }
    }
    return r;
}

static struct str text_of(const struct agent_page_view *v, const struct series *s) {
    return (struct str){v->labels->p + s->at, s->len};
}

int agent_page_dcgm(struct prom_writer *w, const struct agent_page_view *v) {
    struct series_list list;
    vec_init(&list, LIMIT_GPU_ENTITIES_PER_NODE * LIMIT_OWNERS_PER_GPU);
    int r = encode_all(&list, v);
    for (unsigned i = 0; i < GPU_VALUE_MAX && !r; i++) {
        const struct gpu_value_info *info = &gpu_values[i];
        if (!info->dcgm)
            continue;
        prom_family(w, info->dcgm, info->counter ? PROM_COUNTER : PROM_GAUGE, info->help);
        for (size_t k = 0; k < list.n; k++) {
            double value;
            if (gpu_reading_get(&list.items[k].gpu->reading, (enum gpu_value)i, &value))
                prom_sample_text(w, text_of(v, &list.items[k]),
                                 agent_page_scaled(value, info->dcgm_factor));
        }
    }
    vec_done(&list);
    return r;
}

static void classic_family(struct prom_writer *w, const struct agent_page_view *v,
                           const struct series_list *list, const char *name, const char *help,
                           enum gpu_value i) {
    prom_family(w, name, PROM_GAUGE, help);
    for (size_t k = 0; k < list->n; k++) {
        double value;
        if (gpu_reading_get(&list->items[k].gpu->reading, i, &value))
            prom_sample_text(w, text_of(v, &list->items[k]), value);
    }
}

int agent_page_classic(struct prom_writer *w, const struct agent_page_view *v) {
    struct series_list list;
    vec_init(&list, LIMIT_GPU_ENTITIES_PER_NODE);
    int r = 0;
    buf_clear(v->labels);
    // One series a GPU even when pods share it: these names are summed and averaged by hand.
    for (uint32_t i = 0; i < v->state->n_gpus && !r; i++) {
        const struct agent_gpu *g = &v->state->gpus[i];
        struct label_set l;
        if (!agent_page_gpu_is_fresh(v, g))
            continue;
        gpu_labels(&l, v, &g->info);
        if (g->n_owners == 1)
            owner_labels(&l, &g->owners[0]);
        r = encode(&list, v, g, &l);
    }
    if (!r) {
        classic_family(w, v, &list, "gpu_utilization",
                       "Percent of time in which a kernel was resident on the GPU (0-100).",
                       GPU_UTILIZATION_PCT);
        classic_family(w, v, &list, "gpu_memory_used", "GPU memory in use, in bytes.",
                       GPU_MEMORY_USED_BYTES);
    }
    vec_done(&list);
    return r;
}
