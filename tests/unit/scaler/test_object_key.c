// SPDX-License-Identifier: Apache-2.0
/* Identity of a trigger: order does not matter, everything else does. */
#include "scaler/object_key.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "unit.h"

#define PAIR(k, v)                                                                                 \
    { STR(k), STR(v) }

static struct object_key *key_of(const struct object_ref *r) {
    struct object_hash h;
    object_ref_hash(r, &h);
    return object_key_new(r, &h);
}

static bool same(const struct object_ref *a, const struct object_ref *b) {
    struct object_hash h;
    object_ref_hash(b, &h);
    struct object_key *k = key_of(a);
    bool is = object_key_matches(k, b, &h);
    object_key_free(k);
    return is;
}

static void order_of_a_go_map_does_not_matter(void **state) {
    struct object_pair pairs[] = {PAIR("scalerAddress", "scaler:9443"), PAIR("engine", "vllm"),
                                  PAIR("capacity", "2"), PAIR("queue", "10"), PAIR("when", "all")};
    struct object_ref a = {STR("prod"), STR("llm"), pairs, COUNT_OF(pairs)};
    struct object_key *k = key_of(&a);
    struct random r;
    random_init(&r, unit_seed());
    for (int round = 0; round < 500; round++) {
        struct object_pair shuffled[COUNT_OF(pairs)];
        memcpy(shuffled, pairs, sizeof(pairs));
        for (size_t i = COUNT_OF(pairs) - 1; i > 0; i--) {
            size_t j = random_below(&r, i + 1);
            struct object_pair t = shuffled[i];
            shuffled[i] = shuffled[j];
            shuffled[j] = t;
        }
        struct object_ref b = {STR("prod"), STR("llm"), shuffled, COUNT_OF(pairs)};
        struct object_hash h;
        object_ref_hash(&b, &h);
        assert_true(object_key_matches(k, &b, &h));
    }
    object_key_free(k);
}

static void every_difference_makes_another_object(void **state) {
    struct object_pair p[] = {PAIR("queue", "10"), PAIR("capacity", "2")};
    struct object_pair value[] = {PAIR("queue", "11"), PAIR("capacity", "2")};
    struct object_pair key[] = {PAIR("queuE", "10"), PAIR("capacity", "2")};
    struct object_pair swapped[] = {PAIR("queue", "2"), PAIR("capacity", "10")};
    struct object_pair moved[] = {PAIR("queue1", "0"), PAIR("capacity", "2")};
    struct object_pair twice[] = {PAIR("queue", "10"), PAIR("queue", "10")};
    struct object_ref base = {STR("ns"), STR("so"), p, 2};
    struct object_ref others[] = {
        {STR("ns"), STR("so"), p, 2, .rule = true},
        {STR("ns"), STR("so"), value, 2},
        {STR("ns"), STR("so"), key, 2},
        {STR("ns"), STR("so"), swapped, 2},
        {STR("ns"), STR("so"), moved, 2},
        {STR("ns"), STR("so"), twice, 2},
        {STR("ns"), STR("so"), p, 1},
        {STR("ns"), STR("so"), p, 0},
        {STR("n"), STR("sso"), p, 2},
        {STR("so"), STR("ns"), p, 2},
        {STR("ns2"), STR("so"), p, 2},
        {STR("ns"), STR("so2"), p, 2},
    };
    assert_true(same(&base, &base));
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_false(same(&base, &others[i]));
        assert_false(same(&others[i], &base));
        assert_true(same(&others[i], &others[i]));
    }
}

// Two references with equal hashes are still told apart by their bytes.
static void equal_hashes_do_not_suffice(void **state) {
    struct object_pair p[] = {PAIR("a", "1")}, q[] = {PAIR("a", "2")};
    struct object_ref a = {STR("ns"), STR("so"), p, 1}, b = {STR("ns"), STR("so"), q, 1};
    struct object_hash h;
    object_ref_hash(&a, &h);
    struct object_key *k = object_key_new(&a, &h);
    assert_true(object_key_matches(k, &a, &h));
    assert_false(object_key_matches(k, &b, &h)); // with a's hashes
    object_key_free(k);
}

static void copy_owns_its_bytes(void **state) {
    char name[] = "so", value[] = "10";
    struct object_pair p[] = {{STR("queue"), {value, 2}}};
    struct object_ref a = {STR("ns"), {name, 2}, p, 1};
    struct object_key *k = key_of(&a);
    memset(name, 'x', 2);
    memset(value, 'x', 2);
    assert_string_equal(k->ref.name.p, "so");
    assert_string_equal(k->ref.namespace_.p, "ns");
    assert_string_equal(k->ref.pairs[0].value.p, "10");
    object_key_free(k);
}

static void no_memory_is_told(void **state) {
    struct object_ref a = {STR("ns"), STR("so"), NULL, 0};
    struct object_hash h;
    object_ref_hash(&a, &h);
    mem_fail_from(1);
    assert_null(object_key_new(&a, &h));
    mem_fail_never();
    assert_null(object_key_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_a_go_map_does_not_matter),
        cmocka_unit_test(every_difference_makes_another_object),
        cmocka_unit_test(equal_hashes_do_not_suffice),
        cmocka_unit_test(copy_owns_its_bytes),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
