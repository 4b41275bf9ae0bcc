// SPDX-License-Identifier: Apache-2.0
/*
 * Every selector gets the matcher, nothing else changes its meaning, and what is not understood is
 * refused with its place. That the results are those of a server which holds one namespace alone is
 * tested with a real one (tests/integration/test_promql.py).
 */
#include "unit.h"

#include "base/limits.h"
#include "base/mem.h"
#include "core/metrics/promql_enforce.h"

static int enforce(const char *query, struct buf *out, struct err *e) {
    buf_clear(out);
    int r = promql_enforce(out, str_from(query), STR("namespace"), STR("team-a"), e);
    assert_int_equal(buf_add_byte(out, '\0'), 0);
    return r;
}

#define NS "namespace=\"team-a\""

static void every_selector_gets_the_matcher(void **state) {
    (void)state;
    static const struct {
        const char *query, *enforced;
    } rows[] = {
        {"up", "up{" NS "}"},
        {"up{}", "up{" NS "}"},
        {" up { job = \"a\" , } ", "up{job=\"a\"," NS "}"},
        {"{__name__=~\".+\"}", "{__name__=~\".+\"," NS "}"},
        {"{'a.b',\"c.d\"!=\"e\"}", "{\"a.b\",\"c.d\"!=\"e\"," NS "}"},
        {"sum(rate(x_total[5m]))", "sum(rate(x_total{" NS "}[5m]))"},
        {"sum by (pod, by) (x) / on(pod) group_left(node) y",
         "sum by (pod,by) (x{" NS "}) / on (pod) group_left (node) y{" NS "}"},
        {"sum(x)by(pod)", "sum(x{" NS "}) by (pod)"},
        {"SUM WITHOUT (a) (x)", "SUM WITHOUT (a) (x{" NS "})"},
        {"a and on() b unless c or d",
         "a{" NS "} and on () b{" NS "} unless c{" NS "} or d{" NS "}"},
        {"a > bool 1 and -b", "a{" NS "} > bool 1 and -b{" NS "}"},
        {"a==b", "a{" NS "} == b{" NS "}"},
        {"x offset -1h30m + y @ start() - z[5m:] @ 1.5e9 offset 1d",
         "x{" NS "} offset -1h30m + y{" NS "} @ start() - z{" NS "}[5m:] @ 1.5e9 offset 1d"},
        {"max_over_time(rate(x[1m])[1h:1m])", "max_over_time(rate(x{" NS "}[1m])[1h:1m])"},
        {"quantile_over_time(0.9, x[1m])", "quantile_over_time(0.9,x{" NS "}[1m])"},
        {"topk(3, :level:sum)", "topk(3,:level:sum{" NS "})"},
        {"label_replace(x, \"namespace\", \"other\", '', `.*`)",
         "label_replace(x{" NS "},\"namespace\",\"other\",\"\",\".*\")"},
        {"vector(1) + Inf - nan + 0x1F + .5", "vector(1) + Inf - nan + 0x1F + .5"},
        {"x{a='b\"c\\'d',e=`f\\\"\n`}", "x{a=\"b\\\"c'd\",e=\"f\\\\\\\"\\n\"," NS "}"},
        {"x{a=\"\\u00e4\\n\\x41\\101\"}", "x{a=\"\\u00e4\\n\\x41\\101\"," NS "}"},
        {"# one } comment\nsum( # two\r x )# three", "sum(x{" NS "})"},
        {"x{namespace=\"team-a\"}", "x{namespace=\"team-a\"," NS "}"},
        {"x{namespace=~\".*\",namespace!=\"\"}", "x{namespace=~\".*\",namespace!=\"\"," NS "}"},
        {"x{namespace_=\"b\"}", "x{namespace_=\"b\"," NS "}"},
        {"histogram_quantile(0.9, sum by(le)(rate(b[5m])))",
         "histogram_quantile(0.9,sum by (le) (rate(b{" NS "}[5m])))"},
        {"1", "1"},
        {"time()", "time()"},
    };
    CLEANUP_BUF struct buf out;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err e = {0};
        if (enforce(rows[i].query, &out, &e))
            fail_msg("%s: %s", rows[i].query, e.msg);
        if (strcmp(out.p, rows[i].enforced) != 0)
            fail_msg("%s\n gave %s\n not  %s", rows[i].query, out.p, rows[i].enforced);
    }
}

static void what_was_written_reads_as_itself(void **state) {
    (void)state;
    static const char *const queries[] = {
        "sum by(a)(rate(x{b=~'c'}[5m])) / on(d) group_left x offset 5m", "a[5m:1m] @ end()",
        "{a=`b`} or ({'x.y',c!~\"d\"})"};
    CLEANUP_BUF struct buf once, twice;
    buf_init(&once, 1 << 16);
    buf_init(&twice, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        struct err e = {0};
        buf_clear(&once);
        buf_clear(&twice);
        assert_int_equal(promql_enforce(&once, str_from(queries[i]), STR("n"), STR("v"), &e), 0);
        assert_int_equal(promql_enforce(&twice, buf_str(&once), STR("n"), STR("v"), &e), 0);
        // Each selector has the matcher twice, and nothing else has changed.
        CLEANUP_BUF struct buf expected;
        buf_init(&expected, 1 << 16);
        for (size_t k = 0; k < once.len;) {
            bool ours = once.len - k >= 6 && memcmp(once.p + k, "n=\"v\"}", 6) == 0;
            assert_int_equal(ours ? buf_addc(&expected, "n=\"v\",n=\"v\"}")
                                  : buf_add_byte(&expected, once.p[k]),
                             0);
            k += ours ? 6 : 1;
        }
        assert_true(str_eq(buf_str(&twice), buf_str(&expected)));
        buf_done(&expected);
    }
}

static void what_is_not_understood_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *query, *error;
    } rows[] = {
        {"", "column 1: expected a metric, a number, a function or '(', found the end"},
        {"up{namespace=\"team-b\"}",
         "column 14: only series with namespace=\"team-a\" can be read here, which is added by "
         "itself: leave the matcher out"},
        {"up{'namespace'='team-b'}",
         "column 16: only series with namespace=\"team-a\" can be read here, which is added by "
         "itself: leave the matcher out"},
        {"up{a=\"b\" or namespace=\"team-b\"}", "column 10: expected ',' or '}', found \"or\""},
        {"up{a=\"b\"", "column 9: expected ',' or '}', found the end"},
        {"up{a=b}", "column 6: expected a string in quotes, found \"b\""},
        {"up{a}", "column 5: expected =, !=, =~ or !~, found \"}\""},
        {"up{a=\"b\"} up", "column 11: expected an operator or the end, found \"up\""},
        {"up}", "column 3: expected an operator or the end, found \"}\""},
        {"info(up)", "column 1: info(): no function that may be used here"},
        {"rats(x[5m])",
         "column 1: rats(): no function that may be used here; did you mean rate()?"},
        {"Rate(x[5m])", "column 1: Rate(): no function that may be used here; did you mean "
                        "rate()?"},
        {"sum + by", "column 1: \"sum\" is a word of PromQL: a metric of this name is written "
                     "{__name__=\"sum\"}"},
        {"offset{a=\"b\"}", "column 1: \"offset\" is a word of PromQL: a metric of this name is "
                            "written {__name__=\"offset\"}"},
        {"x + # y\n (z", "line 2, column 4: expected ')', found the end"},
        {"x[5m", "column 5: expected ']', found the end"},
        {"x[5q]", "column 3: expected a number or a duration such as 0.5, 1e3 or 5m"},
        {"x smoothed", "column 3: expected an operator or the end, found \"smoothed\""},
        {"x{a=\"b", "column 5: the string does not end"},
        {"x{a=\"b\n\"}", "column 5: a line ends inside a string"},
        {"x{a=\"\\q\"}", "column 5: the string has an escape that PromQL does not have"},
        {"x{a=\"\\'\"}", "column 5: the string has an escape that PromQL does not have"},
        {"WITH (a = b) a", "column 1: WITH(): no function that may be used here"},
        {"a; b", "column 2: ';' begins nothing in PromQL"},
        {"a\v+b", "column 2: byte 0x0b begins nothing in PromQL"},
        {"foo\\-bar", "column 4: '\\' begins nothing in PromQL"},
        {"a\xc2\xa0+b", "column 2: byte 0xc2 begins nothing in PromQL"},
        {"a\xff", "not text (UTF-8)"},
        {"x group_left y", "column 3: expected an operator or the end, found \"group_left\""},
        {"$x", "column 1: '$' begins nothing in PromQL"},
        {"1_000", "column 1: expected a number or a duration such as 0.5, 1e3 or 5m"},
    };
    CLEANUP_BUF struct buf out;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err e = {0};
        int r = enforce(rows[i].query, &out, &e);
        if (r == 0 || strcmp(e.msg, rows[i].error) != 0)
            fail_msg("%s\n gave %s\n not  %s", rows[i].query, r ? e.msg : out.p, rows[i].error);
        assert_int_equal(out.len, 1);
    }
}

static void a_value_is_quoted(void **state) {
    (void)state;
    CLEANUP_BUF struct buf out;
    struct err e = {0};
    buf_init(&out, 1000);
    assert_int_equal(promql_enforce(&out, STR("x"), STR("n"), STR("a\"} or y{z=\"\\"), &e), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "x{n=\"a\\\"} or y{z=\\\"\\\\\"}");
    assert_int_equal(promql_enforce(&out, STR("x"), STR("not a name"), STR("v"), &e), ERR_PARSE);
}

static void size_and_depth_have_limits(void **state) {
    (void)state;
    CLEANUP_BUF struct buf out, query;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    buf_init(&query, 1 << 20);
    for (int i = 0; i < LIMIT_PROMQL_DEPTH; i++)
        assert_int_equal(buf_addc(&query, "("), 0);
    assert_int_equal(buf_addc(&query, "x"), 0);
    for (int i = 0; i < LIMIT_PROMQL_DEPTH; i++)
        assert_int_equal(buf_addc(&query, ")"), 0);
    assert_int_equal(promql_enforce(&out, buf_str(&query), STR("n"), STR("v"), &e), 0);
    buf_clear(&query);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(buf_addc(&query, i % 2 ? "abs(" : "sum("), 0);
    assert_int_equal(promql_enforce(&out, buf_str(&query), STR("n"), STR("v"), &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "nested deeper than 64"));
    buf_clear(&query); // short to read, long to write
    for (int i = 0; i < 3000; i++)
        assert_int_equal(buf_addc(&query, "x+"), 0);
    assert_int_equal(buf_addc(&query, "x"), 0);
    size_t before = out.len;
    assert_int_equal(promql_enforce(&out, buf_str(&query), STR("namespace"), STR("v"), &e),
                     ERR_LIMIT);
    assert_int_equal(out.len, before);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        struct buf out;
        struct err e = {0};
        buf_init(&out, 1000);
        mem_fail_from(n);
        r = promql_enforce(&out, STR("sum by (a) (x{namespace='team-a'})"), STR("namespace"),
                           STR("team-a"), &e);
        mem_fail_never();
        assert_true(n < 50 && (r == 0 || r == ERR_NOMEM));
        buf_done(&out);
    }
    assert_int_equal(r, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_selector_gets_the_matcher),
        cmocka_unit_test(what_was_written_reads_as_itself),
        cmocka_unit_test(what_is_not_understood_is_refused_with_its_place),
        cmocka_unit_test(a_value_is_quoted),
        cmocka_unit_test(size_and_depth_have_limits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
