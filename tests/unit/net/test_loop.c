// SPDX-License-Identifier: Apache-2.0
/* Timers and watches whose owners go at once. */
#include "net_unit.h"

#include <sys/eventfd.h>

struct ticker {
    struct net_timer *timer;
    int fired;
    int stop_at;
};

static void tick(void *ctx) {
    struct ticker *t = ctx;
    if (++t->fired == t->stop_at)
        net_timer_stop(&t->timer);
}

static void a_timer_is_never_early(void **state) {
    uv_loop_t loop;
    struct ticker t = {0};
    uv_loop_init(&loop);
    // The loop's cached time is old here: a timer counted from it would fire too soon.
    int64_t wait_end = clock_mono_ns() + 20 * NS_PER_MS;
    while (clock_mono_ns() < wait_end)
        continue;
    int64_t start = clock_mono_ns();
    assert_int_equal(net_timer_start(&t.timer, &loop, 15 * NS_PER_MS + 1, 0, tick, &t, NULL), 0);
    RUN_UNTIL(&loop, t.fired == 1);
    // libuv counts whole milliseconds from a clock it cuts to whole milliseconds.
    assert_true(clock_mono_ns() - start >= 15 * NS_PER_MS);
    net_timer_again(t.timer, NS_PER_MS);
    RUN_UNTIL(&loop, t.fired == 2);
    net_timer_stop(&t.timer);
    assert_null(t.timer);
    net_timer_stop(&t.timer);
    net_loop_drain_close(&loop);
}

static void a_repeated_timer_may_stop_itself_and_its_owner_may_go(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct ticker *t = malloc(sizeof(*t));
    assert_non_null(t);
    *t = (struct ticker){.stop_at = 3};
    assert_int_equal(net_timer_start(&t->timer, &loop, 0, NS_PER_MS, tick, t, NULL), 0);
    RUN_UNTIL(&loop, t->fired == 3);
    free(t);
    unit_turns(&loop, 5);
    t = malloc(sizeof(*t));
    assert_non_null(t);
    *t = (struct ticker){0};
    assert_int_equal(net_timer_start(&t->timer, &loop, 0, 0, tick, t, NULL), 0);
    net_timer_stop(&t->timer); // due, but not after this
    assert_int_equal(t->fired, 0);
    free(t);
    unit_turns(&loop, 5);
    net_loop_drain_close(&loop);
}

static void count(void *ctx) {
    ++*(int *)ctx;
}

static void a_watch_tells_of_readable_descriptors_until_stopped(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    int seen = 0, fd = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    struct net_watch *w = NULL;
    assert_int_equal(net_watch_start(&w, &loop, fd, count, &seen, NULL), 0);
    unit_turns(&loop, 3);
    assert_int_equal(seen, 0);
    assert_int_equal(write(fd, &one, 8), 8);
    RUN_UNTIL(&loop, seen > 0);
    net_watch_stop(&w);
    int before = seen;
    unit_turns(&loop, 3);
    assert_int_equal(seen, before);
    net_watch_stop(&w);
    close(fd);
    net_loop_drain_close(&loop);
}

static void failures_are_told(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct err e = {0};
    struct net_timer *t = NULL;
    struct net_watch *w = NULL;
    int seen = 0;
    mem_fail_from(1);
    assert_int_equal(net_timer_start(&t, &loop, 0, 0, count, &seen, &e), ERR_NOMEM);
    assert_int_equal(net_watch_start(&w, &loop, 0, count, &seen, &e), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(net_watch_start(&w, &loop, 9999, count, &seen, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "9999"));
    assert_null(t);
    assert_null(w);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_is_never_early),
        cmocka_unit_test(a_repeated_timer_may_stop_itself_and_its_owner_may_go),
        cmocka_unit_test(a_watch_tells_of_readable_descriptors_until_stopped),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
