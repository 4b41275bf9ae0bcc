// SPDX-License-Identifier: Apache-2.0
/* The rows are sound: every name once, every factor a number, every kind knows its GPUs. */
#include "unit.h"

#include "core/exporter/exporter.h"

static void test_no_metric_is_named_twice(void **state) {
    const char *names[512];
    size_t n = 0;
    for (int v = 0; v < GPU_VALUE_MAX; v++)
        if (gpu_values[v].dcgm)
            names[n++] = gpu_values[v].dcgm;
    for (unsigned k = 0; k < exporter_kinds_n; k++)
        for (const struct exporter_metric *m = exporter_kinds[k].metrics; m->name; m++)
            names[n++] = m->name;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(names[i], names[j]))
                fail_msg("%s is there twice", names[i]);
}

static void test_every_row_has_a_unit_and_a_meaning(void **state) {
    for (unsigned k = 0; k < exporter_kinds_n; k++)
        for (const struct exporter_metric *m = exporter_kinds[k].metrics; m->name; m++) {
            assert_true(m->factor > 0);
            assert_true(m->what >= 0 && m->what <= EXPORTER_COLLECTED_AT);
        }
}

static void test_every_exporter_says_which_gpu_and_who_holds_it_where_it_can(void **state) {
    for (unsigned k = 0; k < exporter_kinds_n; k++) {
        bool uuid = false, pod = false;
        for (const struct exporter_label *l = exporter_kinds[k].labels; l->name; l++) {
            assert_true(l->field >= 0 && l->field < EXPORTER_FIELDS);
            uuid |= l->field == EXPORTER_UUID;
            pod |= l->field == EXPORTER_POD + EXPORTER_PLAIN;
        }
        assert_true(uuid);
        assert_int_equal(pod, exporter_kinds[k].names_pods);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_metric_is_named_twice),
        cmocka_unit_test(test_every_row_has_a_unit_and_a_meaning),
        cmocka_unit_test(test_every_exporter_says_which_gpu_and_who_holds_it_where_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
