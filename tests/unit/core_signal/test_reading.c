// SPDX-License-Identifier: Apache-2.0
/* The table of GPU values is whole, and in dcgm-exporter's names and units. */
#include "unit.h"

#include <math.h>

#include "core/signal/reading.h"
#include "core/signal/signal.h"

static void every_value_has_a_name_of_its_own_and_bounds(void **state) {
    (void)state;
    for (int i = 0; i < GPU_VALUE_MAX; i++) {
        const struct gpu_value_info *v = &gpu_values[i];
        assert_non_null(v->name);
        assert_non_null(v->own);
        assert_non_null(v->help);
        assert_true(v->own_factor > 0);
        assert_true(v->min < v->max);
        assert_int_equal(gpu_value_by_name(v->name), i);
        assert_int_equal(strncmp(v->own, "gpuscale_gpu_", 13), 0);
        if (v->dcgm) {
            assert_int_equal(strncmp(v->dcgm, "DCGM_FI_", 8), 0);
            assert_true(v->dcgm_factor > 0);
        }
        // A counter's own name says so, as Prometheus wants it.
        size_t n = strlen(v->own);
        assert_int_equal(v->counter, n > 6 && strcmp(v->own + n - 6, "_total") == 0);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(v->own, gpu_values[k].own);
            if (v->dcgm && gpu_values[k].dcgm)
                assert_string_not_equal(v->dcgm, gpu_values[k].dcgm);
        }
    }
    assert_int_equal(gpu_value_by_name("utilization"), -1);
}

// The default counters of dcgm-exporter that this project has values for, with their units.
static void values_are_told_in_dcgm_exporters_units(void **state) {
    (void)state;
    static const struct {
        enum gpu_value value;
        const char *dcgm;
        double ours, theirs;
    } facts[] = {
        {GPU_UTILIZATION_PCT, "DCGM_FI_DEV_GPU_UTIL", 87, 87},                    // %
        {GPU_MEMORY_USED_BYTES, "DCGM_FI_DEV_FB_USED", 5368709120., 5120},        // MiB
        {GPU_MEMORY_FREE_BYTES, "DCGM_FI_DEV_FB_FREE", 1048576, 1},               // MiB
        {GPU_MEMORY_RESERVED_BYTES, "DCGM_FI_DEV_FB_RESERVED", 524288, 0.5},      // MiB
        {GPU_ENERGY_J, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 12.5, 12500},      // mJ
        {GPU_POWER_W, "DCGM_FI_DEV_POWER_USAGE", 300.5, 300.5},                   // W
        {GPU_SM_CLOCK_MHZ, "DCGM_FI_DEV_SM_CLOCK", 1980, 1980},                   // MHz
        {GPU_TENSOR_ACTIVE_RATIO, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.25, 0.25}, // 0..1
        {GPU_GR_ENGINE_ACTIVE_RATIO, "DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5, 0.5},  // 0..1
        {GPU_PCIE_TX_BYTES_PER_S, "DCGM_FI_PROF_PCIE_TX_BYTES", 1e9, 1e9},        // B/s
        {GPU_XID_LAST, "DCGM_FI_DEV_XID_ERRORS", 79, 79},
    };
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct gpu_value_info *v = &gpu_values[facts[i].value];
        assert_string_equal(v->dcgm, facts[i].dcgm);
        assert_true(fabs(facts[i].ours * v->dcgm_factor - facts[i].theirs) < 1e-9);
    }
}

static void dcgms_blank_values_are_out_of_bounds(void **state) {
    (void)state;
    static const double blanks[] = {2147483632., 2147483633., 2147483646., 9223372036854775792.,
                                    9223372036854775794.};
    for (int i = 0; i < GPU_VALUE_MAX; i++) {
        // Bytes and energy come from 64-bit fields, whose blanks alone concern them.
        size_t first = gpu_values[i].max > 2147483632. ? 3 : 0;
        for (size_t k = first; k < sizeof(blanks) / sizeof(blanks[0]); k++)
            assert_true(blanks[k] * (gpu_values[i].dcgm ? 1 / gpu_values[i].dcgm_factor : 1) >
                        gpu_values[i].max);
    }
}

static void the_signals_table_is_whole(void **state) {
    (void)state;
    for (int i = 0; i < SIGNAL_PROMETHEUS; i++) {
        assert_string_equal(signals[i].name, signal_names[i]);
        assert_int_equal(signal_by_name(str_from(signals[i].name)), i);
        assert_true(signals[i].ceiling > 0);
        assert_true(signals[i].target_min > 0);
        assert_non_null(signals[i].target_help);
    }
    assert_null(signal_names[SIGNAL_PROMETHEUS]);
    assert_int_equal(signal_by_name(STR("prometheus")), -1); // their names are the triggers'
    assert_int_equal(signal_by_name(STR("Queue")), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_a_name_of_its_own_and_bounds),
        cmocka_unit_test(values_are_told_in_dcgm_exporters_units),
        cmocka_unit_test(dcgms_blank_values_are_out_of_bounds),
        cmocka_unit_test(the_signals_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
