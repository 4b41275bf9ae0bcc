// SPDX-License-Identifier: Apache-2.0
/* What signals do to a program that ends. Each case is a process of its own. */
#include "net_unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/signals.h"

struct program {
    uv_loop_t loop;
    struct net_signals signals;
    int came[3];
    unsigned n;
};

static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

static void on_signal(void *ctx, int number) {
    struct program *p = ctx;
    if (p->n < COUNT_OF(p->came))
        p->came[p->n++] = number;
}

// Exit status, or minus the signal that ended it.
static int status_of(int (*run)(struct program *p)) {
    pid_t pid = fork();
    if (pid == 0) {
        static struct program p;
        uv_loop_init(&p.loop);
        _exit(run(&p));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int ended_by_the_first(struct program *p) {
    if (net_signals_start(&p->signals, &p->loop, numbers, 3, on_signal, p, NULL) != 0)
        return 1;
    for (unsigned i = 0; i < 3; i++) {
        raise(numbers[i]);
        while (p->n < i + 1)
            uv_run(&p->loop, UV_RUN_ONCE);
        if (p->came[i] != numbers[i])
            return 2;
    }
    net_signals_stop(&p->signals);
    for (unsigned i = 0; i < 3; i++)
        raise(numbers[i]); // while it ends
    net_loop_drain_close(&p->loop);
    for (unsigned i = 0; i < 3; i++)
        raise(numbers[i]); // and after
    raise(SIGPIPE);
    net_signals_stop(&p->signals);
    return p->n == 3 ? 42 : 3;
}

static int not_watched(struct program *p) {
    (void)p;
    raise(SIGTERM);
    return 42;
}

static int stopped_without_a_start(struct program *p) {
    net_signals_stop(&p->signals);
    raise(SIGTERM); // its default still
    return 42;
}

static int refused_by_the_kernel(struct program *p) {
    static const int bad[] = {SIGTERM, SIGKILL};
    struct err e = {0};
    if (net_signals_start(&p->signals, &p->loop, bad, 2, on_signal, p, &e) != ERR_IO)
        return 1;
    net_signals_stop(&p->signals);
    net_loop_drain_close(&p->loop);
    return e.msg[0] != '\0' ? 42 : 2;
}

static void a_program_that_ends_is_not_killed_by_the_next_signal(void **state) {
    assert_int_equal(status_of(ended_by_the_first), 42);
    assert_int_equal(status_of(not_watched), -SIGTERM);
    assert_int_equal(status_of(stopped_without_a_start), -SIGTERM);
}

static void a_signal_that_cannot_be_watched_is_an_error(void **state) {
    assert_int_equal(status_of(refused_by_the_kernel), 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_ends_is_not_killed_by_the_next_signal),
        cmocka_unit_test(a_signal_that_cannot_be_watched_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
