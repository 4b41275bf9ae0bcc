// SPDX-License-Identifier: Apache-2.0
/*
 * Recorded readings: a CSV file (RFC 4180) that any table tool opens. The first line names the
 * columns, in any order; each later one is one GPU at one time, times never falling:
 *
 *     time_s,gpu,state,uuid,model,utilization_pct,power_w
 *     0,0,,GPU-6f0c...,NVIDIA H100 80GB HBM3,35,310.5
 *     1,0,,,,37,
 *     2,0,lost,,,,
 *
 *     time_s, gpu   required: seconds since the start, and the source's number of the GPU
 *     state         empty or ok; error: the driver did not answer; lost: off the bus; gone: no
 *                   longer there (it is not enumerated until its next row)
 *     uuid model pci_bus_id driver_version index memory_total_bytes parent_uuid gpu_instance_id
 *     mig_profile   what the GPU is: on its first row (uuid at least); empty later, or the same
 *     (others)      names of core/signal/reading.h; an empty field is a value that is unknown
 *
 * Lines that start with # and empty lines are skipped.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/vec.h"
#include "core/signal/reading.h"

enum recording_state { RECORDING_OK, RECORDING_ERROR, RECORDING_LOST, RECORDING_GONE };

struct recording_row {
    int64_t t_ns;
    uint64_t valid;
    size_t values; // where its known values begin, in bit order
    enum recording_state state;
};

struct recording_gpu {
    struct gpu_info info;
    struct VEC(struct recording_row) rows; // never empty for a GPU that exists
};

struct recording {
    struct recording_gpu gpus[LIMIT_GPU_ENTITIES_PER_NODE];
    struct VEC(double) values;
    int64_t length_ns; // from the first row's time to one step after the last's; > 0
};

// ERR_PARSE "FILE:LINE:COLUMN: what and what was expected"; `file` is for messages.
int recording_parse(struct recording **ret, struct str text, const char *file, struct err *e);
struct recording *recording_free(struct recording *r);
// The row of a GPU that holds at t_ns (0 = the first row of the file); NULL: not there yet.
const struct recording_row *recording_at(const struct recording *r, uint32_t gpu, int64_t t_ns);
void recording_read(const struct recording *r, const struct recording_row *row,
                    struct gpu_reading *ret);

// Writes the format. `info` with the first row of a GPU, NULL later. 0, ERR_LIMIT, ERR_NOMEM.
int recording_write_head(struct buf *b);
int recording_write_row(struct buf *b, int64_t t_ns, uint32_t gpu, enum recording_state state,
                        const struct gpu_info *info, const struct gpu_reading *reading);
