// SPDX-License-Identifier: Apache-2.0
/*
 * Quantities as text. Durations and sizes are computed in 128-bit integers, so that "0.1s" is
 * 100000000 ns and not one less; a Kubernetes Quantity is a double, read in one rounding.
 */
#include "base/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/clock.h"
#include "base/err.h"

// A decimal as digits / scale. More than 18 digits after the point are cut: less than any unit.
struct decimal {
    unsigned __int128 digits;
    uint64_t scale;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Takes "12", "1.5", ".5" or "1." off the front of *s.
static int take_decimal(struct str *s, struct decimal *ret) {
    struct decimal d = {0, 1};
    bool any = false, fraction = false;
    for (; s->n > 0; s->p++, s->n--) {
        char c = s->p[0];
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!is_digit(c))
            break;
        any = true;
        if (fraction && d.scale >= UINT64_C(1000000000000000000))
            continue;
        if (d.digits > UINT64_MAX)
            return ERR_LIMIT;
        d.digits = d.digits * 10 + (unsigned)(c - '0');
        d.scale *= fraction ? 10 : 1;
    }
    if (!any)
        return ERR_PARSE;
    *ret = d;
    return 0;
}

struct suffix {
    const char *name;
    uint64_t factor;
};

// Takes the letters (and the micro sign) off the front of *s and looks them up.
static const struct suffix *take_suffix(struct str *s, const struct suffix *table) {
    size_t n = 0;
    while (n < s->n && !is_digit(s->p[n]) && s->p[n] != '.')
        n++;
    struct str name = {s->p, n};
    for (; table->name; table++) {
        if (str_eqc(name, table->name)) {
            s->p += n;
            s->n -= n;
            return table;
        }
    }
    return NULL;
}

static const struct suffix duration_units[] = {
    {"ns", 1},
    {"us", NS_PER_US},
    {"\xc2\xb5s", NS_PER_US}, // U+00B5, micro sign
    {"\xce\xbcs", NS_PER_US}, // U+03BC, Greek mu: Go reads both
    {"ms", NS_PER_MS},
    {"s", NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {NULL, 0},
};

int units_parse_duration_ns(struct str s, int64_t *ret_ns) {
    unsigned __int128 total = 0;
    for (bool first = true; first || s.n > 0; first = false) {
        struct decimal d;
        int r = take_decimal(&s, &d);
        if (r < 0)
            return r;
        uint64_t factor = NS_PER_S; // a bare number, alone
        if (s.n > 0 || !first) {
            const struct suffix *unit = take_suffix(&s, duration_units);
            if (!unit)
                return ERR_PARSE;
            factor = unit->factor;
        }
        total += d.digits * factor / d.scale;
        if (total > INT64_MAX)
            return ERR_LIMIT;
    }
    *ret_ns = (int64_t)total;
    return 0;
}

#define KI (UINT64_C(1) << 10)
#define MI (UINT64_C(1) << 20)
#define GI (UINT64_C(1) << 30)
#define TI (UINT64_C(1) << 40)
#define PI (UINT64_C(1) << 50)
#define EI (UINT64_C(1) << 60)
#define K UINT64_C(1000)

static const struct suffix byte_units[] = {
    {"", 1},      {"B", 1},       {"k", K},        {"kB", K},         {"M", K *K},
    {"MB", K *K}, {"G", K *K *K}, {"GB", K *K *K}, {"T", K *K *K *K}, {"TB", K *K *K *K},
    {"Ki", KI},   {"KiB", KI},    {"Mi", MI},      {"MiB", MI},       {"Gi", GI},
    {"GiB", GI},  {"Ti", TI},     {"TiB", TI},     {"Pi", PI},        {"PiB", PI},
    {NULL, 0},
};

int units_parse_bytes(struct str s, uint64_t *ret_bytes) {
    struct decimal d;
    int r = take_decimal(&s, &d);
    if (r < 0)
        return r;
    const struct suffix *unit = take_suffix(&s, byte_units);
    if (!unit || s.n > 0)
        return ERR_PARSE;
    unsigned __int128 bytes = d.digits * unit->factor / d.scale;
    if (bytes > UINT64_MAX)
        return ERR_LIMIT;
    *ret_bytes = (uint64_t)bytes;
    return 0;
}

// apimachinery's pkg/api/resource/suffix.go
static const struct {
    const char *name;
    int exponent; // of ten
    double binary;
} quantity_suffixes[] = {
    {"Ki", 0, 0x1p10}, {"Mi", 0, 0x1p20}, {"Gi", 0, 0x1p30}, {"Ti", 0, 0x1p40}, {"Pi", 0, 0x1p50},
    {"Ei", 0, 0x1p60}, {"n", -9, 1},      {"u", -6, 1},      {"m", -3, 1},      {"k", 3, 1},
    {"M", 6, 1},       {"G", 9, 1},       {"T", 12, 1},      {"P", 15, 1},      {"E", 18, 1},
};

int units_parse_quantity(struct str s, double *ret) {
    // The number ends where the suffix begins; e and E begin an exponent only when digits follow.
    size_t n = 0;
    while (n < s.n && (is_digit(s.p[n]) || s.p[n] == '.' || s.p[n] == '+' || s.p[n] == '-'))
        n++;
    struct str suffix = {s.p + n, s.n - n};
    if (n == 0)
        return ERR_PARSE;
    char text[512];
    int exponent = 0;
    double binary = 1;
    if (suffix.n > 1 && (suffix.p[0] == 'e' || suffix.p[0] == 'E') && suffix.p[1] != 'i') {
        n = s.n;
    } else if (suffix.n > 0) {
        size_t i = 0;
        while (i < COUNT_OF(quantity_suffixes) && !str_eqc(suffix, quantity_suffixes[i].name))
            i++;
        if (i == COUNT_OF(quantity_suffixes))
            return ERR_PARSE;
        exponent = quantity_suffixes[i].exponent;
        binary = quantity_suffixes[i].binary;
    }
    int len = snprintf(text, sizeof(text), "%.*se%d", (int)(n > 500 ? 500 : n), s.p, exponent);
    if (n == s.n && suffix.n > 0)
        len = snprintf(text, sizeof(text), "%.*s", (int)(n > 500 ? 500 : n), s.p);
    if (n > 500 || len < 0)
        return ERR_LIMIT;
    double v;
    if (str_to_double((struct str){text, (size_t)len}, &v) < 0)
        return ERR_PARSE;
    v *= binary;
    if (!isfinite(v))
        return ERR_LIMIT;
    *ret = v;
    return 0;
}

// Writes units.fraction without trailing zeros, then the unit's name.
static void print_decimal(char *dst, size_t cap, const char *sign, uint64_t ns, uint64_t unit,
                          const char *name) {
    int digits = 0;
    uint64_t fraction = ns % unit;
    for (uint64_t u = unit; u > 1; u /= 10)
        digits++;
    while (fraction > 0 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    if (fraction == 0)
        snprintf(dst, cap, "%s%llu%s", sign, (unsigned long long)(ns / unit), name);
    else
        snprintf(dst, cap, "%s%llu.%0*llu%s", sign, (unsigned long long)(ns / unit), digits,
                 (unsigned long long)fraction, name);
}

void units_format_duration(int64_t ns, char *dst, unsigned cap) {
    const char *sign = ns < 0 ? "-" : "";
    uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (u == 0) {
        snprintf(dst, cap, "0s");
    } else if (u < NS_PER_US) {
        print_decimal(dst, cap, sign, u, 1, "ns");
    } else if (u < NS_PER_MS) {
        print_decimal(dst, cap, sign, u, NS_PER_US, "\xc2\xb5s");
    } else if (u < NS_PER_S) {
        print_decimal(dst, cap, sign, u, NS_PER_MS, "ms");
    } else {
        uint64_t minutes = u / (60 * NS_PER_S);
        char seconds[32], head[32] = "";
        print_decimal(seconds, sizeof(seconds), "", u % (60 * NS_PER_S), NS_PER_S, "s");
        if (minutes >= 60)
            snprintf(head, sizeof(head), "%lluh%llum", (unsigned long long)(minutes / 60),
                     (unsigned long long)(minutes % 60));
        else if (minutes > 0)
            snprintf(head, sizeof(head), "%llum", (unsigned long long)minutes);
        snprintf(dst, cap, "%s%s%s", sign, head, seconds);
    }
}

void units_format_bytes(uint64_t bytes, char *dst, unsigned cap) {
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned i = 0;
    double v = (double)bytes;
    while (v >= 1023.95 && i + 1 < COUNT_OF(names)) { // what would print as 1024.0
        v /= 1024;
        i++;
    }
    double part = v - (double)(uint64_t)v;
    bool whole = part < 0.05 || part > 0.95;
    snprintf(dst, cap, "%.*f %s", whole ? 0 : 1, v, names[i]);
}
