// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent knows of its node: GPUs, their newest readings, who holds them; and what changed
 * since when. Belongs to the I/O thread; reads no clock. Every change takes the next number of
 * `version`, so that a stream that was told version V needs what is newer than V, however much it
 * slept through.
 */
#pragma once

#include "agent/owners.h"
#include "agent/round.h"

struct agent_gpu {
    uint32_t id; // of this GPU in this run of the agent, never used again
    uint32_t slot;
    struct gpu_info info;
    bool lost;
    bool has_reading;
    int64_t read_ns; // when the reading was taken
    struct gpu_reading reading;
    bool owners_known;
    uint32_t n_owners;
    struct gpu_owner *owners;
    bool shares_known; // what containers' processes use of it
    uint32_t n_shares;
    struct agent_share *shares;
    uint64_t changed;      // version of the last change of reading, loss or owners
    uint64_t info_changed; // of info
    bool lost_told;        // what the log said last (notices.c)
    double xid_told;
};

// Who holds GPUs through resource claims: owners of GPUs that only a reader of ResourceSlices can
// join. While there are any, a GPU without an owner of its own is not known to be nobody's.
struct agent_devices {
    bool complete; // joined, these and the GPUs' own owners are all that there are
    uint32_t n;
    struct agent_claimed *items;
    uint64_t changed; // version of the last change
};

struct agent_removed {
    uint32_t id;
    uint64_t version;
};

enum { AGENT_REMOVED_MAX = 32 };

struct agent_state {
    struct agent_gpu *gpus; // in the order of their slots
    uint32_t n_gpus;
    uint32_t next_id;
    struct agent_devices devices;
    uint32_t unmatched_owners; // whose device is none of the GPUs
    uint64_t version;
    struct agent_removed removed[AGENT_REMOVED_MAX]; // a ring, the newest before removed_at
    uint32_t removed_at;
    uint64_t forgotten; // version of the newest removal that the ring no longer holds
    int64_t interval_ns;
    int64_t due_ns;        // when the running round was due to begin
    bool sampled;          // a round has ended
    int64_t round_took_ns; // the last one
    uint64_t rounds, failed_calls, discarded_values;
};

// `now_ns`: the first round is due.
int agent_state_init(struct agent_state *s, int64_t interval_ns, int64_t now_ns, struct err *e);
void agent_state_done(struct agent_state *s);

// Takes over what a round of kind SAMPLED found. Values outside gpu_values' bounds (drivers'
// blanks) become unknown. ERR_NOMEM: partly applied, the next round makes up for it.
int agent_state_apply(struct agent_state *s, const struct agent_round *round,
                      const struct agent_owners *owners);
// What one of `owners` holds in a spelling that nobody knows may be any GPU: then a GPU without an
// owner is not known to be nobody's. So is one with more than LIMIT_OWNERS_PER_GPU. ERR_NOMEM: as
// above.
int agent_state_set_owners(struct agent_state *s, const struct agent_owners *owners);

// For how long the driver has not answered: 0, or the time since a round was due once that is more
// than half an interval (at least 100 ms).
int64_t agent_state_stalled_ns(const struct agent_state *s, int64_t now_ns);
// Ids removed after `version` into ret[AGENT_REMOVED_MAX]: their number, or -1 when they are no
// longer known (everything must be told anew).
int agent_state_removed_since(const struct agent_state *s, uint64_t version, uint32_t *ret);
