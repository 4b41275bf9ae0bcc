// SPDX-License-Identifier: Apache-2.0
/* Targets: URLs taken apart, and refused with the remedy. */
#include "unit.h"

#include "base/mem.h"
#include "load/target.h"

static void urls_are_taken_apart(void **state) {
    static const struct {
        const char *url, *host, *authority, *path;
        unsigned port;
        bool tls, has_path;
    } rows[] = {
        {"http://127.0.0.1:8000", "127.0.0.1", "127.0.0.1:8000", "/", 8000, false, false},
        {"http://a", "a", "a", "/", 80, false, false},
        {"http://a:80/", "a", "a", "/", 80, false, false},
        {"https://a.example/x?y=%20", "a.example", "a.example", "/x?y=%20", 443, true, true},
        {"https://a:8443?q", "a", "a:8443", "/?q", 8443, true, true},
        {"http://[::1]:9/v1/completions", "::1", "[::1]:9", "/v1/completions", 9, false, true},
        {"http://[::1]/", "::1", "[::1]", "/", 80, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct load_target t;
        struct err e = {0};
        if (load_target_parse(&t, rows[i].url, &e) < 0)
            fail_msg("%s: %s", rows[i].url, e.msg);
        assert_string_equal(t.host, rows[i].host);
        assert_string_equal(t.authority, rows[i].authority);
        assert_string_equal(t.path, rows[i].path);
        assert_int_equal(t.port, rows[i].port);
        assert_true(t.tls == rows[i].tls && t.has_path == rows[i].has_path);
    }
}

static void other_urls_are_refused_and_passwords_are_not_repeated(void **state) {
    static const char *const urls[] = {
        "",
        "a",
        "127.0.0.1:80",
        "ftp://a/",
        "http:/a",
        "http://",
        "http:///x",
        "http://:80/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:x/",
        "http://[::1/",
        "http://[::1]x/",
        "http://a b/",
        "http://a/#x",
        "HTTP://a/",
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct load_target t;
        struct err e = {0};
        if (load_target_parse(&t, urls[i], &e) != ERR_INVALID || !strstr(e.msg, "--target"))
            fail_msg("%s: %s", urls[i], e.msg);
    }
    struct load_target t;
    struct err e = {0};
    assert_int_equal(load_target_parse(&t, "http://user:secret@a/", &e), ERR_INVALID);
    assert_null(strstr(e.msg, "secret"));
    assert_non_null(strstr(e.msg, "--header"));
    char longest[LIMIT_URL_BYTES + 64];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "http://a/", 9);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(load_target_parse(&t, longest, &e), ERR_INVALID);
}

static void addresses_need_no_resolver(void **state) {
    struct load_target t;
    struct err e = {0};
    char text[64];
    assert_int_equal(load_target_parse(&t, "http://[::1]:81/", &e), 0);
    assert_int_equal(load_target_resolve(&t, &e), 0);
    assert_int_equal(t.n_addrs, 1);
    net_addr_format(&t.addrs[0], text, sizeof(text));
    assert_string_equal(text, "[::1]:81");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(other_urls_are_refused_and_passwords_are_not_repeated),
        cmocka_unit_test(addresses_need_no_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
