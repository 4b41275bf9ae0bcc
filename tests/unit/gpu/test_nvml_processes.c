// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#include "base/mem.h"

static struct gpu_process list[8];
static size_t n;

// Samples the GPU and asks for its processes, in their PIDs' order.
static int each(struct fake *f, uint32_t slot, struct err *e) {
    struct gpu_reading r;
    assert_true(fake_round(f, slot, &r));
    n = 77;
    int code = f->source.ops->processes(f->source.state, slot, f->ms * NS_PER_MS, list,
                                        COUNT_OF(list), &n, e);
    assert_true(code == 0 || n == 77);
    return code;
}

static const struct gpu_process *process(uint32_t pid) {
    for (size_t i = 0; i < n; i++)
        if (list[i].pid == pid)
            return &list[i];
    fail_msg("process %u is not listed", pid);
    return NULL;
}

static void test_each_process_comes_once_with_its_memory_and_activity(void **state) {
    struct fake f;
    struct err e = {0};
    fake_open(&f, "580",
              GPU(0) "power=1 compute=11:4096,12:8192,14 graphics=12:8192,99:16 mps=0 "
                     "procutil=11:60,99:5,500:7",
              "");
    assert_int_equal(each(&f, 0, &e), 0);
    assert_int_equal(n, 4);
    assert_true(process(11)->has_memory && process(11)->memory_bytes == 4096);
    assert_true(process(12)->memory_bytes == 8192); // it computes and draws
    assert_true(process(99)->memory_bytes == 16);
    assert_false(process(14)->has_memory); // not told is not 0
    assert_true(process(11)->has_utilization && process(11)->utilization_pct == 60);
    assert_true(process(99)->utilization_pct == 5);
    assert_true(process(12)->has_utilization && process(12)->utilization_pct == 0); // it was idle
    fake_close(&f);
}

// The driver takes samples of busy processes alone: none at all is nothing before the first one.
static void test_no_sample_is_unknown_before_the_first_and_idle_after(void **state) {
    struct fake f;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) "power=1 compute=11 graphics=0 mps=0 procutil=0", "");
    assert_int_equal(each(&f, 0, &e), 0);
    assert_false(process(11)->has_utilization);
    fake_script(&f, GPU(0) "power=1 compute=11 graphics=0 mps=0 procutil=11:30");
    assert_int_equal(each(&f, 0, &e), 0);
    assert_true(process(11)->has_utilization && process(11)->utilization_pct == 30);
    fake_script(&f, GPU(0) "power=1 compute=11 graphics=0 mps=0 procutil=0");
    assert_int_equal(each(&f, 0, &e), 0);
    assert_true(process(11)->has_utilization && process(11)->utilization_pct == 0);
    fake_close(&f);
}

static void test_what_processes_use_is_not_told_where_it_cannot_be(void **state) {
    static const struct {
        const char *release, *script;
        int code;
        const char *says;
    } cases[] = {
        {"580", GPU(0) "power=1 compute=11 graphics=0 mps=11,12", ERR_UNSUPPORTED, "MPS shares"},
        {"580", GPU(0) "power=1 compute=11 graphics=0 mps=!999", ERR_UNAVAILABLE, "MPS clients"},
        {"450", GPU(0) "power=1 compute=11 graphics=0", ERR_UNSUPPORTED, "whether MPS"},
        {"580", GPU(0) "power=1 compute=!999 graphics=0 mps=0", ERR_UNAVAILABLE, "its processes"},
        {"580", GPU(0) "power=1 compute=1-9 graphics=0 mps=0", ERR_UNAVAILABLE, "its processes"},
        {"580", GPU(0) "power=1 compute=1-5000 graphics=0 mps=0", ERR_UNAVAILABLE, "its processes"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake f;
        struct err e = {0};
        fake_open(&f, cases[i].release, cases[i].script, "");
        int code = each(&f, 0, &e);
        if (code != cases[i].code || !strstr(e.msg, cases[i].says))
            fail_msg("%s: %d %s", cases[i].script, code, e.msg);
        fake_close(&f);
    }
}

static void test_activity_that_is_refused_leaves_the_list(void **state) {
    static const char *const refusals[] = {"", "procutil=!3", "procutil=!4", "procutil=!999"};
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct fake f;
        struct err e = {0};
        char script[256];
        snprintf(script, sizeof script, GPU(0) "power=1 compute=11:5 graphics=!3 mps=!3 %s",
                 refusals[i]);
        fake_open(&f, "580", script, "");
        for (int k = 0; k < 3; k++) {
            assert_int_equal(each(&f, 0, &e), 0);
            assert_int_equal(n, 1);
            assert_true(process(11)->memory_bytes == 5);
            assert_false(process(11)->has_utilization);
        }
        fake_close(&f);
    }
}

static void test_instances_have_processes_and_their_board_has_not(void **state) {
    struct fake f;
    struct err e = {0};
    fake_open(
        &f, "580",
        GPU(0) "mig=1 total=1000 used=5 free=5 power=1\n"
               "mig 0 0 uuid=MIG-0 name=MIG gi=1 ci=0 slices=1 cslices=1 mib=100 total=100 used=1 "
               "free=1 compute=21:77 graphics=!3 mps=!3 procutil=!3",
        "");
    assert_int_equal(each(&f, fake_slot(&f, "MIG-0"), &e), 0);
    assert_int_equal(n, 1);
    assert_true(process(21)->memory_bytes == 77);
    assert_false(process(21)->has_utilization); // NVML has none of instances
    fake_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_process_comes_once_with_its_memory_and_activity),
        cmocka_unit_test(test_no_sample_is_unknown_before_the_first_and_idle_after),
        cmocka_unit_test(test_what_processes_use_is_not_told_where_it_cannot_be),
        cmocka_unit_test(test_activity_that_is_refused_leaves_the_list),
        cmocka_unit_test(test_instances_have_processes_and_their_board_has_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
