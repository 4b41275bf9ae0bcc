// SPDX-License-Identifier: Apache-2.0
/* KEDA's loop: from and to zero, idle, cooldown, pause, fallback, cached metrics, formulas. */
#include "unit.h"

#include "base/clock.h"
#include "keda_unit.h"

static struct keda_formula *formula(struct str text) {
    static const char *const names[] = {"gpu", "queue"};
    struct keda_formula *f;
    assert_int_equal(keda_formula_parse(&f, text, names, 2, NULL), 0);
    return f;
}

static const struct keda_sample quiet[2] = {{0}, {0}};
static const struct keda_sample busy[2] = {{.value = 80, .active = true}, {.value = 0}};
static const struct keda_sample broken[2] = {{.failed = true}, {.value = 0}};

static struct keda_verdict poll(const struct keda_object *o, struct keda_state *s,
                                const struct keda_sample *samples, int32_t replicas, double at_s) {
    struct keda_target t = {.replicas = replicas, .ready = replicas};
    struct keda_verdict v;
    keda_poll(o, s, samples, &t, (int64_t)(at_s * NS_PER_S), &v);
    return v;
}

static void one_active_trigger_wakes_from_zero(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_verdict v = poll(&o, &s, quiet, 0, 1);
    assert_int_equal(v.step, KEDA_STAYS);
    v = poll(&o, &s, busy, 0, 31);
    assert_int_equal(v.step, KEDA_ACTIVATES);
    assert_int_equal(v.scale_to, 1);
    assert_int_equal(v.active_triggers, 1);
    o.min_replicas = 3;
    v = poll(&o, &s, busy, 0, 61);
    assert_int_equal(v.scale_to, 3);
    v = poll(&o, &s, busy, 3, 91);
    assert_int_equal(v.scale_to, KEDA_UNSET);
}

static void to_zero_after_the_cooldown_since_it_was_last_active(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    poll(&o, &s, busy, 2, 100);
    struct keda_verdict v = poll(&o, &s, quiet, 2, 400);
    assert_int_equal(v.step, KEDA_COOLS_DOWN);
    assert_string_equal(v.active_reason, "ScalerCooldown");
    v = poll(&o, &s, quiet, 2, 400.5);
    assert_int_equal(v.step, KEDA_DEACTIVATES);
    assert_int_equal(v.scale_to, 0);
}

static void never_active_waits_the_initial_cooldown_from_creation(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    o.created_ns = 1000 * NS_PER_S;
    o.initial_cooldown_ns = 60 * NS_PER_S;
    assert_int_equal(poll(&o, &s, quiet, 2, 1060).step, KEDA_COOLS_DOWN);
    assert_int_equal(poll(&o, &s, quiet, 2, 1060.5).step, KEDA_DEACTIVATES);
}

static void idle_and_minimum(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    o.min_replicas = 2;
    assert_int_equal(poll(&o, &s, quiet, 1, 1).scale_to, 2); // raised, though inactive
    assert_int_equal(poll(&o, &s, quiet, 5, 2).step, KEDA_STAYS);
    o.idle_replicas = 0;
    assert_int_equal(poll(&o, &s, quiet, 5, 3).scale_to, 0);
    assert_int_equal(poll(&o, &s, quiet, 0, 4).step, KEDA_STAYS);
    assert_int_equal(poll(&o, &s, busy, 0, 5).scale_to, 2);
    assert_int_equal(poll(&o, &s, busy, 1, 6).scale_to, 2);
}

static void pauses_and_forced_activation(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    o.annotations.scale_out_paused = true;
    assert_int_equal(poll(&o, &s, busy, 0, 1).step, KEDA_SCALE_OUT_PAUSED);
    assert_false(s.active_known);
    o = object();
    o.annotations.scale_in_paused = true;
    assert_int_equal(poll(&o, &s, quiet, 4, 1000).step, KEDA_SCALE_IN_PAUSED);
    o = object();
    o.annotations.force_activation = true;
    assert_int_equal(poll(&o, &s, quiet, 0, 1001).scale_to, 1);
    o.annotations.paused = true;
    assert_int_equal(poll(&o, &s, quiet, 4, 2000).step, KEDA_IS_PAUSED);
    assert_int_equal(poll(&o, &s, quiet, 4, 2001).scale_to, KEDA_UNSET);
    o.annotations.paused_replicas = 7;
    assert_int_equal(poll(&o, &s, quiet, 4, 2002).scale_to, 7);
    assert_int_equal(poll(&o, &s, quiet, 7, 2003).scale_to, KEDA_UNSET);
}

static void an_error_never_scales_to_zero_unless_the_fallback_is_zero(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_verdict v = poll(&o, &s, broken, 2, 1000);
    assert_int_equal(v.step, KEDA_TRIGGER_ERROR);
    assert_int_equal(v.ready, KEDA_NOT_READY);
    o.fallback = (struct keda_fallback){.set = true, .failure_threshold = 99, .replicas = 4};
    assert_int_equal(poll(&o, &s, broken, 2, 1001).step, KEDA_AWAITS_FALLBACK);
    o.fallback.replicas = 0;
    assert_int_equal(poll(&o, &s, broken, 2, 1002).scale_to, 0);
}

static void a_partial_error_leaves_the_last_active_time(void **state) {
    (void)state;
    static const struct keda_sample half[2] = {{.value = 80, .active = true}, {.failed = true}};
    struct keda_object o = object();
    struct keda_state s = {0};
    poll(&o, &s, busy, 1, 10);
    struct keda_verdict v = poll(&o, &s, half, 1, 50);
    assert_int_equal(v.ready, KEDA_READY_UNKNOWN);
    assert_string_equal(v.ready_reason, "PartialTriggerError");
    assert_int_equal(s.last_active_ns, 10 * NS_PER_S);
}

static void fallback_values_ask_for_the_wanted_replicas(void **state) {
    (void)state;
    static const struct {
        enum keda_fallback_behavior behavior;
        enum keda_metric_type type;
        int32_t current, ready;
        int64_t milli; // -1: it fails
    } rows[] = {
        {KEDA_FALLBACK_STATIC, KEDA_AVERAGE_VALUE, 9, 9, 4 * 55000},
        {KEDA_FALLBACK_CURRENT, KEDA_AVERAGE_VALUE, 9, 1, 9 * 55000},
        {KEDA_FALLBACK_CURRENT_IF_HIGHER, KEDA_AVERAGE_VALUE, 9, 1, 9 * 55000},
        {KEDA_FALLBACK_CURRENT_IF_HIGHER, KEDA_AVERAGE_VALUE, 3, 1, 4 * 55000},
        {KEDA_FALLBACK_CURRENT_IF_LOWER, KEDA_AVERAGE_VALUE, 9, 1, 4 * 55000},
        {KEDA_FALLBACK_CURRENT_IF_LOWER, KEDA_AVERAGE_VALUE, 3, 1, 3 * 55000},
        {KEDA_FALLBACK_STATIC, KEDA_VALUE, 9, 2, 2 * 55000},
        {KEDA_FALLBACK_STATIC, KEDA_VALUE, 9, 0, -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct keda_trigger t = two[0];
        struct keda_object o = object();
        struct keda_state s = {0};
        struct keda_answer a;
        struct keda_target target = {.replicas = rows[i].current, .ready = rows[i].ready};
        t.type = rows[i].type;
        o.triggers = &t;
        o.n_triggers = 1;
        o.fallback = (struct keda_fallback){
            .set = true, .failure_threshold = 2, .replicas = 4, .behavior = rows[i].behavior};
        for (int n = 1; n <= 2; n++) {
            keda_answer(&o, &s, broken, &target, 0, &a);
            assert_int_equal(a.refusal, KEDA_SCALER_ERROR); // not above the threshold yet
        }
        keda_answer(&o, &s, broken, &target, 0, &a);
        if (rows[i].milli < 0) {
            assert_int_equal(a.refusal, KEDA_SCALER_ERROR);
            continue;
        }
        assert_int_equal(a.refusal, KEDA_ANSWERED);
        assert_true(a.from_fallback);
        assert_int_equal(a.milli, rows[i].milli);
        keda_answer(&o, &s, quiet, &target, 0, &a);
        assert_int_equal(s.failures[0], 0); // one success ends it
    }
}

static void an_active_fallback_wakes_from_zero(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    o.fallback = (struct keda_fallback){.set = true, .failure_threshold = 1, .replicas = 4};
    assert_int_equal(poll(&o, &s, broken, 0, 1).step, KEDA_AWAITS_FALLBACK);
    struct keda_verdict v = poll(&o, &s, broken, 0, 31);
    assert_true(v.fallback);
    assert_int_equal(v.scale_to, 1);
}

static void a_missing_spec_spoils_the_other_triggers_answer(void **state) {
    (void)state;
    static const struct keda_sample lost[2] = {{.spec_failed = true}, {.value = 30}};
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_target t = {.replicas = 1};
    struct keda_answer a;
    keda_answer(&o, &s, lost, &t, 1, &a);
    assert_int_equal(a.refusal, KEDA_SCALER_ERROR);
    keda_answer(&o, &s, busy, &t, 1, &a);
    assert_int_equal(a.refusal, KEDA_ANSWERED);
    assert_int_equal(s.failures[0], 0); // and is never counted (kedacore/keda#8056)
}

static void cached_metrics_are_those_of_the_last_poll(void **state) {
    (void)state;
    struct keda_trigger t = two[0];
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_target target = {.replicas = 1};
    struct keda_answer a;
    t.cached = true;
    o.triggers = &t;
    o.n_triggers = 1;
    keda_answer(&o, &s, quiet, &target, 0, &a); // before the first poll: asked live
    assert_int_equal(a.milli, 0);
    poll(&o, &s, busy, 1, 1);
    keda_answer(&o, &s, quiet, &target, 0, &a);
    assert_int_equal(a.milli, 80000);
    poll(&o, &s, broken, 1, 31);
    keda_answer(&o, &s, quiet, &target, 0, &a);
    assert_int_equal(a.refusal, KEDA_SCALER_ERROR);
}

static void polling_uses_what_the_hpa_saw_where_the_hpa_alone_scales(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_target t = {.replicas = 2, .hpa_active = true};
    struct keda_answer a;
    struct keda_verdict v;
    assert_false(keda_uses_hpa_observations(&o));
    o.min_replicas = 1;
    assert_true(keda_uses_hpa_observations(&o));
    keda_answer(&o, &s, busy, &t, 0, &a);
    keda_answer(&o, &s, busy, &t, 1, &a);
    keda_poll(&o, &s, quiet, &t, NS_PER_S, &v);
    assert_true(v.active);
    t.hpa_active = false; // then it asks itself
    keda_poll(&o, &s, quiet, &t, 2 * NS_PER_S, &v);
    assert_false(v.active);
}

static void a_push_activates_at_once_and_polls_come_at_their_interval(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_verdict v;
    assert_true(keda_poll_due(&s, 0));
    poll(&o, &s, quiet, 0, 10);
    assert_false(keda_poll_due(&s, 40 * NS_PER_S - 1));
    assert_true(keda_poll_due(&s, 40 * NS_PER_S));
    keda_push(&o, &s, 1, 0, 11 * NS_PER_S, &v);
    assert_int_equal(v.scale_to, 1);
    assert_int_equal(v.active_triggers, 2);
}

static void under_a_formula_only_its_value_activates(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_formula *f = formula(STR("gpu/80 + queue"));
    struct keda_answer a;
    struct keda_target t = {.replicas = 1};
    o.modifiers = (struct keda_modifiers){
        .formula = f, .target = STR("2"), .activation_target = STR("1")};
    assert_int_equal(keda_object_check(&o, NULL), 0);
    assert_int_equal(poll(&o, &s, busy, 0, 1).step, KEDA_STAYS); // 1 is not above 1
    static const struct keda_sample more[2] = {{.value = 81}, {0}};
    assert_int_equal(poll(&o, &s, more, 0, 2).step, KEDA_ACTIVATES);
    keda_answer(&o, &s, more, &t, KEDA_COMPOSITE, &a);
    assert_int_equal(a.milli, 1012); // cut, not rounded
    // An error makes it inactive, and with a target that is no integer there is no fallback.
    o.fallback = (struct keda_fallback){.set = true, .replicas = 3};
    o.modifiers.target = STR("0.8");
    assert_int_equal(poll(&o, &s, broken, 0, 3).step, KEDA_AWAITS_FALLBACK);
    assert_int_equal(s.failures[0], 0);
    o.modifiers.target = STR("2");
    keda_answer(&o, &s, broken, &t, KEDA_COMPOSITE, &a);
    assert_int_equal(a.milli, 3 * 2000);
    keda_formula_free(f);
}

static void a_formula_can_stand_in_for_a_trigger_that_fails(void **state) {
    (void)state;
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_formula *f = formula(STR("(gpu ?? 40) / 10"));
    struct keda_answer a;
    struct keda_target t = {.replicas = 1};
    o.modifiers = (struct keda_modifiers){.formula = f, .target = STR("2")};
    o.fallback = (struct keda_fallback){
        .set = true, .failure_threshold = 1, .replicas = 3, .behavior = KEDA_FALLBACK_MODIFIERS};
    keda_answer(&o, &s, broken, &t, KEDA_COMPOSITE, &a);
    assert_int_equal(a.refusal, KEDA_SCALER_ERROR);
    keda_answer(&o, &s, broken, &t, KEDA_COMPOSITE, &a);
    assert_int_equal(a.refusal, KEDA_ANSWERED);
    assert_int_equal(a.milli, 4000);
    keda_formula_free(f);
}

// Its cached value bears the composite's name, not the trigger's (found by tests/e2e/keda).
static void a_cached_fallback_is_nil_to_the_formula(void **state) {
    (void)state;
    struct keda_trigger t = two[0];
    struct keda_object o = object();
    struct keda_state s = {0};
    struct keda_formula *f = formula(STR("(gpu ?? 40) / 10"));
    struct keda_target target = {.replicas = 1};
    struct keda_answer a;
    t.cached = true;
    o.triggers = &t;
    o.n_triggers = 1;
    o.modifiers = (struct keda_modifiers){.formula = f, .target = STR("2")};
    o.fallback = (struct keda_fallback){.set = true, .replicas = 3};
    poll(&o, &s, broken, 1, 1); // falls back to 3 x 2
    keda_answer(&o, &s, busy, &target, KEDA_COMPOSITE, &a);
    assert_int_equal(a.refusal, KEDA_ANSWERED);
    assert_int_equal(a.milli, 4000);
    poll(&o, &s, busy, 1, 31);
    keda_answer(&o, &s, busy, &target, KEDA_COMPOSITE, &a);
    assert_int_equal(a.milli, 8000);
    keda_formula_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_active_trigger_wakes_from_zero),
        cmocka_unit_test(to_zero_after_the_cooldown_since_it_was_last_active),
        cmocka_unit_test(never_active_waits_the_initial_cooldown_from_creation),
        cmocka_unit_test(idle_and_minimum),
        cmocka_unit_test(pauses_and_forced_activation),
        cmocka_unit_test(an_error_never_scales_to_zero_unless_the_fallback_is_zero),
        cmocka_unit_test(a_partial_error_leaves_the_last_active_time),
        cmocka_unit_test(fallback_values_ask_for_the_wanted_replicas),
        cmocka_unit_test(an_active_fallback_wakes_from_zero),
        cmocka_unit_test(a_missing_spec_spoils_the_other_triggers_answer),
        cmocka_unit_test(cached_metrics_are_those_of_the_last_poll),
        cmocka_unit_test(polling_uses_what_the_hpa_saw_where_the_hpa_alone_scales),
        cmocka_unit_test(a_push_activates_at_once_and_polls_come_at_their_interval),
        cmocka_unit_test(under_a_formula_only_its_value_activates),
        cmocka_unit_test(a_formula_can_stand_in_for_a_trigger_that_fails),
        cmocka_unit_test(a_cached_fallback_is_nil_to_the_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
