// SPDX-License-Identifier: Apache-2.0
/*
 * See nvml.h: the life of the source. While a GPU is lost the library is shut down and started
 * again from time to time, for it learns of GPUs that came back (after a reset, say) only then.
 */
#include "gpu/nvml.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/nvml_internal.h"

static const int64_t restart_first_ns = 10 * NS_PER_S;
static const int64_t restart_most_ns = 600 * NS_PER_S;
// So long, and in so many rounds, no call was answered: it will not get better.
static const int64_t dead_after_ns = 10 * NS_PER_S;
enum { DEAD_ROUNDS = 3 };

static bool is_for_good(int code) {
    return code == NVML_UNKNOWN || code == NVML_UNINITIALIZED || code == NVML_DRIVER_NOT_LOADED ||
           code == NVML_LIB_RM_VERSION_MISMATCH || code == NVML_NO_PERMISSION;
}

void nvml_note_failure(struct nvml *n, const char *call, int code) {
    if (!n->health.code && is_for_good(code)) {
        n->health.code = code;
        n->health.call = call;
    }
}

void nvml_note(struct nvml *n, const char *call, int code) {
    if (code == NVML_SUCCESS || nvml_code_is_loss(code))
        n->health.answered = true;
    nvml_note_failure(n, call, code);
}

int nvml_judge_round(struct nvml *n, int64_t now_ns, struct err *e) {
    struct nvml_health *h = &n->health;
    bool answered = h->answered;
    if (answered) {
        h->failed_rounds = 0;
    } else if (h->code) {
        if (h->failed_rounds++ == 0)
            h->failing_since_ns = now_ns;
        h->last_code = h->code;
        h->last_call = h->call;
    }
    h->answered = false;
    h->code = 0;
    int64_t for_ns = now_ns - h->failing_since_ns;
    if (h->failed_rounds == 0 || (h->last_code != NVML_LIB_RM_VERSION_MISMATCH &&
                                  (h->failed_rounds < DEAD_ROUNDS || for_ns < dead_after_ns)))
        return 0;
    return err_set(e, ERR_CLOSED,
                   "no NVML call was answered for %lld s, the last one (%s) with %s%s; "
                   "ending, so that the container is restarted",
                   (long long)(for_ns / NS_PER_S), h->last_call, nvml_code_name(h->last_code),
                   nvml_code_remedy(h->last_code));
}

// --- the library's own life

static int start_library(struct nvml *n, struct err *e) {
    int code = n->api.init();
    if (code) {
        nvml_note_failure(n, "nvmlInit_v2", code);
        return err_set(e, ERR_UNAVAILABLE, "nvmlInit_v2: %s%s", nvml_code_name(code),
                       nvml_code_remedy(code));
    }
    n->up = true;
    char version[GPU_DRIVER_MAX] = "";
    if (n->api.driver_version(version, sizeof version) == NVML_SUCCESS)
        nvml_copy_text(n->driver, sizeof n->driver, version, sizeof version);
    return 0;
}

static void stop_library(struct nvml *n) {
    nvml_events_stop(n);
    for (unsigned i = 0; i < n->used; i++) {
        nvml_gpm_forget(n, &n->entities[i]);
        n->entities[i].handle = NULL;
    }
    if (n->up)
        n->api.shutdown();
    n->up = false;
}

static bool any_lost(const struct nvml *n) {
    for (unsigned i = 0; i < n->used; i++)
        if (n->entities[i].listed && n->entities[i].lost && n->entities[i].kind != NVML_INSTANCE)
            return true;
    return false;
}

// ERR_UNAVAILABLE: the library is down, and tried again later.
static int restart_if_due(struct nvml *n, int64_t now_ns, struct err *e) {
    if (n->up && !any_lost(n)) {
        n->restart_due_ns = 0;
        return 0;
    }
    if (n->restart_due_ns == 0) {
        n->restart_wait_ns = restart_first_ns;
        n->restart_due_ns = now_ns + n->restart_wait_ns;
    }
    if (now_ns < n->restart_due_ns)
        return n->up ? 0
                     : err_set(e, ERR_UNAVAILABLE, "NVML is down and is started again in %lld s",
                               (long long)((n->restart_due_ns - now_ns) / NS_PER_S + 1));
    n->restart_wait_ns *= 2;
    if (n->restart_wait_ns > restart_most_ns)
        n->restart_wait_ns = restart_most_ns;
    stop_library(n);
    int r = start_library(n, e);
    n->restart_due_ns = now_ns + (r ? restart_first_ns : n->restart_wait_ns);
    return r;
}

// --- opening

struct options {
    char library[4096];
    bool pcie;
};

static int parse_args(struct options *o, struct str args, struct err *e) {
    static const char *const words[] = {"library", "pcie", NULL};
    while (args.n > 0) {
        struct str word = str_cut(&args, ','), value = word, key = str_cut(&value, '=');
        if (str_eqc(word, "pcie")) {
            o->pcie = true;
        } else if (str_eqc(key, "library")) {
            if (value.n == 0 || value.p[0] != '/' || str_copy(o->library, sizeof o->library, value))
                return err_set(e, ERR_INVALID,
                               "library=\"" STR_FMT "\" is not an absolute path of a file",
                               STR_ARG(value));
        } else {
            const char *near = str_nearest(key, words);
            return err_set(e, ERR_INVALID,
                           "unknown word \"" STR_FMT "\"%s%s%s; there are library=PATH and pcie",
                           STR_ARG(word), near ? " (did you mean \"" : "", near ? near : "",
                           near ? "\"?)" : "");
        }
    }
    return 0;
}

// NVML lists PIDs as the host counts them, and where a PID namespace hides them it lists none. The
// initial namespace has this number on every Linux.
static bool sees_processes(void) {
    char text[64];
    ssize_t length = readlink("/proc/self/ns/pid", text, sizeof text - 1);
    return length > 0 && (text[length] = 0, strcmp(text, "pid:[4026531836]") == 0);
}

static unsigned count_listed(const struct nvml *n, bool instances) {
    unsigned count = 0;
    for (unsigned i = 0; i < n->used; i++)
        count += n->entities[i].listed && (n->entities[i].kind == NVML_INSTANCE) == instances;
    return count;
}

static int first_look(struct nvml *n, struct err *e) {
    int r = nvml_refresh(n, e);
    if (r)
        return r;
    if (count_listed(n, false) > 0)
        return 0;
    if (n->unreadable > 0)
        return err_set(e, ERR_UNAVAILABLE, "none of %u GPUs can be opened: %s%s", n->unreadable,
                       nvml_code_name(n->unreadable_code), nvml_code_remedy(n->unreadable_code));
    return err_set(e, ERR_NOTFOUND,
                   "NVIDIA driver %s works and shows no GPU: this node has none, another driver "
                   "(vfio-pci) holds them, or the container was given none "
                   "(NVIDIA_VISIBLE_DEVICES=all)",
                   n->driver);
}

static void nvml_close(void *state) {
    struct nvml *n = state;
    stop_library(n);
    nvml_api_unload(&n->api);
    mem_free(n->gpm_get);
    mem_free(n->processes);
    mem_free(n->pids);
    mem_free(n);
}

static int nvml_open(struct str args, void **ret_state, struct err *e) {
    enum { FIRST_PROCESSES = 64, PROCESS_BYTES = 24 };
    struct options o = {0};
    int r = parse_args(&o, args, e);
    if (r)
        return r;
    struct nvml *n = mem_zalloc(sizeof *n);
    if (!n)
        return err_set(e, ERR_NOMEM, "no memory for NVML");
    n->pcie = o.pcie;
    n->sees_processes = sees_processes();
    n->gpm_get = mem_zalloc(sizeof *n->gpm_get);
    n->processes_room = FIRST_PROCESSES * PROCESS_BYTES;
    n->processes = mem_zalloc(n->processes_room);
    if (!n->gpm_get || !n->processes)
        r = err_set(e, ERR_NOMEM, "no memory for NVML");
    if (!r)
        r = nvml_api_load(&n->api, o.library, e);
    if (!r)
        r = start_library(n, e);
    if (!r)
        r = first_look(n, e);
    if (r) {
        nvml_close(n);
        return r;
    }
    *ret_state = n;
    return 0;
}

// --- operations

static int nvml_enumerate(void *state, int64_t now_ns, struct gpu_device *devices, size_t cap,
                          size_t *ret_n, struct err *e) {
    struct nvml *n = state;
    size_t count = 0;
    int r = restart_if_due(n, now_ns, e);
    if (!r)
        r = nvml_refresh(n, e);
    if (r) {
        struct err end = {0};
        if (nvml_judge_round(n, now_ns, &end) == 0)
            return r;
        *e = end;
        return ERR_CLOSED;
    }
    for (uint32_t i = 0; i < n->used; i++) {
        if (!n->entities[i].listed)
            continue;
        if (count == cap)
            return err_set(e, ERR_LIMIT, "more than %zu GPUs and MIG instances", cap);
        devices[count++] = (struct gpu_device){.slot = i, .info = n->entities[i].info};
    }
    *ret_n = count;
    return 0;
}

static int nvml_sample(void *state, uint32_t slot, int64_t now_ns, struct gpu_reading *ret_reading,
                       enum gpu_sample_result *ret_result, struct err *e) {
    struct nvml *n = state;
    if (slot >= n->used || !n->entities[slot].listed)
        return err_set(e, ERR_NOTFOUND, "there is no GPU in slot %u", slot);
    struct nvml_entity *g = &n->entities[slot];
    if (g->round == n->round) { // sampled already: another round begins
        int r = nvml_judge_round(n, now_ns, e);
        if (r)
            return r;
        n->round++;
        if (n->up)
            nvml_events_drain(n);
    }
    g->round = n->round;
    if (!n->up)
        return err_set(e, ERR_UNAVAILABLE, "GPU %u (%s): NVML is down", g->info.index,
                       g->info.uuid);
    // An instance goes with its GPU: its own calls may still be answered from memory.
    bool gpu_lost = g->kind == NVML_INSTANCE && n->entities[g->parent].lost;
    bool lost = true;
    *ret_reading = (struct gpu_reading){0};
    if (g->handle && !gpu_lost) {
        int r = nvml_read(n, g, now_ns, ret_reading, &lost, e);
        if (r)
            return r;
    }
    g->lost = lost;
    *ret_result = lost ? GPU_SAMPLE_LOST : GPU_SAMPLE_OK;
    return 0;
}

static int nvml_processes(void *state, uint32_t slot, int64_t now_ns, struct gpu_process *list,
                          size_t cap, size_t *ret_n, struct err *e) {
    struct nvml *n = state;
    struct nvml_entity *g = slot < n->used ? &n->entities[slot] : NULL;
    if (!g || !g->listed || !g->handle || g->lost || !n->up)
        return err_set(e, ERR_UNAVAILABLE, "no GPU answers in slot %u", slot);
    return nvml_list_each(n, g, now_ns, list, cap, ret_n, e);
}

static void nvml_describe(void *state, char *dst, size_t cap) {
    const struct nvml *n = state;
    unsigned gpus = count_listed(n, false), instances = count_listed(n, true);
    char mig[48] = "", more[96] = "";
    if (instances > 0)
        snprintf(mig, sizeof mig, ", %u MIG instance%s", instances, instances == 1 ? "" : "s");
    if (n->unreadable > 0)
        snprintf(more, sizeof more, ", %u more cannot be opened: %s", n->unreadable,
                 nvml_code_name(n->unreadable_code));
    snprintf(dst, cap, "NVML: %u GPU%s%s%s, driver %s, %s", gpus, gpus == 1 ? "" : "s", mig, more,
             n->driver, n->api.path);
}

const struct gpu_source_ops gpu_nvml = {
    .name = "nvml",
    .help = "nvml[:library=PATH][,pcie]  NVIDIA GPUs and MIG instances; pcie: PCIe throughput of "
            "GPUs\n    older than Hopper too (40 ms a GPU and round)",
    .hardware = true,
    .open = nvml_open,
    .enumerate = nvml_enumerate,
    .sample = nvml_sample,
    .processes = nvml_processes,
    .close = nvml_close,
    .describe = nvml_describe,
};
