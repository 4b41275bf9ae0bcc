// SPDX-License-Identifier: Apache-2.0
/*
 * Ring of fixed-size items that overwrites its oldest: histories, windows. One thread.
 */
#pragma once

#include <stddef.h>

struct ring {
    char *items;
    size_t item_size, cap;
    size_t head; // index of the oldest
    size_t n;
};

int ring_init(struct ring *r, size_t item_size, size_t cap); // 0 or ERR_NOMEM
void ring_done(struct ring *r);
void ring_clear(struct ring *r);
void *ring_push(struct ring *r); // the slot of the new newest item; drops the oldest when full
void *ring_at(const struct ring *r, size_t i); // 0 = oldest; i < n
void ring_pop_oldest(struct ring *r);          // n > 0
