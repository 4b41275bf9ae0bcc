// SPDX-License-Identifier: Apache-2.0
/* Ring of fixed-size items that overwrites its oldest. */
#include "base/ring.h"

#include <assert.h>

#include "base/err.h"
#include "base/mem.h"

int ring_init(struct ring *r, size_t item_size, size_t cap) {
    assert(item_size > 0 && cap > 0);
    *r = (struct ring){.item_size = item_size, .cap = cap};
    r->items = mem_array(cap, item_size);
    return r->items ? 0 : ERR_NOMEM;
}

void ring_done(struct ring *r) {
    mem_free(r->items);
    *r = (struct ring){0};
}

void ring_clear(struct ring *r) {
    r->head = r->n = 0;
}

static char *slot(const struct ring *r, size_t i) {
    size_t at = r->head + i;
    return r->items + (at >= r->cap ? at - r->cap : at) * r->item_size;
}

void *ring_push(struct ring *r) {
    if (r->n == r->cap)
        ring_pop_oldest(r);
    return slot(r, r->n++);
}

void *ring_at(const struct ring *r, size_t i) {
    assert(i < r->n);
    return slot(r, i);
}

void ring_pop_oldest(struct ring *r) {
    assert(r->n > 0);
    r->head = r->head + 1 == r->cap ? 0 : r->head + 1;
    r->n--;
}
