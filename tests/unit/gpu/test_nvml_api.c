// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#include "base/mem.h"
#include "gpu/nvml_api.h"

static void load(struct nvml_api *a, const char *release) {
    char path[512];
    struct err e = {0};
    fake_library_path(path, sizeof path, release);
    if (nvml_api_load(a, path, &e))
        fail_msg("%s", e.msg);
}

static void test_a_library_that_is_not_there_is_told_with_the_remedy(void **state) {
    struct nvml_api a = {0};
    struct err e = {0};
    assert_int_equal(nvml_api_load(&a, "/no/such/libnvidia-ml.so.1", &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "/no/such/libnvidia-ml.so.1"));
    assert_non_null(strstr(e.msg, "runtimeClassName"));
    assert_non_null(strstr(e.msg, "library=PATH"));
    assert_null(a.library);
}

static void test_a_missing_required_function_names_itself_and_the_library(void **state) {
    char path[512];
    struct nvml_api a = {0};
    struct err e = {0};
    fake_library_path(path, sizeof path, "300");
    assert_int_equal(nvml_api_load(&a, path, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "nvmlDeviceGetCount_v2"));
    assert_non_null(strstr(e.msg, "300/libnvidia-ml.so"));
    assert_null(a.library);
}

static void test_the_newest_name_is_taken(void **state) {
    static const struct {
        const char *release, *reasons, *wait;
    } cases[] = {
        {"580", "nvmlDeviceGetCurrentClocksEventReasons", "nvmlEventSetWait_v2"},
        {"525", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlEventSetWait_v2"},
        {"450", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlEventSetWait"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct nvml_api a;
        load(&a, cases[i].release);
        assert_ptr_equal(*(void **)&a.clock_reasons, dlsym(a.library, cases[i].reasons));
        assert_ptr_equal(*(void **)&a.event_wait, dlsym(a.library, cases[i].wait));
        nvml_api_unload(&a);
        assert_null(a.library);
    }
}

static void test_what_an_older_driver_lacks_is_null(void **state) {
    struct nvml_api a;
    load(&a, "450");
    assert_null(a.memory_v2);
    assert_non_null(a.memory);
    assert_null(a.temperature_v);
    assert_non_null(a.temperature);
    assert_null(a.compute_processes);
    assert_non_null(a.compute_processes_v1);
    assert_null(a.mps_processes);
    assert_null(a.gpm_metrics);
    nvml_api_unload(&a);
    load(&a, "580");
    assert_non_null(a.memory_v2);
    assert_non_null(a.temperature_v);
    assert_non_null(a.compute_processes);
    assert_non_null(a.gpm_metrics);
    nvml_api_unload(&a);
}

static void test_codes_have_names_and_the_bad_ones_remedies(void **state) {
    assert_string_equal(nvml_code_name(NVML_UNKNOWN), "NVML_ERROR_UNKNOWN (999)");
    assert_string_equal(nvml_code_name(77), "an NVML error (77)");
    assert_non_null(strstr(nvml_code_remedy(NVML_UNKNOWN), "daemon-reload"));
    assert_non_null(strstr(nvml_code_remedy(NVML_DRIVER_NOT_LOADED), "kernel module"));
    assert_non_null(strstr(nvml_code_remedy(NVML_LIB_RM_VERSION_MISMATCH), "upgraded"));
    assert_non_null(strstr(nvml_code_remedy(NVML_NO_PERMISSION), "runtimeClassName"));
    assert_string_equal(nvml_code_remedy(NVML_TIMEOUT), "");
    assert_string_equal(nvml_code_remedy(77), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_library_that_is_not_there_is_told_with_the_remedy),
        cmocka_unit_test(test_a_missing_required_function_names_itself_and_the_library),
        cmocka_unit_test(test_the_newest_name_is_taken),
        cmocka_unit_test(test_what_an_older_driver_lacks_is_null),
        cmocka_unit_test(test_codes_have_names_and_the_bad_ones_remedies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
