// SPDX-License-Identifier: Apache-2.0
/* base/vec: growth up to the maximum. */
#include "base/vec.h"
#include "unit.h"

struct int_vec VEC(int);

static void grows_to_its_maximum_and_no_further(void **state) {
    static const size_t maxima[] = {0, 1, 3, 4, 5, 100, 1000};
    for (size_t m = 0; m < COUNT_OF(maxima); m++) {
        struct int_vec v;
        vec_init(&v, maxima[m]);
        for (size_t i = 0; i < maxima[m]; i++)
            assert_int_equal(vec_push(&v, (int)i), 0);
        assert_int_equal(vec_push(&v, -1), ERR_LIMIT);
        assert_int_equal(v.n, maxima[m]);
        assert_true(v.cap <= maxima[m]);
        for (size_t i = 0; i < v.n; i++)
            assert_int_equal(v.items[i], i);
        vec_done(&v);
        assert_null(v.items);
    }
}

static void no_memory_keeps_the_items(void **state) {
    struct int_vec v;
    vec_init(&v, 100);
    for (int i = 0; i < 4; i++)
        assert_int_equal(vec_push(&v, i), 0);
    mem_fail_from(1);
    assert_int_equal(vec_push(&v, 4), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(v.n, 4);
    assert_int_equal(v.items[3], 3);
    assert_int_equal(vec_push(&v, 4), 0);
    vec_done(&v);
}

static void a_size_that_overflows_is_no_memory(void **state) {
    void *items = NULL;
    size_t cap = 0;
    assert_int_equal(vec_grow_(&items, 0, &cap, SIZE_MAX, SIZE_MAX / 2), ERR_NOMEM);
    assert_int_equal(cap, 0);
}

static void remove_keeps_the_order(void **state) {
    struct int_vec v;
    vec_init(&v, 10);
    for (int i = 0; i < 5; i++)
        assert_int_equal(vec_push(&v, i), 0);
    vec_remove(&v, 0);
    vec_remove(&v, 3);
    vec_remove(&v, 1);
    assert_int_equal(v.n, 2);
    assert_int_equal(v.items[0], 1);
    assert_int_equal(v.items[1], 3);
    vec_clear(&v);
    assert_int_equal(v.n, 0);
    vec_done(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_its_maximum_and_no_further),
        cmocka_unit_test(no_memory_keeps_the_items),
        cmocka_unit_test(a_size_that_overflows_is_no_memory),
        cmocka_unit_test(remove_keeps_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
