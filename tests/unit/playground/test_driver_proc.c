// SPDX-License-Identifier: Apache-2.0
/* CPU time out of clocks and /proc/PID/stat. */
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "playground/driver_proc.h"

static void a_status_gives_waited_for_time(void **state) {
    static const struct {
        const char *text;
        int64_t cpu_ns; // -1: refused
    } cases[] = {
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 30 20 20 0 3 0 99\n",
         500 * NS_PER_MS},
        {"12 (a) (b) 9 8) R 1 12 12 0 -1 4194560 100 0 0 0 1 0 1 0 20", 10 * NS_PER_MS},
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 0 0 0 0", 0},
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 30", -1},
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 x 20 20", -1},
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 -1 20 20", -1},
        {"12 (engine) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 9223372036854775807 1 20", -1},
        {"12 engine S 1", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = -1;
        struct err e = {0};
        int r = driver_proc_parse(str_from(cases[i].text), 100, &ns, &e);
        assert_int_equal(r, cases[i].cpu_ns < 0 ? ERR_PARSE : 0);
        assert_int_equal(ns, cases[i].cpu_ns);
        assert_int_equal(e.code, r);
    }
}

// What a child used counts once it was waited for.
static void the_kernel_counts_this_process_and_its_children(void **state) {
    int64_t before_ns, after_ns;
    assert_int_equal(driver_proc_read(getpid(), &before_ns, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        while (clock_process_cpu_ns() < 60 * NS_PER_MS)
            ;
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(driver_proc_read(getpid(), &after_ns, NULL), 0);
    assert_in_range(after_ns - before_ns, 40 * NS_PER_MS, 10 * NS_PER_S);
}

// A tick is 10 ms: the demo's windows are so short that a reading in ticks would jump.
static void a_process_is_read_finer_than_a_tick(void **state) {
    int64_t last_ns, now_ns, least_ns = INT64_MAX;
    assert_int_equal(driver_proc_read(getpid(), &last_ns, NULL), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(driver_proc_read(getpid(), &now_ns, NULL), 0);
        assert_true(now_ns > last_ns);
        least_ns = now_ns - last_ns < least_ns ? now_ns - last_ns : least_ns;
        last_ns = now_ns;
    }
    assert_true(least_ns < NS_PER_MS);
}

static void a_process_that_is_gone_is_an_error(void **state) {
    int64_t ns;
    struct err e = {0};
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_int_equal(driver_proc_read(child, &ns, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "CPU time of process"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_gives_waited_for_time),
        cmocka_unit_test(the_kernel_counts_this_process_and_its_children),
        cmocka_unit_test(a_process_is_read_finer_than_a_tick),
        cmocka_unit_test(a_process_that_is_gone_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
