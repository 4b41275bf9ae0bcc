// SPDX-License-Identifier: Apache-2.0
/* manifest/selector: both texts of a label selector. */
#include "manifest/selector.h"

#include "base/mem.h"
#include "manifest/sample.h"

static const struct {
    const char *yaml, *go, *kubectl;
} known[] = {
    {"{}",
     "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},"
     "}",
     ""},
    {"{matchLabels: {tier: web, app: x}}",
     "&LabelSelector{MatchLabels:map[string]string{app: x,tier: web,},"
     "MatchExpressions:[]LabelSelectorRequirement{},}",
     "app=x,tier=web"},
    {"{matchExpressions: [{key: zone, operator: In, values: [b, a]}, {key: app, operator: Exists},"
     " {key: old, operator: DoesNotExist}, {key: q, operator: NotIn, values: ['1']}]}",
     "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{"
     "LabelSelectorRequirement{Key:zone,Operator:In,Values:[b a],},"
     "LabelSelectorRequirement{Key:app,Operator:Exists,Values:[],},"
     "LabelSelectorRequirement{Key:old,Operator:DoesNotExist,Values:[],},"
     "LabelSelectorRequirement{Key:q,Operator:NotIn,Values:[1],},},}",
     "zone in (a,b),app,!old,q notin (1)"},
};

static void selectors_have_go_s_text_and_kubectl_s(void **state) {
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct sample s;
        sample_start(&s, known[i].yaml);
        const char *go = NULL, *kubectl = NULL;
        manifest_selector_read(&s.r, s.root, &go, &kubectl);
        assert_int_equal(s.r.r, 0);
        assert_string_equal(go, known[i].go);
        assert_string_equal(kubectl, known[i].kubectl);
        sample_end(&s);
    }
}

static void unusable_selectors_are_refused(void **state) {
    static const struct {
        const char *yaml, *part;
    } bad[] = {
        {"{matchExpressions: [{key: a, operator: Near}]}", "expected one of In, NotIn"},
        {"{matchExpressions: [{key: a, operator: In}]}", "a requirement In has one or more values"},
        {"{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
         "a requirement Exists has no values"},
        {"{matchExpressions: [{operator: Exists}]}", "needs key and operator"},
        {"{matchExpressions: [3]}", "a requirement: found '3', expected a map"},
        {"{matchLabels: [a]}", "expected a map"},
        {"{matchLabels: {a: 5}}", "expected a string (put it in quotes)"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sample s;
        sample_start(&s, bad[i].yaml);
        const char *go = NULL, *kubectl = NULL;
        manifest_selector_read(&s.r, s.root, &go, &kubectl);
        assert_true(s.r.r < 0);
        if (!strstr(s.e.msg, bad[i].part))
            fail_msg("%s: %s", bad[i].yaml, s.e.msg);
        sample_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_have_go_s_text_and_kubectl_s),
        cmocka_unit_test(unusable_selectors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
