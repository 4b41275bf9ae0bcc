// SPDX-License-Identifier: Apache-2.0
/*
 * What one scaler tells another of one object (proto/decisions.proto): whom it is about, what KEDA
 * is told, and what the next leader goes on with. Packed by the io thread of the leader, unpacked
 * by that of the follower. Pure.
 */
#pragma once

#include "base/buf.h"
#include "core/policy/decide.h"
#include "decisions.pb-c.h"
#include "scaler/messages.h"

struct decision {
    uint64_t id; // the leader's
    struct object_ref object;
    struct object_pair pairs[LIMIT_METADATA_KEYS]; // of `object`, where it was unpacked
    struct published answer;                       // its id is nobody's; message borrowed
    struct decider_memory memory;                  // times of the clock of whoever holds it
    struct str learned; // as learned.h packs it, unread, on the leader's clock; borrowed
    int64_t ahead_ns;   // so far is the clock of whoever holds it ahead of that one
};

// Appends the message. ERR_LIMIT, ERR_NOMEM of the buffer.
int decision_pack(struct buf *out, const struct decision *d);
// Borrows the message's strings. `ahead_ns`: how far our clock is ahead of the leader's. ERR_PARSE
// for what no leader says.
int decision_unpack(struct decision *ret, const Gpuscale__V1__Decision *m, int64_t ahead_ns,
                    int64_t now_ns, struct err *e);

// A reference alone. ERR_PARSE: no name, or more keys than a call may have.
int decision_read_reference(struct object_ref *ret, struct object_pair pairs[LIMIT_METADATA_KEYS],
                            const Gpuscale__V1__Reference *m, struct err *e);
// The message of a reference, whose strings it borrows; not to be moved.
struct decision_reference {
    Gpuscale__V1__Reference m;
    Gpuscale__V1__Pair pairs[LIMIT_METADATA_KEYS];
    Gpuscale__V1__Pair *list[LIMIT_METADATA_KEYS];
};
void decision_fill_reference(struct decision_reference *x, const struct object_ref *r);
