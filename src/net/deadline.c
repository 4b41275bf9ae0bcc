// SPDX-License-Identifier: Apache-2.0
/* A binary heap of deadlines. */
#include "net/deadline.h"

static void put(struct deadline_heap *h, size_t i, struct deadline *d) {
    h->items[i] = d;
    d->place = i + 1;
}

static void sift_up(struct deadline_heap *h, size_t i, struct deadline *d) {
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (h->items[parent]->at_ns <= d->at_ns)
            break;
        put(h, i, h->items[parent]);
        i = parent;
    }
    put(h, i, d);
}

static void sift_down(struct deadline_heap *h, size_t i, struct deadline *d) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->items[child + 1]->at_ns < h->items[child]->at_ns)
            child++;
        if (h->items[child]->at_ns >= d->at_ns)
            break;
        put(h, i, h->items[child]);
        i = child;
    }
    put(h, i, d);
}

int deadline_set(struct deadline_heap *h, struct deadline *d, int64_t at_ns) {
    if (d->place == 0) {
        int err = vec_push(h, d);
        if (err < 0)
            return err;
        d->at_ns = at_ns;
        sift_up(h, h->n - 1, d);
        return 0;
    }
    int64_t was = d->at_ns;
    d->at_ns = at_ns;
    if (at_ns < was)
        sift_up(h, d->place - 1, d);
    else
        sift_down(h, d->place - 1, d);
    return 0;
}

void deadline_clear(struct deadline_heap *h, struct deadline *d) {
    if (d->place == 0)
        return;
    size_t i = d->place - 1;
    struct deadline *last = h->items[--h->n];
    d->place = 0;
    if (last == d)
        return;
    if (last->at_ns < d->at_ns)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

int64_t deadline_next(const struct deadline_heap *h) {
    return h->n > 0 ? h->items[0]->at_ns : INT64_MAX;
}

void deadline_run(struct deadline_heap *h, int64_t now_ns) {
    size_t due = 0;
    // Set anew for the past: bounded by what was there at the start.
    size_t at_most = h->n;
    while (h->n > 0 && h->items[0]->at_ns <= now_ns && due++ < at_most) {
        struct deadline *d = h->items[0];
        deadline_clear(h, d);
        d->fire(d);
    }
}
