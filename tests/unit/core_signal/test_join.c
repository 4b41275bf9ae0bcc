// SPDX-License-Identifier: Apache-2.0
/* GPUs find their pods; what nobody can know of a pod stays unknown. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/limits.h"
#include "core/signal/join.h"

#define S NS_PER_S

static const struct signal_owner A = {{"shop", 4}, {"llm-0", 5}}, B = {{"shop", 4}, {"llm-1", 5}};

struct fixture {
    struct signal_join *j;
    struct signal_gpu *g[3];
    struct signal_pod_gpus *a, *b;
};

static void setup(struct fixture *f) {
    assert_int_equal(signal_join_new(&f->j), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(signal_gpu_new(f->j, &f->g[i]), 0);
    assert_int_equal(signal_join_pod_get(f->j, A.namespace_, A.pod, &f->a), 0);
    assert_int_equal(signal_join_pod_get(f->j, B.namespace_, B.pod, &f->b), 0);
}

static void teardown(struct fixture *f) {
    signal_join_pod_release(f->j, f->a);
    signal_join_pod_release(f->j, f->b);
    for (int i = 0; i < 3; i++)
        signal_gpu_free(f->j, f->g[i]);
    signal_join_free(f->j);
}

static void show(struct signal_gpu *g, double util, int64_t at_s) {
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, util);
    signal_gpu_set_reading(g, &r, at_s * S, false);
}

static struct signal_level level(const struct signal_pod_gpus *p, int64_t now_s) {
    struct signal_level l;
    signal_join_pod_level(p, SIGNAL_GPU_UTILIZATION, now_s * S, 30 * S, &l);
    return l;
}

static void a_pod_has_the_gpus_that_it_holds(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct signal_owner twice[] = {A, A}; // two containers
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, twice, 2), 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, &A, 1), 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[2], true, &B, 1), 0);
    show(f.g[0], 90, 10);
    show(f.g[1], 30, 12);
    show(f.g[2], 7, 12);
    struct signal_level l = level(f.a, 20);
    assert_int_equal(l.gpus, 2);
    assert_int_equal(l.known, 2);
    assert_true(l.sum == 120 && l.oldest_ns == 10 * S && l.newest_ns == 12 * S);
    l = level(f.b, 20);
    assert_true(l.gpus == 1 && l.sum == 7);

    // The GPU goes to another pod: the first one keeps the rest.
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, &B, 1), 0);
    assert_int_equal(level(f.a, 20).gpus, 1);
    assert_true(level(f.b, 20).sum == 37);
    // Nobody's.
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, NULL, 0), 0);
    assert_int_equal(level(f.b, 20).gpus, 1);
    // Gone.
    f.g[2] = signal_gpu_free(f.j, f.g[2]);
    assert_int_equal(level(f.b, 20).gpus, 0);
    teardown(&f);
}

static void what_is_lost_old_or_unheld_is_unknown_not_zero(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    signal_gpu_set_owners(f.j, f.g[1], true, &A, 1);
    assert_int_equal(level(f.a, 0).known, 0); // no reading yet
    show(f.g[0], 90, 10);
    show(f.g[1], 30, 10);
    assert_int_equal(level(f.a, 40).known, 2);
    assert_int_equal(level(f.a, 41).known, 0); // the node's stream ended: they age
    // Told again with a newer time; an older one is ignored.
    show(f.g[0], 80, 41);
    show(f.g[0], 1, 20);
    struct signal_level l = level(f.a, 41);
    assert_true(l.gpus == 2 && l.known == 1 && l.sum == 80);
    // Lost: its last reading is nobody's value.
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 80);
    signal_gpu_set_reading(f.g[0], &r, 42 * S, true);
    assert_int_equal(level(f.a, 42).known, 0);
    signal_gpu_set_reading(f.g[0], &r, 43 * S, false);
    assert_int_equal(level(f.a, 43).known, 1);
    // The kubelet does not answer: the pod keeps its GPU, the value is unknown.
    signal_gpu_set_owners(f.j, f.g[0], false, NULL, 0);
    l = level(f.a, 43);
    assert_true(l.gpus == 2 && l.known == 0);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    assert_int_equal(level(f.a, 43).known, 1);
    teardown(&f);
}

static void a_shared_gpu_tells_nothing_about_one_pod(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct signal_owner both[] = {A, B};
    signal_gpu_set_owners(f.j, f.g[0], true, both, 2);
    show(f.g[0], 90, 10);
    struct signal_level a = level(f.a, 10), b = level(f.b, 10);
    assert_true(a.gpus == 1 && a.known == 0 && a.shared == 1 && a.sum == 0);
    assert_true(b.gpus == 1 && b.known == 0 && b.shared == 1);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1); // the other one is gone
    assert_int_equal(level(f.a, 10).known, 1);
    assert_int_equal(level(f.b, 10).gpus, 0);
    teardown(&f);
}

static void too_many_owners_change_nothing_but_what_is_known(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    show(f.g[0], 90, 10);
    static char names[LIMIT_OWNERS_PER_GPU + 1][16];
    struct signal_owner many[LIMIT_OWNERS_PER_GPU + 1];
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++) {
        snprintf(names[i], sizeof(names[i]), "pod-%d", i);
        many[i] = (struct signal_owner){STR("shop"), str_from(names[i])};
    }
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, many, COUNT_OF(many)), ERR_LIMIT);
    assert_true(level(f.a, 10).gpus == 1 && level(f.a, 10).known == 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, many, COUNT_OF(many) - 1), 0);
    assert_int_equal(level(f.a, 10).gpus, 0);
    teardown(&f);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    show(f.g[0], 90, 10);
    struct signal_owner others[] = {B, {{"shop", 4}, {"llm-2", 5}}, {{"shop", 4}, {"llm-3", 5}}};
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        assert_true(n < 100);
        mem_fail_from(n);
        r = signal_gpu_set_owners(f.j, f.g[0], true, others, 3);
        mem_fail_never();
        struct signal_level l = level(f.a, 10);
        assert_true(r == 0 ? l.gpus == 0 : l.gpus == 1 && l.known == 0);
    }
    assert_int_equal(r, 0);
    assert_int_equal(level(f.b, 10).shared, 1);
    struct signal_join *j = NULL;
    struct signal_gpu *g = NULL;
    mem_fail_from(1);
    assert_int_equal(signal_join_new(&j), ERR_NOMEM);
    assert_int_equal(signal_gpu_new(f.j, &g), ERR_NOMEM);
    mem_fail_never();
    teardown(&f);
}

static void one_gpus_value_of_each_signal(void **state) {
    (void)state;
    struct gpu_reading r = {0};
    double v = -1;
    for (int s = 0; s < SIGNAL_MAX; s++)
        assert_false(signal_of_reading(&r, (enum signal)s, &v));
    gpu_reading_set(&r, GPU_GR_ENGINE_ACTIVE_RATIO, 0.4); // a MIG instance: no utilization
    assert_true(signal_of_reading(&r, SIGNAL_GPU_UTILIZATION, &v) && fabs(v - 40) < 1e-9);
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 55);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_UTILIZATION, &v) && v == 55);
    gpu_reading_set(&r, GPU_SM_ACTIVE_RATIO, 0.25);
    assert_true(signal_of_reading(&r, SIGNAL_SM_ACTIVITY, &v) && v == 25);
    gpu_reading_set(&r, GPU_TENSOR_ACTIVE_RATIO, 0.125);
    assert_true(signal_of_reading(&r, SIGNAL_TENSOR_ACTIVITY, &v) && v == 12.5);
    gpu_reading_set(&r, GPU_MEMORY_USED_BYTES, 60e9);
    assert_false(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v)); // of what?
    gpu_reading_set(&r, GPU_MEMORY_FREE_BYTES, 20e9);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v) && v == 75);
    gpu_reading_set(&r, GPU_MEMORY_RESERVED_BYTES, 40e9);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v) && v == 50);
    gpu_reading_set(&r, GPU_POWER_W, 310);
    assert_true(signal_of_reading(&r, SIGNAL_POWER, &v) && v == 310);
    assert_false(signal_of_reading(&r, SIGNAL_QUEUE, &v));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_has_the_gpus_that_it_holds),
        cmocka_unit_test(what_is_lost_old_or_unheld_is_unknown_not_zero),
        cmocka_unit_test(a_shared_gpu_tells_nothing_about_one_pod),
        cmocka_unit_test(too_many_owners_change_nothing_but_what_is_known),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(one_gpus_value_of_each_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
