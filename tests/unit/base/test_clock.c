// SPDX-License-Identifier: Apache-2.0
/* base/clock */
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static void monotonic_never_steps_back(void **state) {
    int64_t last = clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void cpu_time_is_spent_by_work(void **state) {
    int64_t process = clock_process_cpu_ns(), thread = clock_thread_cpu_ns();
    volatile uint64_t x = 0;
    while (clock_thread_cpu_ns() - thread < 1000000)
        x = x + 1;
    assert_true(clock_process_cpu_ns() - process >= 1000000);
}

static void utc_text(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1795391206123999999, "2026-11-22T23:46:46.123Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000000000, "1969-12-31T23:59:59.000Z"},
        {951782400000000000, "2000-02-29T00:00:00.000Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        clock_format_utc(cases[i].ns, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
    assert_true(clock_real_ns() > 1700000000 * NS_PER_S);
}

static void the_cpu_time_of_a_process_is_read_by_its_pid(void **state) {
    (void)state;
    int64_t before_ns = clock_process_cpu_ns(), of_ns = -1;
    assert_int_equal(clock_process_cpu_of_ns(getpid(), &of_ns), 0);
    assert_true(of_ns >= before_ns && of_ns <= clock_process_cpu_ns());
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(clock_process_cpu_of_ns(child, &of_ns), ESRCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_time_of_a_process_is_read_by_its_pid),
        cmocka_unit_test(monotonic_never_steps_back),
        cmocka_unit_test(cpu_time_is_spent_by_work),
        cmocka_unit_test(utc_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
