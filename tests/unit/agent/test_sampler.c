// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <poll.h>
#include <unistd.h>

#include "agent/sampler.h"
#include "base/clock.h"
#include "gpu/recording.h"

static const int64_t deadline_ns = 20 * NS_PER_S;

static struct agent_sampler *start(const char *source, int64_t interval_ns, const char *record) {
    struct agent_sampler *s = NULL;
    struct err e = {0};
    struct agent_sampler_options o = {
        .source = source, .interval_ns = interval_ns, .record = record};
    if (agent_sampler_start(&s, &o, &e))
        fail_msg("%s", e.msg);
    return s;
}

// The next round; the test fails when none comes.
static struct agent_round *next(struct agent_sampler *s) {
    int64_t end_ns = clock_mono_ns() + deadline_ns;
    for (;;) {
        agent_sampler_wake_clear(s);
        struct agent_round *r = agent_sampler_take(s);
        if (r)
            return r;
        struct pollfd p = {.fd = agent_sampler_wake_fd(s), .events = POLLIN};
        poll(&p, 1, 100);
        if (clock_mono_ns() > end_ns)
            fail_msg("no round came");
    }
}

static void drop(struct agent_sampler *s, enum agent_round_kind kind) {
    struct agent_round *r = next(s);
    assert_int_equal(r->kind, kind);
    agent_round_free(r);
}

static void test_rounds_come_in_order_and_the_first_enumerates(void **state) {
    struct agent_sampler *s = start("sim:3,steady", 10 * NS_PER_MS, NULL);
    drop(s, AGENT_ROUND_OPENED);
    int64_t before_ns = 0;
    for (int i = 0; i < 5; i++) {
        struct agent_round *r = next(s);
        assert_int_equal(r->kind, AGENT_ROUND_SAMPLED);
        assert_int_equal(r->enumerated, i == 0);
        assert_int_equal(r->n_samples, 3);
        assert_true(r->begun_ns > before_ns && r->ended_ns >= r->begun_ns);
        before_ns = r->begun_ns;
        agent_round_free(r);
    }
    assert_true(agent_sampler_stop(s, deadline_ns));
}

static void test_a_source_that_does_not_open_is_the_last_word(void **state) {
    struct agent_sampler *s = start("sim:x", NS_PER_S, NULL);
    struct agent_round *r = next(s);
    assert_int_equal(r->kind, AGENT_ROUND_FAILED);
    assert_int_equal(r->failure.code, ERR_INVALID);
    assert_non_null(strstr(r->failure.msg, "GPU source sim"));
    agent_round_free(r);
    assert_true(agent_sampler_stop(s, deadline_ns));
}

static void test_a_source_that_fails_for_good_says_so_once(void **state) {
    char path[] = "/tmp/gpuscale-sampler-XXXXXX";
    const char text[] = "time_s,gpu,uuid,power_w\n0,0,GPU-a,70\n0.5,0,,71\n";
    char spec[96];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    snprintf(spec, sizeof spec, "replay:%s,end=stop", path);
    struct agent_sampler *s = start(spec, 10 * NS_PER_MS, NULL);
    drop(s, AGENT_ROUND_OPENED);
    drop(s, AGENT_ROUND_SAMPLED);
    struct agent_round *r = next(s);
    while (r->kind == AGENT_ROUND_SAMPLED) {
        agent_round_free(r);
        r = next(s);
    }
    assert_int_equal(r->kind, AGENT_ROUND_FAILED);
    assert_non_null(strstr(r->failure.msg, "has ended"));
    agent_round_free(r);
    assert_true(agent_sampler_stop(s, deadline_ns));
    unlink(path);
}

static void test_a_hanging_driver_holds_only_the_thread(void **state) {
    struct agent_sampler *s = start("sim:2,hang,after=0s,for=1h,period=2h", NS_PER_MS, NULL);
    drop(s, AGENT_ROUND_OPENED);
    assert_null(agent_sampler_take(s));
    assert_false(agent_sampler_stop(s, 20 * NS_PER_MS)); // left behind, told so
}

static void test_a_lost_gpu_makes_the_sampler_enumerate_once(void **state) {
    struct agent_sampler *s = start("sim:2,lost,after=0s,for=1h", 10 * NS_PER_MS, NULL);
    drop(s, AGENT_ROUND_OPENED);
    for (int i = 0; i < 3; i++) {
        struct agent_round *r = next(s);
        assert_int_equal(r->enumerated, i < 2); // at the start, and once for the loss
        assert_int_equal(r->samples[1].state, AGENT_SAMPLE_LOST);
        assert_int_equal(r->samples[0].state, AGENT_SAMPLE_OK);
        agent_round_free(r);
    }
    assert_true(agent_sampler_stop(s, deadline_ns));
}

static void test_a_reader_that_sleeps_loses_rounds_not_gpus(void **state) {
    struct agent_sampler *s = start("sim:1,steady", NS_PER_MS, NULL);
    int64_t end_ns = clock_mono_ns() + 300 * NS_PER_MS; // 64 rounds fit into the queue
    while (clock_mono_ns() < end_ns)
        poll(NULL, 0, 20);
    drop(s, AGENT_ROUND_OPENED);
    struct agent_round *r = next(s);
    assert_true(r->enumerated);
    agent_round_free(r);
    for (int i = 0; i < 100; i++)
        drop(s, AGENT_ROUND_SAMPLED);
    assert_true(agent_sampler_stop(s, deadline_ns));
}

static void test_what_was_read_is_recorded(void **state) {
    char path[] = "/tmp/gpuscale-record-XXXXXX";
    static char text[1 << 20];
    struct err e = {0};
    struct recording *rec = NULL;
    close(mkstemp(path));
    struct agent_sampler *s = start("sim:2,steady,seed=5", 10 * NS_PER_MS, path);
    struct gpu_reading wrote = {0};
    drop(s, AGENT_ROUND_OPENED);
    struct agent_round *r = next(s);
    wrote = r->samples[1].reading;
    agent_round_free(r);
    drop(s, AGENT_ROUND_SAMPLED);
    assert_true(agent_sampler_stop(s, deadline_ns));
    FILE *f = fopen(path, "r");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    unlink(path);
    if (recording_parse(&rec, (struct str){text, n}, path, &e))
        fail_msg("%s", e.msg);
    struct gpu_reading read;
    recording_read(rec, recording_at(rec, 1, 0), &read);
    assert_int_equal(read.valid, wrote.valid);
    assert_true(read.v[GPU_POWER_W] == wrote.v[GPU_POWER_W]);
    assert_string_equal(rec->gpus[1].info.model, "NVIDIA H100 80GB HBM3");
    recording_free(rec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds_come_in_order_and_the_first_enumerates),
        cmocka_unit_test(test_a_source_that_does_not_open_is_the_last_word),
        cmocka_unit_test(test_a_source_that_fails_for_good_says_so_once),
        cmocka_unit_test(test_a_hanging_driver_holds_only_the_thread),
        cmocka_unit_test(test_a_lost_gpu_makes_the_sampler_enumerate_once),
        cmocka_unit_test(test_a_reader_that_sleeps_loses_rounds_not_gpus),
        cmocka_unit_test(test_what_was_read_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
