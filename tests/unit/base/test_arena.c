// SPDX-License-Identifier: Apache-2.0
/* base/arena: alignment, the cap, and poison under ASan. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/random.h"
#include "unit.h"

static void objects_are_aligned_apart_and_kept(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 8 << 20);
    struct {
        unsigned char *p;
        size_t n;
        unsigned char fill;
    } all[2000];
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        all[i].n = random_below(&r, random_below(&r, 50) == 0 ? 100000 : 300);
        all[i].fill = (unsigned char)i;
        all[i].p = arena_alloc(&a, all[i].n);
        assert_non_null(all[i].p);
        assert_int_equal((uintptr_t)all[i].p % 16, 0);
        memset(all[i].p, all[i].fill, all[i].n);
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        for (size_t k = 0; k < all[i].n; k++)
            assert_int_equal(all[i].p[k], all[i].fill);
    }
    assert_true(a.used <= a.max);
}

static void the_cap_holds(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1000);
    size_t got = 0;
    while (arena_alloc(&a, 10))
        got++;
    assert_int_equal(got, 1000 / 16);
    assert_true(a.used <= 1000);
    assert_null(arena_alloc(&a, 16));
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_null(arena_alloc(&a, 1001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 14));
    assert_null(arena_array(&a, SIZE_MAX / 2, 4));
    assert_non_null(arena_alloc(&a, 992));
}

static void reset_keeps_one_block_and_zalloc_zeroes_again(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    memset(arena_alloc(&a, 500), 0xff, 500);
    arena_alloc(&a, 100000);
    arena_reset(&a);
    mem_fail_from(1);
    unsigned char *p = arena_zalloc(&a, 500);
    mem_fail_never();
    assert_non_null(p);
    for (int i = 0; i < 500; i++)
        assert_int_equal(p[i], 0);
}

static void text(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 4096);
    assert_string_equal(arena_strdup(&a, (struct str){"abcdef", 3}), "abc");
    assert_string_equal(arena_strdup(&a, (struct str){NULL, 0}), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
    assert_null(arena_printf(&a, "%5000d", 7));
}

static void no_memory_gives_null_and_can_be_tried_again(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    mem_fail_from(1);
    assert_null(arena_alloc(&a, 8));
    assert_null(arena_strdup(&a, STR("x")));
    assert_null(arena_printf(&a, "x"));
    mem_fail_never();
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_aligned_apart_and_kept),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(reset_keeps_one_block_and_zalloc_zeroes_again),
        cmocka_unit_test(text),
        cmocka_unit_test(no_memory_gives_null_and_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
