// SPDX-License-Identifier: Apache-2.0
/* net/keyed_digest: the same question has the same digest, another one or another key has not. */
#include "unit.h"

#include "base/mem.h"
#include "net/keyed_digest.h"

static struct net_digest of(const struct net_digest_key *key, const char *a, const char *b) {
    const struct str parts[] = {str_from(a), str_from(b)};
    struct net_digest d;
    assert_int_equal(net_digest_of(&d, key, parts, COUNT_OF(parts)), 0);
    return d;
}

static bool same(struct net_digest a, struct net_digest b) {
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

static void parts_keep_their_borders(void **state) {
    struct net_digest_key key;
    assert_int_equal(net_digest_key_make(&key, NULL), 0);
    assert_true(same(of(&key, "a", "bc"), of(&key, "a", "bc")));
    assert_false(same(of(&key, "a", "bc"), of(&key, "ab", "c")));
    assert_false(same(of(&key, "a", ""), of(&key, "", "a")));
    assert_true(same(of(&key, "", ""), of(&key, "", "")));
}

static void each_key_makes_others(void **state) {
    struct net_digest_key one, two;
    assert_int_equal(net_digest_key_make(&one, NULL), 0);
    assert_int_equal(net_digest_key_make(&two, NULL), 0);
    assert_false(same(of(&one, "a", "b"), of(&two, "a", "b")));
}

// Python: hmac(key, hmac(key, text)), the key "Jefe" and zeros up to 32 bytes (RFC 4231, case 2).
static void it_is_hmac_sha_256(void **state) {
    const struct net_digest_key key = {"Jefe"};
    static const struct net_digest expected = {{0xb9, 0xf8, 0xf5, 0x0c, 0xba, 0x20, 0x77, 0x5b,
                                                0x90, 0xad, 0x48, 0xc8, 0x23, 0xa1, 0xa1, 0x42,
                                                0xd3, 0x94, 0x10, 0x0b, 0xe9, 0xf3, 0xe2, 0x7a,
                                                0xc6, 0xba, 0xa2, 0xbb, 0xa8, 0x91, 0x41, 0x35}};
    struct net_digest d;
    const struct str text = STR("what do ya want for nothing?");
    assert_int_equal(net_digest_of(&d, &key, &text, 1), 0);
    assert_true(same(d, expected));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_keep_their_borders),
        cmocka_unit_test(each_key_makes_others),
        cmocka_unit_test(it_is_hmac_sha_256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
