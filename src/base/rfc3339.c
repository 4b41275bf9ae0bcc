// SPDX-License-Identifier: Apache-2.0
/* RFC 3339 -> nanoseconds; see the header. */
#include "base/rfc3339.h"

#include <stdbool.h>

#include "base/clock.h"

// Days from 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap
// day is the last of its year, and an era of 400 years has 146,097 days.
static int64_t days_of(int64_t y, int m, int d) {
    y -= m <= 2;
    int64_t era = y / 400, year_of_era = y % 400;
    int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool digits(const char **p, int n, int *ret) {
    *ret = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        *ret = *ret * 10 + (**p - '0');
    }
    return true;
}

static bool literal(const char **p, char c) {
    return *(*p)++ == c;
}

static bool fraction(const char **p, int64_t *ret_ns) {
    *ret_ns = 0;
    if (**p != '.')
        return true;
    (*p)++;
    int64_t unit = NS_PER_S / 10;
    if (**p < '0' || **p > '9')
        return false;
    for (; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
        *ret_ns += (**p - '0') * unit;
    return true;
}

static bool offset(const char **p, int *ret_s) {
    *ret_s = 0;
    char c = *(*p)++;
    if (c == 'Z' || c == 'z')
        return true;
    int h, m;
    if ((c != '+' && c != '-') || !digits(p, 2, &h) || !literal(p, ':') || !digits(p, 2, &m) ||
        h > 23 || m > 59)
        return false;
    *ret_s = (h * 3600 + m * 60) * (c == '-' ? -1 : 1);
    return true;
}

static bool in_month(int y, int m, int d) {
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] && (m != 2 || d < 29 || leap);
}

int rfc3339_parse(const char *text, int64_t *ret_real_ns, struct err *e) {
    const char *p = text;
    int y, mo, d, h, mi, s, off;
    int64_t ns;
    bool good = digits(&p, 4, &y) && literal(&p, '-') && digits(&p, 2, &mo) && literal(&p, '-') &&
                digits(&p, 2, &d) && (literal(&p, 'T') || p[-1] == 't') && digits(&p, 2, &h) &&
                literal(&p, ':') && digits(&p, 2, &mi) && literal(&p, ':') && digits(&p, 2, &s) &&
                fraction(&p, &ns) && offset(&p, &off) && *p == '\0';
    // 1970 to 2199 fits 64 bits of nanoseconds; a leap second is the next one's first.
    if (!good || y < 1970 || y > 2199 || !in_month(y, mo, d) || h > 23 || mi > 59 || s > 60)
        return err_set(e, ERR_INVALID, "expected a time such as 2026-11-23T12:00:00Z");
    int64_t seconds = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - off;
    *ret_real_ns = seconds * NS_PER_S + ns;
    return 0;
}
