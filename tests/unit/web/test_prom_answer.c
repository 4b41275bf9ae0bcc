// SPDX-License-Identifier: Apache-2.0
/* What each shape of an answer is worth: one number, or unknown with a reason. */
#include "unit.h"

#include "base/mem.h"
#include "web/prom_answer.h"

#define OK(type, result)                                                                           \
    "{\"status\":\"success\",\"data\":{\"resultType\":\"" type "\",\"result\":" result "}}"
#define SAMPLE(value)                                                                              \
    "{\"metric\":{\"pod\":\"a\",\"job\":\"b\"},\"value\":[1700000000.1,\"" value "\"]}"

static void every_shape_is_a_number_or_says_why_not(void **state) {
    (void)state;
    static const struct {
        const char *body;
        enum external_state state;
        double value;
        const char *text;
    } rows[] = {
        {OK("vector", "[" SAMPLE("34.5") "]"), EXTERNAL_GOOD, 34.5, ""},
        {OK("scalar", "[1700000000,\"0\"]"), EXTERNAL_GOOD, 0, ""},
        {OK("vector", "[" SAMPLE("1e+06") "]"), EXTERNAL_GOOD, 1e6, ""},
        {"{\"status\":\"success\",\"warnings\":[],\"infos\":[\"x\"],\"data\":{\"resultType\":"
         "\"scalar\",\"result\":[1,\"2\"]}}",
         EXTERNAL_GOOD, 2, ""},
        {OK("vector", "[]"), EXTERNAL_NO_SAMPLE, 0,
         "the query gives no sample: nothing matches (no sample is not 0; where it means 0, write "
         "`... or vector(0)`)"},
        {OK("vector", "[" SAMPLE("1") "," SAMPLE("2") "]"), EXTERNAL_SEVERAL, 0,
         "the query gives 2 samples, the first is {pod=\"a\",job=\"b\"}: sum() them"},
        {OK("vector", "[" SAMPLE("NaN") "]"), EXTERNAL_NAN, 0,
         "the query gives NaN, which is no load"},
        {OK("vector", "[" SAMPLE("+Inf") "]"), EXTERNAL_NAN, 0,
         "the query gives +Inf, which is no load"},
        {OK("scalar", "[1,\"-0.5\"]"), EXTERNAL_NEGATIVE, 0,
         "the query gives -0.5, less than 0: clamp_min(..., 0) it"},
        {OK("vector", "[" SAMPLE("many") "]"), EXTERNAL_TYPE, 0, "the query gives no number"},
        {OK("vector", "[{\"metric\":{},\"value\":[1]}]"), EXTERNAL_TYPE, 0,
         "the query gives no number"},
        {OK("vector", "[{\"metric\":{},\"value\":[1,2]}]"), EXTERNAL_TYPE, 0,
         "the query gives no number"},
        {OK("vector", "[7]"), EXTERNAL_TYPE, 0, "the query gives no number"},
        {OK("vector", "[{\"metric\":{},\"histogram\":[1,{}]}]"), EXTERNAL_TYPE, 0,
         "the query gives a native histogram: take a number of it, as with histogram_count()"},
        {OK("matrix", "[]"), EXTERNAL_TYPE, 0,
         "the query gives a matrix, not one number: put a function such as rate() around the "
         "range"},
        {OK("string", "[1,\"7\"]"), EXTERNAL_TYPE, 0, "the query gives a string, not one number"},
        {"{\"status\":\"success\",\"data\":{}}", EXTERNAL_TYPE, 0,
         "the query gives a nothing, not one number"},
        {"{\"status\":\"success\",\"warnings\":[\"store \\n a\"],\"data\":{\"resultType\":"
         "\"scalar\",\"result\":[1,\"2\"]}}",
         EXTERNAL_PARTIAL, 0, "the server warns, so the number may lack a part: store   a"},
        {"{\"status\":\"success\",\"warnings\":[\"x\"],\"data\":{\"resultType\":\"vector\","
         "\"result\":[]}}",
         EXTERNAL_NO_SAMPLE, 0, NULL},
        {"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:3: parse error\"}",
         EXTERNAL_REFUSED, 0, "bad_data: 1:3: parse error"},
        {"{\"status\":\"error\"}", EXTERNAL_REFUSED, 0, "error: without a reason"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct prom_answer a;
        struct err e = {0};
        if (prom_answer_parse(str_from(rows[i].body), &a, &e))
            fail_msg("%s: %s", rows[i].body, e.msg);
        if (a.state != rows[i].state || a.value != rows[i].value ||
            (rows[i].text && strcmp(a.text, rows[i].text) != 0))
            fail_msg("%s\n gave %s %g %s", rows[i].body, external_state_name(a.state), a.value,
                     a.text);
    }
}

static void what_is_no_answer_is_an_error(void **state) {
    (void)state;
    static const struct {
        const char *body, *error;
    } rows[] = {
        {"", "not JSON: line 1, column 0"},
        {"<html>", "not JSON: line 1, column 1"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[", "not JSON"},
        {"[]", "not an answer of Prometheus' HTTP API"},
        {"{}", "not an answer of Prometheus' HTTP API"},
        {"{\"status\":\"success\"}", "not an answer of Prometheus' HTTP API"},
        {"{\"status\":7}", "not an answer of Prometheus' HTTP API"},
        {"{\"status\":\"success\",\"status\":\"error\"}", "not JSON: line 1"},
        {"{\"status\":\"\xff\"}", "not JSON"},
        {"{\"status\":\"a\\u0000b\"}", "not JSON"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct prom_answer a;
        struct err e = {0};
        assert_int_equal(prom_answer_parse(str_from(rows[i].body), &a, &e), ERR_PARSE);
        if (!strstr(e.msg, rows[i].error))
            fail_msg("%s\n gave %s\n not  %s", rows[i].body, e.msg, rows[i].error);
    }
    // As deep as a body may be.
    static char deep[64 << 10];
    memset(deep, '[', sizeof(deep));
    struct prom_answer a;
    struct err e = {0};
    assert_int_equal(prom_answer_parse((struct str){deep, sizeof(deep)}, &a, &e), ERR_PARSE);
}

static void a_long_reason_is_cut_at_a_character(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    struct prom_answer a;
    struct err e = {0};
    buf_init(&b, 1 << 16);
    assert_int_equal(buf_addc(&b, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"x"),
                     0);
    for (int i = 0; i < 500; i++)
        assert_int_equal(buf_addc(&b, "\xc3\xa4"), 0);
    assert_int_equal(buf_addc(&b, "\"}"), 0);
    assert_int_equal(prom_answer_parse(buf_str(&b), &a, &e), 0);
    size_t n = strlen(a.text);
    assert_true(n > 200 && n < PROM_ANSWER_TEXT_MAX && (a.text[n - 1] & 0xff) == 0xa4);
    // Many labels: what does not fit is not begun.
    buf_clear(&b);
    assert_int_equal(buf_addc(&b, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\","
                                  "\"result\":[{\"metric\":{"),
                     0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(buf_addf(&b, "%s\"label%d\":\"value\"", i ? "," : "", i), 0);
    assert_int_equal(buf_addc(&b, "},\"value\":[1,\"1\"]},{}]}}"), 0);
    assert_int_equal(prom_answer_parse(buf_str(&b), &a, &e), 0);
    assert_int_equal(a.state, EXTERNAL_SEVERAL);
    assert_non_null(strstr(a.text, "label0=\"value\""));
    assert_non_null(strstr(a.text, "...}: sum() them"));
}

static void the_form_escapes_all_but_the_plainest(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 200);
    assert_int_equal(prom_answer_form(&b, STR("sum(a{b=~\"c&d\"}[5m]) + \xc3\xa4"), 5, 0), 0);
    assert_true(str_eq(buf_str(&b), STR("query=sum%28a%7Bb%3D~%22c%26d%22%7D%5B5m%5D%29%20%2B%20"
                                        "%C3%A4&timeout=5.000")));
    buf_clear(&b);
    assert_int_equal(prom_answer_form(&b, STR("a"), 0.25, 90), 0);
    assert_true(str_eq(buf_str(&b), STR("query=a&timeout=0.250&lookback_delta=90.000")));
    assert_string_equal(b.p, "query=a&timeout=0.250&lookback_delta=90.000");
    struct buf small;
    buf_init(&small, 10);
    assert_int_equal(prom_answer_form(&small, STR("abcdefgh"), 1, 0), ERR_LIMIT);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_is_a_number_or_says_why_not),
        cmocka_unit_test(what_is_no_answer_is_an_error),
        cmocka_unit_test(a_long_reason_is_cut_at_a_character),
        cmocka_unit_test(the_form_escapes_all_but_the_plainest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
