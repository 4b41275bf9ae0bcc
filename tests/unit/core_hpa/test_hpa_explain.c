// SPDX-License-Identifier: Apache-2.0
/* Sentences for people, and selectors as Go prints them. */
#include "hpa_unit.h"

static struct buf b;

static void is(const char *want) {
    if (!str_eqc(buf_str(&b), want))
        fail_msg("\n     \"" STR_FMT "\"\nnot: \"%s\"", STR_ARG(buf_str(&b)), want);
    buf_clear(&b);
}

static void selectors_look_like_gos(void **state) {
    (void)state;
    static const struct hpa_label labels[] = {{{"app", 3}, {"a", 1}}, {{"tier", 4}, {"b", 1}}};
    static const struct str values[] = {{"x", 1}, {"y", 1}};
    static const struct hpa_requirement requirements[] = {{{"zone", 4}, {"In", 2}, values, 2},
                                                          {{"gpu", 3}, {"Exists", 6}, NULL, 0}};
    hpa_text_selector(&b, NULL, 0, NULL, 0);
    is("&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:"
       "[]LabelSelectorRequirement{},}");
    hpa_text_selector(&b, labels, 2, requirements, 2);
    is("&LabelSelector{MatchLabels:map[string]string{app: a,tier: b,},MatchExpressions:"
       "[]LabelSelectorRequirement{LabelSelectorRequirement{Key:zone,Operator:In,Values:[x y],},"
       "LabelSelectorRequirement{Key:gpu,Operator:Exists,Values:[],},},}");
}

static void proposals_are_told_in_a_sentence(void **state) {
    (void)state;
    static const struct {
        const char *pods;
        int64_t values[4];
        int32_t current;
        const char *want;
    } rows[] = {
        {"rrrr", {750, 750, 750, 750}, 4, "75 % of 50 %, ratio 1.5: ceil(1.5 x 4 ready pods) = 6"},
        {"rr", {520, 520}, 2, "52 % of 50 %, ratio 1.04: within the tolerance, stays 2"},
        {"rrrr",
         {100, 100, 100, -1},
         4,
         "10 % of 50 %, ratio 0.2, with 1 missing pod counted cautiously 0.64: ceil(0.64 x 4 pods) "
         "= 3"},
        {"rmpp",
         {2000, -1, -1, -1},
         4,
         "200 % of 50 %, ratio 4, with 1 missing pod and 2 unready pods counted cautiously 1: "
         "within the tolerance, stays 4"},
        {"rrrr",
         {600, -1, -1, -1},
         4,
         "60 % of 50 %, ratio 1.2, with 3 missing pods counted cautiously 0.3: the direction is "
         "not certain, stays 4"},
        {"rrr",
         {1000, 1000, -1},
         10,
         "100 % of 50 %, ratio 2, with 1 missing pod counted cautiously 1.32: ceil(1.32 x 3 pods) "
         "would go the other way, stays 10"},
        {"pp",
         {-1, -1},
         2,
         "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be "
         "unready)"},
    };
    static struct world w;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_init(&w, rows[i].current);
        world_pods(&w, rows[i].pods);
        world_metric(&w, HPA_RESOURCE, "cpu")->target = (struct hpa_target){
            .type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = 50};
        world_values(&w, 0, rows[i].values, w.in.n_pods);
        world_step(&w);
        hpa_text_path(&b, &w.c, &w.spec, &w.in, &w.r, 0);
        is(rows[i].want);
    }
    world_init(&w, 2);
    world_external(&w, 35050, 10500);
    world_step(&w);
    hpa_text_path(&b, &w.c, &w.spec, &w.in, &w.r, 0);
    is("17.525 of 10.5, ratio 1.669: the sum over the target, rounded up = 4");
    world_init(&w, 0);
    w.spec.min_replicas = 0;
    w.s.conditions[HPA_SCALED_TO_ZERO].status = HPA_TRUE;
    world_external(&w, 35050, 0);
    w.metrics[0].target = (struct hpa_target){.has_value = true, .value_milli = 10000};
    world_step(&w);
    hpa_text_path(&b, &w.c, &w.spec, &w.in, &w.r, 0);
    is("35.05 of 10, ratio 3.505: from zero, ceil(3.505) = 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_look_like_gos),
        cmocka_unit_test(proposals_are_told_in_a_sentence),
    };
    buf_init(&b, 4096);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&b);
    return r;
}
