// SPDX-License-Identifier: Apache-2.0
/*
 * What the sampler thread hands to the I/O thread: one round over all GPUs, an immutable message
 * that travels through the queue and belongs to whoever took it out.
 */
#pragma once

#include "agent/shares.h"
#include "base/err.h"
#include "core/signal/reading.h"
#include "gpu/source.h"

enum agent_round_kind {
    AGENT_ROUND_OPENED,  // the source is open
    AGENT_ROUND_SAMPLED, // a round ended
    AGENT_ROUND_FAILED,  // the source failed for good (`failure`): nothing comes after it
};

enum agent_sample_state {
    AGENT_SAMPLE_OK,
    AGENT_SAMPLE_FAILED, // the driver did not answer for this GPU
    AGENT_SAMPLE_LOST,
};

struct agent_sample {
    uint32_t slot;
    enum agent_sample_state state;
    int64_t at_ns;              // when the reading was complete
    struct gpu_reading reading; // of AGENT_SAMPLE_OK
    // What containers' processes use of it: n_shares of the round's, from shares_at on.
    bool shares_known;
    uint32_t shares_at, n_shares;
};

struct agent_round {
    enum agent_round_kind kind;
    int64_t begun_ns, ended_ns; // monotonic
    struct err failure;         // FAILED; SAMPLED: the first failed call of the round, or code 0
    uint32_t failed_calls;
    bool enumerated; // devices[] is the list of all GPUs there are
    uint32_t n_devices, n_samples;
    struct gpu_device *devices; // with enumerated
    struct agent_sample *samples;
    struct agent_share_list shares; // of all GPUs
    char text[ERR_MSG_MAX]; // OPENED: what was opened; SAMPLED: why the recording ended, or ""
};

// Room for n devices and samples; NULL: no memory.
struct agent_round *agent_round_new(enum agent_round_kind kind, uint32_t n);
struct agent_round *agent_round_free(struct agent_round *r);
