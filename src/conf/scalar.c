// SPDX-License-Identifier: Apache-2.0
/*
 * One value: text to the field's type, with its range. Unquoted text of a file has the type that
 * YAML 1.2's core schema gives it (section 10.3 of the specification) and is refused where the
 * field's type is another; the text of flags and defaults has the field's type.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/internal.h"

enum { SHOWN_BYTES = 60 }; // of a value, in a message

size_t conf_scalar_size(enum conf_kind kind) {
    switch (kind) {
    case CONF_KIND_STRING:
        return sizeof(const char *);
    case CONF_KIND_BOOL:
        return sizeof(bool);
    case CONF_KIND_ENUM:
        return sizeof(int);
    case CONF_KIND_NUMBER:
        return sizeof(double);
    case CONF_KIND_INT:
    case CONF_KIND_DURATION:
    case CONF_KIND_BYTES:
        return sizeof(int64_t);
    case CONF_KIND_STRUCT:
        break;
    }
    return 0;
}

enum core_type { CORE_NULL, CORE_BOOL, CORE_NUMBER, CORE_STRING };

static bool one_of(struct str s, const char *const *names) {
    for (; *names; names++) {
        if (str_eqc(s, *names))
            return true;
    }
    return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"true", "True", "TRUE", NULL};
static const char *const false_words[] = {"false", "False", "FALSE", NULL};
// What YAML 1.1 took for booleans, and people still write.
static const char *const old_words[] = {"yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON",
                                        "off", "Off", "OFF", "y",  "Y",  "n",  "N",  NULL};
static const char *const inf_words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};

static bool is_core_number(struct str s) {
    double v;
    if (one_of(s, inf_words))
        return true;
    if (str_starts(s, "0x") || str_starts(s, "0o"))
        return s.n > 2 &&
               strspn(s.p + 2, s.p[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567") == s.n - 2;
    return s.n > 0 && strspn(s.p, "+-.0123456789eE") == s.n && str_to_double(s, &v) == 0;
}

// `s` is NUL-terminated.
static enum core_type core_type(struct str s) {
    if (one_of(s, null_words))
        return CORE_NULL;
    if (one_of(s, true_words) || one_of(s, false_words))
        return CORE_BOOL;
    return is_core_number(s) ? CORE_NUMBER : CORE_STRING;
}

static void add_range(struct buf *b, const struct conf_field *f, const char *unit) {
    if (f->min && f->max)
        buf_addf(b, " from %s to %s%s", f->min, f->max, unit);
    else if (f->min)
        buf_addf(b, " of at least %s%s", f->min, unit);
    else if (f->max)
        buf_addf(b, " of at most %s%s", f->max, unit);
}

void conf_expected(const struct conf_field *f, char *dst, size_t cap) {
    struct buf b = {.p = dst, .cap = cap, .max = cap - 1}; // never grows
    bool range = f->min || f->max;
    switch (f->kind) {
    case CONF_KIND_STRING:
        buf_addc(&b, "a string");
        add_range(&b, f, " bytes");
        break;
    case CONF_KIND_BOOL:
        buf_addc(&b, "true or false");
        break;
    case CONF_KIND_INT:
        buf_addc(&b, "an integer");
        add_range(&b, f, "");
        break;
    case CONF_KIND_NUMBER:
        buf_addc(&b, "a number");
        add_range(&b, f, "");
        break;
    case CONF_KIND_DURATION:
        buf_addc(&b, range ? "a duration" : "a duration such as 300ms, 1.5s or 1h30m");
        add_range(&b, f, "");
        break;
    case CONF_KIND_BYTES:
        buf_addc(&b, range ? "a size" : "a size such as 512, 64KiB or 1.5GiB");
        add_range(&b, f, "");
        break;
    case CONF_KIND_ENUM:
        buf_addc(&b, "one of ");
        for (const char *const *n = f->names; *n; n++)
            buf_addf(&b, "%s%s", n > f->names ? ", " : "", *n);
        break;
    case CONF_KIND_STRUCT:
        buf_addc(&b, "a map");
        break;
    }
    dst[b.len] = '\0';
}

static int refuse(const struct conf_field *f, struct str text, enum conf_origin origin,
                  const char *remark, struct err *e) {
    char expected[320], found[SHOWN_BYTES * 2];
    conf_expected(f, expected, sizeof(expected));
    const char *quote = origin == CONF_QUOTED ? "\"" : "'";
    int shown = (int)(text.n > SHOWN_BYTES ? SHOWN_BYTES : text.n);
    snprintf(found, sizeof(found), "%s%.*s%s%s", quote, shown, text.p,
             text.n > SHOWN_BYTES ? "..." : "", quote);
    if (f->secret)
        snprintf(found, sizeof(found), "a value that is not shown");
    return err_set(e, ERR_INVALID, "found %s, expected %s%s",
                   text.n == 0 && origin == CONF_PLAIN ? "nothing" : found, expected, remark);
}

// Text to the kind's binary form; no range. A string is bound to text itself.
union value {
    const char *s;
    bool b;
    int i;
    int64_t i64;
    uint64_t u64;
    double d;
};

static int parse_bool(struct str s, bool *ret) {
    bool yes = one_of(s, true_words);
    if (!yes && !one_of(s, false_words))
        return ERR_PARSE;
    *ret = yes;
    return 0;
}

static int parse_int(struct str s, int64_t *ret) {
    long long v;
    struct str digits = s;
    if (digits.n > 0 && (digits.p[0] == '-' || digits.p[0] == '+'))
        digits = (struct str){digits.p + 1, digits.n - 1};
    if (digits.n > 1 && digits.p[0] == '0') // octal to some, decimal to others
        return ERR_PARSE;
    if (digits.n == 0 || digits.p[0] == '-')
        return ERR_PARSE;
    if (str_to_i64(s.p[0] == '+' ? digits : s, &v) < 0)
        return ERR_PARSE;
    *ret = v;
    return 0;
}

static int parse_number(struct str s, double *ret) {
    double v;
    if (str_to_double(s, &v) < 0 || !isfinite(v))
        return ERR_PARSE;
    *ret = v;
    return 0;
}

static int parse_enum(const struct conf_field *f, struct str s, int *ret) {
    for (int i = 0; f->names[i]; i++) {
        if (str_eqc(s, f->names[i])) {
            *ret = i;
            return 0;
        }
    }
    return ERR_PARSE;
}

static int parse_value(const struct conf_field *f, struct str s, union value *v) {
    switch (f->kind) {
    case CONF_KIND_STRING:
        v->s = s.p;
        return 0;
    case CONF_KIND_BOOL:
        return parse_bool(s, &v->b);
    case CONF_KIND_INT:
        return parse_int(s, &v->i64);
    case CONF_KIND_NUMBER:
        return parse_number(s, &v->d);
    case CONF_KIND_DURATION:
        return units_parse_duration_ns(s, &v->i64);
    case CONF_KIND_BYTES:
        return units_parse_bytes(s, &v->u64);
    case CONF_KIND_ENUM:
        return parse_enum(f, s, &v->i);
    case CONF_KIND_STRUCT:
        break;
    }
    return ERR_INVALID;
}

// -1, 0, 1: v against a bound of the table, which is written as a value of the same kind (the
// length of a string as an integer).
static int compare(const struct conf_field *f, const union value *v, size_t len,
                   const char *bound) {
    union value limit;
    struct conf_field as = *f;
    if (f->kind == CONF_KIND_STRING)
        as.kind = CONF_KIND_BYTES;
    int r = parse_value(&as, str_from(bound), &limit);
    assert(r == 0);
    switch (as.kind) {
    case CONF_KIND_NUMBER:
        return (v->d > limit.d) - (v->d < limit.d);
    case CONF_KIND_BYTES: {
        uint64_t u = f->kind == CONF_KIND_STRING ? len : v->u64;
        return (u > limit.u64) - (u < limit.u64);
    }
    default:
        return (v->i64 > limit.i64) - (v->i64 < limit.i64);
    }
}

// Is the type that the file's text has one that the field takes? 0, or the message.
static int check_type(const struct conf_field *f, struct str s, enum conf_origin origin,
                      struct err *e) {
    if (origin == CONF_TEXT)
        return 0;
    bool typed = f->kind == CONF_KIND_BOOL || f->kind == CONF_KIND_INT ||
                 f->kind == CONF_KIND_NUMBER;
    if (origin == CONF_QUOTED)
        return typed ? refuse(f, s, origin, " (without quotes)", e) : 0;
    enum core_type type = core_type(s);
    if (type == CORE_NULL)
        return refuse(f, s, origin, "", e);
    if (f->kind == CONF_KIND_BOOL && one_of(s, old_words))
        return refuse(f, s, origin, " (YAML 1.2 has no yes, no, on and off)", e);
    if (f->kind == CONF_KIND_STRING && type != CORE_STRING &&
        !(f->numbers_too && type == CORE_NUMBER))
        return refuse(f, s, origin, " (put it in quotes)", e);
    return 0;
}

static int check_string(const struct conf_field *f, const char *value, struct err *e) {
    struct err why = {0};
    if (!f->check || f->check(value, &why) == 0)
        return 0;
    if (f->secret)
        return err_set(e, why.code ? why.code : ERR_INVALID, "%s", why.msg);
    return err_set(e, why.code ? why.code : ERR_INVALID, "found '%.*s', %s", SHOWN_BYTES, value,
                   why.msg[0] ? why.msg : "which is not allowed");
}

int conf_scalar(const struct conf_field *f, struct str text, enum conf_origin origin, void *dst,
                struct arena *a, struct err *e) {
    int r = check_type(f, text, origin, e);
    if (r < 0)
        return r;
    union value v = {0};
    if (parse_value(f, text, &v) < 0) {
        const char *near = f->kind == CONF_KIND_ENUM ? str_nearest(text, f->names) : NULL;
        char remark[96] = "";
        if (near)
            snprintf(remark, sizeof(remark), "; did you mean '%s'?", near);
        return refuse(f, text, origin, remark, e);
    }
    if ((f->min && compare(f, &v, text.n, f->min) < 0) ||
        (f->max && compare(f, &v, text.n, f->max) > 0))
        return refuse(f, text, origin, "", e);
    if (f->kind == CONF_KIND_STRING) {
        v.s = arena_strdup(a, text);
        if (!v.s)
            return err_set(e, ERR_NOMEM, "out of memory");
        r = check_string(f, v.s, e);
        if (r < 0)
            return r;
    }
    memcpy(dst, &v, conf_scalar_size(f->kind));
    return 0;
}
