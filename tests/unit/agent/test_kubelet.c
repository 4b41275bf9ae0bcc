// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "../podres/kubelet_unit.h"
#include "agent/kubelet.h"
#include "fixture.h"

#define GPU "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10"

static struct kubelet_unit k;
static struct agent_kubelet *kubelet;
static struct agent_owners owners; // as told last
static unsigned told;

static bool news;

static bool on_believed(void *ctx, struct agent_owners *o) {
    assert_ptr_equal(ctx, &k);
    agent_owners_done(&owners);
    owners = *o;
    told++;
    return news;
}

static void start(bool may_be_absent, int64_t interval_ns, int64_t max_age_ns) {
    struct err e = {0};
    struct agent_kubelet_options o = {.socket = k.path,
                                      .may_be_absent = may_be_absent,
                                      .interval_ns = interval_ns,
                                      .max_age_ns = max_age_ns,
                                      .believed = on_believed,
                                      .ctx = &k};
    assert_int_equal(agent_kubelet_start(&kubelet, &k.loop, &o, &e), 0);
    assert_int_equal(told, 0);
}

static struct agent_kubelet_stats stats(void) {
    return agent_kubelet_stats(kubelet);
}

static int setup(void **state) {
    told = 0;
    news = true;
    agent_owners_init(&owners);
    kubelet_open(&k);
    list_devices(&k.list, list_container(&k.list, "vllm-0"), "nvidia.com/gpu", GPU);
    return 0;
}

static int teardown(void **state) {
    kubelet = agent_kubelet_stop(kubelet);
    agent_owners_done(&owners);
    kubelet_close(&k);
    return 0;
}

static void test_it_asks_at_an_interval(void **state) {
    start(false, 20 * NS_PER_MS, NS_PER_S);
    KUBELET_UNTIL(&k, told >= 3);
    assert_true(owners.known);
    assert_int_equal(owners.list.n, 1);
    assert_true(stats().up && stats().present);
    assert_int_equal(stats().answers, told);
    assert_int_equal(stats().pods, 1);
    assert_int_equal(stats().holders, 1);
    assert_int_equal(stats().failures, 0);
}

static void test_an_old_answer_is_believed_until_it_is_too_old(void **state) {
    start(false, 20 * NS_PER_MS, 300 * NS_PER_MS);
    KUBELET_UNTIL(&k, told >= 1);
    k.status = GRPC_UNAVAILABLE;
    KUBELET_UNTIL(&k, stats().failures >= 2);
    int64_t answered_ns = stats().answered_ns;
    if (clock_mono_ns() < answered_ns + 250 * NS_PER_MS)
        assert_true(owners.known && owners.list.n == 1);
    KUBELET_UNTIL(&k, !owners.known);
    assert_true(clock_mono_ns() >= answered_ns + 300 * NS_PER_MS);
    assert_int_equal(owners.list.n, 0);
    assert_false(stats().up);
    unsigned before = told; // unknown is told once
    KUBELET_UNTIL(&k, stats().failures >= 6);
    assert_int_equal(told, before);
    k.status = 0;
    KUBELET_UNTIL(&k, owners.known);
    assert_true(stats().up);
}

static void test_a_list_without_any_pod_is_no_answer(void **state) {
    size_t n = k.list.m.n_pod_resources;
    k.list.m.n_pod_resources = 0;
    start(false, 20 * NS_PER_MS, NS_PER_S);
    KUBELET_UNTIL(&k, stats().failures >= 2);
    assert_int_equal(told, 0);
    k.list.m.n_pod_resources = n;
    KUBELET_UNTIL(&k, told >= 1);
    assert_int_equal(owners.list.n, 1);
}

static void test_no_kubelet_is_no_fault_where_none_was_seen(void **state) {
    kubelet_stop(&k);
    start(true, 20 * NS_PER_MS, NS_PER_S);
    int64_t end_ns = clock_mono_ns() + 100 * NS_PER_MS;
    KUBELET_UNTIL(&k, clock_mono_ns() > end_ns);
    assert_false(stats().present || stats().up);
    assert_int_equal(stats().failures, 0);
    kubelet_start(&k);
    KUBELET_UNTIL(&k, told >= 1);
    kubelet_stop(&k); // now it is missed
    KUBELET_UNTIL(&k, stats().failures >= 1);
    assert_true(stats().present);
}

// Memory and processes move when pods come and go; small changes of memory do not count.
static void test_readings_that_move_bring_the_next_question_near(void **state) {
    struct agent_state s;
    struct err e = {0};
    int64_t hour = 3600 * NS_PER_S;
    assert_int_equal(agent_state_init(&s, NS_PER_S, 0, &e), 0);
    start(false, hour, 2 * hour);
    KUBELET_UNTIL(&k, told == 1);
    static const struct {
        double processes, memory_bytes;
        bool moves;
    } rounds[] = {
        {0, 1e9, true}, {0, 1.2e9, false}, {1, 1.2e9, true}, {1, 9e9, true}, {1, 9.1e9, false}};
    for (size_t i = 0; i < COUNT_OF(rounds); i++) {
        unsigned before = k.asked;
        struct agent_round *r = fixture_round(2, (int64_t)i * NS_PER_S);
        gpu_reading_set(&r->samples[1].reading, GPU_PROCESSES, rounds[i].processes);
        gpu_reading_set(&r->samples[1].reading, GPU_MEMORY_USED_BYTES, rounds[i].memory_bytes);
        fixture_apply(&s, r, NULL);
        agent_kubelet_look(kubelet, &s, clock_mono_ns());
        if (rounds[i].moves) {
            KUBELET_UNTIL(&k, k.asked == before + 1 && told == k.asked);
        } else {
            for (int n = 0; n < 20; n++)
                uv_run(&k.loop, UV_RUN_NOWAIT);
            assert_int_equal(k.asked, before);
        }
    }
    agent_state_done(&s);
}

// A GPU whose memory swings all the time says nothing of pods: it is not asked each second for
// ever.
static void test_questions_that_bring_nothing_new_come_later(void **state) {
    enum { QUESTIONS = 3 };
    struct agent_state s;
    struct err e = {0};
    int64_t at_ns[QUESTIONS] = {0}, hour = 3600 * NS_PER_S;
    news = false;
    assert_int_equal(agent_state_init(&s, NS_PER_S, 0, &e), 0);
    start(false, hour, 2 * hour);
    KUBELET_UNTIL(&k, told == 1);
    int64_t asked_ns = stats().asked_ns;
    for (unsigned i = 0, n = 0; n < QUESTIONS; i++) {
        struct agent_round *r = fixture_round(1, (int64_t)i * NS_PER_S);
        gpu_reading_set(&r->samples[0].reading, GPU_MEMORY_USED_BYTES, i % 2 ? 1e9 : 9e9);
        fixture_apply(&s, r, NULL);
        agent_kubelet_look(kubelet, &s, clock_mono_ns());
        int64_t end_ns = clock_mono_ns() + 50 * NS_PER_MS;
        KUBELET_UNTIL(&k, clock_mono_ns() > end_ns);
        if (stats().asked_ns != asked_ns)
            at_ns[n++] = asked_ns = stats().asked_ns;
    }
    // After one second, two more, four more, however late the machine is.
    assert_true(at_ns[1] - at_ns[0] >= 2 * NS_PER_S);
    assert_true(at_ns[2] - at_ns[1] >= 4 * NS_PER_S);
    agent_state_done(&s);
}

static void test_no_memory_is_told(void **state) {
    struct err e = {0};
    struct agent_kubelet_options o = {.socket = k.path, .believed = on_believed};
    for (long n = 1; n <= 3; n++) {
        mem_fail_from(n);
        assert_int_equal(agent_kubelet_start(&kubelet, &k.loop, &o, &e), ERR_NOMEM);
        mem_fail_never();
        assert_null(kubelet);
    }
    assert_int_equal(agent_kubelet_stats(NULL).answered_ns, INT64_MIN);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_it_asks_at_an_interval),
        CASE(test_an_old_answer_is_believed_until_it_is_too_old),
        CASE(test_a_list_without_any_pod_is_no_answer),
        CASE(test_no_kubelet_is_no_fault_where_none_was_seen),
        CASE(test_readings_that_move_bring_the_next_question_near),
        CASE(test_questions_that_bring_nothing_new_come_later),
        CASE(test_no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
