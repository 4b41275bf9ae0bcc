// SPDX-License-Identifier: Apache-2.0
/*
 * The heap's one door, and the hook by which a test makes an allocation of its own thread fail.
 */
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local long allocations; // since the hook was last set
static _Thread_local long fail_from;   // 0: never

void mem_fail_from(long n) {
    fail_from = n;
    allocations = 0;
}

void mem_fail_never(void) {
    mem_fail_from(0);
}

long mem_fail_count(void) {
    return allocations;
}

static bool refused(void) {
    allocations++;
    return fail_from > 0 && allocations >= fail_from;
}

void *mem_alloc(size_t n) {
    return refused() ? NULL : malloc(n ? n : 1);
}

void *mem_zalloc(size_t n) {
    return refused() ? NULL : calloc(1, n ? n : 1);
}

void *mem_array(size_t count, size_t size) {
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    return mem_zalloc(n);
}

void *mem_resize(void *p, size_t count, size_t size) {
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) || n > PTRDIFF_MAX)
        return NULL;
    return refused() ? NULL : realloc(p, n ? n : 1);
}

char *mem_strndup(const char *s, size_t n) {
    n = strnlen(s, n);
    char *copy = mem_alloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *mem_strdup(const char *s) {
    return mem_strndup(s, strlen(s));
}

void *mem_alloc_aligned(size_t align, size_t n) {
    size_t rounded;
    if (__builtin_add_overflow(n ? n : 1, align - 1, &rounded))
        return NULL;
    return refused() ? NULL : aligned_alloc(align, rounded / align * align);
}

void mem_free(void *p) {
    free(p);
}
