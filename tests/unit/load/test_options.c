// SPDX-License-Identifier: Apache-2.0
/* Options: what they mean together, and what is refused. */
#include "unit.h"

#include "base/mem.h"
#include "load/options.h"

struct bound {
    struct arena arena;
    struct load_flags flags;
    struct load_options options;
};

static int read_args(struct bound *b, int argc, const char *const *args, struct err *e) {
    char *argv[16] = {(char *)(uintptr_t) "load"};
    struct conf_outcome outcome;
    for (int i = 0; i < argc; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    *b = (struct bound){0};
    arena_init(&b->arena, 1 << 20);
    int r = conf_load(&load_spec, argc + 1, argv, &b->flags, &b->arena, &outcome, e);
    return r < 0 ? r : load_options_read(&b->options, &b->flags, e);
}

static void done(struct bound *b) {
    load_options_done(&b->options);
    arena_done(&b->arena);
}

static void bad_options_are_refused_with_place_and_remedy(void **state) {
    static const struct {
        const char *args[8];
        const char *message;
    } rows[] = {
        {{0}, "--rate 10"},
        {{"--rate", "x"}, "--rate: \"x\""},
        {{"--rate", "1", "--replay", "f"}, "one of them"},
        {{"--rate", "1", "--arrivals", "gauss"}, "poisson"},
        {{"--rate", "1", "--openai", "512"}, "512:128"},
        {{"--rate", "1", "--openai", "0:1"}, "512:128"},
        {{"--rate", "1", "--openai", "5:1:often"}, "512:128:fixed"},
        {{"--rate", "1", "--openai", "9000000:1"}, "bytes"},
        {{"--rate", "1", "--openai", "5:1", "--body", "x"}, "leave out --body"},
        {{"--rate", "1", "--body", "x", "--body-file", "y"}, "one is enough"},
        {{"--rate", "1", "--body-file", "/nonexistent"}, "/nonexistent: No such file"},
        {{"--rate", "1", "--stream"}, "--openai"},
        {{"--rate", "1", "--header", "X"}, "NAME:VALUE"},
        {{"--rate", "1", "--header", "X Y: z"}, "--header: header \"X Y\""},
        {{"--rate", "1", "--header", "Host: z"}, "gpuscale itself"},
        {{"--rate", "1", "--insecure", "--ca", "x"}, "--ca"},
        {{"--rate", "1", "--timeout", "0s"}, "--timeout"},
        {{"--rate", "1", "--connections", "0"}, "--connections"},
        {{"--rate", "1", "--sped", "2"}, "--speed"},
        {{"--replay", "/nonexistent:azure"}, "--replay: /nonexistent: No such file"},
        {{"--replay", "/dev/null"}, "no request in it"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bound b;
        struct err e = {0};
        int n = 0;
        while (n < 8 && rows[i].args[n])
            n++;
        if (read_args(&b, n, rows[i].args, &e) >= 0 || !strstr(e.msg, rows[i].message))
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, e.msg, rows[i].message);
        done(&b);
    }
}

static void options_are_read(void **state) {
    static const char *const args[] = {"--rate",   "5..10@2s",       "--header", "A:  b: c ",
                                       "--header", "Authorization:", "--body",   "{}"};
    struct bound b;
    struct err e = {0};
    if (read_args(&b, 8, args, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(b.options.n_headers, 2);
    assert_true(str_eqc(b.options.headers[0].name, "A"));
    assert_true(str_eqc(b.options.headers[0].value, "b: c"));
    assert_int_equal(b.options.headers[1].value.n, 0);
    assert_true(b.options.has_body && str_eqc(buf_str(&b.options.body), "{}"));
    assert_true(b.options.shape.count == 15);
    assert_string_equal(b.flags.target, "http://127.0.0.1:8000"); // nobody else's machine
    done(&b);
    static const char *const openai[] = {"--rate", "1", "--openai", "300:20:fixed", "--stream"};
    if (read_args(&b, 5, openai, &e) < 0)
        fail_msg("%s", e.msg);
    assert_true(b.options.openai && b.options.lengths.fixed && b.options.lengths.prompt == 300);
    done(&b);
}

static void a_trace_makes_completions_unless_a_body_or_a_method_is_given(void **state) {
    char path[] = "/tmp/gpuscale-trace-XXXXXX", option[64];
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    assert_true(fputs("t_s,prompt_tokens,output_tokens\n0,1,2\n1,3,4\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    (void)snprintf(option, sizeof(option), "%s:csv", path);
    const char *args[] = {"--replay", option, "--method", "GET"};
    for (int n = 2; n <= 4; n += 2) {
        struct bound b;
        struct err e = {0};
        if (read_args(&b, n, args, &e) < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(b.options.trace.rows.n, 2);
        assert_int_equal(b.options.openai, n == 2);
        done(&b);
    }
    (void)snprintf(option, sizeof(option), "%s:azure", path);
    struct bound b;
    struct err e = {0};
    assert_true(read_args(&b, 2, args, &e) < 0);
    assert_non_null(strstr(e.msg, "line 1"));
    assert_non_null(strstr(e.msg, "ContextTokens"));
    done(&b);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused_with_place_and_remedy),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(a_trace_makes_completions_unless_a_body_or_a_method_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
