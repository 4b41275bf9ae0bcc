// SPDX-License-Identifier: Apache-2.0
/* What the feed keeps of a ScaledObject that it shows, and the frame that is made of it. */
#pragma once

#include "report/live.h"
#include "scaler/io.h"

enum { LIVE_IDLE_PCT = 5 }; // a GPU below so much utilization is idle

struct live_gpu {
    struct frame_gpu shown;
    char pod[KUBE_NAME_MAX], node[KUBE_NAME_MAX];
};

struct live_policy {
    uint64_t object; // its id
    char id[24];     // the same as text
    char label[2 * KUBE_NAME_MAX];
    uint64_t told;        // sequence of the last decision that a frame had
    int64_t at_ns;        // of the last frame; 0: none yet
    double gpu_s, idle_s; // held since the first frame, as far as it is known
    bool gpus_known;      // a GPU was ever seen: else GPU time is unknown
    double held, idle;    // GPUs now, also those beyond the list; a shared one in equal parts
    unsigned gpu_n;
    struct live_gpu gpus[LIMIT_LIVE_GPUS];
};

// Finds the GPUs that the pods of these objects hold.
void live_gather_gpus(const struct io *io, struct live_policy *policies, size_t n, int64_t now_ns);
// Adds the object's frame to the log. Errors: those of live_frame().
int live_add_frame(struct live *log, struct live_policy *p, const struct object *o, int64_t now_ns,
                   int64_t start_ns);
