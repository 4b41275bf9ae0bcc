// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/clock.h"
#include "base/random.h"
#include "playground/roster.h"

static const struct roster_pod *named(const struct roster *r, const char *name) {
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->pods[i].name, name) == 0)
            return &r->pods[i];
    }
    return NULL;
}

static struct roster_pod *pod(struct roster *r, const char *name) {
    return (struct roster_pod *)(uintptr_t)named(r, name);
}

static void new_pods_take_the_lowest_free_gpus_and_others_wait(void **state) {
    (void)state;
    static struct roster r;
    roster_init(&r, "llm", 2);
    roster_scale(&r, 3, 0);
    assert_int_equal(named(&r, "llm-1")->gpu, 0);
    assert_int_equal(named(&r, "llm-2")->gpu, 1);
    assert_int_equal(named(&r, "llm-3")->state, ROSTER_PENDING);
    assert_int_equal(named(&r, "llm-3")->gpu, -1);
    roster_ready(&r, pod(&r, "llm-1"), 1);
    roster_scale(&r, 2, 2); // the pending one goes first, and at once
    assert_null(named(&r, "llm-3"));
    assert_int_equal(roster_count(&r, ROSTER_TERMINATING), 0);
}

static void a_pending_pod_gets_the_gpu_of_one_that_has_ended(void **state) {
    (void)state;
    static struct roster r;
    roster_init(&r, "llm", 1);
    roster_scale(&r, 1, 0);
    roster_ready(&r, pod(&r, "llm-1"), 1);
    roster_scale(&r, 0, 2);
    roster_scale(&r, 1, 3);
    assert_int_equal(named(&r, "llm-1")->state, ROSTER_TERMINATING);
    assert_int_equal(named(&r, "llm-2")->state, ROSTER_PENDING); // its GPU is held until the end
    roster_gone(&r, pod(&r, "llm-1"), 4);
    assert_int_equal(named(&r, "llm-2")->state, ROSTER_STARTING);
    assert_int_equal(named(&r, "llm-2")->gpu, 0);
    assert_int_equal(named(&r, "llm-2")->gpu_since_ns, 4);
}

static void scaling_down_takes_starting_pods_first_then_the_youngest(void **state) {
    (void)state;
    static struct roster r;
    roster_init(&r, "llm", 8);
    roster_scale(&r, 4, 0);
    roster_ready(&r, pod(&r, "llm-1"), 30); // ready last, so the youngest
    roster_ready(&r, pod(&r, "llm-2"), 10);
    roster_ready(&r, pod(&r, "llm-4"), 20);
    static const char *const order[] = {"llm-3", "llm-1", "llm-4", "llm-2"};
    for (int left = 3; left >= 0; left--) {
        roster_scale(&r, left, 40);
        assert_int_equal(named(&r, order[3 - left])->state, ROSTER_TERMINATING);
        assert_int_equal(roster_count(&r, ROSTER_TERMINATING), 4 - left);
    }
}

static void a_pod_that_dies_is_replaced_under_a_new_name(void **state) {
    (void)state;
    static struct roster r;
    roster_init(&r, "llm", 4);
    roster_scale(&r, 2, 0);
    roster_ready(&r, pod(&r, "llm-1"), 1);
    roster_gone(&r, pod(&r, "llm-1"), 2);
    assert_null(named(&r, "llm-1"));
    assert_int_equal(named(&r, "llm-3")->gpu, 0);
    assert_int_equal(r.n, 2);
}

static void a_gpu_is_charged_from_the_pod_to_the_end_of_its_process(void **state) {
    (void)state;
    static struct roster r;
    roster_init(&r, "llm", 4);
    roster_scale(&r, 2, 0);
    assert_int_equal(roster_held_ns(&r, 10), 20);
    roster_scale(&r, 1, 10);
    assert_int_equal(roster_held_ns(&r, 15), 30); // one ends, and holds its GPU
    roster_gone(&r, pod(&r, "llm-2"), 20);
    assert_int_equal(roster_held_ns(&r, 30), 20 + 30);
}

static void no_gpu_is_held_twice_and_the_count_is_kept_whatever_happens(void **state) {
    (void)state;
    struct random random;
    random_init(&random, unit_seed());
    static struct roster r;
    roster_init(&r, "llm", 5);
    int64_t now_ns = 0, held_ns = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t step_ns = (int64_t)random_below(&random, 5);
        for (size_t k = 0; k < r.n; k++)
            held_ns += r.pods[k].gpu >= 0 ? step_ns : 0;
        now_ns += step_ns;
        struct roster_pod *p = r.n ? &r.pods[random_below(&random, r.n)] : NULL;
        switch (random_below(&random, 3)) {
        case 0:
            roster_scale(&r, (int)random_below(&random, 9), now_ns);
            break;
        case 1:
            if (p && p->state != ROSTER_PENDING)
                roster_gone(&r, p, now_ns);
            break;
        default:
            if (p)
                roster_ready(&r, p, now_ns);
        }
        uint32_t seen = 0;
        for (size_t k = 0; k < r.n; k++) {
            bool holds = r.pods[k].gpu >= 0;
            assert_int_equal(holds, r.pods[k].state != ROSTER_PENDING);
            assert_true(!holds || !(seen >> r.pods[k].gpu & 1));
            seen |= holds ? 1u << r.pods[k].gpu : 0;
        }
        assert_int_equal((int)r.n - roster_count(&r, ROSTER_TERMINATING), r.spec);
        // Nobody waits while a GPU is free.
        assert_true(roster_count(&r, ROSTER_PENDING) == 0 || seen == 31);
        assert_int_equal(roster_held_ns(&r, now_ns), held_ns);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_pods_take_the_lowest_free_gpus_and_others_wait),
        cmocka_unit_test(a_pending_pod_gets_the_gpu_of_one_that_has_ended),
        cmocka_unit_test(scaling_down_takes_starting_pods_first_then_the_youngest),
        cmocka_unit_test(a_pod_that_dies_is_replaced_under_a_new_name),
        cmocka_unit_test(a_gpu_is_charged_from_the_pod_to_the_end_of_its_process),
        cmocka_unit_test(no_gpu_is_held_twice_and_the_count_is_kept_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
