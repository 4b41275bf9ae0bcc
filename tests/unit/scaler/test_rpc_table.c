// SPDX-License-Identifier: Apache-2.0
/* The rpc thread's table: lookup, limits, and what each call is answered in each state. */
#include "scaler/rpc_table.h"

#include <math.h>

#include "base/clock.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_status.h"
#include "unit.h"

static struct rpc_object *add(struct rpc_table *t, const char *name, const char *invalid) {
    struct object_pair p[] = {{STR("capacity"), STR("2")}};
    struct object_ref r = {STR("ns"), str_from(name), p, 1};
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct rpc_object *o = NULL;
    struct err e = {0};
    assert_null(rpc_table_find(t, &r, &h));
    assert_int_equal(rpc_table_add(t, &r, &h, invalid, 1, &o, &e), 0);
    assert_ptr_equal(rpc_table_find(t, &r, &h), o);
    assert_ptr_equal(rpc_table_by_id(t, o->id), o);
    return o;
}

static void publish(struct rpc_object *o, double value, bool active, bool at_zero, int status,
                    const char *message) {
    struct published p = {.id = o->id,
                          .value = value,
                          .active = active,
                          .at_zero = at_zero,
                          .status = status,
                          .message = message ? mem_strdup(message) : NULL};
    rpc_object_publish(o, &p);
    assert_null(p.message); // taken
}

// What KEDA of a version reads from the bytes.
static void read_value(const struct rpc_answer *a, double *ret_new, int64_t *ret_old) {
    assert_int_equal(a->status, GRPC_OK);
    Externalscaler__GetMetricsResponse *m = externalscaler__get_metrics_response__unpack(NULL, a->n,
                                                                                         a->packed);
    assert_non_null(m);
    assert_int_equal(m->n_metricvalues, 1); // several would be summed by the HPA
    assert_string_equal(m->metricvalues[0]->metricname, "desired-replicas");
    *ret_old = m->metricvalues[0]->metricvalue;
    // external_scaler.go: the float replaces the integer when it is above 0
    *ret_new = m->metricvalues[0]->metricvaluefloat > 0 ? m->metricvalues[0]->metricvaluefloat
                                                        : (double)*ret_old;
    externalscaler__get_metrics_response__free_unpacked(m, NULL);
}

static void values_are_safe_for_every_keda(void **state) {
    static const struct {
        double published, reads_new;
        int64_t reads_old;
    } cases[] = {
        {0, 0, 0},          {1, 1, 1},
        {9.001, 9.001, 10}, {0.001, 0.001, 1},
        {-3, 0, 0},         {1e300, LIMIT_REPLICAS, LIMIT_REPLICAS},
        {NAN, 0, 0},        {INFINITY, LIMIT_REPLICAS, LIMIT_REPLICAS},
        {-INFINITY, 0, 0},
    };
    struct rpc_table t = {0};
    struct rpc_object *o = add(&t, "so", NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        publish(o, cases[i].published, true, false, GRPC_OK, NULL);
        struct rpc_answer a;
        rpc_object_metrics(o, 0, NULL, &a);
        double now;
        int64_t old;
        read_value(&a, &now, &old);
        assert_true(now == cases[i].reads_new);
        assert_int_equal(old, cases[i].reads_old);
    }
    rpc_table_done(&t);
}

static bool says_active(const struct rpc_answer *a) {
    assert_int_equal(a->status, GRPC_OK);
    Externalscaler__IsActiveResponse *m = externalscaler__is_active_response__unpack(NULL, a->n,
                                                                                     a->packed);
    assert_non_null(m);
    bool is = m->result;
    externalscaler__is_active_response__free_unpacked(m, NULL);
    return is;
}

static void unknown_signals_fail_the_value_and_stay_active(void **state) {
    struct rpc_table t = {0};
    struct rpc_object *o = add(&t, "so", NULL);
    publish(o, 5, true, false, GRPC_UNAVAILABLE, "work is unknown");
    struct rpc_answer a;
    rpc_object_metrics(o, 0, NULL, &a);
    assert_int_equal(a.status, GRPC_UNAVAILABLE);
    assert_string_equal(a.message, "work is unknown");
    rpc_object_active(o, 0, &a);
    assert_true(says_active(&a));
    rpc_table_done(&t);
}

static void stalled_decisions_expire_but_never_fail_at_zero(void **state) {
    const int64_t fresh_ns = LIMIT_DECISION_AGE_MS * NS_PER_MS, old_ns = fresh_ns + 1;
    struct rpc_table t = {0};
    struct rpc_object *up = add(&t, "up", NULL), *zero = add(&t, "zero", NULL);
    publish(up, 5, true, false, GRPC_OK, NULL);
    publish(zero, 4, true, true, GRPC_OK, NULL);
    struct rpc_answer a;
    double v;
    int64_t i;
    rpc_object_metrics(up, fresh_ns, NULL, &a);
    read_value(&a, &v, &i);
    assert_true(v == 5);
    rpc_object_metrics(up, old_ns, NULL, &a);
    assert_int_equal(a.status, GRPC_UNAVAILABLE);
    assert_non_null(strstr(a.message, "ns/up"));
    assert_non_null(strstr(a.message, "30s"));
    rpc_object_active(up, old_ns, &a);
    assert_true(says_active(&a)); // unknown is not inactive
    rpc_object_active(zero, fresh_ns, &a);
    assert_true(says_active(&a));
    rpc_object_metrics(zero, old_ns, NULL, &a);
    read_value(&a, &v, &i);
    assert_true(v == 0);
    rpc_object_active(zero, old_ns, &a);
    assert_false(says_active(&a)); // unknown does not wake
    rpc_table_done(&t);
}

static void missing_workload_fails_both_calls(void **state) {
    struct rpc_table t = {0};
    struct rpc_object *o = add(&t, "so", NULL);
    struct published p = {.id = o->id,
                          .status = GRPC_NOT_FOUND,
                          .fails_all = true,
                          .message = mem_strdup("no workload")};
    rpc_object_publish(o, &p);
    struct rpc_answer a;
    rpc_object_metrics(o, 0, NULL, &a);
    assert_int_equal(a.status, GRPC_NOT_FOUND);
    rpc_object_active(o, 0, &a);
    assert_int_equal(a.status, GRPC_NOT_FOUND);
    rpc_table_done(&t);
}

static void spec_is_one_metric_with_target_one(void **state) {
    struct rpc_answer a;
    rpc_spec(&a);
    Externalscaler__GetMetricSpecResponse *m = externalscaler__get_metric_spec_response__unpack(
        NULL, a.n, a.packed);
    assert_non_null(m);
    assert_int_equal(m->n_metricspecs, 1);
    assert_string_equal(m->metricspecs[0]->metricname, RPC_METRIC_NAME);
    assert_int_equal(m->metricspecs[0]->targetsize, 1);
    assert_true(m->metricspecs[0]->targetsizefloat == 1.0);
    externalscaler__get_metric_spec_response__free_unpacked(m, NULL);
}

// Objects of one hash: a collision that nobody can make on purpose must still be right.
static void collisions_keep_objects_apart(void **state) {
    struct rpc_table t = {0};
    static const char *const names[] = {"a", "b", "c", "d"};
    struct rpc_object *o[4];
    struct object_ref r[4];
    struct object_hash h = {.all = 42};
    for (int gone = 0; gone < 4; gone++) {
        for (int i = 0; i < 4; i++) {
            r[i] = (struct object_ref){STR("ns"), str_from(names[i]), NULL, 0};
            assert_int_equal(rpc_table_add(&t, &r[i], &h, NULL, 1, &o[i], NULL), 0);
        }
        rpc_table_remove(&t, o[gone]);
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(rpc_table_find(&t, &r[i], &h), i == gone ? NULL : o[i]);
        for (int i = 0; i < 4; i++)
            if (i != gone)
                rpc_table_remove(&t, o[i]);
        assert_int_equal(t.n, 0);
        assert_null(t.by_hash);
    }
    rpc_table_done(&t);
}

static void invalid_objects_are_remembered_to_a_limit(void **state) {
    struct rpc_table t = {0};
    char name[32];
    struct object_hash h;
    struct rpc_object *o;
    for (int i = 0; i < LIMIT_INVALID_OBJECTS; i++) {
        (void)snprintf(name, sizeof(name), "so-%d", i);
        add(&t, name, "bad");
    }
    struct object_ref r = {STR("ns"), STR("one-more"), NULL, 0};
    object_ref_hash(&r, &h);
    struct err e = {0};
    assert_int_equal(rpc_table_add(&t, &r, &h, "bad", 1, &o, &e), ERR_LIMIT);
    assert_int_equal(rpc_table_add(&t, &r, &h, NULL, 1, &o, &e), 0); // a sound one still fits
    rpc_table_done(&t);
}

static void objects_have_a_limit_with_a_name(void **state) {
    struct rpc_table t = {.n = LIMIT_SCALED_OBJECTS};
    struct object_ref r = {STR("ns"), STR("so"), NULL, 0};
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct rpc_object *o;
    struct err e = {0};
    assert_int_equal(rpc_table_add(&t, &r, &h, NULL, 1, &o, &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "LIMIT_SCALED_OBJECTS"));
    t = (struct rpc_table){.key_bytes = LIMIT_METADATA_TOTAL_BYTES};
    assert_int_equal(rpc_table_add(&t, &r, &h, NULL, 1, &o, &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "LIMIT_METADATA_TOTAL_BYTES"));
}

static void every_failing_allocation_leaves_the_table_sound(void **state) {
    struct rpc_table t = {0};
    struct object_ref r = {STR("ns"), STR("so"), NULL, 0};
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct rpc_object *o = NULL;
    int rc = ERR_NOMEM;
    for (long n = 1; rc != 0; n++) {
        assert_in_range(n, 1, 100);
        mem_fail_from(n);
        rc = rpc_table_add(&t, &r, &h, "why", 1, &o, NULL);
        mem_fail_never();
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_NOMEM);
        assert_null(rpc_table_find(&t, &r, &h));
        assert_int_equal(t.n, 0);
    }
    assert_ptr_equal(rpc_table_find(&t, &r, &h), o);
    rpc_table_done(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_safe_for_every_keda),
        cmocka_unit_test(unknown_signals_fail_the_value_and_stay_active),
        cmocka_unit_test(stalled_decisions_expire_but_never_fail_at_zero),
        cmocka_unit_test(missing_workload_fails_both_calls),
        cmocka_unit_test(spec_is_one_metric_with_target_one),
        cmocka_unit_test(collisions_keep_objects_apart),
        cmocka_unit_test(invalid_objects_are_remembered_to_a_limit),
        cmocka_unit_test(objects_have_a_limit_with_a_name),
        cmocka_unit_test(every_failing_allocation_leaves_the_table_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
