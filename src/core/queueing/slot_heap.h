// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded binary heap of small numbers (slots, instances): the smallest (key, order) on top, and
 * any of them can be taken out. Memory is made once.
 */
#pragma once

#include <stdint.h>

struct slot_heap_entry {
    uint64_t key;
    uint32_t order; // breaks ties
    uint32_t id;
};

struct slot_heap {
    struct slot_heap_entry *entries;
    uint32_t *at; // where an id is
    uint32_t n;
};

int slot_heap_init(struct slot_heap *h, uint32_t cap, uint32_t ids); // 0 or ERR_NOMEM
void slot_heap_done(struct slot_heap *h);
void slot_heap_add(struct slot_heap *h, uint64_t key, uint32_t order, uint32_t id); // not in it yet
void slot_heap_remove(struct slot_heap *h, uint32_t id);                            // in it
