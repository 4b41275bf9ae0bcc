// SPDX-License-Identifier: Apache-2.0
/*
 * Quantities; see the header. Up to 18 digits take Go's fast path (an int64 and a power of ten);
 * longer ones its slow path, a decimal of nine places, here as a string of digits.
 */
#include "manifest/quantity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

enum { FAST_DIGITS = 18, PLACES = 9, DIGITS_MAX = LIMIT_QUANTITY_DIGITS + 32 };

struct parts {
    bool negative;
    char digits[DIGITS_MAX]; // without leading zeros of the whole number, without a point
    int n, places;           // so many digits; so many of them behind the point
    int whole, fraction;     // digits as they were written: before the point, behind it
    bool binary;
    int exponent; // of ten, or of two
};

static const struct {
    const char *text;
    bool binary;
    int exponent;
} suffixes[] = {
    {"", false, 0},   {"n", false, -9}, {"u", false, -6}, {"m", false, -3},
    {"k", false, 3},  {"M", false, 6},  {"G", false, 9},  {"T", false, 12},
    {"P", false, 15}, {"E", false, 18}, {"Ki", true, 10}, {"Mi", true, 20},
    {"Gi", true, 30}, {"Ti", true, 40}, {"Pi", true, 50}, {"Ei", true, 60},
};

static int read_suffix(struct str s, struct parts *p) {
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (str_eqc(s, suffixes[i].text)) {
            p->binary = suffixes[i].binary;
            p->exponent = suffixes[i].exponent;
            return 0;
        }
    }
    long long exponent;
    if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
        return ERR_PARSE;
    struct str number = {s.p + 1, s.n - 1};
    if (number.p[0] == '+' && number.n > 1 && number.p[1] >= '0' && number.p[1] <= '9')
        number = (struct str){number.p + 1, number.n - 1};
    if (str_to_i64(number, &exponent) < 0)
        return ERR_PARSE;
    if (exponent < -LIMIT_QUANTITY_EXPONENT || exponent > LIMIT_QUANTITY_EXPONENT)
        return ERR_LIMIT;
    p->exponent = (int)exponent;
    return 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int split(struct str s, struct parts *p) {
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        p->negative = s.p[0] == '-';
        s = (struct str){s.p + 1, s.n - 1};
    }
    size_t i = 0;
    bool any = false, point = false;
    while (i < s.n && s.p[i] == '0') {
        any = true;
        i++;
    }
    for (; i < s.n && (is_digit(s.p[i]) || (s.p[i] == '.' && !point)); i++) {
        if (s.p[i] == '.') {
            point = true;
            continue;
        }
        if (p->n == LIMIT_QUANTITY_DIGITS)
            return ERR_LIMIT;
        any = true;
        p->digits[p->n++] = s.p[i];
        p->whole += !point;
        p->fraction += point;
    }
    p->places = p->fraction;
    return any ? read_suffix((struct str){s.p + i, s.n - i}, p) : ERR_PARSE;
}

// The low 64 bits of the number, as Go's big.Int.Int64 has them.
static uint64_t low_bits(const char *digits, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v * 10 + (uint64_t)(digits[i] - '0');
    return v;
}

// 10^n as Go's int64(math.Pow10(n)): what does not fit is the smallest integer.
static int64_t power10(int n) {
    int64_t v = 1;
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(v, 10, &v))
            return INT64_MIN;
    return v;
}

// value * 10^up: Go multiplies in one step and keeps the low bits (up 1, 2, 3, 6, 9), or step by
// step and gives 0 when it does not fit.
static int64_t scale_up(int64_t value, int up) {
    if (up <= 3 || up == 6 || up == 9)
        return value == INT64_MIN && up > 0 ? 0
                                            : (int64_t)((uint64_t)value * (uint64_t)power10(up));
    for (; up > 0 && value != 0; up--)
        if (__builtin_mul_overflow(value, 10, &value))
            return 0;
    return value;
}

// value * 10^scale at 10^-3, rounded away from zero (AsScaledInt64).
static int64_t fast_milli(int64_t value, int scale) {
    int up = scale + 3;
    if (up >= 0)
        return scale_up(value, up);
    bool rest = false;
    int64_t v = value;
    for (; up < 0 && v != 0; up++) {
        rest |= v % 10 != 0;
        v /= 10;
    }
    return v + (rest ? (value > 0 ? 1 : -1) : 0);
}

// digits * 2^exponent, in place: it has at most DIGITS_MAX digits, 60 bits being 19.
static void multiply(struct parts *p, int exponent) {
    unsigned __int128 carry = 0;
    for (int i = p->n - 1; i >= 0; i--) {
        carry += (unsigned __int128)(p->digits[i] - '0') << exponent;
        p->digits[i] = (char)('0' + (int)(carry % 10));
        carry /= 10;
    }
    char more[40];
    int n = 0;
    for (; carry > 0; carry /= 10)
        more[n++] = (char)('0' + (int)(carry % 10));
    memmove(p->digits + n, p->digits, (size_t)p->n);
    for (int i = 0; i < n; i++)
        p->digits[i] = more[n - 1 - i];
    p->n += n;
}

static void strip_zeros(struct parts *p) {
    int zeros = 0;
    while (zeros < p->n && p->digits[zeros] == '0')
        zeros++;
    p->n -= zeros;
    memmove(p->digits, p->digits + zeros, (size_t)p->n);
}

static void add_one(struct parts *p) {
    int i = p->n - 1;
    for (; i >= 0 && p->digits[i] == '9'; i--)
        p->digits[i] = '0';
    if (i >= 0) {
        p->digits[i]++;
        return;
    }
    memmove(p->digits + 1, p->digits, (size_t)p->n++);
    p->digits[0] = '1';
}

// Cuts n digits off the end, rounding up; there may be fewer.
static void cut_round_up(struct parts *p, int n) {
    bool rest = false;
    for (int i = 0; i < n && p->n > 0; i++)
        rest |= p->digits[--p->n] != '0';
    if (rest)
        add_one(p);
}

// Above 2^63-1?
static bool above_cap(const struct parts *p) {
    static const char cap[] = "9223372036854775807";
    int whole = p->n - p->places;
    if (whole != 19)
        return whole > 19;
    int c = memcmp(p->digits, cap, 19);
    if (c != 0)
        return c > 0;
    for (int i = 19; i < p->n; i++)
        if (p->digits[i] != '0')
            return true;
    return false;
}

static void slow(struct parts *p, struct quantity *ret) {
    int zeros = 0; // behind the digits
    if (p->binary) {
        multiply(p, p->exponent);
    } else {
        p->places -= p->exponent;
    }
    strip_zeros(p);
    ret->sign = p->n == 0 ? 0 : p->negative ? -1 : 1;
    if (p->n == 0)
        return;
    if (p->binary && above_cap(p)) {
        ret->milli = (int64_t)((uint64_t)INT64_MAX * 1000 * (p->negative ? -1ULL : 1));
        ret->approximate = p->negative ? -0x1p63 : 0x1p63;
        return;
    }
    if (p->places > PLACES)
        cut_round_up(p, p->places - PLACES);
    else
        zeros = PLACES - p->places;
    // What remains is (digits)(zeros) * 10^-9; approximate first, then milli.
    char text[DIGITS_MAX + 16];
    (void)snprintf(text, sizeof(text), "%.*se%d", p->n, p->digits, zeros);
    ret->approximate = strtod(text, NULL) * 1e-9 * (p->negative ? -1 : 1);
    int cut = PLACES - 3;
    uint64_t v = low_bits(p->digits, p->n);
    if (p->negative) { // Go divides what its low 64 bits say
        for (int i = 0; i < zeros; i++)
            v *= 10;
        int64_t nano = (int64_t)(0 - v), by = power10(cut);
        ret->milli = nano / by + (nano % by != 0);
        return;
    }
    if (zeros < cut)
        cut_round_up(p, cut - zeros);
    v = low_bits(p->digits, p->n);
    for (int i = cut; i < zeros; i++)
        v *= 10;
    ret->milli = (int64_t)v;
}

// Go's fast path: a number of few digits. False: it is one for the slow path.
static bool fast(const struct parts *p, struct quantity *ret) {
    int whole = p->whole > 0 ? p->whole : 1; // "0" stands where no digit is left
    int precision, scale = 0;
    int64_t mantissa = 1;
    if (!p->binary) {
        scale = p->exponent;
        precision = FAST_DIGITS - (whole + p->fraction);
    } else if (p->fraction == 0) {
        mantissa = INT64_C(1) << p->exponent;
        precision = 15 - whole - (int)((float)p->exponent * 3 / 10) - 1;
    } else {
        return false;
    }
    scale -= p->fraction;
    if (precision < 0 || scale < -PLACES)
        return false;
    int64_t value = (int64_t)low_bits(p->digits, p->n);
    if (__builtin_mul_overflow(value, mantissa, &value))
        return false;
    if (p->negative)
        value = -value;
    ret->sign = value > 0 ? 1 : value < 0 ? -1 : 0;
    ret->milli = fast_milli(value, scale);
    ret->approximate = scale == 0 ? (double)value : (double)value * pow(10, scale);
    return true;
}

int quantity_parse(struct str text, struct quantity *ret) {
    struct parts p = {0};
    struct quantity q = {0};
    int r = split(str_trim(text), &p);
    if (r < 0)
        return r;
    if (!fast(&p, &q))
        slow(&p, &q);
    *ret = q;
    return 0;
}

// |milli| as mantissa * 10^exponent, the exponent a multiple of three and as large as possible.
static int add_decimal(struct buf *out, uint64_t milli) {
    static const char *const names[] = {"m", "", "k", "M", "G", "T", "P", "E"};
    size_t i = 0;
    while (milli % 1000 == 0) {
        milli /= 1000;
        i++;
    }
    return buf_addf(out, "%" PRIu64 "%s", milli, names[i]);
}

int quantity_add_milli(struct buf *out, int64_t milli, bool binary) {
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    if (milli == 0)
        return buf_add_byte(out, '0');
    uint64_t v = milli < 0 ? 0 - (uint64_t)milli : (uint64_t)milli;
    if (milli < 0)
        (void)buf_add_byte(out, '-');
    // Below 1024, or with a fraction, the decimal form loses nothing.
    if (!binary || v < 1024000 || v % 1000 != 0)
        return add_decimal(out, v);
    size_t i = 0;
    for (v /= 1000; v % 1024 == 0; v /= 1024)
        i++;
    return buf_addf(out, "%" PRIu64 "%s", v, names[i]);
}
