// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

static void test_no_xid_since_the_start_is_0_and_the_last_one_stays(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580",
              GPU(0) "events=1 " GPU_VALUES "\n" GPU(1) "events=1 " GPU_VALUES "\nat 2s\nxid 1 31\n"
                                                        "xid 1 79\nat 4s\nxid 1 13\n",
              "");
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_XID_LAST, 0);
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_XID_LAST, 79);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_XID_LAST, 0);
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_XID_LAST, 13);
    fake_enumerate(&f); // and again: not forgotten
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_XID_LAST, 13);
    fake_close(&f);
}

static void test_where_events_are_not_supported_the_xid_is_unknown(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "events=!3 " GPU_VALUES "\n" GPU(1) "events=1 " GPU_VALUES, "");
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_XID_LAST);
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_XID_LAST, 0);
    fake_close(&f);
}

static void test_the_older_wait_tells_xids_of_gpus(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "450", GPU(0) "events=1 " GPU_VALUES "\nat 1s\nxid 0 48", "");
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_XID_LAST, 48);
    fake_close(&f);
}

static const char mig[] = "gpu 0 uuid=GPU-0 name=H100 mig=1 power=1 events=1\n"
                          "mig 0 0 uuid=MIG-a gi=1 ci=0 used=1 free=1 total=2\n"
                          "mig 0 1 uuid=MIG-b gi=1 ci=1 used=1 free=1 total=2\n"
                          "mig 0 2 uuid=MIG-c gi=5 ci=0 used=1 free=1 total=2\n"
                          "at 1s\nxid 0 31 1 1\nat 2s\nxid 0 13 1\nat 3s\nxid 0 79\n";

static void test_an_xid_is_told_of_the_instance_that_it_concerns(void **state) {
    static const struct {
        const char *uuid;
        int codes[4]; // after each second
    } cases[] = {{"GPU-0", {31, 13, 79, 79}},
                 {"MIG-a", {0, 13, 79, 79}},
                 {"MIG-b", {31, 13, 79, 79}},
                 {"MIG-c", {0, 0, 79, 79}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake f;
        struct gpu_reading r;
        fake_open(&f, "580", mig, "");
        uint32_t slot = fake_slot(&f, cases[i].uuid);
        fake_sample(&f, slot, &r); // the first round is at 0
        for (int k = 0; k < 4; k++) {
            fake_round(&f, slot, &r);
            KNOWN(r, GPU_XID_LAST, cases[i].codes[k]);
        }
        fake_close(&f);
    }
}

static void test_an_instance_that_takes_the_place_of_another_has_no_xid_of_it(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", mig, "");
    uint32_t a = fake_slot(&f, "MIG-a");
    for (int i = 0; i < 4; i++)
        fake_round(&f, a, &r);
    KNOWN(r, GPU_XID_LAST, 79);
    fake_script(&f, "gpu 0 uuid=GPU-0 name=H100 mig=1 power=1 events=1\n");
    fake_enumerate(&f);
    fake_script(&f, "gpu 0 uuid=GPU-0 name=H100 mig=1 power=1 events=1\n"
                    "mig 0 0 uuid=MIG-a gi=1 ci=0 used=1 free=1 total=2\n");
    fake_enumerate(&f);
    fake_round(&f, a, &r);
    KNOWN(r, GPU_XID_LAST, 0);
    fake_round(&f, fake_slot(&f, "GPU-0"), &r);
    KNOWN(r, GPU_XID_LAST, 79);
    fake_close(&f);
}

// A set with a lost GPU in it tells nothing of the others.
static void test_a_lost_gpu_does_not_keep_the_xids_of_others_away(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "events=1 " GPU_VALUES "\n" GPU(1) "events=1 " GPU_VALUES, "");
    fake_round(&f, 0, &r);
    fake_script(&f, GPU(0) "events=1 " GPU_VALUES "\n" GPU(1) "all=!15\nat 1s\nxid 0 48");
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_XID_LAST); // until the set is made anew
    fake_enumerate(&f);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_XID_LAST, 48);
    fake_close(&f);
}

static void test_a_flood_of_events_is_taken_in_parts(void **state) {
    struct fake f;
    struct gpu_reading r;
    char script[8192];
    int n = snprintf(script, sizeof script, "%s", GPU(0) "events=1 " GPU_VALUES "\nat 1s\n");
    for (int i = 1; i <= 400; i++)
        n += snprintf(script + n, sizeof script - (size_t)n, "xid 0 %d\n", i);
    fake_open(&f, "580", script, "");
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_XID_LAST, LIMIT_NVML_EVENTS_PER_ROUND);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_XID_LAST, 400);
    fake_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_xid_since_the_start_is_0_and_the_last_one_stays),
        cmocka_unit_test(test_where_events_are_not_supported_the_xid_is_unknown),
        cmocka_unit_test(test_the_older_wait_tells_xids_of_gpus),
        cmocka_unit_test(test_an_xid_is_told_of_the_instance_that_it_concerns),
        cmocka_unit_test(test_an_instance_that_takes_the_place_of_another_has_no_xid_of_it),
        cmocka_unit_test(test_a_lost_gpu_does_not_keep_the_xids_of_others_away),
        cmocka_unit_test(test_a_flood_of_events_is_taken_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
