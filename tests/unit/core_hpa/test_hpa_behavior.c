// SPDX-License-Identifier: Apache-2.0
/* Windows, limits and policies: worked cases, and laws over random runs. */
#include "hpa_unit.h"

#include "base/random.h"

// The metric asks for exactly `wanted`.
static void want(struct world *w, int32_t wanted) {
    if (w->spec.n_metrics == 0)
        world_external(w, 0, 1000);
    w->spec.up.tolerance = w->spec.down.tolerance = 0;
    w->c.tolerance = 0;
    w->series[0][0] = (int64_t)wanted * 1000;
}

static int32_t step(struct world *w, int32_t wanted) {
    want(w, wanted);
    world_step(w);
    return w->r.desired;
}

static void expect(const struct world *w, const char *why, int32_t desired, enum hpa_reason able,
                   enum hpa_reason limited) {
    const struct hpa_condition *c = w->r.conditions;
    if (w->r.desired != desired || (able && c[HPA_ABLE_TO_SCALE].reason != able) ||
        c[HPA_SCALING_LIMITED].reason != limited)
        fail_msg("%s: %d, %s, %s", why, w->r.desired, hpa_reason_name(c[HPA_ABLE_TO_SCALE].reason),
                 hpa_reason_name(c[HPA_SCALING_LIMITED].reason));
    assert_int_equal(c[HPA_ABLE_TO_SCALE].status, HPA_TRUE);
    assert_int_equal(c[HPA_SCALING_LIMITED].status,
                     limited == HPA_DESIRED_WITHIN_RANGE ? HPA_FALSE : HPA_TRUE);
}

static void without_behavior_it_doubles_at_most(void **state) {
    (void)state;
    static const struct {
        int32_t current, wanted, min, max, want;
        enum hpa_reason limited;
    } rows[] = {
        {1, 9, 1, 100, 4, HPA_SCALE_UP_LIMIT},     {2, 9, 1, 100, 4, HPA_SCALE_UP_LIMIT},
        {3, 9, 1, 100, 6, HPA_SCALE_UP_LIMIT},     {3, 6, 1, 100, 6, HPA_DESIRED_WITHIN_RANGE},
        {3, 9, 1, 6, 6, HPA_TOO_MANY_REPLICAS},    {3, 9, 1, 5, 5, HPA_TOO_MANY_REPLICAS},
        {3, 5, 1, 5, 5, HPA_DESIRED_WITHIN_RANGE}, {3, 1, 2, 9, 2, HPA_TOO_FEW_REPLICAS},
        {3, 0, 1, 9, 1, HPA_TOO_FEW_REPLICAS},     {3, 3, 1, 9, 3, HPA_DESIRED_WITHIN_RANGE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, rows[i].current);
        w.c.downscale_stabilization_ns = 0;
        w.spec.min_replicas = rows[i].min;
        w.spec.max_replicas = rows[i].max;
        step(&w, rows[i].wanted);
        expect(&w, "row", rows[i].want, HPA_REASON_OTHER, rows[i].limited);
    }
}

static void the_first_count_is_the_first_recommendation(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 10);
    step(&w, 4);
    expect(&w, "held", 10, HPA_SCALE_DOWN_STABILIZED, HPA_DESIRED_WITHIN_RANGE);
    assert_int_equal(w.s.n_recommendations, 2);
    w.in.now_ns += 299 * NS_PER_S;
    step(&w, 3);
    expect(&w, "held", 10, HPA_SCALE_DOWN_STABILIZED, HPA_DESIRED_WITHIN_RANGE);
    w.in.now_ns += NS_PER_S; // the first count is older than 300 s, the 4 exactly as old
    step(&w, 1);
    expect(&w, "the highest", 4, HPA_SUCCEEDED_RESCALE, HPA_DESIRED_WITHIN_RANGE);
    assert_int_equal(w.s.n_recommendations, 3); // the outdated slot was taken
    w.in.now_ns += 1;
    step(&w, 1);
    expect(&w, "the highest", 3, HPA_SUCCEEDED_RESCALE, HPA_DESIRED_WITHIN_RANGE);
}

static void windows_of_behavior_hold_the_middle(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 5);
    w.spec.has_behavior = true;
    w.spec.up.stabilization_ns = 60 * NS_PER_S;
    w.spec.down.stabilization_ns = 120 * NS_PER_S;
    step(&w, 8);
    expect(&w, "up waits", 5, HPA_SCALE_UP_STABILIZED, HPA_DESIRED_WITHIN_RANGE);
    w.in.now_ns += 30 * NS_PER_S;
    step(&w, 7);
    expect(&w, "up waits", 5, HPA_SCALE_UP_STABILIZED, HPA_DESIRED_WITHIN_RANGE);
    w.in.now_ns += 30 * NS_PER_S;
    step(&w, 9); // 60 s: the first two are outside
    expect(&w, "the least of the window", 7, HPA_SUCCEEDED_RESCALE, HPA_DESIRED_WITHIN_RANGE);
    world_later(&w, 30);
    step(&w, 2);
    expect(&w, "down waits: nothing below 7 up to now", 7, HPA_SCALE_DOWN_STABILIZED,
           HPA_DESIRED_WITHIN_RANGE);
    world_later(&w, 120);
    step(&w, 1);
    expect(&w, "at 120 s sharp the 2 is outside", 1, HPA_SUCCEEDED_RESCALE,
           HPA_DESIRED_WITHIN_RANGE);
}

static void the_controllers_window_is_cut_to_seconds(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 5);
    w.spec.has_behavior = true;
    w.c.downscale_stabilization_ns = 1900 * NS_PER_MS;
    step(&w, 5);
    w.in.now_ns += NS_PER_S;
    assert_int_equal(step(&w, 2), 2);
    w.spec.down.stabilization_ns = 1900 * NS_PER_MS;
    w.in.spec_replicas = 5;
    w.in.now_ns += NS_PER_MS;
    step(&w, 5);
    w.in.now_ns += NS_PER_S;
    assert_int_equal(step(&w, 2), 5);
}

static void policies_limit_the_change_of_their_period(void **state) {
    (void)state;
    static const struct hpa_policy two[] = {{HPA_POLICY_PODS, 4, 60 * NS_PER_S},
                                            {HPA_POLICY_PERCENT, 10, 60 * NS_PER_S}};
    static const struct {
        int32_t current, wanted, ups, downs; // changes 30 s ago
        enum hpa_select select;
        int32_t want;
        enum hpa_reason limited;
    } rows[] = {
        {10, 30, 0, 0, HPA_SELECT_MAX, 14, HPA_SCALE_UP_LIMIT},
        {10, 30, 0, 0, HPA_SELECT_MIN, 11, HPA_SCALE_UP_LIMIT},
        {10, 30, 0, 0, HPA_SELECT_DISABLED, 10, HPA_SCALE_UP_LIMIT},
        {10, 12, 0, 0, HPA_SELECT_MAX, 12, HPA_DESIRED_WITHIN_RANGE},
        {50, 90, 0, 0, HPA_SELECT_MAX, 56, HPA_SCALE_UP_LIMIT}, // 50 x 1.1 is 55.00000000000001
        {95, 110, 0, 0, HPA_SELECT_MAX, 100, HPA_TOO_MANY_REPLICAS},
        {96, 110, 0, 6, HPA_SELECT_MIN, 100, HPA_TOO_MANY_REPLICAS}, // from 102: 106, 113
        {96, 110, 0, 0, HPA_SELECT_MIN, 100, HPA_TOO_MANY_REPLICAS}, // 100 by policy too
        {6, 0, 0, 0, HPA_SELECT_MAX, 2, HPA_TOO_FEW_REPLICAS},       // 2 by policy too
        {10, 30, 3, 0, HPA_SELECT_MAX, 11, HPA_SCALE_UP_LIMIT},      // from 7
        {10, 30, 9, 0, HPA_SELECT_MAX, 10, HPA_SCALE_UP_LIMIT},      // from 1: not below 10
        {10, 30, 3, 2, HPA_SELECT_MAX, 13, HPA_SCALE_UP_LIMIT},      // from 9
        {10, 1, 0, 0, HPA_SELECT_MAX, 6, HPA_SCALE_DOWN_LIMIT},
        {10, 1, 0, 0, HPA_SELECT_MIN, 9, HPA_SCALE_DOWN_LIMIT},
        {15, 1, 0, 0, HPA_SELECT_MIN, 13, HPA_SCALE_DOWN_LIMIT}, // 13.5 is cut
        {10, 1, 0, 0, HPA_SELECT_DISABLED, 10, HPA_SCALE_DOWN_LIMIT},
        {10, 1, 0, 3, HPA_SELECT_MAX, 9, HPA_SCALE_DOWN_LIMIT}, // from 13
        {10, 1, 0, 9, HPA_SELECT_MAX, 10, HPA_SCALE_DOWN_LIMIT},
        {5, 0, 0, 0, HPA_SELECT_MAX, 2, HPA_TOO_FEW_REPLICAS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, rows[i].current);
        w.spec.has_behavior = true;
        w.spec.min_replicas = 2;
        w.spec.down.stabilization_ns = 0;
        w.spec.up.policies = w.spec.down.policies = two;
        w.spec.up.n_policies = w.spec.down.n_policies = 2;
        w.spec.up.select = w.spec.down.select = rows[i].select;
        w.s.ups[w.s.n_ups++] = (struct hpa_scale_event){w.in.now_ns - 30 * NS_PER_S, rows[i].ups,
                                                        0};
        w.s.ups[w.s.n_ups++] = (struct hpa_scale_event){w.in.now_ns - 60 * NS_PER_S, 40, 0};
        w.s.downs[w.s.n_downs++] = (struct hpa_scale_event){w.in.now_ns - 30 * NS_PER_S,
                                                            rows[i].downs, 0};
        w.s.downs[w.s.n_downs++] = (struct hpa_scale_event){w.in.now_ns - 61 * NS_PER_S, 40, 0};
        step(&w, rows[i].wanted);
        char why[16];
        snprintf(why, sizeof(why), "row %zu", i);
        expect(&w, why, rows[i].want, HPA_REASON_OTHER, rows[i].limited);
    }
}

static void an_outdated_event_gives_its_place(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 10);
    w.spec.has_behavior = true;
    for (int i = 0; i < 4; i++) { // 15 s, a period: at its end an event is not outdated yet
        step(&w, w.in.spec_replicas + 1);
        world_later(&w, 15);
    }
    assert_int_equal(w.s.n_ups, 2);
    assert_int_equal(w.s.n_downs, 0);
    w.spec.has_behavior = false; // then none is kept
    step(&w, w.in.spec_replicas + 1);
    assert_true(w.r.rescale);
    assert_int_equal(w.s.n_ups, 2);
    assert_int_equal(w.s.forgotten, 0);
}

static void full_memory_loses_the_oldest_and_says_so(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 5);
    w.c.downscale_stabilization_ns = 3600 * NS_PER_S;
    for (int i = 0; i < LIMIT_HPA_RECOMMENDATIONS + 10; i++) {
        step(&w, i == 0 ? 8 : 5);
        w.in.spec_replicas = 8;
        w.in.now_ns += NS_PER_S;
    }
    assert_int_equal(w.s.n_recommendations, LIMIT_HPA_RECOMMENDATIONS);
    assert_int_equal(w.s.forgotten, 11); // the first count was one more
    step(&w, 5);
    assert_int_equal(w.r.stabilized, 5); // of 8 nothing is known any more
}

static void full_events_lose_the_oldest_and_say_so(void **state) {
    (void)state;
    static const struct hpa_policy slow[] = {{HPA_POLICY_PODS, 5000, 1800 * NS_PER_S}};
    static struct world w;
    world_init(&w, 1);
    w.spec.has_behavior = true;
    w.spec.max_replicas = 10000;
    w.spec.up.policies = slow;
    w.spec.up.n_policies = 1;
    for (int i = 0; i < LIMIT_HPA_SCALE_EVENTS + 3; i++) {
        step(&w, w.in.spec_replicas + 2);
        world_later(&w, 1);
    }
    assert_int_equal(w.s.n_ups, LIMIT_HPA_SCALE_EVENTS);
    assert_int_equal(w.s.forgotten, 3);
    step(&w, 9000);
    assert_int_equal(w.r.desired, 1 + 3 * 2 + 5000); // the lost three are part of the start
}

// ---- Laws
// -----------------------------------------------------------------------------------------

enum { HISTORY = 400 };

struct past {
    int64_t at_s;
    int32_t n; // recommendation, or change with its sign
};

struct model { // everything that ever was, looked through from the definitions
    struct past recommended[HISTORY], changed[HISTORY];
    size_t n_recommended, n_changed;
};

static void range(const struct model *m, int64_t since_s, int32_t *least, int32_t *most) {
    for (size_t i = 0; i < m->n_recommended; i++) {
        if (m->recommended[i].at_s <= since_s)
            continue;
        *least = m->recommended[i].n < *least ? m->recommended[i].n : *least;
        *most = m->recommended[i].n > *most ? m->recommended[i].n : *most;
    }
}

static int32_t at_start(const struct model *m, int32_t current, int64_t since_s) {
    for (size_t i = 0; i < m->n_changed; i++)
        if (m->changed[i].at_s > since_s)
            current -= m->changed[i].n;
    return current;
}

struct drawn { // rules of one run
    struct hpa_policy policies[2][3];
    int64_t window_s[2];
};

static void draw_rules(struct random *rnd, struct world *w, struct drawn *d) {
    struct hpa_rules *rules[] = {&w->spec.up, &w->spec.down};
    for (int k = 0; k < 2; k++) {
        d->window_s[k] = (int64_t)random_below(rnd, 3) * 45;
        *rules[k] = (struct hpa_rules){
            .stabilization_ns = d->window_s[k] * NS_PER_S,
            .select = random_below(rnd, 8) ? (enum hpa_select)random_below(rnd, 2)
                                           : HPA_SELECT_DISABLED,
            .policies = d->policies[k],
            .n_policies = 1 + random_below(rnd, 3),
        };
        for (size_t i = 0; i < rules[k]->n_policies; i++)
            d->policies[k][i] = (struct hpa_policy){
                random_below(rnd, 2) ? HPA_POLICY_PODS : HPA_POLICY_PERCENT,
                1 + (int32_t)random_below(rnd, random_below(rnd, 2) ? 5 : 150),
                (1 + (int64_t)random_below(rnd, 90)) * NS_PER_S};
    }
    w->spec.min_replicas = 1 + (int32_t)random_below(rnd, 3);
    w->spec.max_replicas = 4 + (int32_t)random_below(rnd, 60);
}

// What the documentation says a policy allows, by integers.
static int32_t allowed(int32_t start, const struct hpa_policy *p, bool up) {
    int64_t x = (int64_t)start * (100 + (up ? p->value : -p->value));
    if (p->type == HPA_POLICY_PODS)
        return start + (up ? p->value : -p->value);
    return (int32_t)(up ? (x + (x > 0 ? 99 : 0)) / 100 : x / 100);
}

static void check_rate(const struct world *w, const struct model *m, int64_t now_s) {
    int32_t current = w->in.spec_replicas, got = w->r.desired;
    bool up = got > current;
    const struct hpa_rules *rules = up ? &w->spec.up : &w->spec.down;
    bool one = false, all = true;
    for (size_t i = 0; i < rules->n_policies; i++) {
        const struct hpa_policy *p = &rules->policies[i];
        int32_t limit = allowed(at_start(m, current, now_s - p->period_ns / NS_PER_S), p, up);
        // A float's percent may be a replica further up, or down: 50 x 1.1 is more than 55.
        bool ok = up ? got <= limit + 1 : got >= limit - 1;
        one = one || ok;
        all = all && ok;
    }
    assert_true(rules->select != HPA_SELECT_DISABLED);
    assert_true(rules->select == HPA_SELECT_MIN ? all : one);
}

static void no_run_leaves_its_windows_limits_and_policies(void **state) {
    (void)state;
    struct random rnd;
    random_init(&rnd, unit_seed());
    unsigned moved = 0;
    for (int run = 0; run < 300; run++) {
        static struct world w;
        static struct model m;
        struct drawn d;
        world_init(&w, 5);
        w.spec.has_behavior = true;
        draw_rules(&rnd, &w, &d);
        int32_t current = w.spec.min_replicas +
                          (int32_t)random_below(
                              &rnd, (uint64_t)(w.spec.max_replicas - w.spec.min_replicas + 1));
        w.r.desired = current;
        m.n_changed = 0;
        m.n_recommended = 1;
        world_later(&w, 0);
        m.recommended[0] = (struct past){w.in.now_ns / NS_PER_S, current};
        for (int i = 0; i < 100; i++) {
            int64_t now_s = w.in.now_ns / NS_PER_S;
            int32_t wanted = (int32_t)random_below(&rnd, 70), least = wanted, most = wanted, x = 0;
            current = w.in.spec_replicas;
            step(&w, wanted);
            range(&m, now_s - d.window_s[0], &least, &x);
            x = INT32_MAX;
            range(&m, now_s - d.window_s[1], &x, &most);
            int32_t middle = current < least ? least : current;
            middle = middle > most ? most : middle;
            if (w.r.stabilized != middle)
                fail_msg("run %d step %d: %d, not %d", run, i, w.r.stabilized, middle);
            assert_true(w.r.desired >= w.spec.min_replicas && w.r.desired <= w.spec.max_replicas);
            assert_int_equal(w.r.rescale, w.r.desired != current);
            // never away from what is wanted, never beyond it
            if (w.r.rescale && w.r.desired != w.spec.min_replicas)
                assert_true(middle > current ? w.r.desired > current && w.r.desired <= middle
                                             : w.r.desired < current && w.r.desired >= middle);
            if (w.r.rescale)
                check_rate(&w, &m, now_s);
            m.recommended[m.n_recommended++] = (struct past){now_s, wanted};
            if (w.r.rescale)
                m.changed[m.n_changed++] = (struct past){now_s, w.r.desired - current};
            moved += w.r.rescale;
            world_later(&w, 1 + (int64_t)random_below(&rnd, 40));
        }
    }
    assert_true(moved > 3000); // the runs do scale
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_behavior_it_doubles_at_most),
        cmocka_unit_test(the_first_count_is_the_first_recommendation),
        cmocka_unit_test(windows_of_behavior_hold_the_middle),
        cmocka_unit_test(the_controllers_window_is_cut_to_seconds),
        cmocka_unit_test(policies_limit_the_change_of_their_period),
        cmocka_unit_test(an_outdated_event_gives_its_place),
        cmocka_unit_test(full_memory_loses_the_oldest_and_says_so),
        cmocka_unit_test(full_events_lose_the_oldest_and_say_so),
        cmocka_unit_test(no_run_leaves_its_windows_limits_and_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
