// SPDX-License-Identifier: Apache-2.0
/* Exporters scraped over loopback: addresses that come and go, failures told once, targets' forms.
 */
#include <arpa/inet.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "source/exporters.h"
#include "web/fake_http.h"
#include "web/turn.h"

struct world {
    uv_loop_t loop;
    struct exporters *x;
    int gpu_calls, removed, failures, recovered, resolve_failed, resolve_again;
    int failure;
    char uuid[64], url[128];
    // The injected resolver.
    struct sockaddr_storage answer[4];
    size_t n_answer;
    bool answer_fails;
    int lookups;
};

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    struct world *w = ctx;
    w->gpu_calls++;
    snprintf(w->uuid, sizeof(w->uuid), "%s", g->uuid);
}
static void on_removed(void *ctx, const char *node, const char *uuid, void *user) {
    ((struct world *)ctx)->removed++;
}
static void on_failure(void *ctx, const char *key, int failure, const struct err *why) {
    struct world *w = ctx;
    w->failures++;
    w->failure = failure;
    snprintf(w->url, sizeof(w->url), "%s", key);
    print_message("# %s\n", why->msg);
}
static void on_recovered(void *ctx, const char *key) {
    ((struct world *)ctx)->recovered++;
}
static void on_resolve(void *ctx, const char *target, const struct err *why) {
    struct world *w = ctx;
    w->resolve_failed += why != NULL;
    w->resolve_again += why == NULL;
}

struct lookup {
    struct net_timer *timer;
    struct world *w;
    void (*done)(void *arg, const struct sockaddr_storage *addresses, size_t n,
                 const struct err *why);
    void *arg;
};

static void answer(void *ctx) {
    struct lookup *l = ctx;
    struct err why = {0};
    net_timer_stop(&l->timer);
    if (l->w->answer_fails)
        err_set(&why, ERR_UNAVAILABLE, "no such name");
    l->done(l->arg, l->w->answer, l->w->n_answer, l->w->answer_fails ? &why : NULL);
    free(l);
}

static int lookup_start(void *ctx, uv_loop_t *loop, const char *host,
                        void (*done)(void *arg, const struct sockaddr_storage *addresses, size_t n,
                                     const struct err *why),
                        void *arg, void **ret_request, struct err *e) {
    struct world *w = ctx;
    struct lookup *l = calloc(1, sizeof(*l));
    *l = (struct lookup){.w = w, .done = done, .arg = arg};
    w->lookups++;
    assert_int_equal(net_timer_start(&l->timer, loop, NS_PER_MS, 0, answer, l, e), 0);
    *ret_request = l;
    return 0;
}

static void lookup_cancel(void *ctx, void *request) {
    struct lookup *l = request;
    net_timer_stop(&l->timer);
    free(l);
}

static int set_up(void **state) {
    static struct agents_resolver resolver;
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    uv_loop_init(&w->loop);
    resolver = (struct agents_resolver){lookup_start, lookup_cancel, w};
    struct exporters_options o = {.loop = &w->loop,
                                  .interval_ns = 100 * NS_PER_MS,
                                  .resolve_interval_ns = 500 * NS_PER_MS,
                                  .forget_ns = 2 * NS_PER_S,
                                  .seed = unit_seed(),
                                  .resolver = &resolver,
                                  .gpu = on_gpu,
                                  .gpu_removed = on_removed,
                                  .failure = on_failure,
                                  .recovered = on_recovered,
                                  .resolve = on_resolve,
                                  .ctx = w};
    assert_int_equal(exporters_new(&w->x, &o, &e), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    exporters_free(w->x);
    net_loop_drain_close(&w->loop);
    free(w);
    return 0;
}

static void add_address(struct world *w, const char *ip) {
    struct sockaddr_in *in = (struct sockaddr_in *)&w->answer[w->n_answer++];
    *in = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, ip, &in->sin_addr), 1);
}

static void set_target(struct world *w, const char *text) {
    struct err e = {0};
    if (exporters_set_targets(w->x, &text, 1, &e) < 0)
        fail_msg("%s", e.msg);
}

static void serve_text(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "200 OK", "Content-Type: text/plain; version=0.0.4\r\n", ctx))
        continue;
}

static char page[] = "DCGM_FI_DEV_GPU_UTIL{UUID=\"GPU-1\",namespace=\"ns\",pod=\"p\"} 5\n";

static bool told(void *ctx) {
    return ((struct world *)ctx)->gpu_calls > 0;
}
static bool one_target(void *ctx) {
    return exporters_stats(((struct world *)ctx)->x).scrape.targets == 1;
}
static bool one_removed(void *ctx) {
    return ((struct world *)ctx)->removed == 1;
}
static bool failed_thrice(void *ctx) {
    return exporters_stats(((struct world *)ctx)->x).scrape.failures[SCRAPE_NOTHING] >= 3;
}
static bool lookup_failed_twice(void *ctx) {
    return exporters_stats(((struct world *)ctx)->x).resolve_failures >= 2;
}
static bool looked_up_again(void *ctx) {
    return ((struct world *)ctx)->resolve_again == 1;
}
static bool failed(void *ctx) {
    return ((struct world *)ctx)->failures > 0;
}

static void a_names_addresses_are_read_each_and_gone_ones_forgotten(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, page, NULL);
    char text[64];
    add_address(w, "127.0.0.1");
    add_address(w, "127.0.0.2"); // nobody listens there
    snprintf(text, sizeof(text), "exporters.test:%u", s->port);
    set_target(w, text);
    TURN_UNTIL(&w->loop, told, w);
    assert_string_equal(w->uuid, "GPU-1");
    TURN_UNTIL(&w->loop, failed, w);
    assert_int_equal(w->failure, FETCH_CONNECT);
    assert_non_null(strstr(w->url, "http://127.0.0.2:"));
    struct exporters_stats stats = exporters_stats(w->x);
    assert_int_equal(stats.scrape.targets, 2);
    assert_int_equal(stats.gpus, 1);
    // The page's address is given no more: its GPU stays until it is forgotten.
    w->answer[0] = w->answer[1];
    w->n_answer = 1;
    TURN_UNTIL(&w->loop, one_target, w);
    assert_int_equal(exporters_stats(w->x).gpus, 1);
    assert_int_equal(w->removed, 0);
    TURN_UNTIL(&w->loop, one_removed, w);
    fake_http_stop(s);
}

static void a_failing_page_is_told_once_and_when_it_is_good_again(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, (char[]){"nothing 1\n"}, NULL);
    char text[64];
    snprintf(text, sizeof(text), "http://127.0.0.1:%u/x?token=secret", s->port);
    set_target(w, text);
    TURN_UNTIL(&w->loop, failed_thrice, w);
    assert_int_equal(w->failures, 1);
    assert_int_equal(w->failure, SCRAPE_NOTHING);
    assert_int_equal(w->lookups, 0); // a literal address
    assert_non_null(strstr(s->conns[0].request, "GET /x?token=secret "));
    assert_non_null(strstr(w->url, "/x"));
    assert_null(strstr(w->url, "secret"));
    fake_http_stop(s);
}

static void a_name_that_fails_is_told_once_and_keeps_its_addresses(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_text, page, NULL);
    char text[64];
    add_address(w, "127.0.0.1");
    snprintf(text, sizeof(text), "exporters.test:%u", s->port);
    set_target(w, text);
    TURN_UNTIL(&w->loop, told, w);
    w->answer_fails = true;
    TURN_UNTIL(&w->loop, lookup_failed_twice, w);
    assert_int_equal(w->resolve_failed, 1);
    assert_int_equal(exporters_stats(w->x).scrape.targets, 1);
    w->answer_fails = false;
    TURN_UNTIL(&w->loop, looked_up_again, w);
    fake_http_stop(s);
}

static void a_target_says_what_is_wrong_with_it(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"dcgm.svc", "HOST:PORT"},        {":9400", "host is missing"},
        {"dcgm.svc:0", "port 0"},         {"unix:/run/x", "no unix sockets"},
        {"ftp://dcgm.svc/", "only http"}, {"http://u:p@dcgm.svc/", "user and password"},
        {"http://", "not a URL"},
    };
    static const char *const good[] = {"dcgm.svc:9400",
                                       "10.0.0.1:9400",
                                       "[::1]:9400",
                                       "http://dcgm.svc/metrics",
                                       "https://[::1]:9400/x?y=z",
                                       "http://dcgm.svc"};
    struct err e = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(exporters_target_check(bad[i].text, &e) < 0);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].text, e.msg);
        e = (struct err){0};
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(exporters_target_check(good[i], &e), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_names_addresses_are_read_each_and_gone_ones_forgotten),
        T(a_failing_page_is_told_once_and_when_it_is_good_again),
        T(a_name_that_fails_is_told_once_and_keeps_its_addresses),
        T(a_target_says_what_is_wrong_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
