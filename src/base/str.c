// SPDX-License-Identifier: Apache-2.0
/*
 * String views: comparing, cutting, numbers, and the "did you mean" of error messages.
 */
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#include "base/err.h"

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_eq_nocase(struct str a, struct str b) {
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

bool str_starts(struct str s, const char *prefix) {
    size_t n = strlen(prefix);
    return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix) {
    size_t n = strlen(suffix);
    return s.n >= n && (n == 0 || memcmp(s.p + s.n - n, suffix, n) == 0);
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s) {
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_cut(struct str *s, char sep) {
    const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
    struct str head = *s;
    if (!at) {
        *s = (struct str){s->n ? s->p + s->n : s->p, 0};
        return head;
    }
    head.n = (size_t)(at - s->p);
    *s = (struct str){at + 1, s->n - head.n - 1};
    return head;
}

int str_copy(char *dst, size_t cap, struct str s) {
    if (cap > 0)
        dst[0] = '\0';
    if (s.n >= cap)
        return ERR_LIMIT;
    if (s.n > 0)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return 0;
}

int str_to_u64(struct str s, unsigned long long *ret) {
    if (s.n == 0)
        return ERR_PARSE;
    unsigned long long v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9 || __builtin_mul_overflow(v, 10ULL, &v) ||
            __builtin_add_overflow(v, (unsigned long long)d, &v))
            return ERR_PARSE;
    }
    *ret = v;
    return 0;
}

int str_to_i64(struct str s, long long *ret) {
    bool negative = s.n > 0 && s.p[0] == '-';
    unsigned long long v;
    if (str_to_u64(negative ? (struct str){s.p + 1, s.n - 1} : s, &v) < 0)
        return ERR_PARSE;
    if (v > (unsigned long long)LLONG_MAX + (negative ? 1 : 0))
        return ERR_PARSE;
    *ret = negative ? (long long)(0 - v) : (long long)v;
    return 0;
}

// Digits with at most 15 significant ones and a small power of ten are exact in one operation
// (Clinger 1990, "How to read floating point numbers accurately", the fast path).
static bool fast_double(struct str s, double *ret) {
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
    size_t first = i, point = s.n;
    uint64_t v = 0;
    if (s.n - first > 16)
        return false;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && point == s.n) {
            point = i;
            continue;
        }
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9)
            return false;
        v = v * 10 + d;
    }
    size_t digits = s.n - first - (point < s.n);
    size_t decimals = point < s.n ? s.n - point - 1 : 0;
    if (digits == 0 || digits > 15)
        return false;
    double x = (double)v / powers[decimals];
    *ret = s.p[0] == '-' ? -x : x;
    return true;
}

static locale_t c_locale;
static once_flag c_locale_once = ONCE_FLAG_INIT;

static void c_locale_init(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); // glibc: static, cannot fail
}

int str_to_double(struct str s, double *ret) {
    if (fast_double(s, ret))
        return 0;
    char text[512]; // 1e308 written out has 309 digits
    if (s.n == 0 || is_space(s.p[0]) || memchr(s.p, '\0', s.n) || str_copy(text, sizeof(text), s))
        return ERR_PARSE;
    if (strpbrk(text, "xX(")) // strtod's hexadecimal and nan(...) forms
        return ERR_PARSE;
    call_once(&c_locale_once, c_locale_init);
    char *end;
    double v = strtod_l(text, &end, c_locale);
    if (end != text + s.n)
        return ERR_PARSE;
    *ret = v;
    return 0;
}

enum { NEAREST_MAX = 64 }; // longer names are not compared

// Edits (insert, delete, replace, swap of neighbours; case counts as nothing) from a to b.
static size_t edit_distance(struct str a, struct str b) {
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned char x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);
            size_t best = above[j - 1] + (x != y);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            bool swapped = i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y;
            if (swapped && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

const char *str_nearest(struct str s, const char *const *names) {
    if (s.n > NEAREST_MAX)
        return NULL;
    const char *found = NULL;
    size_t best = s.n / 3 + 1;
    for (; *names; names++) {
        struct str name = str_from(*names);
        if (name.n > NEAREST_MAX)
            continue;
        size_t d = edit_distance(s, name);
        if (d < best) {
            best = d;
            found = *names;
        }
    }
    return found;
}
