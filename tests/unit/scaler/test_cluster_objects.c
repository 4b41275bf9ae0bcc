// SPDX-License-Identifier: Apache-2.0
/* Triggers of a cluster's ScaledObjects as objects: which are there, and whose silence is told. */
#include "cluster_lab.h"
#include "io_lab.h"
#include "scaler/cluster_internal.h"

#define META(name) "\"metadata\":{\"namespace\":\"default\",\"name\":\"" name "\",\"uid\":\"u\"}"
#define OBJECT(name, metadata, status)                                                             \
    "{" META(name) ",\"spec\":{\"scaleTargetRef\":{\"name\":\"llm\"},\"pollingInterval\":1,"       \
                   "\"triggers\":[{\"type\":\"external\",\"metadata\":{\"scalerAddress\":\"a:1\"," \
                   "\"engine\":\"vllm\"" metadata "}}]}" status "}"

#define READY(is) ",\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"" is "\"}]}"

struct lab {
    struct io *io;
    struct cluster cluster;
    struct kube_reflector *caches[5];
};

// As cluster.c's build() does it.
static void build(struct lab *l) {
    struct workloads *fresh;
    struct err e = {0};
    assert_int_equal(cluster_build(&fresh, &l->cluster.view, &e), 0);
    cluster_objects_mark(l->io);
    io_workloads_take(l->io, fresh);
    cluster_objects_settle(l->io);
}

static void scaled_objects_are(struct lab *l, const char *items) {
    kube_reflector_free(l->caches[0]);
    l->caches[0] = lab_cache(&kube_scaled_objects, items);
    l->cluster.view.scaled_objects = l->caches[0];
    build(l);
}

static struct lab *open_cluster(const char *scaled_objects) {
    struct lab *l = mem_zalloc(sizeof(*l));
    assert_non_null(l);
    l->io = lab_open("workloads: []\n", 64);
    lab_config.kubernetes.keda_silence_ns = 2 * NS_PER_S;
    l->caches[1] = lab_cache(&kube_pods, "");
    l->caches[2] = lab_cache(&kube_deployments, "{" META("llm") ",\"spec\":{\"replicas\":3}}");
    l->caches[3] = lab_cache(&kube_stateful_sets, "");
    l->caches[4] = lab_cache(&kube_replica_sets, "");
    l->cluster.built_ns = clock_mono_ns();
    l->cluster.armed = true; // there is no timer: the test builds
    l->cluster.view = (struct cluster_view){.pods = l->caches[1],
                                            .deployments = l->caches[2],
                                            .stateful_sets = l->caches[3],
                                            .replica_sets = l->caches[4],
                                            .asked = cluster_objects_asked,
                                            .ctx = l->io};
    l->io->cluster = &l->cluster;
    scaled_objects_are(l, scaled_objects);
    return l;
}

static void close_cluster(struct lab *l) {
    lab_close(l->io);
    for (size_t i = 0; i < COUNT_OF(l->caches); i++)
        kube_reflector_free(l->caches[i]);
    mem_free(l);
}

// KEDA's first call for it. `key` NULL: no pair beside.
static void ask(struct lab *l, uint64_t id, const char *name, const char *address, const char *key,
                const char *value) {
    struct object_pair pairs[] = {{STR("scalerAddress"), str_from(address)},
                                  {STR("engine"), STR("vllm")},
                                  {str_from(key ? key : ""), str_from(key ? value : "")}};
    struct object_ref r = {STR("default"), str_from(name), pairs, key ? 3 : 2};
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct to_io m = {.kind = TO_IO_REGISTER, .id = id, .key = object_key_new(&r, &h)};
    io_register(l->io, &m);
    object_key_free(m.key);
}

static struct object *by_rpc(const struct lab *l, uint64_t id) {
    struct object *o = l->io->objects;
    while (o != NULL && o->rpc_id != id)
        o = o->hh.next;
    return o;
}

// For how long KEDA has been missed, a minute from now; 0: it is not.
static int64_t missed_ns(const struct lab *l, struct object *o) {
    struct record_scene scene;
    int64_t heard_ns = o->heard_ns;
    io_cluster_scene(l->io, o, clock_mono_ns() + 60 * NS_PER_S, clock_real_ns(), &scene);
    o->heard_ns = heard_ns;
    return scene.unasked_ns;
}

#define FROM_ENV ",\"capacityFromEnv\":\"CAPACITY\""

static void of_values_of_an_environment_that_was_nobody_is_missed(void **state) {
    struct lab *l = open_cluster(OBJECT("llm", FROM_ENV, ""));
    assert_null(l->io->objects); // only a call can tell them
    ask(l, 7, "llm", "a:1", "capacityFromEnv", "2");
    ask(l, 8, "llm", "a:1", "capacityFromEnv", "3");
    struct object *was = by_rpc(l, 7), *is = by_rpc(l, 8);
    assert_true(was->watched && was->feed != NULL && is->watched && is->feed != NULL);
    assert_true(missed_ns(l, was) > 0 && missed_ns(l, is) > 0); // KEDA stands still
    is->asked_ns += 55 * NS_PER_S;
    assert_true(missed_ns(l, was) == 0);
    is->asked_ns -= 55 * NS_PER_S;
    assert_true(missed_ns(l, was) > 0);
    io_drop(l->io, 7); // after a while without calls
    assert_int_equal(HASH_COUNT(l->io->objects), 1);
    assert_ptr_equal(l->io->objects, is);
    scaled_objects_are(l, OBJECT("llm", FROM_ENV, "") "," OBJECT("other", "", ""));
    assert_int_equal(HASH_COUNT(l->io->objects), 2); // the one that is asked for stays
    io_drop(l->io, 8);
    assert_int_equal(HASH_COUNT(l->io->objects), 1);
    close_cluster(l);
}

static void a_trigger_whose_metadata_is_known_stays_when_keda_asks_no_more(void **state) {
    struct lab *l = open_cluster(OBJECT("llm", "", ""));
    ask(l, 7, "llm", "a:1", NULL, NULL);
    io_drop(l->io, 7);
    assert_int_equal(HASH_COUNT(l->io->objects), 1);
    assert_true(missed_ns(l, l->io->objects) > 0);
    close_cluster(l);
}

static struct object *by_name(const struct lab *l, const char *name) {
    struct object *o = l->io->objects;
    while (o != NULL && !str_eqc(o->key->ref.name, name))
        o = o->hh.next;
    return o;
}

static void
a_trigger_of_another_address_is_decided_from_kedas_first_call_to_its_last(void **state) {
    static const char *const ours[] = {"b:1", "b.svc:1", NULL};
    static const char scaled_objects[] = OBJECT("llm", "", "") "," OBJECT("env", FROM_ENV, "");
    struct lab *l = open_cluster("");
    l->cluster.view.addresses = ours;
    scaled_objects_are(l, scaled_objects);
    assert_null(l->io->objects);
    ask(l, 7, "llm", "a:1", NULL, NULL);
    ask(l, 8, "env", "a:1", "capacityFromEnv", "3");
    for (uint64_t id = 7; id <= 8; id++) {
        assert_false(by_rpc(l, id)->decided);
        assert_int_equal(by_rpc(l, id)->fault.code, ERR_UNAVAILABLE); // soon
    }
    assert_true(l->cluster.met);
    for (int i = 0; i < 2; i++) {
        build(l);
        assert_true(by_rpc(l, 7)->decided && by_rpc(l, 7)->last.desired == 3);
        assert_true(by_rpc(l, 8)->decided);
    }
    assert_true(missed_ns(l, by_rpc(l, 7)) > 0); // it led here
    io_drop(l->io, 7);
    io_drop(l->io, 8);
    assert_null(l->io->objects);
    build(l);
    assert_null(l->io->objects);
    static const char *const theirs[] = {"b:1", "a:1", NULL};
    l->cluster.view.addresses = theirs;
    scaled_objects_are(l, scaled_objects);
    assert_true(by_name(l, "llm")->decided && by_name(l, "env") == NULL);
    assert_true(missed_ns(l, by_name(l, "llm")) > 0); // nobody ever came, and ought to
    close_cluster(l);
}

static void nobody_is_missed_who_asks_another_scaler(void **state) {
    struct lab *l = open_cluster(
        OBJECT("well", "", READY("True")) "," OBJECT("ill", "", READY("False")) "," OBJECT(
            "new", "", "") "," OBJECT("unknown", "", READY("Unknown")));
    assert_int_equal(HASH_COUNT(l->io->objects), 4);
    assert_true(missed_ns(l, by_name(l, "well")) == 0);
    // Nobody answers KEDA there.
    assert_true(missed_ns(l, by_name(l, "ill")) > 0 && missed_ns(l, by_name(l, "new")) > 0 &&
                missed_ns(l, by_name(l, "unknown")) > 0);
    ask(l, 7, "ill", "b:1", NULL, NULL);
    assert_true(missed_ns(l, by_name(l, "well")) == 0);
    ask(l, 8, "new", " a:1 ", "queue", "5"); // whatever it asks for, it came by this address
    assert_true(missed_ns(l, by_name(l, "well")) > 0);
    close_cluster(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_values_of_an_environment_that_was_nobody_is_missed),
        cmocka_unit_test(a_trigger_whose_metadata_is_known_stays_when_keda_asks_no_more),
        cmocka_unit_test(a_trigger_of_another_address_is_decided_from_kedas_first_call_to_its_last),
        cmocka_unit_test(nobody_is_missed_who_asks_another_scaler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
