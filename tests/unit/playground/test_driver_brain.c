// SPDX-License-Identifier: Apache-2.0
/* What the three policies wish for, with time as an argument. */
#include "unit.h"

#include "base/clock.h"
#include "playground/driver_brain.h"

#define AT(s) ((int64_t)((s)*NS_PER_S))
enum { REQUEST_MILLI = 1000 };

struct world {
    struct driver_brain brain;
    struct driver_usage_store usage;
    struct driver_pod pods[DRIVER_PODS_MAX];
    size_t n_pods;
    int32_t replicas;
    double now_s;
    struct driver_wish wish; // the last
};

static struct driver_facts facts(struct world *w) {
    return (struct driver_facts){
        .now_ns = AT(w->now_s), .replicas = w->replicas, .pods = w->pods, .n_pods = w->n_pods};
}

static void begin(struct world *w, enum driver_policy policy, int32_t min, int32_t max) {
    struct driver_brain_options o = {.policy = policy,
                                     .min_replicas = min,
                                     .max_replicas = max,
                                     .cpu_request_milli = REQUEST_MILLI};
    *w = (struct world){0};
    assert_int_equal(driver_brain_init(&w->brain, &o, 0, NULL), 0);
}

// As many pods as replicas, the first `ready` of them ready since long.
static void set_pods(struct world *w, int32_t replicas, int32_t ready) {
    w->replicas = replicas;
    w->n_pods = (size_t)replicas;
    for (int32_t i = 0; i < replicas; i++) {
        struct driver_pod *p = &w->pods[i];
        *p = (struct driver_pod){.state = i < ready ? DRIVER_POD_READY : DRIVER_POD_STARTING,
                                 .pid = 1,
                                 .gpus = UINT64_C(1) << i,
                                 .started_ns = i < ready ? AT(-1000) : AT(w->now_s),
                                 .ready_ns = AT(-900)};
        snprintf(p->name, sizeof(p->name), "pod-%d", i);
    }
}

// Two scrapes, in which each pod used `cores`.
static void use_cpu(struct world *w, double cores) {
    struct driver_cpu_reading r[DRIVER_PODS_MAX] = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < w->n_pods; i++) {
            memcpy(r[i].pod, w->pods[i].name, sizeof(r[i].pod));
            r[i].started_ns = w->pods[i].started_ns;
            r[i].at_ns = AT(w->now_s - (pass ? 7.5 : 22.5));
            r[i].cpu_ns = pass ? (int64_t)(cores * 15 * NS_PER_S) : 0;
        }
        driver_usage_scraped(&w->usage, r, w->n_pods);
    }
}

static void sync_with(struct world *w, const struct driver_trigger_reading *readings) {
    struct driver_facts f = facts(w);
    driver_brain_sync(&w->brain, &f, &w->usage, readings, &w->wish);
}

static void poll_with(struct world *w, const struct driver_trigger_reading *readings) {
    struct driver_facts f = facts(w);
    driver_brain_poll(&w->brain, &f, readings, &w->wish);
}

static void assert_wish(const struct world *w, int32_t replicas, const char *who) {
    assert_true(w->wish.any);
    assert_int_equal(w->wish.replicas, replicas);
    assert_string_equal(w->wish.who, who);
    assert_true(w->wish.reason[0] != '\0');
    assert_true(w->wish.reason[strlen(w->wish.reason) - 1] != '.');
}

// ---- CPU

static void cpu_above_the_target_scales_up_by_the_ratio(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 2, 2);
    use_cpu(&w, 1.2); // 120 % of the request
    sync_with(&w, NULL);
    assert_wish(&w, 4, "HPA"); // ceil(120 / 70 x 2)
    assert_non_null(strstr(w.wish.reason, "cpu"));
    assert_non_null(strstr(w.wish.reason, "120 %"));
    const struct driver_view *v = &w.brain.view;
    assert_int_equal(v->n_signals, 1);
    assert_true(v->signals[0].known);
    assert_float_equal(v->signals[0].value, 120, 1e-9);
    assert_float_equal(v->signals[0].target, 70, 1e-9);
    assert_int_equal(v->signals[0].at_ns, AT(592.5));
    assert_int_equal(v->signals[0].proposal, 4);
    assert_int_equal(v->desired, 4);
}

static void cpu_within_ten_percent_of_the_target_stays(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 3, 3);
    use_cpu(&w, 0.76);
    sync_with(&w, NULL);
    assert_false(w.wish.any);
    assert_int_equal(w.brain.view.desired, 3);
}

static void cpu_scales_down_only_after_five_minutes(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 4, 4);
    double since_s = w.now_s;
    for (; !w.wish.any && w.now_s < 1200; w.now_s += 15) {
        use_cpu(&w, 0.1);
        sync_with(&w, NULL);
        if (!w.wish.any)
            assert_non_null(strstr(w.brain.view.limited_by, "recent recommendations"));
    }
    assert_wish(&w, 1, "HPA");
    assert_in_range((int64_t)(w.now_s - 15 - since_s), 300, 315);
}

static void pods_without_metrics_hold_the_count(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 2, 2);
    sync_with(&w, NULL);
    assert_false(w.wish.any);
    assert_false(w.brain.view.signals[0].known);
    assert_int_equal(w.brain.view.signals[0].proposal, -1);
    assert_int_equal(w.brain.view.desired, -1);
    assert_non_null(strstr(w.brain.view.limited_by, "no metrics returned"));
}

// A pod that starts counts as using nothing when scaling up: 2 x 120 % over 4 pods is 60 %.
static void starting_pods_damp_scaling_up(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 4, 2);
    use_cpu(&w, 1.2);
    sync_with(&w, NULL);
    assert_false(w.wish.any);
    assert_int_equal(w.brain.view.signals[0].proposal, 4);
}

static void a_pod_without_a_process_is_pending(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 3, 2);
    w.pods[2].pid = 0;
    use_cpu(&w, 1.2);
    sync_with(&w, NULL);
    assert_wish(&w, 4, "HPA"); // 240 over 3 pods: 80 %, ceil(80 / 70 x 3)
}

static void terminating_pods_count_nowhere(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 8);
    w.now_s = 600;
    set_pods(&w, 3, 3);
    use_cpu(&w, 1.2);
    w.pods[2].state = DRIVER_POD_TERMINATING;
    w.replicas = 2;
    sync_with(&w, NULL);
    assert_wish(&w, 4, "HPA");
}

static void the_maximum_limits_and_is_told(void **state) {
    struct world w;
    begin(&w, DRIVER_CPU, 1, 3);
    w.now_s = 600;
    set_pods(&w, 2, 2);
    use_cpu(&w, 2);
    sync_with(&w, NULL);
    assert_wish(&w, 3, "HPA");
    assert_int_equal(w.brain.view.signals[0].proposal, 6);
    assert_non_null(strstr(w.brain.view.limited_by, "more than the maximum replica count"));
}

// ---- The classic triggers

static void readings(struct driver_trigger_reading r[2], double gpu, double queue) {
    r[0] = (struct driver_trigger_reading){.sample = {.value = gpu, .active = gpu > 0}};
    r[1] = (struct driver_trigger_reading){.sample = {.value = queue, .active = queue > 0}};
}

// DESIGN section 1: a percentage under AverageValue never asks for more than two.
static void gpu_utilization_never_asks_for_more_than_two(void **state) {
    struct world w;
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    for (double gpu = 0; gpu <= 100; gpu += 5) {
        w.now_s += 15;
        set_pods(&w, 1, 1);
        readings(r, gpu, 0);
        sync_with(&w, r);
        assert_in_range(w.brain.view.signals[0].proposal, 0, 2);
        assert_int_equal(w.wish.any ? w.wish.replicas : 1, gpu > 55 * 1.1 ? 2 : 1);
    }
}

static void the_larger_of_the_two_triggers_counts(void **state) {
    struct world w;
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    set_pods(&w, 2, 2);
    readings(r, 100, 37);
    sync_with(&w, r);
    assert_wish(&w, 4, "HPA");
    assert_non_null(strstr(w.wish.reason, "s1-prometheus"));
    assert_int_equal(w.brain.view.n_signals, 2);
    assert_string_equal(w.brain.view.signals[0].name, "s0-prometheus");
    assert_float_equal(w.brain.view.signals[0].target, 55, 1e-9);
    assert_float_equal(w.brain.view.signals[1].value, 37, 1e-9);
    assert_float_equal(w.brain.view.signals[1].target, 10, 1e-9);
    assert_int_equal(w.brain.view.signals[1].proposal, 4);
}

// Without a behavior section: at most double, or 4.
static void one_sync_at_most_doubles(void **state) {
    struct world w;
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    set_pods(&w, 1, 1);
    readings(r, 100, 200);
    sync_with(&w, r);
    assert_wish(&w, 4, "HPA");
}

static void a_lost_exporter_scales_down_after_the_window(void **state) {
    struct world w;
    struct driver_series_store store = {0};
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    set_pods(&w, 4, 4);
    double gone_s = 15;
    for (w.now_s = 0; w.now_s < 600 && !w.wish.any; w.now_s += 15) {
        struct driver_facts f = facts(&w);
        driver_brain_query(&w.brain, &store, &f, r);
        assert_float_equal(r[0].sample.value, 0, 1e-9);
        assert_false(r[0].sample.failed || r[0].sample.active);
        sync_with(&w, r);
    }
    assert_wish(&w, 1, "HPA");
    assert_in_range((int64_t)(w.now_s - gone_s), 285, 330);
}

static void the_queries_read_the_services_gpus_and_all_queues(void **state) {
    struct world w;
    struct driver_series_store s = {.n = 4,
                                    .series = {{"agent", 0, 80, AT(5)},
                                               {"agent", 1, 60, AT(5)},
                                               {"agent", 7, 0, AT(5)},
                                               {"pod-0", DRIVER_SERIES_QUEUE, 21, AT(6)}}};
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    set_pods(&w, 2, 2);
    w.now_s = 10;
    struct driver_facts f = facts(&w);
    driver_brain_query(&w.brain, &s, &f, r);
    assert_float_equal(r[0].sample.value, 70, 1e-9);
    assert_int_equal(r[0].at_ns, AT(5));
    assert_float_equal(r[1].sample.value, 21, 1e-9);
    assert_true(r[0].sample.active && r[1].sample.active);
}

// minReplicaCount 1: the loop has nothing to say once the HPA works.
static void keda_leaves_a_service_above_zero_to_the_hpa(void **state) {
    struct world w;
    struct driver_trigger_reading r[2];
    begin(&w, DRIVER_CLASSIC, 1, 8);
    set_pods(&w, 2, 2);
    readings(r, 0, 0);
    assert_true(driver_brain_poll_asks(&w.brain));
    sync_with(&w, r);
    assert_false(driver_brain_poll_asks(&w.brain));
    w.now_s = 1000;
    poll_with(&w, r);
    assert_false(w.wish.any);
    assert_false(w.brain.view.active);
}

// ---- gpuscale

static struct driver_trigger_reading says(double value, bool active) {
    return (struct driver_trigger_reading){.sample = {.value = value, .active = active}};
}

static struct driver_trigger_reading fails(void) {
    return (struct driver_trigger_reading){.sample = {.failed = true},
                                           .error = "UNAVAILABLE: away"};
}

static void begin_gpuscale(struct world *w, int32_t min) {
    begin(w, DRIVER_GPUSCALE, min, 8);
    assert_int_equal(driver_brain_metric_spec(&w->brain, "desired-replicas", 1, NULL), 0);
}

static void without_a_metric_spec_there_is_no_hpa(void **state) {
    struct world w;
    struct driver_trigger_reading r = says(5, true);
    begin(&w, DRIVER_GPUSCALE, 1, 8);
    set_pods(&w, 2, 2);
    assert_false(driver_brain_sync_asks(&w.brain, 2));
    sync_with(&w, &r);
    assert_false(w.wish.any);
    assert_int_equal(w.brain.view.n_signals, 0);
    assert_non_null(strstr(w.brain.view.limited_by, "metric spec"));
    assert_int_equal(driver_brain_metric_spec(&w.brain, "desired-replicas", 1, NULL), 0);
    assert_true(driver_brain_sync_asks(&w.brain, 2));
    sync_with(&w, &r);
    assert_wish(&w, 5, "HPA");
    assert_string_equal(w.brain.view.signals[0].name, "s0-desired-replicas");
}

// Tolerance 0, scale-down window 0: what it says is what there is, at the next sync, both ways.
static void the_scalers_number_is_taken_as_it_is(void **state) {
    static const int32_t numbers[] = {1, 2, 3, 2, 6, 8, 7, 6, 1, 4};
    struct world w;
    begin_gpuscale(&w, 1);
    set_pods(&w, 1, 1);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct driver_trigger_reading r = says(numbers[i], true);
        w.now_s += 15;
        sync_with(&w, &r);
        assert_int_equal(w.wish.any ? w.wish.replicas : w.replicas, numbers[i]);
        set_pods(&w, numbers[i], numbers[i]);
    }
}

// The API server's rules for a behavior section: 4 pods or 100 % in 15 s.
static void a_leap_up_takes_several_syncs(void **state) {
    struct world w;
    struct driver_trigger_reading r = says(8, true);
    begin_gpuscale(&w, 1);
    set_pods(&w, 1, 1);
    w.now_s = 15;
    sync_with(&w, &r);
    assert_wish(&w, 5, "HPA");
    set_pods(&w, 5, 1);
    w.now_s = 31;
    sync_with(&w, &r);
    assert_wish(&w, 8, "HPA");
}

static void a_failing_scaler_keeps_the_count(void **state) {
    struct world w;
    struct driver_trigger_reading good = says(4, true), bad = fails();
    begin_gpuscale(&w, 1);
    set_pods(&w, 4, 4);
    sync_with(&w, &good);
    for (int i = 0; i < 40; i++) { // the fallback, currentReplicasIfHigher, from the fourth on
        w.now_s += 15;
        sync_with(&w, &bad);
        assert_false(w.wish.any);
        if (i < 3)
            assert_string_equal(w.brain.view.limited_by,
                                "no decision: s0-desired-replicas: UNAVAILABLE: away");
    }
    assert_false(w.brain.view.signals[0].known);
    assert_int_equal(w.brain.view.desired, 4);
}

static void keda_wakes_and_puts_to_sleep(void **state) {
    struct world w;
    struct driver_trigger_reading active = says(1, true), idle = says(0, false);
    begin_gpuscale(&w, 0);
    set_pods(&w, 0, 0);
    assert_false(driver_brain_sync_asks(&w.brain, 0));
    sync_with(&w, NULL);
    assert_false(w.wish.any);
    poll_with(&w, &idle);
    assert_false(w.wish.any);
    w.now_s = 30;
    poll_with(&w, &active);
    assert_wish(&w, 1, "KEDA");
    assert_true(w.brain.view.active);
    set_pods(&w, 1, 1);
    for (w.now_s = 60; w.now_s <= 330; w.now_s += 30) {
        poll_with(&w, &idle);
        assert_false(w.wish.any);
    }
    w.now_s = 331; // 300 s after the last activity have passed
    poll_with(&w, &idle);
    assert_wish(&w, 0, "KEDA");
    assert_non_null(strstr(w.wish.reason, "cooldown"));
}

static void a_push_wakes_at_once(void **state) {
    struct world w;
    begin_gpuscale(&w, 0);
    set_pods(&w, 0, 0);
    w.now_s = 3;
    struct driver_facts f = facts(&w);
    driver_brain_push(&w.brain, &f, &w.wish);
    assert_wish(&w, 1, "KEDA");
    set_pods(&w, 1, 0);
    f = facts(&w);
    driver_brain_push(&w.brain, &f, &w.wish);
    assert_false(w.wish.any);
}

// ---- Options

static void options_out_of_range_are_named(void **state) {
    static const struct {
        struct driver_brain_options o;
        const char *name;
    } cases[] = {
        {{DRIVER_CPU, 0, 8, 1000, 0}, "min_replicas"},
        {{DRIVER_CLASSIC, -1, 8, 0, 0}, "min_replicas"},
        {{DRIVER_CPU, 1, 0, 1000, 0}, "max_replicas"},
        {{DRIVER_CPU, 3, 2, 1000, 0}, "max_replicas"},
        {{DRIVER_GPUSCALE, 1, DRIVER_PODS_MAX + 1, 0, 0}, "max_replicas"},
        {{DRIVER_CPU, 1, 8, 0, 0}, "cpu_request_cores"},
        {{DRIVER_GPUSCALE, 1, 8, 0, -1}, "cooldown_ns"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct driver_brain b;
        struct err e = {0};
        assert_int_equal(driver_brain_init(&b, &cases[i].o, 0, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, cases[i].name));
    }
}

static void a_target_of_nothing_makes_no_hpa(void **state) {
    struct world w;
    struct err e = {0};
    begin(&w, DRIVER_GPUSCALE, 1, 8);
    assert_int_equal(driver_brain_metric_spec(&w.brain, "desired-replicas", 0, &e), ERR_INVALID);
    assert_false(driver_brain_sync_asks(&w.brain, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_above_the_target_scales_up_by_the_ratio),
        cmocka_unit_test(cpu_within_ten_percent_of_the_target_stays),
        cmocka_unit_test(cpu_scales_down_only_after_five_minutes),
        cmocka_unit_test(pods_without_metrics_hold_the_count),
        cmocka_unit_test(starting_pods_damp_scaling_up),
        cmocka_unit_test(a_pod_without_a_process_is_pending),
        cmocka_unit_test(terminating_pods_count_nowhere),
        cmocka_unit_test(the_maximum_limits_and_is_told),
        cmocka_unit_test(gpu_utilization_never_asks_for_more_than_two),
        cmocka_unit_test(the_larger_of_the_two_triggers_counts),
        cmocka_unit_test(one_sync_at_most_doubles),
        cmocka_unit_test(a_lost_exporter_scales_down_after_the_window),
        cmocka_unit_test(the_queries_read_the_services_gpus_and_all_queues),
        cmocka_unit_test(keda_leaves_a_service_above_zero_to_the_hpa),
        cmocka_unit_test(without_a_metric_spec_there_is_no_hpa),
        cmocka_unit_test(the_scalers_number_is_taken_as_it_is),
        cmocka_unit_test(a_leap_up_takes_several_syncs),
        cmocka_unit_test(a_failing_scaler_keeps_the_count),
        cmocka_unit_test(keda_wakes_and_puts_to_sleep),
        cmocka_unit_test(a_push_wakes_at_once),
        cmocka_unit_test(options_out_of_range_are_named),
        cmocka_unit_test(a_target_of_nothing_makes_no_hpa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
