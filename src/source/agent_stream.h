// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of agents: one address, its connection and its Watch stream, and the set that all streams
 * share. A stream is an explicit state machine (enum stream_phase) on one timer. Not for other
 * folders.
 */
#pragma once

#include <sys/queue.h>

#include "net/addr.h"
#include "net/grpc_client.h"
#include "net/loop.h"
#include "source/agent_gpus.h"
#include "source/target_name.h"

enum stream_phase {
    STREAM_WAITING,   // for its next attempt (timer)
    STREAM_QUEUED,    // for a free place among the connections being made
    STREAM_OPENING,   // connecting, or waiting for the full state (timer: too late)
    STREAM_LIVE,      // messages come (timer: silence)
    STREAM_DUPLICATE, // its agent is heard over another address (timer: look again)
    STREAM_GONE,      // no target gives its address; its readings grow old
};

struct agent_stream {
    UT_hash_handle hh;      // agents.streams, by address
    UT_hash_handle hh_boot; // agents.by_boot, by node.boot_id, while live
    TAILQ_ENTRY(agent_stream) queued;
    struct agents *agents;
    char *address, *target, *host; // host: of the target
    struct net_addr to;
    unsigned refs; // targets that give the address
    uint64_t mark; // agents.mark of the answer that gave it last
    enum stream_phase phase;
    struct grpc_channel *channel;
    struct net_timer *timer;
    struct agent_node node;
    unsigned failed;
    bool in_boots, suspect, restart;
    int64_t live_since_ns, renew_at_ns; // renew: 0: not
    double allowance;                   // messages that it may still send
    int64_t allowance_at_ns;
    char boot_of[AGENT_BOOT_ID_MAX + 1]; // duplicate: the run that is heard elsewhere
    bool told;
    enum agents_node_state told_state;
    struct err *why; // of the last loss; NULL: none yet
};

struct agent_target;

struct agents {
    struct agents_options o; // strings are the object's own
    struct net_tls *tls;
    struct net_timer *tls_timer, *sweep_timer;
    struct agent_gpus gpus;
    struct agent_target *targets;
    struct agent_stream *streams, *by_boot;
    size_t n_streams, n_duplicates, connecting;
    uint64_t mark; // answers taken: an address comes once in each
    TAILQ_HEAD(, agent_stream) queue;
    bool in_connect_next;
    struct target_names names;
    struct agents_stats stats;
};

// Finds or makes the stream of an address and begins it. NULL: out of memory, or LIMIT_NODES
// (counted).
struct agent_stream *agent_stream_get(struct agents *a, const struct net_addr *to,
                                      const char *target, const char *host);
// No target gives the address any more; its GPUs stay until they are forgotten.
void agent_stream_retire(struct agent_stream *s);
void agent_stream_free(struct agent_stream *s); // removes its GPUs
// Once a second: forgets what was silent for too long (may free it), renews what should be.
void agent_stream_sweep(struct agent_stream *s, int64_t now_ns);
void agent_stream_view(const struct agent_stream *s, struct agents_node *ret);
// GPU table's hook: streams that list an orphaned GPU are asked for their full state again.
void agent_stream_orphaned(void *agents, struct agent_gpu *g);

// Told by a stream that it was lost: the names behind its target should be looked up again.
void agents_look_again(struct agents *a, const char *target);
