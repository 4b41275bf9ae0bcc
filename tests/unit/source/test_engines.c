// SPDX-License-Identifier: Apache-2.0
/* Engines scraped over loopback: good pages, bad pages, changes of the set. Nothing becomes zero.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "core/engine/preset.h"
#include "net/loop.h"
#include "source/engines.h"
#include "web/fake_http.h"
#include "web/turn.h"

enum { KEYS = 8 };

struct told {
    char key[32];
    int samples, failures, gaps;
    struct engine_sample sample;
    int64_t requested_at_ns, told_at_ns;
    int failure;
    char error[ERR_MSG_MAX], gap_text[4096];
    uint32_t missing, bad;
};

struct world {
    uv_loop_t loop;
    struct engines *engines;
    const struct engine_preset *vllm;
    struct told told[KEYS];
    int n;
};

static struct told *told_of(struct world *w, const char *key) {
    for (int i = 0; i < w->n; i++) {
        if (!strcmp(w->told[i].key, key))
            return &w->told[i];
    }
    assert_true(w->n < KEYS);
    snprintf(w->told[w->n].key, sizeof(w->told[0].key), "%s", key);
    return &w->told[w->n++];
}

static void on_sample(void *ctx, const char *key, const struct engine_sample *sample,
                      int64_t requested_at_ns) {
    struct told *t = told_of(ctx, key);
    t->samples++;
    t->sample = *sample;
    t->requested_at_ns = requested_at_ns;
    t->told_at_ns = clock_mono_ns();
}
static void on_failure(void *ctx, const char *key, int failure, const struct err *why) {
    struct told *t = told_of(ctx, key);
    t->failures++;
    t->failure = failure;
    snprintf(t->error, sizeof(t->error), "%s", why->msg);
}
static void on_gaps(void *ctx, const char *key, uint32_t missing, uint32_t bad, const char *text) {
    struct told *t = told_of(ctx, key);
    t->gaps++;
    t->missing = missing;
    t->bad = bad;
    snprintf(t->gap_text, sizeof(t->gap_text), "%s", text);
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    uv_loop_init(&w->loop);
    assert_int_equal(engine_preset_find(STR("vllm"), &w->vllm, &e), 0);
    struct engines_options o = {.loop = &w->loop,
                                .seed = unit_seed(),
                                .sample = on_sample,
                                .failure = on_failure,
                                .gaps = on_gaps,
                                .ctx = w};
    assert_int_equal(engines_new(&w->engines, &o, &e), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    engines_free(w->engines);
    net_loop_drain_close(&w->loop);
    free(w);
    return 0;
}

static struct engines_target target_of(struct world *w, const char *key, const char *url) {
    return (struct engines_target){
        .key = key, .url = url, .preset = w->vllm, .interval_ns = 100 * NS_PER_MS};
}

static void scrape(struct world *w, const struct fake_http *s) {
    char url[64];
    struct err e = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/metrics", s->port);
    struct engines_target t = target_of(w, "ns/pod", url);
    assert_int_equal(engines_set_targets(w->engines, &t, 1, &e), 0);
}

static bool has_sample(void *ctx) {
    return told_of(ctx, "ns/pod")->samples > 0;
}
static bool has_failure(void *ctx) {
    return told_of(ctx, "ns/pod")->failures > 0;
}

static const char page[] = "# HELP vllm:num_requests_running x\n"
                           "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3\n"
                           "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 5\n"
                           "vllm:num_requests_waiting{engine=\"1\",model_name=\"m\"} 2\n"
                           "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n";

static void serve_text(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "200 OK", "Content-Type: text/plain; version=0.0.4\r\n", ctx))
        continue;
}

static void a_page_becomes_a_sample_dated_by_the_request(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, (void *)(uintptr_t)page, NULL);
    int64_t before = clock_mono_ns();
    scrape(w, s);
    TURN_UNTIL(&w->loop, has_sample, w);
    struct told *t = told_of(w, "ns/pod");
    assert_true(SAMPLE_HAS(&t->sample, ENGINE_QUEUE));
    assert_float_equal(t->sample.v[ENGINE_QUEUE], 7, 0);
    assert_float_equal(t->sample.v[ENGINE_RUNNING], 3, 0);
    assert_float_equal(t->sample.v[ENGINE_KV_CACHE_RATIO], 0.25, 0);
    assert_true(t->requested_at_ns >= before && t->requested_at_ns <= t->told_at_ns);
    // What the page does not have is unknown and named, once.
    assert_false(SAMPLE_HAS(&t->sample, ENGINE_GENERATION_TOKENS_TOTAL));
    assert_int_equal(t->gaps, 1);
    assert_true(t->missing >> ENGINE_GENERATION_TOKENS_TOTAL & 1);
    assert_non_null(strstr(t->gap_text, "vllm:generation_tokens_total"));
    assert_non_null(strstr(s->conns[0].request, "Accept: text/plain"));
    fake_http_stop(s);
}

struct failing_case {
    const char *name, *answer;
    int failure;
    const char *says;
};

static void serve_raw(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, ((const struct failing_case *)ctx)->answer);
}

static void bad_pages_are_failures_and_never_samples(void **state) {
    static const struct failing_case cases[] = {
        {"other metrics", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nother 12\n", SCRAPE_NOTHING,
         "vllm:num_requests_waiting"},
        {"empty page", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRAPE_NOTHING, ""},
        {"garbage", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nvllm:num}\n", SCRAPE_PARSE,
         "line 1"},
        {"a number cut off where nothing proves the end",
         "HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_waiting 1", FETCH_TRUNCATED, ""},
        {"shorter than its length", "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nvllm:num_r",
         FETCH_TRUNCATED, "ended inside"},
        {"HTML without its type",
         "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n<!DOCTYPE html><html>Login</html>\r\n",
         FETCH_HTML, ""},
        {"JSON", "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"queue\": 12}\n", FETCH_HTML, ""},
        {"not UTF-8",
         "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nvllm:num_requests_waiting{model=\"\xff\"} "
         "12\n    \n",
         FETCH_HTML, "binary"},
        {"500", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", FETCH_STATUS, "500"},
        {"llama.cpp without --metrics",
         "HTTP/1.1 501 Not Implemented\r\nContent-Length: 24\r\n\r\nStart it with --metrics.",
         FETCH_STATUS, "Start it with --metrics."},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_http *s = fake_http_start(serve_raw, (void *)(uintptr_t)&cases[i], NULL);
        struct err e = {0};
        w->n = 0;
        memset(w->told, 0, sizeof(w->told));
        scrape(w, s);
        TURN_UNTIL(&w->loop, has_failure, w);
        struct told *t = told_of(w, "ns/pod");
        print_message("# %s: %s: %s\n", cases[i].name, scrape_failure_name(t->failure), t->error);
        assert_string_equal(scrape_failure_name(t->failure), scrape_failure_name(cases[i].failure));
        assert_non_null(strstr(t->error, cases[i].says));
        assert_non_null(strstr(t->error, "http://127.0.0.1:"));
        assert_int_equal(t->samples, 0);
        assert_int_equal(engines_set_targets(w->engines, NULL, 0, &e), 0);
        fake_http_stop(s);
    }
    struct scrape_stats stats = engines_stats(w->engines);
    assert_int_equal(stats.failures[FETCH_OK], 0);
    assert_int_equal(stats.targets, 0);
}

// A page whose values come and go.
struct changing {
    atomic_int which;
};
static void serve_changing(struct fake_conn *c, void *ctx) {
    static const char *const pages[] = {
        "vllm:num_requests_waiting 1\nvllm:num_requests_running 1\n",
        "vllm:num_requests_waiting 1\n",
        "vllm:num_requests_waiting NaN\nvllm:num_requests_running 1\n",
    };
    struct changing *x = ctx;
    while (fake_request(c) && fake_answer(c, "200 OK", "", pages[atomic_load(&x->which)]))
        continue;
}
static bool running_missing(void *ctx) {
    return told_of(ctx, "ns/pod")->missing >> ENGINE_RUNNING & 1;
}
static bool queue_bad(void *ctx) {
    return told_of(ctx, "ns/pod")->bad >> ENGINE_QUEUE & 1;
}
static void gaps_are_told_when_they_change_and_only_then(void **state) {
    struct world *w = *state;
    struct changing x = {0};
    struct fake_http *s = fake_http_start(serve_changing, &x, NULL);
    scrape(w, s);
    TURN_UNTIL(&w->loop, has_sample, w);
    struct told *t = told_of(w, "ns/pod");
    assert_int_equal(t->gaps, 1);
    atomic_store(&x.which, 1);
    TURN_UNTIL(&w->loop, running_missing, w);
    assert_int_equal(t->gaps, 2);
    assert_non_null(strstr(t->gap_text, "vllm:num_requests_running"));
    atomic_store(&x.which, 2);
    TURN_UNTIL(&w->loop, queue_bad, w);
    assert_int_equal(t->gaps, 3);
    assert_false(t->missing >> ENGINE_RUNNING & 1);
    assert_non_null(strstr(t->gap_text, "vllm:num_requests_waiting"));
    assert_false(SAMPLE_HAS(&t->sample, ENGINE_QUEUE));
    fake_http_stop(s);
}

static void hang(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_hang(c);
}
static bool many_samples(void *ctx) {
    return told_of(ctx, "good")->samples >= 5;
}
static void a_target_that_hangs_has_one_request_and_holds_up_no_other(void **state) {
    struct world *w = *state;
    struct fake_http *bad = fake_http_start(hang, NULL, NULL);
    struct fake_http *good = fake_http_start(serve_text, (void *)(uintptr_t)page, NULL);
    char bad_url[64], good_url[64];
    struct err e = {0};
    snprintf(bad_url, sizeof(bad_url), "http://127.0.0.1:%u/", bad->port);
    snprintf(good_url, sizeof(good_url), "http://127.0.0.1:%u/", good->port);
    struct engines_target t[] = {target_of(w, "bad", bad_url), target_of(w, "good", good_url)};
    assert_int_equal(engines_set_targets(w->engines, t, 2, &e), 0);
    TURN_UNTIL(&w->loop, many_samples, w);
    assert_int_equal(bad->requests, 1);
    assert_int_equal(engines_stats(w->engines).in_flight, 1);
    // Taking it away cancels its request and tells nothing.
    assert_int_equal(engines_set_targets(w->engines, &t[1], 1, &e), 0);
    assert_int_equal(engines_stats(w->engines).targets, 1);
    assert_int_equal(told_of(w, "bad")->failures, 0);
    fake_http_stop(bad);
    fake_http_stop(good);
}

static bool more_samples(void *ctx) {
    return told_of(ctx, "ns/pod")->samples >= 3;
}
static void an_unchanged_target_goes_on_over_its_connection(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, (void *)(uintptr_t)page, NULL);
    scrape(w, s);
    TURN_UNTIL(&w->loop, has_sample, w);
    for (int i = 0; i < 20; i++)
        scrape(w, s);
    TURN_UNTIL(&w->loop, more_samples, w);
    assert_int_equal(s->connections, 1);
    assert_int_equal(told_of(w, "ns/pod")->gaps, 1);
    fake_http_stop(s);
}

static void a_bad_set_is_refused_as_a_whole(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, (void *)(uintptr_t)page, NULL);
    struct err e = {0};
    scrape(w, s);
    struct engines_target twice[] = {target_of(w, "new", "http://h/"),
                                     target_of(w, "new", "http://h/")};
    assert_int_equal(engines_set_targets(w->engines, twice, 2, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "new: given twice"));
    struct engines_target bad[] = {target_of(w, "ns/pod", "http://h/"),
                                   target_of(w, "x/y", "ftp://h/")};
    assert_int_equal(engines_set_targets(w->engines, bad, 2, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "x/y"));
    struct engines_target tls = target_of(w, "x/y", "https://h/");
    tls.tls = true;
    assert_int_equal(engines_set_targets(w->engines, &tls, 1, &e), ERR_INVALID);
    assert_int_equal(engines_stats(w->engines).targets, 1);
    TURN_UNTIL(&w->loop, has_sample, w);
    fake_http_stop(s);
}

static void every_failed_allocation_leaves_the_old_set(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, (void *)(uintptr_t)page, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    scrape(w, s);
    struct engines_target t[] = {target_of(w, "ns/pod", url), target_of(w, "b", url),
                                 target_of(w, "c", url)};
    for (long i = 1;; i++) {
        struct err e = {0};
        mem_fail_from(i);
        int r = engines_set_targets(w->engines, t, 3, &e);
        mem_fail_never();
        assert_int_equal(engines_stats(w->engines).targets, r == 0 ? 3 : 1);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_true(i < 200);
    }
    TURN_UNTIL(&w->loop, has_sample, w);
    fake_http_stop(s);
}

static void status_of(void *ctx, const struct scrape_status *s) {
    *(struct scrape_status *)ctx = *s;
}
static void the_status_shows_target_interval_and_last_error(void **state) {
    struct world *w = *state;
    static const struct failing_case c = {
        .answer = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"};
    struct fake_http *s = fake_http_start(serve_raw, (void *)(uintptr_t)&c, NULL);
    scrape(w, s);
    TURN_UNTIL(&w->loop, has_failure, w);
    struct scrape_status status = {0};
    engines_each(w->engines, status_of, &status);
    assert_int_equal(status.failure, FETCH_STATUS);
    assert_int_equal(status.failed, told_of(w, "ns/pod")->failures);
    assert_true(status.good_at_ns == 0 && status.interval_ns == 100 * NS_PER_MS);
    assert_int_equal(engines_stats(w->engines).failing, 1);
    fake_http_stop(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_page_becomes_a_sample_dated_by_the_request),
        T(bad_pages_are_failures_and_never_samples),
        T(gaps_are_told_when_they_change_and_only_then),
        T(a_target_that_hangs_has_one_request_and_holds_up_no_other),
        T(an_unchanged_target_goes_on_over_its_connection),
        T(a_bad_set_is_refused_as_a_whole),
        T(every_failed_allocation_leaves_the_old_set),
        T(the_status_shows_target_interval_and_last_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
