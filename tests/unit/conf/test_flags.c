// SPDX-License-Identifier: Apache-2.0
/* conf/flags: the command line over the file over the defaults. */
#include "base/clock.h"
#include "conf/sample.h"

#include <fcntl.h>
#include <unistd.h>

enum { ARGS_MAX = 16 };

// A command line as one string, cut at spaces.
struct args {
    char text[512];
    char *v[ARGS_MAX];
    int n;
};

static void split(struct args *a, const char *line) {
    *a = (struct args){.n = 1, .v = {(char[]){"sample"}}};
    snprintf(a->text, sizeof(a->text), "%s", line);
    for (char *p = a->text; *p;) {
        a->v[a->n++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
    }
    assert_true(a->n < ARGS_MAX);
}

static int load(const char *line, struct sample *ret, struct arena *arena,
                struct conf_outcome *outcome, struct err *e) {
    struct args a;
    split(&a, line);
    int r = conf_load(&sample_spec, a.n, a.v, ret, arena, outcome, e);
    if (r == 0)
        outcome->path = NULL; // it points into `a`
    return r;
}

static char file_path[64];

static void write_file(const char *suffix, const char *text) {
    snprintf(file_path, sizeof(file_path), "/tmp/gpuscale-flags-XXXXXX%s", suffix);
    int fd = mkostemps(file_path, (int)strlen(suffix), O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void flags_go_over_the_file_and_the_file_over_defaults(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    struct err e = {0};
    write_file(".yaml", "listen: file:1\ntick: 2s\npush: true\ntargets: [a, b]\n"
                        "grpc: {listen: file:2}\n");
    char line[256];
    snprintf(line, sizeof(line),
             "--tick 3s --target=x --target y --push=false --grpc-listen :7 "
             "--config %s --log-level warn",
             file_path);
    if (load(line, &s, &a, &o, &e) < 0)
        fail_msg("%s", e.msg);
    unlink(file_path);
    assert_null(o.text);
    assert_string_equal(s.listen, "file:1");
    assert_int_equal(s.tick_ns, 3 * NS_PER_S);
    assert_false(s.push);
    assert_int_equal(s.level, SAMPLE_WARN);
    assert_int_equal(s.replicas, 3);
    assert_string_equal(s.grpc.listen, ":7");
    assert_int_equal(s.targets.n, 2);
    assert_string_equal(s.targets.items[0], "x");
    assert_string_equal(s.targets.items[1], "y");
}

static void json_by_its_name(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    struct err e = {0};
    write_file(".json", "{\"tick\": \"2s\"}");
    char line[256];
    snprintf(line, sizeof(line), "--config=%s", file_path);
    if (load(line, &s, &a, &o, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(s.tick_ns, 2 * NS_PER_S);
    unlink(file_path);
    assert_int_equal(load(line, &s, &a, &o, &e), ERR_IO);
    char want[256];
    snprintf(want, sizeof(want), "%s: No such file or directory", file_path);
    assert_string_equal(e.msg, want);
}

static void what_is_required_may_come_from_either(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    struct err e = {0};
    write_file(".yaml", "grpc:\n  tls:\n    key: k\n");
    char line[256], want[256];
    snprintf(line, sizeof(line), "--config %s", file_path);
    assert_int_equal(load(line, &s, &a, &o, &e), ERR_INVALID);
    snprintf(want, sizeof(want), "%s:3:5: key 'grpc.tls.cert': missing (or --grpc-cert)",
             file_path);
    // libfyaml gives a block map the place of its first key.
    assert_string_equal(e.msg, want);
    snprintf(line, sizeof(line), "--config %s --grpc-cert c", file_path);
    if (load(line, &s, &a, &o, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(s.grpc.tls.cert, "c");
    assert_string_equal(s.grpc.tls.key, "k");
    unlink(file_path);
}

static const struct {
    const char *line, *message;
} refusals[] = {
    {"--lisen x", "unknown flag --lisen; did you mean --listen?"},
    {"--lisen=x", "unknown flag --lisen; did you mean --listen?"},
    {"-listen x", "unknown flag -listen; did you mean --listen?"},
    {"-x", "unknown flag -x; --help lists them"},
    {"--zzzzzzz", "unknown flag --zzzzzzz; --help lists them"},
    {"--lis x", "unknown flag --lis; --help lists them"}, // no abbreviations:
    {"--replica 4", "unknown flag --replica; did you mean --replicas?"},
    {"--replica=4", "unknown flag --replica; did you mean --replicas?"},
    {"--grpc x", "unknown flag --grpc; --help lists them"}, // ambiguous to getopt_long
    {"--tick", "flag --tick: a value is missing"},
    {"--tick 5x", "flag --tick: found '5x', expected a duration from 100ms to 1m"},
    {"--tick=", "flag --tick: found '', expected a duration from 100ms to 1m"},
    {"--tick 1s --tick 2s", "flag --tick: given twice"},
    {"--config a --config b", "flag --config: given twice"},
    {"--push=maybe", "flag --push: found 'maybe', expected true or false"},
    {"--replicas 0", "flag --replicas: found '0', expected an integer from 1 to 1000"},
    {"--log-level inf",
     "flag --log-level: found 'inf', expected one of debug, info, warn; did you mean 'info'?"},
    {"--target a --target b --target c --target d", "flag --target: given 4 times, 3 are allowed"},
    {"--help=me", "flag --help: takes no value"},
    {"extra", "unexpected argument 'extra'; --help lists the flags"},
    {"--tick 1s extra --push", "unexpected argument 'extra'; --help lists the flags"},
    {"-- --push", "unexpected argument '--push'; --help lists the flags"},
    {"--push --replicas 101", "push and replicas above 100 do not go together"},
    {"--config /", "/: is a directory, a file is needed"},
};

static void refusals_name_the_flag(void **state) {
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 20);
        struct sample s, before;
        memset(&s, 0xab, sizeof(s));
        memset(&before, 0xab, sizeof(before));
        struct conf_outcome o;
        struct err e = {0};
        int r = load(refusals[i].line, &s, &a, &o, &e);
        if (r >= 0 || strcmp(e.msg, refusals[i].message) != 0)
            fail_msg("%s\n gives %d %s\n not %s", refusals[i].line, r, e.msg, refusals[i].message);
        assert_memory_equal(&s, &before, sizeof(s));
    }
}

static void a_bool_is_true_by_its_name(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    assert_int_equal(load("--push --tick 2s", &s, &a, &o, NULL), 0);
    assert_true(s.push);
    assert_int_equal(load("--push=true", &s, &a, &o, NULL), 0);
    assert_true(s.push);
    assert_int_equal(load("--push=false", &s, &a, &o, NULL), 0);
    assert_false(s.push);
}

static void values_may_look_like_flags(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    assert_int_equal(load("--listen --push", &s, &a, &o, NULL), 0);
    assert_string_equal(s.listen, "--push");
    assert_false(s.push);
    assert_int_equal(load("--listen=a=b", &s, &a, &o, NULL), 0);
    assert_string_equal(s.listen, "a=b");
}

static void arguments_after_the_flags(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    struct conf_spec spec = sample_spec;
    spec.rest = "FILE...";
    static const struct {
        const char *line;
        int rest;
    } cases[] = {{"", 1}, {"a b", 1}, {"--push a b", 2}, {"--tick 1s -- a", 4}, {"-", 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct args args;
        split(&args, cases[i].line);
        assert_int_equal(conf_load(&spec, args.n, args.v, &s, &a, &o, NULL), 0);
        assert_int_equal(o.rest, cases[i].rest);
    }
}

static void texts_end_the_program_whatever_else_is_wrong_later(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    assert_int_equal(load("--version", &s, &a, &o, NULL), 0);
    assert_string_equal(o.text, "sample " GPUSCALE_VERSION "\n");
    assert_int_equal(load("--tick 2s --help --nonsense", &s, &a, &o, NULL), 0);
    assert_non_null(strstr(o.text, "Usage: sample [FLAGS]\n"));
    assert_int_equal(load("-h", &s, &a, &o, NULL), 0);
    assert_non_null(o.text);

    struct conf_spec spec = sample_spec;
    spec.flags_only = true;
    struct args args;
    split(&args, "--config x");
    struct err e = {0};
    assert_int_equal(conf_load(&spec, args.n, args.v, &s, &a, &o, &e), ERR_INVALID);
    assert_string_equal(e.msg, "unknown flag --config; --help lists them");
}

static void every_allocation_may_fail(void **state) {
    static const char *const lines[] = {"--target a --target b --tick 2s", "--help", "--version",
                                        "--print-config --target a", "--config FILE"};
    write_file(".yaml", "targets: [a, b]\nlabels: {x: y}\n");
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        char line[256];
        snprintf(line, sizeof(line), "%s", lines[i]);
        if (strstr(line, "FILE"))
            snprintf(line, sizeof(line), "--config %s", file_path);
        int r = ERR_NOMEM;
        for (long n = 1; r != 0; n++) {
            CLEANUP_ARENA struct arena a;
            arena_init(&a, 1 << 20);
            struct sample s;
            struct conf_outcome o;
            struct err e = {0};
            mem_fail_from(n);
            r = load(line, &s, &a, &o, &e);
            mem_fail_never();
            assert_true(r == 0 || r == ERR_NOMEM);
            assert_true(n < 10000);
        }
    }
    unlink(file_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_go_over_the_file_and_the_file_over_defaults),
        cmocka_unit_test(json_by_its_name),
        cmocka_unit_test(what_is_required_may_come_from_either),
        cmocka_unit_test(refusals_name_the_flag),
        cmocka_unit_test(a_bool_is_true_by_its_name),
        cmocka_unit_test(values_may_look_like_flags),
        cmocka_unit_test(arguments_after_the_flags),
        cmocka_unit_test(texts_end_the_program_whatever_else_is_wrong_later),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
