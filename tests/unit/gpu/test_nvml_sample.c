// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#include "base/mem.h"

#define FULL                                                                                       \
    "util=87 copy=41 enc=5 dec=3 total=1000 used=600 free=300 reserved=100 power=512345 "          \
    "limit=700000 energy=123456789 temp=61 memtemp=72 smclock=1980 memclock=2619 reasons=132 "     \
    "eccc=2 eccu=1 tx=1000 rx=2000 compute=11,12 graphics=12,99 mps=13 events=1"

static void test_every_value_arrives_in_its_unit(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL, "");
    assert_true(fake_sample(&f, 0, &r));
    KNOWN(r, GPU_UTILIZATION_PCT, 87);
    KNOWN(r, GPU_MEMORY_COPY_PCT, 41);
    KNOWN(r, GPU_ENCODER_PCT, 5);
    KNOWN(r, GPU_DECODER_PCT, 3);
    KNOWN(r, GPU_MEMORY_USED_BYTES, 600);
    KNOWN(r, GPU_MEMORY_FREE_BYTES, 300);
    KNOWN(r, GPU_MEMORY_RESERVED_BYTES, 100);
    KNOWN(r, GPU_POWER_W, 512.345);
    KNOWN(r, GPU_POWER_LIMIT_W, 700);
    KNOWN(r, GPU_ENERGY_J, 123456.789);
    KNOWN(r, GPU_TEMPERATURE_C, 61);
    KNOWN(r, GPU_MEMORY_TEMPERATURE_C, 72);
    KNOWN(r, GPU_SM_CLOCK_MHZ, 1980);
    KNOWN(r, GPU_MEMORY_CLOCK_MHZ, 2619);
    KNOWN(r, GPU_CLOCK_EVENT_REASONS, 132);
    KNOWN(r, GPU_ECC_CORRECTED, 2);
    KNOWN(r, GPU_ECC_UNCORRECTED, 1);
    KNOWN(r, GPU_XID_LAST, 0);
    KNOWN(r, GPU_PROCESSES, 4); // 12 computes and draws
    UNKNOWN(r, GPU_PCIE_TX_BYTES_PER_S);
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    fake_close(&f);
}

static void test_an_older_driver_tells_what_it_can(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "450", GPU(0) FULL, "");
    assert_true(fake_sample(&f, 0, &r));
    KNOWN(r, GPU_MEMORY_USED_BYTES, 700); // with what is reserved
    KNOWN(r, GPU_MEMORY_FREE_BYTES, 300);
    UNKNOWN(r, GPU_MEMORY_RESERVED_BYTES);
    KNOWN(r, GPU_TEMPERATURE_C, 61);
    KNOWN(r, GPU_CLOCK_EVENT_REASONS, 132);
    KNOWN(r, GPU_PROCESSES, 3); // it has no list of MPS clients
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    fake_close(&f);
}

static void test_where_the_new_form_is_refused_the_old_one_is_asked(void **state) {
    static const char *const refusals[] = {"v2=!25 tempv=!25", "v2=!13 tempv=!13",
                                           "v2=!3 tempv=!2"};
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct fake f;
        struct gpu_reading r;
        char script[1024];
        snprintf(script, sizeof script, "%s %s", GPU(0) FULL, refusals[i]);
        fake_open(&f, "580", script, "");
        for (int k = 0; k < 3; k++) {
            assert_true(fake_round(&f, 0, &r));
            KNOWN(r, GPU_MEMORY_USED_BYTES, 700);
            UNKNOWN(r, GPU_MEMORY_RESERVED_BYTES);
            KNOWN(r, GPU_TEMPERATURE_C, 61);
        }
        assert_int_equal(f.devices[0].info.memory_total_bytes, 1000);
        fake_close(&f);
    }
}

// One key of the script refused or failing at a time.
static void test_a_call_that_fails_leaves_its_values_alone_unknown(void **state) {
    static const struct {
        const char *key;
        enum gpu_value values[3];
        unsigned n;
    } cases[] = {
        {"util", {GPU_UTILIZATION_PCT, GPU_MEMORY_COPY_PCT}, 2},
        {"used", {GPU_MEMORY_USED_BYTES, GPU_MEMORY_FREE_BYTES, GPU_MEMORY_RESERVED_BYTES}, 3},
        {"power", {GPU_POWER_W}, 1},
        {"limit", {GPU_POWER_LIMIT_W}, 1},
        {"energy", {GPU_ENERGY_J}, 1},
        {"temp", {GPU_TEMPERATURE_C}, 1},
        {"memtemp", {GPU_MEMORY_TEMPERATURE_C}, 1},
        {"smclock", {GPU_SM_CLOCK_MHZ}, 1},
        {"memclock", {GPU_MEMORY_CLOCK_MHZ}, 1},
        {"reasons", {GPU_CLOCK_EVENT_REASONS}, 1},
        {"eccc", {GPU_ECC_CORRECTED}, 1},
        {"eccu", {GPU_ECC_UNCORRECTED}, 1},
        {"enc", {GPU_ENCODER_PCT}, 1},
        {"dec", {GPU_DECODER_PCT}, 1},
        {"compute", {GPU_PROCESSES}, 1},
        {"events", {GPU_XID_LAST}, 1},
    };
    static const char *const codes[] = {"-", "!3", "!4", "!13", "!999", "!10"};
    struct fake f;
    struct gpu_reading all, r;
    fake_open(&f, "580", GPU(0) FULL, "");
    fake_sample(&f, 0, &all);
    fake_close(&f);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t k = 0; k < COUNT_OF(codes); k++) {
            char script[1024];
            snprintf(script, sizeof script, "%s %s=%s", GPU(0) FULL, cases[i].key, codes[k]);
            fake_open(&f, "580", script, "");
            assert_true(fake_sample(&f, 0, &r));
            uint64_t missing = 0;
            for (unsigned v = 0; v < cases[i].n; v++)
                missing |= UINT64_C(1) << cases[i].values[v];
            if (r.valid != (all.valid & ~missing))
                fail_msg("%s=%s: known %#llx of %#llx", cases[i].key, codes[k],
                         (unsigned long long)r.valid, (unsigned long long)all.valid);
            fake_close(&f);
        }
}

static unsigned long calls_of_a_round(struct fake *f) {
    struct gpu_reading r;
    unsigned long before = f->calls();
    fake_round(f, 0, &r);
    return f->calls() - before;
}

static void test_what_is_refused_is_not_asked_again_for_ten_minutes(void **state) {
    struct fake f;
    struct gpu_reading r;
    // Of the calls of a round the refused ones are made once: memory twice (its older form),
    // temperature, energy, both ECC counters.
    fake_open(&f, "580", GPU(0) FULL " energy=!3 eccc=!3 eccu=!4", "");
    unsigned long first = calls_of_a_round(&f), then = calls_of_a_round(&f);
    fake_script(&f, GPU(0) FULL);
    for (int i = 0; i < 597; i++)
        assert_int_equal(calls_of_a_round(&f), then);
    assert_true(first >= then + 3);
    fake_sample(&f, 0, &r);
    UNKNOWN(r, GPU_ENERGY_J);
    fake_round(&f, 0, &r);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_ENERGY_J, 123456.789);
    KNOWN(r, GPU_ECC_CORRECTED, 2);
    KNOWN(r, GPU_ECC_UNCORRECTED, 1);
    fake_close(&f);
}

static void test_a_gpu_that_came_back_is_asked_for_all_again(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL " energy=!3", "");
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_ENERGY_J);
    fake_script(&f, GPU(0) FULL " all=!15");
    assert_false(fake_round(&f, 0, &r));
    fake_script(&f, GPU(0) FULL);
    fake_enumerate(&f);
    assert_true(fake_round(&f, 0, &r));
    KNOWN(r, GPU_ENERGY_J, 123456.789);
    fake_close(&f);
}

static void test_a_failure_that_passes_is_asked_again_at_once(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL " power=!999", "");
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_POWER_W);
    fake_script(&f, GPU(0) FULL);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_POWER_W, 512.345);
    fake_close(&f);
}

static void test_a_gpu_that_answers_nothing_is_an_error_that_names_it(void **state) {
    struct fake f;
    struct gpu_reading r;
    enum gpu_sample_result result;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) FULL "\n" GPU(1) FULL, "");
    fake_script(&f, GPU(0) FULL "\n" GPU(1) "all=!10");
    fake_pass(&f, 1000);
    assert_true(fake_sample(&f, 0, &r));
    assert_int_equal(fake_try(&f, 1, &r, &result, &e), ERR_UNAVAILABLE);
    assert_non_null(strstr(e.msg, "GPU 1 (GPU-1): nvmlDeviceGetMemoryInfo_v2"));
    assert_non_null(strstr(e.msg, "NVML_ERROR_TIMEOUT (10)"));
    fake_close(&f);
}

static void test_a_gpu_that_supports_nothing_is_there_with_nothing_known(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0), "");
    for (int i = 0; i < 3; i++) {
        assert_true(fake_round(&f, 0, &r));
        assert_int_equal(r.valid, 0);
    }
    fake_close(&f);
}

static void test_lost_codes_say_lost(void **state) {
    static const char *const codes[] = {"15", "16", "28"};
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct fake f;
        struct gpu_reading r;
        char script[256];
        fake_open(&f, "580", GPU(0) FULL, "");
        snprintf(script, sizeof script, GPU(0) "all=!%s", codes[i]);
        fake_script(&f, script);
        assert_false(fake_round(&f, 0, &r));
        assert_int_equal(r.valid, 0);
        fake_close(&f);
    }
}

static void test_no_sensor_is_not_0_degrees(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL " memtemp=0 temp=0", "");
    fake_sample(&f, 0, &r);
    UNKNOWN(r, GPU_MEMORY_TEMPERATURE_C);
    KNOWN(r, GPU_TEMPERATURE_C, 0); // a GPU in the cold
    fake_close(&f);
}

static void test_a_field_is_read_in_the_type_that_it_is_told_in(void **state) {
    for (int type = 0; type <= 8; type++) {
        struct fake f;
        struct gpu_reading r;
        char script[1024];
        snprintf(script, sizeof script, "%s fieldtype=%d", GPU(0) FULL, type);
        fake_open(&f, "580", script, "");
        fake_sample(&f, 0, &r);
        if (type <= 6)
            KNOWN(r, GPU_MEMORY_TEMPERATURE_C, 72);
        else // of a driver that is newer than we are
            UNKNOWN(r, GPU_MEMORY_TEMPERATURE_C);
        fake_close(&f);
    }
}

static void test_processes_are_counted_once_each_and_up_to_a_limit(void **state) {
    static const struct {
        const char *lists;
        int count; // -1: unknown
    } cases[] = {
        {"compute=5 graphics=!3 mps=!3", 1},
        {"compute=5,6,7 graphics=5,6,7 mps=7", 3},
        {"compute=0 graphics=8 mps=0", 1},
        {"compute=1-63 graphics=0 mps=0", 63},
        {"compute=1-1000 graphics=900-1100 mps=0", 1100}, // the list is made longer
        {"compute=1-5000 graphics=0 mps=0", -1},          // too many to count
        {"compute=5 graphics=!999 mps=0", -1},
        {"compute=!3 graphics=8 mps=0", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake f;
        struct gpu_reading r;
        char script[512];
        snprintf(script, sizeof script, GPU(0) "power=1 %s", cases[i].lists);
        fake_open(&f, "580", script, "");
        for (int k = 0; k < 2; k++) {
            assert_true(fake_round(&f, 0, &r));
            if (cases[i].count < 0)
                UNKNOWN(r, GPU_PROCESSES);
            else
                KNOWN(r, GPU_PROCESSES, cases[i].count);
        }
        fake_close(&f);
    }
}

// NVML lists nobody where a PID namespace hides the others: 0 is known in the host's alone.
static void test_no_process_is_known_in_the_hosts_pid_namespace_only(void **state) {
    struct fake f;
    struct gpu_reading r;
    char name[64] = "";
    assert_true(readlink("/proc/self/ns/pid", name, sizeof name - 1) > 0);
    fake_open(&f, "580", GPU(0) "power=1 compute=0 graphics=0 mps=0", "");
    fake_sample(&f, 0, &r);
    if (strcmp(name, "pid:[4026531836]") == 0)
        KNOWN(r, GPU_PROCESSES, 0);
    else
        UNKNOWN(r, GPU_PROCESSES);
    fake_close(&f);
}

static void test_pcie_is_read_when_asked_for_and_not_when_gpm_tells_it(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL, ",pcie");
    fake_sample(&f, 0, &r);
    KNOWN(r, GPU_PCIE_TX_BYTES_PER_S, 1e6);
    KNOWN(r, GPU_PCIE_RX_BYTES_PER_S, 2e6);
    fake_close(&f);
    fake_open(&f, "580", GPU(0) FULL " gpm=1 gtx=5 grx=6", ",pcie");
    fake_sample(&f, 0, &r);
    KNOWN(r, GPU_PCIE_TX_BYTES_PER_S, 1e6); // GPM has no two samples yet
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_PCIE_TX_BYTES_PER_S, 5 * 1048576);
    KNOWN(r, GPU_PCIE_RX_BYTES_PER_S, 6 * 1048576);
    fake_close(&f);
}

// The library counts it as a mistake when it is asked for the utilization of such a GPU.
static void test_utilization_is_not_asked_for_from_the_round_on_in_which_mig_is_on(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) FULL, "");
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_UTILIZATION_PCT, 87);
    fake_script(&f, GPU(0) FULL " mig=1"); // and no enumeration since
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    UNKNOWN(r, GPU_MEMORY_COPY_PCT);
    KNOWN(r, GPU_POWER_W, 512.345);
    fake_script(&f, GPU(0) FULL); // off again: from the next enumeration, or in ten minutes
    fake_pass(&f, 600000);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_UTILIZATION_PCT, 87);
    fake_script(&f, GPU(0) FULL " mig=!999"); // nobody knows
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    fake_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_arrives_in_its_unit),
        cmocka_unit_test(test_an_older_driver_tells_what_it_can),
        cmocka_unit_test(test_where_the_new_form_is_refused_the_old_one_is_asked),
        cmocka_unit_test(test_a_call_that_fails_leaves_its_values_alone_unknown),
        cmocka_unit_test(test_what_is_refused_is_not_asked_again_for_ten_minutes),
        cmocka_unit_test(test_a_gpu_that_came_back_is_asked_for_all_again),
        cmocka_unit_test(test_a_failure_that_passes_is_asked_again_at_once),
        cmocka_unit_test(test_a_gpu_that_answers_nothing_is_an_error_that_names_it),
        cmocka_unit_test(test_a_gpu_that_supports_nothing_is_there_with_nothing_known),
        cmocka_unit_test(test_lost_codes_say_lost),
        cmocka_unit_test(test_no_sensor_is_not_0_degrees),
        cmocka_unit_test(test_a_field_is_read_in_the_type_that_it_is_told_in),
        cmocka_unit_test(test_processes_are_counted_once_each_and_up_to_a_limit),
        cmocka_unit_test(test_no_process_is_known_in_the_hosts_pid_namespace_only),
        cmocka_unit_test(test_pcie_is_read_when_asked_for_and_not_when_gpm_tells_it),
        cmocka_unit_test(test_utilization_is_not_asked_for_from_the_round_on_in_which_mig_is_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
