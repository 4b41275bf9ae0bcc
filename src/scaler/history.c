// SPDX-License-Identifier: Apache-2.0
/* A ring of record copies; see the header. */
#include "scaler/history.h"

#include <assert.h>

#include "base/mem.h"

enum { TYPICAL_BYTES = sizeof(struct record) / 2, KEEP_MIN = 4 };

static void drop_oldest(struct history *h) {
    mem_free(h->items[h->first]);
    h->items[h->first] = NULL;
    h->first = (uint8_t)((h->first + 1) % LIMIT_RECORDS_PER_WORKLOAD);
    h->n--;
}

void history_done(struct history *h) {
    while (h->n > 0)
        drop_oldest(h);
}

void history_add(struct history *h, const struct record *r, unsigned keep) {
    assert(keep >= 1 && keep <= LIMIT_RECORDS_PER_WORKLOAD);
    while (h->n >= keep)
        drop_oldest(h);
    struct record *copy = mem_alloc(record_size(r));
    if (copy == NULL)
        return;
    memcpy(copy, r, record_size(r));
    h->items[(h->first + h->n) % LIMIT_RECORDS_PER_WORKLOAD] = copy;
    h->n++;
}

const struct record *history_at(const struct history *h, unsigned i) {
    assert(i < h->n);
    return h->items[(h->first + i) % LIMIT_RECORDS_PER_WORKLOAD];
}

unsigned history_share(size_t objects) {
    size_t share = LIMIT_HISTORY_BYTES / TYPICAL_BYTES / (objects > 0 ? objects : 1);
    if (share < KEEP_MIN)
        return KEEP_MIN;
    return share > LIMIT_RECORDS_PER_WORKLOAD ? LIMIT_RECORDS_PER_WORKLOAD : (unsigned)share;
}
