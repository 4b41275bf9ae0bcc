// SPDX-License-Identifier: Apache-2.0
/* scaler/view: which namespaces are in a view. */
#include "unit.h"

#include "base/mem.h"
#include "scaler/view.h"

static const char *const names[] = {"a", "ab", "b-1", "ml"};
static const struct view some = {.names = names, .n = COUNT_OF(names)}, none = {0};

static void a_view_has_its_names_and_no_others(void **state) {
    static const char *const others[] = {"", "A", "aa", "abc", "b", "b-", "b-11", "m", "mlx", "z"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_true(view_has(&some, str_from(names[i])));
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_false(view_has(&some, str_from(others[i])));
        assert_true(view_has(&view_all, str_from(others[i])));
    }
    assert_true(view_has(&some, (struct str){"mlx", 2})); // need not end with NUL
    assert_false(view_has(&none, STR("")));
}

static void a_copy_is_equal_and_its_own(void **state) {
    const struct view *const all[] = {&some, &none, &view_all};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct view *copy = view_copy(all[i]);
        assert_non_null(copy);
        for (size_t k = 0; k < COUNT_OF(all); k++)
            assert_int_equal(view_equal(copy, all[k]), i == k);
        if (copy->n > 0)
            assert_ptr_not_equal(copy->names[0], names[0]);
        assert_int_equal(view_has(copy, STR("ml")), view_has(all[i], STR("ml")));
        view_free(copy);
    }
    const struct view fewer = {.names = names, .n = 3}, other = {.names = names + 1, .n = 3};
    assert_false(view_equal(&fewer, &some));
    assert_false(view_equal(&fewer, &other));
    mem_fail_from(1);
    assert_null(view_copy(&some));
    mem_fail_never();
    view_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_has_its_names_and_no_others),
        cmocka_unit_test(a_copy_is_equal_and_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
