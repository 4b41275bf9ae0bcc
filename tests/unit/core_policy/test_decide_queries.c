// SPDX-License-Identifier: Apache-2.0
/* Queries on Prometheus as capacity signals: they size, wake, age, and say why they are unknown. */
#include "lab.h"

// An engine whose pages tell nothing: the queries size alone.
#define QUERY(name, target) "prometheus." name "=main;query." name "=x;target." name "=" target
#define LAG QUERY("lag", "10") ";downWindow=0"

static void say(struct lab *l, int i, double value) {
    l->queries[i] = (struct signal_external){value, l->now_ns, EXTERNAL_GOOD};
}

// The newest answer has no value; the one before stays as old as it is.
static void fail_with(struct lab *l, int i, enum external_state state) {
    l->queries[i].state = state;
}

static void open_with(struct lab *l, const char *metadata, int n) {
    lab_open(l, metadata);
    struct lab_group groups[LAB_GROUPS] = {{.count = n, .state = POD_READY}};
    lab_pods(l, groups);
    l->spec = l->status = n;
}

static void run_saying(struct lab *l, int seconds, double value) {
    for (int i = 0; i < seconds; i++) {
        lab_second(l);
        say(l, 0, value);
        lab_tick(l);
    }
}

static void the_value_over_the_target_is_the_replicas(void **state) {
    (void)state;
    struct lab l;
    open_with(&l, LAG, 2);
    run_saying(&l, 2, 34);
    assert_int_equal(l.r.desired, 4);
    assert_string_equal(lab_sentence(&l.r),
                        "4 replicas: prometheus.lag 34 at 10 each needs 3.4; raised from 2.");
    run_saying(&l, 2, 20.5); // of 2 within the tolerance upward; 2.05 replicas at 0.9 are 3
    assert_int_equal(l.r.desired, 3);
    l.spec = 4;
    run_saying(&l, 2, 12); // 1.2 of 0.9 each
    assert_int_equal(l.r.desired, 2);
    run_saying(&l, 2, 0);
    assert_int_equal(l.r.desired, 1); // the engines' pages do not say that nothing runs
    lab_close(&l);
}

static void the_largest_of_several_counts(void **state) {
    (void)state;
    struct lab l;
    open_with(&l, QUERY("a", "10") ";" QUERY("b", "2") ";downWindow=0", 1);
    lab_second(&l);
    say(&l, 0, 30);
    say(&l, 1, 10);
    lab_tick(&l);
    assert_int_equal(l.r.desired, 5);
    assert_non_null(strstr(lab_sentence(&l.r), "prometheus.a 30 at 10 each needs 3; prometheus.b "
                                               "10 at 2 each needs 5; raised from 1."));
    // One of them unknown: the other may raise, none may lower.
    l.spec = 5;
    lab_run(&l, 31);
    say(&l, 0, 1);
    fail_with(&l, 1, EXTERNAL_SEVERAL);
    lab_tick(&l);
    assert_int_equal(l.r.desired, 5);
    assert_int_equal(l.r.missing, 1u << (SIGNAL_PROMETHEUS + 1));
    assert_non_null(strstr(lab_sentence(&l.r), "prometheus.b unknown (the query gives several "
                                               "samples: sum() them)"));
    say(&l, 0, 80);
    lab_tick(&l);
    assert_int_equal(l.r.desired, 8);
    lab_close(&l);
}

static void what_is_unknown_ages_then_fails_by_name(void **state) {
    (void)state;
    static const struct {
        enum external_state state;
        const char *words;
    } rows[] = {
        {EXTERNAL_NO_SAMPLE, "the query gives no sample"},
        {EXTERNAL_NAN, "the query gives NaN or Inf"},
        {EXTERNAL_NO_ANSWER, "no usable answer from the server"},
        {EXTERNAL_REFUSED, "the server answers with an error"},
        {EXTERNAL_PARTIAL, "the server says that part of the data may be missing"},
        {EXTERNAL_GOOD, "its last answer is too old"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lab l;
        char expected[200];
        open_with(&l, LAG, 3);
        run_saying(&l, 1, 30);
        fail_with(&l, 0, rows[i].state);
        lab_run(&l, 30); // maxAge
        assert_int_equal(l.r.state, DECISION_OK);
        assert_int_equal(l.r.desired, 3);
        lab_run(&l, 1);
        assert_int_equal(l.r.state, DECISION_UNAVAILABLE);
        snprintf(expected, sizeof(expected),
                 "nothing known for 31 s to size by: prometheus.lag (%s); the last decision was 3",
                 rows[i].words);
        assert_string_equal(lab_sentence(&l.r), expected);
        run_saying(&l, 1, 50);
        assert_int_equal(l.r.state, DECISION_OK);
        assert_int_equal(l.r.desired, 5);
        lab_close(&l);
    }
}

static void at_zero_a_query_is_demand(void **state) {
    (void)state;
    struct lab l;
    open_with(&l, LAG ";activation=3", 0);
    lab_run(&l, 1); // nothing heard
    assert_int_equal(l.r.activity, INACTIVE_ZERO_UNKNOWN);
    run_saying(&l, 1, 3);
    assert_int_equal(l.r.activity, INACTIVE_ZERO_IDLE);
    assert_false(l.r.active);
    run_saying(&l, 1, 25);
    assert_int_equal(l.r.activity, ACTIVE_DEMAND);
    assert_int_equal(l.r.desired, 3);
    // Lost: it neither wakes nor fails.
    fail_with(&l, 0, EXTERNAL_NO_ANSWER);
    lab_run(&l, 40);
    assert_int_equal(l.r.activity, INACTIVE_ZERO_UNKNOWN);
    assert_int_equal(l.r.state, DECISION_OK);
    assert_int_equal(l.r.desired, 0);
    lab_close(&l);
}

static void a_service_is_idle_only_when_the_query_is_known_to_be(void **state) {
    (void)state;
    struct lab l;
    open_with(&l, "engine=vllm;capacity=2;rateWindow=10;downWindow=0;" QUERY("lag", "10"), 1);
    for (int i = 0; i < 30; i++) {
        lab_second(&l);
        say(&l, 0, 0);
        lab_tick(&l);
    }
    assert_int_equal(l.r.activity, INACTIVE_IDLE);
    say(&l, 0, 0.5);
    lab_tick(&l);
    assert_int_equal(l.r.activity, ACTIVE_BUSY);
    say(&l, 0, 0);
    fail_with(&l, 0, EXTERNAL_NO_SAMPLE);
    lab_run(&l, 31);
    assert_int_equal(l.r.activity, ACTIVE_UNKNOWN);
    lab_close(&l);
}

static void the_json_calls_it_by_its_name(void **state) {
    (void)state;
    struct lab l;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 16);
    open_with(&l, LAG ";when=prometheus.lag", 1);
    fail_with(&l, 0, EXTERNAL_NAN);
    lab_run(&l, 1);
    assert_int_equal(record_json(&b, &l.r), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_non_null(strstr(b.p, "\"missing\":[\"prometheus.lag\"]"));
    assert_non_null(strstr(b.p, "{\"signal\":\"prometheus.lag\",\"role\":\"capacity\""));
    assert_non_null(strstr(b.p, "\"query\":\"nan\",\"ageSeconds\":null}"));
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_value_over_the_target_is_the_replicas),
        cmocka_unit_test(the_largest_of_several_counts),
        cmocka_unit_test(what_is_unknown_ages_then_fails_by_name),
        cmocka_unit_test(at_zero_a_query_is_demand),
        cmocka_unit_test(a_service_is_idle_only_when_the_query_is_known_to_be),
        cmocka_unit_test(the_json_calls_it_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
