// SPDX-License-Identifier: Apache-2.0
/* Workloads and their totals: pods in every state, arrivals that move between pods, intervals. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/signal/total.h"

#define S NS_PER_S
#define ALL ((1u << ENGINE_VALUE_MAX) - 1)

static const struct signal_engine finished = {.provides = ALL, .requests_finished = true};

static struct signal_workload *make(void) {
    struct signal_workload *w = NULL;
    assert_int_equal(signal_workload_new(&w, STR("shop"), NULL, &finished), 0);
    return w;
}

struct told {
    const char *name;
    enum pod_state state;
};

static void tell_at(struct signal_workload *w, const struct told *pods, size_t n, int64_t at_ns) {
    struct signal_pod list[64];
    for (size_t i = 0; i < n; i++)
        list[i] = (struct signal_pod){str_from(pods[i].name), pods[i].state, SIGNAL_TIME_UNKNOWN};
    assert_int_equal(signal_workload_set_pods(w, list, n, at_ns), 0);
}
#define TELL(w, at_s, ...)                                                                         \
    tell_at((w), (const struct told[]){__VA_ARGS__},                                               \
            sizeof((const struct told[]){__VA_ARGS__}) / sizeof(struct told), (at_s)*S)

static bool page(struct signal_workload *w, const char *pod, double done, double queue,
                 double running, double kv, int64_t at_s) {
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, done);
    SAMPLE_SET(&s, ENGINE_QUEUE, queue);
    SAMPLE_SET(&s, ENGINE_RUNNING, running);
    SAMPLE_SET(&s, ENGINE_KV_CACHE_RATIO, kv);
    return signal_workload_engine(w, str_from(pod), &s, at_s * S);
}

static struct signal_total total_with(const struct signal_workload *w, enum signal s,
                                      double ceiling, int64_t now_s) {
    struct signal_total_query q = {s, ceiling, 60 * S, 30 * S, now_s * S};
    struct signal_total t;
    signal_total(w, &q, &t);
    return t;
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void totals_are_over_ready_pods_alone(void **state) {
    (void)state;
    struct signal_workload *w = make();
    TELL(w, 0, {"a", POD_READY}, {"b", POD_READY}, {"c", POD_STARTING}, {"d", POD_TERMINATING});
    assert_true(page(w, "a", 0, 3, 5, 0.5, 1));
    assert_true(page(w, "b", 0, 4, 6, 0.25, 2));
    assert_true(page(w, "c", 0, 100, 100, 1, 1));
    assert_true(page(w, "d", 0, 100, 100, 1, 1));
    assert_false(page(w, "e", 0, 1, 1, 1, 1)); // nobody's
    struct signal_total t = total_with(w, SIGNAL_QUEUE, INFINITY, 5);
    assert_true(t.lower == 7 && t.upper == 7 && t.pods == 2 && t.known == 2);
    assert_true(t.oldest_ns == 1 * S && t.newest_ns == 2 * S);
    assert_true(t.max == 4 && strcmp(t.max_pod, "b") == 0);
    t = total_with(w, SIGNAL_RUNNING, 10, 5);
    assert_true(t.lower == 11);
    t = total_with(w, SIGNAL_KV_CACHE, 1, 5);
    assert_true(near(t.lower, 0.75) && near(t.upper, 0.75));
    struct signal_pods pods;
    signal_workload_pods(w, &pods);
    assert_true(pods.ready == 2 && pods.starting == 1 && pods.terminating == 1 && pods.unborn == 1);
    signal_workload_free(w);
}

// A wall clock that steps back makes the file's start times look newer, as another pod's would.
static void a_pod_that_looks_reborn_while_ready_has_served(void **state) {
    (void)state;
    struct signal_workload *w = make();
    struct signal_pods pods;
    struct signal_pod a = {STR("a"), POD_READY, 10 * S};
    assert_int_equal(signal_workload_set_pods(w, &a, 1, 100 * S), 0);
    a.started_ns = 40 * S;
    assert_int_equal(signal_workload_set_pods(w, &a, 1, 101 * S), 0);
    a.state = POD_STARTING;
    assert_int_equal(signal_workload_set_pods(w, &a, 1, 102 * S), 0);
    signal_workload_pods(w, &pods);
    assert_true(pods.starting == 1 && pods.unborn == 0);
    signal_workload_free(w);
}

static void what_is_not_known_widens_the_interval(void **state) {
    (void)state;
    struct signal_workload *w = make();
    TELL(w, 0, {"a", POD_READY}, {"b", POD_READY}, {"c", POD_READY});
    page(w, "a", 0, 3, 5, 0.5, 40);
    page(w, "b", 0, 4, 6, 0.25, 9); // older than 30 s at 40 s
    struct signal_total t = total_with(w, SIGNAL_QUEUE, INFINITY, 40);
    assert_true(t.lower == 3 && isinf(t.upper) && t.known == 1 && t.never == 1);
    t = total_with(w, SIGNAL_KV_CACHE, 1, 40);
    assert_true(near(t.lower, 0.5) && near(t.upper, 2.5));
    t = total_with(w, SIGNAL_KV_CACHE, 1, 39); // exactly 30 s old
    assert_true(near(t.lower, 0.75) && near(t.upper, 1.75));
    // GPUs without a join: nobody can tell.
    t = total_with(w, SIGNAL_GPU_UTILIZATION, 100, 40);
    assert_true(t.lower == 0 && t.upper == 300 && t.known == 0 && t.never == 3);
    signal_workload_free(w);
}

static void no_ready_pod_is_unknown_not_zero(void **state) {
    (void)state;
    struct signal_workload *w = make();
    struct signal_total t = total_with(w, SIGNAL_REQUEST_RATE, 2, 0);
    assert_true(t.lower == 0 && isinf(t.upper) && t.pods == 0 && t.known == 0);
    TELL(w, 0, {"a", POD_STARTING});
    t = total_with(w, SIGNAL_QUEUE, INFINITY, 0);
    assert_true(t.lower == 0 && isinf(t.upper));
    signal_workload_free(w);
}

static void a_value_missing_on_one_page_is_that_values_age(void **state) {
    (void)state;
    struct signal_workload *w = make();
    TELL(w, 0, {"a", POD_READY});
    page(w, "a", 0, 3, 5, 0.5, 1);
    struct engine_sample s = {0}; // a renamed metric: the page has the rest
    SAMPLE_SET(&s, ENGINE_RUNNING, 9);
    signal_workload_engine(w, STR("a"), &s, 25 * S);
    assert_int_equal(total_with(w, SIGNAL_QUEUE, INFINITY, 25).known, 1);
    assert_int_equal(total_with(w, SIGNAL_QUEUE, INFINITY, 32).known, 0);
    assert_int_equal(total_with(w, SIGNAL_RUNNING, INFINITY, 32).known, 1);
    // An old page behind a newer one changes nothing.
    assert_false(page(w, "a", 0, 77, 77, 1, 24));
    assert_true(total_with(w, SIGNAL_RUNNING, INFINITY, 32).lower == 9);
    signal_workload_free(w);
}

// The counter counts what finished: without the gauges that the engine has, what arrived is
// unknown.
static void arrivals_need_the_gauges(void **state) {
    (void)state;
    struct signal_workload *w = make();
    TELL(w, 0, {"a", POD_READY});
    for (int t = 5; t <= 65; t += 5) {
        struct engine_sample s = {0};
        SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, t);
        signal_workload_engine(w, STR("a"), &s, t * S);
    }
    assert_int_equal(total_with(w, SIGNAL_REQUEST_RATE, 2, 65).known, 0);
    signal_workload_free(w);
    struct signal_engine arrived = {.provides = ALL};
    assert_int_equal(signal_workload_new(&w, STR("shop"), NULL, &arrived), 0);
    TELL(w, 0, {"a", POD_READY});
    for (int t = 5; t <= 65; t += 5) {
        struct engine_sample s = {0};
        SAMPLE_SET(&s, ENGINE_REQUESTS_TOTAL, t);
        signal_workload_engine(w, STR("a"), &s, t * S);
    }
    assert_true(near(total_with(w, SIGNAL_REQUEST_RATE, 2, 65).lower, 1));
    signal_workload_free(w);
}

// 6 requests a second, shared evenly by whoever is ready: whatever pods come and go, the total is
// the workload's arrivals but for a second lost at each coming and going. (Per-pod rates, each over
// the pod's own life, show 9 after a doubling.)
static void arrivals_that_move_between_pods_are_counted_once(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct signal_workload *w = make();
    double done[8] = {0};
    uint64_t seed = unit_seed();
    struct random rng;
    random_init(&rng, seed);
    bool ready[8] = {true, true, true, true};
    double worst_low = 6, worst_high = 6;
    for (int t = 0; t < 3000; t++) {
        if (t % 40 == 0) { // one leaves, one comes; or four come, or four leave
            struct told pods[8];
            size_t n = 0;
            int change = (int)random_below(&rng, 3), some = 0;
            for (int i = 0; i < 8; i++)
                ready[i] = change == 0 ? i < 4 : change == 1 ? true : random_below(&rng, 2);
            for (int i = 0; i < 8; i++)
                some += ready[i];
            ready[0] |= some == 0;
            for (int i = 0; i < 8; i++) // those that are not ready are starting or gone
                if (ready[i] || i % 2)
                    pods[n++] = (struct told){names[i], ready[i] ? POD_READY : POD_STARTING};
            tell_at(w, pods, n, t * S);
        }
        int some = 0;
        for (int i = 0; i < 8; i++)
            some += ready[i];
        for (int i = 0; i < 8; i++) {
            done[i] += ready[i] ? 6. / some : 0;
            if (ready[i])
                page(w, names[i], done[i], 0, 0, 0, t);
        }
        struct signal_total total = total_with(w, SIGNAL_REQUEST_RATE, 2, t);
        if (t < 100 || total.known < total.pods)
            continue;
        worst_low = total.lower < worst_low ? total.lower : worst_low;
        worst_high = total.lower > worst_high ? total.lower : worst_high;
    }
    printf("# 6 requests/s were read as %.2f to %.2f\n", worst_low, worst_high);
    assert_true(worst_low > 6 * 0.95);
    assert_true(worst_high < 6 * 1.05);
    signal_workload_free(w);
}

// A pod's page is lost while others come and take its load: whatever the lengths and times, the sum
// over the hole is no guess about when, and 8 requests a second stay 8.
static void a_page_that_returns_counts_nothing_twice(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    double worst_low = 8, worst_high = 8;
    for (int round = 0; round < 200; round++) {
        struct signal_workload *w = make();
        int lost = 100 + (int)random_below(&rng, 10), back = lost + 5 + (int)random_below(&rng, 53);
        int more = lost + (int)random_below(&rng, (uint64_t)(back - lost));
        double a = 0, b = 0;
        TELL(w, 0, {"a", POD_READY});
        for (int t = 1; t < 260; t++) {
            if (t == more)
                TELL(w, t, {"a", POD_READY}, {"b", POD_READY}, {"c", POD_READY}, {"d", POD_READY});
            a += t > more ? 2 : 8;
            b += t > more ? 2 : 0;
            if (t <= lost || t >= back)
                page(w, "a", a, 0, 0, 0, t);
            for (char name[] = "b"; t >= more && name[0] <= 'd'; name[0]++)
                page(w, name, b, 0, 0, 0, t);
            struct signal_total total = total_with(w, SIGNAL_REQUEST_RATE, 2, t);
            if (t < back || total.known < total.pods) // until maxAge, what it said last counts
                continue;
            worst_low = total.lower < worst_low ? total.lower : worst_low;
            worst_high = total.lower > worst_high ? total.lower : worst_high;
        }
        signal_workload_free(w);
    }
    printf("# 8 requests/s were read as %.2f to %.2f\n", worst_low, worst_high);
    assert_true(worst_low > 8 * 0.95);
    assert_true(worst_high < 8 * 1.05);
}

static void a_fresh_workload_is_not_diluted_by_the_time_before(void **state) {
    (void)state;
    struct signal_workload *w = make();
    TELL(w, 0, {"a", POD_STARTING});
    TELL(w, 100, {"a", POD_READY}); // 3 requests a second from its first second on
    for (int t = 101; t <= 120; t++)
        page(w, "a", 3 * (t - 100), 0, 0, 0, t);
    struct signal_total t = total_with(w, SIGNAL_REQUEST_RATE, 10, 120);
    assert_true(t.known == 1 && fabs(t.lower - 3) < 0.3);
    assert_int_equal(signal_workload_cold_start_ns(w), 100 * S);
    signal_workload_free(w);
}

static void three_quarters_of_the_last_eight_starts_do_not_exceed_the_cold_start(void **state) {
    static const int64_t expected[] = {500, 500, 500, 53, 54, 55, 56, 56, 56}; // the first waited
    (void)state;
    struct signal_workload *w = make();
    assert_int_equal(signal_workload_cold_start_ns(w), 0);
    TELL(w, 0, {"old", POD_READY}); // its start was not seen
    assert_int_equal(signal_workload_cold_start_ns(w), 0);
    int64_t t = 0;
    for (int i = 0; i < 9; i++) {
        char name[8];
        int64_t takes = i == 0 ? 500 : 50 + i;
        snprintf(name, sizeof(name), "p%d", i);
        TELL(w, t, {"old", POD_READY}, {name, POD_STARTING});
        TELL(w, t + takes, {"old", POD_READY}, {name, POD_READY});
        assert_int_equal(signal_workload_cold_start_ns(w), expected[i] * S);
        t += takes;
    }
    // Losing readiness and getting it back is no start.
    TELL(w, t, {"old", POD_READY}, {"p8", POD_STARTING});
    TELL(w, t + 900, {"old", POD_READY}, {"p8", POD_READY});
    assert_int_equal(signal_workload_cold_start_ns(w), 56 * S);
    signal_workload_free(w);
}

static void a_pod_that_tells_when_it_was_ready_is_a_lesson_although_nobody_saw_it(void **state) {
    (void)state;
    struct signal_workload *w = make();
    struct signal_pod pods[] = {
        {STR("a"), POD_READY, 1000 * S, 1040 * S},
        {STR("b"), POD_READY, 1000 * S, SIGNAL_TIME_UNKNOWN},
        {STR("c"), POD_READY, 1000 * S, 999 * S},    // senseless
        {STR("d"), POD_READY, 1000 * S, 90000 * S}}; // lost it and got it back
    assert_int_equal(signal_workload_set_pods(w, pods, 4, 99999 * S), 0);
    assert_int_equal(signal_workload_cold_start_ns(w), 40 * S);
    // Seen to become ready a while after it was: its own word counts.
    struct signal_pod young = {STR("e"), POD_STARTING, 100000 * S, SIGNAL_TIME_UNKNOWN};
    assert_int_equal(signal_workload_set_pods(w, &young, 1, 100001 * S), 0);
    young = (struct signal_pod){STR("e"), POD_READY, 100000 * S, 100050 * S};
    assert_int_equal(signal_workload_set_pods(w, &young, 1, 100200 * S), 0);
    assert_int_equal(signal_workload_cold_start_ns(w), 50 * S);
    signal_workload_free(w);
}

static void the_demand_source_is_one_interval(void **state) {
    (void)state;
    struct signal_workload *w = make();
    struct signal_total t = total_with(w, SIGNAL_DEMAND, 2, 0);
    assert_true(t.lower == 0 && isinf(t.upper) && t.known == 0);
    signal_workload_set_demand(w, 1u << DEMAND_REQUESTS_TOTAL | 1u << DEMAND_WAITING);
    double v = -1;
    for (int i = 1; i <= 70; i++) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, 100 + 4 * i);
        SAMPLE_SET(&s, DEMAND_WAITING, 12);
        assert_true(signal_workload_demand(w, &s, i * S));
        assert_false(signal_workload_demand(w, &s, i * S));
    }
    t = total_with(w, SIGNAL_DEMAND, 2, 70);
    assert_true(near(t.lower, 4) && near(t.upper, 4) && t.known == 1);
    assert_true(signal_demand_gauge(w, DEMAND_WAITING, 100 * S, 30 * S, &v) && v == 12);
    assert_false(signal_demand_gauge(w, DEMAND_WAITING, 101 * S, 30 * S, &v));
    assert_false(signal_demand_gauge(w, DEMAND_INFLIGHT, 70 * S, 30 * S, &v));
    // What waits at the source waits for the workload.
    TELL(w, 70, {"a", POD_READY});
    page(w, "a", 0, 5, 0, 0, 70);
    t = total_with(w, SIGNAL_QUEUE, INFINITY, 70);
    assert_true(t.lower == 17 && t.upper == 17 && t.known == 1 && t.pods == 1);
    assert_true(t.max == 5); // of pods
    t = total_with(w, SIGNAL_DEMAND, 2, 101);
    assert_true(t.known == 0 && isinf(t.upper));
    signal_workload_free(w);
}

// A counter of finished requests, and those that it has not counted: what arrived is both together.
static void arrivals_at_a_source_that_counts_finished_requests(void **state) {
    (void)state;
    struct signal_workload *w = make();
    signal_workload_set_demand(w, 1u << DEMAND_REQUESTS_TOTAL | 1u << DEMAND_INFLIGHT);
    signal_workload_set_demand_uncounted(w, 1u << DEMAND_INFLIGHT);
    // 4 a second come, none is done: a model that takes minutes, or a service at zero
    for (int i = 0; i <= 70; i++) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, 100);
        SAMPLE_SET(&s, DEMAND_INFLIGHT, 4 * i);
        assert_true(signal_workload_demand(w, &s, i * S));
    }
    struct signal_total t = total_with(w, SIGNAL_DEMAND, 2, 70);
    assert_true(near(t.lower, 4) && near(t.upper, 4));
    // All are done at once: nothing more has arrived.
    for (int i = 71; i <= 140; i++) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, 380);
        SAMPLE_SET(&s, DEMAND_INFLIGHT, 0);
        assert_true(signal_workload_demand(w, &s, i * S));
    }
    t = total_with(w, SIGNAL_DEMAND, 2, 140);
    assert_true(near(t.lower, 0) && near(t.upper, 0) && t.known == 1);
    // Without the gauge nobody knows what arrived.
    for (int i = 141; i <= 180; i++) {
        struct demand_sample s = {0};
        SAMPLE_SET(&s, DEMAND_REQUESTS_TOTAL, 380);
        assert_true(signal_workload_demand(w, &s, i * S));
    }
    t = total_with(w, SIGNAL_DEMAND, 2, 180);
    assert_true(t.known == 0 && isinf(t.upper));
    signal_workload_free(w);
}

static void a_set_of_pods_is_taken_whole_or_not_at_all(void **state) {
    (void)state;
    struct signal_join *j = NULL;
    struct signal_workload *w = NULL;
    assert_int_equal(signal_join_new(&j), 0);
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        mem_fail_from(n);
        r = signal_workload_new(&w, STR("shop"), j, &finished);
        mem_fail_never();
    }
    assert_int_equal(r, 0);
    TELL(w, 0, {"a", POD_READY}, {"b", POD_READY});
    page(w, "a", 0, 3, 0, 0, 1);
    page(w, "b", 0, 4, 0, 0, 1);
    struct signal_pod more[40];
    static char names[40][8];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        more[i] = (struct signal_pod){str_from(names[i]), POD_READY, SIGNAL_TIME_UNKNOWN};
    }
    r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        assert_true(n < 1000);
        mem_fail_from(n);
        r = signal_workload_set_pods(w, more, 40, 2 * S);
        mem_fail_never();
        struct signal_total t = total_with(w, SIGNAL_QUEUE, INFINITY, 2);
        assert_true(r == 0 ? t.pods == 40 && t.known == 0 : t.pods == 2 && t.lower == 7);
    }
    assert_int_equal(r, 0);
    assert_int_equal(signal_workload_set_pods(w, more, LIMIT_PODS_PER_WORKLOAD + 1, 3 * S),
                     ERR_LIMIT);
    // A name told twice is one pod.
    more[1] = more[0];
    assert_int_equal(signal_workload_set_pods(w, more, 2, 4 * S), 0);
    assert_int_equal(total_with(w, SIGNAL_QUEUE, INFINITY, 4).pods, 1);
    signal_workload_free(w);
    signal_join_free(j);
}

static void a_pods_gpus_count_by_their_mean(void **state) {
    (void)state;
    struct signal_join *j = NULL;
    struct signal_workload *w = NULL;
    struct signal_gpu *g[3];
    assert_int_equal(signal_join_new(&j), 0);
    assert_int_equal(signal_workload_new(&w, STR("shop"), j, &finished), 0);
    TELL(w, 0, {"a", POD_READY}, {"b", POD_READY});
    for (int i = 0; i < 3; i++) { // two of a, one of b
        struct signal_owner owner = {STR("shop"), i < 2 ? STR("a") : STR("b")};
        struct gpu_reading r = {0};
        gpu_reading_set(&r, GPU_UTILIZATION_PCT, i == 0 ? 100 : i == 1 ? 50 : 20);
        assert_int_equal(signal_gpu_new(j, &g[i]), 0);
        assert_int_equal(signal_gpu_set_owners(j, g[i], true, &owner, 1), 0);
        signal_gpu_set_reading(g[i], &r, i == 1 ? 1 * S : 10 * S, false);
    }
    struct signal_total t = total_with(w, SIGNAL_GPU_UTILIZATION, 100, 10);
    assert_true(near(t.lower, 95) && near(t.upper, 95) && t.known == 2);
    assert_true(t.max == 75 && strcmp(t.max_pod, "a") == 0);
    // One of two GPUs silent: the pod is between what is known and that GPU at 100.
    t = total_with(w, SIGNAL_GPU_UTILIZATION, 100, 35);
    assert_true(near(t.lower, 50 + 20) && near(t.upper, 100 + 20) && t.known == 1 && t.never == 0);
    for (int i = 0; i < 3; i++)
        signal_gpu_free(j, g[i]);
    signal_workload_free(w);
    signal_join_free(j);
}

// Two workloads on one GPU: each has what its own pod's processes use, as an interval.
static void pods_on_one_gpu_count_for_their_own_workloads(void **state) {
    (void)state;
    static const char *const names[] = {"chat", "rank"}, *const uids[] = {"uid-a", "uid-b"};
    struct signal_join *j = NULL;
    struct signal_workload *w[2] = {NULL};
    struct signal_gpu *g = NULL;
    struct signal_owner owners[2];
    struct gpu_share shares[2] = {{"uid-a", .has_utilization = true, .utilization_pct = 50},
                                  {"uid-b", .has_utilization = true, .utilization_pct = 30}};
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 85);
    assert_int_equal(signal_join_new(&j), 0);
    assert_int_equal(signal_gpu_new(j, &g), 0);
    for (int i = 0; i < 2; i++) {
        struct signal_pod pod = {str_from(names[i]), POD_READY, SIGNAL_TIME_UNKNOWN,
                                 SIGNAL_TIME_UNKNOWN, str_from(uids[i])};
        assert_int_equal(signal_workload_new(&w[i], STR("shop"), j, &finished), 0);
        assert_int_equal(signal_workload_set_pods(w[i], &pod, 1, 0), 0);
        owners[i] = (struct signal_owner){STR("shop"), str_from(names[i])};
    }
    assert_int_equal(signal_gpu_set_owners(j, g, true, owners, 2), 0);
    signal_gpu_set_reading(g, &r, 10 * S, false);
    struct signal_total t = total_with(w[0], SIGNAL_GPU_UTILIZATION, 100, 10);
    assert_true(t.known == 0 && t.shared == 1 && t.gaps == PART_NOT_TOLD && t.parts == 0);
    assert_true(t.lower == 0 && t.upper == 100);
    assert_int_equal(signal_gpu_set_shares(g, true, shares, 2), 0);
    t = total_with(w[0], SIGNAL_GPU_UTILIZATION, 100, 10);
    assert_true(t.known == 1 && t.shared == 0 && t.gaps == 0 && t.parts == 1);
    assert_true(near(t.lower, 50) && near(t.upper, 55));
    t = total_with(w[1], SIGNAL_GPU_UTILIZATION, 100, 10);
    assert_true(t.known == 1 && near(t.lower, 30) && near(t.upper, 35));
    // Its pod is replaced by another of the same name, whose processes have not begun.
    struct signal_pod next = {STR("rank"), POD_READY, SIGNAL_TIME_UNKNOWN, SIGNAL_TIME_UNKNOWN,
                              STR("uid-c")};
    assert_int_equal(signal_workload_set_pods(w[1], &next, 1, 11 * S), 0);
    t = total_with(w[1], SIGNAL_GPU_UTILIZATION, 100, 11);
    assert_true(t.known == 1 && near(t.lower, 0) && near(t.upper, 5));
    // The agent sees its processes and not whose they are: unknown, and said.
    shares[1].pod_uid[0] = '\0';
    assert_int_equal(signal_gpu_set_shares(g, true, shares, 2), 0);
    t = total_with(w[1], SIGNAL_GPU_UTILIZATION, 100, 11);
    assert_true(t.known == 0 && t.shared == 1 && t.gaps == PART_NOT_TOLD && t.parts == 0);
    assert_true(t.lower == 0 && t.upper == 100);
    signal_gpu_free(j, g);
    signal_workload_free(w[0]);
    signal_workload_free(w[1]);
    signal_join_free(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_over_ready_pods_alone),
        cmocka_unit_test(a_pod_that_looks_reborn_while_ready_has_served),
        cmocka_unit_test(what_is_not_known_widens_the_interval),
        cmocka_unit_test(no_ready_pod_is_unknown_not_zero),
        cmocka_unit_test(a_value_missing_on_one_page_is_that_values_age),
        cmocka_unit_test(arrivals_need_the_gauges),
        cmocka_unit_test(arrivals_that_move_between_pods_are_counted_once),
        cmocka_unit_test(a_page_that_returns_counts_nothing_twice),
        cmocka_unit_test(a_fresh_workload_is_not_diluted_by_the_time_before),
        cmocka_unit_test(three_quarters_of_the_last_eight_starts_do_not_exceed_the_cold_start),
        cmocka_unit_test(a_pod_that_tells_when_it_was_ready_is_a_lesson_although_nobody_saw_it),
        cmocka_unit_test(the_demand_source_is_one_interval),
        cmocka_unit_test(arrivals_at_a_source_that_counts_finished_requests),
        cmocka_unit_test(a_set_of_pods_is_taken_whole_or_not_at_all),
        cmocka_unit_test(a_pods_gpus_count_by_their_mean),
        cmocka_unit_test(pods_on_one_gpu_count_for_their_own_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
