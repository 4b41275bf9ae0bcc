// SPDX-License-Identifier: Apache-2.0
/* The worker: done in order, by the kernel's count as much as was told, ended at once. */
#include "unit.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/worker.h"
#include "net/loop.h"

struct item {
    struct engine_work work;
    int number;
};

static int done, out_of_order;

static void on_done(struct engine_work *work) {
    struct item *i = container_of(work, struct item, work);
    out_of_order += i->number != done;
    done++;
}

static void run_until(uv_loop_t *loop, int n) {
    while (done < n)
        uv_run(loop, UV_RUN_ONCE);
}

static void test_work_is_done_in_order_and_costs_what_was_told(void **state) {
    struct item items[100];
    struct engine_worker *w = NULL;
    uv_loop_t loop;
    done = out_of_order = 0;
    uv_loop_init(&loop);
    assert_int_equal(engine_worker_start(&w, &loop, on_done, NULL), 0);
    int64_t before_ns = clock_process_cpu_ns();
    for (int i = 0; i < 100; i++) {
        items[i] = (struct item){.work.us = 500, .number = i};
        engine_worker_submit(w, &items[i].work);
    }
    run_until(&loop, 100);
    int64_t cpu_ns = clock_process_cpu_ns() - before_ns;
    w = engine_worker_stop(w);
    net_loop_drain_close(&loop);
    assert_int_equal(out_of_order, 0);
    // 50 ms of CPU, of which the loop's own work may be credited, and no wall time is told.
    assert_true(cpu_ns > 48 * NS_PER_MS);
    assert_true(cpu_ns < 100 * NS_PER_MS);
}

static void test_stop_does_not_wait_for_what_is_burned_and_gives_the_rest_back(void **state) {
    struct item items[3];
    struct engine_worker *w = NULL;
    uv_loop_t loop;
    done = 0;
    uv_loop_init(&loop);
    assert_int_equal(engine_worker_start(&w, &loop, on_done, NULL), 0);
    for (int i = 0; i < 3; i++) {
        items[i] = (struct item){.work.us = 1e12, .number = i}; // eleven days
        engine_worker_submit(w, &items[i].work);
    }
    w = engine_worker_stop(w);
    net_loop_drain_close(&loop);
    assert_null(w);
    assert_int_equal(done, 0);
}

static void test_as_many_as_there_are_connections_may_be_under_way(void **state) {
    struct item *items = mem_array(LIMIT_ENGINE_CONNECTIONS, sizeof(*items));
    struct engine_worker *w = NULL;
    uv_loop_t loop;
    done = out_of_order = 0;
    uv_loop_init(&loop);
    assert_int_equal(engine_worker_start(&w, &loop, on_done, NULL), 0);
    for (int i = 0; i < LIMIT_ENGINE_CONNECTIONS; i++) {
        items[i].number = i;
        engine_worker_submit(w, &items[i].work);
    }
    run_until(&loop, LIMIT_ENGINE_CONNECTIONS);
    assert_int_equal(out_of_order, 0);
    engine_worker_stop(w);
    net_loop_drain_close(&loop);
    mem_free(items);
}

static void test_without_memory_it_does_not_start(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (long n = 1;; n++) {
        struct engine_worker *w = NULL;
        struct err e = {0};
        mem_fail_from(n);
        int r = engine_worker_start(&w, &loop, on_done, &e);
        mem_fail_never();
        if (r == 0) {
            engine_worker_stop(w);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(r, ERR_NOMEM);
        assert_null(w);
    }
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_is_done_in_order_and_costs_what_was_told),
        cmocka_unit_test(test_stop_does_not_wait_for_what_is_burned_and_gives_the_rest_back),
        cmocka_unit_test(test_as_many_as_there_are_connections_may_be_under_way),
        cmocka_unit_test(test_without_memory_it_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
