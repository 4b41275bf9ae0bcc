// SPDX-License-Identifier: Apache-2.0
/*
 * The one table of GPUs over all agents, by UUID, and how one agent's messages change it. No I/O
 * and no clock: messages and times come in, callbacks go out; so the stream's side
 * (agent_stream.h), the tests and the benchmark use the same code. Not for other folders.
 *
 * A node (one run of one agent, over one stream) lists GPUs. A GPU belongs to the node that listed
 * it last; what another one says about it is dropped. When the owner goes while another still lists
 * the GPU, `orphaned` is called, and whoever tells its full state next owns it.
 */
#pragma once

#include "base/limits.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "base/vec.h"
#include "node.pb-c.h"
#include "source/agents.h"

enum { AGENT_BOOT_ID_MAX = 64, AGENT_VERSION_MAX = 64 };

struct agent_node;

struct agent_gpu {
    UT_hash_handle hh;
    struct agent_node *owner; // NULL: orphaned
    void *user;
    char *text;          // the strings of its info, NUL-terminated, one after the other
    uint16_t text_at[6]; // where each begins: enum agent_text
    uint16_t n_owners;
    uint16_t listed; // nodes that list it
    uint16_t n_shares;
    bool owners_known, lost, told, shares_known;
    uint32_t index, gpu_instance_id;
    uint64_t memory_total_bytes;
    struct agents_owner *owners; // one allocation with its strings
    struct gpu_share *shares;    // by pod
    struct gpu_reading reading;
    int64_t reading_at_ns;
};

enum agent_text {
    AGENT_UUID,
    AGENT_MODEL,
    AGENT_PCI_BUS_ID,
    AGENT_DRIVER_VERSION,
    AGENT_PARENT_UUID,
    AGENT_MIG_PROFILE,
    AGENT_TEXTS,
};

struct agent_gpus {
    struct agent_gpu *by_uuid;
    size_t n;
    const struct agents_ops *ops;
    void *ctx;
    // The owner of `g` is gone while others list it. NULL: nobody needs to know.
    void (*orphaned)(void *ctx, struct agent_gpu *g);
    void *orphaned_ctx;
    uint64_t bad_values, duplicates;
};

struct agent_entry {
    uint32_t id;
    unsigned changed; // AGENTS_*, while a message is read
    struct agent_gpu *gpu;
};

struct agent_node {
    struct agent_gpus *gpus;
    struct VEC(struct agent_entry) entries;
    char *name, *version;                // NULL until the first message
    char boot_id[AGENT_BOOT_ID_MAX + 1]; // "": none yet
    uint64_t seq;                        // of the last message; 0: a full one is to come
    uint32_t interval_ms;
    uint64_t driver_stalled_ms;
    int64_t heard_at_ns;
    bool connected;
    bool devices;   // it told claimed devices
    bool restarted; // the last message was the first of another run
};

void agent_gpus_init(struct agent_gpus *gpus, const struct agents_ops *ops, void *ctx);
void agent_gpus_done(struct agent_gpus *gpus); // tells nobody; nodes must be done
void agent_gpu_view(const struct agent_gpu *g, struct agents_gpu *ret);

void agent_node_init(struct agent_node *node, struct agent_gpus *gpus);
// Its GPUs are removed (and told so), unless another node lists them.
void agent_node_done(struct agent_node *node);
// The next message must be a full one with seq 1; what is known stays, with its times.
void agent_node_disconnect(struct agent_node *node);
// Forgets its GPUs: nothing was heard for too long.
void agent_node_forget(struct agent_node *node);
bool agent_node_lists(const struct agent_node *node, const struct agent_gpu *g);

// Reads one message that arrived at `now_ns`. 0, and everything is told; or ERR_AGAIN: a hole in
// the sequence; ERR_PROTO, ERR_LIMIT: a message that no agent sends; ERR_NOMEM. After a failure the
// stream must be started anew: its full state mends what was half read.
int agent_node_merge(struct agent_node *node, const Gpuscale__V1__NodeState *m, int64_t now_ns,
                     struct err *e);
