// SPDX-License-Identifier: Apache-2.0
/*
 * The processes on a GPU or instance: how many there are, and, when asked for, which and what each
 * uses. NVML lists computing, drawing and MPS apart; a process may be in several lists.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/nvml_internal.h"

static const int64_t refused_for_ns = 600 * NS_PER_S;

// Asks one list until it fits: the number of entries in n->processes, or an nvml_code < 0.
static int list_processes(struct nvml *n, struct nvml_dev *d,
                          int (*call)(struct nvml_dev *, uint32_t *, void *), uint32_t entry_bytes,
                          uint32_t *ret_n) {
    for (int attempt = 0; attempt < 4; attempt++) {
        uint32_t count = n->processes_room / entry_bytes;
        int code = call(d, &count, n->processes);
        if (code != NVML_INSUFFICIENT_SIZE) {
            *ret_n = count;
            return code;
        }
        uint32_t want = count + 16; // more may start until the next call
        if (want > LIMIT_NVML_PROCESSES)
            return NVML_INSUFFICIENT_SIZE;
        uint8_t *more = mem_resize(n->processes, want, entry_bytes);
        if (!more)
            return NVML_MEMORY;
        n->processes = more;
        n->processes_room = want * entry_bytes;
    }
    return NVML_INSUFFICIENT_SIZE;
}

// A process that computes and draws is in both lists, and counts once.
static int add_pids(struct nvml *n, uint32_t entries, uint32_t entry_bytes, uint32_t *count) {
    if (*count + entries > n->pids_room) {
        uint32_t *more = mem_resize(n->pids, *count + entries, sizeof *more);
        if (!more)
            return NVML_MEMORY;
        n->pids = more;
        n->pids_room = *count + entries;
    }
    uint32_t before = *count;
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t pid, k = 0;
        memcpy(&pid, n->processes + (size_t)i * entry_bytes, sizeof pid);
        while (k < before && n->pids[k] != pid)
            k++;
        if (k == before)
            n->pids[(*count)++] = pid;
    }
    return NVML_SUCCESS;
}

// nvmlProcessInfo_t begins with the PID in each of its versions; they differ in size.
enum { PROCESS_BYTES = 24, PROCESS_BYTES_V1 = 16 };

int nvml_read_processes(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                        struct gpu_reading *r) {
    const struct nvml_api *a = &n->api;
    struct {
        int (*call)(struct nvml_dev *, uint32_t *, void *);
        int (*older)(struct nvml_dev *, uint32_t *, void *);
    } lists[] = {{a->compute_processes, a->compute_processes_v1},
                 {a->graphics_processes, a->graphics_processes_v1},
                 {a->mps_processes, NULL}};
    uint32_t count = 0;
    for (unsigned i = 0; i < COUNT_OF(lists); i++) {
        uint32_t entries = 0, bytes = lists[i].call ? PROCESS_BYTES : PROCESS_BYTES_V1;
        int code = NVML_FUNCTION_NOT_FOUND;
        if (lists[i].call || lists[i].older)
            code = list_processes(n, g->handle, lists[i].call ? lists[i].call : lists[i].older,
                                  bytes, &entries);
        if (code == NVML_SUCCESS)
            code = add_pids(n, entries, bytes, &count);
        // Graphics and MPS are not everywhere; computing is.
        if (code && (i == 0 || !nvml_code_is_refusal(code)))
            return code;
    }
    // In a PID namespace of our own, nothing seen may be something hidden.
    if (count > 0 || n->sees_processes)
        gpu_reading_set(r, GPU_PROCESSES, count);
    return NVML_SUCCESS;
}

// --- each process

// An entry of the lists; older libraries know no memory of a process that they cannot see into.
static void take_process(struct gpu_process *p, const uint8_t *entry) {
    uint64_t bytes;
    memcpy(&bytes, entry + 8, sizeof bytes);
    if (bytes == NVML_VALUE_NOT_AVAILABLE)
        return;
    p->has_memory = true;
    p->memory_bytes += bytes;
}

static int merge_entries(struct nvml *n, uint32_t entries, uint32_t entry_bytes,
                         struct gpu_process *list, size_t cap, size_t *count) {
    size_t before = *count;
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t *entry = n->processes + (size_t)i * entry_bytes;
        uint32_t pid;
        size_t k = 0;
        memcpy(&pid, entry, sizeof pid);
        while (k < before && list[k].pid != pid)
            k++;
        if (k < before)
            continue; // both lists give its whole memory
        if (*count == cap)
            return NVML_INSUFFICIENT_SIZE;
        list[*count] = (struct gpu_process){.pid = pid};
        take_process(&list[(*count)++], entry);
    }
    return NVML_SUCCESS;
}

static struct gpu_process *find(struct gpu_process *list, size_t n, uint32_t pid) {
    for (size_t i = 0; i < n; i++)
        if (list[i].pid == pid)
            return &list[i];
    return NULL;
}

// The samples that the driver took since the last call: of each process that was busy, any number.
static int sample_utilization(struct nvml *n, struct nvml_entity *g, uint32_t *ret_samples) {
    for (int attempt = 0; attempt < 4; attempt++) {
        uint32_t count = n->processes_room / sizeof(struct nvml_process_sample);
        int code = n->api.process_utilization(
            g->handle, (struct nvml_process_sample *)(void *)n->processes, &count, g->processes_us);
        *ret_samples = count;
        if (code != NVML_INSUFFICIENT_SIZE)
            return code;
        if (count > LIMIT_NVML_SAMPLES)
            return code;
        uint8_t *more = mem_resize(n->processes, count + 16, sizeof(struct nvml_process_sample));
        if (!more)
            return NVML_MEMORY;
        n->processes = more;
        n->processes_room = (count + 16) * (uint32_t)sizeof(struct nvml_process_sample);
    }
    return NVML_INSUFFICIENT_SIZE;
}

// The newest sample of each process; one that has none was idle. Where the driver has taken no
// sample at all yet, or refuses, none is known.
static void add_utilization(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                            struct gpu_process *list, size_t count) {
    uint32_t samples = 0;
    uint64_t before_us = g->processes_us;
    if (g->kind != NVML_WHOLE || !n->api.process_utilization ||
        (g->utilization_refused_ns && now_ns - g->utilization_refused_ns < refused_for_ns))
        return;
    int code = sample_utilization(n, g, &samples);
    g->utilization_refused_ns = nvml_code_is_refusal(code) ? now_ns : 0;
    if (code == NVML_NOT_FOUND && before_us > 0)
        samples = 0;
    else if (code)
        return;
    for (size_t i = 0; i < count; i++)
        list[i].has_utilization = true;
    const struct nvml_process_sample *s = (const struct nvml_process_sample *)(void *)n->processes;
    for (uint32_t i = 0; i < samples; i++) {
        struct gpu_process *p = find(list, count, s[i].pid);
        if (s[i].time_us > g->processes_us)
            g->processes_us = s[i].time_us;
        if (!p || s[i].time_us < p->sampled_us)
            continue;
        p->sampled_us = s[i].time_us;
        p->utilization_pct = s[i].sm_pct;
    }
}

int nvml_list_each(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_process *list,
                   size_t cap, size_t *ret_n, struct err *e) {
    const struct nvml_api *a = &n->api;
    struct {
        int (*call)(struct nvml_dev *, uint32_t *, void *);
        int (*older)(struct nvml_dev *, uint32_t *, void *);
    } lists[] = {{a->compute_processes, a->compute_processes_v1},
                 {a->graphics_processes, a->graphics_processes_v1}};
    uint32_t entries = 0;
    size_t count = 0;
    if (g->kind == NVML_BOARD)
        return err_set(e, ERR_UNSUPPORTED, "a GPU with MIG on: its instances tell");
    // Under MPS the work of all clients runs in a server's context: whose it is nobody tells.
    if (!a->mps_processes)
        return err_set(e, ERR_UNSUPPORTED, "the driver does not tell whether MPS shares the GPU");
    int mps = list_processes(n, g->handle, a->mps_processes, PROCESS_BYTES, &entries);
    if (mps == NVML_SUCCESS && entries > 0)
        return err_set(e, ERR_UNSUPPORTED, "MPS shares the GPU");
    if (mps && !nvml_code_is_refusal(mps))
        return err_set(e, ERR_UNAVAILABLE, "GPU %u (%s): its MPS clients: %s", g->info.index,
                       g->info.uuid, nvml_code_name(mps));
    for (unsigned i = 0; i < COUNT_OF(lists); i++) {
        uint32_t bytes = lists[i].call ? PROCESS_BYTES : PROCESS_BYTES_V1;
        int code = NVML_FUNCTION_NOT_FOUND;
        if (lists[i].call || lists[i].older)
            code = list_processes(n, g->handle, lists[i].call ? lists[i].call : lists[i].older,
                                  bytes, &entries);
        if (code == NVML_SUCCESS)
            code = merge_entries(n, entries, bytes, list, cap, &count);
        if (code && (i == 0 || !nvml_code_is_refusal(code)))
            return err_set(e, ERR_UNAVAILABLE, "GPU %u (%s): its processes: %s", g->info.index,
                           g->info.uuid, nvml_code_name(code));
    }
    add_utilization(n, g, now_ns, list, count);
    *ret_n = count;
    return 0;
}
