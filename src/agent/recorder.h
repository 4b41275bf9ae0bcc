// SPDX-License-Identifier: Apache-2.0
/*
 * Writes what was sampled into a recording (gpu/recording.h). Of the sampler thread, as the disk
 * may block; rounds are written as they end, so that a file that was cut off is whole but for its
 * end.
 */
#pragma once

#include "agent/round.h"
#include "base/buf.h"
#include "base/limits.h"

struct agent_recorder {
    int fd; // -1: nothing is recorded
    char *path;
    struct buf text;
    int64_t start_ns;
    bool started;
    uint64_t known[LIMIT_GPU_ENTITIES_PER_NODE / 64]; // slots whose info was written
};

// Creates (or empties) the file; `path` NULL: records nothing.
int agent_recorder_open(struct agent_recorder *r, const char *path, struct err *e);
void agent_recorder_close(struct agent_recorder *r);
// `devices`: those that the round's samples are of, in their order.
int agent_recorder_round(struct agent_recorder *r, const struct agent_round *round,
                         const struct gpu_device *devices, uint32_t n_devices, struct err *e);
