// SPDX-License-Identifier: Apache-2.0
/* kube/config: which of the places counts, and the pod's own files. */
#include "kube/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit.h"

struct place {
    char folder[64], file[128];
};

static void put(const struct place *p, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", p->folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state) {
    struct place *p = calloc(1, sizeof(*p));
    snprintf(p->folder, sizeof(p->folder), "/tmp/kube-config-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->file, sizeof(p->file), "%s/config", p->folder);
    *state = p;
    return 0;
}

static int tear_down(void **state) {
    static const char *const names[] = {"config", "token", "namespace", ".kube/config", ".kube"};
    struct place *p = *state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", p->folder, names[i]);
        remove(path);
    }
    rmdir(p->folder);
    free(p);
    return 0;
}

#define KUBECONFIG(server)                                                                         \
    "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, "     \
    "cluster: {server: '" server "'}}]}"

static void the_asked_file_then_the_variable_then_the_pod_then_the_home(void **state) {
    struct place *p = *state;
    char kube[128], named[128];
    struct kube_config c;
    struct err e = {0};
    struct kube_environment env = {.home = p->folder};
    snprintf(kube, sizeof(kube), "%s/.kube", p->folder);
    snprintf(named, sizeof(named), "%s/config", p->folder);
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "/.kube/config is not there: give --kubeconfig FILE"));
    assert_int_equal(mkdir(kube, 0700), 0);
    put(p, ".kube/config", KUBECONFIG("https://home"));
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), 0);
    assert_string_equal(c.server, "https://home");
    kube_config_done(&c);

    env.service_host = "10.0.0.1";
    env.service_account = p->folder;
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "automountServiceAccountToken"));
    put(p, "token", "t");
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), 0);
    assert_string_equal(c.server, "https://10.0.0.1:443");
    assert_string_equal(c.namespace_, "default");
    assert_null(c.context);
    kube_config_done(&c);
    put(p, "namespace", "gpuscale\n");
    env.service_host = "fd00::1";
    env.service_port = "6443";
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), 0);
    assert_string_equal(c.server, "https://[fd00::1]:6443");
    assert_string_equal(c.namespace_, "gpuscale");
    assert_true(str_ends(str_from(c.token_file), "/token"));
    assert_true(str_ends(str_from(c.ca.file), "/ca.crt"));
    kube_config_done(&c);

    put(p, "config", KUBECONFIG("https://named"));
    env.kubeconfig = named;
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), 0);
    assert_string_equal(c.server, "https://named");
    kube_config_done(&c);
    env.kubeconfig = "/a:/b";
    assert_int_equal(kube_config_load(&c, &env, named, NULL, &e), 0);
    kube_config_done(&c);
    assert_int_equal(kube_config_load(&c, &env, NULL, NULL, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "kubectl config view --flatten"));
    assert_int_equal(kube_config_load(&c, &env, "/no/such", NULL, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "/no/such: cannot be opened: No such file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        the_asked_file_then_the_variable_then_the_pod_then_the_home, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
