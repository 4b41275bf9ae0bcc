// SPDX-License-Identifier: Apache-2.0
/* manifest/workload: what is scaled, and what its containers are. */
#include "manifest/workload.h"

#include "base/mem.h"
#include "unit.h"

struct read_in {
    struct manifest_objects o;
    struct err e;
    struct manifest_reader r;
    struct manifest_scalable w;
};

static void take(struct read_in *t, const char *text) {
    *t = (struct read_in){0};
    manifest_objects_init(&t->o);
    if (manifest_objects_read(&t->o, str_from(text), "f", 0, &t->e) < 0)
        fail_msg("%s", t->e.msg);
    t->r = (struct manifest_reader){.file = "f", .a = &t->o.arena, .e = &t->e};
    manifest_scalable_read(&t->r, &t->o.objects.items[0], &t->w);
}

static void a_deployment_is_read_with_its_containers(void **state) {
    struct read_in t;
    take(&t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: llm, namespace: ml}\nspec:\n"
             "  replicas: 3\n  selector: {matchLabels: {app: llm}}\n  template:\n"
             "    metadata: {labels: {app: llm, tier: '1'}}\n    spec:\n      containers:\n"
             "      - name: main\n        image: vllm/vllm-openai\n        command: [vllm, serve]\n"
             "        args: [--port, 8001]\n        env:\n        - {name: A, value: b}\n"
             "        - {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}\n"
             "        ports: [{name: http, containerPort: 8001}]\n"
             "        resources: {limits: {nvidia.com/gpu: '2', cpu: 4}}\n"
             "        readinessProbe: {httpGet: {path: /health, port: http}}\n"
             "      - {name: side, image: x}\n");
    assert_int_equal(t.r.r, 0);
    assert_string_equal(t.w.namespace_, "ml");
    assert_int_equal(t.w.replicas, 3);
    assert_int_equal(t.w.n_labels, 2);
    assert_int_equal(t.w.n_programs, 2);
    const struct manifest_program *p = &t.w.programs[0];
    assert_int_equal(p->n_words, 4);
    assert_string_equal(p->words[3], "8001");
    assert_int_equal(p->n_env, 2);
    assert_null(p->env[1].value);
    assert_int_equal(p->ports[0].port, 8001);
    assert_true(p->readiness.there);
    assert_string_equal(p->readiness.path, "/health");
    assert_int_equal(t.w.gpus, 2);
    assert_string_equal(t.w.gpu_resource, "nvidia.com/gpu");
    manifest_objects_done(&t.o);
}

#define POD(inside) "{spec: {containers: [" inside "]}}"

static void gpus_of_a_replica_are_those_of_all_its_pods(void **state) {
    static const struct {
        const char *text;
        int gpus;
        const char *resource;
        bool claims;
    } cases[] = {
        {"apiVersion: a/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: " POD(
             "{name: a, resources: {limits: {nvidia.com/mig-1g.10gb: 1}}},"
             "{name: b, resources: {requests: {nvidia.com/mig-1g.10gb: 2}}}") "}",
         3, "nvidia.com/mig-1g.10gb", false},
        {"apiVersion: a/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: " POD(
             "{name: a, resources: {claims: [{name: gpu}]}}") "}",
         0, NULL, true},
        {"apiVersion: a/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: " POD(
             "{name: a, resources: {limits: {cpu: 1}}}") "}",
         0, NULL, false},
        // a leader of its own and three workers
        {"apiVersion: a/v1\nkind: LeaderWorkerSet\nmetadata: {name: x}\nspec: "
         "{leaderWorkerTemplate: "
         "{size: 4, leaderTemplate: " POD(
             "{name: l, resources: {limits: {nvidia.com/gpu: "
             "1}}}") ", workerTemplate: " POD("{name: w, resources: {limits: {nvidia.com/gpu: "
                                              "8}}}") "}}",
         25, "nvidia.com/gpu", false},
        {"apiVersion: a/v1\nkind: LeaderWorkerSet\nmetadata: {name: x}\nspec: "
         "{leaderWorkerTemplate: "
         "{size: 2, workerTemplate: " POD(
             "{name: w, resources: {limits: {nvidia.com/gpu: 8}}}") "}}",
         16, "nvidia.com/gpu", false},
        {"apiVersion: a/v1\nkind: Odd\nmetadata: {name: x}\nspec: {template: " POD(
             "{name: a, resources: {limits: {amd.com/gpu: 1}}}") "}",
         1, "amd.com/gpu", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct read_in t;
        const char *why;
        take(&t, cases[i].text);
        assert_true(manifest_is_scalable(&t.o.objects.items[0], &why));
        assert_int_equal(t.r.r, 0);
        assert_int_equal(t.w.gpus, cases[i].gpus);
        assert_int_equal(t.w.gpu_claims, cases[i].claims);
        if (cases[i].resource)
            assert_string_equal(t.w.gpu_resource, cases[i].resource);
        else
            assert_null(t.w.gpu_resource);
        manifest_objects_done(&t.o);
    }
}

static void what_has_no_replicas_is_told_what_to_do_instead(void **state) {
    static const struct {
        const char *kind, *why;
    } cases[] = {{"DaemonSet", "one pod on each node"},
                 {"Job", "ends by itself"},
                 {"Pod", "give the Deployment"},
                 {"InferenceService", "KServe makes a Deployment"},
                 {"Service", NULL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf_node empty = {.kind = CONF_NODE_MAP};
        const struct manifest_object o = {.file = "f", .root = &empty, .kind = cases[i].kind};
        const char *why = NULL;
        assert_false(manifest_is_scalable(&o, &why));
        assert_true(cases[i].why ? why && strstr(why, cases[i].why) : !why);
    }
}

static void errors_have_a_place(void **state) {
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"apiVersion: v1\nkind: Deployment\nspec: {}\n", "f:1:1: Deployment: metadata.name"},
        {"kind: Deployment\nmetadata: {name: x}\nspec: {}\n", "f:1:1: Deployment x: apiVersion"},
        {"apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\n", "f:1:1: Deployment x: spec"},
        {"apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  replicas: two\n",
         "f:5:13: 'replicas': found 'two'"},
        {"apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  template: {spec: {a: "
         "b}}\n",
         "f:5:20: Deployment x: its pods have no containers"},
        {"apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: " POD(
             "{ports: [{containerPort: 70000}]}") "}",
         "f:4:48: 'containerPort': found 70000"},
        {"apiVersion: v1\nkind: Rollout\nmetadata: {name: x}\nspec:\n  workloadRef: {name: y}\n",
         "f:5:16: Rollout x takes its pods from workloadRef"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct read_in t;
        take(&t, cases[i].text);
        if (t.r.r >= 0 || strncmp(t.e.msg, cases[i].told, strlen(cases[i].told)) != 0)
            fail_msg("told %s, not %s", t.e.msg, cases[i].told);
        manifest_objects_done(&t.o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deployment_is_read_with_its_containers),
        cmocka_unit_test(gpus_of_a_replica_are_those_of_all_its_pods),
        cmocka_unit_test(what_has_no_replicas_is_told_what_to_do_instead),
        cmocka_unit_test(errors_have_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
