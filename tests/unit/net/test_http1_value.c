// SPDX-License-Identifier: Apache-2.0
/* Query parameters, accepted codings, names of status codes. */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/http1.h"

static void parameters_are_found_and_decoded(void **state) {
    static const struct {
        const char *query, *name, *value;
        int code;
    } cases[] = {
        {"a=1&b=2", "b", "2", 0},
        {"a=1&a=2", "a", "1", 0},
        {"a", "a", "", 0},
        {"a=", "a", "", 0},
        {"&&a=x", "a", "x", 0},
        {"a=b=c", "a", "b=c", 0},
        {"n%61me=1", "name", "1", 0},
        {"a=%C3%A9+x%2B", "a", "\xc3\xa9 x+", 0},
        {"match[]=up%7Bjob%3D%22a%22%7D", "match[]", "up{job=\"a\"}", 0},
        {"", "a", "?", ERR_NOTFOUND},
        {"ab=1", "a", "?", ERR_NOTFOUND},
        {"a=%00", "a", "", ERR_PARSE},
        {"a=%4", "a", "", ERR_PARSE},
        {"a=0123456789012345", "a", "", ERR_LIMIT},
        {"a=012345678901234", "a", "012345678901234", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char value[16] = "?";
        int r = http1_query_param(str_from(cases[i].query), cases[i].name, value, sizeof(value));
        if (r != cases[i].code || strcmp(value, cases[i].value) != 0)
            fail_msg("%s: %d \"%s\"", cases[i].query, r, value);
    }
    assert_int_equal(http1_query_param(STR("a=1"), "a", NULL, 0), ERR_LIMIT);
}

static void accept_chooses_among_offers_by_weight_then_by_name_then_by_order(void **state) {
    static const struct http_offer offers[] = {
        {.type = "text/plain", .version = "0.0.4"},
        {.type = "application/openmetrics-text", .version = "1.0.0", .named_only = true},
    };
    enum { TEXT, OM };
    static const struct {
        const char *accept;
        size_t wanted;
    } cases[] = {
        {"", TEXT},
        {"*/*", TEXT},
        {"application/*", TEXT},
        {"text/html, image/png", TEXT},
        {"text/plain", TEXT},
        {"application/openmetrics-text", OM},
        {"Application/OpenMetrics-Text ; Version=1.0.0", OM},
        {"application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OM},
        {"application/openmetrics-text;version=0.0.1", TEXT},
        {"application/openmetrics-text;version=1.0.0;q=0", TEXT},
        {"application/openmetrics-text;q=x, text/plain;q=0.1", TEXT},
        {"application/openmetrics-text;q=2", TEXT},
        {"application/openmetrics-text;q=1.001", TEXT},
        {"application/openmetrics-text;q=0.001", OM}, // nothing else is accepted
        {"application/openmetrics-text, */*", OM},
        {"*/*, application/openmetrics-text", OM},
        {"*/*;q=0.8, application/openmetrics-text;q=0.5", TEXT},
        {"text/*;q=0.3, */*;q=0.8, application/openmetrics-text;q=0.5", OM},
        {"text/plain;q=0.9, application/openmetrics-text;q=0.5", TEXT},
        {"text/plain, application/openmetrics-text", TEXT},
        {"application/openmetrics-text, text/plain", OM},
        {"text/plain;version=1.0.0;q=0.9, application/openmetrics-text;q=0.5", OM},
        // Prometheus 2.42, 2.5 and 3
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         OM},
        {"application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         TEXT},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
         "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping="
         "allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         OM},
        // Prometheus with scrape_protocols: [PrometheusText0.0.4]
        {"text/plain;version=0.0.4;q=0.6,*/*;q=0.1", TEXT},
        {"text/plain;q=0.5\r\nAccept: application/openmetrics-text;q=0.6", OM},
        {",;,=;q=;application/openmetrics-text", TEXT},
        {"application/openmetrics-text;;;q=1;version=0.0.1", OM}, // behind q: not the type's
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1 h;
        http1_init(&h);
        CLEANUP_BUF struct buf b;
        buf_init(&b, 1024);
        assert_int_equal(buf_addf(&b, "GET / HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n",
                                  cases[i].accept[0] ? "Accept: " : "X: y", cases[i].accept),
                         0);
        assert_int_equal(http1_feed(&h, b.p, b.len), b.len);
        assert_int_equal(h.state, HTTP1_DONE);
        if (http1_prefers(&h, offers, 2) != cases[i].wanted)
            fail_msg("Accept: %s", cases[i].accept);
        http1_done(&h);
    }
}

static void gzip_is_accepted_by_weight(void **state) {
    static const struct {
        const char *headers;
        bool accepts;
    } cases[] = {
        {"", false},
        {"Accept-Encoding: gzip\r\n", true},
        {"accept-encoding: deflate, GZIP;q=0.5\r\n", true},
        {"Accept-Encoding: x-gzip\r\n", true},
        {"Accept-Encoding: gzip;q=0\r\n", false},
        {"Accept-Encoding: gzip; q=0.000\r\n", false},
        {"Accept-Encoding: gzip;q=0.001\r\n", true},
        {"Accept-Encoding: gzip;q=1.000\r\n", true},
        {"Accept-Encoding: gzip;q=0.0000\r\n", false}, // malformed
        {"Accept-Encoding: gzip;q=x\r\n", false},
        {"Accept-Encoding: gzip;q=\r\n", false},
        {"Accept-Encoding: *\r\n", true},
        {"Accept-Encoding: *;q=0\r\n", false},
        {"Accept-Encoding: gzip, *;q=0\r\n", true},
        {"Accept-Encoding: gzip;q=0, *\r\n", false},
        {"Accept-Encoding: identity\r\n", false},
        {"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true},
        {"Accept-Encoding:\r\n", false},
        {"Accept-Encoding: gzipped, notgzip\r\n", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1 h;
        http1_init(&h);
        struct buf b;
        buf_init(&b, 1024);
        assert_int_equal(buf_addf(&b, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].headers), 0);
        assert_int_equal(http1_feed(&h, b.p, b.len), b.len);
        assert_int_equal(h.state, HTTP1_DONE);
        if (http1_accepts_gzip(&h) != cases[i].accepts)
            fail_msg("%s", cases[i].headers);
        buf_done(&b);
        http1_done(&h);
    }
}

static void reasons_are_those_of_rfc_9110(void **state) {
    assert_string_equal(http1_reason(200), "OK");
    assert_string_equal(http1_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http1_reason(299), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_found_and_decoded),
        cmocka_unit_test(accept_chooses_among_offers_by_weight_then_by_name_then_by_order),
        cmocka_unit_test(gzip_is_accepted_by_weight),
        cmocka_unit_test(reasons_are_those_of_rfc_9110),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
