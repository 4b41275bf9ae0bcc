// SPDX-License-Identifier: Apache-2.0
/* Flags of the engine, what they come to, and how a wrong one is answered. */
#include "unit.h"

#include "base/clock.h"
#include "engine/config.h"

enum { ARENA_MAX = 1 << 20 };

// Flags, separated by blanks, to a plan.
static int plan(const char *flags, struct engine_plan *ret, struct err *e) {
    char text[512] = "engine ", *argv[32];
    int argc = 0;
    struct arena arena;
    struct engine_config c = {0};
    struct conf_outcome outcome;
    assert_int_equal(str_copy(text + 7, sizeof(text) - 7, str_from(flags)), 0);
    for (char *p = text, *word; (word = strsep(&p, " ")) != NULL;)
        if (word[0])
            argv[argc++] = word;
    argv[argc] = NULL;
    arena_init(&arena, ARENA_MAX);
    int r = conf_load(&engine_config_spec, argc, argv, &c, &arena, &outcome, e);
    r = r < 0 ? r : engine_plan_make(&c, ret, e);
    if (r == 0)
        ret->model = NULL; // of the arena, maybe
    arena_done(&arena);
    return r;
}

static void test_without_flags_it_is_a_language_model_on_one_gpu(void **state) {
    struct engine_plan p;
    assert_int_equal(plan("", &p, NULL), 0);
    assert_string_equal(p.profile.name, "llama3-8b-h100");
    assert_int_equal(p.station.kind, STATION_CONTINUOUS);
    assert_int_equal(p.station.max_queue, 256);
    assert_int_equal(p.n_gpus, 1);
    assert_int_equal(p.gpus[0], 0);
    assert_int_equal(p.load_ns, 0);
    assert_null(p.cold);
}

static void test_flags_change_the_station(void **state) {
    struct engine_plan p;
    assert_int_equal(plan("--profile llama2-70b-h100-tp4 --set max-sequences=16 --set base=10 "
                          "--gpu 7,4,5,6 --load-time 2s --max-queue 9 --seed 3",
                          &p, NULL),
                     0);
    assert_int_equal(p.station.continuous.max_sequences, 16);
    assert_true(p.station.continuous.base_s == 10e-3);
    assert_int_equal(p.station.max_queue, 9);
    assert_int_equal(p.station.seed, 3);
    assert_int_equal(p.n_gpus, 4);
    assert_int_equal(p.gpus[0], 7);
    assert_int_equal(p.gpus[3], 6);
    assert_int_equal(p.load_ns, 2 * NS_PER_S);
}

static void test_a_cold_start_is_drawn_from_the_seed(void **state) {
    struct engine_plan a, b, c;
    assert_int_equal(plan("--cold-start warm-node --seed 5", &a, NULL), 0);
    assert_int_equal(plan("--cold-start warm-node --seed 5", &b, NULL), 0);
    assert_int_equal(plan("--cold-start warm-node --seed 6", &c, NULL), 0);
    assert_true(a.load_ns > 0);
    assert_string_equal(a.cold->name, "warm-node");
    assert_int_equal(a.load_ns, b.load_ns);
    assert_int_not_equal(a.load_ns, c.load_ns);
}

static void test_wrong_flags_are_told_with_what_is_allowed(void **state) {
    static const struct {
        const char *flags, *message;
    } cases[] = {
        {"--profile llama", "flag --profile: there is no profile 'llama'"},
        {"--set tempo=1", "flag --set: there is no such coefficient 'tempo'"},
        {"--set base=x", "flag --set: base: found 'x'"},
        {"--gpu 0,1", "flag --gpu: profile llama3-8b-h100 works on 1 GPU, 2 are named"},
        {"--gpu x", "flag --gpu: found 'x', expected up to 16 indexes below 256 such as 0,1"},
        {"--gpu 256", "flag --gpu: found '256'"},
        {"--profile llama2-70b-h100-tp4 --gpu 1,2,3,1", "GPU 1 is named twice in '1,2,3,1'"},
        {"--cpu gpu", "flag --cpu: there is no CPU cost 'gpu'; there are openai, none"},
        {"--cold-start slow", "flag --cold-start: there is no cold start 'slow'"},
        {"--cold-start warm-node --load-time 1s", "give one of them"},
        {"--max-queue 0", "max-queue"},
        {"--max-queue 5000", "max-queue"},
        {"--load-time -1s", "load-time"},
        {"--seed -1", "seed"},
        {"stray", "stray"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_plan p;
        struct err e = {0};
        assert_true(plan(cases[i].flags, &p, &e) < 0);
        if (!strstr(e.msg, cases[i].message))
            fail_msg("%s: %s", cases[i].flags, e.msg);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_flags_it_is_a_language_model_on_one_gpu),
        cmocka_unit_test(test_flags_change_the_station),
        cmocka_unit_test(test_a_cold_start_is_drawn_from_the_seed),
        cmocka_unit_test(test_wrong_flags_are_told_with_what_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
