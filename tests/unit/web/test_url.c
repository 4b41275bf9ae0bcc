// SPDX-License-Identifier: Apache-2.0
/* Which URLs are fetched, and how they are shown. */
#include "base/limits.h"
#include "unit.h"
#include "web/fetch.h"

static void only_plain_http_urls_are_allowed(void **state) {
    static const struct {
        const char *url, *says; // says NULL: allowed
    } cases[] = {
        {"http://10.0.0.7:8000/metrics", NULL},
        {"https://engine.ns.svc:8443/metrics?format=prometheus", NULL},
        {"http://[fd00::1]:8000/metrics", NULL},
        {"HTTP://host/", NULL},
        {"", "empty"},
        {"10.0.0.7:8000/metrics", "http"},
        {"/metrics", "not a URL"},
        {"http://", "not a URL"},
        {"http://host:99999/", "not a URL"},
        {"http://ho st/", "not a URL"},
        {"http://host/\r\nX-Evil: 1", "not a URL"},
        {"file:///etc/passwd", "only http:// and https://"},
        {"ftp://host/", "only http:// and https://"},
        {"gopher://host/", "only http:// and https://"},
        {"http://user:hunter2@host/", "do not belong into a URL"},
        {"http://user@host/", "do not belong into a URL"},
        {"http:/user:hunter2@host/", "do not belong into a URL"},
        {"http://user:hunter2/3@host/", "not a URL"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = {0};
        int r = fetch_url_check(cases[i].url, &e);
        print_message("# %s\n", e.msg);
        assert_int_equal(r == 0, cases[i].says == NULL);
        if (cases[i].says)
            assert_non_null(strstr(e.msg, cases[i].says));
        assert_null(strstr(e.msg, "hunter2"));
    }
}

static void a_url_has_a_length_limit(void **state) {
    static char url[LIMIT_URL_BYTES + 32];
    struct err e = {0};
    memset(url, 'a', sizeof(url) - 1);
    memcpy(url, "http://h/", 9);
    assert_int_equal(fetch_url_check(url, &e), ERR_LIMIT);
}

static void credentials_query_and_control_characters_are_not_shown(void **state) {
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"http://h:1/p?token=s#f", "http://h:1/p"},
        {"http://u:p@h/x@y", "http://h/x@y"},
        {"http://u:p@q@h/", "http://h/"},
        {"http://u:p@h?x@y", "http://h"},
        {"http://h/\x1b[31m\n", "http://h/_[31m_"},
        {"u:p@h/x", "h/x"},
        // libcurl takes one slash or three for two, and finds user and password behind them.
        {"http:/u:p@h/x", "http:/h/x"},
        {"http:///u:p@h/x", "http:///h/x"},
        // A password that was not percent-encoded; a port that is a typing mistake.
        {"http://u:p/q@h/x", "http://h/x"},
        {"http://u:p?q#r@h/x", "http://h/x"},
        {"http://h:8o80/x", "http://h:8o80/x"},
        {"http://[::1]:80/x@y", "http://[::1]:80/x@y"},
        {"http://[::1]/x@y", "http://[::1]/x@y"},
        {"http://h:/x@y", "http://h:/x@y"},
        {"http://?@", "http://"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char shown[64];
        fetch_url_redact(str_from(cases[i].url), shown, sizeof(shown));
        assert_string_equal(shown, cases[i].shown);
    }
    char small[8];
    fetch_url_redact(STR("http://host/path"), small, sizeof(small));
    assert_string_equal(small, "http://");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_http_urls_are_allowed),
        cmocka_unit_test(a_url_has_a_length_limit),
        cmocka_unit_test(credentials_query_and_control_characters_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
