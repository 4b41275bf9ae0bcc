// SPDX-License-Identifier: Apache-2.0
/* Which resource a kind is, from the API server's own list. */
#include "kube/discovery.h"

#include "base/mem.h"
#include "unit.h"

static const char list[] = "{\"kind\":\"APIResourceList\",\"resources\":["
                           "{\"name\":\"rollouts/scale\",\"kind\":\"Scale\"},"
                           "{\"name\":\"rollouts/status\",\"kind\":\"Rollout\"},"
                           "{\"name\":\"rollouts\",\"kind\":\"Rollout\"},"
                           "{\"name\":\"analysisruns\",\"kind\":\"AnalysisRun\"},7]}";

static void a_kind_with_a_scale_subresource_is_found(void **state) {
    char plural[KUBE_PLURAL_MAX];
    struct err e = {0};
    assert_int_equal(kube_discovery_scalable(plural, str_from(list), "Rollout", &e), 0);
    assert_string_equal(plural, "rollouts");
}

static void what_cannot_be_scaled_is_said(void **state) {
    char plural[KUBE_PLURAL_MAX];
    struct err e = {0};
    assert_int_equal(kube_discovery_scalable(plural, str_from(list), "AnalysisRun", &e),
                     ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "has no scale subresource"));
    assert_int_equal(kube_discovery_scalable(plural, str_from(list), "Nothing", &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "no kind Nothing"));
    assert_int_equal(kube_discovery_scalable(plural, STR("{\"resources\":{}}"), "Rollout", &e),
                     ERR_PARSE);
    assert_int_equal(kube_discovery_scalable(plural, STR("<html>"), "Rollout", &e), ERR_PARSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kind_with_a_scale_subresource_is_found),
        cmocka_unit_test(what_cannot_be_scaled_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
