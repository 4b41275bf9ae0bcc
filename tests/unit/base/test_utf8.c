// SPDX-License-Identifier: Apache-2.0
/*
 * base/utf8: every scalar value is accepted, and every sequence of one to three bytes, and every
 * class of four, is judged as an independent decoder judges it.
 */
#include "base/utf8.h"
#include "unit.h"

static size_t encode(uint32_t c, unsigned char *p) {
    if (c < 0x80) {
        p[0] = (unsigned char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        p[i] = (unsigned char)(0x80 | (c & 0x3f));
    p[0] = (unsigned char)(lead[n] | c);
    return n;
}

// By decoding: the value must be what the shortest encoding of a scalar value gives.
static bool reference(const unsigned char *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        unsigned char c = p[i];
        size_t len = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : 4;
        if ((c & 0xc0) == 0x80 || c >= 0xf8 || n - i < len)
            return false;
        uint32_t v = len == 1 ? c : c & (0x7fu >> len);
        for (size_t k = 1; k < len; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            v = v << 6 | (p[i + k] & 0x3f);
        }
        unsigned char again[4];
        if (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) || encode(v, again) != len)
            return false;
        i += len;
    }
    return true;
}

static void check(const unsigned char *p, size_t n) {
    if (utf8_valid((const char *)p, n) != reference(p, n))
        fail_msg("%02x %02x, %zu bytes", n ? p[0] : 0, n > 1 ? p[1] : 0, n);
}

static void every_scalar_value_is_valid_and_no_prefix_of_it(void **state) {
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        unsigned char p[4] = {0};
        size_t n = encode(c, p);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        if (utf8_valid((char *)p, n) == surrogate)
            fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < n; cut++) {
            if (utf8_valid_prefix((char *)p, cut) != 0)
                fail_msg("U+%04X cut to %zu", c, cut);
        }
    }
}

static void every_sequence_up_to_three_bytes(void **state) {
    for (uint32_t v = 0; v < 1u << 24; v++) {
        unsigned char p[4] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
        if (v < 1u << 8)
            check(p + 2, 1);
        if (v < 1u << 16)
            check(p + 1, 2);
        check(p, 3);
    }
}

static void every_class_of_four_bytes(void **state) {
    static const unsigned char edges[] = {
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
        0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfb, 0xfc, 0xfe, 0xff};
    enum { N = sizeof(edges) };
    for (uint32_t v = 0; v < N * N * N * N; v++) {
        unsigned char p[4] = {edges[v / (N * N * N)], edges[v / (N * N) % N], edges[v / N % N],
                              edges[v % N]};
        check(p, 4);
    }
}

// The eight-bytes-at-a-time path: a bad byte at every place of a longer text.
static void the_valid_prefix_ends_at_the_bad_byte(void **state) {
    char text[64];
    for (size_t n = 1; n < sizeof(text); n++) {
        for (size_t bad = 0; bad < n; bad++) {
            memset(text, 'a', n);
            text[bad] = '\x80';
            assert_int_equal(utf8_valid_prefix(text, n), bad);
            text[bad] = '\xe2'; // a start without its rest
            assert_int_equal(utf8_valid_prefix(text, n), bad);
        }
    }
    assert_int_equal(utf8_valid_prefix("", 0), 0);
    assert_true(utf8_valid("1234567\xe2\x82\xac"
                           "89",
                           12));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_is_valid_and_no_prefix_of_it),
        cmocka_unit_test(every_sequence_up_to_three_bytes),
        cmocka_unit_test(every_class_of_four_bytes),
        cmocka_unit_test(the_valid_prefix_ends_at_the_bad_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
