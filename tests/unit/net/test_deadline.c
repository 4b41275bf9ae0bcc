// SPDX-License-Identifier: Apache-2.0
/* net/deadline: a heap that fires in order whatever was set, moved and cleared. */
#include "unit.h"

#include "base/random.h"
#include "net/deadline.h"

enum { N = 200 };

static struct deadline_heap heap;
static struct deadline items[N];
static int64_t last_ns;
static unsigned fired;

static void on_fire(struct deadline *d) {
    assert_true(d->at_ns >= last_ns);
    assert_int_equal(d->place, 0);
    last_ns = d->at_ns;
    fired++;
}

static void reset(void) {
    vec_init(&heap, N);
    memset(items, 0, sizeof(items));
    for (int i = 0; i < N; i++)
        items[i].fire = on_fire;
    last_ns = INT64_MIN;
    fired = 0;
}

static void nothing_set_fires_nothing(void **state) {
    reset();
    assert_true(deadline_next(&heap) == INT64_MAX);
    deadline_run(&heap, INT64_MAX);
    deadline_clear(&heap, &items[0]);
    assert_int_equal(fired, 0);
    vec_done(&heap);
}

static void due_ones_fire_in_order_and_once(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int round = 0; round < 200; round++) {
        reset();
        int64_t at[N]; // -1: not set
        memset(at, -1, sizeof(at));
        for (int step = 0; step < 1000; step++) {
            size_t i = random_below(&rnd, N);
            if (random_below(&rnd, 3) == 0) {
                deadline_clear(&heap, &items[i]);
                at[i] = -1;
            } else {
                at[i] = (int64_t)random_below(&rnd, 1000);
                assert_int_equal(deadline_set(&heap, &items[i], at[i]), 0);
            }
            int64_t next = INT64_MAX;
            for (int k = 0; k < N; k++)
                if (at[k] >= 0 && at[k] < next)
                    next = at[k];
            assert_true(deadline_next(&heap) == next);
        }
        unsigned due = 0, all = 0;
        for (int k = 0; k < N; k++) {
            due += at[k] >= 0 && at[k] <= 500;
            all += at[k] >= 0;
        }
        deadline_run(&heap, 500);
        assert_int_equal(fired, due);
        deadline_run(&heap, 1000);
        assert_int_equal(fired, all);
        assert_int_equal(heap.n, 0);
        vec_done(&heap);
    }
}

static void set_again(struct deadline *d) {
    fired++;
    assert_int_equal(deadline_set(&heap, d, d->at_ns), 0);
}

static void one_that_sets_itself_for_the_past_does_not_hang(void **state) {
    reset();
    items[0].fire = set_again;
    assert_int_equal(deadline_set(&heap, &items[0], 1), 0);
    deadline_run(&heap, 10);
    assert_int_equal(fired, 1);
    assert_true(deadline_next(&heap) == 1);
    vec_done(&heap);
}

static void clear_other(struct deadline *d) {
    fired++;
    deadline_clear(&heap, &items[1]);
}

static void one_may_clear_another_that_is_due(void **state) {
    reset();
    items[0].fire = clear_other;
    deadline_set(&heap, &items[0], 1);
    deadline_set(&heap, &items[1], 2);
    deadline_run(&heap, 10);
    assert_int_equal(fired, 1);
    vec_done(&heap);
}

static void no_memory_is_an_error_only_when_it_was_not_set(void **state) {
    reset();
    mem_fail_from(1);
    assert_int_equal(deadline_set(&heap, &items[0], 1), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(items[0].place, 0);
    assert_int_equal(deadline_set(&heap, &items[0], 1), 0);
    mem_fail_from(1);
    assert_int_equal(deadline_set(&heap, &items[0], 2), 0);
    mem_fail_never();
    vec_done(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_fires_nothing),
        cmocka_unit_test(due_ones_fire_in_order_and_once),
        cmocka_unit_test(one_that_sets_itself_for_the_past_does_not_hang),
        cmocka_unit_test(one_may_clear_another_that_is_due),
        cmocka_unit_test(no_memory_is_an_error_only_when_it_was_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
