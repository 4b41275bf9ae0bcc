// SPDX-License-Identifier: Apache-2.0
/*
 * Decimal text to double, correctly rounded. Nearly all numbers of a metrics page have at most 19
 * digits and a small exponent; those are exact integer arithmetic here. The rest goes to strtod.
 */
#include <math.h>

#include "core/metrics/prom_line.h"

enum { POW10_MAX = 19 }; // the largest power of ten in 64 bits

static const uint64_t pow10_u64[POW10_MAX + 1] = {
    1ULL,
    10ULL,
    100ULL,
    1000ULL,
    10000ULL,
    100000ULL,
    1000000ULL,
    10000000ULL,
    100000000ULL,
    1000000000ULL,
    10000000000ULL,
    100000000000ULL,
    1000000000000ULL,
    10000000000000ULL,
    100000000000000ULL,
    1000000000000000ULL,
    10000000000000000ULL,
    100000000000000000ULL,
    1000000000000000000ULL,
    10000000000000000000ULL,
};
// Powers of ten that a double holds exactly, as far as pow10_u64 reaches.
static const double pow10_double[POW10_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
};

// 2^e for a small e, by its bits.
static double exp2_small(int e) {
    uint64_t bits = (uint64_t)(1023 + e) << 52;
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

// The nearest double to x * 2^shift, ties to even: of x the top 64 bits are kept and the lost ones
// are remembered in the lowest (a tie is then told from a near tie), so that the conversion rounds
// once, and correctly. The result is a normal number.
static double u128_to_double(unsigned __int128 x, bool inexact, int shift) {
    uint64_t hi = (uint64_t)(x >> 64);
    if (hi) {
        int drop = 64 - __builtin_clzll(hi);
        inexact |= (x & (((unsigned __int128)1 << drop) - 1)) != 0;
        x >>= drop;
        shift += drop;
    }
    return (double)((uint64_t)x | inexact) * exp2_small(shift);
}

// m * 10^e, correctly rounded; |e| <= POW10_MAX.
static double scale_exact(uint64_t m, int e) {
    if (m <= UINT64_C(1) << 53) // both exact: one rounding (Clinger's fast path)
        return e < 0 ? (double)m / pow10_double[-e] : (double)m * pow10_double[e];
    if (e >= 0)
        return u128_to_double((unsigned __int128)m * pow10_u64[e], false, 0);
    // m has its top bit near 2^63, so that the quotient of m 2^64 has at least 64 bits.
    int up = __builtin_clzll(m);
    unsigned __int128 num = (unsigned __int128)(m << up) << 64;
    uint64_t den = pow10_u64[-e];
    unsigned __int128 q = num / den;
    return u128_to_double(q, q * den != num, -64 - up);
}

static bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

// Case-insensitive: p starts with the lower-case word.
static bool word_at(const char *p, const char *word) {
    for (; *word; p++, word++)
        if ((*p | 0x20) != *word)
            return false;
    return true;
}

static const char *scan_special(const char *p, double *ret) {
    const char *q = p;
    bool sign = *q == '-' || *q == '+';
    q += sign;
    if (word_at(q, "inf")) {
        *ret = *p == '-' ? -INFINITY : INFINITY;
        return q + (word_at(q, "infinity") ? 8 : 3);
    }
    if (!sign && word_at(q, "nan")) {
        *ret = NAN;
        return q + 3;
    }
    return NULL;
}

static const char *scan_slow(const char *from, const char *to, double *ret) {
    double v;
    if (str_to_double((struct str){from, (size_t)(to - from)}, &v) < 0 || isinf(v))
        return NULL;
    *ret = v;
    return to;
}

// Past the exponent at p (which is at 'e'), NULL when it has no digits. *ret is clamped.
static const char *scan_exponent(const char *p, int *ret) {
    bool neg = p[1] == '-';
    p += 1 + (neg || p[1] == '+');
    if (!is_digit(*p))
        return NULL;
    int e = 0;
    for (; is_digit(*p); p++)
        if (e < 100000)
            e = e * 10 + (*p - '0');
    *ret = neg ? -e : e;
    return p;
}

const char *prom_number_scan(const char *p, double *ret) {
    const char *start = p;
    bool neg = *p == '-';
    p += neg || *p == '+';
    const char *digits = p;
    uint64_t m = 0;
    for (; is_digit(*p); p++)
        m = m * 10 + (uint64_t)(*p - '0');
    ptrdiff_t n = p - digits;
    int e = 0;
    if (*p == '.') {
        const char *fraction = ++p;
        if (*p == '0' && n > 0 && !is_digit(p[1])) {
            p++; // "12.0", as Python writes it
        } else {
            for (; is_digit(*p); p++)
                m = m * 10 + (uint64_t)(*p - '0');
            e = (int)(fraction - p);
        }
        n += p - fraction;
    }
    if (n == 0)
        return p == digits ? scan_special(start, ret) : NULL;
    if ((*p | 0x20) == 'e') {
        int written;
        p = scan_exponent(p, &written);
        if (!p)
            return NULL;
        e += written;
    }
    if (n > 19 || e < -POW10_MAX || e > POW10_MAX) // m may have overflowed
        return scan_slow(start, p, ret);
    double v = scale_exact(m, e);
    *ret = neg ? -v : v;
    return p;
}

int prom_parse_double(struct str s, double *ret) {
    char copy[512]; // the scan wants a byte behind the number
    double v;
    if (s.n == 0 || s.n >= sizeof(copy) || memchr(s.p, 0, s.n))
        return ERR_PARSE;
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    if (prom_number_scan(copy, &v) != copy + s.n)
        return ERR_PARSE;
    *ret = v;
    return 0;
}
