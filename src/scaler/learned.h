// SPDX-License-Identifier: Apache-2.0
/*
 * What a leader has learned of an object, as the bytes of proto/decisions.proto's Learned: its
 * decider's part and its workload's. Pure.
 */
#pragma once

#include "base/buf.h"
#include "core/policy/learned.h"
#include "core/signal/learned.h"

enum { LEARNED_MEASURED_MAX = 1024 };

struct learned {
    char measured[LEARNED_MEASURED_MAX]; // the key of the feed that `signals` is of; "": of none
    struct signal_learned signals;
    struct decider_learned decider;
};

// Appends the message. ERR_LIMIT, ERR_NOMEM of the buffer.
int learned_pack(struct buf *out, const struct learned *x);
// Reads it back on another clock, `ahead_ns` ahead of the sender's. ERR_PARSE, ERR_INVALID: nobody
// can have learned that; ERR_LIMIT: over LIMIT_LEARNED_BYTES; ERR_NOMEM. What a later version adds
// is passed over.
int learned_unpack(struct learned *ret, struct str bytes, int64_t ahead_ns, int64_t now_ns,
                   struct err *e);
