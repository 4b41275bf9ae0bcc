// SPDX-License-Identifier: Apache-2.0
/*
 * The one door to the heap. Same contracts as malloc & co., plus overflow-checked products and a
 * hook by which tests make the n-th allocation of this thread fail.
 */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((malloc, alloc_size(1)));
void *mem_zalloc(size_t n) __attribute__((malloc, alloc_size(1)));
void *mem_array(size_t count, size_t size);           // zeroed; NULL on overflow
void *mem_resize(void *p, size_t count, size_t size); // realloc of count * size; NULL: p is kept
void *mem_alloc_aligned(size_t align, size_t n);      // align: a power of two
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n); // always NUL-terminated
void mem_free(void *p);

// Tests only: the allocation numbered `n` (1 = the next one) of this thread and all after it fail
// until mem_fail_never(). mem_fail_count(): allocations of this thread since the last call of
// either.
void mem_fail_from(long n);
void mem_fail_never(void);
long mem_fail_count(void);

static inline void mem_cleanup_free(void *p) {
    mem_free(*(void **)p);
}
#define CLEANUP_FREE __attribute__((cleanup(mem_cleanup_free)))
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        typeof(p) take_ptr_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_ptr_;                                                                                 \
    })
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
