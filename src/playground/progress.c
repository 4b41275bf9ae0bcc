// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the lines of our own load generator: flat objects with known keys, no text in them. Keys
 * that are not known are passed over.
 */
#include "playground/progress.h"

#include <math.h>
#include <string.h>

// What follows `"key":`, up to the next ',' or '}'; of an object all of it. Empty: not there.
static struct str value_of(struct str object, const char *key) {
    size_t n = strlen(key);
    for (size_t i = 0; i + n + 3 <= object.n; i++) {
        if (object.p[i] != '"' || memcmp(object.p + i + 1, key, n) != 0 ||
            object.p[i + n + 1] != '"' || object.p[i + n + 2] != ':')
            continue;
        struct str rest = {object.p + i + n + 3, object.n - i - n - 3};
        size_t end = 0;
        bool nested = rest.n && rest.p[0] == '{';
        while (end < rest.n && rest.p[end] != '}' && (nested || rest.p[end] != ','))
            end++;
        return str_trim((struct str){rest.p, end});
    }
    return (struct str){NULL, 0};
}

static int take_count(struct str object, const char *key, int64_t *ret, struct err *e) {
    long long n;
    if (str_to_i64(value_of(object, key), &n) < 0 || n < 0)
        return err_set(e, ERR_PARSE, "no count \"%s\" in the load's line", key);
    *ret = n;
    return 0;
}

// The sum of an object's counts, whatever their kinds are called.
static int take_errors(struct str object, int64_t *ret, struct err *e) {
    int64_t sum = 0;
    bool any = false;
    if (object.n && object.p[0] == '{')
        object = (struct str){object.p + 1, object.n - 1};
    while (object.n) {
        long long n;
        struct str value = str_cut(&object, ',');
        (void)str_cut(&value, ':');
        if (str_to_i64(str_trim(value), &n) < 0 || n < 0)
            return err_set(e, ERR_PARSE, "\"errors\" of the load's line are no counts");
        sum += n;
        any = true;
    }
    if (!any)
        return err_set(e, ERR_PARSE, "no \"errors\" in the load's line");
    *ret = sum;
    return 0;
}

static double take_ms(struct str object, const char *key) {
    double ms;
    return str_to_double(value_of(object, key), &ms) < 0 ? NAN : ms;
}

int progress_parse(struct progress *ret, struct str line, struct err *e) {
    struct progress p = {0};
    line = str_trim(line);
    if (line.n < 2 || line.p[0] != '{' || line.p[line.n - 1] != '}')
        return err_set(e, ERR_PARSE, "the load's line is no object");
    struct str latency = value_of(line, "latency_ms");
    p.t_s = take_ms(line, "t_s");
    if (!isfinite(p.t_s))
        return err_set(e, ERR_PARSE, "no number \"t_s\" in the load's line");
    int r = take_count(line, "sent", &p.sent, e);
    if (r == 0)
        r = take_count(line, "done", &p.done, e);
    if (r == 0)
        r = take_count(line, "in_flight", &p.in_flight, e);
    if (r == 0)
        r = take_errors(value_of(line, "errors"), &p.errors, e);
    if (r < 0)
        return r;
    p.p50_ms = take_ms(latency, "p50");
    p.p95_ms = take_ms(latency, "p95");
    p.p99_ms = take_ms(latency, "p99");
    p.final = str_eqc(value_of(line, "final"), "true");
    *ret = p;
    return 0;
}
