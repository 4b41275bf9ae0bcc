// SPDX-License-Identifier: Apache-2.0
/* Queries over loopback: what is asked, what is told, what goes on undisturbed. (The real server is
 * asked in tests/integration/test_prometheus.py.) */
#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "source/prometheus.h"
#include "web/fake_http.h"
#include "web/turn.h"

struct world {
    uv_loop_t loop;
    struct prometheus *p;
    int told;
    char key[32], why[600];
    struct signal_external x;
};

struct answer {
    const char *status, *body;
    char seen[600]; // the last form
};

static void on_told(void *ctx, const char *key, const struct signal_external *x, const char *why) {
    struct world *w = ctx;
    w->told++;
    w->x = *x;
    snprintf(w->key, sizeof(w->key), "%s", key);
    snprintf(w->why, sizeof(w->why), "%s", why);
}

static bool told(void *ctx) {
    return ((struct world *)ctx)->told > 0;
}

static void serve(struct fake_conn *c, void *ctx) {
    struct answer *a = ctx;
    while (fake_request(c)) {
        char form[600] = "";
        const char *length = strstr(c->request, "Content-Length: ");
        size_t n = length ? strtoul(length + 16, NULL, 10) : 0;
        for (size_t got = 0; got < n && got < sizeof(form) - 1;) {
            ssize_t more = fake_read(c, form + got, n - got);
            if (more <= 0)
                return;
            got += (size_t)more;
        }
        snprintf(a->seen, sizeof(a->seen), "%.30s %s", c->request, form);
        if (!fake_answer(c, a->status, "Content-Type: application/json\r\n", a->body))
            return;
    }
}

static void open_world(struct world *w, const char *url, int64_t lookback_ns) {
    struct err e = {0};
    memset(w, 0, sizeof(*w));
    uv_loop_init(&w->loop);
    struct prometheus_server server = {.name = "main",
                                       .url = url,
                                       .interval_ns = 100 * NS_PER_MS,
                                       .timeout_ns = 5 * NS_PER_S,
                                       .lookback_ns = lookback_ns};
    struct prometheus_options o = {
        .loop = &w->loop, .servers = &server, .n_servers = 1, .seed = 1, .told = on_told, .ctx = w};
    assert_int_equal(prometheus_new(&w->p, &o, &e), 0);
}

static void close_world(struct world *w) {
    prometheus_free(w->p);
    net_loop_drain_close(&w->loop);
}

#define VALUE(v)                                                                                   \
    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"      \
    "\"value\":[1,\"" v "\"]}]}}"

static void each_answer_is_told(void **state) {
    (void)state;
    static const struct {
        const char *status, *body;
        enum external_state state;
        const char *why;
    } rows[] = {
        {"200 OK", VALUE("7.5"), EXTERNAL_GOOD, ""},
        {"200 OK", VALUE("NaN"), EXTERNAL_NAN, "the query gives NaN"},
        {"400 Bad Request",
         "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:2: parse error\"}",
         EXTERNAL_REFUSED, "bad_data: 1:2: parse error"},
        {"401 Unauthorized", "go away", EXTERNAL_REFUSED, "who we are is not enough"},
        {"503 Busy", "", EXTERNAL_REFUSED, "answered status 503"},
        {"200 OK", "up 1\n", EXTERNAL_NO_ANSWER, "not JSON"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        struct answer a = {.status = rows[i].status, .body = rows[i].body};
        struct fake_http *s = fake_http_start(serve, &a, NULL);
        char url[64];
        struct err e = {0};
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/prefix/", s->port);
        open_world(&w, url, 0);
        struct prometheus_query q = {.key = "k", .text = "sum(a)"};
        int64_t before = clock_mono_ns();
        assert_int_equal(prometheus_set_queries(w.p, &q, 1, &e), 0);
        TURN_UNTIL(&w.loop, told, &w);
        assert_string_equal(w.key, "k");
        assert_int_equal(w.x.state, rows[i].state);
        if (!strstr(w.why, rows[i].why) || (rows[i].state == EXTERNAL_GOOD) != (w.why[0] == '\0'))
            fail_msg("\"%s\" does not say \"%s\"", w.why, rows[i].why);
        if (rows[i].state == EXTERNAL_GOOD)
            assert_true(w.x.value == 7.5 && w.x.at_ns >= before && w.x.at_ns <= clock_mono_ns());
        else
            assert_true(w.x.at_ns == SIGNAL_TIME_UNKNOWN);
        assert_non_null(strstr(a.seen, "POST /prefix/api/v1/query "));
        assert_non_null(strstr(a.seen, " query=sum%28a%29&timeout=5.000"));
        close_world(&w);
        fake_http_stop(s);
    }
}

static void nobody_there_is_no_answer(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    open_world(&w, "http://127.0.0.1:1", 0);
    struct prometheus_query q = {.key = "k", .text = "a"};
    assert_int_equal(prometheus_set_queries(w.p, &q, 1, &e), 0);
    TURN_UNTIL(&w.loop, told, &w);
    assert_int_equal(w.x.state, EXTERNAL_NO_ANSWER);
    assert_non_null(strstr(w.why, "cannot connect"));
    assert_int_equal(prometheus_stats(w.p, 0).failing, 1);
    close_world(&w);
}

static void a_set_that_changes_leaves_the_rest_alone(void **state) {
    (void)state;
    struct world w;
    struct answer a = {.status = "200 OK", .body = VALUE("1")};
    struct fake_http *s = fake_http_start(serve, &a, NULL);
    char url[64];
    struct err e = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", s->port);
    open_world(&w, url, 90 * NS_PER_S);
    struct prometheus_query q[] = {{.key = "one", .text = "a"}, {.key = "two", .text = "b"}};
    assert_int_equal(prometheus_set_queries(w.p, q, 2, &e), 0);
    assert_int_equal(prometheus_stats(w.p, 0).targets, 2);
    assert_int_equal(prometheus_set_queries(w.p, q + 1, 1, &e), 0);
    assert_int_equal(prometheus_stats(w.p, 0).targets, 1);
    TURN_UNTIL(&w.loop, told, &w);
    assert_string_equal(w.key, "two");
    assert_non_null(strstr(a.seen, "query=b&timeout=5.000&lookback_delta=90.000"));
    assert_int_equal(prometheus_set_queries(w.p, NULL, 0, &e), 0);
    assert_int_equal(prometheus_stats(w.p, 0).targets, 0);
    close_world(&w);
    fake_http_stop(s);
}

static void a_wrong_server_is_told_by_its_name(void **state) {
    (void)state;
    uv_loop_t loop;
    struct prometheus *p = NULL;
    struct err e = {0};
    uv_loop_init(&loop);
    struct prometheus_server servers[] = {
        {.name = "good", .url = "http://a", .interval_ns = NS_PER_S, .timeout_ns = NS_PER_S},
        {.name = "bad",
         .url = "http://b",
         .interval_ns = NS_PER_S,
         .timeout_ns = NS_PER_S,
         .auth = {.bearer_file = "/no/such/token"}}};
    struct prometheus_options o = {
        .loop = &loop, .servers = servers, .n_servers = 2, .told = on_told};
    assert_int_equal(prometheus_new(&p, &o, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, "bad: /no/such/token: cannot be opened"));
    assert_null(p);
    assert_int_equal(prometheus_url_check("http://p:9090/prometheus", &e), 0);
    assert_int_equal(prometheus_url_check("http://p/api/v1/query", &e), ERR_INVALID);
    assert_int_equal(prometheus_url_check("http://p?x=1", &e), ERR_INVALID);
    assert_int_equal(prometheus_url_check("ftp://p", &e), ERR_INVALID);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_is_told),
        cmocka_unit_test(nobody_there_is_no_answer),
        cmocka_unit_test(a_set_that_changes_leaves_the_rest_alone),
        cmocka_unit_test(a_wrong_server_is_told_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
