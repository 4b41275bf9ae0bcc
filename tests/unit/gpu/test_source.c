// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "gpu/source.h"

static void refuses(const char *spec, int code, const char *says) {
    struct gpu_source s = {0};
    struct err e = {0};
    int r = gpu_source_open(str_from(spec), &s, &e);
    if (r != code || !strstr(e.msg, says))
        fail_msg("%s: code %d, message \"%s\", wanted %d, \"%s\"", spec, r, e.msg, code, says);
    assert_null(s.ops);
}

static void test_a_wrong_spec_is_told_with_what_is_allowed(void **state) {
    refuses("", ERR_INVALID, "write sim:8");
    refuses("simm:8", ERR_INVALID, "did you mean \"sim\"");
    refuses("simm:8", ERR_INVALID, "auto, nvml, replay, sim");
    refuses("quux", ERR_INVALID, "unknown GPU source \"quux\"");
    refuses("auto:8", ERR_INVALID, "takes no arguments");
    refuses("sim", ERR_INVALID, "is not a number of GPUs");
    refuses("sim:0", ERR_INVALID, "from 1 to 256");
    refuses("sim:257", ERR_INVALID, "from 1 to 256");
    refuses("sim:8,rampp", ERR_INVALID, "did you mean \"ramp\"");
    refuses("sim:8,ramp,perod=2m", ERR_INVALID, "did you mean \"period\"");
    refuses("sim:8,ramp,idle", ERR_INVALID, "\"idle\" is not key=value");
    refuses("sim:8,level=2", ERR_INVALID, "from 0 to 1");
    refuses("sim:8,level=x", ERR_INVALID, "from 0 to 1");
    refuses("sim:8,period=0", ERR_INVALID, "period=\"0\"");
    refuses("sim:8,lost,gpu=8", ERR_INVALID, "from 0 to 7");
    refuses("sim:8,seed=-1", ERR_INVALID, "seed=\"-1\"");
    refuses("sim:1,load=", ERR_INVALID, "path");
    refuses("replay:", ERR_INVALID, "write replay:FILE");
    refuses("replay:/no/such/file", ERR_IO, "/no/such/file");
    refuses("replay:x,speed=0", ERR_INVALID, "speed=\"0\"");
    refuses("replay:x,end=never", ERR_INVALID, "hold, loop or stop");
}

static void test_a_source_of_another_build_is_not_pretended(void **state) {
    refuses("amd", ERR_UNSUPPORTED, "\"amd\" is not in this build, which has: nvml, replay, sim");
    refuses("intel", ERR_UNSUPPORTED, "not in this build");
}

static void test_auto_never_takes_a_simulation(void **state) {
    refuses("auto", ERR_NOTFOUND, "found no GPU");
}

static void test_a_source_opens_and_closes(void **state) {
    struct gpu_source s = {0};
    struct err e = {0};
    char text[160];
    assert_int_equal(gpu_source_open(STR("sim:8,ramp,seed=7"), &s, &e), 0);
    assert_string_equal(s.ops->name, "sim");
    s.ops->describe(s.state, text, sizeof text);
    assert_string_equal(text, "8 simulated GPUs, scenario ramp, seed 7");
    gpu_source_close(&s);
    assert_null(s.ops);
    gpu_source_close(&s); // again: nothing
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wrong_spec_is_told_with_what_is_allowed),
        cmocka_unit_test(test_a_source_of_another_build_is_not_pretended),
        cmocka_unit_test(test_auto_never_takes_a_simulation),
        cmocka_unit_test(test_a_source_opens_and_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
