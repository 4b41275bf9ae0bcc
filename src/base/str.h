// SPDX-License-Identifier: Apache-2.0
/*
 * Borrowed string views and small string helpers. A `struct str` never owns its bytes and need not
 * be NUL-terminated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_from(const char *c) {
    return (struct str){c, c ? strlen(c) : 0};
}
static inline bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_eqc(struct str a, const char *c) {
    return str_eq(a, str_from(c));
}
bool str_eq_nocase(struct str a, struct str b); // ASCII only
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
struct str str_trim(struct str s); // ASCII white space off both ends
// Cuts `*s` at the first `sep`: returns the head, leaves the tail in *s; whole string when absent.
struct str str_cut(struct str *s, char sep);

// Copies into dst[cap] with NUL; returns ERR_LIMIT (dst = "") when it does not fit.
int str_copy(char *dst, size_t cap, struct str s);
// Decimal integers and doubles, the whole view, C locale, no white space: 0 or ERR_PARSE.
int str_to_i64(struct str s, long long *ret);
int str_to_u64(struct str s, unsigned long long *ret);
int str_to_double(struct str s, double *ret); // accepts inf, nan as strtod does
// The candidate nearest to `s` by edit distance (at most a third of its length off), or NULL:
// the "did you mean" of every error about a name. `names` ends with NULL.
const char *str_nearest(struct str s, const char *const *names);
