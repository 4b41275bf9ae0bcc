// SPDX-License-Identifier: Apache-2.0
/* What the ready pods' pages teach of a workload: the work of a request, lessons, shares. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/signal/work.h"

enum { PODS = 3, EDGES = 3 };

struct one {
    double finished, generated, itl_sum, itl_count, within, all;
};

struct bench {
    struct signal_workload *w;
    struct one pods[PODS];
    enum pod_state state[PODS];
    int64_t now_ns;
    double rate, step_s; // requests a second each of 100 tokens; of an iteration
};

static const char *const names[PODS] = {"a", "b", "c"};

static void tell_pods(struct bench *b) {
    struct signal_pod pods[PODS];
    for (int i = 0; i < PODS; i++)
        pods[i] = (struct signal_pod){str_from(names[i]), b->state[i], SIGNAL_TIME_UNKNOWN};
    assert_int_equal(signal_workload_set_pods(b->w, pods, PODS, b->now_ns), 0);
}

static void open_(struct bench *b) {
    struct signal_engine engine = {.provides = (1u << ENGINE_VALUE_MAX) - 1,
                                   .requests_finished = true};
    *b = (struct bench){.now_ns = 1000 * NS_PER_S, .rate = 1, .step_s = 0.05};
    for (int i = 0; i < PODS; i++)
        b->state[i] = POD_READY;
    assert_int_equal(signal_workload_new(&b->w, STR("shop"), NULL, &engine), 0);
    tell_pods(b);
}

static void page(struct bench *b, int i, bool awake, double scale) {
    const struct one *p = &b->pods[i];
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_QUEUE, 0);
    SAMPLE_SET(&s, ENGINE_RUNNING, 4);
    SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, p->finished);
    SAMPLE_SET(&s, ENGINE_PROMPT_TOKENS_TOTAL, 0);
    SAMPLE_SET(&s, ENGINE_GENERATION_TOKENS_TOTAL, p->generated);
    SAMPLE_SET(&s, ENGINE_ITL_SUM_S, p->itl_sum);
    SAMPLE_SET(&s, ENGINE_ITL_COUNT, p->itl_count);
    SAMPLE_SET(&s, ENGINE_AWAKE, awake);
    s.histograms[ENGINE_TTFT] = (struct engine_buckets){
        .n = EDGES, .le_s = {scale, 2.5 * scale, INFINITY}, .count = {0, p->within, p->all}};
    assert_true(signal_workload_engine(b->w, str_from(names[i]), &s, b->now_ns));
}

// Seconds of load, a page of each pod every 5 s; bits of `lost` give none, of `asleep` sleep.
static void run(struct bench *b, int seconds, unsigned lost, unsigned asleep) {
    for (int t = 0; t < seconds; t += 5) {
        b->now_ns += 5 * NS_PER_S;
        for (int i = 0; i < PODS; i++) {
            struct one *p = &b->pods[i];
            double n = asleep >> i & 1 ? 0 : 5 * b->rate;
            p->finished += n;
            p->generated += 100 * n;
            p->itl_count += 99 * n;
            p->itl_sum += 99 * n * b->step_s;
            p->within += 0.9 * n;
            p->all += n;
            if (!(lost >> i & 1))
                page(b, i, !(asleep >> i & 1), 1);
        }
    }
}

static struct signal_work read_(const struct bench *b) {
    struct signal_work k;
    signal_work(b->w, b->now_ns, &k);
    return k;
}

static void steady_load_gives_a_lesson_every_15_s(void **state) {
    (void)state;
    struct bench b;
    open_(&b);
    run(&b, 45, 0, 0);
    assert_int_equal(read_(&b).lessons, 0); // not a minute yet
    run(&b, 615, 0, 0);
    struct signal_work k = read_(&b);
    assert_in_range(k.lessons, 38, 42);
    assert_true(fabs(k.u / k.weight - 100) < 1e-6 && fabs(k.y / k.weight - 20) < 1e-6);
    assert_true(fabs(k.light_u - 100) < 1e-6 && fabs(k.light_y - 20) < 1e-6);
    assert_true(fabs(k.per_request - 100) < 1e-6);
    assert_true(k.per_s_n == PODS && fabs(k.per_s - 300) < 1e-6);
    signal_workload_free(b.w);
}

static void silent_sleeping_and_idle_pods_teach_nothing(void **state) {
    (void)state;
    struct bench b;
    open_(&b);
    run(&b, 300, 1, 2); // a is silent, b sleeps
    struct signal_work k = read_(&b);
    assert_true(k.lessons > 0 && fabs(k.u / k.weight - 100) < 1e-6); // c alone
    assert_int_equal(k.per_s_n, 1);
    b.rate = 0;
    run(&b, 120, 0, 0);
    uint32_t lessons = read_(&b).lessons;
    run(&b, 3600, 0, 0);
    assert_int_equal(read_(&b).lessons, lessons);
    assert_true(read_(&b).weight == k.weight ||
                read_(&b).weight > k.weight); // nothing is forgotten
    signal_workload_free(b.w);
}

static void a_pod_that_becomes_ready_teaches_after_a_whole_minute(void **state) {
    (void)state;
    struct bench b;
    open_(&b);
    b.state[1] = b.state[2] = POD_STARTING;
    tell_pods(&b);
    run(&b, 300, 6, 0);
    b.state[1] = POD_READY;
    tell_pods(&b);
    b.pods[1].generated += 1e6; // whatever it counted before
    b.pods[1].itl_sum += 1e5;
    b.pods[1].finished += 1e4;
    run(&b, 300, 4, 0);
    struct signal_work k = read_(&b);
    assert_true(fabs(k.u / k.weight - 100) < 1e-6 && fabs(k.y / k.weight - 20) < 1e-6);
    assert_true(fabs(k.per_request - 100) < 1e-6);
    signal_workload_free(b.w);
}

static void the_work_of_a_request_is_remembered_through_a_quiet_time(void **state) {
    (void)state;
    struct bench b;
    open_(&b);
    b.rate = 0.1;
    run(&b, 30, 0, 0);
    assert_true(read_(&b).per_request == 0); // not twenty yet
    b.rate = 1;
    run(&b, 600, 0, 0);
    b.rate = 0;
    run(&b, 3600, 0, 0);
    struct signal_work k = read_(&b);
    assert_true(k.finished == 0 && fabs(k.per_request - 100) < 1e-6);
    run(&b, 1200, 7, 0); // no page at all
    assert_true(fabs(read_(&b).per_request - 100) < 1e-6);
    signal_workload_free(b.w);
}

static void shares_are_told_at_the_edge_above(void **state) {
    (void)state;
    struct bench b;
    struct signal_attained a;
    open_(&b);
    assert_false(signal_attained(b.w, ENGINE_TTFT, 2, &a));
    run(&b, 5, 0, 0);
    assert_true(signal_attained(b.w, ENGINE_TTFT, 2, &a));
    assert_true(a.edge_s == 2.5 && a.all == 0); // the first pages are where counting begins
    run(&b, 100, 0, 0);
    assert_true(signal_attained(b.w, ENGINE_TTFT, 2.5, &a));
    assert_true(a.edge_s == 2.5 && fabs(a.all - 300) < 1e-6 && fabs(a.within - 270) < 1e-6);
    assert_true(signal_attained(b.w, ENGINE_TTFT, 1, &a) && a.edge_s == 1 && a.within == 0);
    assert_false(signal_attained(b.w, ENGINE_TTFT, 3, &a)); // no edge so large
    assert_false(signal_attained(b.w, ENGINE_TPOT, 1, &a)); // never on a page
    signal_workload_free(b.w);
}

static void a_restart_and_other_edges_count_nothing_twice(void **state) {
    (void)state;
    struct bench b;
    struct signal_attained a, later;
    open_(&b);
    run(&b, 100, 0, 0);
    assert_true(signal_attained(b.w, ENGINE_TTFT, 2, &a));
    memset(&b.pods[0], 0, sizeof(b.pods[0]));
    run(&b, 5, 0, 0);
    assert_true(signal_attained(b.w, ENGINE_TTFT, 2, &later));
    assert_true(fabs(later.all - a.all - 15) < 1e-6 && later.epoch == a.epoch);
    b.now_ns += NS_PER_S;
    page(&b, 0, true, 2); // another version of the engine, with other edges
    assert_true(signal_attained(b.w, ENGINE_TTFT, 2, &later));
    assert_true(later.epoch != a.epoch && later.all == 0);
    signal_workload_free(b.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_load_gives_a_lesson_every_15_s),
        cmocka_unit_test(silent_sleeping_and_idle_pods_teach_nothing),
        cmocka_unit_test(a_pod_that_becomes_ready_teaches_after_a_whole_minute),
        cmocka_unit_test(the_work_of_a_request_is_remembered_through_a_quiet_time),
        cmocka_unit_test(shares_are_told_at_the_edge_above),
        cmocka_unit_test(a_restart_and_other_edges_count_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
