// SPDX-License-Identifier: Apache-2.0
/* kube/backoff: bounds, doubling, jitter, and the server's own time. */
#include "base/clock.h"
#include "base/limits.h"
#include "kube/backoff.h"
#include "unit.h"

static void waits_double_between_half_and_all_of_the_step_up_to_the_maximum(void **state) {
    uint64_t seed = unit_seed();
    for (unsigned round = 0; round < 200; round++) {
        struct kube_backoff b;
        kube_backoff_init(&b, KUBE_BACKOFF_MIN_NS, KUBE_BACKOFF_MAX_NS, seed + round);
        int64_t full = KUBE_BACKOFF_MIN_NS;
        for (unsigned i = 0; i < 40; i++) {
            int64_t wait = kube_backoff_next_ns(&b, -1);
            assert_true(wait >= full / 2 && wait <= full);
            full = full * 2 > KUBE_BACKOFF_MAX_NS ? KUBE_BACKOFF_MAX_NS : full * 2;
        }
        kube_backoff_reset(&b);
        assert_true(kube_backoff_next_ns(&b, -1) <= KUBE_BACKOFF_MIN_NS);
    }
}

static void two_seeds_do_not_come_back_together(void **state) {
    struct kube_backoff a, b;
    kube_backoff_init(&a, NS_PER_S, 30 * NS_PER_S, 1);
    kube_backoff_init(&b, NS_PER_S, 30 * NS_PER_S, 2);
    assert_true(kube_backoff_next_ns(&a, -1) != kube_backoff_next_ns(&b, -1));
}

static void never_before_the_time_that_the_server_names_and_that_is_bounded(void **state) {
    struct kube_backoff b;
    kube_backoff_init(&b, NS_PER_S, 30 * NS_PER_S, unit_seed());
    for (int i = 0; i < 100; i++) {
        int64_t wait = kube_backoff_next_ns(&b, 20000);
        assert_true(wait >= 20 * NS_PER_S && wait <= 20 * NS_PER_S + 30 * NS_PER_S / 4);
    }
    int64_t wait = kube_backoff_next_ns(&b, INT64_MAX);
    assert_true(wait <= LIMIT_KUBE_RETRY_AFTER_MS * NS_PER_MS + 30 * NS_PER_S / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_between_half_and_all_of_the_step_up_to_the_maximum),
        cmocka_unit_test(two_seeds_do_not_come_back_together),
        cmocka_unit_test(never_before_the_time_that_the_server_names_and_that_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
