// SPDX-License-Identifier: Apache-2.0
/* net/web_config: what the file may say, what is refused and in which words, and that no message
 * shows a hash or a password. */
#include "unit.h"

#include "base/mem.h"
#include "net/web_config.h"

#define HASH "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define PAIR "cert_file: a.crt, key_file: /k/a.key"

static void all_of_it_is_taken(void **state) {
    struct web_config c;
    struct err e = {0};
    static const char text[] =
        "tls_server_config:\n"
        "  cert_file: tls.crt\n"
        "  key_file: /keys/tls.key\n"
        "  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_ca_file: sub/ca.crt\n"
        "  client_allowed_sans: [prometheus.example.svc]\n"
        "  min_version: TLS13\n"
        "  max_version: TLS13\n"
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256,\n"
        "                  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n"
        "  curve_preferences: [X25519, CurveP256]\n"
        "  prefer_server_cipher_suites: true\n"
        "http_server_config:\n"
        "  http2: true\n"
        "basic_auth_users:\n"
        "  alice: " HASH "\n"
        "  'bob b': \"" HASH "\"\n";
    if (web_config_parse(&c, STR(text), "/etc/web/config.yml", &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(c.tls.cert, "/etc/web/tls.crt");
    assert_string_equal(c.tls.key, "/keys/tls.key");
    assert_string_equal(c.tls.ca, "/etc/web/sub/ca.crt");
    assert_false(c.tls.ca_optional);
    assert_int_equal(c.tls.n_allowed, 1);
    assert_string_equal(c.tls.allowed[0], "prometheus.example.svc");
    assert_int_equal(c.tls.oldest, 13);
    assert_int_equal(c.tls.newest, 13);
    assert_string_equal(c.tls.ciphers, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305");
    assert_string_equal(c.tls.groups, "X25519:P-256");
    assert_int_equal(c.n_users, 2);
    assert_string_equal(c.users[1].name, "bob b");
    assert_string_equal(c.users[1].hash, HASH);
    web_config_done(&c);
}

static void what_is_left_out_has_defaults(void **state) {
    struct web_config c;
    struct err e = {0};
    assert_int_equal(web_config_parse(&c, STR("tls_server_config: {" PAIR "}"), "config.yml", &e),
                     0);
    assert_string_equal(c.tls.cert, "a.crt"); // beside the file: the working folder
    assert_null(c.tls.ca);
    assert_int_equal(c.tls.oldest, 12);
    assert_int_equal(c.tls.newest, 13);
    assert_null(c.tls.ciphers);
    assert_int_equal(c.n_users, 0);
    web_config_done(&c);
    assert_int_equal(web_config_parse(&c, STR("basic_auth_users: {a: " HASH "}"), "w", &e), 0);
    assert_null(c.tls.cert);
    assert_int_equal(c.n_users, 1);
    web_config_done(&c);
    assert_int_equal(web_config_parse(&c,
                                      STR("tls_server_config: {" PAIR ", client_ca_file: c, "
                                          "client_auth_type: VerifyClientCertIfGiven}"),
                                      "w", &e),
                     0);
    assert_true(c.tls.ca_optional);
    web_config_done(&c);
}

static void what_makes_no_sense_is_refused_with_its_place(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"tls_server_config: {cert_files: a}", "w:1:21: key 'tls_server_config.cert_files': "
                                               "unknown; did you mean 'cert_file'?"},
        {"basic_auth_user: {a: b}", "did you mean 'basic_auth_users'?"},
        {"tls_server_config: {cert_file: a}", "key_file"},
        {"tls_server_config: {" PAIR ", client_ca_file: c}", "client_ca_file: nobody is asked"},
        {"tls_server_config: {" PAIR ", client_auth_type: RequireAndVerifyClientCert}",
         "RequireAndVerifyClientCert needs client_ca_file"},
        {"tls_server_config: {" PAIR ", client_auth_type: RequestClientCert}", "nobody verifies"},
        {"tls_server_config: {" PAIR ", client_auth_type: RequireAnyClientCert}",
         "nobody verifies"},
        {"tls_server_config: {" PAIR ", client_auth_type: Require}", "expected one of"},
        {"tls_server_config: {" PAIR ", client_allowed_sans: [a.b]}", "client_allowed_sans needs"},
        {"tls_server_config: {" PAIR ", client_allowed_sans: ['*.b']}", "without '*'"},
        {"tls_server_config: {" PAIR ", min_version: TLS10}", "TLS 1.2 is the oldest"},
        {"tls_server_config: {" PAIR ", min_version: TLS13, max_version: TLS12}", "newer than"},
        {"tls_server_config: {" PAIR ", cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}", "ECDHE"},
        {"tls_server_config: {" PAIR ", curve_preferences: [P256]}", "CurveP256"},
        {"http_server_config: {headers: {X-Frame-Options: deny}}", "unknown"},
        {"basic_auth_users: {'': '" HASH "'}", "a key must be a name"},
        {"basic_auth_users: {'a:b': '" HASH "'}", "has no ':'"},
        {"basic_auth_users: {a: '" HASH "', a: '" HASH "'}", "given twice"},
        {"", "w"},
        {"- a", "w:1:1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct web_config c = {0};
        struct err e = {0};
        assert_true(web_config_parse(&c, str_from(cases[i].text), "w", &e) < 0);
        if (strstr(e.msg, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, e.msg);
        assert_null(c.users);
        assert_null(strstr(e.msg, "$2"));
    }
}

static void no_message_shows_what_stands_for_a_hash(void **state) {
    static const char *const texts[] = {
        "basic_auth_users: {a: hunter2}",
        "basic_auth_users: {a: 'hunter2'}",
        "basic_auth_users: hunter2",
        "basic_auth_users: 'hunter2'",
        "basic_auth_users: {a: [hunter2]}",
        "basic_auth_users: [hunter2]",
        "basic_auth_users: {a: 2147}",
        "basic_auth_users: {a: true}",
        "basic_auth_users: {a: }",
        "basic_auth_users: {a: $2y$10$hunter2}",
        "basic_auth_users: {a: $2y$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}",
        "basic_auth_users: {a: $2y$16$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}",
        "basic_auth_users: {a: $2y$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}",
        "basic_auth_users: {a: $2x$10$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}",
        "basic_auth_users: {a: $2y$10$abcdefghijklmnopqrst!u2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}",
        "basic_auth_users: {a: $6$salt$hash}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct web_config c = {0};
        struct err e = {0};
        assert_true(web_config_parse(&c, str_from(texts[i]), "w", &e) < 0);
        assert_non_null(strstr(e.msg, "basic_auth_users"));
        static const char *const secrets[] = {"hunter2", "2147", "true", "$2y$99", "$6", "abcdef"};
        for (size_t k = 0; k < COUNT_OF(secrets); k++)
            if (strstr(e.msg, secrets[k]) != NULL)
                fail_msg("%s: %s", texts[i], e.msg);
    }
}

static void it_ends_well_wherever_memory_ends(void **state) {
    static const char text[] = "tls_server_config: {" PAIR
                               ", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}\n"
                               "basic_auth_users: {a: " HASH "}\n";
    for (long n = 1;; n++) {
        struct web_config c = {0};
        struct err e = {0};
        mem_fail_from(n);
        int rc = web_config_parse(&c, STR(text), "dir/w", &e);
        mem_fail_never();
        if (rc == 0) {
            assert_true(n > 1);
            web_config_done(&c);
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_taken),
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_its_place),
        cmocka_unit_test(no_message_shows_what_stands_for_a_hash),
        cmocka_unit_test(it_ends_well_wherever_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
