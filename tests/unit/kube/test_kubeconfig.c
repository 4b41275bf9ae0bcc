// SPDX-License-Identifier: Apache-2.0
/* kube/kubeconfig: what is taken of a kubeconfig, and refusals with place and remedy. */
#include "base/mem.h"
#include "kube/config.h"
#include "unit.h"

#define HEAD                                                                                       \
    "apiVersion: v1\n"                                                                             \
    "kind: Config\n"                                                                               \
    "preferences: {}\n"                                                                            \
    "current-context: a\n"                                                                         \
    "contexts:\n"                                                                                  \
    "- {name: a, context: {cluster: c, user: u, namespace: ml}}\n"                                 \
    "- {name: b, context: {cluster: c, user: none}}\n"                                             \
    "- {name: d, context: {cluster: c}}\n"

static int parse(struct kube_config *c, const char *text, const char *context, struct err *e) {
    *e = (struct err){0};
    return kube_config_parse(c, str_from(text), "/etc/kube/config", context, e);
}

static void the_contexts_cluster_and_user_are_taken(void **state) {
    struct kube_config c;
    struct err e;
    const char *text = HEAD "clusters:\n"
                            "- name: other\n"
                            "  cluster: {server: 'https://other'}\n"
                            "- name: c\n"
                            "  cluster:\n"
                            "    server: https://10.0.0.1:6443//\n"
                            "    tls-server-name: kubernetes\n"
                            "    certificate-authority: ca.pem\n"
                            "    extensions: [{name: x, extension: {a: 1}}]\n"
                            "users:\n"
                            "- name: u\n"
                            "  user:\n"
                            "    client-certificate: /pki/me.crt\n"
                            "    client-key-data: Zm9v\n"
                            "    token: 12345\n";
    assert_int_equal(parse(&c, text, NULL, &e), 0);
    assert_string_equal(c.server, "https://10.0.0.1:6443");
    assert_string_equal(c.server_name, "kubernetes");
    assert_string_equal(c.namespace_, "ml");
    assert_string_equal(c.context, "a");
    assert_string_equal(c.ca.file, "/etc/kube/ca.pem"); // beside the kubeconfig
    assert_string_equal(c.ca.place, "/etc/kube/config:16:28: 'certificate-authority'");
    assert_string_equal(c.cert.file, "/pki/me.crt");
    assert_true(str_eqc(c.key.data, "foo"));
    assert_string_equal(c.token, "12345"); // however it looks
    assert_null(c.exec);
    kube_config_done(&c);

    assert_int_equal(parse(&c, text, "d", &e), 0); // a context without a user: anonymous
    assert_string_equal(c.namespace_, "default");
    assert_null(c.token);
    kube_config_done(&c);
}

static void a_plugin_is_taken_with_its_arguments(void **state) {
    struct kube_config c;
    struct err e;
    assert_int_equal(parse(&c,
                           HEAD
                           "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
                           "users:\n"
                           "- name: u\n"
                           "  user:\n"
                           "    exec:\n"
                           "      apiVersion: client.authentication.k8s.io/v1\n"
                           "      command: bin/login\n"
                           "      args: [get-token, --cluster, 7]\n"
                           "      env: [{name: PROFILE, value: prod}, {name: EMPTY, value: ''}]\n"
                           "      interactiveMode: IfAvailable\n"
                           "      provideClusterInfo: true\n"
                           "      installHint: get it\n",
                           NULL, &e),
                     0);
    assert_string_equal(c.exec->command, "/etc/kube/bin/login");
    assert_string_equal(c.exec->args[0], "/etc/kube/bin/login");
    assert_string_equal(c.exec->args[3], "7");
    assert_null(c.exec->args[4]);
    assert_int_equal(c.exec->n_env, 2);
    assert_string_equal(c.exec->env[0].name, "PROFILE");
    assert_string_equal(c.exec->env[1].value, "");
    assert_string_equal(c.exec->install_hint, "get it");
    assert_true(c.exec->provide_cluster_info);
    kube_config_done(&c);
}

#define CLUSTER "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
#define USER(text) HEAD CLUSTER "users: [{name: u, user: {" text "}}]\n"
#define ONLY(text) HEAD "users: [{name: u, user: {}}]\nclusters: [{name: c, cluster: {" text "}}]\n"
#define EXEC(text) USER("exec: {apiVersion: client.authentication.k8s.io/v1, command: x, " text "}")

static void refusals_have_place_and_remedy_and_no_secret(void **state) {
    static const struct {
        const char *text, *context;
        int code;
        const char *says;
    } cases[] = {
        {"", NULL, ERR_INVALID, "not a kubeconfig"},
        {"[]", NULL, ERR_INVALID, "/etc/kube/config:1:1: a kubeconfig: found a list"},
        {"a: [", NULL, ERR_PARSE, "/etc/kube/config:"},
        {"kind: Config\n", NULL, ERR_INVALID, "no 'current-context': choose one with --context"},
        {HEAD CLUSTER, "zz", ERR_NOTFOUND, "there is no context 'zz', which --context names"},
        {HEAD CLUSTER, "b", ERR_NOTFOUND, "there is no user 'none', which the context names"},
        {HEAD, NULL, ERR_NOTFOUND, "there is no cluster 'c'"},
        {ONLY(""), NULL, ERR_INVALID, "config:10:31: the cluster has no 'server'"},
        {ONLY("server: 'h:6443'"), NULL, ERR_INVALID, "write https://HOST:PORT"},
        {ONLY("server: 'https://h', insecure-skip-tls-verify: true"), NULL, ERR_UNSUPPORTED,
         "'insecure-skip-tls-verify' is not supported: give the cluster's CA"},
        {ONLY("server: 'https://h', proxy-url: 'http://p'"), NULL, ERR_UNSUPPORTED, "'proxy-url'"},
        {ONLY("server: 'https://h', certificate-authority-data: '!'"), NULL, ERR_PARSE,
         "'certificate-authority-data': not base64"},
        {USER("client-key-data: c2VjcmV0"), NULL, ERR_INVALID, "'client-certificate' is missing"},
        {USER("client-certificate: a"), NULL, ERR_INVALID, "'client-key' is missing"},
        {USER("client-key-data: 's3cret!'"), NULL, ERR_PARSE, "'client-key-data': not base64"},
        {USER("username: me, password: s3cret"), NULL, ERR_UNSUPPORTED, "use a token"},
        {USER("auth-provider: {name: gcp}"), NULL, ERR_UNSUPPORTED, "use an exec plugin"},
        {USER("as: admin"), NULL, ERR_UNSUPPORTED, "'as'"},
        {USER("exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"), NULL,
         ERR_UNSUPPORTED, "client.authentication.k8s.io/v1 (or v1beta1)"},
        {USER("exec: {apiVersion: client.authentication.k8s.io/v1}"), NULL, ERR_INVALID,
         "'exec' has no 'command'"},
        {EXEC("interactiveMode: Always"), NULL, ERR_UNSUPPORTED, "needs a terminal"},
        {EXEC("env: [{value: x}]"), NULL, ERR_INVALID, "'env'"},
        {EXEC("args: [[]]"), NULL, ERR_INVALID, "'args'"},
        {USER("token: a, token: b"), NULL, ERR_INVALID, "given twice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kube_config c = {0};
        struct err e;
        int r = parse(&c, cases[i].text, cases[i].context, &e);
        if (r != cases[i].code || !strstr(e.msg, cases[i].says))
            fail_msg("%zu: %d, %s", i, r, e.msg);
        assert_non_null(strstr(e.msg, "/etc/kube/config"));
        assert_null(strstr(e.msg, "s3cret"));
        assert_null(c.server);
    }
}

static void a_false_switch_is_no_switch_and_a_tokens_file_wins(void **state) {
    struct kube_config c;
    struct err e;
    assert_int_equal(
        parse(&c, ONLY("server: 'http://h', insecure-skip-tls-verify: false"), NULL, &e), 0);
    kube_config_done(&c);
    assert_int_equal(parse(&c, USER("token: a, tokenFile: t, exec: {}"), NULL, &e), 0);
    assert_null(c.token);
    assert_string_equal(c.token_file, "/etc/kube/t");
    assert_null(c.exec); // the file comes first
    kube_config_done(&c);
}

static void memory_that_ends_is_an_error(void **state) {
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        struct kube_config c;
        struct err e;
        mem_fail_from(n);
        r = parse(&c, EXEC("args: [a], env: [{name: A, value: b}]"), NULL, &e);
        mem_fail_never();
        if (r == 0)
            kube_config_done(&c);
        assert_true(n < 500);
    }
    assert_int_equal(r, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_contexts_cluster_and_user_are_taken),
        cmocka_unit_test(a_plugin_is_taken_with_its_arguments),
        cmocka_unit_test(refusals_have_place_and_remedy_and_no_secret),
        cmocka_unit_test(a_false_switch_is_no_switch_and_a_tokens_file_wins),
        cmocka_unit_test(memory_that_ends_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
