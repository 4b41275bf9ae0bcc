// SPDX-License-Identifier: Apache-2.0
/* base/mem: checked products, and the hook that makes allocations fail. */
#include "base/mem.h"
#include "unit.h"

#include <pthread.h>
#include <stdbool.h>

static void products_that_overflow_give_null(void **state) {
    assert_null(mem_array(SIZE_MAX / 2, 3));
    char *p = mem_alloc(8);
    assert_null(mem_resize(p, SIZE_MAX / 4, 8));
    memcpy(p, "kept...", 8); // a refused resize keeps the old block
    char *bigger = mem_resize(p, 4, 4);
    assert_string_equal(bigger, "kept...");
    mem_free(bigger);
    assert_null(mem_alloc_aligned(64, SIZE_MAX - 3));
}

static void nothing_is_still_something_to_free(void **state) {
    void *all[] = {mem_alloc(0), mem_zalloc(0), mem_array(0, 8), mem_resize(NULL, 0, 8)};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_non_null(all[i]);
        mem_free(all[i]);
    }
    mem_free(NULL);
}

static void zeroed_and_aligned(void **state) {
    unsigned char *p = mem_array(100, 7);
    for (int i = 0; i < 700; i++)
        assert_int_equal(p[i], 0);
    mem_free(p);
    void *a = mem_alloc_aligned(64, 1);
    assert_int_equal((uintptr_t)a % 64, 0);
    mem_free(a);
}

static void copies_end_with_nul(void **state) {
    CLEANUP_FREE char *a = mem_strndup("abcdef", 3);
    CLEANUP_FREE char *b = mem_strndup("ab", 30);
    CLEANUP_FREE char *c = mem_strdup("");
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    assert_string_equal(c, "");
}

static void *other_thread(void *arg) {
    void *p = mem_alloc(1);
    bool *got = arg;
    *got = p != NULL;
    mem_free(p);
    return NULL;
}

static void the_hook_fails_from_n_on_in_this_thread_alone(void **state) {
    mem_fail_from(2);
    void *first = mem_alloc(1);
    assert_non_null(first);
    assert_null(mem_alloc(1));
    assert_null(mem_zalloc(1));
    assert_null(mem_array(1, 1));
    assert_null(mem_alloc_aligned(16, 1));
    assert_null(mem_strdup("x"));
    assert_null(mem_resize(first, 2, 1));
    assert_int_equal(mem_fail_count(), 7);
    pthread_t t;
    bool got = false;
    assert_int_equal(pthread_create(&t, NULL, other_thread, &got), 0);
    pthread_join(t, NULL);
    assert_true(got);
    mem_fail_never();
    assert_int_equal(mem_fail_count(), 0);
    first = mem_resize(first, 2, 1);
    assert_non_null(first);
    assert_int_equal(mem_fail_count(), 1);
    mem_free(first);
}

static void take_ptr_moves(void **state) {
    char *p = mem_strdup("x");
    char *q = TAKE_PTR(p);
    assert_null(p);
    assert_string_equal(q, "x");
    mem_free(q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_overflow_give_null),
        cmocka_unit_test(nothing_is_still_something_to_free),
        cmocka_unit_test(zeroed_and_aligned),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(the_hook_fails_from_n_on_in_this_thread_alone),
        cmocka_unit_test(take_ptr_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
