// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#include "base/mem.h"
#include "gpu/nvml_internal.h"

static void test_a_gpu_is_what_the_driver_says(void **state) {
    struct fake f;
    fake_open(&f, "580", "driver 580.82.07\n" GPU(0) GPU_VALUES "\n" GPU(1) GPU_VALUES, "");
    assert_int_equal(f.n, 2);
    const struct gpu_info *i = &f.devices[1].info;
    assert_string_equal(i->uuid, "GPU-1");
    assert_string_equal(i->model, "NVIDIA H100");
    assert_string_equal(i->pci_bus_id, "00000000:01:00.0");
    assert_string_equal(i->driver_version, "580.82.07");
    assert_int_equal(i->index, 1);
    assert_true(i->memory_total_bytes == UINT64_C(80000000000));
    assert_string_equal(i->parent_uuid, "");
    fake_close(&f);
}

static void test_a_uuid_keeps_its_slot_and_takes_the_new_index(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "power=1000\n" GPU(1) "power=2000\n" GPU(2) "power=3000\n", "");
    fake_round(&f, 0, &r);
    fake_script(&f, GPU(1) "power=2000\n" GPU(2) "power=3000\n" GPU(3) "power=4000\n");
    fake_enumerate(&f);
    assert_int_equal(f.n, 3);
    assert_null(fake_device(&f, "GPU-0")); // it was well: somebody took it away
    assert_int_equal(fake_slot(&f, "GPU-1"), 1);
    assert_int_equal(fake_device(&f, "GPU-1")->info.index, 0);
    assert_int_equal(fake_slot(&f, "GPU-2"), 2);
    assert_int_equal(fake_slot(&f, "GPU-3"), 3); // slot 0 waits for its GPU
    fake_round(&f, 1, &r);
    KNOWN(r, GPU_POWER_W, 2);
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2000\n");
    fake_enumerate(&f);
    assert_int_equal(fake_slot(&f, "GPU-0"), 0);
    assert_int_equal(f.n, 2);
    fake_close(&f);
}

static void test_a_text_that_cannot_be_read_now_stays_what_it_was(void **state) {
    struct fake f;
    fake_open(&f, "580", GPU(0) "power=1", "");
    fake_script(&f, GPU(0) "power=1 name=!999 pci=!999");
    fake_enumerate(&f);
    assert_string_equal(f.devices[0].info.model, "NVIDIA H100");
    assert_string_equal(f.devices[0].info.pci_bus_id, "00000000:00:00.0");
    fake_close(&f);
}

static void test_odd_bytes_of_a_driver_do_not_reach_labels(void **state) {
    static const struct {
        const char *raw;
        size_t raw_cap, cap;
        const char *text;
    } cases[] = {
        {"Tesla T4", 9, 96, "Tesla T4"}, {"Tesla\xae\n\x7f", 9, 96, "Tesla???"},
        {"Tesla T4", 5, 96, "Tesla"}, // without its NUL
        {"Tesla T4", 9, 4, "Tes"},       {"", 1, 96, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[96];
        nvml_copy_text(text, cases[i].cap, cases[i].raw, cases[i].raw_cap);
        assert_string_equal(text, cases[i].text);
    }
    struct fake f;
    fake_open(&f, "580", "driver 58\xff\ngpu 0 uuid=GPU-\xc3 name=GPU\xae pci=\x01 power=1", "");
    assert_string_equal(f.devices[0].info.uuid, "GPU-?");
    assert_string_equal(f.devices[0].info.model, "GPU?");
    assert_string_equal(f.devices[0].info.pci_bus_id, "?");
    assert_string_equal(f.devices[0].info.driver_version, "58?");
    fake_close(&f);
}

static void test_a_lost_gpu_that_vanishes_stays_listed_until_it_is_back(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "power=1000\n" GPU(1) "power=2000\n", "");
    fake_round(&f, 1, &r);
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "all=!15\n");
    assert_false(fake_round(&f, 1, &r));
    fake_script(&f, GPU(0) "power=1000\n");
    for (int i = 0; i < 3; i++) {
        fake_enumerate(&f);
        assert_int_equal(f.n, 2);
        assert_false(fake_round(&f, 1, &r));
        assert_true(fake_round(&f, 0, &r));
    }
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2000\n");
    fake_enumerate(&f);
    assert_int_equal(fake_slot(&f, "GPU-1"), 1);
    assert_true(fake_round(&f, 1, &r));
    KNOWN(r, GPU_POWER_W, 2);
    fake_close(&f);
}

static void test_a_gpu_whose_handle_is_refused_is_lost_or_as_it_was(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "power=1000\n" GPU(1) "power=2000\n", "");
    fake_round(&f, 1, &r);
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2000 open=!15\n");
    fake_enumerate(&f);
    assert_int_equal(f.n, 2);
    assert_false(fake_round(&f, 1, &r));
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2000 open=!999\n");
    fake_enumerate(&f); // it is lost still
    assert_false(fake_round(&f, 1, &r));
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2000\n");
    fake_enumerate(&f);
    assert_true(fake_round(&f, 1, &r));
    fake_script(&f, GPU(0) "power=1000\n" GPU(1) "power=2500 open=!999\n");
    fake_enumerate(&f); // a handle is there from before
    assert_true(fake_round(&f, 1, &r));
    KNOWN(r, GPU_POWER_W, 2.5);
    fake_close(&f);
}

static void test_when_all_are_lost_they_are_all_listed_as_lost(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) "power=1000\n" GPU(1) "power=2000\n", "");
    fake_round(&f, 1, &r);
    fake_script(&f, GPU(0) "power=1000 open=!15\n" GPU(1) "power=2000 open=!16\n");
    fake_enumerate(&f);
    assert_int_equal(f.n, 2);
    assert_false(fake_round(&f, 0, &r));
    assert_false(fake_round(&f, 1, &r));
    fake_close(&f);
}

static void test_an_enumeration_that_fails_leaves_the_list_alone(void **state) {
    static const char *const scripts[] = {
        GPU(0) "power=1\n" GPU(1) "power=1\nevery 999",
        GPU(0) "power=1 open=!999\n" GPU(1) "power=1 open=!999",
        GPU(0) "power=1 open=!4\n" GPU(1) "power=1 open=!4",
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct fake f;
        struct gpu_reading r;
        struct err e = {0};
        size_t n = 77;
        fake_open(&f, "580", GPU(0) "power=1\n" GPU(1) "power=1", "");
        fake_script(&f, scripts[i]);
        assert_int_equal(
            f.source.ops->enumerate(f.source.state, f.ms * NS_PER_MS, f.devices, 256, &n, &e),
            ERR_UNAVAILABLE);
        assert_int_equal(n, 77);
        assert_non_null(strstr(e.msg, "NVML_ERROR_"));
        fake_script(&f, GPU(0) "power=1\n" GPU(1) "power=1");
        fake_enumerate(&f);
        assert_int_equal(f.n, 2);
        assert_true(fake_round(&f, 1, &r));
        fake_close(&f);
    }
}

static void test_a_gpu_that_cannot_be_opened_is_told_and_the_others_are_read(void **state) {
    struct fake f;
    struct gpu_reading r;
    char text[512];
    fake_open(&f, "580", GPU(0) "power=1\n" GPU(1) "open=!4\n" GPU(2) "power=3000", "");
    assert_int_equal(f.n, 2);
    assert_int_equal(fake_device(&f, "GPU-2")->info.index, 2);
    assert_true(fake_round(&f, fake_slot(&f, "GPU-2"), &r));
    f.source.ops->describe(f.source.state, text, sizeof text);
    assert_non_null(strstr(text, "2 GPUs, 1 more cannot be opened: NVML_ERROR_NO_PERMISSION (4)"));
    fake_close(&f);
}

// --- MIG

#define BOARD                                                                                      \
    "gpu 0 uuid=GPU-0 name=NVIDIA_A100 pci=00000000:07:00.0 mig=1 total=42949672960 used=5 "       \
    "free=6 "                                                                                      \
    "reserved=7 power=180000 temp=44 compute=1,2,3\n"
#define MIG(i, id, more)                                                                           \
    "mig 0 " #i " uuid=MIG-" id " total=5000000000 used=10 free=20 reserved=30 compute=4 " more "\n"

static void test_instances_are_found_behind_holes(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580",
              BOARD MIG(1, "a", "gi=3 ci=0 name=NVIDIA_A100_MIG_2g.10gb")
                  MIG(6, "b", "gi=13 ci=0 name=NVIDIA_A100_MIG_1g.5gb") GPU(1) "power=1",
              "");
    assert_int_equal(f.n, 4);
    const struct gpu_info *i = &fake_device(&f, "MIG-b")->info;
    assert_string_equal(i->parent_uuid, "GPU-0");
    assert_string_equal(i->mig_profile, "1g.5gb");
    assert_string_equal(i->model, "NVIDIA A100");
    assert_string_equal(i->pci_bus_id, "00000000:07:00.0");
    assert_int_equal(i->gpu_instance_id, 13);
    assert_int_equal(i->index, 0);
    assert_true(i->memory_total_bytes == UINT64_C(5000000000));
    assert_int_equal(fake_device(&f, "MIG-a")->info.gpu_instance_id, 3);
    // What is the board's is read there, what is an instance's here.
    fake_round(&f, fake_slot(&f, "MIG-a"), &r);
    KNOWN(r, GPU_MEMORY_USED_BYTES, 10);
    KNOWN(r, GPU_PROCESSES, 1);
    UNKNOWN(r, GPU_POWER_W);
    UNKNOWN(r, GPU_TEMPERATURE_C);
    fake_round(&f, fake_slot(&f, "GPU-0"), &r);
    KNOWN(r, GPU_POWER_W, 180);
    KNOWN(r, GPU_TEMPERATURE_C, 44);
    UNKNOWN(r, GPU_MEMORY_USED_BYTES);
    UNKNOWN(r, GPU_PROCESSES);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    assert_int_equal(fake_device(&f, "GPU-0")->info.memory_total_bytes, 0); // no sum twice
    fake_close(&f);
}

static void test_the_profile_is_named_from_attributes_where_the_name_does_not_tell(void **state) {
    static const struct {
        const char *name;
        struct nvml_attributes a;
        uint64_t gpu_mib;
        const char *profile;
    } cases[] = {
        {"NVIDIA A100-SXM4-40GB MIG 1g.5gb", {0}, 0, "1g.5gb"},
        {"NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", {0}, 0, "1g.10gb+me"},
        {"NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", {0}, 0, "1c.3g.20gb"},
        {"A100", {.gpu_slices = 1, .compute_slices = 1, .memory_mib = 4864}, 40960, "1g.5gb"},
        {"A100", {.gpu_slices = 2, .compute_slices = 2, .memory_mib = 9856}, 40960, "2g.10gb"},
        {"A100", {.gpu_slices = 3, .compute_slices = 1, .memory_mib = 19968}, 40960, "1c.3g.20gb"},
        {"A100", {.gpu_slices = 7, .compute_slices = 7, .memory_mib = 40192}, 40960, "7g.40gb"},
        {"H100", {.gpu_slices = 1, .compute_slices = 1, .memory_mib = 9984}, 81559, "1g.10gb"},
        {"H100", {.gpu_slices = 1, .compute_slices = 1, .memory_mib = 20096}, 81559, "1g.20gb"},
        {"H200", {.gpu_slices = 1, .compute_slices = 1, .memory_mib = 16384}, 143771, "1g.18gb"},
        {"A30", {.gpu_slices = 1, .compute_slices = 1, .memory_mib = 5952}, 24576, "1g.6gb"},
        {"A100", {0}, 40960, ""},
        {"A100", {.gpu_slices = 1, .memory_mib = 4864}, 0, ""},
        {"MIG-less", {0}, 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char profile[32];
        nvml_mig_profile(cases[i].name, &cases[i].a, cases[i].gpu_mib << 20, profile,
                         sizeof profile);
        assert_string_equal(profile, cases[i].profile);
    }
    struct fake f;
    fake_open(&f, "580",
              BOARD MIG(0, "a", "gi=1 ci=0 name=NVIDIA_A100 slices=1 cslices=1 mib=4864"), "");
    assert_string_equal(fake_device(&f, "MIG-a")->info.mig_profile, "1g.5gb");
    fake_close(&f);
}

static void test_a_destroyed_instance_is_lost_and_then_not_listed(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", BOARD MIG(0, "a", "gi=1 ci=0") MIG(1, "b", "gi=2 ci=0"), "");
    uint32_t a = fake_slot(&f, "MIG-a"), b = fake_slot(&f, "MIG-b");
    fake_script(&f, BOARD MIG(1, "b", "gi=2 ci=0"));
    assert_false(fake_round(&f, a, &r));
    assert_true(fake_round(&f, b, &r));
    assert_true(fake_round(&f, fake_slot(&f, "GPU-0"), &r));
    fake_enumerate(&f);
    assert_int_equal(f.n, 2);
    assert_null(fake_device(&f, "MIG-a"));
    fake_script(&f, BOARD MIG(1, "b", "gi=2 ci=0") MIG(3, "a", "gi=1 ci=0"));
    fake_enumerate(&f);
    assert_int_equal(fake_slot(&f, "MIG-a"), a);
    assert_true(fake_round(&f, a, &r));
    fake_close(&f);
}

static void test_instances_are_lost_with_their_gpu(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", BOARD MIG(0, "a", "gi=1 ci=0") GPU(1) "power=1", "");
    uint32_t board = fake_slot(&f, "GPU-0"), a = fake_slot(&f, "MIG-a");
    fake_round(&f, a, &r);
    fake_script(&f, "gpu 0 uuid=GPU-0 all=!15\n" MIG(0, "a", "gi=1 ci=0") GPU(1) "power=1");
    assert_false(fake_round(&f, board, &r));
    assert_false(fake_round(&f, a, &r));
    fake_script(&f, GPU(1) "power=1"); // off the list, both
    fake_enumerate(&f);
    assert_int_equal(f.n, 3);
    assert_false(fake_round(&f, a, &r));
    assert_true(fake_round(&f, fake_slot(&f, "GPU-1"), &r));
    fake_script(&f, BOARD MIG(0, "a", "gi=1 ci=0") GPU(1) "power=1");
    fake_enumerate(&f);
    fake_round(&f, board, &r);
    assert_true(fake_round(&f, a, &r));
    assert_true(fake_round(&f, board, &r));
    fake_close(&f);
}

static void test_an_instance_that_still_answers_is_lost_with_its_gpu(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", BOARD MIG(0, "a", "gi=1 ci=0"), "");
    assert_true(fake_round(&f, fake_slot(&f, "MIG-a"), &r));
    fake_script(&f, BOARD "gpu 0 power=!15\n" MIG(0, "a", "gi=1 ci=0"));
    assert_false(fake_round(&f, fake_slot(&f, "MIG-a"), &r));
    assert_int_equal(r.valid, 0);
    fake_close(&f);
}

static void test_an_instance_that_cannot_be_read_now_stays_as_it_was(void **state) {
    static const char *const scripts[] = {
        BOARD MIG(0, "a", "gi=!999 ci=0"),
        BOARD MIG(0, "a", "gi=1 ci=0 open=!999"),
        "gpu 0 uuid=GPU-0 mig=!999 power=1\n" MIG(0, "a", "gi=1 ci=0"),
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct fake f;
        struct gpu_reading r;
        fake_open(&f, "580", BOARD MIG(0, "a", "gi=1 ci=0"), "");
        fake_script(&f, scripts[i]);
        fake_enumerate(&f);
        assert_int_equal(f.n, 2);
        assert_int_equal(fake_device(&f, "MIG-a")->info.gpu_instance_id, 1);
        assert_true(fake_round(&f, fake_slot(&f, "MIG-a"), &r));
        fake_close(&f);
    }
}

static void test_mig_switched_on_and_off_changes_what_is_listed(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", GPU(0) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_UTILIZATION_PCT, 50);
    fake_script(&f, GPU(0) GPU_VALUES " mig=1\n" MIG(0, "a", "gi=1 ci=0"));
    fake_enumerate(&f);
    assert_int_equal(f.n, 2);
    assert_int_equal(fake_device(&f, "GPU-0")->info.memory_total_bytes, 0);
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    UNKNOWN(r, GPU_MEMORY_USED_BYTES);
    KNOWN(r, GPU_POWER_W, 1);
    fake_script(&f, GPU(0) GPU_VALUES);
    fake_enumerate(&f);
    assert_int_equal(f.n, 1);
    fake_round(&f, 0, &r);
    KNOWN(r, GPU_UTILIZATION_PCT, 50);
    KNOWN(r, GPU_MEMORY_USED_BYTES, 1000);
    fake_close(&f);
}

// While nobody knows whether MIG is on, nothing is claimed that would be wrong if it were.
static void test_an_unknown_mig_mode_is_read_as_on(void **state) {
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", "gpu 0 uuid=GPU-0 name=X mig=!999 " GPU_VALUES, "");
    fake_round(&f, 0, &r);
    UNKNOWN(r, GPU_UTILIZATION_PCT);
    KNOWN(r, GPU_POWER_W, 1);
    fake_close(&f);
}

static void test_eight_gpus_of_seven_instances_are_all_listed(void **state) {
    struct fake f;
    struct gpu_reading r;
    static char script[32768];
    int n = 0;
    for (int g = 0; g < 8; g++) {
        n += snprintf(script + n, sizeof script - (size_t)n,
                      "gpu %d uuid=GPU-%d name=X mig=1 power=1\n", g, g);
        for (int i = 0; i < 7; i++)
            n += snprintf(script + n, sizeof script - (size_t)n,
                          "mig %d %d uuid=MIG-%d-%d gi=%d ci=0 used=1 free=1 total=2\n", g, i, g, i,
                          i + 7);
    }
    fake_open(&f, "580", script, "");
    assert_int_equal(f.n, 64);
    for (size_t i = 0; i < f.n; i++)
        assert_true(fake_round(&f, f.devices[i].slot, &r));
    fake_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gpu_is_what_the_driver_says),
        cmocka_unit_test(test_a_uuid_keeps_its_slot_and_takes_the_new_index),
        cmocka_unit_test(test_a_text_that_cannot_be_read_now_stays_what_it_was),
        cmocka_unit_test(test_odd_bytes_of_a_driver_do_not_reach_labels),
        cmocka_unit_test(test_a_lost_gpu_that_vanishes_stays_listed_until_it_is_back),
        cmocka_unit_test(test_a_gpu_whose_handle_is_refused_is_lost_or_as_it_was),
        cmocka_unit_test(test_when_all_are_lost_they_are_all_listed_as_lost),
        cmocka_unit_test(test_an_enumeration_that_fails_leaves_the_list_alone),
        cmocka_unit_test(test_a_gpu_that_cannot_be_opened_is_told_and_the_others_are_read),
        cmocka_unit_test(test_instances_are_found_behind_holes),
        cmocka_unit_test(test_the_profile_is_named_from_attributes_where_the_name_does_not_tell),
        cmocka_unit_test(test_a_destroyed_instance_is_lost_and_then_not_listed),
        cmocka_unit_test(test_instances_are_lost_with_their_gpu),
        cmocka_unit_test(test_an_instance_that_still_answers_is_lost_with_its_gpu),
        cmocka_unit_test(test_an_instance_that_cannot_be_read_now_stays_as_it_was),
        cmocka_unit_test(test_mig_switched_on_and_off_changes_what_is_listed),
        cmocka_unit_test(test_an_unknown_mig_mode_is_read_as_on),
        cmocka_unit_test(test_eight_gpus_of_seven_instances_are_all_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
