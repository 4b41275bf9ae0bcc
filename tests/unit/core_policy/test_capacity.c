// SPDX-License-Identifier: Apache-2.0
/*
 * From lessons to a capacity, in closed form: lessons on a line whose truth is known. And the trim,
 * step by step, from histograms.
 */
#include "lab.h"

#include <math.h>

#include "base/random.h"
#include "core/policy/capacity.h"

// llama2-70b: 28.6 ms, 0.9 ms a token. y = y0 - s u.
#define Y0 (1 / 0.0286)
#define SLOPE (0.0009 / 0.0286)
#define SLO_NS (100 * NS_PER_MS)
#define GOAL (1 / 0.074)
#define TRUE_U ((Y0 - GOAL) / SLOPE)

static void teach(struct signal_work *k, double u, double y, int n) {
    for (int i = 0; i < n; i++) {
        k->weight = k->weight * 0.99424 + 1;
        k->u = k->u * 0.99424 + u;
        k->y = k->y * 0.99424 + y;
        k->uu = k->uu * 0.99424 + u * u;
        k->uy = k->uy * 0.99424 + u * y;
        k->lessons++;
        if (y > k->light_y) {
            k->light_y = y;
            k->light_u = u;
        }
        k->seen_u = fmax(k->seen_u, u);
    }
}

static double line(double u) {
    return Y0 - SLOPE * u;
}

static struct record_capacity learn(const struct signal_work *k) {
    struct record_capacity c = {0};
    capacity_learned(k, SLO_NS, &c);
    return c;
}

static void nothing_is_known_without_a_lesson(void **state) {
    (void)state;
    struct signal_work k = {0};
    struct record_capacity c = learn(&k);
    assert_int_equal(c.source, CAPACITY_UNKNOWN);
    assert_true(c.per_replica == 0);
}

static void the_first_guess_is_below_the_truth(void **state) {
    (void)state;
    for (double u = 5; u < TRUE_U; u += 20) {
        struct signal_work k = {0};
        teach(&k, u, line(u), 1);
        struct record_capacity c = learn(&k);
        assert_int_equal(c.source, CAPACITY_GUESSED);
        assert_true(c.per_replica > u && c.per_replica < TRUE_U);
    }
    // Beyond the SLO at the first sight: still not above it by a sixth.
    for (double u = TRUE_U; u < 1050; u += 20) {
        struct signal_work k = {0};
        teach(&k, u, line(u), 1);
        assert_true(learn(&k).per_replica < TRUE_U * 1.17);
    }
}

static void two_loads_tell_the_line(void **state) {
    (void)state;
    struct signal_work k = {0};
    teach(&k, 100, line(100), 200);
    teach(&k, 500, line(500), 200);
    struct record_capacity c = learn(&k);
    assert_int_equal(c.source, CAPACITY_LEARNED);
    assert_true(fabs(c.per_replica / TRUE_U - 1) < 0.02);
    assert_true(fabs(c.bare_step_s / 0.0286 - 1) < 0.02);
}

// The lightest lesson stands for the bare step: off by 10 % in either way it matters little where
// a service runs.
static void a_wrong_light_lesson_matters_little_near_the_capacity(void **state) {
    (void)state;
    for (double wrong = 0.9; wrong < 1.11; wrong += 0.2) {
        struct signal_work k = {0};
        teach(&k, 50, line(50) * wrong, 1);
        for (int i = 0; i < 300; i++)
            teach(&k, TRUE_U * (0.85 + 0.01 * (i % 11)), line(TRUE_U * (0.85 + 0.01 * (i % 11))),
                  1);
        double off = learn(&k).per_replica / TRUE_U - 1;
        printf("# bare step off by %+.0f%%: capacity off by %+.1f%%\n", 100 * (wrong - 1),
               100 * off);
        assert_true(fabs(off) < 0.04);
    }
}

static void noise_flattens_nothing_dangerously(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, 20261125);
    double worst = 0;
    for (int run = 0; run < 200; run++) {
        struct signal_work k = {0};
        double load = TRUE_U * (0.4 + 0.5 * random_unit(&rng));
        teach(&k, 60, line(60), 2);
        for (int i = 0; i < 240; i++) { // an hour of one load; u is measured 8 % off, y 1 %
            double u = load * (1 + 0.05 * random_normal(&rng));
            teach(&k, u * (1 + 0.08 * random_normal(&rng)),
                  line(u) * (1 + 0.01 * random_normal(&rng)), 1);
        }
        worst = fmax(worst, learn(&k).per_replica / TRUE_U);
    }
    printf("# highest capacity learned under noise: %.2f of the truth\n", worst);
    assert_true(worst < 1.12);
}

static void bounds_hold_whatever_is_taught(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, 20261126);
    for (int run = 0; run < 5000; run++) {
        struct signal_work k = {0};
        int n = 1 + (int)random_below(&rng, 100);
        for (int i = 0; i < n; i++)
            teach(&k, exp(8 * random_unit(&rng)), exp(7 * random_unit(&rng) - 2), 1);
        if (random_below(&rng, 2))
            k.full_u = exp(8 * random_unit(&rng));
        struct record_capacity c = learn(&k);
        assert_true(isfinite(c.per_replica) && c.per_replica > 0);
        if (k.full_u > 0)
            assert_true(c.per_replica <= 0.9 * k.full_u + 1e-9);
    }
}

static void an_slo_below_the_bare_step_sizes_for_a_longer_one(void **state) {
    (void)state;
    struct signal_work k = {0};
    struct record_capacity c = {0};
    teach(&k, 100, line(100), 100);
    teach(&k, 400, line(400), 100);
    capacity_learned(&k, 30 * NS_PER_MS, &c); // 0.74 x 30 ms is below 28.6 ms
    assert_true(c.slo_tight && c.per_replica > 0 && c.per_replica < TRUE_U / 2);
    assert_false(learn(&k).slo_tight);
}

// --- the trim

enum { EDGES = 4 };

struct trim_lab {
    struct lab l;
    struct trim x;
    double ttft[EDGES], tpot[EDGES]; // cumulative
    struct record_capacity c;
    int32_t decided;
    int64_t cold_start_ns;
};

static void trim_page(struct trim_lab *t, const char *pod) {
    static const double ttft_le[EDGES] = {1, 2.5, 5, INFINITY},
                        tpot_le[EDGES] = {.05, .1, .2, INFINITY};
    struct engine_sample s = {0};
    s.histograms[ENGINE_TTFT].n = s.histograms[ENGINE_TPOT].n = EDGES;
    memcpy(s.histograms[ENGINE_TTFT].le_s, ttft_le, sizeof(ttft_le));
    memcpy(s.histograms[ENGINE_TPOT].le_s, tpot_le, sizeof(tpot_le));
    memcpy(s.histograms[ENGINE_TTFT].count, t->ttft, sizeof(t->ttft));
    memcpy(s.histograms[ENGINE_TPOT].count, t->tpot, sizeof(t->tpot));
    assert_true(signal_workload_engine(t->l.w, str_from(pod), &s, t->l.now_ns));
}

static void trim_open(struct trim_lab *t) {
    memset(t, 0, sizeof(*t));
    lab_open(&t->l, "engine=vllm");
    struct signal_pod pod = {STR("pod-0"), POD_READY, SIGNAL_TIME_UNKNOWN};
    assert_int_equal(signal_workload_set_pods(t->l.w, &pod, 1, t->l.now_ns), 0);
    t->decided = 1;
    t->cold_start_ns = 60 * NS_PER_S;
    trim_page(t, "pod-0");
}

static void observe(double *counts, double n, int edge) {
    for (int i = edge; i < EDGES; i++)
        counts[i] += n;
}

// 15 s in which so many requests were within, and missed by either latency.
static double trim_step(struct trim_lab *t, double within, double late_first, double late_tokens) {
    t->l.now_ns += 15 * NS_PER_S;
    observe(t->ttft, within + late_tokens, 1); // up to 2.5 s
    observe(t->ttft, late_first, 2);
    observe(t->tpot, within + late_first, 1);
    observe(t->tpot, late_tokens, 2);
    trim_page(t, "pod-0");
    struct trim_input in = {.trigger = t->l.t,
                            .workload = t->l.w,
                            .now_ns = t->l.now_ns,
                            .cold_start_ns = t->cold_start_ns,
                            .decided = t->decided,
                            .ready = 1};
    return trim_tick(&t->x, &in, &t->c);
}

static void the_trim_follows_its_equation(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    assert_true(trim_step(&t, 100, 0, 0) == 1.05); // begins
    double rho = trim_step(&t, 100, 0, 0);         // all within: + 0.1 x 0.25 x 0.007
    assert_true(fabs(log(rho / 1.05) - 0.1 * 0.25 * 0.007) < 1e-12);
    double next = trim_step(&t, 90, 6, 4); // both latencies add up: 10 %
    assert_true(fabs(log(next / rho) - 0.1 * 0.25 * (0.007 - 0.10)) < 1e-12);
    assert_int_equal(t.c.trim, TRIM_ON);
    assert_true(t.c.edge_s[ENGINE_TTFT] == 2.5 && t.c.edge_s[ENGINE_TPOT] == 0.1);
    assert_true(fabs(t.c.misses - 0.10) < 1e-12);
    lab_close(&t.l);
}

static void few_requests_wait_for_more(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    trim_step(&t, 0, 0, 0);
    for (int i = 0; i < 6; i++) // a miss in three: nothing moves before there are twenty
        assert_true(trim_step(&t, 2, 1, 0) == 1.05);
    double rho = trim_step(&t, 2, 1, 0); // 21 in 105 s: a minute at most counts
    assert_true(fabs(log(rho / 1.05) - 0.1 * (0.007 - 7. / 21)) < 1e-12);
    for (int i = 0; i < 100; i++) // nothing arrives: it stands
        assert_true(trim_step(&t, 0, 0, 0) == rho);
    lab_close(&t.l);
}

static void what_cannot_be_cured_moves_nothing(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    t.cold_start_ns = 121 * NS_PER_S;
    for (int i = 0; i < 10; i++)
        assert_true(trim_step(&t, 0, 100, 100) == 1.0); // starts are too slow
    assert_int_equal(t.c.trim, TRIM_SLOW_START);
    t.cold_start_ns = 0; // not known how slow
    assert_true(trim_step(&t, 0, 100, 100) == 1.0);
    t.cold_start_ns = 60 * NS_PER_S;
    t.decided = 3; // one of three is ready
    for (int i = 0; i < 10; i++)
        assert_true(trim_step(&t, 0, 100, 100) == 1.05);
    assert_int_equal(t.c.trim, TRIM_SHORT);
    t.decided = 1;
    for (int i = 0; i < 7; i++)
        assert_true(trim_step(&t, 0, 100, 100) == 1.05); // two minutes longer
    assert_true(trim_step(&t, 0, 100, 100) < 1.05);
    lab_close(&t.l);
}

static void rho_stays_in_its_bounds(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    double rho = 1.05;
    for (int i = 0; i < 400; i++)
        rho = trim_step(&t, 0, 100, 100);
    assert_true(fabs(rho - 0.75) < 1e-12);
    for (int i = 0; i < 20000; i++)
        rho = trim_step(&t, 100, 0, 0);
    assert_true(fabs(rho - 1.3) < 1e-12);
    lab_close(&t.l);
}

static void other_edges_and_restarts_begin_anew(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    trim_step(&t, 100, 0, 0);
    double rho = trim_step(&t, 100, 0, 0);
    memset(t.ttft, 0, sizeof(t.ttft)); // the engine restarted: what it shows was counted since
    memset(t.tpot, 0, sizeof(t.tpot));
    double next = trim_step(&t, 95, 5, 0);
    assert_true(fabs(log(next / rho) - 0.1 * 0.25 * (0.007 - 0.05)) < 1e-12);
    lab_close(&t.l);
}

static void no_histogram_is_no_trim(void **state) {
    (void)state;
    struct lab l;
    struct trim x = {0};
    struct record_capacity c = {0};
    lab_open(&l, "engine=vllm");
    struct trim_input in = {.trigger = l.t,
                            .workload = l.w,
                            .now_ns = l.now_ns,
                            .cold_start_ns = 60 * NS_PER_S,
                            .decided = 1,
                            .ready = 1};
    assert_true(trim_tick(&x, &in, &c) == 1.05);
    assert_int_equal(c.trim, TRIM_UNKNOWN);
    lab_close(&l);
}

// Of another engine by now, or of none that tells: it is not gone on with for ever.
static void a_trim_that_was_taken_over_stands_until_a_page_tells_or_ten_minutes(void **state) {
    (void)state;
    struct lab l;
    struct record_capacity c = {0};
    lab_open(&l, "engine=vllm");
    struct trim x = {.ln = 0.1, .stepped = true, .taken_ns = l.now_ns};
    struct trim_input in = {.trigger = l.t,
                            .workload = l.w,
                            .now_ns = l.now_ns + 599 * NS_PER_S,
                            .cold_start_ns = 60 * NS_PER_S,
                            .decided = 1,
                            .ready = 1};
    assert_true(fabs(trim_tick(&x, &in, &c) - 1.05 * exp(0.1)) < 1e-12);
    assert_int_equal(c.trim, TRIM_ON);
    in.now_ns += NS_PER_S;
    assert_true(trim_tick(&x, &in, &c) == 1.05);
    assert_int_equal(c.trim, TRIM_UNKNOWN);
    assert_false(x.stepped); // nor told to the next leader
    lab_close(&l);
}

static void a_page_that_tells_goes_on_from_the_trim_that_was_taken_over(void **state) {
    (void)state;
    struct trim_lab t;
    trim_open(&t);
    t.x = (struct trim){.ln = 0.1, .stepped = true, .taken_ns = t.l.now_ns};
    for (int i = 0; i < 60; i++) // a quarter of an hour
        assert_true(fabs(trim_step(&t, 0, 0, 0) - 1.05 * exp(0.1)) < 1e-12);
    assert_int_equal(t.c.trim, TRIM_ON);
    lab_close(&t.l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_without_a_lesson),
        cmocka_unit_test(the_first_guess_is_below_the_truth),
        cmocka_unit_test(two_loads_tell_the_line),
        cmocka_unit_test(a_wrong_light_lesson_matters_little_near_the_capacity),
        cmocka_unit_test(noise_flattens_nothing_dangerously),
        cmocka_unit_test(bounds_hold_whatever_is_taught),
        cmocka_unit_test(an_slo_below_the_bare_step_sizes_for_a_longer_one),
        cmocka_unit_test(the_trim_follows_its_equation),
        cmocka_unit_test(few_requests_wait_for_more),
        cmocka_unit_test(what_cannot_be_cured_moves_nothing),
        cmocka_unit_test(rho_stays_in_its_bounds),
        cmocka_unit_test(other_edges_and_restarts_begin_anew),
        cmocka_unit_test(no_histogram_is_no_trim),
        cmocka_unit_test(a_trim_that_was_taken_over_stands_until_a_page_tells_or_ten_minutes),
        cmocka_unit_test(a_page_that_tells_goes_on_from_the_trim_that_was_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
