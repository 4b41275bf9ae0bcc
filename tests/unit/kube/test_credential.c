// SPDX-License-Identifier: Apache-2.0
/* kube/credential: ExecCredential read and written. */
#include "base/mem.h"
#include "kube/credential.h"
#include "kube/object.h"
#include "unit.h"

#define V1 "client.authentication.k8s.io/v1"
#define HEAD "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":"

static void what_a_plugin_prints_is_read_or_refused(void **state) {
    static const struct {
        const char *text, *token, *cert, *says; // says NULL: taken
        int64_t expires_ns;
    } cases[] = {
        {HEAD "{\"token\":\"t\"}}", "t", NULL, NULL, INT64_MAX},
        {HEAD "{\"token\":\"t\",\"expirationTimestamp\":\"1970-01-01T00:00:09Z\"}}", "t", NULL,
         NULL, 9000000000},
        {HEAD "{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\"}}", NULL, "c", NULL,
         INT64_MAX},
        {HEAD "{\"clientCertificateData\":\"c\",\"token\":\"s3cret\"}}", .says = "it needs both"},
        {HEAD "{\"token\":\"s3cret\",\"expirationTimestamp\":\"soon\"}}", .says = "is no time"},
        {HEAD "{\"token\":\"\"}}", .says = "no token"},
        {HEAD "[]}", .says = "no token"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"v1beta1\"}", .says = "is not " V1},
        {"{}", .says = "no ExecCredential"},
        {"s3cret", .says = "no JSON"},
        {"", .says = "no JSON"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kube_credential c;
        struct err e = {0};
        int r = kube_credential_parse(&c, str_from(cases[i].text), V1, &e);
        if (cases[i].says) {
            assert_true(r < 0);
            assert_non_null(strstr(e.msg, cases[i].says));
            assert_null(strstr(e.msg, "s3cret"));
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(c.expires_ns, cases[i].expires_ns);
        assert_int_equal(c.token != NULL, cases[i].token != NULL);
        assert_int_equal(c.cert.p != NULL, cases[i].cert != NULL);
        if (c.token)
            assert_string_equal(c.token, cases[i].token);
        kube_credential_done(&c);
    }
}

static void the_plugin_is_told_of_the_cluster_where_it_asked(void **state) {
    struct kube_exec_config exec = {.api_version = V1};
    struct kube_config config = {.server = "https://h", .exec = &exec};
    static const char *const pems[] = {"", "a", "ab", "abc"};
    static const char *const encoded[] = {NULL, "YQ==", "YWI=", "YWJj"};
    for (int told = 0; told < 2; told++) {
        for (size_t i = 0; i < COUNT_OF(pems); i++) {
            CLEANUP_BUF struct buf out;
            struct err e = {0};
            CLEANUP_JSON json_t *json = NULL;
            buf_init(&out, 1000);
            exec.provide_cluster_info = told;
            struct str ca = {*pems[i] ? pems[i] : NULL, strlen(pems[i])};
            assert_int_equal(kube_credential_info(&out, &config, ca), 0);
            assert_int_equal(kube_json_parse(buf_str(&out), &json, &e), 0);
            const json_t *spec = json_object_get(json, "spec");
            const json_t *cluster = json_object_get(spec, "cluster");
            assert_true(json_is_false(json_object_get(spec, "interactive")));
            assert_int_equal(cluster != NULL, told);
            const char *data = json_string_value(
                json_object_get(cluster, "certificate-authority-data"));
            assert_int_equal(data != NULL, told && encoded[i]);
            if (data)
                assert_string_equal(data, encoded[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_plugin_prints_is_read_or_refused),
        cmocka_unit_test(the_plugin_is_told_of_the_cluster_where_it_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
