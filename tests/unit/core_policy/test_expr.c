// SPDX-License-Identifier: Apache-2.0
/* Kleene's tables, the grammar, and errors that say where. */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/policy/expr.h"

enum { F = TRI_FALSE, U = TRI_UNKNOWN, T = TRI_TRUE };

static void kleenes_truth_tables(void **state) {
    (void)state;
    static const int and_[3][3] = {{F, F, F}, {F, U, U}, {F, U, T}};
    static const int or_[3][3] = {{F, U, T}, {U, U, T}, {T, T, T}};
    static const int not_[3] = {T, U, F};
    for (int a = F; a <= T; a++) {
        assert_int_equal(tri_not((enum tri)a), not_[a]);
        for (int b = F; b <= T; b++) {
            assert_int_equal(tri_and((enum tri)a, (enum tri)b), and_[a][b]);
            assert_int_equal(tri_or((enum tri)a, (enum tri)b), or_[a][b]);
        }
    }
    assert_string_equal(tri_name(TRI_UNKNOWN), "unknown");
}

static int eval(const char *text, int queue, int gpu, int kv, uint32_t dropped) {
    struct expr x;
    struct err e = {0};
    uint8_t bits[SIGNAL_MAX];
    memset(bits, U, sizeof(bits));
    bits[SIGNAL_QUEUE] = (uint8_t)queue;
    bits[SIGNAL_GPU_UTILIZATION] = (uint8_t)gpu;
    bits[SIGNAL_KV_CACHE] = (uint8_t)kv;
    if (expr_parse(&x, str_from(text), &e))
        fail_msg("%s: %s", text, e.msg);
    int r = expr_eval(&x, bits, dropped);
    expr_done(&x);
    return r;
}

static void precedence_case_and_parentheses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int queue, gpu, kv, result;
    } rows[] = {
        {"queue", T, U, U, T},
        {"queue and gpuUtilization", T, T, F, T},
        {"queue AND gpuUtilization", T, F, F, F},
        {"queue And gpuUtilization", T, U, F, U},
        {"queue or kvCache and gpuUtilization", T, F, F, T}, // and binds closer
        {"(queue or kvCache) and gpuUtilization", T, F, F, F},
        {"not queue or kvCache", F, F, F, T}, // not binds closest
        {"not (queue or kvCache)", F, F, T, F},
        {"NOT not queue", U, F, F, U},
        {"queue and not gpuUtilization", T, F, U, T},
        {"queue or gpuUtilization", T, U, U, T}, // an unknown does not hide a true one
        {"queue and gpuUtilization", F, U, U, F},
        {"queue\n  and\tgpuUtilization ", T, T, U, T}, // a folded YAML text
        {"((queue))", T, F, F, T},
        {"queue and queue or queue", U, F, F, U},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (eval(rows[i].text, rows[i].queue, rows[i].gpu, rows[i].kv, 0) != rows[i].result)
            fail_msg("%s", rows[i].text);
}

static void dropped_terms_read_as_if_not_written(void **state) {
    (void)state;
    uint32_t gpu = 1u << SIGNAL_GPU_UTILIZATION;
    assert_int_equal(eval("queue and gpuUtilization", T, F, F, gpu), T);
    assert_int_equal(eval("queue or gpuUtilization", F, T, F, gpu), F);
    assert_int_equal(eval("(queue or kvCache) and not gpuUtilization", T, T, F, gpu), T);
    assert_int_equal(eval("gpuUtilization", T, T, T, gpu), U); // nothing is left
    assert_int_equal(eval("not gpuUtilization", T, T, T, gpu), U);
}

static void errors_say_where_and_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "column 1: expected a signal, `not` or `(`, found the end"},
        {"queue and", "column 10: expected a signal, `not` or `(`, found the end"},
        {"queue gpuUtilization",
         "column 7: expected `and`, `or` or the end, found \"gpuUtilization\""},
        {"queue && kvCache", "column 7: expected `and`, `or` or the end, found \"&\""},
        {"(queue or kvCache", "column 18: expected `and`, `or` or `)`, found the end"},
        {"queue)", "column 6: expected `and`, `or` or the end, found \")\""},
        {"and queue", "column 1: expected a signal, `not` or `(`, found \"and\""},
        {"queue and gpuUtilisation",
         "column 11: \"gpuUtilisation\" is no signal; did you mean \"gpuUtilization\"?"},
        {"latency", "column 1: \"latency\" is no signal"},
        {"Queue", "column 1: \"Queue\" is no signal; did you mean \"queue\"?"},
        {"queue \x01", "column 7: expected `and`, `or` or the end, found byte 0x01"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct expr x = {0};
        struct err e = {0};
        assert_int_equal(expr_parse(&x, str_from(rows[i].text), &e), ERR_PARSE);
        assert_string_equal(e.msg, rows[i].error);
        assert_null(x.nodes);
    }
}

static void repeat(struct buf *b, const char *text, int times) {
    for (int i = 0; i < times; i++)
        assert_int_equal(buf_addc(b, text), 0);
}

static void size_and_depth_have_limits(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    struct expr x = {0};
    struct err e = {0};
    buf_init(&b, 1 << 16);
    repeat(&b, "(", LIMIT_EXPRESSION_DEPTH);
    repeat(&b, "queue", 1);
    assert_int_equal(expr_parse(&x, buf_str(&b), &e), ERR_LIMIT);
    buf_clear(&b);
    repeat(&b, "queue", 1);
    repeat(&b, " or queue", LIMIT_EXPRESSION_NODES / 2 - 1); // n names and n - 1 operators
    assert_int_equal(expr_parse(&x, buf_str(&b), &e), 0);
    assert_int_equal(x.n, LIMIT_EXPRESSION_NODES - 1);
    uint8_t bits[SIGNAL_MAX] = {[SIGNAL_QUEUE] = T};
    assert_int_equal(expr_eval(&x, bits, 0), T);
    expr_done(&x);
    repeat(&b, " or queue", 1);
    assert_int_equal(expr_parse(&x, buf_str(&b), &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "256"));
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct expr x = {0};
    struct err e = {0};
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        mem_fail_from(n);
        r = expr_parse(&x, STR("(queue or kvCache) and not gpuUtilization and running"), &e);
        mem_fail_never();
        assert_true(r == 0 || (r == ERR_NOMEM && x.nodes == NULL));
    }
    assert_int_equal(r, 0);
    expr_done(&x);
    mem_fail_from(1);
    assert_int_equal(expr_of_set(&x, EXPR_AND, 7, &e), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(expr_of_set(&x, EXPR_AND, 1u << SIGNAL_QUEUE | 1u << SIGNAL_KV_CACHE, &e), 0);
    uint8_t bits[SIGNAL_MAX] = {[SIGNAL_QUEUE] = T, [SIGNAL_KV_CACHE] = U};
    assert_int_equal(expr_eval(&x, bits, 0), U);
    expr_done(&x);
}

// Kleene's property: making an unknown known never turns true into false or false into true.
static void knowing_more_never_contradicts(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    static const char *const texts[] = {
        "queue and gpuUtilization",
        "queue or kvCache and not gpuUtilization",
        "not (queue or not kvCache) and (gpuUtilization or running)",
        "queue and (gpuUtilization or smActivity) or not power",
    };
    for (int round = 0; round < 4000; round++) {
        struct expr x;
        struct err e = {0};
        uint8_t bits[SIGNAL_MAX], more[SIGNAL_MAX];
        assert_int_equal(expr_parse(&x, str_from(texts[round % 4]), &e), 0);
        for (int s = 0; s < SIGNAL_MAX; s++) {
            bits[s] = more[s] = (uint8_t)random_below(&rng, 3);
            if (bits[s] == U)
                more[s] = (uint8_t)random_below(&rng, 3);
        }
        enum tri before = expr_eval(&x, bits, 0), after = expr_eval(&x, more, 0);
        assert_true(before == TRI_UNKNOWN || before == after);
        expr_done(&x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kleenes_truth_tables),
        cmocka_unit_test(precedence_case_and_parentheses),
        cmocka_unit_test(dropped_terms_read_as_if_not_written),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(size_and_depth_have_limits),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(knowing_more_never_contradicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
