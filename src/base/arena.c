// SPDX-License-Identifier: Apache-2.0
/*
 * Bump allocator: a list of blocks, the newest first, each twice the last up to a bound. What is
 * not handed out is poisoned under ASan, so an overrun inside a block is seen.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = 16, BLOCK_MIN = 1024, BLOCK_MAX = 64 << 10 };

struct arena_block {
    struct arena_block *next; // older
    size_t cap, at;
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t max) {
    *a = (struct arena){.max = max};
}

static void block_free(struct arena_block *b) {
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->cap);
    mem_free(b);
}

void arena_done(struct arena *a) {
    while (a->head) {
        struct arena_block *next = a->head->next;
        block_free(a->head);
        a->head = next;
    }
    a->used = 0;
}

void arena_reset(struct arena *a) {
    while (a->head && a->head->next) {
        struct arena_block *next = a->head->next;
        block_free(a->head);
        a->head = next;
    }
    if (a->head) {
        a->head->at = 0;
        ASAN_POISON_MEMORY_REGION(a->head->data, a->head->cap);
    }
    a->used = 0;
}

static struct arena_block *block_add(struct arena *a, size_t need) {
    size_t cap = BLOCK_MIN;
    if (a->head)
        cap = a->head->cap >= BLOCK_MAX / 2 ? BLOCK_MAX : a->head->cap * 2;
    if (cap > a->max - a->used) // the last block is no larger than what may still be used
        cap = (a->max - a->used) / ALIGN * ALIGN;
    if (cap < need)
        cap = need;
    struct arena_block *b = mem_alloc_aligned(ALIGN, sizeof(*b) + cap);
    if (!b)
        return NULL;
    b->next = a->head;
    b->cap = cap;
    b->at = 0;
    ASAN_POISON_MEMORY_REGION(b->data, cap);
    a->head = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n) {
    if (n > a->max)
        return NULL;
    size_t need = n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (need < n || need > a->max - a->used)
        return NULL;
    struct arena_block *b = a->head;
    if (!b || b->cap - b->at < need) {
        b = block_add(a, need);
        if (!b)
            return NULL;
    }
    char *p = b->data + b->at;
    b->at += need;
    a->used += need;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *arena_zalloc(struct arena *a, size_t n) {
    void *p = arena_alloc(a, n);
    if (p && n > 0)
        memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size) {
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    return arena_zalloc(a, n);
}

char *arena_strdup(struct arena *a, struct str s) {
    if (s.n == SIZE_MAX)
        return NULL;
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return NULL;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}
