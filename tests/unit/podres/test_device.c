// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/mem.h"
#include "podres/device.h"

#define GPU "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10"
#define MIG "MIG-0d9e2c54-31b7-5f68-8a4d-5f9e7a3c8d54"

static void test_spellings_of_device_plugins(void **state) {
    static const struct {
        const char *resource, *id;
        bool is_gpu;
        const char *gpu;
        int instance;
        const char *replica;
        bool exact;
    } cases[] = {
        {"nvidia.com/gpu", GPU, true, GPU, -1, "", true},
        {"nvidia.com/gpu.shared", GPU "::0", true, GPU, -1, "0", true},
        {"nvidia.com/gpu", GPU "::31", true, GPU, -1, "31", true},
        {"example.com/renamed", GPU "::3", true, GPU, -1, "3", true},
        {"nvidia.com/mig-1g.10gb", MIG, true, MIG, -1, "", true},
        {"nvidia.com/mig-1g.10gb.shared", MIG "::2", true, MIG, -1, "2", true},
        {"nvidia.com/mig-1g.5gb", "MIG-" GPU "/7/0", true, "MIG-" GPU "/7/0", -1, "", true},
        {"nvidia.com/gpu", "0", true, "0", -1, "", true},
        {"nvidia.com/gpu", "12::4", true, "12", -1, "4", true},
        {"nvidia.com/gpu", "nvidia2", true, "2", -1, "", true},
        {"nvidia.com/gpu", "nvidia2/vgpu9", true, "2", -1, "9", true},
        {"nvidia.com/gpu", "nvidia2/gi13", true, "2", 13, "", true},
        {"nvidia.com/gpu", "nvidia2/gi13/vgpu1", true, "2", 13, "1", true},
        // Spellings that nobody here knows, under a GPU's name: perhaps any of the GPUs.
        {"nvidia.com/gpu", GPU "-4", true, GPU "-4", -1, "", false}, // HAMi
        {"nvidia.com/gpu", "0:1", true, "0:1", -1, "", false},       // a MIG device by its index
        {"nvidia.com/gpu", GPU "::x", true, GPU "::x", -1, "", false},
        {"nvidia.com/gpu", GPU "::", true, GPU "::", -1, "", false},
        {"nvidia.com/gpu", "GPU-7", true, "GPU-7", -1, "", false},
        {"nvidia.com/gpu", "nvidia", true, "nvidia", -1, "", false},
        {"nvidia.com/gpu", "nvidia2/gi", true, "nvidia2/gi", -1, "", false},
        {"nvidia.com/gpu", "nvidia2/gi1/x", true, "nvidia2/gi1/x", -1, "", false},
        {"nvidia.com/gpu", "01", true, "01", -1, "", false},
        {"nvidia.com/gpu", "4294967296", true, "4294967296", -1, "", false},
        {"nvidia.com/gpu", "", true, "", -1, "", false},
        // No GPUs.
        {"rdma/hca", "2", false, "", 0, "", false},
        {"nvidia.com/hostdev", "0000:81:00.0", false, "", 0, "", false},
        {"nvidia.com/gpus", "0", false, "", 0, "", false},
        {"example.com/gpu", "GPU-7", false, "", 0, "", false},
        {"example.com/gpu", "MIGHTY", false, "", 0, "", false},
        {"", "", false, "", 0, "", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct podres_device d = {.gpu = "untouched"};
        bool is = podres_device_parse(str_from(cases[i].resource), str_from(cases[i].id), &d);
        if (is != cases[i].is_gpu)
            fail_msg("%s %s: %d", cases[i].resource, cases[i].id, is);
        if (!is) {
            assert_string_equal(d.gpu, "untouched");
            continue;
        }
        assert_string_equal(d.gpu, cases[i].gpu);
        assert_int_equal(d.gpu_instance, cases[i].instance);
        assert_string_equal(d.replica, cases[i].replica);
        if (d.exact != cases[i].exact)
            fail_msg("%s: exact %d", cases[i].id, d.exact);
    }
}

static void test_a_text_longer_than_any_name_is_no_gpus(void **state) {
    char id[200] = "GPU-";
    struct podres_device d;
    memset(id + 4, 'a', sizeof id - 5);
    assert_true(podres_device_parse(STR("nvidia.com/gpu"), str_from(id), &d));
    assert_string_equal(d.gpu, "");
    assert_false(d.exact);
    struct gpu_info nameless = {{0}};
    assert_false(podres_device_is(&d, &nameless));
}

static struct podres_device device(const char *id) {
    struct podres_device d;
    assert_true(podres_device_parse(STR("nvidia.com/gpu"), str_from(id), &d));
    return d;
}

static bool is_of(const char *id, const struct gpu_info *gpu) {
    struct podres_device d = device(id);
    return podres_device_is(&d, gpu);
}

static void test_a_device_lies_on_one_gpu(void **state) {
    struct gpu_info whole = {.uuid = GPU, .index = 3};
    struct gpu_info instance = {.uuid = MIG, .index = 3, .parent_uuid = GPU, .gpu_instance_id = 13};
    assert_true(is_of(GPU, &whole) && is_of(GPU "::1", &whole));
    assert_true(is_of("3", &whole) && is_of("nvidia3/vgpu1", &whole));
    assert_false(is_of("2", &whole) || is_of(MIG, &whole) || is_of("nvidia3/gi13", &whole));
    assert_true(is_of(MIG, &instance) && is_of("nvidia3/gi13", &instance));
    // An instance is not its GPU, nor another instance of it.
    assert_false(is_of("3", &instance) || is_of(GPU, &instance));
    assert_false(is_of("nvidia3/gi1", &instance) || is_of("nvidia2/gi13", &instance));
}

static void test_drivers_of_gpus_are_told_by_their_name(void **state) {
    assert_true(podres_driver_is_gpu(STR("gpu.nvidia.com")));
    assert_true(podres_driver_is_gpu(STR("gpu.example.com")));
    assert_false(podres_driver_is_gpu(STR("compute-domain.nvidia.com")));
    assert_false(podres_driver_is_gpu(STR("dra.net")));
    assert_false(podres_driver_is_gpu(STR("gpu.")));
    assert_false(podres_driver_is_gpu(STR("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings_of_device_plugins),
        cmocka_unit_test(test_a_text_longer_than_any_name_is_no_gpus),
        cmocka_unit_test(test_a_device_lies_on_one_gpu),
        cmocka_unit_test(test_drivers_of_gpus_are_told_by_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
