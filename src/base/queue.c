// SPDX-License-Identifier: Apache-2.0
/*
 * Single producer, single consumer. `tail` is written by the producer alone, `head` by the consumer
 * alone; each on its own cache line. The eventfd is written once per wake-up, not once per item:
 * `woken` is set by the push that wrote it and cleared by queue_wake_clear, so a push that finds
 * it set knows that the consumer has still to look (the exchange orders its item before that).
 */
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

enum { CACHE_LINE = 64 };

struct queue {
    size_t mask;
    int fd;
    _Alignas(CACHE_LINE) _Atomic size_t head;
    _Alignas(CACHE_LINE) _Atomic size_t tail;
    _Alignas(CACHE_LINE) _Atomic bool woken;
    _Alignas(CACHE_LINE) void *items[];
};

int queue_new(struct queue **ret, size_t cap, struct err *e) {
    if (cap < 1 || cap > LIMIT_QUEUE_ITEMS || (cap & (cap - 1)) != 0)
        return err_set(e, ERR_INVALID, "queue of %zu items: a power of two up to %d is needed", cap,
                       LIMIT_QUEUE_ITEMS);
    struct queue *q = mem_alloc_aligned(CACHE_LINE, sizeof(*q) + cap * sizeof(q->items[0]));
    if (!q)
        return err_set(e, ERR_NOMEM, "queue of %zu items: out of memory", cap);
    q->mask = cap - 1;
    atomic_init(&q->head, 0);
    atomic_init(&q->tail, 0);
    atomic_init(&q->woken, false);
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0) {
        mem_free(q);
        return err_errno(e, errno, "eventfd");
    }
    *ret = q;
    return 0;
}

struct queue *queue_free(struct queue *q) {
    if (!q)
        return NULL;
    close(q->fd);
    mem_free(q);
    return NULL;
}

bool queue_push(struct queue *q, void *item) {
    assert(item);
    size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&q->head, memory_order_acquire) > q->mask)
        return false;
    q->items[tail & q->mask] = item;
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    if (!atomic_exchange_explicit(&q->woken, true, memory_order_acq_rel)) {
        while (eventfd_write(q->fd, 1) < 0 && errno == EINTR)
            ;
    }
    return true;
}

void *queue_pop(struct queue *q) {
    size_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&q->tail, memory_order_acquire))
        return NULL;
    void *item = q->items[head & q->mask];
    atomic_store_explicit(&q->head, head + 1, memory_order_release);
    return item;
}

int queue_wake_fd(const struct queue *q) {
    return q->fd;
}

void queue_wake_clear(struct queue *q) {
    eventfd_t n;
    while (eventfd_read(q->fd, &n) < 0 && errno == EINTR)
        ;
    // Only now: a push between the two would write, and the read would swallow it.
    atomic_exchange_explicit(&q->woken, false, memory_order_acq_rel);
}

size_t queue_len(const struct queue *q) {
    size_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    return atomic_load_explicit(&q->tail, memory_order_acquire) - head;
}
