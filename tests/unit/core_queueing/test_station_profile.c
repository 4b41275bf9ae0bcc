// SPDX-License-Identifier: Apache-2.0
/* Profiles: each makes a station, coefficients change as told, and GPUs do what the work asks. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "core/queueing/station_profile.h"

static struct station_profile profile(const char *name) {
    const struct station_profile *p;
    assert_int_equal(station_profile_find(str_from(name), &p, NULL), 0);
    return *p;
}

static struct station *station(const struct station_profile *p) {
    struct station_config c;
    struct station *s = NULL;
    struct err e = {0};
    station_profile_config(p, &c);
    c.max_queue = 1000;
    if (station_new(&s, &c, 0, &e) < 0)
        fail_msg("%s: %s", p->name, e.msg);
    return s;
}

static void run(struct station *s, int64_t until_ns, struct station_reading *ret) {
    struct station_event ev;
    while (station_step(s, until_ns, &ev))
        ;
    station_read(s, ret);
}

static void test_each_profile_makes_a_station_and_is_found_by_its_name(void **state) {
    for (unsigned i = 0; i < station_profiles_n; i++) {
        const struct station_profile *p = station_profiles[i], *found;
        assert_int_equal(station_profile_find(str_from(p->name), &found, NULL), 0);
        assert_ptr_equal(found, p);
        assert_true(p->gpus > 0 && p->gpu != NULL && p->model[0] && p->source[0] && p->title[0]);
        assert_true(p->memory_used_bytes > 0 && p->memory_used_bytes <= p->gpu->memory_bytes);
        assert_true(p->weights_bytes <= p->memory_used_bytes * p->gpus);
        if (p->kind == STATION_CONTINUOUS)
            assert_true((double)p->continuous.kv_tokens * p->kv_bytes_per_token +
                            p->weights_bytes <=
                        p->memory_used_bytes * p->gpus);
        station_free(station(p));
    }
}

static void test_an_unknown_name_is_answered_with_the_nearest(void **state) {
    const struct station_profile *p;
    struct err e = {0};
    assert_int_equal(station_profile_find(STR("clasic"), &p, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.msg, "no profile 'clasic'; did you mean 'classic'?; there are "
                                  "llama3-8b-h100, "));
    assert_int_equal(station_profile_find(STR("zzzzzzzz"), &p, &e), ERR_NOTFOUND);
    assert_null(strstr(e.msg, "did you mean"));
}

static void test_coefficients_change_as_told(void **state) {
    struct station_profile p = profile("llama3-8b-h100");
    static const char *const good[] = {"base=12.5",       "sequence=0.02",  "context=0.001",
                                       "prefill=0.1",     "roofline=false", "max-sequences=16",
                                       "token-budget=64", "kv-tokens=9000", "kv-reserve=true"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(station_profile_set(&p, str_from(good[i]), NULL), 0);
    const struct station_continuous *c = &p.continuous;
    assert_true(c->base_s == 12.5e-3 && c->sequence_s == 0.02e-3 && c->context_s == 0.001e-3);
    assert_true(c->prefill_s == 0.1e-3 && !c->roofline && c->kv_reserve);
    assert_int_equal(c->max_sequences, 16);
    assert_int_equal(c->token_budget, 64);
    assert_int_equal(c->kv_tokens, 9000);
    struct station_profile b = profile("batched");
    static const char *const batches[] = {"instances=2", "max-batch=4", "max-delay=2.5", "cv=0",
                                          "time=1:10,4:20"};
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        assert_int_equal(station_profile_set(&b, str_from(batches[i]), NULL), 0);
    assert_true(b.batching.instances == 2 && b.batching.max_batch == 4);
    assert_true(b.batching.max_delay_ns == 2500000 && b.batching.draw == STATION_CONSTANT);
    assert_true(b.batching.n_points == 2 && b.batching.points[1].size == 4);
    assert_true(fabs(b.batching.points[1].s - 0.020) < 1e-12);
    station_free(station(&b));
}

static void test_a_wrong_coefficient_is_named_with_what_is_allowed(void **state) {
    static const struct {
        const char *profile, *text, *message;
    } cases[] = {
        {"classic", "base=1",
         "there is no such coefficient 'base'; there are instances, max-batch, "
         "max-delay, cv, time"},
        {"classic", "tme=1:2", "did you mean 'time'?"},
        {"classic", "time=250", "time: found '250', expected SIZE:MS[,SIZE:MS...]"},
        {"classic", "time=", "time: found ''"},
        {"classic", "time=0:5", "time: found '0:5'"},
        {"classic", "time=1:-5", "time: found '1:-5'"},
        {"classic", "cv=nan", "cv: found 'nan', expected a number from 0 to 100"},
        {"classic", "cv=-1", "cv: found '-1'"},
        {"classic", "instances=0", "instances: found '0', expected a whole number from 1 on"},
        {"classic", "max-delay=1e9", "max-delay: found '1e9', expected a number of milliseconds"},
        {"llama3-8b-h100", "base", "base: found '', expected a number of milliseconds"},
        {"llama3-8b-h100", "base=fast", "base: found 'fast'"},
        {"llama3-8b-h100", "base=inf", "base: found 'inf'"},
        {"llama3-8b-h100", "roofline=yes", "roofline: found 'yes', expected true or false"},
        {"llama3-8b-h100", "kv-tokens=1.5", "kv-tokens: found '1.5'"},
        {"llama3-8b-h100", "kv-tokens=2000000000", "kv-tokens: found '2000000000'"},
        {"llama3-8b-h100", "", "there is no such coefficient ''"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct station_profile p = profile(cases[i].profile), before = p;
        struct err e = {0};
        assert_int_equal(station_profile_set(&p, str_from(cases[i].text), &e), ERR_INVALID);
        if (!strstr(e.msg, cases[i].message))
            fail_msg("%s: %s", cases[i].text, e.msg);
        assert_memory_equal(&p, &before, sizeof(p));
    }
}

static void test_a_single_sequence_reads_the_weights_once_a_step(void **state) {
    struct station_profile p = profile("llama3-8b-h100");
    struct station *s = station(&p);
    struct station_request q = {.prompt_tokens = 10, .output_tokens = 1000};
    struct station_reading before, after;
    struct station_activity a;
    uint64_t ticket;
    assert_int_equal(station_offer(s, 0, &q, &ticket), 0);
    run(s, NS_PER_S, &before);
    run(s, 3 * NS_PER_S, &after);
    station_activity(&p, &before, &after, &a);
    assert_true(a.busy_ratio > 0.999 && a.busy_ratio <= 1);
    assert_true(fabs(a.sm_ratio - 0.84) < 0.01);
    // 16.06 GB each 6.2 ms against 3.35 TB/s; two operations a parameter each 6.2 ms: next to none.
    assert_true(fabs(a.dram_ratio - 0.77) < 0.01);
    assert_true(a.tensor_ratio > 0 && a.tensor_ratio < 0.01);
    station_free(s);
}

static void test_reading_prompts_keeps_the_tensor_cores_busy(void **state) {
    struct station_profile p = profile("llama3-8b-h100");
    struct station *s = station(&p);
    struct station_request q = {.prompt_tokens = 100000, .output_tokens = 10};
    struct station_reading before, after;
    struct station_activity a;
    uint64_t ticket;
    assert_int_equal(station_offer(s, 0, &q, &ticket), 0);
    run(s, 1, &before);
    run(s, 2 * NS_PER_S, &after);
    station_activity(&p, &before, &after, &a);
    assert_true(fabs(a.tensor_ratio - 0.5) < 0.02); // what the profile assumes of prefill
    assert_true(a.dram_ratio < 0.2);
    station_free(s);
}

static void test_a_gpu_is_busy_as_long_as_its_replica_is(void **state) {
    struct station_profile p = profile("classic");
    assert_int_equal(station_profile_set(&p, STR("cv=0"), NULL), 0);
    struct station *s = station(&p);
    struct station_reading before, after;
    struct station_activity a;
    uint64_t ticket;
    run(s, 0, &before);
    assert_int_equal(station_offer(s, 0, &(struct station_request){0}, &ticket), 0);
    run(s, NS_PER_S, &after); // 250 ms of it
    station_activity(&p, &before, &after, &a);
    assert_true(fabs(a.busy_ratio - 0.25) < 1e-6);
    assert_true(fabs(a.tensor_ratio - 0.25 * 0.42) < 1e-6);
    before = after;
    run(s, 2 * NS_PER_S, &after);
    station_activity(&p, &before, &after, &a);
    assert_true(a.busy_ratio == 0 && a.sm_ratio == 0 && a.dram_ratio == 0);
    station_activity(&p, &after, &after, &a); // no time has passed: nothing is known to have run
    assert_true(a.busy_ratio == 0);
    station_free(s);
}

// Poisson arrivals of 1,000 tokens of prompt and 128 of answer; the mean time between two tokens.
static double mean_itl_ms(const struct station_profile *p, double rate, uint64_t seed) {
    struct station *s = station(p);
    struct station_request q = {.prompt_tokens = 1000, .output_tokens = 128};
    struct random r;
    struct station_event ev;
    double itl_s = 0;
    unsigned n = 0;
    random_init(&r, seed);
    for (int64_t at_ns = 0; at_ns < 120 * NS_PER_S;
         at_ns += (int64_t)(random_exponential(&r, 1 / rate) * 1e9)) {
        uint64_t ticket;
        while (station_step(s, at_ns, &ev)) {
            if (ev.kind != STATION_FINISHED)
                continue;
            itl_s += (double)(ev.at_ns - ev.first_token_ns) * 1e-9 / (ev.output_tokens - 1);
            n++;
        }
        (void)station_offer(s, at_ns, &q, &ticket);
    }
    station_free(s);
    return itl_s / n * 1e3;
}

static void test_the_default_serves_twenty_requests_a_second_and_not_forty(void **state) {
    struct station_profile p = profile("llama3-8b-h100");
    uint64_t seed = unit_seed();
    double at[] = {5, 10, 15, 20, 25, 30, 40};
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        printf("# %2.0f requests/s: %.1f ms between tokens\n", at[i], mean_itl_ms(&p, at[i], seed));
    assert_true(mean_itl_ms(&p, 5, seed) < 12);
    assert_true(mean_itl_ms(&p, 20, seed) < 100);
    assert_true(mean_itl_ms(&p, 40, seed) > 60);
}

// Prompts of 512 tokens, answers of 128, n of them at once: time between two tokens of the one
// whose prompt is read last.
static double batch_itl_ms(const struct station_profile *p, int n) {
    struct station *s = station(p);
    struct station_request q = {.prompt_tokens = 512, .output_tokens = 128};
    struct station_event ev;
    int64_t first_ns = 0, last_ns = 0;
    uint64_t ticket;
    for (int i = 0; i < n; i++)
        assert_int_equal(station_offer(s, 0, &q, &ticket), 0);
    while (station_step(s, 1000 * NS_PER_S, &ev)) {
        if (ev.kind == STATION_FINISHED && ev.first_token_ns >= first_ns) {
            first_ns = ev.first_token_ns;
            last_ns = ev.at_ns;
        }
    }
    station_free(s);
    return (double)(last_ns - first_ns) * 1e-6 / (q.output_tokens - 1);
}

static void test_token_times_are_within_an_eighth_of_the_measured_ones(void **state) {
    // Splitwise's table, medians of token_time for prompts of 512 and answers of 128 tokens.
    static const struct {
        const char *profile;
        int n;
        double measured_ms;
    } cases[] = {
        {"llama2-70b-h100-tp4", 1, 29.7},  {"llama2-70b-h100-tp4", 8, 31.4},
        {"llama2-70b-h100-tp4", 16, 32.8}, {"llama2-70b-h100-tp4", 32, 36.9},
        {"llama2-70b-h100-tp4", 64, 52.4}, {"bloom-176b-h100-tp8", 1, 36.1},
        {"bloom-176b-h100-tp8", 8, 38.1},  {"bloom-176b-h100-tp8", 16, 40.6},
        {"bloom-176b-h100-tp8", 32, 45.8}, {"bloom-176b-h100-tp8", 64, 63.8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct station_profile p = profile(cases[i].profile);
        double ms = batch_itl_ms(&p, cases[i].n);
        printf("# %s, %d at once: %.1f ms, measured %.1f\n", p.name, cases[i].n, ms,
               cases[i].measured_ms);
        assert_true(fabs(ms / cases[i].measured_ms - 1) < 0.125);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_profile_makes_a_station_and_is_found_by_its_name),
        cmocka_unit_test(test_an_unknown_name_is_answered_with_the_nearest),
        cmocka_unit_test(test_coefficients_change_as_told),
        cmocka_unit_test(test_a_wrong_coefficient_is_named_with_what_is_allowed),
        cmocka_unit_test(test_a_single_sequence_reads_the_weights_once_a_step),
        cmocka_unit_test(test_reading_prompts_keeps_the_tensor_cores_busy),
        cmocka_unit_test(test_a_gpu_is_busy_as_long_as_its_replica_is),
        cmocka_unit_test(test_token_times_are_within_an_eighth_of_the_measured_ones),
        cmocka_unit_test(test_the_default_serves_twenty_requests_a_second_and_not_forty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
