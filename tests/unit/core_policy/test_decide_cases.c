// SPDX-License-Identifier: Apache-2.0
/*
 * The worked cases of the decision, by number and name, each worked by hand first. Defaults:
 * tolerance 0.05, downMargin 0.1, safety 0.3, downWindow 300 s, maxAge 30 s, rho 1. R = S / T.
 * "LLM": a continuous-batching preset with capacity 2 requests/s; "classic": an engine that does
 * one request at a time, `queue: 10`, `gpuUtilization: 55`, hence `when: all`.
 *
 * 1   S 6: R 3, 3 + 0.3 sqrt 3 = 3.52 -> 4, at zero and at once.
 * 2   S 7.8: R 3.9, 3.9 + 0.592 = 4.49 -> 5; KV 3.8 / 0.85 = 4.47 > 4 x 1.05 -> 5.
 *     At n 5 with one starting: R -> 5; 4.47 <= 5.25 is no breach: 5 again.
 * 3   KV 0.98 + 9 x 0.1 = 1.88; / 0.85 = 2.2 <= 10.5: quiet. S 16.4: R 8.2 + 0.859 -> 10.
 * 4   S 0.8: R 0.4 + 0.19 -> 1 when the seed, 8, is 300 s old. GPU 100 saturates, queue 0.
 * 5   No capacity signal.
 * 6   39 x 70 = 2730; / 60 = 45.5 > 42 -> 46, whatever the lost one shows.
 * 7   3 x 30 = 90; / 10 = 9 > 4.2. Known S 6.6: R 3.3 + 0.545 -> 4. The largest: 9.
 * 8   S 76: R 38 + 1.85 = 39.85 -> 40; never clamped here.
 * 9   Four take all of S 6.6: R 3.3 -> 4. The six that drain, queue 30 each, count nowhere:
 *     they would make 180 / 10 = 18.
 * 10  Queue 80 / 10 = 8 > 4.2; GPU 80 / 55 = 1.45 <= 4.2: `all` is false. Down, 80 / 49.5 -> 2,
 *     is withheld while the queue is breached: 4.
 * 11  2398 / 55 = 43.6 > 42 -> 44; 44 / 40 = 1.1 is inside the HPA's tolerance: told.
 * 12  R 2.5 + 0.474 -> 3, R 8 + 0.849 -> 9. A rate is a window's, here 10 s: the spike lasts that
 *     long, and the down-window takes it at its next sample (15 s). The seed, 10, leaves before.
 * 13  S 18: R 9 + 0.9 -> 10 = spec; status 11: 9.001.
 * 14  Queue 4 > 2.1 and GPU 190 / 55 = 3.45 > 2.1: max(4, ceil 3.45) = 4.
 * 15  Queue 4 > 2.1, GPU 60 / 55 = 1.09 <= 2.1: false. Down 60 / 49.5 -> 2: 2.
 * 16  120 / 49.5 = 2.42 -> 3 when the seed, 6, is 300 s old.
 * 17  S 14 on two pods: R 7 + 0.794 -> 8; six start: 8.
 * 18  R 4.2 + 0.615 -> 5. Pages stop: 5 while the last is not older than 30 s, then UNAVAILABLE.
 * 19  Demand lost at zero: inactive, no error.
 * 20  Three running: active.
 * 21  One pod starts, demand known and 0: active for 2 x 420 s.
 * 22  S 12.4: R 6.2 + 0.747 -> 7; told: 3.
 * 23  Known S 2: R 1 -> 2. The two silent ones may hold a replica's capacity each: R 3 + 0.52 -> 4.
 *     Of four pods: 4 stands. Of six, four known: down to 4, not to 2.
 */
#include "lab.h"

// What is checked after the phase's seconds; fields of 0 and NULL are not, but `desired` is always.
struct expect {
    int desired;
    double publish;
    int active; // 1, -1: inactive
    bool unavailable;
    uint32_t notices;
    const char *says; // in the sentence
};

struct phase {
    int seconds; // ticks
    int spec, status;
    struct lab_group groups[LAB_GROUPS];
    struct lab_demand demand;
    double burst; // requests that arrive at once, on pod 0
    struct expect expect;
};

struct decision_case {
    int number;
    const char *name;
    const char *metadata;
    const char *error; // binding fails with it
    struct phase phases[4];
};

#define LLM "engine=vllm;capacity=2"
#define CLASSIC "engine=custom;queue=10;gpuUtilization=55"
#define READY(n, ...)                                                                              \
    { .count = (n), .state = POD_READY, __VA_ARGS__ }
#define STARTING(n)                                                                                \
    { .count = (n), .state = POD_STARTING }
#define ARRIVALS (1u << DEMAND_REQUESTS_TOTAL)

static const struct decision_case cases[] = {
    {1, "at zero the gateway's rate sizes at once", LLM ";demand=gateway",
     .phases = {{1, .demand = {ARRIVALS, .rate = 6},
                 .expect = {4, .publish = 4, .active = 1, .says = "demand 6/s at 2/s each"}}}},
    {2, "starting pods are counted, so nothing compounds", LLM ";kvCache=0.85;coldStart=180s",
     .phases = {{1, 4, 4, {READY(4, .rate = 1.95, .kv = 0.95)}, .expect = {5}},
                {170, 5, 5, {READY(4, .rate = 1.95, .kv = 0.95), STARTING(1)}, .expect = {5}}}},
    {3, "one hot replica is routing, not replicas", LLM ";kvCache=0.85",
     .phases = {{1,
                 10,
                 10,
                 {READY(1, .rate = 1.64, .kv = 0.98), READY(9, .rate = 1.64, .kv = 0.1)},
                 .expect = {10, .notices = NOTICE_HOT_POD,
                            .says = "Pod pod-0 alone has kvCache 0.98"}}}},
    {4, "a stream on each of eight all night: one is enough after the window",
     LLM ";queue=10;gpuUtilization=60",
     .phases = {{300, 8, 8, {READY(8, .rate = 0.1, .running = 1, .gpu_pct = 100)}, .expect = {8}},
                {1,
                 8,
                 8,
                 {READY(8, .rate = 0.1, .running = 1, .gpu_pct = 100)},
                 .expect = {1, .publish = 0.001, .active = 1}}}},
    {5, "queue alone is refused", "engine=custom;queue=10", .error = "no capacity signal"},
    {6, "one lost agent of forty blocks nothing", "engine=custom;gpuUtilization=60",
     .phases = {{1,
                 40,
                 40,
                 {READY(39, .gpu_pct = 70), READY(1, .never = true)},
                 .expect = {46, .says = "1 of 40 pods unknown"}}}},
    {7, "a hung engine at the peak does not hold", LLM ";queue=10",
     .phases = {{40,
                 4,
                 4,
                 {READY(1, .lost = true), READY(3, .rate = 2.2, .queue = 30)},
                 .expect = {9, .says = "queue 90 or more at 10 each is breached (needs 9)"}}}},
    {8, "the maximum is the HPA's to say", LLM,
     .phases = {{1, 10, 10, {READY(10, .rate = 7.6)}, .expect = {40, .publish = 40}}}},
    {9, "draining pods count nowhere", LLM ";queue=10",
     .phases = {{1, 4, 10, {READY(10, .rate = 0.66, .running = 2)}, .expect = {4}},
                {200,
                 4,
                 4,
                 {READY(4, .rate = 1.65, .running = 5),
                  {.count = 6, .state = POD_TERMINATING, .running = 10, .queue = 30}},
                 .expect = {4, .says = "queue 0 at 10 each is quiet"}}}},
    {10, "a guard that `when` holds back is told, and withholds lowering", CLASSIC,
     .phases = {{119, 4, 4, {READY(4, .queue = 20, .gpu_pct = 20)}, .expect = {4}},
                {2,
                 4,
                 4,
                 {READY(4, .queue = 20, .gpu_pct = 20)},
                 .expect = {4, .notices = NOTICE_GUARD_GATED,
                            .says = "queue 80 at 10 each needs 8 of 4, gpuUtilization 80% at 55% "
                                    "each needs 1.45 of 4"}}}},
    {11, "a raise that the HPA's default tolerance swallows is told",
     "engine=custom;gpuUtilization=55",
     .phases = {{1,
                 40,
                 40,
                 {READY(40, .gpu_pct = 59.95)},
                 .expect = {44, .publish = 44, .notices = NOTICE_TOLERANCE,
                            .says = "From 40 to 44 is within the HPA's default tolerance"}}}},
    {12, "a spike stands until it is 300 s old", LLM ";rateWindow=10s",
     .phases = {{99, 10, 10, {READY(10, .rate = 0.5)}, .expect = {10}},
                {301, 10, 10, {READY(10, .rate = 0.5)}, .burst = 110, .expect = {9}},
                {12, 10, 10, {READY(10, .rate = 0.5)}, .expect = {3}}}},
    {13, "a surge pod during a rollout does not ratchet", LLM,
     .phases =
         {{1, 10, 11, {READY(10, .rate = 1.8), STARTING(1)}, .expect = {10, .publish = 9.001}}}},
    {14, "both breached: the larger", CLASSIC,
     .phases = {{1, 2, 2, {READY(2, .queue = 20, .gpu_pct = 95)}, .expect = {4}}}},
    {15, "only the queue breached: nothing, as was promised", CLASSIC,
     .phases = {{1, 2, 2, {READY(2, .queue = 20, .gpu_pct = 30)}, .expect = {2}}}},
    {16, "down by GPU activity, after the window", CLASSIC,
     .phases = {{300, 6, 6, {READY(6, .gpu_pct = 20)}, .expect = {6, .says = "3 wanted now"}},
                {1, 6, 6, {READY(6, .gpu_pct = 20)}, .expect = {3}}}},
    {17, "starting pods are replicas", LLM,
     .phases = {{1, 8, 8, {READY(2, .rate = 7), STARTING(6)}, .expect = {8}}}},
    {18, "every page lost: the last decision, then UNAVAILABLE", LLM,
     .phases = {{1, 5, 5, {READY(5, .rate = 1.68)}, .expect = {5}},
                {29, 5, 5, {READY(5, .rate = 1.68, .lost = true)}, .expect = {5}},
                {11,
                 5,
                 5,
                 {READY(5, .rate = 1.68, .lost = true)},
                 .expect = {5, .active = 1, .unavailable = true,
                            .says = "requestRate (5 of 5 pods unknown)"}}}},
    {19, "everything lost at zero: inactive, no error", LLM ";demand=gateway",
     .phases = {{100, .demand = {ARRIVALS, .lost = true},
                 .expect = {0, .active = -1, .notices = NOTICE_ZERO_UNKNOWN}}}},
    {20, "three long generations keep it active", LLM ";demand=gateway",
     .phases = {{400, 1, 1, {READY(1, .running = 3)}, {ARRIVALS}, .expect = {1, .active = 1}}}},
    {21, "a start of 420 s is waited for", LLM ";demand=gateway;coldStart=420s",
     .phases = {{774, 1, 1, {STARTING(1)}, {ARRIVALS}, .expect = {1, .active = 1}},
                {1, 1, 1, {STARTING(1)}, {ARRIVALS}, .expect = {0, .active = -1}}}},
    {22, "observe tells the present count", LLM ";mode=observe",
     .phases = {{1,
                 3,
                 3,
                 {READY(3, .rate = 12.4 / 3)},
                 .expect = {7, .publish = 3,
                            .says = "Observing only: the autoscaler is told the present 3."}}}},
    {23, "two silent pods count as full ones downward", LLM,
     .phases = {{400,
                 4,
                 4,
                 {READY(2, .rate = 1), READY(2, .never = true)},
                 .expect = {4, .says = "2 of 4 pods unknown, 2 never told it"}}}},
    {23, "two silent pods of six: down to what they may hold", LLM,
     .phases = {{400, 6, 6, {READY(4, .rate = 0.5), READY(2, .never = true)}, .expect = {4}}}},
};

static void check(const struct lab *l, const struct expect *e, const char *what) {
    const struct record *r = &l->r;
    const char *sentence = lab_sentence(r);
    if (r->desired != e->desired || (r->state == DECISION_UNAVAILABLE) != e->unavailable)
        fail_msg("%s: %d wanted, got: %s", what, e->desired, sentence);
    if (e->publish > 0 && (r->publish < e->publish - 1e-9 || r->publish > e->publish + 1e-9))
        fail_msg("%s: published %g, not %g", what, r->publish, e->publish);
    if (e->active && r->active != (e->active > 0))
        fail_msg("%s: active is %d because %s", what, r->active, active_reason_name(r->activity));
    if ((r->notices & e->notices) != e->notices)
        fail_msg("%s: notices 0x%x, wanted 0x%x: %s", what, r->notices, e->notices, sentence);
    if (e->says && !strstr(sentence, e->says))
        fail_msg("%s: the sentence does not say \"%s\": %s", what, e->says, sentence);
}

static void run_case(const struct decision_case *c) {
    struct lab l;
    char what[128];
    lab_open(&l, c->metadata);
    for (size_t i = 0; i < COUNT_OF(c->phases) && c->phases[i].seconds; i++) {
        const struct phase *p = &c->phases[i];
        snprintf(what, sizeof(what), "case %d (%s), phase %zu", c->number, c->name, i + 1);
        l.spec = p->spec;
        l.status = p->status;
        l.demand = p->demand;
        lab_pods(&l, p->groups);
        l.pods[0].finished += p->burst;
        if (i == 0)
            lab_warm(&l, 65);
        lab_run(&l, p->seconds);
        check(&l, &p->expect, what);
    }
    lab_close(&l);
}

static void the_worked_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct decision_case *c = &cases[i];
        printf("# case %d: %s\n", c->number, c->name);
        if (!c->error) {
            run_case(c);
            continue;
        }
        struct trigger *t = NULL;
        struct err e = {0};
        assert_int_equal(lab_bind(&t, c->metadata, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, c->error));
        assert_null(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_worked_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
