// SPDX-License-Identifier: Apache-2.0
/*
 * Bounded queue of pointers between exactly two threads (one writes, one reads): the only thing two
 * threads share. Lock-free; `wake_fd` (an eventfd) becomes readable when items wait, so that an
 * event loop can poll it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct queue;

// cap: a power of two up to LIMIT_QUEUE_ITEMS. 0, ERR_INVALID, ERR_NOMEM or ERR_IO (eventfd).
int queue_new(struct queue **ret, size_t cap, struct err *e);
// NULL-safe, returns NULL. Items left inside are the caller's leak: drain first.
struct queue *queue_free(struct queue *q);

// The writing thread. False when full: the caller counts the drop and says so. No NULL items.
bool queue_push(struct queue *q, void *item);

// The reading thread. When wake_fd is readable: queue_wake_clear, then queue_pop until it is NULL
// (items left inside make no new wake-up by themselves). A wake-up may find nothing.
void *queue_pop(struct queue *q); // oldest first; NULL when empty
int queue_wake_fd(const struct queue *q);
void queue_wake_clear(struct queue *q);

size_t queue_len(const struct queue *q); // either thread; a moment's count
