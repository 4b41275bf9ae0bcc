// SPDX-License-Identifier: Apache-2.0
/* base/random: known values, ranges, and moments within bounds that a right generator meets. */
#include "base/random.h"
#include "unit.h"

#include <math.h>

enum { DRAWS = 1000000 };

// splitmix64(0) begins e220a8397b1dcdaf 6e789e6aa1b965f4 ... in its authors' reference.
static void the_seed_is_spread_by_splitmix64(void **state) {
    struct random r;
    random_init(&r, 0);
    assert_true(r.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(r.s[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(r.s[2] == UINT64_C(0x06c45d188009454f));
    assert_true(r.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

// From the state 1, 2, 3, 4 the reference xoshiro256** gives 11520, 0, 1509978240, ...
static void the_sequence_is_xoshiro256_starstar(void **state) {
    struct random r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    for (size_t i = 0; i < 4; i++)
        assert_true(random_u64(&r) == want[i]);
}

static void below_is_in_range_and_even(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    unsigned counts[7] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = random_below(&r, 7);
        assert_true(x < 7);
        counts[x]++;
    }
    for (int i = 0; i < 7; i++) // 6 standard deviations
        assert_true(fabs(counts[i] - DRAWS / 7.0) < 6 * sqrt(DRAWS / 7.0));
    for (int i = 0; i < 1000; i++) {
        assert_true(random_below(&r, 1) == 0);
        assert_true(random_below(&r, UINT64_MAX) < UINT64_MAX);
    }
}

static void moments(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    double unit = 0, normal = 0, square = 0, exponential = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = random_unit(&r), z = random_normal(&r), x = random_exponential(&r, 3);
        assert_true(u >= 0 && u < 1 && x >= 0 && isfinite(x) && isfinite(z));
        unit += u;
        normal += z;
        square += z * z;
        exponential += x;
    }
    double six = 6 / sqrt(DRAWS);
    assert_true(fabs(unit / DRAWS - 0.5) < six * 0.29);
    assert_true(fabs(normal / DRAWS) < six);
    assert_true(fabs(square / DRAWS - 1) < six * 1.42);
    assert_true(fabs(exponential / DRAWS - 3) < six * 3);
}

static void the_kernel_gives_different_bytes(void **state) {
    unsigned char a[300] = {0}, b[300] = {0};
    assert_int_equal(random_kernel(a, sizeof(a)), 0);
    assert_int_equal(random_kernel(b, sizeof(b)), 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_is_spread_by_splitmix64),
        cmocka_unit_test(the_sequence_is_xoshiro256_starstar),
        cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(moments),
        cmocka_unit_test(the_kernel_gives_different_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
