// SPDX-License-Identifier: Apache-2.0
/* A binary heap that knows where each entry is. */
#include "core/queueing/slot_heap.h"

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

int slot_heap_init(struct slot_heap *h, uint32_t cap, uint32_t ids) {
    *h = (struct slot_heap){0};
    h->entries = mem_array(cap, sizeof(*h->entries));
    h->at = mem_array(ids, sizeof(*h->at));
    return h->entries != NULL && h->at != NULL ? 0 : ERR_NOMEM;
}

void slot_heap_done(struct slot_heap *h) {
    mem_free(h->entries);
    mem_free(h->at);
    *h = (struct slot_heap){0};
}

static bool before(const struct slot_heap_entry *a, const struct slot_heap_entry *b) {
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct slot_heap *h, uint32_t at, struct slot_heap_entry e) {
    h->entries[at] = e;
    h->at[e.id] = at;
}

static void rise(struct slot_heap *h, uint32_t at, struct slot_heap_entry e) {
    while (at > 0 && before(&e, &h->entries[(at - 1) / 2])) {
        put(h, at, h->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(h, at, e);
}

static void sink(struct slot_heap *h, uint32_t at, struct slot_heap_entry e) {
    for (uint32_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && before(&h->entries[child + 1], &h->entries[child]))
            child++;
        if (!before(&h->entries[child], &e))
            break;
        put(h, at, h->entries[child]);
    }
    put(h, at, e);
}

void slot_heap_add(struct slot_heap *h, uint64_t key, uint32_t order, uint32_t id) {
    rise(h, h->n++, (struct slot_heap_entry){key, order, id});
}

void slot_heap_remove(struct slot_heap *h, uint32_t id) {
    uint32_t at = h->at[id];
    struct slot_heap_entry last = h->entries[--h->n];
    if (at == h->n)
        return;
    if (at > 0 && before(&last, &h->entries[(at - 1) / 2]))
        rise(h, at, last);
    else
        sink(h, at, last);
}
