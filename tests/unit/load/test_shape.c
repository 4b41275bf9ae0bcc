// SPDX-License-Identifier: Apache-2.0
/* Shapes: what is read, what is refused with which remedy, and that times invert the integral. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "load/shape.h"

static struct shape parse(const char *text, int64_t duration_ns) {
    struct shape s;
    struct err e = {0};
    if (shape_parse(&s, str_from(text), duration_ns, 10 * NS_PER_S, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return s;
}

static void shapes_are_read(void **state) {
    static const struct {
        const char *text;
        int64_t duration_s;
        double seconds, count;
        unsigned n;
    } rows[] = {
        {"20", 0, 10, 200, 1},
        {"20", 3, 3, 60, 1},
        {"0.5@1m", 0, 60, 30, 1},
        {"5..40@30s", 0, 30, 675, 1},
        {"5..40@30s, 40@1m ,0@10s", 0, 100, 3075, 3},
        {"0..0@1s,10@1s", 0, 2, 10, 2},
        {"10@30s", 6, 6, 60, 1},            // cut
        {"10@30s", 60, 30, 300, 1},         // not made longer
        {"0..10@10s", 5, 5, 12.5, 1},       // cut on the ramp
        {"10@1s,20@1s,30@1s", 2, 2, 30, 2}, // cut between pieces
        {"1e3@500ms", 0, 0.5, 500, 1},
        {".5..1.5@2", 0, 2, 2, 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct shape s = parse(rows[i].text, rows[i].duration_s * NS_PER_S);
        if (fabs(s.seconds - rows[i].seconds) > 1e-9 || fabs(s.count - rows[i].count) > 1e-6 ||
            s.n != rows[i].n)
            fail_msg("%s: %g s, %g requests, %u pieces", rows[i].text, s.seconds, s.count, s.n);
    }
}

static void bad_shapes_are_refused_with_place_and_remedy(void **state) {
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "a rate is a number"},
        {"x", "\"x\""},
        {"-1", "0 or more"},
        {"nan", "a rate is a number"},
        {"inf", "a rate is a number"},
        {"10@", "behind @"},
        {"10@0s", "behind @"},
        {"10@5x", "\"10@5x\""},
        {"10@1s,20", "needs its time"},
        {"10..@1s", "a rate is a number"},
        {"..10@1s", "a rate is a number"},
        {"1..2..3@1s", "a rate is a number"},
        {"10@1s,,10@1s", "needs its time"},
        {"20000000", "at most 10000000"},
        {"1@1000h", "at most 604800 s"},
        {"0", "no request at all"},
        {"0@10s", "no request at all"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct shape s;
        struct err e = {0};
        int r = shape_parse(&s, str_from(rows[i].text), 0, 10 * NS_PER_S, &e);
        if (r >= 0 || !strstr(e.msg, rows[i].message))
            fail_msg("%s: %d %s", rows[i].text, r, e.msg);
    }
    char many[LIMIT_LOAD_PIECES * 6 + 8] = "";
    for (size_t i = 0; i <= LIMIT_LOAD_PIECES; i++)
        memcpy(many + 5 * i, "1@1s,", 6);
    struct shape s;
    assert_int_equal(shape_parse(&s, str_from(many), 0, 0, NULL), ERR_LIMIT);
}

static void times_invert_the_integral_of_the_rate(void **state) {
    static const char *const shapes[] = {"20", "0..50@10s", "50..0@10s",
                                         "5..40@3s,40@1s,0@2s,200@100ms,40..5@3s",
                                         "0@1s,0.1@100s,1000@10ms"};
    struct random r;
    random_init(&r, unit_seed());
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct shape s = parse(shapes[i], 0);
        double count = 0, last = 0;
        unsigned piece = 0;
        while (true) {
            double at = shape_time(&s, count, &piece);
            if (!isfinite(at))
                break;
            assert_true(at >= last && at <= s.seconds);
            if (fabs(shape_count(&s, at) - count) > 1e-6 * (1 + count))
                fail_msg("%s: %g requests at %g s, wanted %g", shapes[i], shape_count(&s, at), at,
                         count);
            last = at;
            count += random_exponential(&r, 0.7);
        }
        assert_true(count >= s.count);
    }
}

// The rate summed up in small steps.
static void counts_are_the_integral_of_the_rate(void **state) {
    struct shape s = parse("0..10@10s,40@5s,0@1s,10..0@2s", 0);
    double sum = 0, step = 1e-4;
    static const double rates[][4] = {
        {0, 10, 0, 10}, {10, 15, 40, 40}, {15, 16, 0, 0}, {16, 18, 10, 0}};
    for (size_t i = 0; i < COUNT_OF(rates); i++)
        for (double t = rates[i][0]; t < rates[i][1] - step / 2; t += step) {
            double share = (t + step / 2 - rates[i][0]) / (rates[i][1] - rates[i][0]);
            sum += (rates[i][2] + (rates[i][3] - rates[i][2]) * share) * step;
            assert_true(fabs(shape_count(&s, t + step) - sum) < 1e-3);
        }
    assert_true(fabs(s.count - 260) < 1e-9 && shape_count(&s, 1e9) == s.count);
    assert_true(shape_count(&s, 0) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_read),
        cmocka_unit_test(bad_shapes_are_refused_with_place_and_remedy),
        cmocka_unit_test(times_invert_the_integral_of_the_rate),
        cmocka_unit_test(counts_are_the_integral_of_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
