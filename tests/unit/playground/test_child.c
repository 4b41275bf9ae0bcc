// SPDX-License-Identifier: Apache-2.0
#include "playground/programs.h"

#include "playground/child.h"

struct seen {
    int listening, lines, ready;
    bool exited;
    int status, signal;
};

static void on_listening(void *ctx, const char *server, const char *addr) {
    struct seen *s = ctx;
    assert_string_equal(server, "http");
    assert_string_equal(addr, "127.0.0.1:1");
    s->listening++;
}

static void on_ready(void *ctx) {
    struct seen *s = ctx;
    s->ready++;
}

static void on_line(void *ctx, struct str line) {
    struct seen *s = ctx;
    assert_true(str_starts(line, "line "));
    s->lines++;
}

static void on_exited(void *ctx, int status, int signal) {
    struct seen *s = ctx;
    s->exited = true;
    s->status = status;
    s->signal = signal;
}

static int start(struct programs *p, const char *program, struct child **ret, struct seen *s,
                 struct err *e) {
    const struct child_callbacks callbacks = {on_listening, on_ready, on_line, on_exited, s};
    const char *argv[] = {program, "2", NULL};
    return child_spawn(ret, &p->loop, argv, programs_path(p, "log").at, &callbacks, e);
}

static void its_log_and_its_output_are_read_until_it_ends(void **state) {
    struct programs p;
    struct seen s = {0};
    struct child *child;
    programs_init(&p);
    struct programs_path program = programs_script(
        &p, "program",
        "echo msg=listening server=http addr=127.0.0.1:1 >&2; echo msg=ready >&2\n"
        "for i in 1 $1; do echo line $i; done; exit 7");
    assert_int_equal(start(&p, program.at, &child, &s, NULL), 0);
    assert_true(child_pid(child) > 0);
    programs_until(&p, &s.exited);
    programs_done(&p);
    assert_int_equal(s.listening, 1);
    assert_int_equal(s.ready, 1);
    assert_int_equal(s.lines, 2);
    assert_int_equal(s.status, 7);
    assert_int_equal(s.signal, 0);
}

static void one_that_is_killed_says_by_which_signal(void **state) {
    struct programs p;
    struct seen s = {0};
    struct child *child;
    programs_init(&p);
    struct programs_path program = programs_script(&p, "program", "exec sleep 1000");
    assert_int_equal(start(&p, program.at, &child, &s, NULL), 0);
    child_kill(child);
    programs_until(&p, &s.exited);
    programs_done(&p);
    assert_int_equal(s.signal, 9);
}

// One that cannot be executed, and, worse, nothing to execute it with: each names what is missing.
static void what_cannot_be_started_is_an_error_with_its_name(void **state) {
    struct programs p;
    struct seen s = {0};
    struct err e = {0};
    struct child *child = NULL;
    programs_init(&p);
    struct programs_path missing = programs_path(&p, "missing");
    assert_int_equal(start(&p, missing.at, &child, &s, &e), ERR_IO);
    assert_non_null(strstr(e.msg, missing.at));
    assert_non_null(strstr(e.msg, "No such file"));
    struct programs_path locked = programs_script(&p, "locked", "exit 0");
    assert_int_equal(chmod(locked.at, 0644), 0);
    assert_int_equal(start(&p, locked.at, &child, &s, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "Permission denied"));
    struct programs_path program = programs_script(&p, "program", "exit 0");
    const char *argv[CHILD_ARGS_MAX + 2] = {program.at};
    for (size_t i = 1; i <= CHILD_ARGS_MAX; i++)
        argv[i] = "x";
    assert_int_equal(child_spawn(&child, &p.loop, argv, programs_path(&p, "log").at,
                                 &(struct child_callbacks){.exited = on_exited, .ctx = &s}, &e),
                     ERR_LIMIT);
    char *path = strdup(getenv("PATH"));
    assert_int_equal(setenv("PATH", p.folder, 1), 0);
    assert_int_equal(start(&p, program.at, &child, &s, &e), ERR_UNSUPPORTED);
    assert_int_equal(setenv("PATH", path, 1), 0);
    free(path);
    assert_non_null(strstr(e.msg, program.at));
    assert_non_null(strstr(e.msg, "setpriv"));
    assert_non_null(strstr(e.msg, "util-linux"));
    programs_done(&p);
    assert_null(child);
    assert_false(s.exited);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_log_and_its_output_are_read_until_it_ends),
        cmocka_unit_test(one_that_is_killed_says_by_which_signal),
        cmocka_unit_test(what_cannot_be_started_is_an_error_with_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
