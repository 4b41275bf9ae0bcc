// SPDX-License-Identifier: Apache-2.0
/* Demand sources over loopback: selectors are summed, what no series matches is unknown. */
#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "source/demand.h"
#include "web/fake_http.h"
#include "web/turn.h"

struct world {
    uv_loop_t loop;
    struct demand *demand;
    int samples, failures, gaps, failure;
    uint32_t missing;
    char text[1024], error[ERR_MSG_MAX], name[32];
    struct demand_sample sample;
};

static void on_sample(void *ctx, const char *name, const struct demand_sample *sample,
                      int64_t requested_at_ns) {
    struct world *w = ctx;
    w->samples++;
    w->sample = *sample;
    snprintf(w->name, sizeof(w->name), "%s", name);
    assert_true(requested_at_ns > 0);
}
static void on_failure(void *ctx, const char *name, int failure, const struct err *why) {
    struct world *w = ctx;
    w->failures++;
    w->failure = failure;
    snprintf(w->error, sizeof(w->error), "%s", why->msg);
}
static void on_gaps(void *ctx, const char *name, uint32_t missing, uint32_t bad, const char *text) {
    struct world *w = ctx;
    w->gaps++;
    w->missing = missing;
    snprintf(w->text, sizeof(w->text), "%s", text);
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    uv_loop_init(&w->loop);
    struct demand_options o = {.loop = &w->loop,
                               .seed = 1,
                               .sample = on_sample,
                               .failure = on_failure,
                               .gaps = on_gaps,
                               .ctx = w};
    assert_int_equal(demand_new(&w->demand, &o, &e), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    demand_free(w->demand);
    net_loop_drain_close(&w->loop);
    free(w);
    return 0;
}

static void serve(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_answer(c, "200 OK", "", ctx))
        continue;
}
static bool sampled(void *ctx) {
    return ((struct world *)ctx)->samples > 0;
}
static bool failed(void *ctx) {
    return ((struct world *)ctx)->failures > 0;
}

static void matching_series_are_summed_and_what_is_not_there_is_unknown(void **state) {
    static const char page[] = "gateway_requests_total{service=\"chat\",code=\"200\"} 40\n"
                               "gateway_requests_total{service=\"chat\",code=\"503\"} 2\n"
                               "gateway_requests_total{service=\"other\",code=\"200\"} 100\n"
                               "gateway_waiting{service=\"chat\"} 0\n";
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve, (void *)(uintptr_t)page, NULL);
    char url[64];
    struct err e = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/metrics", s->port);
    struct demand_source d = {.name = "gateway",
                              .url = url,
                              .rule.selector = {"gateway_requests_total{service=\"chat\"}",
                                                "gateway_waiting{service=\"chat\"}",
                                                "gateway_inflight"},
                              .interval_ns = 100 * NS_PER_MS};
    assert_int_equal(demand_set_sources(w->demand, &d, 1, &e), 0);
    TURN_UNTIL(&w->loop, sampled, w);
    assert_string_equal(w->name, "gateway");
    assert_float_equal(w->sample.v[DEMAND_REQUESTS_TOTAL], 42, 0);
    assert_true(SAMPLE_HAS(&w->sample, DEMAND_WAITING)); // a known zero
    assert_float_equal(w->sample.v[DEMAND_WAITING], 0, 0);
    assert_false(SAMPLE_HAS(&w->sample, DEMAND_INFLIGHT));
    assert_int_equal(w->gaps, 1);
    assert_int_equal(w->missing, 1u << DEMAND_INFLIGHT);
    assert_non_null(strstr(w->text, "inflight (gateway_inflight)"));
    // The same again: nothing restarts, the gap is not told again.
    w->samples = 0;
    assert_int_equal(demand_set_sources(w->demand, &d, 1, &e), 0);
    TURN_UNTIL(&w->loop, sampled, w);
    assert_int_equal(w->gaps, 1);
    assert_int_equal(s->connections, 1);
    // Another selector is another source.
    w->samples = 0;
    d.rule.selector[DEMAND_INFLIGHT] = NULL;
    assert_int_equal(demand_set_sources(w->demand, &d, 1, &e), 0);
    TURN_UNTIL(&w->loop, sampled, w);
    assert_int_equal(w->missing, 1u << DEMAND_INFLIGHT); // told once, of the first
    fake_http_stop(s);
}

static void a_gateway_that_is_gone_is_a_failure_not_zero_demand(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve, NULL, NULL);
    char url[64];
    struct err e = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    fake_http_stop(s);
    struct demand_source d = {.name = "gateway",
                              .url = url,
                              .rule.selector[DEMAND_WAITING] = "w",
                              .interval_ns = 100 * NS_PER_MS};
    assert_int_equal(demand_set_sources(w->demand, &d, 1, &e), 0);
    TURN_UNTIL(&w->loop, failed, w);
    assert_int_equal(w->failure, FETCH_CONNECT);
    assert_int_equal(w->samples, 0);
    assert_int_equal(demand_stats(w->demand).failing, 1);
}

static void sources_that_cannot_be_are_refused_with_their_place(void **state) {
    struct world *w = *state;
    static const struct {
        struct demand_source d;
        const char *says;
    } cases[] = {
        {{.name = "g", .url = "http://h/", .rule.selector[DEMAND_WAITING] = "a{b=}"},
         "demand g: waiting"},
        {{.name = "g", .url = "http://h/", .rule.selector[DEMAND_INFLIGHT] = "a{b=~\"x\"}"},
         "demand g: inflight"},
        {{.name = "g", .url = "http://h/"}, "at least one of"},
        {{.name = "g", .url = "http://h/", .rule.preset = "envoy"}, "demand g: preset envoy needs"},
        {{.name = "g", .url = "h/", .rule.selector[DEMAND_WAITING] = "a"}, "g"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = {0};
        assert_true(demand_set_sources(w->demand, &cases[i].d, 1, &e) < 0);
        print_message("# %s\n", e.msg);
        assert_non_null(strstr(e.msg, cases[i].says));
    }
    assert_int_equal(demand_stats(w->demand).targets, 0);
}

static void every_failed_allocation_leaves_the_old_sources(void **state) {
    struct world *w = *state;
    struct demand_source d[] = {
        {.name = "a", .url = "http://127.0.0.1:1/", .rule.selector[DEMAND_WAITING] = "w{x=\"y\"}"},
        {.name = "b", .url = "http://127.0.0.1:1/", .rule.selector[DEMAND_WAITING] = "w"},
    };
    struct err e = {0};
    assert_int_equal(demand_set_sources(w->demand, d, 1, &e), 0);
    for (long i = 1;; i++) {
        mem_fail_from(i);
        int r = demand_set_sources(w->demand, d, 2, &e);
        mem_fail_never();
        assert_int_equal(demand_stats(w->demand).targets, r == 0 ? 2 : 1);
        if (r == 0)
            break;
        assert_true(i < 200);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(matching_series_are_summed_and_what_is_not_there_is_unknown),
        T(a_gateway_that_is_gone_is_a_failure_not_zero_demand),
        T(sources_that_cannot_be_are_refused_with_their_place),
        T(every_failed_allocation_leaves_the_old_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
