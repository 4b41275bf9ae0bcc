// SPDX-License-Identifier: Apache-2.0
/* Schedules: how many requests, how they are spread, the same again from the same seed. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "load/schedule.h"

static struct shape shape_of(const char *text) {
    struct shape s;
    struct err e = {0};
    if (shape_parse(&s, str_from(text), 0, 10 * NS_PER_S, &e) < 0)
        fail_msg("%s", e.msg);
    return s;
}

static void uniform_arrivals_are_evenly_spaced(void **state) {
    struct shape shape = shape_of("10@1s,100@100ms");
    struct schedule s;
    struct schedule_item item;
    schedule_init_shape(&s, &shape, LOAD_ARRIVALS_UNIFORM, (struct load_lengths){0}, 1);
    for (int i = 0; i < 20; i++) {
        assert_true(schedule_next(&s, &item));
        int64_t want = i < 10 ? i * 100000000LL : 1000000000LL + (i - 10) * 10000000LL;
        assert_true(llabs(item.at_ns - want) <= 2);
        assert_int_equal(item.prompt, 0);
    }
    assert_false(schedule_next(&s, &item));
    assert_false(schedule_next(&s, &item));
    assert_int_equal(s.end_ns, 1100000000LL);
}

static void the_number_of_uniform_arrivals_is_rate_times_time(void **state) {
    static const struct {
        const char *shape;
        unsigned n;
    } rows[] = {{"10@300ms", 3},     {"100@550ms", 55},     {"50@400ms", 20},
                {"0.1@10s", 1},      {"0.1@11s", 2},        {"7@700ms", 5},
                {"1000@1.1s", 1100}, {"3@1s,3@1s,3@1s", 9}, {"1e6@123ms", 123000}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct shape shape = shape_of(rows[i].shape);
        struct schedule s;
        struct schedule_item item;
        unsigned n = 0;
        schedule_init_shape(&s, &shape, LOAD_ARRIVALS_UNIFORM, (struct load_lengths){0}, 1);
        while (schedule_next(&s, &item))
            n++;
        if (n != rows[i].n)
            fail_msg("%s: %u", rows[i].shape, n);
    }
}

// Counts of arrivals in windows of one expected each: mean 1, variance 1, and gaps without memory.
static void poisson_arrivals_have_the_variance_of_poisson(void **state) {
    struct shape shape = shape_of("1000..3000@10s");
    struct schedule s;
    struct schedule_item item;
    uint64_t seed = unit_seed();
    double n = 0, sum_gap = 0, sum_square = 0, last = 0;
    schedule_init_shape(&s, &shape, LOAD_ARRIVALS_POISSON, (struct load_lengths){0}, seed);
    int64_t last_ns = 0;
    while (schedule_next(&s, &item)) {
        assert_true(item.at_ns >= last_ns && item.at_ns <= s.end_ns);
        last_ns = item.at_ns;
        double t = (double)item.at_ns / NS_PER_S;
        double count = 1000 * t + 2000 * t * t / 20; // the integral: unit rate
        sum_gap += count - last;
        sum_square += (count - last) * (count - last);
        last = count;
        n++;
    }
    // 20,000 expected, deviation 141; gaps are exponential of mean 1 (second moment 2).
    assert_true(fabs(n - 20000) < 5 * 141);
    assert_true(fabs(sum_gap / n - 1) < 0.05);
    assert_true(fabs(sum_square / n - 2) < 0.2);
}

static void a_seed_draws_the_same_again_and_another_does_not(void **state) {
    struct shape shape = shape_of("50@10s");
    struct schedule a, b, c;
    struct schedule_item x, y, z;
    struct load_lengths lengths = {100, 50, false};
    unsigned differ = 0, n = 0;
    schedule_init_shape(&a, &shape, LOAD_ARRIVALS_POISSON, lengths, 7);
    schedule_init_shape(&b, &shape, LOAD_ARRIVALS_POISSON, lengths, 7);
    schedule_init_shape(&c, &shape, LOAD_ARRIVALS_POISSON, lengths, 8);
    while (schedule_next(&a, &x)) {
        assert_true(schedule_next(&b, &y));
        assert_memory_equal(&x, &y, sizeof(x));
        if (schedule_next(&c, &z))
            differ += z.at_ns != x.at_ns && z.prompt != x.prompt;
        n++;
    }
    assert_true(n > 300 && differ > n / 2);
}

static void lengths_keep_their_means_and_their_bounds(void **state) {
    struct shape shape = shape_of("10000@10s");
    struct schedule s;
    struct schedule_item item;
    double n = 0, prompt = 0, output = 0, square = 0;
    schedule_init_shape(&s, &shape, LOAD_ARRIVALS_UNIFORM, (struct load_lengths){512, 128, false},
                        unit_seed());
    while (schedule_next(&s, &item)) {
        assert_true(item.prompt >= 1 && item.prompt <= 8 * 512);
        assert_true(item.output >= 1 && item.output <= 8 * 128);
        prompt += item.prompt;
        output += item.output;
        square += (double)item.output * item.output;
        n++;
    }
    assert_true(fabs(prompt / n / 512 - 1) < 0.03 && fabs(output / n / 128 - 1) < 0.03);
    double deviation = sqrt(square / n - output / n * output / n);
    assert_true(fabs(deviation / (output / n) - LOAD_LENGTH_SPREAD) < 0.05);
    schedule_init_shape(&s, &shape, LOAD_ARRIVALS_UNIFORM, (struct load_lengths){512, 128, true},
                        1);
    for (int i = 0; i < 100; i++) {
        assert_true(schedule_next(&s, &item));
        assert_true(item.prompt == 512 && item.output == 128);
    }
}

static void a_trace_is_replayed_faster_and_cut_short(void **state) {
    static const char text[] = "t_s,prompt_tokens,output_tokens\n1,10,20\n2,11,0\n4,12,22\n7,1,1\n";
    struct trace t;
    struct err e = {0};
    trace_init(&t, TRACE_AUTO, 100);
    assert_int_equal(trace_feed(&t, text, sizeof(text) - 1, &e), 0);
    assert_int_equal(trace_finish(&t, &e), 0);
    struct schedule s;
    struct schedule_item item;
    schedule_init_trace(&s, &t, 2, 0, (struct load_lengths){5, 6, true}, 1);
    static const struct schedule_item want[] = {
        {0, 10, 20}, {500000000, 11, 6}, {1500000000, 12, 22}, {3000000000, 1, 1}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(schedule_next(&s, &item));
        assert_memory_equal(&item, &want[i], sizeof(item));
    }
    assert_false(schedule_next(&s, &item));
    assert_int_equal(s.end_ns, 3000000001);
    schedule_init_trace(&s, &t, 1, 2 * NS_PER_S, (struct load_lengths){0}, 1);
    assert_true(schedule_next(&s, &item) && schedule_next(&s, &item));
    assert_int_equal(item.output, 0); // not told anywhere
    assert_false(schedule_next(&s, &item));
    assert_int_equal(s.end_ns, 2 * NS_PER_S);
    trace_done(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_arrivals_are_evenly_spaced),
        cmocka_unit_test(the_number_of_uniform_arrivals_is_rate_times_time),
        cmocka_unit_test(poisson_arrivals_have_the_variance_of_poisson),
        cmocka_unit_test(a_seed_draws_the_same_again_and_another_does_not),
        cmocka_unit_test(lengths_keep_their_means_and_their_bounds),
        cmocka_unit_test(a_trace_is_replayed_faster_and_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
