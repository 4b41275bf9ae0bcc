// SPDX-License-Identifier: Apache-2.0
/*
 * One message of gpuscale.v1.Node/Watch: what a stream needs to know beyond what it was told.
 * Pure: the caller says the time.
 */
#pragma once

#include "agent/state.h"
#include "base/arena.h"
#include "base/buf.h"

struct agent_node {
    const char *name;
    char boot_id[33]; // random, hexadecimal
};

// What a stream was told.
struct agent_cursor {
    uint64_t seq;     // of the last message; 0: none was sent
    uint64_t version; // of the state in it
};

// Packs the next message of a stream into `out` (replaced). `arena` is reset and used. On success
// *ret_next is the cursor once the message is sent; a message that is not sent is made again later,
// from the old cursor: nothing is lost and `seq` has no hole. ERR_NOMEM, ERR_LIMIT.
int agent_watch_encode(struct buf *out, struct arena *arena, const struct agent_state *state,
                       const struct agent_node *node, const struct agent_cursor *cursor,
                       int64_t now_ns, struct agent_cursor *ret_next);
