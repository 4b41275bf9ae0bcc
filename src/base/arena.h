// SPDX-License-Identifier: Apache-2.0
/*
 * Bump allocator with a byte cap: many small objects with one lifetime (a parsed message, a page, a
 * decision record). Memory is 16-byte aligned. Freed memory is poisoned under ASan.
 */
#pragma once

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head; // newest block first
    size_t used;              // bytes handed out, alignment included
    size_t max;               // `used` never exceeds this
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);
void arena_reset(struct arena *a); // forgets all objects, keeps the first block

void *arena_alloc(struct arena *a, size_t n); // NULL: over max or no memory
void *arena_zalloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t size); // zeroed, overflow-checked
char *arena_strdup(struct arena *a, struct str s);             // NUL-terminated copy
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define CLEANUP_ARENA __attribute__((cleanup(arena_done)))
