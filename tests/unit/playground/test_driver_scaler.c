// SPDX-License-Identifier: Apache-2.0
/* KEDA's client of an external scaler: what it asks, what it takes, what it does about failures. */
#include "fake_scaler.h"

#include "playground/driver_scaler.h"

#define SPEED 20.0 // a call has 3 s
#define FAST 200.0 // 0.3 s, and streams are retried after 10 ms

static const char *const metadata[][2] = {{"engine", "vllm"}, {NULL, NULL}};

struct world {
    uv_loop_t loop;
    struct fake_scaler fake;
    struct driver_scaler *scaler;
    int answered, pushed;
    struct keda_sample sample;
    double target;
    char metric_name[64], error[ERR_MSG_MAX];
};

static void on_answered(void *ctx, const struct driver_scaler_answer *a) {
    struct world *w = ctx;
    w->answered++;
    w->sample = a->sample;
    w->target = a->target;
    snprintf(w->metric_name, sizeof(w->metric_name), "%s", a->metric_name);
    snprintf(w->error, sizeof(w->error), "%s", a->error ? a->error : "");
}

static void on_pushed(void *ctx) {
    ((struct world *)ctx)->pushed++;
}

static void open_client(struct world *w, double speed) {
    struct driver_scaler_options o = {.addr = w->fake.addr,
                                      .namespace_ = "team",
                                      .name = "llm",
                                      .metadata = metadata,
                                      .speed = speed,
                                      .pushed = on_pushed,
                                      .ctx = w};
    assert_int_equal(driver_scaler_new(&w->scaler, &w->loop, &o, NULL), 0);
}

static void world_init(struct world *w, double speed) {
    *w = (struct world){.fake = {.target = 1, .value = 3, .active = true}};
    uv_loop_init(&w->loop);
    fake_open(&w->fake, &w->loop, "127.0.0.1:0");
    open_client(w, speed);
}

static void world_done(struct world *w) {
    w->scaler = driver_scaler_free(w->scaler);
    fake_close(&w->fake, &w->loop);
    net_loop_drain_close(&w->loop);
}

static void ask(struct world *w) {
    int before = w->answered;
    assert_true(driver_scaler_ask(w->scaler, DRIVER_ASKER_HPA, on_answered, w));
    assert_false(driver_scaler_ask(w->scaler, DRIVER_ASKER_HPA, on_answered, w));
    assert_int_equal(w->answered, before); // never from inside
    RUN_UNTIL(&w->loop, w->answered == before + 1);
}

// While it backs off, questions fail at once.
static void ask_until_answered(struct world *w) {
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    do {
        ask(w);
        assert_true(clock_mono_ns() < end_ns);
    } while (w->sample.failed);
}

static void it_asks_as_keda_does(void **state) {
    struct world w;
    world_init(&w, SPEED);
    ask(&w);
    assert_string_equal(w.fake.name, "llm");
    assert_string_equal(w.fake.namespace_, "team");
    assert_string_equal(w.fake.key, "engine");
    assert_string_equal(w.fake.text, "vllm");
    assert_string_equal(w.fake.metric_name, "desired-replicas"); // without "s0-"
    assert_float_equal(w.sample.value, 3, 0);
    assert_true(w.sample.active);
    assert_false(w.sample.failed || w.sample.spec_failed || w.sample.empty);
    assert_float_equal(w.target, 1, 0);
    assert_string_equal(w.metric_name, "desired-replicas");
    assert_string_equal(w.error, "");
    world_done(&w);
}

// external_scaler.go: a float above 0 goes before the integer.
static void the_float_counts_when_it_is_above_zero(void **state) {
    static const struct {
        int64_t value;
        bool has_float;
        double value_float, read;
    } cases[] = {{7, true, 2.5, 2.5},
                 {7, true, 0, 7},
                 {7, true, -2.5, 7},
                 {7, false, 0, 7},
                 {0, true, -2.5, 0}};
    struct world w;
    world_init(&w, SPEED);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.fake.value = cases[i].value;
        w.fake.has_float = cases[i].has_float;
        w.fake.value_float = cases[i].value_float;
        ask(&w);
        assert_float_equal(w.sample.value, cases[i].read, 0);
    }
    world_done(&w);
}

// Which calls a failure costs is KEDA's own count (reference: observed with v2.20.2).
static void each_half_is_tried_once_more(void **state) {
    static const struct {
        int fail_specs, fail_metrics, fail_actives;
        int specs, metrics, actives;
        bool spec_failed, failed;
    } cases[] = {
        {0, 0, 0, 1, 1, 1, false, false}, {1, 0, 0, 2, 1, 1, false, false},
        {2, 0, 0, 2, 0, 0, true, true},   {0, 1, 0, 1, 2, 1, false, false},
        {0, 2, 0, 1, 2, 0, false, true},  {0, 0, 1, 1, 2, 2, false, false},
        {0, 0, 2, 1, 2, 2, false, true},  {1, 1, 0, 2, 2, 1, false, false},
    };
    struct world w;
    world_init(&w, SPEED);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.fake.specs = w.fake.metrics = w.fake.actives = 0;
        w.fake.fail_specs = cases[i].fail_specs;
        w.fake.fail_metrics = cases[i].fail_metrics;
        w.fake.fail_actives = cases[i].fail_actives;
        ask(&w);
        assert_int_equal(w.fake.specs, cases[i].specs);
        assert_int_equal(w.fake.metrics, cases[i].metrics);
        assert_int_equal(w.fake.actives, cases[i].actives);
        assert_int_equal(w.sample.spec_failed, cases[i].spec_failed);
        assert_int_equal(w.sample.failed, cases[i].failed);
        assert_string_equal(w.error, cases[i].failed ? "UNAVAILABLE: not now" : "");
        assert_false(cases[i].failed && w.sample.active);
    }
    world_done(&w);
}

static void no_spec_is_a_failure_and_no_value_is_none(void **state) {
    struct world w;
    world_init(&w, SPEED);
    w.fake.no_spec = true;
    ask(&w);
    assert_true(w.sample.spec_failed);
    assert_string_equal(w.metric_name, "");
    assert_non_null(strstr(w.error, "no metric spec"));
    w.fake.no_spec = false;
    w.fake.no_value = true;
    ask(&w);
    assert_true(w.sample.empty);
    assert_false(w.sample.failed);
    world_done(&w);
}

static void true_is_pushed_on_and_false_is_not(void **state) {
    struct world w;
    world_init(&w, SPEED);
    RUN_UNTIL(&w.loop, w.fake.stream);
    fake_push(&w.fake, false);
    fake_push(&w.fake, true);
    RUN_UNTIL(&w.loop, w.pushed == 1);
    ask(&w); // anything that was still on its way has come
    assert_int_equal(w.pushed, 1);
    world_done(&w);
}

static void the_stream_is_opened_again_after_any_end(void **state) {
    struct world w;
    world_init(&w, FAST);
    RUN_UNTIL(&w.loop, w.fake.stream);
    for (int i = 0; i < 4; i++) {
        struct grpc_call *c = w.fake.stream;
        w.fake.stream = NULL;
        grpc_call_finish(c, i % 2 ? GRPC_OK : GRPC_INTERNAL, "enough");
        RUN_UNTIL(&w.loop, w.fake.stream);
    }
    assert_int_equal(w.fake.streams, 5);
    world_done(&w);
}

static void a_scaler_that_restarts_is_asked_again(void **state) {
    struct world w;
    char addr[64];
    world_init(&w, FAST);
    ask(&w);
    RUN_UNTIL(&w.loop, w.fake.stream);
    snprintf(addr, sizeof(addr), "%s", w.fake.addr);
    fake_close(&w.fake, &w.loop);
    ask(&w);
    assert_true(w.sample.failed);
    assert_true(w.error[0] != '\0');
    fake_open(&w.fake, &w.loop, addr);
    ask_until_answered(&w);
    RUN_UNTIL(&w.loop, w.fake.stream);
    world_done(&w);
}

static void a_new_address_takes_over_what_was_asked(void **state) {
    struct world w;
    world_init(&w, 1);
    w.fake.hang = true;
    assert_true(driver_scaler_ask(w.scaler, DRIVER_ASKER_HPA, on_answered, &w));
    RUN_UNTIL(&w.loop, w.fake.hung);
    struct fake_scaler other = {.target = 1, .value = 9, .active = true};
    fake_open(&other, &w.loop, "127.0.0.1:0");
    driver_scaler_set_addr(w.scaler, other.addr);
    RUN_UNTIL(&w.loop, w.answered == 1); // tried once more, there
    assert_false(w.sample.failed);
    assert_float_equal(w.sample.value, 9, 0);
    w.scaler = driver_scaler_free(w.scaler);
    fake_close(&other, &w.loop);
    world_done(&w);
}

static void a_scaler_that_hangs_is_given_up(void **state) {
    struct world w;
    world_init(&w, FAST);
    ask_until_answered(&w);
    w.fake.hang = true;
    w.fake.metrics = 0;
    ask(&w);
    assert_true(w.sample.failed);
    assert_int_equal(w.fake.metrics, 2);
    assert_non_null(strstr(w.error, "DEADLINE_EXCEEDED"));
    world_done(&w);
}

static void an_address_that_is_none_is_told(void **state) {
    struct world w;
    world_init(&w, SPEED);
    driver_scaler_set_addr(w.scaler, "nowhere");
    ask(&w);
    assert_true(w.sample.spec_failed);
    assert_true(w.error[0] != '\0');
    world_done(&w);
}

static void it_may_go_with_everything_in_flight(void **state) {
    struct world w;
    world_init(&w, SPEED);
    w.fake.hang = true;
    assert_true(driver_scaler_ask(w.scaler, DRIVER_ASKER_HPA, on_answered, &w));
    assert_true(driver_scaler_ask(w.scaler, DRIVER_ASKER_KEDA, on_answered, &w));
    RUN_UNTIL(&w.loop, w.fake.hung && w.fake.stream);
    w.scaler = driver_scaler_free(w.scaler);
    RUN_UNTIL(&w.loop, !w.fake.stream);
    assert_int_equal(w.answered, 0);
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_as_keda_does),
        cmocka_unit_test(the_float_counts_when_it_is_above_zero),
        cmocka_unit_test(each_half_is_tried_once_more),
        cmocka_unit_test(no_spec_is_a_failure_and_no_value_is_none),
        cmocka_unit_test(true_is_pushed_on_and_false_is_not),
        cmocka_unit_test(the_stream_is_opened_again_after_any_end),
        cmocka_unit_test(a_scaler_that_restarts_is_asked_again),
        cmocka_unit_test(a_new_address_takes_over_what_was_asked),
        cmocka_unit_test(a_scaler_that_hangs_is_given_up),
        cmocka_unit_test(an_address_that_is_none_is_told),
        cmocka_unit_test(it_may_go_with_everything_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
