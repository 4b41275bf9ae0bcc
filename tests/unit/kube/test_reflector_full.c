// SPDX-License-Identifier: Apache-2.0
/* kube/reflector at its limit: more objects than a cache holds. */
#include "kube/reflector_lab.h"

static void more_objects_than_allowed_are_said_and_left_out(void **state) {
    struct lab l;
    lab_open(&l, 0, 3, unit_seed());
    for (int i = 0; i < 6; i++)
        model_set(l.m, i, true);
    list_all(&l);
    assert_int_equal(kube_reflector_stats(l.r)->objects, 3);
    assert_int_equal(l.s.problems, 1);
    assert_non_null(strstr(l.s.last_problem, "LIMIT_KUBE_OBJECTS"));
    assert_true(kube_reflector_stats(l.r)->over);
    begin(&l);
    end_status(&l, 410, -1);
    for (int i = 3; i < 6; i++)
        model_set(l.m, i, false);
    list_all(&l); // seen whole again
    assert_int_equal(kube_reflector_stats(l.r)->objects, 3);
    assert_false(kube_reflector_stats(l.r)->over);
    lab_close(&l);
}

static void only_these(struct lab *l, unsigned names) {
    for (int i = 0; i < 8; i++)
        if (names & 1u << i && !l->m->things[i].there)
            model_set(l->m, i, true);
    for (int i = 0; i < 8; i++)
        if (!(names & 1u << i))
            model_set(l->m, i, false);
}

// A list names new objects before it is known which old ones it does not name any more.
static void a_full_cache_lists_again_once_the_old_ones_made_room(void **state) {
    struct lab l;
    lab_open(&l, 2, 4, unit_seed());
    only_these(&l, 0xf0);
    list_all(&l);
    begin(&l);
    end_status(&l, 410, -1);
    only_these(&l, 0x71); // 7 went, 0 comes
    int64_t now = l.now;
    list_page(&l);
    list_page(&l);
    list_page(&l);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
    assert_int_equal(kube_reflector_due_ns(l.r), now);
    assert_int_equal(l.s.synced, 1); // the cache is not what the server has
    only_these(&l, 0x1e);            // and again others
    list_page(&l);
    list_page(&l);
    list_page(&l);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
    assert_true(kube_reflector_due_ns(l.r) > now);
    list_all(&l);
    assert_int_equal(kube_reflector_stats(l.r)->lists, 4);
    assert_int_equal(l.s.synced, 2);
    assert_int_equal(l.s.problems, 0);
    assert_false(kube_reflector_stats(l.r)->over);
    expect_same(l.s.things, l.m->things);
    expect_cache(l.r, &l.s);
    lab_close(&l);
}

// One of those that the cache holds goes, another comes.
static void replace_one(struct lab *l, int comes) {
    int goes = 0;
    while (!l->s.things[goes].there)
        goes++;
    model_set(l->m, goes, false);
    model_set(l->m, comes, true);
}

// Pods that are replaced all the time, where there are more of them than the cache may hold.
static void a_full_cache_whose_objects_are_replaced_is_over_and_watched_soon(void **state) {
    struct lab l;
    lab_open(&l, 0, 4, unit_seed());
    only_these(&l, 0x0f);
    list_all(&l);
    begin(&l);
    end_status(&l, 410, -1);
    only_these(&l, 0x3f); // 6
    int lists = 0;
    do {
        replace_one(&l, (6 + lists++) % 8);
        list_page(&l);
        assert_true(kube_reflector_stats(l.r)->over);
        assert_true(kube_reflector_stats(l.r)->objects < 4);
    } while (kube_reflector_phase(l.r) == KUBE_LIST_DUE && lists < 10);
    assert_int_equal(lists, 3);
    assert_int_equal(l.s.problems, 1);
    assert_non_null(strstr(l.s.last_problem, "LIMIT_KUBE_OBJECTS"));
    begin(&l);
    end_status(&l, 410, -1);
    only_these(&l, 0x0f); // fewer than it may hold: once a list has named them all, it is not over
    list_all(&l);
    assert_false(kube_reflector_stats(l.r)->over);
    expect_same(l.s.things, l.m->things);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_objects_than_allowed_are_said_and_left_out),
        cmocka_unit_test(a_full_cache_lists_again_once_the_old_ones_made_room),
        cmocka_unit_test(a_full_cache_whose_objects_are_replaced_is_over_and_watched_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
