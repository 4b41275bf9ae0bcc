// SPDX-License-Identifier: Apache-2.0
/* Addresses as people write them. */
#include "unit.h"

#include "net/addr.h"

static void literals_are_read_and_printed_back(void **state) {
    static const struct {
        const char *text, *printed;
        int family;
    } cases[] = {
        {"127.0.0.1:9443", "127.0.0.1:9443", AF_INET},
        {"0.0.0.0:0", "0.0.0.0:0", AF_INET},
        {"[::1]:65535", "[::1]:65535", AF_INET6},
        {"[2001:db8::0:1]:80", "[2001:db8::1]:80", AF_INET6},
        {":9400", "[::]:9400", AF_INET6},
        {"localhost:80", "127.0.0.1:80", AF_INET},
        {"[::ffff:10.1.2.3]:80", "10.1.2.3:80", AF_INET6}, // as a dual-stack listener sees IPv4
        {"unix:/run/kubelet.sock", "unix:/run/kubelet.sock", AF_UNIX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct net_addr a;
        struct err e = {0};
        char printed[NET_HOST_MAX];
        assert_int_equal(net_addr_parse(str_from(cases[i].text), &a, &e), 0);
        assert_int_equal(a.sa.sa_family, cases[i].family);
        net_addr_format(&a, printed, sizeof(printed));
        assert_string_equal(printed, cases[i].printed);
    }
}

static void malformed_addresses_are_refused_with_the_text_and_a_remedy(void **state) {
    static const struct {
        const char *text, *says;
        int code;
    } cases[] = {
        {"", "no port", ERR_PARSE},
        {"127.0.0.1", "HOST:PORT", ERR_PARSE},
        {"127.0.0.1:", "port \"\"", ERR_PARSE},
        {"127.0.0.1:65536", "0..65535", ERR_PARSE},
        {"127.0.0.1:-1", "0..65535", ERR_PARSE},
        {"127.0.0.1: 80", "0..65535", ERR_PARSE},
        {"127.0.0.1:80x", "0..65535", ERR_PARSE},
        {"::1:80", "brackets", ERR_PARSE},
        {"[::1:80", "']'", ERR_PARSE},
        {"[]:80", "no address between the brackets", ERR_PARSE},
        {"[::1]80", "':PORT'", ERR_PARSE},
        {"[::1]", "':PORT'", ERR_PARSE},
        {"http://a:80", "brackets", ERR_PARSE},
        {"a b:80", "character 2", ERR_PARSE},
        {"unix:", "no path", ERR_PARSE},
        {"agents.gpu.svc:9443", "agents.gpu.svc is a name", ERR_NOTFOUND},
        {"256.1.1.1:80", "is a name", ERR_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct net_addr a = {.len = 77};
        struct err e = {0};
        assert_int_equal(net_addr_parse(str_from(cases[i].text), &a, &e), cases[i].code);
        if (!strstr(e.msg, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, e.msg, cases[i].says);
        assert_int_equal(a.len, 77);
        assert_true(net_addr_parse(str_from(cases[i].text), &a, NULL) < 0);
    }
}

static void too_long_names_and_paths_are_refused(void **state) {
    char text[400] = "unix:";
    struct net_addr a;
    struct err e = {0};
    memset(text + 5, 'p', 108);
    assert_int_equal(net_addr_parse((struct str){text, 5 + 107}, &a, &e), 0);
    assert_int_equal(net_addr_parse((struct str){text, 5 + 108}, &a, &e), ERR_PARSE);
    char host[NET_HOST_MAX];
    uint16_t port;
    memset(text, 'h', sizeof(text));
    memcpy(text + 255, ":1", 2);
    assert_int_equal(net_addr_split((struct str){text, 257}, host, &port, &e), 0);
    assert_int_equal(strlen(host), 255);
    memcpy(text + 255, "h:1", 3);
    assert_int_equal(net_addr_split((struct str){text, 258}, host, &port, &e), ERR_PARSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_are_read_and_printed_back),
        cmocka_unit_test(malformed_addresses_are_refused_with_the_text_and_a_remedy),
        cmocka_unit_test(too_long_names_and_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
