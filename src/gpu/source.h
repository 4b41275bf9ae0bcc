// SPDX-License-Identifier: Apache-2.0
/*
 * A GPU source: what the agent's sampler thread reads. One table of operations each (nvml,
 * replay, sim; amd, intel later), all in one visible array. Every call may block for as long as a
 * driver hangs: only the sampler thread calls them, after gpu_source_open() too.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "core/signal/reading.h"

// A GPU as the source numbers it; stable between two enumerations.
struct gpu_device {
    uint32_t slot; // < LIMIT_GPU_ENTITIES_PER_NODE; the source's own index
    struct gpu_info info;
};

enum gpu_sample_result {
    GPU_SAMPLE_OK,   // the reading holds what is known (perhaps nothing)
    GPU_SAMPLE_LOST, // the GPU fell off the bus or left; it may come back
};

// A process on a GPU, by the PID that the host's PID namespace gives it.
struct gpu_process {
    uint32_t pid;
    bool has_memory, has_utilization;
    uint64_t memory_bytes;
    double utilization_pct; // 0..100, of the time since the call before
    uint64_t sampled_us;    // the source's own
};

struct gpu_source_ops {
    const char *name; // "sim"
    const char *help; // for --help: "sim:N[,SCENARIO]  ..."
    bool hardware;    // reads real GPUs: tried by "auto" (with empty arguments)
    // `args`: what stands after "name:" (empty when nothing). Sets *ret_state.
    int (*open)(struct str args, void **ret_state, struct err *e);
    // Fills up to `cap` devices. GPUs may come and go: called again each 10 s, and after a LOST.
    // ERR_UNAVAILABLE etc.: what was enumerated before stays. ERR_CLOSED: failed for good.
    int (*enumerate)(void *state, int64_t now_ns, struct gpu_device *devices, size_t cap,
                     size_t *ret_n, struct err *e);
    // Reads one GPU at `now_ns` (monotonic). ERR_UNAVAILABLE etc.: the driver failed for this
    // call, the reading is unknown. ERR_CLOSED: failed for good, the agent ends with the message.
    int (*sample)(void *state, uint32_t slot, int64_t now_ns, struct gpu_reading *ret_reading,
                  enum gpu_sample_result *ret_result, struct err *e);
    // The processes on a GPU, after a sample() of it that was OK. NULL: this source cannot tell.
    // ERR_UNSUPPORTED: what they use cannot be told (MPS); ERR_UNAVAILABLE etc. as sample().
    int (*processes)(void *state, uint32_t slot, int64_t now_ns, struct gpu_process *list,
                     size_t cap, size_t *ret_n, struct err *e);
    void (*close)(void *state);
    // One line for the log that says what was opened, seed included: "4 GPUs, ramp, seed 1".
    void (*describe)(void *state, char *dst, size_t cap);
};

extern const struct gpu_source_ops *const gpu_sources[]; // ends with NULL; order = what auto tries

struct gpu_source {
    const struct gpu_source_ops *ops;
    void *state;
};

// "sim:8,ramp", "replay:FILE", "auto". auto takes the first hardware source that opens; ret says
// which; ERR_NOTFOUND when there is none. ERR_INVALID names the source, what is allowed and the
// nearest name; ERR_UNSUPPORTED: a source that exists but is not in this build.
int gpu_source_open(struct str spec, struct gpu_source *ret, struct err *e);
void gpu_source_close(struct gpu_source *s);
