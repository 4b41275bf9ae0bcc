// SPDX-License-Identifier: Apache-2.0
/* Metadata with the scaler's own presets and demand sources. */
#include "scaler/bind.h"

#include "base/mem.h"
#include "unit.h"

static int bind(const struct object_pair *pairs, size_t n, struct trigger **ret, struct err *e) {
    static const char *const names[] = {"gateway", "epp", NULL};
    struct binder b;
    binder_init(&b, names);
    struct object_ref r = {STR("prod"), STR("llm"), pairs, n};
    return binder_bind(&b, &r, ret, e);
}

static void gpu_activity_sizes_where_the_preset_says_so(void **state) {
    struct object_pair classic[] = {{STR("queue"), STR("10")}, {STR("gpuUtilization"), STR("55")}};
    struct object_pair llm[] = {{STR("engine"), STR("vllm")}, {STR("gpuUtilization"), STR("55")}};
    struct trigger *t = NULL;
    struct err e = {0};
    assert_int_equal(bind(classic, 2, &t, &e), 0);
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_CAPACITY);
    assert_int_equal(trigger_rule_of(t, SIGNAL_QUEUE)->role, ROLE_GUARD);
    trigger_free(t);
    assert_int_equal(bind(llm, 2, &t, &e), 0); // saturating: work sizes
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_SATURATING);
    assert_int_equal(trigger_rule_of(t, SIGNAL_WORK)->role, ROLE_CAPACITY);
    trigger_free(t);
    assert_int_equal(bind(classic, 1, &t, &e), ERR_INVALID); // a queue alone
    assert_non_null(strstr(e.msg, "ScaledObject prod/llm"));
}

static void a_demand_source_is_one_of_the_configuration(void **state) {
    struct object_pair good[] = {
        {STR("engine"), STR("vllm")}, {STR("capacity"), STR("2")}, {STR("demand"), STR("epp")}};
    struct object_pair bad[] = {
        {STR("engine"), STR("vllm")}, {STR("capacity"), STR("2")}, {STR("demand"), STR("istio")}};
    struct trigger *t = NULL;
    struct err e = {0};
    assert_int_equal(bind(good, 3, &t, &e), 0);
    trigger_free(t);
    assert_int_equal(bind(bad, 3, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "istio"));
    assert_non_null(strstr(e.msg, "gateway, epp"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpu_activity_sizes_where_the_preset_says_so),
        cmocka_unit_test(a_demand_source_is_one_of_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
