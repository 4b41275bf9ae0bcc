// SPDX-License-Identifier: Apache-2.0
/* base/queue: order, bounds, and that no item is ever left without a wake-up. */
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/queue.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

static bool readable(const struct queue *q, int timeout_ms) {
    struct pollfd p = {.fd = queue_wake_fd(q), .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void refuses_what_it_cannot_be(void **state) {
    static const size_t bad[] = {0, 3, 6, 100, LIMIT_QUEUE_ITEMS * 2, SIZE_MAX};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct queue *q = NULL;
        struct err e = {0};
        assert_int_equal(queue_new(&q, bad[i], &e), ERR_INVALID);
        assert_null(q);
        assert_true(strlen(e.msg) > 0);
    }
    struct queue *q = NULL;
    mem_fail_from(1);
    assert_int_equal(queue_new(&q, 8, NULL), ERR_NOMEM);
    mem_fail_never();
    assert_null(queue_free(NULL));
}

static void first_in_first_out_up_to_its_bound(void **state) {
    struct queue *q;
    assert_int_equal(queue_new(&q, 4, NULL), 0);
    int items[5];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            assert_true(queue_push(q, &items[i]));
        assert_false(queue_push(q, &items[4]));
        assert_int_equal(queue_len(q), 4);
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(queue_pop(q), &items[i]);
        assert_null(queue_pop(q));
        assert_int_equal(queue_len(q), 0);
    }
    queue_free(q);
}

static void wakes_once_until_cleared(void **state) {
    struct queue *q;
    assert_int_equal(queue_new(&q, 4, NULL), 0);
    int item;
    assert_false(readable(q, 0));
    assert_true(queue_push(q, &item) && queue_push(q, &item));
    assert_true(readable(q, 0));
    queue_wake_clear(q);
    assert_false(readable(q, 0));
    while (queue_pop(q))
        ;
    assert_true(queue_push(q, &item));
    assert_true(readable(q, 0));
    queue_wake_clear(q);
    assert_ptr_equal(queue_pop(q), &item);
    queue_wake_clear(q); // clearing what is clear blocks nobody
    queue_free(q);
}

enum { ITEMS = 200000 };

struct producer {
    struct queue *q;
    long *items;
    long refused;
};

static void *produce(void *arg) {
    struct producer *p = arg;
    for (long i = 0; i < ITEMS; i++) {
        p->items[i] = i * 3 + 1; // plain memory, handed over by the queue alone: TSan watches
        while (!queue_push(p->q, &p->items[i])) {
            p->refused++;
            sched_yield();
        }
    }
    return NULL;
}

// The reader sleeps in poll between items: one lost wake-up and the test runs into its deadline.
static void two_threads_lose_nothing(void **state) {
    static const size_t caps[] = {1, 2, 64, 4096};
    for (size_t c = 0; c < COUNT_OF(caps); c++) {
        struct producer p = {.items = mem_array(ITEMS, sizeof(long))};
        assert_int_equal(queue_new(&p.q, caps[c], NULL), 0);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, produce, &p), 0);
        long next = 0;
        while (next < ITEMS) {
            if (!readable(p.q, 30000))
                fail_msg("no wake-up, %ld items taken, %zu wait", next, queue_len(p.q));
            queue_wake_clear(p.q);
            for (long *item; (item = queue_pop(p.q)); next++) {
                assert_ptr_equal(item, &p.items[next]);
                assert_int_equal(*item, next * 3 + 1);
            }
        }
        pthread_join(t, NULL);
        assert_null(queue_pop(p.q));
        queue_free(p.q);
        mem_free(p.items);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_it_cannot_be),
        cmocka_unit_test(first_in_first_out_up_to_its_bound),
        cmocka_unit_test(wakes_once_until_cleared),
        cmocka_unit_test(two_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
