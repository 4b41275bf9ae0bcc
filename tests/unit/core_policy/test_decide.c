// SPDX-License-Identifier: Apache-2.0
/*
 * Properties of the decision over random histories and under the HPA's own arithmetic, and the
 * parts that the worked cases leave out.
 */
#include "lab.h"

#include <math.h>

#include "base/limits.h"
#include "base/random.h"
#include "core/policy/size.h"

#define LLM "engine=vllm;capacity=2"
#define CLASSIC "engine=custom;queue=10;gpuUtilization=55"

static void staffing_and_rounding(void **state) {
    (void)state;
    static const struct {
        double need, safety, rho;
        int32_t want;
    } rows[] = {
        {0, 0.3, 1, 0},
        {1, 0, 1, 1},
        {4.2 / 0.6, 0, 1, 7}, // 7.000000000000001
        {2.1 / 0.7, 0, 1, 3},
        {7.0000001, 0, 1, 8},
        {100, 0.3, 1, 103},
        {10, 0.3, 1.05, 11}, // 10.95 / 1.05 = 10.43
        {INFINITY, 0.3, 1, WANT_UNBOUNDED},
        {1e12, 0.3, 1, LIMIT_REPLICAS},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(size_staffed(rows[i].need, rows[i].safety, rows[i].rho), rows[i].want);
    assert_false(size_exceeds(4.2, 4, 0.05));
    assert_true(size_exceeds(4.2001, 4, 0.05));
    assert_false(size_exceeds(0, 0, 0.05));
    assert_true(size_exceeds(0.001, 0, 0.05));
    assert_true(size_rho(0) == 1 && size_rho(60 * NS_PER_S) == 1.05 &&
                size_rho(61 * NS_PER_S) == 1);
}

// The measured table (reference study, section 4): running a replica at the shares of the load.
static void running_is_linear_in_the_load(void **state) {
    (void)state;
    static const double load[] = {0.25, 0.5, 0.75, 1.0, 1.1};
    static const double running[] = {3.9, 9.5, 18.5, 34.6, 45.2};
    for (size_t i = 0; i < COUNT_OF(load); i++) {
        double replicas = size_running(8 * running[i], 8, 34.6, true);
        assert_true(fabs(replicas / 8 - load[i]) < 0.02);
    }
    assert_true(size_running(5, 2, 10, false) == 0.5); // one request at a time: as it is
    assert_true(isinf(size_running(INFINITY, 2, 10, true)));
}

static void published_is_what_leaves_the_tolerance(void **state) {
    (void)state;
    assert_true(decide_publish(10, 10, 10) == 10);
    assert_true(decide_publish(11, 10, 10) == 11);
    assert_true(decide_publish(9, 10, 10) == 9 - 0.999);
    assert_true(decide_publish(10, 10, 11) == 10 - 0.999);
    assert_true(decide_publish(0, 3, 3) == 0);
    assert_true(decide_publish(0, 0, 0) == 0);
    assert_true(decide_publish(4, -1, -1) == 4);
    for (int d = 1; d < 3000; d++) // its ceiling, in the thousandths that KEDA carries, is d
        assert_int_equal((int)ceil(round(decide_publish(d, d + 1, d + 1) * 1000) / 1000), d);
}

static void the_first_decision_holds_spec(void **state) {
    (void)state;
    struct lab l;
    struct lab_group groups[LAB_GROUPS] = {{.count = 4, .state = POD_READY, .never = true}};
    lab_open(&l, LLM);
    lab_pods(&l, groups);
    l.spec = l.status = -1;
    lab_tick(&l);
    assert_int_equal(l.r.state, DECISION_UNAVAILABLE);
    assert_string_equal(lab_sentence(&l.r),
                        "no decision yet: spec.replicas of the target is not known");
    l.spec = l.status = 4;
    lab_tick(&l);
    assert_int_equal(l.r.state, DECISION_OK);
    assert_int_equal(l.r.reason, REASON_FIRST);
    assert_int_equal(l.r.desired, 4);
    lab_run(&l, 30);
    assert_int_equal(l.r.state, DECISION_OK);
    lab_run(&l, 1); // nothing was ever seen
    assert_int_equal(l.r.state, DECISION_UNAVAILABLE);
    assert_int_equal(l.r.sequence, 33);
    lab_close(&l);
}

static void observing_tells_the_last_count_that_was_known(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LLM ";mode=observe");
    struct lab_group busy[LAB_GROUPS] = {{.count = 3, .state = POD_READY, .rate = 4}};
    l.spec = l.status = 3;
    lab_pods(&l, busy);
    lab_run(&l, 65);
    assert_true(l.r.desired > 3 && l.r.publish == 3);
    l.spec = l.status = -1; // the count is lost: what would have been decided is no substitute
    lab_run(&l, 5);
    assert_true(l.r.desired > 3 && l.r.publish == 3);
    assert_non_null(strstr(lab_sentence(&l.r), "the autoscaler is told the last known 3"));
    lab_close(&l);
}

static void a_decision_taken_over_is_held(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM, 7, (struct lab_group){.rate = 0.2});
    decider_seed(l.d, 7, 500, l.now_ns);
    lab_run(&l, 299);
    assert_int_equal(l.r.desired, 7);
    assert_int_equal(l.r.reason, REASON_WINDOW);
    assert_int_equal(l.r.sequence, 799);
    lab_run(&l, 2);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
}

// Another process goes on from what the first remembers: the same decisions, second by second.
static void a_decider_goes_on_elsewhere_as_it_would_have_here(void **state) {
    struct random rng;
    random_init(&rng, unit_seed());
    for (int round = 0; round < 20; round++) {
        struct lab l;
        lab_steady(&l, LLM, 7, (struct lab_group){.rate = 0.2});
        for (int i = 0; i < 6; i++) { // wants of all sizes enter the window
            struct lab_group g[LAB_GROUPS] = {
                {.count = 7, .state = POD_READY, .rate = 4 * random_unit(&rng)}};
            lab_pods(&l, g);
            lab_run(&l, 5 + (int)random_below(&rng, 60));
        }
        struct decider_memory m;
        struct decider *other = NULL;
        struct record r;
        decider_remember(l.d, &m);
        assert_true(m.decided && m.n > 0 && m.desired == l.r.desired);
        assert_int_equal(decider_new(&other, l.t), 0);
        decider_restore(other, &m, l.now_ns);
        assert_int_equal(decider_window_ns(other), decider_window_ns(l.d));
        struct lab_group quiet[LAB_GROUPS] = {{.count = 7, .state = POD_READY, .rate = 0.1}};
        lab_pods(&l, quiet);
        for (int i = 0; i < 400; i++) {
            lab_run(&l, 1);
            struct decide_input in = {
                .now_ns = l.now_ns, .spec = l.spec, .status = l.status, .queries = l.queries};
            decider_tick(other, l.w, &in, &r);
            assert_int_equal(r.sequence, l.r.sequence);
            assert_int_equal(r.desired, l.r.desired);
            assert_int_equal(r.reason, l.r.reason);
        }
        assert_true(r.desired < m.desired);
        decider_free(other);
        lab_close(&l);
    }
}

static void what_remembers_nothing_restores_nothing(void **state) {
    struct lab l;
    lab_steady(&l, LLM, 3, (struct lab_group){.rate = 0.2});
    struct decider_memory m;
    decider_remember(l.d, &m); // before the first decision
    assert_false(m.decided);
    assert_true(decider_window_ns(l.d) == INT64_MIN);
    decider_restore(l.d, &m, l.now_ns);
    lab_tick(&l);
    assert_int_equal(l.r.sequence, 1);
    assert_int_equal(l.r.desired, 3); // as specified
    // A decision without its window is observed for a whole one.
    m = (struct decider_memory){.decided = true, .desired = 9, .sequence = 40};
    struct decider *other = NULL;
    struct record r;
    struct decide_input in = {.now_ns = l.now_ns, .spec = 3, .status = 3, .queries = l.queries};
    assert_int_equal(decider_new(&other, l.t), 0);
    decider_restore(other, &m, l.now_ns);
    decider_tick(other, l.w, &in, &r);
    assert_int_equal(r.desired, 9);
    assert_int_equal(r.sequence, 41);
    decider_free(other);
    lab_close(&l);
}

static void who_has_not_followed_long_enough_raises_and_does_not_lower(void **state) {
    struct lab l;
    lab_steady(&l, LLM ";downWindow=0s", 6, (struct lab_group){.rate = 1.6});
    lab_run(&l, 100);
    assert_int_equal(l.r.desired, 6);
    struct lab_group quiet[LAB_GROUPS] = {{.count = 6, .state = POD_READY, .rate = 0.1}};
    struct lab_group busy[LAB_GROUPS] = {{.count = 6, .state = POD_READY, .rate = 3}};
    struct decide_input in = {.spec = 6, .status = 6, .queries = l.queries, .settling = true};
    struct record r;
    lab_pods(&l, quiet);
    lab_warm(&l, 100);
    in.now_ns = l.now_ns;
    decider_tick(l.d, l.w, &in, &r);
    assert_int_equal(r.desired, 6);
    assert_int_equal(r.reason, REASON_UNKNOWN);
    lab_pods(&l, busy);
    lab_warm(&l, 100);
    in.now_ns = l.now_ns;
    decider_tick(l.d, l.w, &in, &r);
    assert_true(r.desired > 6);
    lab_pods(&l, quiet);
    lab_warm(&l, 100);
    in.now_ns = l.now_ns;
    in.settling = false;
    decider_tick(l.d, l.w, &in, &r);
    assert_true(r.desired < 6);
    lab_close(&l);
}

// Pods that came since are not seen: what they serve is in no total.
static void by_pods_of_yesterday_nothing_is_lowered_and_nothing_is_idle(void **state) {
    struct lab l;
    lab_steady(&l, LLM ";downWindow=0s", 6, (struct lab_group){.rate = 1.6});
    lab_run(&l, 100);
    assert_int_equal(l.r.desired, 6);
    struct lab_group idle[LAB_GROUPS] = {{.count = 6, .state = POD_READY, .rate = 0}};
    struct decide_input in = {.spec = 6, .status = 6, .queries = l.queries, .stale = true};
    struct record r;
    lab_pods(&l, idle);
    lab_warm(&l, 100);
    in.now_ns = l.now_ns;
    decider_tick(l.d, l.w, &in, &r);
    assert_int_equal(r.desired, 6);
    assert_int_equal(r.activity, ACTIVE_UNKNOWN);
    assert_true(r.active);
    in.stale = false;
    decider_tick(l.d, l.w, &in, &r);
    assert_true(r.desired < 6);
    assert_false(r.active);
    lab_close(&l);
}

static void who_forgets_begins_from_what_there_is(void **state) {
    struct lab l;
    lab_steady(&l, LLM, 6, (struct lab_group){.rate = 1.6});
    lab_run(&l, 400);
    assert_int_equal(l.r.desired, 6);
    uint64_t before = l.r.sequence;
    struct lab_group lost[LAB_GROUPS] = {{.count = 12, .state = POD_READY, .lost = true}};
    struct decide_input in = {.spec = 12, .status = 12, .queries = l.queries};
    struct record r;
    lab_pods(&l, lost);
    lab_warm(&l, 100);
    in.now_ns = l.now_ns;
    decider_forget(l.d, 3);
    decider_tick(l.d, l.w, &in, &r);
    assert_int_equal(r.desired, 12); // not the 6 of before
    assert_int_equal(r.sequence, before + 1);
    decider_forget(l.d, before + 1000);
    decider_tick(l.d, l.w, &in, &r);
    assert_int_equal(r.sequence, before + 1001);
    lab_close(&l);
}

static void after_a_blindness_a_whole_window_is_observed(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM, 6, (struct lab_group){.rate = 1.6}); // R 4.8 -> 6
    lab_run(&l, 400);
    assert_int_equal(l.r.desired, 6);
    struct lab_group lost[LAB_GROUPS] = {{.count = 6, .state = POD_READY, .lost = true}};
    lab_pods(&l, lost);
    lab_run(&l, 400);
    assert_int_equal(l.r.state, DECISION_UNAVAILABLE);
    assert_int_equal(l.r.desired, 6);
    struct lab_group quiet[LAB_GROUPS] = {{.count = 6, .state = POD_READY, .rate = 0.1}};
    lab_pods(&l, quiet);
    lab_run(&l, 290);
    assert_int_equal(l.r.state, DECISION_OK);
    assert_int_equal(l.r.desired, 6); // a window without a want is no quiet window
    lab_run(&l, 60);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
}

static void a_guard_of_which_nothing_is_known_withholds_lowering(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";queue=10", 6, (struct lab_group){.rate = 0.2});
    // One of six hangs: it may hold any queue, and one replica's capacity.
    struct lab_group groups[LAB_GROUPS] = {{.count = 5, .state = POD_READY, .rate = 0.2},
                                           {.count = 1, .state = POD_READY, .lost = true}};
    lab_pods(&l, groups);
    lab_run(&l, 500);
    assert_int_equal(l.r.desired, 6);
    assert_int_equal(l.r.reason, REASON_GUARD_UNKNOWN);
    assert_non_null(strstr(lab_sentence(&l.r),
                           "lowering is withheld while it is unknown whether breached: queue"));
    lab_close(&l);
}

static void the_gauge_that_confirms_and_the_one_that_does_not_size(void **state) {
    (void)state;
    struct lab l;
    // Continuous batching: the queue is a guard, the GPU (busy, of course) confirms it.
    lab_steady(&l, LLM ";queue=10;gpuUtilization=60", 2,
               (struct lab_group){.rate = 0.5, .queue = 20, .gpu_pct = 99});
    lab_run(&l, 1);
    assert_int_equal(l.r.desired, 4);
    assert_int_equal(l.r.when, TRI_TRUE);
    lab_close(&l);
    // Named without a queue it does nothing, and that is told.
    lab_steady(&l, LLM ";gpuUtilization=60", 2, (struct lab_group){.rate = 1.2, .gpu_pct = 99});
    lab_run(&l, 119);
    assert_int_equal(l.r.desired, 2);
    assert_false(l.r.notices & NOTICE_SATURATING);
    lab_run(&l, 2);
    assert_true(l.r.notices & NOTICE_SATURATING);
    assert_non_null(strstr(lab_sentence(&l.r), "it saturates from the first request on: "
                                               "gpuUtilization 198% at 60% each"));
    lab_close(&l);
}

// Ten pods, each at 0 or at 100 by the second, 40 % of the time: 400 / 55 = 7.3. Single seconds
// reach 800, and the largest of a window of them would make 15.
static void gpu_activity_sizes_by_its_mean(void **state) {
    (void)state;
    struct random rng;
    struct lab l;
    int32_t highest = 0;
    random_init(&rng, unit_seed());
    lab_steady(&l, "gpuUtilization=55", 10, (struct lab_group){.gpu_pct = 40});
    for (int s = 0; s < 1200; s++) {
        struct lab_group groups[LAB_GROUPS] = {{.state = POD_READY, .gpu_pct = 100},
                                               {.state = POD_READY, .gpu_pct = 0}};
        for (int i = 0; i < 10; i++)
            groups[random_below(&rng, 5) < 2 ? 0 : 1].count++;
        lab_pods(&l, groups);
        lab_run(&l, 1);
        highest = l.r.desired > highest && s > 400 ? l.r.desired : highest;
    }
    printf("# decided at most %d\n", highest);
    assert_true(highest >= 8 && highest <= 10);
    lab_close(&l);
}

static void tokens_and_running_requests_size_too(void **state) {
    (void)state;
    struct lab l;
    // 200 tokens a request: 4 x 1.5 x 200 = 1200/s; / 250 = 4.8 > 4.2 -> 5.
    lab_steady(&l, "engine=vllm;tokenRate=250", 4, (struct lab_group){.rate = 1.5});
    lab_run(&l, 1);
    assert_int_equal(l.r.desired, 5);
    lab_close(&l);
    // 45.2 running where 34.6 is capacity: 1.1 of the load a pod, 8.8 in all, > 8.4 -> 9. The
    // plain quotient would say 11.
    lab_steady(&l, "engine=vllm;running=34.6", 8, (struct lab_group){.rate = 1, .running = 45.2});
    lab_run(&l, 1);
    assert_int_equal(l.r.desired, 9);
    lab_close(&l);
    // Full engines run no more: what waits counts, 34.6 + 20 a pod is 1.154 of the load, 9.2 -> 10.
    lab_steady(&l, "engine=vllm;running=34.6", 8,
               (struct lab_group){.rate = 1, .running = 34.6, .queue = 20});
    lab_run(&l, 1);
    assert_int_equal(l.r.desired, 10);
    lab_close(&l);
    // A silent pod holds its capacity at most, whatever of it waits.
    lab_steady(&l, "engine=vllm;running=34.6", 8,
               (struct lab_group){.rate = 1, .running = 20, .queue = 0});
    l.pods[0].as.lost = true;
    lab_run(&l, 100); // maxAge and a whole window of means
    assert_true(fabs(l.r.signals[0].upper - (7 * 20 + 34.6)) < 2);
    lab_close(&l);
}

static void sleeping_engines_are_told(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM, 3, (struct lab_group){.rate = 1});
    lab_tick(&l);
    assert_int_equal(l.r.asleep, 0);
    struct engine_sample s = {0};
    SAMPLE_SET(&s, ENGINE_AWAKE, 0);
    assert_true(signal_workload_engine(l.w, STR("pod-1"), &s, l.now_ns + 1));
    lab_tick(&l);
    assert_int_equal(l.r.asleep, 1);
    assert_true(l.r.notices & NOTICE_ASLEEP);
    assert_non_null(strstr(lab_sentence(&l.r), " 1 of 3 ready pods sleeps:"));
    lab_run(&l, 31); // too old to be known
    assert_int_equal(l.r.asleep, 0);
    assert_false(l.r.notices & NOTICE_ASLEEP);
    lab_close(&l);
}

static void what_surrounds_a_workload_is_told(void **state) {
    (void)state;
    struct lab l;
    struct record r;
    lab_steady(&l, LLM, 3, (struct lab_group){.rate = 1});
    struct record_scene scene = {.paused = true,
                                 .unschedulable = 3,
                                 .unschedulable_ns = 119 * NS_PER_S,
                                 .unschedulable_why = "0/2 nodes are available",
                                 .rival = "other",
                                 .hpa = "theirs",
                                 .hpa_desired = 7};
    struct decide_input in = {
        .now_ns = l.now_ns + NS_PER_S, .spec = 3, .status = 3, .scene = &scene};
    decider_tick(l.d, l.w, &in, &r);
    assert_false(r.notices & NOTICE_UNSCHEDULABLE); // places are found within two minutes
    assert_true(r.notices & NOTICE_RIVAL && r.notices & NOTICE_SECOND_HPA);
    assert_non_null(strstr(lab_sentence(&r), " ScaledObject other scales the same workload:"));
    assert_non_null(strstr(lab_sentence(&r), " HPA theirs scales the same workload (it wants 7):"));
    assert_non_null(strstr(lab_sentence(&r), " is paused: KEDA does not scale by this."));
    scene.unschedulable_ns = 372 * NS_PER_S;
    in.now_ns += NS_PER_S;
    decider_tick(l.d, l.w, &in, &r);
    assert_non_null(strstr(lab_sentence(&r), " 3 pods have found no place for 372 s: 0/2 nodes are "
                                             "available."));
    scene.unseen_ns = 40 * NS_PER_S;
    scene.unasked_ns = 200 * NS_PER_S;
    (void)snprintf(scene.address, sizeof(scene.address), "elsewhere:9443");
    in.now_ns += NS_PER_S;
    decider_tick(l.d, l.w, &in, &r);
    assert_true(r.notices & NOTICE_UNSEEN && r.notices & NOTICE_UNASKED);
    assert_non_null(strstr(lab_sentence(&r), " Pods and workloads are not followed for 40 s "));
    assert_non_null(strstr(lab_sentence(&r), " KEDA has not asked for this for 200 s, so nothing "
                                             "scales by it: does its scalerAddress elsewhere:9443 "
                                             "lead here"));
    scene.unseen_ns = INT64_MAX; // there are more of them than are kept
    in.now_ns += NS_PER_S;
    decider_tick(l.d, l.w, &in, &r);
    assert_non_null(strstr(lab_sentence(&r), " Pods and workloads are not followed (/readyz "));
    in.scene = NULL;
    in.now_ns += NS_PER_S;
    decider_tick(l.d, l.w, &in, &r);
    assert_false(r.notices & (NOTICE_UNSCHEDULABLE | NOTICE_RIVAL | NOTICE_PAUSED | NOTICE_UNSEEN |
                              NOTICE_UNASKED));
    lab_close(&l);
}

static void while_no_pod_is_ready_only_loads_count(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, CLASSIC ";demand=gw");
    struct lab_group starting[LAB_GROUPS] = {{.count = 1, .state = POD_STARTING}};
    l.spec = l.status = 1;
    l.demand = (struct lab_demand){.provides = 1u << DEMAND_WAITING, .waiting = 35};
    lab_pods(&l, starting);
    lab_run(&l, 200);
    // queue 35 / 10 = 3.5 > 1.05, the GPU term is read as if it were not written.
    assert_int_equal(l.r.when, TRI_TRUE);
    assert_int_equal(l.r.desired, 4);
    assert_true(l.r.active);
    l.demand.waiting = 0;
    lab_run(&l, 100);
    assert_int_equal(l.r.desired, 4); // no failure, no lowering: nothing is there to be measured
    assert_int_equal(l.r.reason, REASON_NO_POD_READY);
    assert_int_equal(l.r.state, DECISION_OK);
    lab_close(&l);
}

static void a_demand_source_that_counts_no_requests_only_wakes(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LLM ";demand=gw");
    struct lab_group none[LAB_GROUPS] = {{0}};
    l.demand = (struct lab_demand){.provides = 1u << DEMAND_WAITING, .waiting = 1};
    lab_pods(&l, none);
    lab_run(&l, 5);
    assert_true(l.r.active);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
    // Then the engines' arrivals size, up and down.
    lab_steady(&l, LLM ";demand=gw", 4, (struct lab_group){.rate = 0.2});
    l.demand = (struct lab_demand){.provides = 1u << DEMAND_WAITING};
    lab_run(&l, 310);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
}

static void burst_memory_keeps_the_highest_half_minute(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";burstMemory=1h;downWindow=60s", 4, (struct lab_group){.rate = 1.5});
    lab_run(&l, 120); // R 3 -> 4
    assert_int_equal(l.r.desired, 4);
    struct lab_group quiet[LAB_GROUPS] = {{.count = 4, .state = POD_READY, .rate = 0.1}};
    lab_pods(&l, quiet);
    lab_run(&l, 3000);
    assert_int_equal(l.r.desired, 4);
    assert_int_equal(l.r.reason, REASON_BURST);
    lab_run(&l, 800);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
}

static void activity_is_false_only_when_all_is_known_and_idle(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM, 1, (struct lab_group){0});
    lab_run(&l, 1);
    assert_false(l.r.active);
    assert_int_equal(l.r.activity, INACTIVE_IDLE);
    struct lab_group lost[LAB_GROUPS] = {{.count = 1, .state = POD_READY, .lost = true}};
    lab_pods(&l, lost);
    lab_run(&l, 40);
    assert_int_equal(l.r.activity, ACTIVE_UNKNOWN);
    assert_true(l.r.active);
    lab_close(&l);
    // One of two silent is enough not to know.
    lab_open(&l, LLM);
    struct lab_group two[LAB_GROUPS] = {{.count = 1, .state = POD_READY},
                                        {.count = 1, .state = POD_READY, .never = true}};
    l.spec = l.status = 2;
    lab_pods(&l, two);
    lab_run(&l, 100);
    assert_int_equal(l.r.activity, ACTIVE_UNKNOWN);
    lab_close(&l);
    // Below `activation` is idle.
    lab_steady(&l, LLM ";activation=5", 1, (struct lab_group){.running = 5, .rate = 0.1});
    lab_run(&l, 1);
    assert_int_equal(l.r.activity, INACTIVE_IDLE);
    lab_close(&l);
}

struct hpa {
    double tolerance;
    int32_t surge_left; // syncs of a rollout during which one pod more exists
};

// GetExternalPerPodMetricReplicas with target 1 and AverageValue, KEDA's thousandths.
static int32_t hpa_sync(const struct hpa *h, double publish, int32_t status) {
    double usage = round(publish * 1000);
    double ratio = usage / (1000.0 * status);
    if (1 - h->tolerance <= ratio && ratio <= 1 + h->tolerance)
        return status;
    return (int32_t)ceil(usage / 1000);
}

// A rollout under maxSurge 1, at n replicas with the default tolerance: spec never climbs away.
static void a_rollout_does_not_ratchet(void **state) {
    (void)state;
    for (int n = 2; n <= 60; n++) {
        for (int exact = 0; exact <= 1; exact++) {
            struct lab l;
            char metadata[64];
            struct hpa h = {.tolerance = exact ? 0 : 0.1};
            snprintf(metadata, sizeof(metadata), LLM ";safety=0;rateWindow=10s");
            lab_open(&l, metadata);
            struct lab_group groups[LAB_GROUPS] = {{.count = n, .state = POD_READY, .rate = 1.98}};
            l.spec = l.status = n;
            lab_pods(&l, groups);
            lab_warm(&l, 20);
            int32_t highest = n;
            for (int sync = 0; sync < 20; sync++) { // ten syncs of rollout, ten after
                l.status = l.spec + (sync < 10);
                lab_run(&l, 15);
                assert_int_equal(l.r.desired, n);
                l.spec = hpa_sync(&h, l.r.publish, l.status);
                highest = l.spec > highest ? l.spec : highest;
            }
            // From 20 pods on (n and the surge pod) the tolerance can swallow a tenth, never more.
            bool small = n + 1 < 20;
            assert_true(highest <= (small || exact ? n : n + n / 10 + 1));
            if (small || exact)
                assert_int_equal(l.spec, n);
            lab_close(&l);
        }
    }
}

static void random_groups(struct random *rng, int n, int cut, struct lab_group groups[LAB_GROUPS]) {
    memset(groups, 0, sizeof(*groups) * LAB_GROUPS);
    for (int g = 0; g < 2; g++)
        groups[g] = (struct lab_group){.count = g ? n - cut : cut,
                                       .state = POD_READY,
                                       .rate = random_unit(rng) * 4,
                                       .queue = (double)random_below(rng, 20),
                                       .running = (double)random_below(rng, 9),
                                       .kv = random_unit(rng),
                                       .gpu_pct = random_unit(rng) * 100};
}

/*
 * Taking data away. Two deciders live through the same random load with the same data; then one of
 * them loses the pages and readings of some pods, for good. From the time on when they are too old
 * its decision is never below both the one that stood then and everything the other one decides.
 */
static void vanished_data_never_lower(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    static const char *const rules[] = {LLM,
                                        LLM ";queue=5",
                                        LLM ";queue=5;kvCache=0.8",
                                        CLASSIC,
                                        "engine=custom;gpuUtilization=60",
                                        LLM ";queue=5;gpuUtilization=60;downWindow=30s"};
    int lower = 0;
    for (int round = 0; round < 300; round++) {
        struct lab full, less;
        struct lab_group groups[LAB_GROUPS];
        const char *rule = rules[round % 6];
        int n = 1 + (int)random_below(&rng, 8), cut = (int)random_below(&rng, (uint64_t)n + 1);
        int lost_from = (int)random_below(&rng, 8);
        int lost_group = (int)random_below(&rng, 3); // 2: both
        int32_t least = INT32_MAX;
        int lost_s = 0;
        lab_open(&full, rule);
        lab_open(&less, rule);
        for (int step = 0; step < 14; step++) {
            random_groups(&rng, n, cut, groups);
            full.spec = less.spec = full.status = less.status = n;
            lab_pods(&full, groups);
            for (int g = 0; g < 2; g++)
                groups[g].lost = step >= lost_from && (lost_group == 2 || lost_group == g);
            lab_pods(&less, groups);
            for (int s = 5 + (int)random_below(&rng, 80); s > 0; s--) {
                lab_run(&full, 1);
                lab_run(&less, 1);
                lost_s += step >= lost_from;
                if (lost_s <= 31) // the last readings are taken as long as they are fresh
                    least = less.r.desired;
                least = full.r.desired < least ? full.r.desired : least;
                lower += less.r.desired < full.r.desired;
                if (less.r.desired < least)
                    fail_msg("%s, round %d: %d below %d: %s\nwith all data: %d (%s)", rule, round,
                             less.r.desired, least, lab_sentence(&less.r), full.r.desired,
                             decision_reason_name(full.r.reason));
            }
        }
        lab_close(&full);
        lab_close(&less);
    }
    printf("# ticks with less data that missed a raise: %d\n", lower);
}

// Nothing known, whatever was decided before: at zero it stays at zero and is not woken.
static void unknown_never_scales_from_zero(void **state) {
    (void)state;
    static const char *const rules[] = {LLM, LLM ";demand=gw", CLASSIC,
                                        LLM ";burstMemory=1h;demand=gw"};
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct lab l;
        lab_steady(&l, rules[i], 5, (struct lab_group){.rate = 3, .queue = 30, .gpu_pct = 99});
        l.demand = (struct lab_demand){.provides = 7, .rate = 20, .waiting = 9, .inflight = 9};
        lab_run(&l, 60);
        struct lab_group none[LAB_GROUPS] = {{0}};
        l.spec = l.status = 0;
        l.demand.lost = true;
        lab_pods(&l, none);
        lab_run(&l, 31); // what was known of the demand ages
        for (int s = 0; s < 500; s++) {
            lab_run(&l, 1);
            assert_int_equal(l.r.desired, 0);
            assert_false(l.r.active);
            assert_int_equal(l.r.state, DECISION_OK);
            assert_true(l.r.publish == 0);
        }
        lab_close(&l);
    }
}

// At zero nothing holds what the service was: a demand source that is lost and returns idle raises
// nothing, and the next request is sized by what comes, not by what the window remembers.
static void a_window_raises_nothing_from_zero(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";demand=gw;downWindow=1h", 5, (struct lab_group){.rate = 3});
    l.demand = (struct lab_demand){.provides = 7, .rate = 15, .inflight = 1};
    lab_run(&l, 60);
    assert_true(l.r.desired > 5);
    struct lab_group none[LAB_GROUPS] = {{0}};
    l.demand.rate = l.demand.inflight = 0;
    l.spec = l.status = 0; // somebody, or KEDA after its cooldown
    lab_pods(&l, none);
    lab_run(&l, 70); // the last arrivals leave the rate window
    for (int s = 0; s < 200; s++) {
        l.demand.lost = s > 50 && s < 120;
        lab_run(&l, 1);
        assert_int_equal(l.r.desired, 0);
        assert_false(l.r.active);
    }
    l.demand.rate = 1;
    lab_run(&l, 60);
    assert_true(l.r.active);
    assert_int_equal(l.r.desired, 1);
    lab_close(&l);
}

static void every_allocation_of_a_decider_may_fail(void **state) {
    (void)state;
    struct trigger *t = NULL;
    struct decider *d = NULL;
    struct err e = {0};
    assert_int_equal(lab_bind(&t, LLM ";burstMemory=1h", &e), 0);
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        mem_fail_from(n);
        r = decider_new(&d, t);
        mem_fail_never();
        assert_true((r == 0) == (d != NULL));
    }
    assert_int_equal(r, 0);
    decider_free(d);
    trigger_free(t);
}

static void a_tick_allocates_nothing(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";queue=5;gpuUtilization=60;demand=gw;burstMemory=1h", 6,
               (struct lab_group){.rate = 1, .queue = 2, .running = 3, .gpu_pct = 50});
    lab_run(&l, 2);
    mem_fail_from(1);
    lab_run(&l, 1000);
    long n = mem_fail_count();
    mem_fail_never();
    assert_int_equal(n, 0);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staffing_and_rounding),
        cmocka_unit_test(running_is_linear_in_the_load),
        cmocka_unit_test(published_is_what_leaves_the_tolerance),
        cmocka_unit_test(the_first_decision_holds_spec),
        cmocka_unit_test(a_decision_taken_over_is_held),
        cmocka_unit_test(a_decider_goes_on_elsewhere_as_it_would_have_here),
        cmocka_unit_test(what_remembers_nothing_restores_nothing),
        cmocka_unit_test(by_pods_of_yesterday_nothing_is_lowered_and_nothing_is_idle),
        cmocka_unit_test(who_forgets_begins_from_what_there_is),
        cmocka_unit_test(who_has_not_followed_long_enough_raises_and_does_not_lower),
        cmocka_unit_test(observing_tells_the_last_count_that_was_known),
        cmocka_unit_test(after_a_blindness_a_whole_window_is_observed),
        cmocka_unit_test(a_guard_of_which_nothing_is_known_withholds_lowering),
        cmocka_unit_test(the_gauge_that_confirms_and_the_one_that_does_not_size),
        cmocka_unit_test(gpu_activity_sizes_by_its_mean),
        cmocka_unit_test(tokens_and_running_requests_size_too),
        cmocka_unit_test(sleeping_engines_are_told),
        cmocka_unit_test(what_surrounds_a_workload_is_told),
        cmocka_unit_test(while_no_pod_is_ready_only_loads_count),
        cmocka_unit_test(a_demand_source_that_counts_no_requests_only_wakes),
        cmocka_unit_test(burst_memory_keeps_the_highest_half_minute),
        cmocka_unit_test(activity_is_false_only_when_all_is_known_and_idle),
        cmocka_unit_test(a_rollout_does_not_ratchet),
        cmocka_unit_test(vanished_data_never_lower),
        cmocka_unit_test(unknown_never_scales_from_zero),
        cmocka_unit_test(a_window_raises_nothing_from_zero),
        cmocka_unit_test(every_allocation_of_a_decider_may_fail),
        cmocka_unit_test(a_tick_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
