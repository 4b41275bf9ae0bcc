// SPDX-License-Identifier: Apache-2.0
/* Formulas of scalingModifiers: values that expr-lang gives, and errors that say where. */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/hpa/keda_formula.h"

static const char *const names[] = {"gpu", "queue", "q2"};

enum { NIL = -999, BROKEN = -998 };

static double value(const char *text, double gpu, double queue, uint32_t nil) {
    struct keda_formula *f;
    struct err e = {0};
    double v[] = {gpu, queue, 3}, x;
    bool is_nil;
    if (keda_formula_parse(&f, str_from(text), names, 3, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    int r = keda_formula_eval(f, v, nil, &x, &is_nil, &e);
    keda_formula_free(f);
    return r < 0 ? BROKEN : is_nil ? NIL : x;
}

static void formulas_give_what_kedas_engine_gives(void **state) {
    (void)state;
    static const char two_sided[] = "gpu > 80 && queue > 10 ? max(gpu/80, queue/10) : "
                                    "(gpu < 40 && queue < 5 ? max(gpu/80, queue/10) : 1)";
    static const struct {
        const char *text;
        double gpu, queue, want;
    } rows[] = {
        {two_sided, 95, 30, 3},
        {two_sided, 95, 2, 1},
        {two_sided, 10, 0, 0.125},
        {"(gpu + queue)/2", 10, 4, 7},
        {"gpu > 2 ? gpu + queue : 1", 3, 4, 7},
        {"count([gpu,queue,q2],{#>1}) > 1 ? 5 : 0", 2, 0, 5},
        {"count([gpu,queue,q2],#>1) > 2 ? 5 : 0", 2, 0, 0},
        {"min(gpu/80, queue/10)", 40, 20, 0.5},
        {"if gpu > 1 and not (queue > 1) { 7 } else if queue == 2 { 8 } else { 9 }", 2, 0, 7},
        {"if gpu > 1 and not (queue > 1) { 7 } else if queue == 2 { 8 } else { 9 }", 0, 2, 8},
        {"-2 ** 2", 0, 0, -4},
        {"2 ** 3 ** 2", 0, 0, 512},
        {"7 / 2", 0, 0, 3.5},
        {"7 % 4 - -1", 0, 0, 4},
        {"1 < gpu < 3 ? 1 : 0", 2, 0, 1},
        {"1 < gpu < 3 ? 1 : 0", 5, 0, 0},
        {"gpu > 1 == true ? 1 : 0", 2, 0, 1},
        {"1_000 + 0x1f + 0b11 + .5", 0, 0, 1034.5},
        {"round(2.5) + round(-2.5) + floor(-0.5) + int(2.9) + abs(-3)", 0, 0, 4},
        {"mean([gpu, queue], 3)", 2, 4, 3},
        {"sum([1, 2, 3], {# * 2})", 0, 0, 12},
        {"gpu /* used */ + // added\n queue", 1, 2, 3},
        {"any([gpu, queue], {# > 5}) ? 1 : 0", 1, 6, 1},
        {"(gpu ?? 1) + 1", 4, 0, 5},
        {"max([gpu, queue], q2, 1)", 1, 9, 9},
        {"gpu,", 6, 0, 6},                        // KEDA writes float(...) around it
        {"1) + (queue", 0, 2, 3},                 // so this is a formula too
        {"float(gpu) > 1 ? 2 : 3", 6, 0, BROKEN}, // and this gives an int, which KEDA refuses
        {"float(gpu) > 1 ? 2.0 : 3", 6, 0, 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double got = value(rows[i].text, rows[i].gpu, rows[i].queue, 0);
        if (got != rows[i].want)
            fail_msg("%s at %g, %g: %.17g, not %g", rows[i].text, rows[i].gpu, rows[i].queue, got,
                     rows[i].want);
    }
}

static void a_missing_trigger_is_nil(void **state) {
    (void)state;
    assert_true(value("gpu ?? 5", 1, 0, 1) == 5);
    assert_true(value("gpu ?? queue", 1, 2, 3) == NIL); // KEDA then takes fallback.replicas
    assert_true(value("gpu + 1", 1, 0, 1) == BROKEN);
    assert_true(value("gpu == nil ? 3 : gpu", 1, 0, 1) == 3);
    assert_true(value("gpu > 0 ? 1 : 2", 1, 0, 1) == BROKEN);
    assert_true(value("queue > 0 ? 1 : gpu", 1, 1, 1) == 1); // never looked at
}

static void errors_say_the_column(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *message;
    } rows[] = {
        {"", ERR_PARSE, "column 1: the formula is empty"},
        {"gpu +", ERR_PARSE, "column 6: expected a number"},
        {"gpu queue", ERR_PARSE, "column 5: expected an operator, `,` or `)`, found \"queue\""},
        {"gpo + 1", ERR_PARSE, "column 1: no trigger is named \"gpo\"; did you mean \"gpu\"?"},
        {"(gpu + 1", ERR_PARSE, "found the end"},
        {"maxx(1)", ERR_PARSE, "did you mean \"max\"?"},
        {"gpu ? 1", ERR_PARSE, "column 8: expected `:`"},
        {"gpu > 1", ERR_PARSE, "gives a bool"},
        {"gpu and queue ? 1 : 0", ERR_PARSE, "column 5: `and` and `or` want booleans, not float"},
        {"gpu % 2", ERR_PARSE, "column 5: % wants integers"},
        {"gpu ?? 1 + 2", ERR_PARSE, "column 10: + cannot follow ??"},
        {"gpu ? 1 : 0", ERR_PARSE, "column 1: a condition wants a boolean, not float"},
        {"1 % 0", ERR_INVALID, "column 3: an integer divided by zero"},
        {"float()", ERR_PARSE, "float() wants an argument"},
        {"float(1, 2)", ERR_PARSE, "wants one argument, not 2"},
        {"float(gpu", ERR_PARSE, "column 10: expected an operator, `,` or `)`, found the end"},
        {"let x = 1; x", ERR_UNSUPPORTED, "column 1: a word (\"let\")"},
        {"len([1])", ERR_UNSUPPORTED, "column 1: a function (\"len\")"},
        {"1 + [1, 2]", ERR_UNSUPPORTED, "column 5: a list that is no argument"},
        {"gpu.x", ERR_UNSUPPORTED, "column 4: a member"},
        {"gpu | float()", ERR_UNSUPPORTED, "column 5: a pipe"},
        {"'a' == 'a' ? 1 : 0", ERR_UNSUPPORTED, "column 1: a string"},
        {"gpu @ 1", ERR_PARSE, "column 5: unexpected '@'"},
        {"gpu \xc3\xa4", ERR_PARSE, "column 5: unexpected byte 0xc3"},
        {"12gpu", ERR_PARSE, "a number must not end in a letter"},
        {"9223372036854775808", ERR_PARSE, "is no number that fits"},
        {"0x", ERR_PARSE, "is no number"},
        {"gpu /* 1", ERR_PARSE, "column 5: the comment has no end"},
        {"# > 1", ERR_PARSE, "column 1"},
        {"any([gpu])", ERR_PARSE, "a predicate such as"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct keda_formula *f = NULL;
        struct err e = {0};
        int r = keda_formula_parse(&f, str_from(rows[i].text), names, 3, &e);
        if (r != rows[i].code || !strstr(e.msg, rows[i].message))
            fail_msg("%s: %d %s", rows[i].text, r, e.msg);
        assert_null(f);
    }
}

static void depth_size_and_memory_have_limits(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    struct keda_formula *f = NULL;
    struct err e = {0};
    for (int i = 0; i < 100; i++)
        buf_addc(&b, "(");
    assert_int_equal(keda_formula_parse(&f, buf_str(&b), names, 3, &e), ERR_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < 100; i++)
        buf_addc(&b, "if true {1} else ");
    assert_int_equal(keda_formula_parse(&f, buf_str(&b), names, 3, &e), ERR_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < 600; i++)
        buf_addc(&b, "gpu+");
    assert_int_equal(keda_formula_parse(&f, buf_str(&b), names, 3, &e), ERR_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < 20000; i++)
        buf_addc(&b, " ");
    assert_int_equal(keda_formula_parse(&f, buf_str(&b), names, 3, &e), ERR_LIMIT);
    for (long n = 1; n < 4; n++) {
        mem_fail_from(n);
        int r = keda_formula_parse(&f, STR("gpu + max([1, queue])"), names, 3, &e);
        mem_fail_never();
        if (r == 0)
            f = keda_formula_free(f);
        else
            assert_int_equal(r, ERR_NOMEM);
    }
}

// Token soup: no crash, and what is accepted runs or says why not.
static void any_text_is_read_or_refused(void **state) {
    (void)state;
    static const char *const words[] = {
        "gpu", "queue", "1",   "2.5",   "true", "nil", "+",   "-",  "*",  "/",
        "%",   "**",    "(",   ")",     "[",    "]",   "{",   "}",  ",",  "?",
        ":",   "??",    "and", "or",    "not",  "!",   "<",   "==", "if", "else",
        "min", "count", "sum", "float", "#",    " ",   "abs",
    };
    struct random rnd;
    random_init(&rnd, unit_seed());
    int accepted = 0;
    for (int i = 0; i < 200000; i++) {
        char text[256] = "";
        size_t n = 0, words_n = 1 + random_below(&rnd, 9);
        for (size_t k = 0; k < words_n; k++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ",
                                  words[random_below(&rnd, sizeof(words) / sizeof(words[0]))]);
        struct keda_formula *f;
        struct err e = {0};
        double v[] = {1, 2, 3}, x;
        bool is_nil;
        if (keda_formula_parse(&f, str_from(text), names, 3, &e) < 0) {
            assert_true(e.msg[0] != '\0');
            continue;
        }
        accepted++;
        keda_formula_eval(f, v, (uint32_t)random_below(&rnd, 8), &x, &is_nil, &e);
        keda_formula_free(f);
    }
    printf("# %d accepted\n", accepted);
    assert_true(accepted > 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_give_what_kedas_engine_gives),
        cmocka_unit_test(a_missing_trigger_is_nil),
        cmocka_unit_test(errors_say_the_column),
        cmocka_unit_test(depth_size_and_memory_have_limits),
        cmocka_unit_test(any_text_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
