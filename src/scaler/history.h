// SPDX-License-Identifier: Apache-2.0
/*
 * The last decisions of one object, oldest first, each in as many bytes as it needs. One thread.
 */
#pragma once

#include "base/limits.h"
#include "core/policy/record.h"

struct history {
    struct record *items[LIMIT_RECORDS_PER_WORKLOAD];
    uint8_t first, n;
};

void history_done(struct history *h);
// Keeps a copy and at most `keep` (1..LIMIT_RECORDS_PER_WORKLOAD) in all. Without memory the record
// is lost, which costs an explanation, never a decision.
void history_add(struct history *h, const struct record *r, unsigned keep);
// 0 = the oldest; i < n. Signals beyond signal_n are not there.
const struct record *history_at(const struct history *h, unsigned i);
// How many each of `objects` may keep, so that all of them stay within LIMIT_HISTORY_BYTES.
unsigned history_share(size_t objects);
