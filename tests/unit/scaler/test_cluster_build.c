// SPDX-License-Identifier: Apache-2.0
/* Workloads out of the cluster's caches: whose pods are whose, and what a trigger may mean. */
#include "scaler/cluster_build.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cluster_lab.h"
#include "scaler/cluster_internal.h"

struct caches {
    struct kube_reflector *scaled_objects, *pods, *deployments, *stateful_sets, *replica_sets;
};

#define META(ns, name, more)                                                                       \
    "\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"uid\":\"uid-" name "\"" more "}"
#define OWNER(kind, name)                                                                          \
    ",\"ownerReferences\":[{\"kind\":\"" kind "\",\"name\":\"" name "\",\"uid\":\"uid-" name       \
    "\",\"controller\":true}]"
#define LABELS(text) ",\"labels\":{" text "}"
#define READY                                                                                      \
    ",\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":"         \
    "\"Ready\","                                                                                   \
    "\"status\":\"True\"}]}}"
#define OBJECT(name, target, metadata)                                                             \
    "{" META("ml", name, "") ",\"spec\":{\"scaleTargetRef\":{" target                              \
                             "},\"triggers\":[{\"type\":\"external\",\"metadata\":{" metadata      \
                             "}}]}}"

static const char scaled_objects[] =
    OBJECT("llm", "\"name\":\"llm\"", "\"scalerAddress\":\"a:1\"") "," OBJECT("twin", "\"name\":\"llm\"", "\"workload\":\" deployment/ llm \"") "," OBJECT(
        "away", "\"name\":\"absent\"",
        "") "," OBJECT("foreign", "\"name\":\"llm\"",
                       "\"workload\":\"deployment/theirs\"") "," OBJECT("picked",
                                                                        "\"name\":\"llm\"",
                                                                        "\"workload\":\"selector:"
                                                                        "role="
                                                                        "leader\"") "," OBJECT("bro"
                                                                                               "ke"
                                                                                               "n",
                                                                                               "\"n"
                                                                                               "ame"
                                                                                               "\":"
                                                                                               "\"l"
                                                                                               "lm"
                                                                                               "\"",
                                                                                               "\"w"
                                                                                               "ork"
                                                                                               "l"
                                                                                               "oad"
                                                                                               "\":"
                                                                                               "\"s"
                                                                                               "ele"
                                                                                               "c"
                                                                                               "tor"
                                                                                               ":"
                                                                                               "rol"
                                                                                               "e "
                                                                                               "in "
                                                                                               "lea"
                                                                                               "der"
                                                                                               "\"") "," OBJECT("rollout",
                                                                                                                "\"name\":\"r\",\"kind\":\"Rollout\",\"apiVersion\":\"argoproj.io/v1\"",
                                                                                                                "") ","
                                                                                                                    "{" META(
                                                                                                                        "ml",
                                                                                                                        "cpu",
                                                                                                                        "") ",\"spec\":{\"scaleTargetRef\":{\"name\":\"llm\"},\"triggers\":[{\"type\":"
                                                                                                                            "\"cpu\",\"metadata\":{}}]}}";
static const char deployments[] =
    "{" META("ml", "llm", "") ",\"spec\":{\"replicas\":3},\"status\":{\"replicas\":4}},"
                              "{" META("other", "theirs", "") ",\"spec\":{\"replicas\":1}}";
static const char replica_sets[] = "{" META(
    "ml", "llm-1",
    OWNER("Deployment", "llm")) "},"
                                "{" META("ml", "llm-2",
                                         OWNER("Deployment", "llm")) "},"
                                                                     "{" META("ml", "loose",
                                                                              "") "}";
static const char pods[] = "{" META("ml", "a", OWNER("ReplicaSet", "llm-1")) READY
    ","
    "{" META("ml", "b", OWNER("ReplicaSet", "llm-2") LABELS("\"role\":\"leader\"")) READY
    ","
    "{" META("ml", "c", OWNER("ReplicaSet", "loose")) READY
    ","
    "{" META("ml", "d", LABELS("\"role\":\"leader\"")) READY
    ","
    "{" META("ml", "e", LABELS("\"app\":\"r\"")) READY
    ","
    "{" META("other", "f", LABELS("\"role\":\"leader\"")) READY
    ","
    "{" META("ml", "gone", OWNER("ReplicaSet", "llm-0")) READY;

static struct kube_object *rollout_scale;

static int get_scale(void *ctx, const struct kube_scaled_object *so, const struct kube_scale **ret,
                     struct err *e) {
    if (rollout_scale == NULL)
        return err_set(e, ERR_UNAVAILABLE, "its scale was not read yet");
    *ret = (const void *)rollout_scale;
    return 0;
}

static struct caches open_caches(void) {
    return (struct caches){lab_cache(&kube_scaled_objects, scaled_objects),
                           lab_cache(&kube_pods, pods), lab_cache(&kube_deployments, deployments),
                           lab_cache(&kube_stateful_sets, ""),
                           lab_cache(&kube_replica_sets, replica_sets)};
}

static struct cluster_view view_of(const struct caches *c) {
    return (struct cluster_view){.scaled_objects = c->scaled_objects,
                                 .pods = c->pods,
                                 .deployments = c->deployments,
                                 .stateful_sets = c->stateful_sets,
                                 .replica_sets = c->replica_sets,
                                 .scale = get_scale};
}

static void close_caches(struct caches *c) {
    kube_reflector_free(c->scaled_objects);
    kube_reflector_free(c->pods);
    kube_reflector_free(c->deployments);
    kube_reflector_free(c->stateful_sets);
    kube_reflector_free(c->replica_sets);
}

static const struct workload *by_id(const struct workloads *w, const char *id) {
    for (size_t i = 0; i < w->list.n; i++)
        if (strcmp(w->list.items[i].id, id) == 0)
            return &w->list.items[i];
    return NULL;
}

static const struct workload *find(const struct workloads *w, const char *so,
                                   enum trigger_target target, const char *name, struct err *e) {
    const struct workload *found = NULL;
    *e = (struct err){0};
    return workloads_find(w, STR("ml"), str_from(so), target, name, &found, e) < 0 ? NULL : found;
}

static bool has_pods(const struct workload *w, const char *names) {
    size_t n = 0;
    for (size_t i = 0; i < w->pods.n; i++)
        n += strstr(names, w->pods.items[i].name) != NULL;
    return n == w->pods.n && n == strlen(names);
}

static void a_trigger_means_its_own_target_or_what_it_names_in_its_namespace(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *w;
    struct err e = {0};
    rollout_scale = NULL;
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    const struct workload *llm = find(w, "llm", TARGET_SCALED_OBJECT, NULL, &e);
    assert_non_null(llm);
    assert_string_equal(llm->id, "ml/deployment/llm");
    assert_int_equal(llm->replicas, 3);
    assert_int_equal(llm->status, 4);
    assert_true(has_pods(llm, "ab")); // through either ReplicaSet; not the one that is not there
    assert_ptr_equal(find(w, "twin", TARGET_DEPLOYMENT, "llm", &e), llm);
    const struct workload *picked = find(w, "picked", TARGET_SELECTOR, "role=leader", &e);
    assert_non_null(picked);
    assert_true(has_pods(picked, "bd")); // by labels, whoever owns them
    assert_int_equal(picked->replicas, 3);
    workloads_free(w);
    close_caches(&c);
}

static void what_a_trigger_cannot_mean_is_said(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *w;
    struct err e = {0};
    rollout_scale = NULL;
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    assert_null(find(w, "away", TARGET_SCALED_OBJECT, NULL, &e));
    assert_non_null(strstr(e.msg, "namespace ml has no deployment/absent"));
    assert_null(find(w, "foreign", TARGET_DEPLOYMENT, "theirs", &e));
    assert_non_null(strstr(e.msg, "its own namespace"));
    assert_null(find(w, "broken", TARGET_SELECTOR, "role in leader", &e));
    assert_non_null(strstr(e.msg, "cannot be read at character"));
    assert_null(find(w, "rollout", TARGET_SCALED_OBJECT, NULL, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_null(find(w, "cpu", TARGET_SCALED_OBJECT, NULL, &e)); // no external trigger
    assert_int_equal(e.code, ERR_NOTFOUND);
    assert_null(find(w, "llm", TARGET_DEPLOYMENT, "llm", &e)); // its trigger names none
    assert_int_equal(e.code, ERR_NOTFOUND);
    workloads_free(w);
    // Only triggers with our address are ours.
    static const char *const addresses[] = {"a:1", NULL};
    view.addresses = addresses;
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    assert_int_equal(w->list.n, 1);
    workloads_free(w);
    close_caches(&c);
}

static void a_rule_means_its_target(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *w;
    struct err e = {0};
    const struct config_rule rules[] = {
        {.name = "r", .namespace_ = "ml", .target = "deployment/llm"},
        {.name = "s", .namespace_ = "ml", .target = "statefulset/absent"},
        {.name = "t", .namespace_ = "other", .target = "deployment/theirs"},
    };
    kube_reflector_free(c.scaled_objects); // no ScaledObject at all
    c.scaled_objects = lab_cache(&kube_scaled_objects, "");
    view.scaled_objects = c.scaled_objects;
    view.rules = rules;
    view.n_rules = COUNT_OF(rules);
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    assert_int_equal(w->list.n, 2);
    const struct workload *llm = find(w, "r", TARGET_DEPLOYMENT, "llm", &e);
    assert_non_null(llm);
    assert_true(has_pods(llm, "ab"));
    assert_null(find(w, "s", TARGET_STATEFULSET, "absent", &e));
    assert_non_null(strstr(e.msg, "namespace ml has no statefulset/absent"));
    assert_null(find(w, "t", TARGET_DEPLOYMENT, "theirs", &e)); // not in this namespace
    assert_non_null(by_id(w, "other/deployment/theirs"));
    assert_true(cluster_target_counts(w, "statefulset", "ml", "absent")); // it may come
    workloads_free(w);
    close_caches(&c);
}

static void another_target_is_known_by_its_scale(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *w;
    struct err e = {0};
    static const char scale[] = "{" META("ml", "r", "") ",\"spec\":{\"replicas\":5},\"status\":{"
                                                        "\"replicas\":6,\"selector\":\"app=r\"}}";
    assert_int_equal(kube_object_parse(&rollout_scale, &kube_scales, str_from(scale), &e), 0);
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    const struct workload *r = find(w, "rollout", TARGET_SCALED_OBJECT, NULL, &e);
    assert_non_null(r);
    assert_string_equal(r->target, "rollout.argoproj.io/r");
    assert_int_equal(r->replicas, 5);
    assert_int_equal(r->status, 6);
    assert_true(has_pods(r, "e"));
    workloads_free(w);
    kube_object_free(rollout_scale);
    static const char silent[] = "{" META("ml", "r", "") ",\"spec\":{\"replicas\":5}}";
    assert_int_equal(kube_object_parse(&rollout_scale, &kube_scales, str_from(silent), &e), 0);
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    assert_null(find(w, "rollout", TARGET_SCALED_OBJECT, NULL, &e));
    assert_non_null(strstr(e.msg, "selector:LABELS"));
    workloads_free(w);
    rollout_scale = kube_object_free(rollout_scale);
    close_caches(&c);
}

static void what_concerns_a_workload_is_known_before_a_version_is_made(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *w;
    struct err e = {0};
    assert_int_equal(cluster_build(&w, &view, &e), 0);
    assert_true(cluster_target_counts(w, "deployment", "ml", "llm"));
    assert_true(cluster_target_counts(w, "deployment", "ml", "absent")); // may come
    assert_false(cluster_target_counts(w, "deployment", "other", "theirs"));
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(c.pods, o)) != NULL;)
        assert_int_equal(cluster_pod_counts(w, &view, (const void *)o),
                         strchr("abd", o->name[0]) != NULL && o->name[1] == '\0');
    workloads_free(w);
    close_caches(&c);
}

static void a_version_digests_what_is_decided_by(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    struct workloads *a, *b;
    struct err e = {0};
    assert_int_equal(cluster_build(&a, &view, &e), 0);
    kube_reflector_free(c.pods);
    c.pods = lab_cache(&kube_pods, "{" META("ml", "a", OWNER("ReplicaSet", "llm-1")) READY);
    view = view_of(&c);
    assert_int_equal(cluster_build(&b, &view, &e), 0);
    uint64_t two = by_id(a, "ml/deployment/llm")->digest;
    uint64_t one = by_id(b, "ml/deployment/llm")->digest;
    assert_true(one != two);
    workloads_free(b);
    assert_int_equal(cluster_build(&b, &view, &e), 0);
    assert_true(by_id(b, "ml/deployment/llm")->digest == one);
    assert_string_equal(by_id(b, "ml/deployment/llm")->pods.items[0].uid, "uid-a");
    // Another pod of the same name, made in the same second (a StatefulSet's).
    workloads_free(b);
    kube_reflector_free(c.pods);
    c.pods = lab_cache(&kube_pods, "{\"metadata\":{\"namespace\":\"ml\",\"name\":\"a\",\"uid\":"
                                   "\"uid-a2\"" OWNER("ReplicaSet", "llm-1") "}" READY);
    view = view_of(&c);
    assert_int_equal(cluster_build(&b, &view, &e), 0);
    assert_true(by_id(b, "ml/deployment/llm")->digest != one);
    workloads_free(a);
    workloads_free(b);
    close_caches(&c);
}

static void memory_that_ends_leaves_no_half_version(void **state) {
    struct caches c = open_caches();
    struct cluster_view view = view_of(&c);
    for (long n = 1;; n++) {
        struct workloads *w = NULL;
        struct err e = {0};
        mem_fail_from(n);
        int rc = cluster_build(&w, &view, &e);
        mem_fail_never();
        workloads_free(w);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
    close_caches(&c);
}

// What is lowered by it would be lowered by pods that are no more (decide_input.stale).
static void a_cluster_of_which_no_version_is_made_ages(void **state) {
    struct io *io = mem_zalloc(sizeof(*io));
    struct cluster c = {0};
    assert_non_null(io);
    assert_int_equal(io_cluster_stale_ns(io, 100 * NS_PER_S), 0); // a workloads file
    io->cluster = &c;
    assert_int_equal(io_cluster_stale_ns(io, 100 * NS_PER_S), 0);
    c.unbuilt_since_ns = 93 * NS_PER_S;
    assert_int_equal(io_cluster_stale_ns(io, 100 * NS_PER_S), 7 * NS_PER_S);
    mem_free(io);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trigger_means_its_own_target_or_what_it_names_in_its_namespace),
        cmocka_unit_test(what_a_trigger_cannot_mean_is_said),
        cmocka_unit_test(a_rule_means_its_target),
        cmocka_unit_test(another_target_is_known_by_its_scale),
        cmocka_unit_test(what_concerns_a_workload_is_known_before_a_version_is_made),
        cmocka_unit_test(a_version_digests_what_is_decided_by),
        cmocka_unit_test(a_cluster_of_which_no_version_is_made_ages),
        cmocka_unit_test(memory_that_ends_leaves_no_half_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
