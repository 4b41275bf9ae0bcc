// SPDX-License-Identifier: Apache-2.0
/* Requests that wait in the engines, where there is none to ask. */
#include "playground/queues.h"

#include "base/clock.h"
#include "net/loop.h"
#include "unit.h"

static void told(void *ctx, const char *text) {
    (void)ctx;
    (void)text;
}

static void changed(void *ctx) {
    (void)ctx;
}

static void ended(void *ctx) {
    *(bool *)ctx = true;
}

static void without_a_ready_pod_nothing_waits_in_engines(void **state) {
    (void)state;
    const struct pool_options o = {.prefix = "llm", .gpus = 1, .changed = changed, .told = told};
    uv_loop_t loop;
    struct pool *pool;
    struct queues *q;
    bool over = false;
    uv_loop_init(&loop);
    assert_int_equal(pool_new(&pool, &loop, &o, NULL), 0);
    assert_int_equal(queues_new(&q, &loop, "queue", NULL), 0);
    queues_ask(q, pool);
    assert_int_equal(queues_waiting(q, pool, clock_mono_ns()), 0);
    queues_free(q);
    pool_end(pool, ended, &over);
    while (!over)
        uv_run(&loop, UV_RUN_ONCE);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_ready_pod_nothing_waits_in_engines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
