// SPDX-License-Identifier: Apache-2.0
/* base/map: uthash under our hash, allocator and out-of-memory rule. */
#include "base/map.h"
#include "unit.h"

struct entry {
    char key[16];
    int value;
    UT_hash_handle hh;
};

static struct entry *add(struct entry **map, int i) {
    struct entry *e = mem_zalloc(sizeof(*e));
    if (!e)
        return NULL;
    snprintf(e->key, sizeof(e->key), "key-%d", i);
    e->value = i;
    HASH_ADD_STR(*map, key, e);
    if (map_oom()) {
        mem_free(e);
        return NULL;
    }
    return e;
}

static void done(struct entry **map) {
    struct entry *e, *next;
    HASH_ITER(hh, *map, e, next) {
        HASH_DEL(*map, e);
        mem_free(e);
    }
}

static void thousands_are_found_again(void **state) {
    struct entry *map = NULL;
    for (int i = 0; i < 5000; i++)
        assert_non_null(add(&map, i));
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%d", i);
        struct entry *e;
        HASH_FIND_STR(map, key, e);
        assert_non_null(e);
        assert_int_equal(e->value, i);
    }
    struct entry *none;
    HASH_FIND_STR(map, "key-5000", none);
    assert_null(none);
    done(&map);
}

static void the_hash_follows_the_seed(void **state) {
    map_seed_set(1);
    uint64_t one = map_hash("key", 3);
    assert_true(one == map_hash("key", 3));
    map_seed_set(2);
    assert_true(one != map_hash("key", 3));
}

// Whichever allocation fails, the entries that went in before are whole, and the loop goes on.
static void no_memory_is_an_error_not_an_exit(void **state) {
    map_seed_set(7);
    for (long n = 1; n < 40; n++) {
        struct entry *map = NULL;
        mem_fail_from(n);
        int added = 0;
        while (added < 300 && add(&map, added))
            added++;
        mem_fail_never();
        assert_int_equal(HASH_COUNT(map), added);
        for (int i = added; i < 400; i++)
            assert_non_null(add(&map, i));
        assert_int_equal(HASH_COUNT(map), 400);
        for (int i = 0; i < 400; i++) {
            char key[16];
            snprintf(key, sizeof(key), "key-%d", i);
            struct entry *e;
            HASH_FIND_STR(map, key, e);
            assert_non_null(e);
        }
        done(&map);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_are_found_again),
        cmocka_unit_test(the_hash_follows_the_seed),
        cmocka_unit_test(no_memory_is_an_error_not_an_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
