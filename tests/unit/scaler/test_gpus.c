// SPDX-License-Identifier: Apache-2.0
/* A GPU that an agent and an exporter tell is in the join once, by the source whose word counts. */
#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "scaler/gpus.h"

#define S(n) ((n)*NS_PER_S)

struct world {
    struct gpus gpus;
    struct signal_pod_gpus *pod;
    void *agent, *exporter;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(signal_join_new(&w->gpus.join), 0);
    assert_int_equal(signal_join_pod_get(w->gpus.join, STR("ns"), STR("p"), &w->pod), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    gpus_removed(&w->gpus, w->agent);
    gpus_removed(&w->gpus, w->exporter);
    assert_null(w->gpus.by_key);
    assert_int_equal(w->gpus.counted[GPU_OF_AGENT] + w->gpus.counted[GPU_OF_EXPORTER], 0);
    signal_join_pod_release(w->gpus.join, w->pod);
    signal_join_free(w->gpus.join);
    free(w);
    return 0;
}

// Tells GPU-1, held by ns/p unless `known` is false, with a utilization. Returns whether it counts.
static bool tell(struct world *w, enum gpu_source source, double busy, bool known, int64_t at_ns,
                 int64_t now_ns) {
    static const struct agents_owner owner = {"ns", "p", "c", ""};
    struct gpu_reading reading = {0};
    gpu_reading_set(&reading, GPU_UTILIZATION_PCT, busy);
    struct agents_gpu g = {.node = "n",
                           .uuid = "GPU-1",
                           .parent_uuid = "",
                           .owners_known = known,
                           .owners = &owner,
                           .n_owners = known,
                           .reading = &reading,
                           .reading_at_ns = at_ns};
    bool counts;
    void **user = source == GPU_OF_AGENT ? &w->agent : &w->exporter;
    assert_int_equal(gpus_told(&w->gpus, source, &g, AGENTS_OWNERS, now_ns, user, &counts), 0);
    assert_int_equal(gpus_counts(*user), counts);
    return counts;
}

static double level(struct world *w, int64_t now_ns) {
    struct signal_level l;
    signal_join_pod_level(w->pod, SIGNAL_GPU_UTILIZATION, now_ns, S(60), &l);
    assert_true(l.gpus <= 1); // never twice
    return l.known ? l.sum : -1;
}

static void the_fresh_agent_counts_whoever_comes_first(void **state) {
    struct world *w = *state;
    assert_true(tell(w, GPU_OF_EXPORTER, 90, true, S(99), S(100)));
    assert_true(level(w, S(100)) == 90);
    assert_true(tell(w, GPU_OF_AGENT, 10, true, S(101), S(101)));
    assert_true(level(w, S(101)) == 10);
    assert_false(tell(w, GPU_OF_EXPORTER, 90, true, S(102), S(102)));
    assert_true(level(w, S(102)) == 10);
    assert_int_equal(w->gpus.counted[GPU_OF_AGENT], 1);
    assert_int_equal(w->gpus.changes, 1);
}

static void a_silent_agent_is_replaced_and_takes_back(void **state) {
    struct world *w = *state;
    tell(w, GPU_OF_AGENT, 10, true, S(100), S(100));
    assert_false(tell(w, GPU_OF_EXPORTER, 90, true, S(115), S(115)));
    assert_true(tell(w, GPU_OF_EXPORTER, 90, true, S(116), S(116)));
    assert_true(level(w, S(116)) == 90);
    // Still there, still old: a driver that hangs.
    assert_false(tell(w, GPU_OF_AGENT, 10, true, S(100), S(117)));
    assert_true(level(w, S(117)) == 90);
    assert_true(tell(w, GPU_OF_AGENT, 20, true, S(118), S(118)));
    assert_true(level(w, S(118)) == 20);
    assert_int_equal(w->gpus.changes, 2);
}

static void an_agent_that_cannot_tell_the_holder_leaves_it_to_one_that_can(void **state) {
    struct world *w = *state;
    assert_true(tell(w, GPU_OF_AGENT, 10, false, S(100), S(100)));
    assert_true(level(w, S(100)) == -1);
    assert_true(tell(w, GPU_OF_EXPORTER, 90, true, S(101), S(101)));
    assert_true(level(w, S(101)) == 90);
    assert_false(tell(w, GPU_OF_AGENT, 10, false, S(102), S(102)));
    assert_true(tell(w, GPU_OF_AGENT, 10, true, S(103), S(103))); // it learned the pods
    assert_true(level(w, S(103)) == 10);
    // Neither knows: the agent's word, and no value for the pod.
    assert_false(tell(w, GPU_OF_EXPORTER, 90, false, S(104), S(104)));
    assert_true(tell(w, GPU_OF_AGENT, 10, false, S(105), S(105)));
    assert_true(level(w, S(105)) == -1);
}

static void containers_of_one_pod_are_one_pod(void **state) {
    static const struct agents_owner owners[] = {
        {"ns", "p", "a", ""}, {"ns", "q", "a", ""}, {"ns", "p", "b", ""}, {"other", "p", "a", ""}};
    static const size_t pods[] = {0, 1, 2, 2, 3};
    for (size_t n = 0; n <= COUNT_OF(owners); n++) {
        struct agents_gpu g = {.owners = owners, .n_owners = n};
        assert_int_equal(gpus_pods(&g), pods[n]);
    }
    struct agents_gpu g = {.owners = owners, .n_owners = COUNT_OF(owners)};
    assert_true(gpus_owner_is_first(&g, 0) && gpus_owner_is_first(&g, 3));
    assert_false(gpus_owner_is_first(&g, 2));
}

static void parts_are_the_agents_alone(void **state) {
    struct world *w = *state;
    static const struct agents_owner owners[] = {{"ns", "p", "c", ""}, {"ns", "q", "c", ""}};
    static const struct gpu_share shares[] = {
        {"uid-p", .has_utilization = true, .utilization_pct = 60},
        {"uid-q", .has_utilization = true, .utilization_pct = 20}};
    struct gpu_reading reading = {0};
    gpu_reading_set(&reading, GPU_UTILIZATION_PCT, 80);
    struct agents_gpu g = {.node = "n",
                           .uuid = "GPU-1",
                           .parent_uuid = "",
                           .owners_known = true,
                           .owners = owners,
                           .n_owners = 2,
                           .shares_known = true,
                           .shares = shares,
                           .n_shares = 2,
                           .reading = &reading,
                           .reading_at_ns = S(100)};
    struct signal_part part;
    bool counts;
    signal_join_pod_set_uid(w->pod, STR("uid-p"));
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_AGENT, &g, 0, S(100), &w->agent, &counts), 0);
    assert_true(counts && level(w, S(100)) == 60);
    assert_true(gpus_shared(w->agent) && !gpus_shared(NULL));
    assert_int_equal(
        gpus_part(&w->gpus, w->agent, STR("ns"), STR("p"), SIGNAL_GPU_UTILIZATION, &part), 0);
    assert_true(part.lower == 60 && part.upper == 60);
    assert_int_equal(
        gpus_part(&w->gpus, w->agent, STR("ns"), STR("q"), SIGNAL_GPU_UTILIZATION, &part),
        PART_NO_UID);
    assert_int_equal(
        gpus_part(&w->gpus, w->agent, STR("ns"), STR("no-such-pod"), SIGNAL_GPU_UTILIZATION, &part),
        PART_NO_UID);
    // The agent falls silent: an exporter knows both holders, and of neither what it uses.
    struct agents_gpu page = g;
    page.shares_known = false;
    page.n_shares = 0;
    page.reading_at_ns = S(130);
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_EXPORTER, &page, 0, S(130), &w->exporter, &counts),
                     0);
    assert_true(counts && level(w, S(130)) == -1);
    g.reading_at_ns = S(131);
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_AGENT, &g, 0, S(131), &w->agent, &counts), 0);
    assert_true(counts && level(w, S(131)) == 60);
}

static void when_one_side_goes_the_other_stays(void **state) {
    struct world *w = *state;
    tell(w, GPU_OF_AGENT, 10, true, S(100), S(100));
    tell(w, GPU_OF_EXPORTER, 90, true, S(100), S(100));
    gpus_removed(&w->gpus, w->agent);
    w->agent = NULL;
    assert_true(level(w, S(100)) == -1); // until the exporter's next page
    assert_true(tell(w, GPU_OF_EXPORTER, 90, true, S(101), S(101)));
    assert_true(level(w, S(101)) == 90);
}

static void several_mig_devices_of_one_instance_are_one_identity(void **state) {
    struct world *w = *state;
    static const struct agents_owner owner = {"ns", "p", "c", ""};
    struct gpu_reading reading = {0};
    gpu_reading_set(&reading, GPU_GR_ENGINE_ACTIVE_RATIO, 0.3);
    struct agents_gpu g = {.node = "n",
                           .parent_uuid = "GPU-1",
                           .gpu_instance_id = 13,
                           .owners_known = true,
                           .owners = &owner,
                           .n_owners = 1,
                           .reading = &reading,
                           .reading_at_ns = S(100)};
    void *a = NULL, *b = NULL;
    bool counts;
    g.uuid = "MIG-a";
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_AGENT, &g, 0, S(100), &a, &counts), 0);
    g.uuid = "MIG-b";
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_AGENT, &g, 0, S(100), &b, &counts), 0);
    g.uuid = "GPU-1/gi13";
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_EXPORTER, &g, 0, S(100), &w->exporter, &counts), 0);
    assert_false(counts);
    assert_int_equal(w->gpus.counted[GPU_OF_AGENT], 2);
    // Silent: the exporter's one counts in the place of both.
    g.reading_at_ns = S(130);
    assert_int_equal(gpus_told(&w->gpus, GPU_OF_EXPORTER, &g, 0, S(130), &w->exporter, &counts), 0);
    assert_true(counts);
    assert_int_equal(w->gpus.counted[GPU_OF_AGENT], 0);
    struct signal_level l;
    signal_join_pod_level(w->pod, SIGNAL_GPU_UTILIZATION, S(130), S(60), &l);
    assert_int_equal(l.gpus, 1);
    gpus_removed(&w->gpus, a);
    gpus_removed(&w->gpus, b);
}

static void without_memory_nothing_counts_and_the_next_word_is_taken(void **state) {
    struct world *w = *state;
    static const struct agents_owner owner = {"ns", "other", "c", ""};
    struct gpu_reading reading = {0};
    struct agents_gpu g = {.node = "n",
                           .uuid = "GPU-1",
                           .parent_uuid = "",
                           .owners_known = true,
                           .owners = &owner,
                           .n_owners = 1,
                           .reading = &reading,
                           .reading_at_ns = S(1)};
    int failures = 0;
    bool counts;
    for (long n = 1;; n++) {
        mem_fail_from(n);
        int r = gpus_told(&w->gpus, GPU_OF_AGENT, &g, 0, S(1), &w->agent, &counts);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_false(counts);
        failures++;
    }
    assert_true(counts && failures > 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(the_fresh_agent_counts_whoever_comes_first),
        T(a_silent_agent_is_replaced_and_takes_back),
        T(an_agent_that_cannot_tell_the_holder_leaves_it_to_one_that_can),
        T(containers_of_one_pod_are_one_pod),
        T(parts_are_the_agents_alone),
        T(when_one_side_goes_the_other_stays),
        T(several_mig_devices_of_one_instance_are_one_identity),
        T(without_memory_nothing_counts_and_the_next_word_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
