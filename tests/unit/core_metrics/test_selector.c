// SPDX-License-Identifier: Apache-2.0
/* Series selectors of the demand configuration. */
#include "unit.h"

#include "base/mem.h"
#include "core/metrics/selector.h"

// Whether `selector` matches the one series of `line`.
static int note_match(void *ctx, const struct prom_sample *s, struct err *e) {
    const struct selector **sel = ctx;
    (void)e;
    if (selector_matches(*sel, s))
        *sel = NULL;
    return 0;
}

static bool matches(const char *selector, const char *line) {
    struct selector *s;
    struct err e = {0};
    struct prom_parser p;
    if (selector_parse(&s, str_from(selector), &e) != 0)
        fail_msg("%s", e.msg);
    const struct selector *found = s;
    prom_parser_init(&p, note_match, &found);
    assert_int_equal(prom_parser_feed(&p, line, strlen(line), &e), 0);
    prom_parser_done(&p);
    selector_free(s);
    return found == NULL;
}

static void test_a_series_matches_by_name_and_the_labels_named(void **state) {
    static const struct {
        const char *selector, *series;
        bool want;
    } cases[] = {
        {"m", "m 1\n", true},
        {"m", "m{a=\"b\"} 1\n", true},
        {"m{}", "m{a=\"b\"} 1\n", true},
        {"m", "mm 1\n", false},
        {"mm", "m 1\n", false},
        {"m{a=\"b\"}", "m{a=\"b\"} 1\n", true},
        {"m{a=\"b\"}", "m{c=\"d\",a=\"b\"} 1\n", true},
        {"m{c=\"d\",a=\"b\"}", "m{a=\"b\",c=\"d\"} 1\n", true},
        {"m{a=\"b\"}", "m{a=\"bb\"} 1\n", false},
        {"m{a=\"b\"}", "m 1\n", false},
        {"m{a=\"\"}", "m 1\n", true},
        {"m{a=\"\"}", "m{a=\"\"} 1\n", true},
        {"m{a=\"\"}", "m{a=\"x\"} 1\n", false},
        {"m{a=\"b\",c=\"d\"}", "m{a=\"b\"} 1\n", false},
        {"  m { a = \"q\\\"\\n\" , }  ", "m{a=\"q\\\"\\n\"} 1\n", true},
        {"{\"my.metric\",\"a.b\"=\"c\"}", "{\"my.metric\",\"a.b\"=\"c\"} 1\n", true},
        {"envoy_cluster_upstream_rq_active{envoy_cluster_name=\"outbound|8000||a.b\"}",
         "envoy_cluster_upstream_rq_active{envoy_cluster_name=\"outbound|8000||a.b\"} 1\n", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (matches(cases[i].selector, cases[i].series) != cases[i].want)
            fail_msg("%s on %s", cases[i].selector, cases[i].series);
}

static void test_errors_name_the_selector_the_column_and_the_remedy(void **state) {
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "selector is empty: expected name or name{label=\"value\"}"},
        {" \t", "selector is empty: expected name or name{label=\"value\"}"},
        {"9m", "selector \"9m\": column 1: expected a metric name, got '9'"},
        {"m{", "selector \"m{\": column 3: expected a label name or '}', got the end of the line"},
        {"m{a}", "selector \"m{a}\": column 4: expected '=' after the label name, got '}'"},
        {"m{a=b}", "selector \"m{a=b}\": column 5: expected '\"' before the label value, got 'b'"},
        {"m{a=\"b\"",
         "selector \"m{a=\"b\"\": column 8: expected ',' or '}', got the end of the line"},
        {"m{a=\"b\"} 1",
         "selector \"m{a=\"b\"} 1\": column 10: expected the end of the selector, got '1'"},
        {"sum(m)",
         "selector \"sum(m)\": column 4: expected '{' or a blank after the metric name, got '('"},
        {"rate m", "selector \"rate m\": column 6: expected the end of the selector, got 'm'"},
        {"m{a=~\"b\"}",
         "selector \"m{a=~\"b\"}\": only label=\"value\" can be matched, not !=, =~ or "
         "!~: column 5: expected '\"' before the label value, got '~'"},
        {"m{a!=\"b\"}",
         "selector \"m{a!=\"b\"}\": only label=\"value\" can be matched, not !=, =~ or "
         "!~: column 4: expected '=' after the label name, got '!'"},
        {"m{a=\"1\",a=\"2\"}",
         "selector \"m{a=\"1\",a=\"2\"}\": column 9: expected a label name that "
         "is not in the series already, got 'a'"},
        {"# HELP m", "selector \"# HELP m\": column 1: expected a metric name, got '#'"},
        {"m\nn", "selector: expected one line of UTF-8 text"},
        {"m{a=\"\xff\"}", "selector: expected one line of UTF-8 text"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct selector *s = NULL;
        struct err e = {0};
        assert_int_equal(selector_parse(&s, str_from(cases[i].text), &e), ERR_PARSE);
        assert_null(s);
        assert_string_equal(e.msg, cases[i].error);
    }
}

static void test_a_selector_of_unreasonable_length_is_refused(void **state) {
    char text[5000];
    struct selector *s = NULL;
    struct err e = {0};
    memset(text, 'm', sizeof(text));
    assert_int_equal(selector_parse(&s, (struct str){text, 4097}, &e), ERR_LIMIT);
    assert_int_equal(selector_parse(&s, (struct str){text, 4096}, &e), 0);
    selector_free(s);
}

static void test_every_failing_allocation_is_reported(void **state) {
    int failures = 0;
    for (long k = 1;; k++) {
        struct selector *s = NULL;
        struct err e = {0};
        mem_fail_from(k);
        int r = selector_parse(&s, STR("m{a=\"x\\n\",b=\"c\"}"), &e);
        mem_fail_never();
        if (r == 0) {
            assert_int_equal(s->n_labels, 2);
            assert_true(str_eqc(s->labels[0].value, "x\n"));
            selector_free(s);
            break;
        }
        assert_int_equal(r, ERR_NOMEM);
        assert_null(s);
        failures++;
    }
    assert_true(failures >= 4); // parser, line, scratch, selector
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_series_matches_by_name_and_the_labels_named),
        cmocka_unit_test(test_errors_name_the_selector_the_column_and_the_remedy),
        cmocka_unit_test(test_a_selector_of_unreasonable_length_is_refused),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
