// SPDX-License-Identifier: Apache-2.0
/* prometheus.NAME, query.NAME and target.NAME: how three keys become a signal, and every mistake.
 */
#include "lab.h"

#include "base/limits.h"

#define LAG "prometheus.lag=main;query.lag=sum(lag);target.lag=5"

static struct trigger *bind(const char *metadata) {
    struct trigger *t = NULL;
    struct err e = {0};
    if (lab_bind(&t, metadata, &e))
        fail_msg("%s: %s", metadata, e.msg);
    return t;
}

static void three_keys_are_a_capacity_signal_of_its_own(void **state) {
    (void)state;
    struct trigger *t = bind("target.lag= 5 ;prometheus.lag=main;query.lag= sum(lag) ");
    assert_int_equal(t->query_n, 1);
    assert_string_equal(t->queries[0].name, "prometheus.lag");
    assert_string_equal(t->queries[0].server, "main");
    assert_string_equal(t->queries[0].query, "sum(lag)");
    assert_null(t->queries[0].enforced);
    assert_int_equal(t->rule_n, 1);
    assert_int_equal(t->rule[0].signal, SIGNAL_PROMETHEUS);
    assert_int_equal(t->rule[0].role, ROLE_CAPACITY);
    assert_int_equal(t->rule[0].sizing, SIZE_TARGET);
    assert_true(t->rule[0].target == 5);
    assert_string_equal(trigger_signal_name(t, SIGNAL_PROMETHEUS), "prometheus.lag");
    assert_string_equal(trigger_signal_name(t, SIGNAL_QUEUE), "queue");
    trigger_free(t);
}

static void queries_stand_in_the_order_of_their_names(void **state) {
    (void)state;
    struct trigger *t = bind("target.b=2;query.a=x;prometheus.b=two;target.a=1;query.b=y;"
                             "prometheus.a=one;prometheus.C=three;query.C=z;target.CFromEnv=3");
    static const struct {
        const char *name, *server, *query;
    } rows[] = {
        {"prometheus.C", "three", "z"}, {"prometheus.a", "one", "x"}, {"prometheus.b", "two", "y"}};
    assert_int_equal(t->query_n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(t->queries[i].name, rows[i].name);
        assert_string_equal(t->queries[i].server, rows[i].server);
        assert_string_equal(t->queries[i].query, rows[i].query);
        assert_int_equal(t->rule[i].signal, SIGNAL_PROMETHEUS + i);
    }
    assert_true(t->rule[0].target == 3 && t->rule[1].target == 1 && t->rule[2].target == 2);
    trigger_free(t);
}

static void when_may_name_them(void **state) {
    (void)state;
    struct trigger *t = bind(LAG ";queue=10;when=queue and not prometheus.lag");
    assert_true(trigger_rule_of(t, SIGNAL_PROMETHEUS)->gated);
    assert_true(trigger_rule_of(t, SIGNAL_QUEUE)->gated);
    trigger_free(t);
    t = bind(LAG ";queue=10;when=all");
    assert_string_equal(t->when_text, "queue and prometheus.lag");
    trigger_free(t);
}

static void every_mistake_is_told(void **state) {
    (void)state;
    static const struct {
        const char *metadata, *error;
    } rows[] = {
        {"prometheus.lag=main;target.lag=5",
         "prometheus.lag: query.lag is missing: the PromQL whose value is the load of all replicas "
         "together"},
        {"prometheus.lag=main;query.lag=x",
         "prometheus.lag: target.lag is missing: what one replica serves, in the query's unit, "
         "above 0"},
        {"query.lag=x;target.lag=5", "query.lag: prometheus.lag is missing: the name of a "
                                     "Prometheus server of the scaler's configuration"},
        {LAG ";target.lug=5", "target.lug: prometheus.lug is missing: the name of a Prometheus "
                              "server of the scaler's configuration"},
        {LAG ";target.lagFromEnv=6", "target.lag is given twice (target.lagFromEnv counts as "
                                     "target.lag)"},
        {"prometheus.=main", "prometheus.: what follows the '.' is a name of yours: a letter, then "
                             "up to 31 letters, digits, '-' or '_'"},
        {"query.a.b=x", "query.a.b: what follows the '.' is a name of yours: a letter, then up to "
                        "31 letters, digits, '-' or '_'"},
        {"query.abcdefghijklmnopqrstuvwxyz0123456=x",
         "query.abcdefghijklmnopqrstuvwxyz0123456: what follows the '.' is a name of yours: a "
         "letter, then up to 31 letters, digits, '-' or '_'"},
        {"prometheus.lag=http://prom:9090;query.lag=x;target.lag=1",
         "prometheus.lag: \"http://prom:9090\" is not allowed; allowed: the name of a Prometheus "
         "server of the scaler's configuration, never a URL"},
        {"prometheus.lag=main;query.lag=x;target.lag=0",
         "target.lag: \"0\" is not allowed; allowed: what one replica serves, in the query's unit, "
         "above 0"},
        {"prometheus.lag=main;query.lag=x;target.lag=many",
         "target.lag: \"many\" is not allowed; allowed: what one replica serves, in the query's "
         "unit, above 0"},
        {"query.lag=  ", "query.lag: \"\" is not allowed; allowed: the PromQL whose value is the "
                         "load of all replicas together"},
        {LAG ";queue=5;when=queue and prometheus.lug",
         "when: \"queue and prometheus.lug\": column 11: \"prometheus.lug\" is no signal; did you "
         "mean \"prometheus.lag\"?"},
        {LAG ";when=prometheus", "when: \"prometheus\": column 1: \"prometheus\" is no signal"},
        {LAG ";prometheus.b=m;prometheus.c=m;prometheus.d=m;prometheus.e=m",
         "prometheus.e: more than 4 queries in one trigger"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trigger *t = NULL;
        struct err e = {0};
        int r = lab_bind(&t, rows[i].metadata, &e);
        if (r == 0 || t || strcmp(e.msg, rows[i].error) != 0)
            fail_msg("%s\n gave %s\n not  %s", rows[i].metadata, e.msg, rows[i].error);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct trigger *t = NULL;
    struct err e = {0};
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        assert_true(n < 200);
        mem_fail_from(n);
        r = lab_bind(&t, LAG ";prometheus.a=b;query.a=c;target.a=1;when=prometheus.a", &e);
        mem_fail_never();
        assert_true((r == 0) == (t != NULL));
    }
    assert_int_equal(r, 0);
    trigger_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_keys_are_a_capacity_signal_of_its_own),
        cmocka_unit_test(queries_stand_in_the_order_of_their_names),
        cmocka_unit_test(when_may_name_them),
        cmocka_unit_test(every_mistake_is_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
