// SPDX-License-Identifier: Apache-2.0
/* The workloads file: binding, mistakes, and which workload a trigger means. */
#include "scaler/workloads.h"

#include <unistd.h>

#include "base/mem.h"
#include "unit.h"

static int load(const char *text, struct workloads **ret, struct err *e) {
    char path[] = "/tmp/workloads-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int rc = workloads_load(ret, path, e);
    unlink(path);
    return rc;
}

static struct workloads *must_load(const char *text) {
    struct workloads *w = NULL;
    struct err e = {0};
    if (load(text, &w, &e) < 0)
        fail_msg("%s", e.msg);
    return w;
}

static const char two[] =
    "workloads:\n"
    "- namespace: prod\n"
    "  target: deployment/llm\n"
    "  scaledObjects: [llm, llm-night]\n"
    "  labels: {app: llm, tier: gpu}\n"
    "  replicas: 3\n"
    "  pods:\n"
    "  - {name: llm-0, state: ready, address: '10.0.0.7:8000', startedAt: '2026-11-23T12:00:00Z'}\n"
    "  - {name: llm-1, state: starting, address: '[fd00::7]:8001'}\n"
    "  - {name: llm-2, state: terminating, address: 10.0.0.9}\n"
    "- namespace: prod\n"
    "  target: statefulset/embed\n"
    "  labels: {app: embed, tier: gpu}\n"
    "- namespace: test\n"
    "  target: deployment/llm\n"
    "  scaledObjects: [llm]\n"
    "  replicas: 0\n"
    "  pods: []\n";

static void a_file_is_bound(void **state) {
    struct workloads *w = must_load(two);
    assert_int_equal(w->list.n, 3);
    const struct workload *a = &w->list.items[0];
    assert_string_equal(a->id, "prod/deployment/llm");
    assert_int_equal(a->replicas, 3);
    assert_int_equal(a->status, 2); // terminating pods count nowhere
    assert_int_equal(a->pods.n, 3);
    assert_int_equal(a->pods.items[0].state, POD_READY);
    assert_string_equal(a->pods.items[0].ip, "10.0.0.7");
    assert_int_equal(a->pods.items[0].port, 8000);
    assert_true(a->pods.items[0].started_real_ns == INT64_C(1795435200) * 1000000000);
    assert_null(a->pods.items[0].uid);
    assert_int_equal(a->pods.items[1].state, POD_STARTING);
    assert_string_equal(a->pods.items[1].ip, "fd00::7");
    assert_int_equal(a->pods.items[1].port, 8001);
    assert_int_equal(a->pods.items[1].started_real_ns, 0);
    assert_int_equal(a->pods.items[2].state, POD_TERMINATING);
    assert_int_equal(a->pods.items[2].port, 0);
    assert_int_equal(w->list.items[1].replicas, -1); // unknown is not zero
    assert_int_equal(w->list.items[1].status, -1);
    assert_int_equal(w->list.items[2].replicas, 0);
    workloads_free(w);
}

#define ONE_POD(uid)                                                                               \
    "workloads:\n- namespace: prod\n  target: statefulset/llm\n  pods:\n"                          \
    "  - {name: llm-0, state: ready" uid "}\n"

static void another_pod_of_the_same_name_is_another_version(void **state) {
    struct workloads *w[] = {must_load(ONE_POD("")), must_load(ONE_POD(", uid: 3f8c1a52-7d1e")),
                             must_load(ONE_POD(", uid: 3f8c1a52-7d1f"))};
    assert_null(w[0]->list.items[0].pods.items[0].uid);
    assert_string_equal(w[1]->list.items[0].pods.items[0].uid, "3f8c1a52-7d1e");
    uint64_t none = w[0]->list.items[0].digest, a = w[1]->list.items[0].digest;
    assert_true(none != a && a != w[2]->list.items[0].digest);
    for (int i = 0; i < 3; i++)
        workloads_free(w[i]);
    struct err e = {0};
    assert_int_equal(load(ONE_POD(", uid: UID"), &w[0], &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "expected a UID"));
}

static const struct {
    const char *ns, *so;
    enum trigger_target target;
    const char *name;
    const char *finds; // workload id, or NULL
    const char *says;  // of the error
} lookups[] = {
    {"prod", "llm", TARGET_SCALED_OBJECT, NULL, "prod/deployment/llm", NULL},
    {"prod", "llm-night", TARGET_SCALED_OBJECT, NULL, "prod/deployment/llm", NULL},
    {"test", "llm", TARGET_SCALED_OBJECT, NULL, "test/deployment/llm", NULL},
    {"prod", "other", TARGET_SCALED_OBJECT, NULL, NULL, "scaledObjects"},
    {"nowhere", "llm", TARGET_SCALED_OBJECT, NULL, NULL, "nowhere"},
    {"prod", "x", TARGET_DEPLOYMENT, "llm", "prod/deployment/llm", NULL},
    {"prod", "x", TARGET_STATEFULSET, "embed", "prod/statefulset/embed", NULL},
    {"prod", "x", TARGET_STATEFULSET, "llm", NULL, "statefulset/llm"},
    {"test", "x", TARGET_STATEFULSET, "embed", NULL, "namespace test"}, // another namespace's
    {"prod", "x", TARGET_SELECTOR, "app=llm", "prod/deployment/llm", NULL},
    {"prod", "x", TARGET_SELECTOR, "tier=gpu, app=embed", "prod/statefulset/embed", NULL},
    {"prod", "x", TARGET_SELECTOR, "tier=gpu", NULL, "both"},
    {"prod", "x", TARGET_SELECTOR, "app=none", NULL, "app=none"},
    {"test", "x", TARGET_SELECTOR, "app=llm", NULL, "namespace test"},
};

static void a_trigger_finds_its_workload_in_its_namespace_alone(void **state) {
    struct workloads *w = must_load(two);
    for (size_t i = 0; i < COUNT_OF(lookups); i++) {
        const struct workload *found = NULL;
        struct err e = {0};
        int rc = workloads_find(w, str_from(lookups[i].ns), str_from(lookups[i].so),
                                lookups[i].target, lookups[i].name, &found, &e);
        if (lookups[i].finds != NULL) {
            assert_int_equal(rc, 0);
            assert_string_equal(found->id, lookups[i].finds);
            continue;
        }
        assert_true(rc < 0);
        if (strstr(e.msg, lookups[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", e.msg, lookups[i].says);
    }
    workloads_free(w);
}

#define W "workloads:\n- {namespace: p, target: deployment/a"

static void mistakes_are_told(void **state) {
    static const struct {
        const char *text, *says[2];
    } cases[] = {
        {"workloads:\n- {namespace: p}\n", {"target"}},
        {"workloads:\n- {namespace: p, target: llm}\n", {"KIND/NAME"}},
        {"workloads:\n- {namespace: P, target: deployment/llm}\n", {"Kubernetes name"}},
        {W ", replicas: -2}\n", {"replicas"}},
        {W ", replicas: many}\n", {"replicas", "many"}},
        {W ", replica: 2}\n", {"replica", "replicas"}},
        {W ", pods: [{name: x, state: up}]}\n", {"state", "up"}},
        {W ", pods: [{state: ready}]}\n", {"name"}},
        {W ", pods: [{name: x, state: ready, address: host}]}\n", {"address", "IP"}},
        {W ", pods: [{name: x, state: ready, address: '1.2.3.4:99999'}]}\n", {"address"}},
        {W ", pods: [{name: x, state: ready, startedAt: today}]}\n", {"startedAt", "today"}},
        {W ", pods: [{name: x, state: ready}, {name: x, state: ready}]}\n", {"pod x", "twice"}},
        {W "}\n- {namespace: p, target: deployment/a}\n", {"p/deployment/a", "twice"}},
        {W ", scaledObjects: [s]}\n- {namespace: p, target: deployment/b, scaledObjects: [s]}\n",
         {"ScaledObject s", "deployment/a"}},
        {"workloads: {}\n", {"workloads"}},
        {"\xff\xfe", {"UTF-8"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct workloads *w = NULL;
        struct err e = {0};
        if (load(cases[i].text, &w, &e) == 0)
            fail_msg("accepted: %s", cases[i].text);
        for (int s = 0; s < 2 && cases[i].says[s] != NULL; s++)
            if (strstr(e.msg, cases[i].says[s]) == NULL)
                fail_msg("\"%s\" does not say \"%s\"", e.msg, cases[i].says[s]);
    }
    struct workloads *w = NULL;
    struct err e = {0};
    assert_int_equal(workloads_load(&w, "/nonexistent/w.yaml", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "/nonexistent/w.yaml"));
}

static void one_scaled_object_name_in_two_namespaces_is_two(void **state) {
    workloads_free(must_load(W ", scaledObjects: [s]}\n"
                               "- {namespace: q, target: deployment/a, scaledObjects: [s]}\n"));
}

static void every_failing_allocation_is_told(void **state) {
    struct workloads *w = NULL;
    int rc = -1;
    for (long n = 1; rc < 0; n++) {
        assert_in_range(n, 1, 10000);
        struct err e = {0};
        mem_fail_from(n);
        rc = load(two, &w, &e);
        mem_fail_never();
        if (rc < 0)
            assert_true(e.code == ERR_NOMEM || e.code == ERR_LIMIT);
    }
    workloads_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_bound),
        cmocka_unit_test(another_pod_of_the_same_name_is_another_version),
        cmocka_unit_test(a_trigger_finds_its_workload_in_its_namespace_alone),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(one_scaled_object_name_in_two_namespaces_is_two),
        cmocka_unit_test(every_failing_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
