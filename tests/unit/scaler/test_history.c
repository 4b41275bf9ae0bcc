// SPDX-License-Identifier: Apache-2.0
/* The last decisions of an object. */
#include "scaler/history.h"

#include "base/mem.h"
#include "unit.h"

static struct record numbered(uint64_t n) {
    struct record r = {.sequence = n, .signal_n = (uint32_t)(n % 3)};
    return r;
}

static void the_oldest_go_first(void **state) {
    struct history h = {0};
    for (uint64_t n = 1; n <= 1000; n++) {
        struct record r = numbered(n);
        history_add(&h, &r, 10);
        assert_int_equal(h.n, n < 10 ? n : 10);
        for (unsigned i = 0; i < h.n; i++)
            assert_int_equal(history_at(&h, i)->sequence, n - h.n + 1 + i);
    }
    history_done(&h);
    assert_int_equal(h.n, 0);
}

static void a_smaller_share_drops_what_is_over_it(void **state) {
    struct history h = {0};
    for (uint64_t n = 1; n <= LIMIT_RECORDS_PER_WORKLOAD; n++) {
        struct record r = numbered(n);
        history_add(&h, &r, LIMIT_RECORDS_PER_WORKLOAD);
    }
    struct record r = numbered(100);
    history_add(&h, &r, 4);
    assert_int_equal(h.n, 4);
    assert_int_equal(history_at(&h, 3)->sequence, 100);
    assert_int_equal(history_at(&h, 0)->sequence, LIMIT_RECORDS_PER_WORKLOAD - 2);
    history_done(&h);
}

static void the_share_keeps_within_the_budget(void **state) {
    static const size_t objects[] = {0, 1, 100, 1000, 10000, LIMIT_SCALED_OBJECTS};
    unsigned before = LIMIT_RECORDS_PER_WORKLOAD;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        unsigned share = history_share(objects[i]);
        assert_in_range(share, 4, before);
        before = share;
    }
    assert_int_equal(history_share(1), LIMIT_RECORDS_PER_WORKLOAD);
}

static void without_memory_a_record_is_lost_and_nothing_else(void **state) {
    struct history h = {0};
    struct record r = numbered(1);
    history_add(&h, &r, 10);
    mem_fail_from(1);
    r = numbered(2);
    history_add(&h, &r, 10);
    mem_fail_never();
    assert_int_equal(h.n, 1);
    assert_int_equal(history_at(&h, 0)->sequence, 1);
    history_done(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_go_first),
        cmocka_unit_test(a_smaller_share_drops_what_is_over_it),
        cmocka_unit_test(the_share_keeps_within_the_budget),
        cmocka_unit_test(without_memory_a_record_is_lost_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
