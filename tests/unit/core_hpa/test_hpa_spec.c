// SPDX-License-Identifier: Apache-2.0
/* What the API server would refuse is refused, with the field; its defaults for behavior. */
#include "hpa_unit.h"

static void defaults_are_the_api_servers(void **state) {
    (void)state;
    struct hpa_rules up, down;
    hpa_rules_init_up(&up);
    hpa_rules_init_down(&down);
    assert_int_equal(up.stabilization_ns, 0);
    assert_int_equal(up.n_policies, 2);
    assert_int_equal(up.policies[0].type, HPA_POLICY_PODS);
    assert_int_equal(up.policies[0].value, 4);
    assert_int_equal(up.policies[1].value, 100);
    assert_int_equal(up.policies[1].period_ns, 15 * NS_PER_S);
    assert_true(up.tolerance == HPA_UNSET && down.tolerance == HPA_UNSET);
    assert_int_equal(down.stabilization_ns, HPA_UNSET);
    assert_int_equal(down.n_policies, 1);
    assert_int_equal(down.policies[0].type, HPA_POLICY_PERCENT);
    assert_int_equal(down.select, HPA_SELECT_MAX);
}

static void what_the_api_server_refuses_is_refused_with_the_field(void **state) {
    (void)state;
    static const struct hpa_policy bad_value[] = {{HPA_POLICY_PODS, 0, NS_PER_S}};
    static const struct hpa_policy bad_period[] = {{HPA_POLICY_PODS, 1, NS_PER_S},
                                                   {HPA_POLICY_PODS, 1, 1801 * NS_PER_S}};
    static struct world w;
    struct err e = {0};
    struct hpa_metric *m = w.metrics;
    struct hpa_spec *s = &w.spec;
#define REFUSED(change, text)                                                                      \
    do {                                                                                           \
        world_init(&w, 1);                                                                         \
        world_external(&w, 1, 1);                                                                  \
        world_metric(&w, HPA_RESOURCE, "cpu")->target = (struct hpa_target){                       \
            .type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = 50};              \
        s->has_behavior = true;                                                                    \
        assert_int_equal(hpa_spec_check(s, &e), 0);                                                \
        change;                                                                                    \
        assert_int_equal(hpa_spec_check(s, &e), ERR_INVALID);                                      \
        if (!strstr(e.msg, text))                                                                  \
            fail_msg("%s", e.msg);                                                                 \
    } while (0)
    REFUSED(s->max_replicas = 0, "spec.maxReplicas: is 0");
    REFUSED(s->min_replicas = -1, "spec.minReplicas: is -1");
    REFUSED(s->min_replicas = 101, "spec.maxReplicas: 100 is below spec.minReplicas 101");
    REFUSED(s->n_metrics = 0, "spec.metrics: has 0 entries");
    REFUSED(s->n_metrics = LIMIT_HPA_METRICS + 1, "spec.metrics: has 65 entries");
    REFUSED((m[0] = m[1], s->min_replicas = 0), "needs an Object or External metric");
    REFUSED(m[1].name = "", "spec.metrics[1].resource: name is missing");
    REFUSED((m[1].type = HPA_CONTAINER_RESOURCE, m[1].container = NULL), "container is missing");
    REFUSED((m[0].type = HPA_OBJECT, m[0].object_kind = ""), "metrics[0].object.describedObject");
    REFUSED(m[1].target.utilization_pct = 0, "spec.metrics[1].resource.target: must be above 0");
    REFUSED(m[0].target.average_milli = 0, "spec.metrics[0].external.target: must be above 0");
    REFUSED(m[1].target.has_utilization = false, "set averageValue or averageUtilization");
    REFUSED(m[0].target.has_average = false, "set averageValue or value");
    REFUSED((m[1].type = HPA_PODS), "spec.metrics[1].pods.target: set averageValue");
    REFUSED((m[0].target.has_value = true, m[0].target.value_milli = 1),
            "averageValue and value are both set");
    REFUSED((m[1].target.has_average = true, m[1].target.average_milli = 1),
            "averageValue and averageUtilization are both set");
    REFUSED(s->up.stabilization_ns = HPA_UNSET, "spec.behavior.scaleUp.stabilizationWindowSeconds");
    REFUSED(s->down.stabilization_ns = 3601 * NS_PER_S, "scaleDown.stabilizationWindowSeconds");
    REFUSED(s->down.n_policies = 0, "spec.behavior.scaleDown.policies: empty");
    REFUSED((s->up.policies = bad_value, s->up.n_policies = 1), "scaleUp.policies[0].value");
    REFUSED(s->up.policies = bad_period, "scaleUp.policies[1].periodSeconds: must be 1 to 1800");
    REFUSED(s->up.tolerance = -0.5, "scaleUp.tolerance: must not be negative");
#undef REFUSED
    world_init(&w, 1);
    world_external(&w, 1, 1);
    s->min_replicas = 0;
    assert_int_equal(hpa_spec_check(s, &e), 0);
    s->max_replicas = s->min_replicas = 1; // the edges of what is allowed
    s->has_behavior = true;
    struct hpa_policy edge[] = {{HPA_POLICY_PODS, 1, 1800 * NS_PER_S}, {HPA_POLICY_PODS, 1, 1}};
    s->up.policies = edge;
    s->up.stabilization_ns = s->down.stabilization_ns = 3600 * NS_PER_S;
    assert_int_equal(hpa_spec_check(s, &e), 0);
    edge[1].period_ns = 0;
    assert_int_equal(hpa_spec_check(s, &e), ERR_INVALID);
    edge[1].period_ns = 1;
    static struct hpa_metric many[LIMIT_HPA_METRICS];
    for (int i = 0; i < LIMIT_HPA_METRICS; i++) {
        many[i] = m[0];
        many[i].container = "a";
        many[i].type = i % 2 ? HPA_EXTERNAL : i % 4 ? HPA_CONTAINER_RESOURCE : HPA_PODS;
    }
    s->metrics = many;
    s->n_metrics = LIMIT_HPA_METRICS;
    assert_int_equal(hpa_spec_check(s, &e), 0);
    s->metrics = m;
    s->n_metrics = 1;
    s->min_replicas = 0;
    m[0].type = HPA_OBJECT; // may have both: its type chooses
    m[0].target.has_value = true;
    m[0].target.value_milli = 1;
    s->down.tolerance = 0;
    s->has_behavior = true;
    assert_int_equal(hpa_spec_check(s, &e), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_api_servers),
        cmocka_unit_test(what_the_api_server_refuses_is_refused_with_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
