// SPDX-License-Identifier: Apache-2.0
/* The soft limit of descriptors goes up as far as the hard one, and never down. */
#include "unit.h"

#include <sys/resource.h>

#include "net/descriptors.h"

static void set_soft(rlim_t n) {
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static rlim_t soft(void) {
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    return r.rlim_cur;
}

static void test_it_goes_up_to_what_is_wanted(void **state) {
    set_soft(100);
    assert_int_equal(net_descriptors_raise(150), 150);
    assert_int_equal(soft(), 150);
}

static void test_it_never_goes_down(void **state) {
    set_soft(100);
    assert_int_equal(net_descriptors_raise(50), 100);
    assert_int_equal(soft(), 100);
}

static void test_it_stops_at_the_hard_limit(void **state) {
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    set_soft(100);
    if (r.rlim_max == RLIM_INFINITY)
        return; // not skip(): meson takes cmocka's TAP line of it for a failure
    assert_int_equal(net_descriptors_raise((uint64_t)r.rlim_max + 1), r.rlim_max);
    assert_int_equal(soft(), r.rlim_max);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_goes_up_to_what_is_wanted),
        cmocka_unit_test(test_it_never_goes_down),
        cmocka_unit_test(test_it_stops_at_the_hard_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
