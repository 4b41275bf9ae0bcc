// SPDX-License-Identifier: Apache-2.0
/* manifest/reader: fields of loose maps, and errors at their places. */
#include "manifest/reader.h"

#include "base/mem.h"
#include "manifest/sample.h"

static void fields_are_found_and_unknown_ones_ignored(void **state) {
    struct sample s;
    sample_start(&s, "n: 3\nt: '7'\nq: 1500m\nwhen: 2026-11-23T12:00:00Z\nnothing: null\n"
                     "x: {deep: [1, {y: z}]}\nnumber: 1.5\n");
    int32_t n = 0;
    double d = 0;
    struct quantity q = {0};
    int64_t at = 0;
    assert_true(manifest_int32(&s.r, s.root, "n", &n));
    assert_int_equal(n, 3);
    assert_string_equal(manifest_string(&s.r, s.root, "t"), "7");
    assert_string_equal(manifest_text(&s.r, s.root, "n"), "3");
    assert_true(manifest_quantity(&s.r, s.root, "q", &q));
    assert_int_equal(q.milli, 1500);
    assert_true(manifest_time(&s.r, s.root, "when", &at));
    assert_int_equal(at, INT64_C(1795435200) * 1000000000);
    assert_true(manifest_number(&s.r, s.root, "number", &d));
    assert_true(d == 1.5);
    assert_null(manifest_get(&s.r, s.root, "nothing"));
    assert_null(manifest_get(&s.r, s.root, "absent"));
    assert_false(manifest_int32(&s.r, s.root, "absent", &n));
    assert_null(manifest_string(&s.r, NULL, "n"));
    assert_int_equal(s.r.r, 0);
    sample_end(&s);
}

enum what { STRING, INT32, NUMBER, QUANTITY, TIME, MAP, LIST };
static const struct {
    const char *text;
    enum what what;
    const char *message;
} wrong[] = {
    {"a: 1\nk: 5\n", STRING, "f.yaml:2:4: 'k': found '5', expected a string (put it in quotes)"},
    {"k: true\n", STRING, "f.yaml:1:4: 'k': found 'true', expected a string (put it in quotes)"},
    {"k: [1]\n", STRING, "f.yaml:1:4: 'k': found a list, expected a string"},
    {"k: x\n", INT32, "f.yaml:1:4: 'k': found 'x', expected a whole number"},
    {"k: 1.0\n", INT32, "f.yaml:1:4: 'k': found '1.0', expected a whole number"},
    {"k: '3'\n", INT32, "f.yaml:1:4: 'k': found '3', expected a whole number without quotes"},
    {"k: 2147483648\n", INT32,
     "f.yaml:1:4: 'k': found '2147483648', expected a whole number of 32 bits"},
    {"k: nan\n", NUMBER, "f.yaml:1:4: 'k': found 'nan', expected a number"},
    {"k: 5 apples\n", QUANTITY,
     "f.yaml:1:4: 'k': found '5 apples', expected a number or a quantity such as 100m, 1.5, 2Gi"},
    {"k: {}\n", QUANTITY,
     "f.yaml:1:4: 'k': found a map, expected a number or a quantity such as 100m, 1.5, 2Gi"},
    {"k: 1e500\n", QUANTITY,
     "f.yaml:1:4: 'k': found '1e500', expected a quantity of fewer digits (LIMIT_QUANTITY_DIGITS)"},
    {"k: yesterday\n", TIME,
     "f.yaml:1:4: 'k': found 'yesterday', expected a time such as 2026-11-23T12:00:00Z"},
    {"k: 1\n", MAP, "f.yaml:1:4: 'k': found '1', expected a map"},
    {"k: {}\n", LIST, "f.yaml:1:4: 'k': found a map, expected a list"},
    {"k: 1\nk: 2\n", INT32, "f.yaml:2:4: 'k': given twice, first at line 1"},
    {"k: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4zz\n", INT32,
     "f.yaml:1:4: 'k': found 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', expected a whole "
     "number"},
};

static void ask(struct sample *s, enum what what) {
    int32_t n;
    double d;
    struct quantity q;
    int64_t t;
    switch (what) {
    case STRING:
        (void)manifest_string(&s->r, s->root, "k");
        return;
    case INT32:
        (void)manifest_int32(&s->r, s->root, "k", &n);
        return;
    case NUMBER:
        (void)manifest_number(&s->r, s->root, "k", &d);
        return;
    case QUANTITY:
        (void)manifest_quantity(&s->r, s->root, "k", &q);
        return;
    case TIME:
        (void)manifest_time(&s->r, s->root, "k", &t);
        return;
    case MAP:
        (void)manifest_map(&s->r, s->root, "k");
        return;
    case LIST:
        (void)manifest_list(&s->r, s->root, "k");
        return;
    }
}

static void wrong_ones_are_told_with_place_and_remedy(void **state) {
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct sample s;
        sample_start(&s, wrong[i].text);
        ask(&s, wrong[i].what);
        assert_true(s.r.r < 0);
        assert_string_equal(s.e.msg, wrong[i].message);
        sample_end(&s);
    }
}

static void names_of_a_set_are_suggested(void **state) {
    static const char *const names[] = {"Utilization", "Value", NULL};
    struct sample s;
    sample_start(&s, "type: Utilisation\n");
    unsigned v = 9;
    assert_false(manifest_enum(&s.r, s.root, "type", names, &v));
    assert_int_equal(v, 9);
    assert_string_equal(s.e.msg, "f.yaml:1:7: 'type': found 'Utilisation', expected one of"
                                 " Utilization, Value; did you mean Utilization?");
    sample_end(&s);
}

static void the_first_failure_sticks(void **state) {
    struct sample s;
    sample_start(&s, "a: x\nb: y\nc: z\n");
    int32_t n;
    assert_false(manifest_int32(&s.r, s.root, "a", &n));
    assert_false(manifest_int32(&s.r, s.root, "b", &n));
    assert_null(manifest_string(&s.r, s.root, "c"));
    assert_null(manifest_array(&s.r, 1, 1));
    assert_non_null(strstr(s.e.msg, "'a'"));
    assert_int_equal(s.r.r, ERR_INVALID);
    sample_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_and_unknown_ones_ignored),
        cmocka_unit_test(wrong_ones_are_told_with_place_and_remedy),
        cmocka_unit_test(names_of_a_set_are_suggested),
        cmocka_unit_test(the_first_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
