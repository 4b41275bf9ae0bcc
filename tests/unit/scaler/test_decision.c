// SPDX-License-Identifier: Apache-2.0
/* scaler/decision: what the leader packs, the follower reads; what no leader says is refused. */
#include "scaler/decision.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/grpc_status.h"
#include "unit.h"

static const struct object_pair pairs[] = {{STR("engine"), STR("vllm")},
                                           {STR("capacity"), STR("2")}};

static struct decision sample(void) {
    struct decision d = {
        .id = 77,
        .object = {STR("default"), STR("llm"), pairs, 2},
        .answer = {.seq = 41, .value = 3.001, .active = true},
        .memory = {.decided = true, .desired = 4, .sequence = 41, .n = 2},
    };
    d.memory.window[0] = (struct peak_entry){100 * NS_PER_S, 9};
    d.memory.window[1] = (struct peak_entry){115 * NS_PER_S, 4};
    return d;
}

static Gpuscale__V1__Decision *packed(const struct decision *d) {
    struct buf b;
    buf_init(&b, 1 << 16);
    assert_int_equal(decision_pack(&b, d), 0);
    Gpuscale__V1__Decision *m = gpuscale__v1__decision__unpack(NULL, b.len, (uint8_t *)b.p);
    assert_non_null(m);
    buf_done(&b);
    return m;
}

static void a_decision_reads_back_on_another_clock(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    Gpuscale__V1__Decision *m = packed(&d);
    // Our clock is 1000 s ahead of the leader's, and the second sample was taken just now.
    assert_int_equal(decision_unpack(&r, m, 1000 * NS_PER_S, 1115 * NS_PER_S, &e), 0);
    assert_int_equal(r.id, 77);
    assert_true(str_eqc(r.object.namespace_, "default") && str_eqc(r.object.name, "llm"));
    assert_false(r.object.rule);
    assert_int_equal(r.object.n_pairs, 2);
    assert_true(str_eqc(r.object.pairs[1].key, "capacity") &&
                str_eqc(r.object.pairs[1].value, "2"));
    assert_int_equal(r.answer.seq, 41);
    assert_true(r.answer.value == d.answer.value && r.answer.active && !r.answer.at_zero);
    assert_int_equal(r.answer.status, GRPC_OK);
    assert_true(r.memory.decided && r.memory.desired == 4 && r.memory.sequence == 41);
    assert_int_equal(r.memory.n, 2);
    assert_int_equal(r.memory.window[0].at_ns, 1100 * NS_PER_S);
    assert_int_equal(r.memory.window[1].at_ns, 1115 * NS_PER_S);
    assert_int_equal(r.memory.window[0].want, 9);
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

static void a_failing_answer_carries_its_reason_and_the_decision_before(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    char why[] = "requestRate is unknown";
    d.answer = (struct published){.status = GRPC_UNAVAILABLE, .fails_all = true, .message = why};
    Gpuscale__V1__Decision *m = packed(&d);
    assert_int_equal(decision_unpack(&r, m, 0, 115 * NS_PER_S, &e), 0);
    assert_int_equal(r.answer.status, GRPC_UNAVAILABLE);
    assert_string_equal(r.answer.message, why);
    assert_true(r.answer.fails_all);
    assert_int_equal(r.memory.sequence, 41); // numbers go on all the same
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

static void a_rule_is_another_object_than_a_scaled_object_of_its_name(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    d.object.rule = true;
    Gpuscale__V1__Decision *m = packed(&d);
    assert_int_equal(decision_unpack(&r, m, 0, 115 * NS_PER_S, &e), 0);
    assert_true(r.object.rule);
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

static void what_has_not_been_decided_has_no_memory(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    d.memory = (struct decider_memory){0};
    Gpuscale__V1__Decision *m = packed(&d);
    assert_int_equal(decision_unpack(&r, m, 0, 0, &e), 0);
    assert_false(r.memory.decided);
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

// Times ahead of ours are now: a window never holds longer than from now on.
static void a_window_from_the_future_begins_now(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    Gpuscale__V1__Decision *m = packed(&d);
    assert_int_equal(decision_unpack(&r, m, 0, 100 * NS_PER_S, &e), 0);
    assert_int_equal(r.memory.window[1].at_ns, 100 * NS_PER_S);
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

// A leader whose machine started a minute ago went on from one that has run for long: who follows
// it must take the window, or it hears nothing at all.
static void a_window_from_before_the_clock_began_is_taken(void **state) {
    struct decision d = sample(), r;
    struct err e = {0};
    d.memory.window[0].at_ns = -240 * NS_PER_S;
    d.memory.window[1].at_ns = 45 * NS_PER_S;
    Gpuscale__V1__Decision *m = packed(&d);
    assert_int_equal(decision_unpack(&r, m, 1000 * NS_PER_S, 1060 * NS_PER_S, &e), 0);
    assert_int_equal(r.memory.n, 2);
    assert_int_equal(r.memory.window[0].at_ns, 1000 * NS_PER_S); // longer, never shorter
    assert_int_equal(r.memory.window[1].at_ns, 1045 * NS_PER_S);
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

static void refused(void (*spoil)(Gpuscale__V1__Decision *m)) {
    struct decision d = sample(), r;
    struct err e = {0};
    Gpuscale__V1__Decision *m = packed(&d);
    spoil(m);
    assert_int_equal(decision_unpack(&r, m, 0, 200 * NS_PER_S, &e), ERR_PARSE);
    assert_string_not_equal(e.msg, "");
    gpuscale__v1__decision__free_unpacked(m, NULL);
}

static void no_value(Gpuscale__V1__Decision *m) {
    m->value = 0.0 / 0.0;
}
static void negative(Gpuscale__V1__Decision *m) {
    m->value = -1;
}
static void too_many(Gpuscale__V1__Decision *m) {
    m->desired = LIMIT_REPLICAS + 1;
}
static void no_id(Gpuscale__V1__Decision *m) {
    m->has_id = 0;
}
static void strange_status(Gpuscale__V1__Decision *m) {
    m->status = 99;
}
static void growing_window(Gpuscale__V1__Decision *m) {
    m->window_want[1] = 9;
}
static void window_back_in_time(Gpuscale__V1__Decision *m) {
    m->window_ms[1] = m->window_ms[0] - 1;
}
static void endless_time(Gpuscale__V1__Decision *m) {
    m->window_ms[0] = UINT64_MAX;
}
static void half_a_window(Gpuscale__V1__Decision *m) {
    m->n_window_ms = 1;
}
static void no_name(Gpuscale__V1__Decision *m) {
    m->object->name[0] = '\0';
}

static void window_of_nothing(Gpuscale__V1__Decision *m) {
    m->has_desired = 0;
}

static void what_no_leader_says_is_refused(void **state) {
    void (*const all[])(Gpuscale__V1__Decision *) = {no_value,
                                                     negative,
                                                     too_many,
                                                     no_id,
                                                     strange_status,
                                                     growing_window,
                                                     window_back_in_time,
                                                     endless_time,
                                                     half_a_window,
                                                     no_name,
                                                     window_of_nothing};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        refused(all[i]);
    struct decision r;
    struct err e = {0};
    Gpuscale__V1__Decision nobody = GPUSCALE__V1__DECISION__INIT;
    assert_int_equal(decision_unpack(&r, &nobody, 0, 0, &e), ERR_PARSE);
}

static void a_decision_that_does_not_fit_is_no_decision(void **state) {
    struct decision d = sample();
    CLEANUP_BUF struct buf b;
    buf_init(&b, 20);
    assert_int_equal(decision_pack(&b, &d), ERR_LIMIT);
    assert_int_equal(b.len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decision_reads_back_on_another_clock),
        cmocka_unit_test(a_failing_answer_carries_its_reason_and_the_decision_before),
        cmocka_unit_test(a_rule_is_another_object_than_a_scaled_object_of_its_name),
        cmocka_unit_test(what_has_not_been_decided_has_no_memory),
        cmocka_unit_test(a_window_from_the_future_begins_now),
        cmocka_unit_test(a_window_from_before_the_clock_began_is_taken),
        cmocka_unit_test(what_no_leader_says_is_refused),
        cmocka_unit_test(a_decision_that_does_not_fit_is_no_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
