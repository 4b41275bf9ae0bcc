// SPDX-License-Identifier: Apache-2.0
/* Joining, judging, pricing, and (top_rows.c) sorting and filtering. */
#include "unit.h"

#include "top_lab.h"

static const struct price_list h100 = {.items = {{"H100", 7}}, .n = 1};
static const struct price_list none;

static void finish(struct top_snapshot *s, const struct top_snapshot *before, double passed_s,
                   const struct price_list *prices) {
    assert_int_equal(top_snapshot_finish(s, before, passed_s, prices), 0);
}

static void each_gpu_is_judged_by_what_is_known_of_it(void **state) {
    static const enum top_state wanted[] = {TOP_BUSY,    TOP_IDLE, TOP_FREE,
                                            TOP_UNKNOWN, TOP_LOST, TOP_STALE};
    struct top_snapshot s;
    lab_fill(&s);
    finish(&s, NULL, 0, &h100);
    assert_int_equal(s.gpus.n, 6);
    for (size_t i = 0; i < s.gpus.n; i++)
        if (s.gpus.items[i].state != wanted[i])
            fail_msg("%s is %s", s.gpus.items[i].uuid, top_state_name(s.gpus.items[i].state));
    struct top_sum t = top_sum(&s);
    assert_int_equal(t.busy, 1);
    assert_int_equal(t.idle, 1);
    assert_int_equal(t.free, 1);
    assert_int_equal(t.dark, 3);
    assert_int_equal(t.held, 3);
    assert_int_equal(t.holder_unknown, 2);
    assert_true(t.usd_per_hour == 42 && t.idle_usd_per_hour == 14);
    top_snapshot_done(&s);
}

static void a_workload_gets_its_gpus_and_its_part_of_a_shared_ones_price(void **state) {
    struct top_snapshot s;
    lab_fill(&s);
    finish(&s, NULL, 0, &h100);
    const struct top_workload *w = &s.workloads.items[0];
    assert_int_equal(w->gpus, 3);
    assert_int_equal(w->idle_gpus, 1);
    assert_true(w->usd_per_hour == 7 + 7 + 3.5 && w->idle_usd_per_hour == 7);
    assert_true(w->spec == 3 && w->ready == 2 && w->starting == 1 && w->desired == 4);
    assert_true(w->rate.value == 7.25 && !w->rate.partial);
    assert_true(w->running.value == 12 && w->running.partial);
    assert_true(isnan(w->queue.value)); // known of no pod: not zero
    assert_true(w->kv_pct == 40);
    assert_true(s.holders_partial);
    assert_int_equal(s.workloads.items[1].spec, -1);
    assert_string_equal(s.workloads.items[2].error, "no workload");
    top_snapshot_done(&s);
}

#define OWNER_PART(pod, upper)                                                                     \
    "{\"namespace\":\"ml\",\"pod\":\"" pod "\",\"container\":\"c\",\"partUtilizationPct\":0,"      \
    "\"partUtilizationUpperPct\":" upper "}"

// A busy GPU whose price two pods share: the part of the one that does nothing is for nothing.
static void a_pods_part_of_a_busy_gpu_is_idle_where_its_processes_are(void **state) {
    static const struct {
        const char *owners;
        unsigned idle_gpus;
        double idle_usd;
    } cases[] = {
        {OWNER_PART("rank-0", "0.4") "," OWNER_PART("chat-0", "70"), 1, 3.5},
        {OWNER_PART("rank-0", "30") "," OWNER_PART("chat-0", "70"), 0, 0},
        {LAB_OWNER("rank-0") "," LAB_OWNER("chat-0"), 0, 0}, // not known: not idle
        {OWNER_PART("rank-0", "0") "," OWNER_PART("rank-1", "70"), 0, 3.5},
        {OWNER_PART("rank-0", "0") "," OWNER_PART("rank-1", "0"), 1, 7},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct top_snapshot s;
        char gpus[2048];
        top_snapshot_init(&s);
        snprintf(gpus, sizeof(gpus), LAB_GPU("GPU-a", "n1", "0", "%s", "\"utilization_pct\":70"),
                 cases[i].owners);
        lab_take(&s, TOP_LIST_GPUS, gpus);
        lab_take(&s, TOP_LIST_WORKLOADS,
                 "{\"namespace\":\"ml\",\"target\":\"deployment/rank\",\"replicas\":2,\"pods\":["
                 "{\"name\":\"rank-0\",\"state\":\"ready\"},{\"name\":\"rank-1\",\"state\":"
                 "\"ready\"}]}");
        finish(&s, NULL, 0, &h100);
        const struct top_workload *w = &s.workloads.items[0];
        if (w->gpus != 1 || w->idle_gpus != cases[i].idle_gpus ||
            w->idle_usd_per_hour != cases[i].idle_usd)
            fail_msg("case %zu: %u GPUs, %u idle, $%g", i, w->gpus, w->idle_gpus,
                     w->idle_usd_per_hour);
        assert_true(top_sum(&s).busy == 1 && top_sum(&s).idle_usd_per_hour == 0);
        top_snapshot_done(&s);
    }
}

// Two containers of rank-0 and one pod of another workload: half the price each, not two thirds.
static void a_pod_pays_once_for_all_its_containers_and_for_no_pod_that_is_not_shown(void **state) {
    static const char *const owners[] = {
        LAB_OWNER("rank-0") "," LAB_OWNER("rank-0") "," LAB_OWNER("chat-0"),
        LAB_OWNER("rank-0") "," LAB_OWNER("rank-0"), // chat-0 is in a namespace of others
    };
    for (size_t i = 0; i < COUNT_OF(owners); i++) {
        struct top_snapshot s;
        char gpus[2048];
        top_snapshot_init(&s);
        snprintf(gpus, sizeof(gpus),
                 "{\"uuid\":\"GPU-a\",\"model\":\"NVIDIA H100 80GB HBM3\",\"ownersKnown\":true,"
                 "\"pods\":2,\"owners\":[%s],\"values\":{\"utilization_pct\":70},"
                 "\"ageSeconds\":0.5}",
                 owners[i]);
        lab_take(&s, TOP_LIST_GPUS, gpus);
        lab_take(&s, TOP_LIST_WORKLOADS,
                 "{\"namespace\":\"ml\",\"target\":\"deployment/rank\",\"replicas\":1,\"pods\":["
                 "{\"name\":\"rank-0\",\"state\":\"ready\"}]}");
        finish(&s, NULL, 0, &h100);
        assert_int_equal(s.gpus.items[0].owners_n, 2 - i);
        assert_int_equal(s.gpus.items[0].pods, 2);
        assert_int_equal(s.workloads.items[0].gpus, 1);
        assert_true(s.workloads.items[0].usd_per_hour == 3.5);
        top_snapshot_done(&s);
    }
}

static void without_a_price_costs_are_unknown_and_idle_gpus_idle(void **state) {
    struct top_snapshot s;
    lab_fill(&s);
    finish(&s, NULL, 0, &none);
    struct top_sum t = top_sum(&s);
    assert_int_equal(t.idle_unpriced, 2);
    assert_true(isnan(s.gpus.items[1].usd_per_hour));
    assert_true(isnan(s.workloads.items[0].usd_per_hour));
    top_snapshot_done(&s);
}

static void idle_time_grows_from_one_snapshot_to_the_next_and_ends_with_work(void **state) {
    struct top_snapshot a, b, c;
    lab_fill(&a);
    finish(&a, NULL, 0, &none);
    assert_true(a.gpus.items[1].idle_s == 0);
    lab_fill(&b);
    finish(&b, &a, 1.5, &none);
    assert_true(b.gpus.items[1].idle_s == 1.5 && b.gpus.items[2].idle_s == 1.5);
    assert_true(isnan(b.gpus.items[0].idle_s) && isnan(b.gpus.items[5].idle_s));
    b.gpus.items[1].state = TOP_BUSY; // it worked in between
    lab_fill(&c);
    finish(&c, &b, 1, &none);
    assert_true(c.gpus.items[1].idle_s == 0 && c.gpus.items[2].idle_s == 2.5);
    top_snapshot_done(&a);
    top_snapshot_done(&b);
    top_snapshot_done(&c);
}

static void engines_that_run_nothing_tell_of_a_gpu_whose_activity_is_not_measurable(void **state) {
    static const struct {
        const char *running, *queue;
        enum top_state wanted;
    } cases[] = {
        {"{\"pods\":1,\"known\":1,\"lower\":0}", "{\"pods\":1,\"known\":1,\"lower\":0}", TOP_IDLE},
        {"{\"pods\":1,\"known\":1,\"lower\":1}", "{\"pods\":1,\"known\":1,\"lower\":0}",
         TOP_UNKNOWN},
        {"{\"pods\":2,\"known\":1,\"lower\":0}", "{\"pods\":2,\"known\":2,\"lower\":0}",
         TOP_UNKNOWN},
        {"{\"pods\":1,\"known\":1,\"lower\":0}", "{\"pods\":1,\"known\":0}", TOP_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct top_snapshot s;
        char objects[512];
        top_snapshot_init(&s);
        lab_take(&s, TOP_LIST_GPUS, LAB_GPU("GPU-a", "n", "0", LAB_OWNER("p"), "\"power_w\":70"));
        lab_take(&s, TOP_LIST_WORKLOADS,
                 "{\"namespace\":\"ml\",\"target\":\"deployment/x\",\"pods\":[{\"name\":\"p\","
                 "\"state\":\"ready\"}]}");
        snprintf(objects, sizeof(objects),
                 "{\"namespace\":\"ml\",\"name\":\"x\",\"workload\":\"deployment/x\",\"signals\":"
                 "{\"running\":%s,\"queue\":%s}}",
                 cases[i].running, cases[i].queue);
        lab_take(&s, TOP_LIST_OBJECTS, objects);
        finish(&s, NULL, 0, &none);
        if (s.gpus.items[0].state != cases[i].wanted)
            fail_msg("case %zu: %s", i, top_state_name(s.gpus.items[0].state));
        top_snapshot_done(&s);
    }
}

static void a_gpu_that_is_told_twice_counts_once(void **state) {
    struct top_snapshot s;
    top_snapshot_init(&s);
    lab_take(&s, TOP_LIST_GPUS,
             LAB_GPU("GPU-a", "n", "0", "", "") "," LAB_GPU("GPU-b", "n", "1", "", ""));
    lab_take(&s, TOP_LIST_GPUS, LAB_GPU("GPU-a", "n", "0", "", ""));
    finish(&s, NULL, 0, &none);
    assert_int_equal(s.gpus.n, 2);
    top_snapshot_done(&s);
}

static void rows_are(const struct top_snapshot *s, struct top_choice c, const char *wanted) {
    uint32_t rows[16];
    char got[64] = "";
    size_t n = top_choose(s, &c, rows);
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(got);
        got[at] = s->gpus.items[rows[i]].uuid[4];
        got[at + 1] = '\0';
    }
    if (strcmp(got, wanted) != 0)
        fail_msg("by %s%s \"%s\": %s, not %s", top_sort_name(c.view, c.sort),
                 c.reverse ? " reversed" : "", c.filter, got, wanted);
}

static void unknown_comes_last_in_either_direction(void **state) {
    struct top_snapshot s;
    lab_fill(&s);
    finish(&s, NULL, 0, &h100);
    rows_are(&s, (struct top_choice){.sort = TOP_BY_NODE, .filter = ""}, "abcdef");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_NODE, .reverse = true, .filter = ""}, "fedcba");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_UTIL, .filter = ""}, "abcfde");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_UTIL, .reverse = true, .filter = ""}, "bcfade");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_STATE, .filter = ""}, "bcefda");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_IDLE, .filter = ""}, "bcadef");
    rows_are(&s, (struct top_choice){.sort = TOP_BY_POD, .filter = ""}, "adbcef");
    top_snapshot_done(&s);
}

static void the_filter_looks_at_names_without_case(void **state) {
    struct top_snapshot s;
    lab_fill(&s);
    finish(&s, NULL, 0, &h100);
    rows_are(&s, (struct top_choice){.filter = "N2"}, "def");
    rows_are(&s, (struct top_choice){.filter = "other"}, "d");
    rows_are(&s, (struct top_choice){.filter = "ML"}, "abd");
    rows_are(&s, (struct top_choice){.filter = "free"}, "c");
    rows_are(&s, (struct top_choice){.filter = "hbm3"}, "abcdef");
    rows_are(&s, (struct top_choice){.filter = "nothing such"}, "");
    top_snapshot_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gpu_is_judged_by_what_is_known_of_it),
        cmocka_unit_test(a_workload_gets_its_gpus_and_its_part_of_a_shared_ones_price),
        cmocka_unit_test(a_pods_part_of_a_busy_gpu_is_idle_where_its_processes_are),
        cmocka_unit_test(a_pod_pays_once_for_all_its_containers_and_for_no_pod_that_is_not_shown),
        cmocka_unit_test(without_a_price_costs_are_unknown_and_idle_gpus_idle),
        cmocka_unit_test(idle_time_grows_from_one_snapshot_to_the_next_and_ends_with_work),
        cmocka_unit_test(engines_that_run_nothing_tell_of_a_gpu_whose_activity_is_not_measurable),
        cmocka_unit_test(a_gpu_that_is_told_twice_counts_once),
        cmocka_unit_test(unknown_comes_last_in_either_direction),
        cmocka_unit_test(the_filter_looks_at_names_without_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
