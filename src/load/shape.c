// SPDX-License-Identifier: Apache-2.0
/* Reading --rate, and the integral of the rate with its inverse. */
#include "load/shape.h"

#include <math.h>
#include <stdbool.h>

#include "base/units.h"

#define NS 1e-9

static int refuse(struct err *e, struct str piece, const char *why) {
    return err_set(e, ERR_INVALID,
                   "\"" STR_FMT "\": %s; a shape is RATE@TIME or FROM..TO@TIME, with commas "
                   "between them, such as 5..40@30s,40@1m",
                   STR_ARG(piece), why);
}

static bool rate_of(struct str text, double *ret) {
    return str_to_double(text, ret) == 0 && isfinite(*ret) && *ret >= 0;
}

// Cuts at the first "..": false when there is none.
static bool cut_dots(struct str *s, struct str *ret_head) {
    for (size_t i = 0; i + 1 < s->n; i++)
        if (s->p[i] == '.' && s->p[i + 1] == '.') {
            *ret_head = (struct str){s->p, i};
            *s = (struct str){s->p + i + 2, s->n - i - 2};
            return true;
        }
    return false;
}

static int add_piece(struct shape *s, struct str text, int64_t bare_ns, struct err *e) {
    struct str rest = text, rate = str_trim(str_cut(&rest, '@')), from;
    struct shape_piece p = {.start_s = s->seconds, .start_count = s->count};
    int64_t ns = bare_ns;
    bool bare = rate.n == str_trim(text).n;
    if (s->n == LIMIT_LOAD_PIECES)
        return err_set(e, ERR_LIMIT, "a shape has at most %d pieces", LIMIT_LOAD_PIECES);
    if (bare && bare_ns == 0)
        return refuse(e, text, "each of several pieces needs its time");
    if (!bare && (units_parse_duration_ns(str_trim(rest), &ns) < 0 || ns <= 0))
        return refuse(e, text, "behind @ stands a time such as 30s or 1m30s");
    bool ramp = cut_dots(&rate, &from);
    if (!rate_of(rate, &p.to) || (ramp && !rate_of(from, &p.from)))
        return refuse(e, text, "a rate is a number of requests a second, 0 or more");
    if (!ramp)
        p.from = p.to;
    if (p.from > LIMIT_LOAD_RATE || p.to > LIMIT_LOAD_RATE)
        return err_set(e, ERR_LIMIT, "\"" STR_FMT "\": at most %d requests a second", STR_ARG(text),
                       LIMIT_LOAD_RATE);
    p.seconds = (double)ns * NS;
    s->pieces[s->n++] = p;
    s->seconds += p.seconds;
    s->count += (p.from + p.to) / 2 * p.seconds;
    return 0;
}

// Ends the shape after `seconds`, inside a piece perhaps.
static void cut_short(struct shape *s, double seconds) {
    while (s->n > 1 && s->pieces[s->n - 1].start_s >= seconds)
        s->n--;
    struct shape_piece *p = &s->pieces[s->n - 1];
    double left = seconds - p->start_s;
    if (left < p->seconds) {
        p->to = p->from + (p->to - p->from) * left / p->seconds;
        p->seconds = left;
    }
    s->seconds = p->start_s + p->seconds;
    s->count = p->start_count + (p->from + p->to) / 2 * p->seconds;
}

int shape_parse(struct shape *ret, struct str text, int64_t duration_ns, int64_t fallback_ns,
                struct err *e) {
    struct shape s = {0};
    struct str rest = text;
    bool several = memchr(text.p, ',', text.n) != NULL;
    int64_t bare_ns = several ? 0 : duration_ns ? duration_ns : fallback_ns;
    do {
        int r = add_piece(&s, str_cut(&rest, ','), bare_ns, e);
        if (r < 0)
            return r;
    } while (rest.n > 0);
    if (duration_ns && s.seconds > (double)duration_ns * NS)
        cut_short(&s, (double)duration_ns * NS);
    if (s.seconds > LIMIT_LOAD_SECONDS)
        return err_set(e, ERR_LIMIT, "a run lasts at most %d s", LIMIT_LOAD_SECONDS);
    if (s.count <= 0)
        return err_set(e, ERR_INVALID, "\"" STR_FMT "\" asks for no request at all", STR_ARG(text));
    *ret = s;
    return 0;
}

double shape_time(const struct shape *s, double count, unsigned *piece) {
    // 100/s for 0.55 s are 55 requests, though the product is a little more in doubles.
    if (count >= s->count - 1e-9 - 1e-12 * s->count)
        return INFINITY;
    unsigned i = *piece;
    while (i + 1 < s->n && s->pieces[i + 1].start_count <= count)
        i++;
    *piece = i;
    const struct shape_piece *p = &s->pieces[i];
    // from * x + (to - from) / (2 seconds) * x^2 = y, in the form that also holds for no slope.
    double y = count - p->start_count, slope = (p->to - p->from) / p->seconds;
    double root = p->from * p->from + 2 * slope * y;
    double x = y <= 0 ? 0 : 2 * y / (p->from + sqrt(root > 0 ? root : 0));
    return p->start_s + (x < p->seconds ? x : p->seconds);
}

double shape_count(const struct shape *s, double at_s) {
    double count = 0;
    for (unsigned i = 0; i < s->n && s->pieces[i].start_s < at_s; i++) {
        const struct shape_piece *p = &s->pieces[i];
        double x = at_s - p->start_s < p->seconds ? at_s - p->start_s : p->seconds;
        count = p->start_count + p->from * x + (p->to - p->from) * x * x / (2 * p->seconds);
    }
    return count;
}
