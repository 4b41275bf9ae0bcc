// SPDX-License-Identifier: Apache-2.0
/*
 * The open streams of gpuscale.v1.Node/Watch. Each holds a cursor into the state's versions, so
 * that a client which reads slowly is simply told less often: a message is only made when the one
 * before has left, and then says all that changed since. A client that reads nothing for STALL
 * intervals (at least 30 s) loses its stream. I/O thread.
 */
#pragma once

#include "agent/watch_message.h"
#include "net/grpc_server.h"

struct agent_watch;

struct agent_watch_stats {
    unsigned streams;
    uint64_t messages, skips, ended_slow;
};

// Borrows state and node, which live longer.
int agent_watch_new(struct agent_watch **ret, const struct agent_state *state,
                    const struct agent_node *node, struct err *e);
// The server whose calls it holds must be closed before.
struct agent_watch *agent_watch_free(struct agent_watch *w);
// The service, for grpc_server_options.services.
const struct grpc_service *agent_watch_service(const struct agent_watch *w);
// A round ended, or owners changed: tells every stream what is new, or that it lives.
void agent_watch_tell(struct agent_watch *w);
// To be called often: sends a heartbeat on each stream that has been told nothing for an interval.
// Returns when the next one is due (INT64_MAX: there are no streams).
int64_t agent_watch_heartbeat(struct agent_watch *w, int64_t now_ns);
struct agent_watch_stats agent_watch_stats(const struct agent_watch *w);
