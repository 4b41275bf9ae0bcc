// SPDX-License-Identifier: Apache-2.0
/*
 * Growable byte buffer with a maximum. Consumed bytes at the front are reused when the end has no
 * room; growth doubles. Numbers are written in the C locale whatever the process's locale is.
 */
#include "base/buf.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

void buf_init(struct buf *b, size_t max) {
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b) {
    if (b->p)
        mem_free(b->p - b->off);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b) {
    if (b->p)
        b->p -= b->off;
    b->off = b->len = 0;
    b->err = 0;
}

static int failed(struct buf *b, int code) {
    if (b->err == 0)
        b->err = code;
    return code;
}

// Makes room for n bytes behind the end.
static int buf_grow(struct buf *b, size_t n) {
    if (n > b->max - b->len)
        return failed(b, ERR_LIMIT);
    size_t need = b->len + n;
    if (b->p && b->cap - b->off >= need)
        return 0;
    // Sliding costs a copy of len; only when it frees at least as much is that paid for.
    if (b->p && b->cap >= need && b->off >= b->len) {
        memmove(b->p - b->off, b->p, b->len);
        b->p -= b->off;
        b->off = 0;
        return 0;
    }
    size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    if (cap < 64)
        cap = b->max < 64 ? b->max : 64;
    if (cap < need)
        cap = need;
    char *p = mem_alloc(cap);
    if (!p)
        return failed(b, ERR_NOMEM);
    if (b->len > 0)
        memcpy(p, b->p, b->len);
    if (b->p)
        mem_free(b->p - b->off);
    b->p = p;
    b->off = 0;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n) {
    if (n == 0)
        return 0;
    int r = buf_grow(b, n);
    if (r < 0)
        return r;
    memcpy(b->p + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_add_str(struct buf *b, struct str s) {
    return buf_add(b, s.p, s.n);
}

int buf_addc(struct buf *b, const char *s) {
    return buf_add(b, s, strlen(s));
}

int buf_add_byte(struct buf *b, char c) {
    return buf_add(b, &c, 1);
}

int buf_addf(struct buf *b, const char *fmt, ...) {
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    int r = n < 0 ? failed(b, ERR_INVALID) : 0;
    if (r == 0 && (size_t)n < sizeof(small)) {
        r = buf_add(b, small, (size_t)n);
    } else if (r == 0) {
        char *big = mem_alloc((size_t)n + 1);
        r = big ? 0 : failed(b, ERR_NOMEM);
        if (big) {
            vsnprintf(big, (size_t)n + 1, fmt, again);
            r = buf_add(b, big, (size_t)n);
        }
        mem_free(big);
    }
    va_end(again);
    va_end(ap);
    return r;
}

char *buf_reserve(struct buf *b, size_t n) {
    return buf_grow(b, n) < 0 ? NULL : b->p + b->len;
}

void buf_commit(struct buf *b, size_t n) {
    assert(b->p && n <= b->cap - b->off - b->len);
    b->len += n;
}

void buf_consume(struct buf *b, size_t n) {
    assert(n <= b->len);
    if (n == b->len) { // room at the end again
        if (b->p)
            b->p -= b->off;
        b->off = b->len = 0;
        return;
    }
    b->p += n;
    b->off += n;
    b->len -= n;
}

void buf_truncate(struct buf *b, size_t n) {
    assert(n <= b->len);
    b->len = n;
}

int buf_add_u64(struct buf *b, uint64_t v) {
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return buf_add(b, text + at, sizeof(text) - at);
}

int buf_add_i64(struct buf *b, int64_t v) {
    if (v >= 0)
        return buf_add_u64(b, (uint64_t)v);
    size_t before = b->len;
    int r = buf_add_byte(b, '-');
    if (r == 0)
        r = buf_add_u64(b, 0 - (uint64_t)v);
    if (r < 0)
        b->len = before;
    return r;
}

struct decimal {
    char digits[18]; // without a point, no trailing zeros
    int n;
    int exponent; // of the first digit
};

// The fewest digits that read back as v (finite, > 0). printf and strtod use the same locale, so
// the trip is right in any; only digits are taken from the text.
static struct decimal shortest(double v) {
    struct decimal d = {0};
    char text[40];
    // 15 digits always survive a double, so fewer are found by cutting zeros; a subnormal has
    // fewer.
    for (int precision = v < DBL_MIN ? 0 : 14; precision <= 16; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, v);
        if (precision == 16 || strtod(text, NULL) == v)
            break;
    }
    const char *c = text;
    for (; *c != 'e'; c++) {
        if (*c >= '0' && *c <= '9')
            d.digits[d.n++] = *c;
    }
    d.exponent = (int)strtol(c + 1, NULL, 10);
    while (d.n > 1 && d.digits[d.n - 1] == '0')
        d.n--;
    return d;
}

// As Go's FormatFloat(v, 'g', -1, 64), which is what Prometheus' text encoder writes: with an
// exponent, of at least two digits, when that is below -4 or from 6 on (strconv/ftoa.go).
static size_t decimal_print(const struct decimal *d, char *dst) {
    char *at = dst;
    int exponent = d->exponent;
    if (exponent < -4 || exponent >= 6) {
        *at++ = d->digits[0];
        if (d->n > 1) {
            *at++ = '.';
            memcpy(at, d->digits + 1, (size_t)d->n - 1);
            at += d->n - 1;
        }
        at += snprintf(at, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return (size_t)(at - dst);
    }
    if (exponent < 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = -1; i > exponent; i--)
            *at++ = '0';
    }
    for (int i = 0; i < d->n || i <= exponent; i++) {
        if (i == exponent + 1 && exponent >= 0)
            *at++ = '.';
        *at++ = i < d->n ? d->digits[i] : '0';
    }
    return (size_t)(at - dst);
}

int buf_add_double(struct buf *b, double v) {
    if (isnan(v))
        return buf_addc(b, "NaN");
    if (isinf(v))
        return buf_addc(b, v > 0 ? "+Inf" : "-Inf");
    if (v == 0)
        return buf_addc(b, signbit(v) ? "-0" : "0");
    if (fabs(v) < 1e6 && v == (double)(int64_t)v)
        return buf_add_i64(b, (int64_t)v);
    char text[64];
    size_t n = 0;
    if (v < 0)
        text[n++] = '-';
    struct decimal d = shortest(fabs(v));
    n += decimal_print(&d, text + n);
    return buf_add(b, text, n);
}

// How one character is written inside a JSON string: an escape, or NULL for itself. DEL and the C1
// controls are escaped too: a terminal that shows the text must not obey it.
static const char *json_escape(const unsigned char *p, size_t len, char esc[static 8]) {
    static const char letters[] = "btn?fr"; // 8..13
    unsigned c = p[0];
    if (len == 2 && c == 0xc2 && p[1] < 0xa0)
        c = p[1];
    else if (len > 1)
        return NULL;
    if (c == '"' || c == '\\')
        snprintf(esc, 8, "\\%c", (char)c);
    else if (c >= 8 && c <= 13 && c != 11)
        snprintf(esc, 8, "\\%c", letters[c - 8]);
    else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        snprintf(esc, 8, "\\u%04x", c);
    else
        return NULL;
    return esc;
}

static size_t char_len(unsigned char c) {
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static int add_json_body(struct buf *b, struct str s) {
    size_t i = 0;
    while (i < s.n) {
        size_t valid = i + utf8_valid_prefix(s.p + i, s.n - i);
        size_t plain = i; // start of what needs no escape
        while (i < valid) {
            char esc[8];
            size_t len = char_len((unsigned char)s.p[i]);
            if (json_escape((const unsigned char *)s.p + i, len, esc)) {
                int r = buf_add(b, s.p + plain, i - plain);
                if (r < 0 || (r = buf_addc(b, esc)) < 0)
                    return r;
                plain = i + len;
            }
            i += len;
        }
        int r = buf_add(b, s.p + plain, i - plain);
        if (r < 0)
            return r;
        if (i < s.n) {
            if ((r = buf_addc(b, "\xef\xbf\xbd")) < 0)
                return r;
            i++;
        }
    }
    return 0;
}

int buf_add_json(struct buf *b, struct str s) {
    size_t before = b->len;
    int r = buf_add_byte(b, '"');
    if (r == 0)
        r = add_json_body(b, s);
    if (r == 0)
        r = buf_add_byte(b, '"');
    if (r < 0)
        b->len = before;
    return r;
}
