// SPDX-License-Identifier: Apache-2.0
/* Costs of a request's CPU: parts add up, however the answer is cut. */
#include "unit.h"

#include <math.h>

#include "core/queueing/cpu_cost.h"

static void test_parts_of_an_answer_cost_what_the_whole_does(void **state) {
    const struct cpu_cost *c = &cpu_costs[0];
    double whole = cpu_cost_output_us(c, 100, true, true), parts = 0;
    for (int i = 0; i < 100; i += 4)
        parts += cpu_cost_output_us(c, 4, true, i == 0);
    assert_true(fabs(whole - parts) < 1e-9);
    assert_true(whole > cpu_cost_output_us(c, 100, false, true));
    assert_true(cpu_cost_output_us(c, 1, false, true) == c->output_token_us);
}

static void test_a_prompt_costs_by_its_tokens(void **state) {
    const struct cpu_cost *c = &cpu_costs[0];
    assert_true(cpu_cost_prompt_us(c, 0) == c->request_us);
    assert_true(fabs(cpu_cost_prompt_us(c, 1000) - c->request_us - 1000 * c->prompt_token_us) <
                1e-9);
}

static void test_none_costs_nothing_and_a_wrong_name_is_told(void **state) {
    const struct cpu_cost *c;
    struct err e = {0};
    assert_int_equal(cpu_cost_find(STR("none"), &c, &e), 0);
    assert_true(cpu_cost_prompt_us(c, 9) + cpu_cost_output_us(c, 9, true, true) == 0);
    assert_int_equal(cpu_cost_find(STR("openia"), &c, &e), ERR_NOTFOUND);
    assert_string_equal(
        e.msg, "there is no CPU cost 'openia'; did you mean 'openai'?; there are openai, none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_an_answer_cost_what_the_whole_does),
        cmocka_unit_test(test_a_prompt_costs_by_its_tokens),
        cmocka_unit_test(test_none_costs_nothing_and_a_wrong_name_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
