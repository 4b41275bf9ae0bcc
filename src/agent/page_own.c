// SPDX-License-Identifier: Apache-2.0
/*
 * gpuscale's own series of GPUs: base units, two labels (gpu, uuid). Who holds a GPU and what it is
 * are series of their own (gpuscale_gpu_owner_info, gpuscale_gpu_info) to be joined on uuid, so
 * that a GPU which several pods share is never counted twice.
 */
#include "agent/page_gpu.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

// Where the label text of each GPU begins in the scratch buffer; [n_gpus] is the end.
struct offsets {
    size_t at[LIMIT_GPU_ENTITIES_PER_NODE + 1];
};

static struct str labels_of(const struct agent_page_view *v, const struct offsets *o, uint32_t i) {
    return (struct str){v->labels->p + o->at[i], o->at[i + 1] - o->at[i]};
}

static int encode_all(struct offsets *o, const struct agent_page_view *v) {
    buf_clear(v->labels);
    for (uint32_t i = 0; i < v->state->n_gpus; i++) {
        const struct gpu_info *info = &v->state->gpus[i].info;
        char index[16];
        snprintf(index, sizeof index, "%u", info->index);
        struct prom_label l[] = {{STR("gpu"), str_from(index)},
                                 {STR("uuid"), str_from(info->uuid)}};
        o->at[i] = v->labels->len;
        int r = prom_labels_encode(v->labels, l, COUNT_OF(l));
        if (r)
            return r;
    }
    o->at[v->state->n_gpus] = v->labels->len;
    return 0;
}

static void write_info(struct prom_writer *w, const struct agent_page_view *v) {
    prom_family(w, "gpuscale_gpu_info", PROM_INFO, "What a GPU is; always 1.");
    for (uint32_t i = 0; i < v->state->n_gpus; i++) {
        const struct gpu_info *g = &v->state->gpus[i].info;
        char index[16], instance[16];
        snprintf(index, sizeof index, "%u", g->index);
        snprintf(instance, sizeof instance, "%u", g->gpu_instance_id);
        struct prom_label l[] = {
            {STR("gpu"), str_from(index)},
            {STR("uuid"), str_from(g->uuid)},
            {STR("model"), str_from(g->model)},
            {STR("pci_bus_id"), str_from(g->pci_bus_id)},
            {STR("driver_version"), str_from(g->driver_version)},
            {STR("node"), str_from(v->node)},
            {STR("parent_uuid"), str_from(g->parent_uuid)},
            {STR("mig_profile"), str_from(g->mig_profile)},
            {STR("gpu_instance_id"), str_from(instance)},
        };
        prom_sample(w, l, g->parent_uuid[0] ? COUNT_OF(l) : COUNT_OF(l) - 3, 1);
    }
}

static void write_owners(struct prom_writer *w, const struct agent_page_view *v) {
    prom_family(w, "gpuscale_gpu_owner_info", PROM_INFO,
                "A container that holds the GPU; always 1. Join on uuid.");
    for (uint32_t i = 0; i < v->state->n_gpus; i++) {
        const struct agent_gpu *g = &v->state->gpus[i];
        char index[16];
        snprintf(index, sizeof index, "%u", g->info.index);
        for (uint32_t k = 0; k < g->n_owners; k++) {
            const struct gpu_owner *o = &g->owners[k];
            struct prom_label l[] = {
                {STR("gpu"), str_from(index)},
                {STR("uuid"), str_from(g->info.uuid)},
                {STR("namespace"), str_from(o->namespace_)},
                {STR("pod"), str_from(o->pod)},
                {STR("container"), str_from(o->container)},
                {STR("replica"), str_from(o->replica)},
            };
            prom_sample(w, l, o->replica[0] ? COUNT_OF(l) : COUNT_OF(l) - 1, 1);
        }
    }
}

static void write_states(struct prom_writer *w, const struct agent_page_view *v,
                         const struct offsets *o) {
    const struct agent_state *s = v->state;
    prom_family(w, "gpuscale_gpu_lost", PROM_GAUGE,
                "1 while the GPU was enumerated but does not answer, else 0.");
    for (uint32_t i = 0; i < s->n_gpus; i++)
        prom_sample_text(w, labels_of(v, o, i), s->gpus[i].lost);
    prom_family(w, "gpuscale_gpu_owner_known", PROM_GAUGE,
                "1 when it is known who holds the GPU (perhaps nobody), else 0.");
    for (uint32_t i = 0; i < s->n_gpus; i++)
        prom_sample_text(w, labels_of(v, o, i), s->gpus[i].owners_known);
    prom_family(w, "gpuscale_gpu_reading_age_seconds", PROM_GAUGE,
                "Age of the newest reading when this page was made.");
    for (uint32_t i = 0; i < s->n_gpus; i++)
        if (s->gpus[i].has_reading)
            prom_sample_text(w, labels_of(v, o, i),
                             (double)(v->now_ns - s->gpus[i].read_ns) / (double)NS_PER_S);
    prom_family(w, "gpuscale_gpu_memory_total_bytes", PROM_GAUGE, "Memory of the GPU.");
    for (uint32_t i = 0; i < s->n_gpus; i++)
        if (s->gpus[i].info.memory_total_bytes > 0)
            prom_sample_text(w, labels_of(v, o, i), (double)s->gpus[i].info.memory_total_bytes);
}

enum share_value { SHARE_PROCESSES, SHARE_MEMORY, SHARE_UTILIZATION };

static bool share_get(const struct agent_share *s, enum share_value i, double *ret) {
    switch (i) {
    case SHARE_PROCESSES:
        *ret = s->processes;
        return true;
    case SHARE_MEMORY:
        *ret = (double)s->memory_bytes;
        return s->has_memory;
    case SHARE_UTILIZATION:
        *ret = agent_page_scaled(s->utilization_pct, 0.01);
        return s->has_utilization;
    }
    return false;
}

static void write_share_values(struct prom_writer *w, const struct agent_page_view *v,
                               enum share_value what) {
    for (uint32_t i = 0; i < v->state->n_gpus; i++) {
        const struct agent_gpu *g = &v->state->gpus[i];
        char index[16];
        double value;
        snprintf(index, sizeof index, "%u", g->info.index);
        for (uint32_t k = 0; k < g->n_shares && agent_page_gpu_is_fresh(v, g); k++) {
            struct prom_label l[] = {{STR("gpu"), str_from(index)},
                                     {STR("uuid"), str_from(g->info.uuid)},
                                     {STR("pod_uid"), str_from(g->shares[k].pod_uid)},
                                     {STR("container_id"), str_from(g->shares[k].container_id)}};
            if (share_get(&g->shares[k], what, &value))
                prom_sample(w, l, COUNT_OF(l), value);
        }
    }
}

static void write_shares(struct prom_writer *w, const struct agent_page_view *v,
                         const struct offsets *o) {
    prom_family(
        w, "gpuscale_gpu_pod_processes_known", PROM_GAUGE,
        "1 when it is known which containers' processes use the GPU (perhaps none), else 0.");
    for (uint32_t i = 0; i < v->state->n_gpus; i++)
        prom_sample_text(w, labels_of(v, o, i), v->state->gpus[i].shares_known);
    prom_family(w, "gpuscale_gpu_pod_processes", PROM_GAUGE,
                "Processes of a container on the GPU; without a pod's UID: of the host.");
    write_share_values(w, v, SHARE_PROCESSES);
    prom_family(w, "gpuscale_gpu_pod_memory_used_bytes", PROM_GAUGE,
                "GPU memory that a container's processes use.");
    write_share_values(w, v, SHARE_MEMORY);
    prom_family(w, "gpuscale_gpu_pod_utilization_ratio", PROM_GAUGE,
                "Time in which kernels of a container's processes ran on the GPU.");
    write_share_values(w, v, SHARE_UTILIZATION);
}

// The table's help says dcgm-exporter's unit, "GPU utilization (in %)."; ours is in the name.
static void help_without_unit(const char *help, char *dst, size_t cap) {
    const char *unit = strstr(help, " (in ");
    if (unit)
        snprintf(dst, cap, "%.*s.", (int)(unit - help), help);
    else
        snprintf(dst, cap, "%s", help);
}

int agent_page_own_gpus(struct prom_writer *w, const struct agent_page_view *v) {
    struct offsets o;
    int r = encode_all(&o, v);
    if (r)
        return r;
    write_info(w, v);
    write_owners(w, v);
    write_states(w, v, &o);
    if (v->options->shares)
        write_shares(w, v, &o);
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++) {
        const struct gpu_value_info *info = &gpu_values[i];
        if (!info->own)
            continue;
        char help[128];
        help_without_unit(info->help, help, sizeof help);
        prom_family(w, info->own, info->counter ? PROM_COUNTER : PROM_GAUGE, help);
        for (uint32_t k = 0; k < v->state->n_gpus; k++) {
            const struct agent_gpu *g = &v->state->gpus[k];
            double value;
            if (agent_page_gpu_is_fresh(v, g) &&
                gpu_reading_get(&g->reading, (enum gpu_value)i, &value))
                prom_sample_text(w, labels_of(v, &o, k),
                                 agent_page_scaled(value, info->own_factor));
        }
    }
    return 0;
}
