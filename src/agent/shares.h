// SPDX-License-Identifier: Apache-2.0
/*
 * What each container's processes use of a GPU, for GPUs that several share: the source says which
 * processes there are, /proc/PID/cgroup whose they are. Of the sampler thread, which may block.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/vec.h"
#include "gpu/source.h"

struct agent_share {
    char pod_uid[37];      // "": processes of no pod
    char container_id[65]; // "": of no container that can be told
    uint32_t processes;
    bool has_memory, has_utilization; // known of all of them
    uint64_t memory_bytes;
    double utilization_pct;
};

struct agent_share_list VEC(struct agent_share);

struct agent_shares; // room to read them

// `proc`: where the host's processes are seen, "/proc" or where that of the host is mounted.
// ERR_AUTH: it is /proc, and this is not the host's PID namespace: PIDs would mean other processes.
// ERR_NOMEM.
int agent_shares_new(struct agent_shares **ret, const char *proc, struct err *e);
struct agent_shares *agent_shares_free(struct agent_shares *s);
// Adds the shares of one GPU that was just sampled to *list. False: whose its processes are is not
// known (the source cannot tell, MPS, no memory, more than LIMIT_OWNERS_PER_GPU); *list is as
// before.
bool agent_shares_read(struct agent_shares *s, const struct gpu_source *source, uint32_t slot,
                       int64_t now_ns, struct agent_share_list *list);
