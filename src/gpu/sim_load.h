// SPDX-License-Identifier: Apache-2.0
/*
 * Load that somebody else plays: a unix datagram socket on which the one who does the work (the
 * mock engine, a test, a shell) says how busy each simulated GPU is.
 *
 * A datagram holds one line for each GPU, of space-separated key=value words:
 *
 *     gpu=0 busy=0.8 memory_used_bytes=64424509440 ttl_ms=3000
 *
 *     gpu                the GPU's index, or * for all                          (required)
 *     busy               0..1, time in which a kernel is resident               (required)
 *     pid                the line tells of one process on the GPU, as the host numbers it: its own
 *                        busy, and memory_used_bytes (left out: not known)
 *     sm tensor dram     0..1, activity of the units; derived from busy when left out
 *     memory_used_bytes  bytes; derived from busy when left out
 *     ttl_ms             for how long this holds, 1..600000; 3000 when left out
 *
 * What is not refreshed within its ttl expires: the process is gone, the GPU follows its scenario
 * again. A GPU of which only processes are told does what they do together. A datagram with
 * a mistake changes nothing, is counted, and is answered with "error: REASON" when its sender has
 * bound an address. Nothing blocks: at most LIMIT_SIM_LOAD_DATAGRAMS are read in one call.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "gpu/sim_model.h"
#include "gpu/source.h"

struct sim_load;
struct sim_load_line {
    uint32_t gpu; // UINT32_MAX: all
    uint32_t pid; // 0: the line is of the GPU itself
    struct sim_activity activity;
    int64_t ttl_ns;
};

// Binds `path` (a stale socket there is replaced, anything else is an error) for n GPUs.
int sim_load_open(struct sim_load **ret, const char *path, uint32_t n, struct err *e);
struct sim_load *sim_load_close(struct sim_load *l); // removes the socket
// Takes what has arrived.
void sim_load_poll(struct sim_load *l, int64_t now_ns);
// The activity told for a GPU, or of its processes together; false: none, or expired.
bool sim_load_get(const struct sim_load *l, uint32_t gpu, int64_t now_ns, struct sim_activity *ret);
// The processes told for a GPU, at most `cap` of them into `list` (NULL: they are counted); how
// many.
size_t sim_load_processes(const struct sim_load *l, uint32_t gpu, int64_t now_ns,
                          struct gpu_process *list, size_t cap);
uint64_t sim_load_refused(const struct sim_load *l); // datagrams with a mistake

// Of one line, for tests and fuzzing. ERR_PARSE with the word.
int sim_load_parse(struct str line, uint32_t n, struct sim_load_line *ret, struct err *e);
