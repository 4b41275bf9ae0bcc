// SPDX-License-Identifier: Apache-2.0
/*
 * The NVML source, shared by the files that make it: nvml.c (life cycle), nvml_enumerate.c (which
 * GPUs and instances), nvml_sample.c (their values), nvml_gpm.c (activity), nvml_events.c (XIDs).
 * All on the sampler thread.
 */
#pragma once

#include <stdbool.h>

#include "base/limits.h"
#include "gpu/nvml_api.h"
#include "gpu/source.h"

// What an entity is, as far as values are concerned.
enum nvml_kind {
    NVML_WHOLE = 1,    // a GPU without MIG
    NVML_BOARD = 2,    // a GPU whose MIG is on, or of which nobody knows whether it is
    NVML_INSTANCE = 4, // a compute instance of a GPU instance: what NVML calls a MIG device
};

enum nvml_gpm_state { NVML_GPM_NOT_ASKED, NVML_GPM_NO, NVML_GPM_YES };

struct nvml_gpm {
    struct nvml_gpm_sample *samples[2]; // [0]: of the last round
    bool has;                           // samples[0] was taken
    int64_t taken_ns;
    struct gpu_reading last; // what the last two said
};

// Calls that are not made again for a while once the GPU refused them.
enum { NVML_CALLS_MAX = 24 };

// A GPU or instance. Its place in the table is its slot, kept for its UUID unless the table is
// full.
struct nvml_entity {
    struct gpu_info info;
    bool listed;
    bool seen; // in the running enumeration
    bool lost; // does not answer; the handle is asked for again
    enum nvml_kind kind;
    struct nvml_dev *handle; // NULL: none now
    uint32_t parent;         // slot of an instance's GPU
    uint32_t compute_instance;
    bool shares_instance; // other compute instances use the same GPU instance
    enum nvml_gpm_state gpm_support;
    struct nvml_gpm gpm;
    bool xid_heard; // events reach us: `xid` says something
    uint32_t xid;
    uint64_t round;                     // in which it was sampled last
    int64_t refused_ns[NVML_CALLS_MAX]; // when a call was refused; 0: never
    uint64_t processes_us;              // of the newest sample of its processes, NVML's clock
    int64_t utilization_refused_ns;     // of its processes; 0: never
};

// Whether anything answers at all.
struct nvml_health {
    bool answered;    // something in this round
    int code;         // the first failure of this round that may be for good; 0: none
    const char *call; // which
    unsigned failed_rounds;
    int64_t failing_since_ns;
    int last_code; // of the last failed round
    const char *last_call;
};

struct nvml {
    struct nvml_api api;
    bool up; // nvmlInit succeeded and nvmlShutdown was not called since
    bool pcie;
    bool sees_processes; // no PID namespace of our own hides them
    char driver[GPU_DRIVER_MAX];
    uint64_t round; // rounds begun
    struct nvml_health health;
    int64_t restart_due_ns, restart_wait_ns; // 0: no GPU is lost
    unsigned unreadable; // GPUs that could not be opened in the last enumeration
    int unreadable_code;
    struct nvml_event_set *events; // NULL: none, or broken
    struct nvml_gpm_get *gpm_get;
    uint8_t *processes; // room for the library's list, grown when it is too small
    uint32_t processes_room;
    uint32_t *pids; // of one entity
    uint32_t pids_room;
    uint32_t used; // places of the table that a UUID has had
    struct nvml_entity entities[LIMIT_GPU_ENTITIES_PER_NODE];
};

static inline bool nvml_code_is_refusal(int code) {
    return code == NVML_NOT_SUPPORTED || code == NVML_FUNCTION_NOT_FOUND ||
           code == NVML_NO_PERMISSION || code == NVML_ARGUMENT_VERSION_MISMATCH ||
           code == NVML_DEPRECATED;
}
static inline bool nvml_code_is_loss(int code) {
    return code == NVML_GPU_IS_LOST || code == NVML_RESET_REQUIRED || code == NVML_GPU_NOT_FOUND;
}

// nvml.c
// The outcome of a call for a value, for the question whether anything answers; and that of
// another, whose success proves nothing: the library answers it from what it remembers.
void nvml_note(struct nvml *n, const char *call, int code);
void nvml_note_failure(struct nvml *n, const char *call, int code);
// A round ended at now_ns: 0, or ERR_CLOSED when too many in a row had no answer at all.
int nvml_judge_round(struct nvml *n, int64_t now_ns, struct err *e);

// nvml_enumerate.c
// Brings the table up to date. 0; ERR_UNAVAILABLE: what was listed stays; ERR_LIMIT.
int nvml_refresh(struct nvml *n, struct err *e);
// What the library wrote, NUL or not, as printable ASCII: it goes into labels and messages, which
// one odd byte would spoil for the whole node.
void nvml_copy_text(char *dst, size_t cap, const char *src, size_t src_cap);
// "1g.10gb" from the name that NVML gives an instance, else from its attributes and the GPU's
// memory; "" when neither tells.
void nvml_mig_profile(const char *name, const struct nvml_attributes *a, uint64_t gpu_bytes,
                      char *dst, size_t cap);

// nvml_sample.c
int nvml_read(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *ret,
              bool *ret_lost, struct err *e);
// Total memory, for the enumeration. An nvml_code.
int nvml_memory_total(struct nvml *n, struct nvml_dev *d, uint64_t *ret_bytes);

// nvml_processes.c
int nvml_read_processes(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                        struct gpu_reading *r);
// gpu_source_ops.processes of one GPU or instance.
int nvml_list_each(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_process *list,
                   size_t cap, size_t *ret_n, struct err *e);

// nvml_gpm.c
// An nvml_code; the values are of the time since the round before (none on the first).
int nvml_gpm_read(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *ret);
void nvml_gpm_forget(struct nvml *n, struct nvml_entity *g);

// nvml_events.c
void nvml_events_listen(struct nvml *n); // for each GPU that is not listened to yet
void nvml_events_drain(struct nvml *n);
void nvml_events_stop(struct nvml *n);
