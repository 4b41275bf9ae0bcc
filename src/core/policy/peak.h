// SPDX-License-Identifier: Apache-2.0
/*
 * The largest of the wants of a sliding window: a queue that keeps only what can still become the
 * largest (each entry is larger than all after it). Memory is made once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct peak_entry {
    int64_t at_ns;
    int32_t want;
};

struct peak {
    struct peak_entry *entries; // ring
    uint32_t cap, head, n;
};

int peak_init(struct peak *p, uint32_t cap); // 0 or ERR_NOMEM; cap > 0
void peak_done(struct peak *p);

// at_ns is not before the last. When full, the newest two are merged (the larger want, the newer
// time): the window may then hold a little longer, never shorter.
void peak_add(struct peak *p, int64_t at_ns, int32_t want);
// Forgets what is not newer than at_ns.
void peak_expire(struct peak *p, int64_t at_ns);
bool peak_last(const struct peak *p, struct peak_entry *ret); // the newest. False: empty
// All entries, largest want first: how many, at most cap (then the last ones are merged as above).
uint32_t peak_copy(const struct peak *p, struct peak_entry *dst, uint32_t cap);
// The largest want and, of equal ones, the latest time. False: empty.
bool peak_max(const struct peak *p, struct peak_entry *ret);
