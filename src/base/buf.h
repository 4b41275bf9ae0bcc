// SPDX-License-Identifier: Apache-2.0
/*
 * Growable byte buffer that cannot exist without a maximum. Bytes are appended at the end and
 * consumed at the front. Every growing call returns 0, ERR_LIMIT (the buffer is unchanged) or
 * ERR_NOMEM (unchanged too), and leaves the first failure in `err`: who writes a page in many calls
 * checks once at its end.
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    char *p;    // first unconsumed byte; NULL while empty and never grown
    size_t len; // unconsumed bytes
    size_t off; // consumed bytes before p
    size_t cap; // allocated bytes, from p - off
    size_t max; // len never exceeds this
    int err;    // first failure of a growing call since buf_init or buf_clear; 0 when none
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);  // frees, leaves an empty buffer with the same max
void buf_clear(struct buf *b); // empties, keeps the memory

int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_str(struct buf *b, struct str s);
int buf_addc(struct buf *b, const char *s);
int buf_add_byte(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Makes room for n more bytes and returns where they go (then buf_commit of what was written);
// NULL over the limit or without memory.
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);  // n <= len
void buf_truncate(struct buf *b, size_t n); // n <= len

// Shortest decimal that reads back as the same double, as Prometheus prints it: 1, 0.5, 1e+06,
// 1.234567e+06, 1e-05, NaN, +Inf, -Inf (counts: buf_add_u64). C locale always.
int buf_add_double(struct buf *b, double v);
int buf_add_u64(struct buf *b, uint64_t v);
int buf_add_i64(struct buf *b, int64_t v);
// JSON string with quotes and escapes; invalid UTF-8 becomes U+FFFD.
int buf_add_json(struct buf *b, struct str s);

static inline struct str buf_str(const struct buf *b) {
    return (struct str){b->p, b->len};
}
#define CLEANUP_BUF __attribute__((cleanup(buf_done)))
