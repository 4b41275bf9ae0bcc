// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#define HOPPER "gpm=1 gr=86 sm=71.5 occ=33 tensor=48 dram=55 gtx=2 grx=3 "

static void test_activity_needs_two_rounds(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) GPU_VALUES " " HOPPER, "");
    assert_true(fake_sample(&f, 0, &r));
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    assert_true(fake_round(&f, 0, &r));
    KNOWN(r, GPU_GR_ENGINE_ACTIVE_RATIO, 0.86);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.715);
    KNOWN(r, GPU_SM_OCCUPANCY_RATIO, 0.33);
    KNOWN(r, GPU_TENSOR_ACTIVE_RATIO, 0.48);
    KNOWN(r, GPU_DRAM_ACTIVE_RATIO, 0.55);
    KNOWN(r, GPU_PCIE_TX_BYTES_PER_S, 2 * 1048576);
    KNOWN(r, GPU_PCIE_RX_BYTES_PER_S, 3 * 1048576);
    fake_close(&f);
}

static void test_a_round_that_comes_too_soon_says_the_last_values_again(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) GPU_VALUES " " HOPPER, "");
    assert_true(fake_sample(&f, 0, &r));
    fake_pass(&f, 99);
    assert_true(fake_sample(&f, 0, &r));
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO); // there are none yet
    fake_pass(&f, 1);
    assert_true(fake_sample(&f, 0, &r));
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.715);
    fake_script(&f, GPU(0) GPU_VALUES " gpm=1 sm=10");
    fake_pass(&f, 50);
    assert_true(fake_sample(&f, 0, &r));
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.715);
    fake_pass(&f, 50);
    assert_true(fake_sample(&f, 0, &r));
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.1);
    UNKNOWN(r, GPU_TENSOR_ACTIVE_RATIO); // it was known to the round before only
    fake_close(&f);
}

static void test_a_metric_that_is_nan_or_refused_is_unknown_alone(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) GPU_VALUES " gpm=1 gr=nan sm=!3 occ=inf tensor=!999 dram=20", "");
    assert_true(fake_sample(&f, 0, &r));
    for (int i = 0; i < 3; i++)
        assert_true(fake_round(&f, 0, &r));
    UNKNOWN(r, GPU_GR_ENGINE_ACTIVE_RATIO);
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    UNKNOWN(r, GPU_SM_OCCUPANCY_RATIO);
    UNKNOWN(r, GPU_TENSOR_ACTIVE_RATIO);
    KNOWN(r, GPU_DRAM_ACTIVE_RATIO, 0.2);
    fake_close(&f);
}

static void test_before_hopper_activity_is_unknown(void **state) {
    static const char *const cases[][2] = {
        {"580", GPU(0) GPU_VALUES " gpm=0 sm=50"}, // an A100 says that it does not
        {"580", GPU(0) GPU_VALUES " gpm=!3 sm=50"},
        {"450", GPU(0) GPU_VALUES " gpm=1 sm=50"}, // the library does not know GPM
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake f;
        struct gpu_reading r;
        fake_open(&f, cases[i][0], cases[i][1], "");
        for (int k = 0; k < 3; k++)
            assert_true(fake_round(&f, 0, &r));
        UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
        KNOWN(r, GPU_UTILIZATION_PCT, 50);
        fake_close(&f);
    }
}

#define PARENT                                                                                     \
    "gpu 0 uuid=GPU-0 name=H100 mig=1 util=99 total=80000000000 used=1 free=1 reserved=0 "         \
    "power=1000 gpm=1 gr=50 sm=50\n"
#define INSTANCE_VALUES "total=1000 used=10 free=990 reserved=0 "

static void test_each_instance_has_its_own_activity_and_the_board_none(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580",
              PARENT "mig 0 0 uuid=MIG-a gi=1 ci=0 " INSTANCE_VALUES "sm=80 gr=90\n"
                     "mig 0 3 uuid=MIG-b gi=9 ci=0 " INSTANCE_VALUES "sm=5 gr=7 gtx=4\n",
              "");
    fake_round(&f, 0, &r);
    fake_round(&f, fake_slot(&f, "MIG-a"), &r);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.8);
    fake_round(&f, fake_slot(&f, "MIG-b"), &r);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.05);
    UNKNOWN(r, GPU_PCIE_TX_BYTES_PER_S); // the bus is the board's
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    fake_round(&f, fake_slot(&f, "GPU-0"), &r);
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    fake_close(&f);
}

static void test_two_compute_instances_cannot_tell_whose_activity_it_is(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580",
              PARENT "mig 0 0 uuid=MIG-a gi=1 ci=0 " INSTANCE_VALUES "sm=80\n"
                     "mig 0 1 uuid=MIG-b gi=1 ci=1 " INSTANCE_VALUES "sm=80\n"
                     "mig 0 2 uuid=MIG-c gi=2 ci=0 " INSTANCE_VALUES "sm=40\n",
              "");
    fake_round(&f, 0, &r);
    fake_round(&f, fake_slot(&f, "MIG-a"), &r);
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    KNOWN(r, GPU_MEMORY_USED_BYTES, 10);
    fake_round(&f, fake_slot(&f, "MIG-c"), &r);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.4);
    fake_close(&f);
}

// The same UUID may come again for an instance of another size on the same place.
static void test_samples_of_an_instance_before_are_not_compared_with_those_after(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580",
              PARENT "mig 0 0 uuid=MIG-a gi=1 ci=0 name=H100_MIG_1g.10gb " INSTANCE_VALUES "sm=80",
              "");
    fake_round(&f, 1, &r);
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.8);
    fake_script(&f, PARENT "mig 0 0 uuid=MIG-a gi=1 ci=0 name=H100_MIG_2g.20gb " INSTANCE_VALUES
                           "sm=30");
    fake_enumerate(&f);
    assert_true(fake_round(&f, 1, &r));
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.3);
    fake_close(&f);
}

static void test_after_a_failure_the_window_begins_anew(void **state) {
    struct fake f;
    struct gpu_reading r;
    enum gpu_sample_result result;
    fake_open(&f, "580", GPU(0) GPU_VALUES " " HOPPER, "");
    fake_round(&f, 0, &r);
    fake_script(&f, GPU(0) "all=!999");
    fake_pass(&f, 1000);
    assert_int_equal(fake_try(&f, 0, &r, &result, NULL), ERR_UNAVAILABLE);
    fake_script(&f, GPU(0) GPU_VALUES " " HOPPER);
    assert_true(fake_round(&f, 0, &r));
    UNKNOWN(r, GPU_SM_ACTIVE_RATIO);
    assert_true(fake_round(&f, 0, &r));
    KNOWN(r, GPU_SM_ACTIVE_RATIO, 0.715);
    fake_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activity_needs_two_rounds),
        cmocka_unit_test(test_a_round_that_comes_too_soon_says_the_last_values_again),
        cmocka_unit_test(test_a_metric_that_is_nan_or_refused_is_unknown_alone),
        cmocka_unit_test(test_before_hopper_activity_is_unknown),
        cmocka_unit_test(test_each_instance_has_its_own_activity_and_the_board_none),
        cmocka_unit_test(test_two_compute_instances_cannot_tell_whose_activity_it_is),
        cmocka_unit_test(test_samples_of_an_instance_before_are_not_compared_with_those_after),
        cmocka_unit_test(test_after_a_failure_the_window_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
