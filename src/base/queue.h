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

int queue_new(struct queue **ret, size_t cap, struct err *e); // cap: a power of two
struct queue *queue_free(struct queue *q);                    // items left inside are the caller's leak: drain first
// False when full: the caller counts the drop and says so.
bool queue_push(struct queue *q, void *item);
void *queue_pop(struct queue *q); // NULL when empty
int queue_wake_fd(const struct queue *q);
void queue_wake_clear(struct queue *q); // read the eventfd; call before draining
size_t queue_len(const struct queue *q);
