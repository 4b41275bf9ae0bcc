// SPDX-License-Identifier: Apache-2.0
/* Fetches against a server that misbehaves in every way that a scraped target can. */
#include <zlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "web/fake_http.h"
#include "web/fetch.h"
#include "web/turn.h"

enum { CAP = 64 * 1024 };

struct got {
    bool done;
    struct fetch_result result;
    char body[CAP + 1];
    size_t n;
    bool refuse;
};

static bool on_body(void *ctx, const char *p, size_t n) {
    struct got *g = ctx;
    if (g->refuse)
        return false;
    assert_true(g->n + n <= CAP);
    memcpy(g->body + g->n, p, n);
    g->n += n;
    g->body[g->n] = 0;
    return true;
}

static void on_done(void *ctx, const struct fetch_result *r) {
    struct got *g = ctx;
    assert_false(g->done);
    g->done = true;
    g->result = *r;
}

static bool is_done(void *ctx) {
    return ((struct got *)ctx)->done;
}

struct world {
    uv_loop_t loop;
    struct fetch_pool *pool;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    uv_loop_init(&w->loop);
    struct err e = {0};
    assert_int_equal(fetch_pool_new(&w->pool, &w->loop, &e), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    fetch_pool_free(w->pool);
    net_loop_drain_close(&w->loop);
    free(w);
    return 0;
}

static struct fetch_options options_of(const char *url, struct got *g) {
    return (struct fetch_options){.url = url,
                                  .connect_ms = 10000,
                                  .total_ms = 20000,
                                  .max_body_bytes = CAP,
                                  .body = on_body,
                                  .done = on_done,
                                  .ctx = g};
}

static void fetch_with(struct world *w, const struct fetch_options *o, struct got *g) {
    struct fetch *f;
    struct err e = {0};
    *g = (struct got){.refuse = g->refuse};
    assert_int_equal(fetch_start(&f, w->pool, o, &e), 0);
    assert_false(g->done); // never from inside
    TURN_UNTIL(&w->loop, is_done, g);
}

static void fetch_within(struct world *w, struct fake_http *s, uint32_t total_ms, struct got *g) {
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/metrics?token=secret", s->port);
    struct fetch_options o = options_of(url, g);
    o.total_ms = total_ms;
    fetch_with(w, &o, g);
}
static void fetch_from(struct world *w, struct fake_http *s, struct got *g) {
    fetch_within(w, s, 20000, g);
}

// What the server does, what must become of it, and what the message must say.
struct bad_case {
    const char *name;
    void (*serve)(struct fake_conn *, void *);
    enum fetch_failure failure;
    const char *says;
};

static void expect_bad(struct world *w, const struct bad_case *c) {
    struct fake_http *s = fake_http_start(c->serve, NULL, NULL);
    static struct got g;
    g.refuse = false;
    fetch_within(w, s, c->failure == FETCH_TIMEOUT ? 1000 : 20000, &g);
    print_message("# %s: %s\n", c->name, g.result.err.msg);
    assert_string_equal(fetch_failure_name(g.result.failure), fetch_failure_name(c->failure));
    assert_non_null(strstr(g.result.err.msg, c->says));
    assert_non_null(strstr(g.result.err.msg, "http://127.0.0.1:")); // where
    assert_null(strstr(g.result.err.msg, "secret"));
    assert_int_not_equal(g.result.err.code, 0);
    assert_false(g.result.complete);
    fake_http_stop(s);
}

static void never_answers(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_hang(c);
}
static void answers_2_gib_by_length(struct fake_conn *c, void *ctx) {
    if (fake_request(c) && fake_sends(c, "HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n"))
        fake_hang(c);
}
static void answers_without_end(struct fake_conn *c, void *ctx) {
    static const char block[16384] = "x 1\n";
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\n\r\n"))
        return;
    while (fake_send(c, block, sizeof(block)))
        continue;
}
static void chunks_without_end(struct fake_conn *c, void *ctx) {
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
        return;
    while (fake_sends(c, "10\r\n# HELP a b c d\n\n\r\n"))
        continue;
}
static void headers_without_end(struct fake_conn *c, void *ctx) {
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\n"))
        return;
    while (fake_sends(c, "X-Filler: 0123456789012345678901234567890123456789\r\n"))
        continue;
}
static void one_header_without_end(struct fake_conn *c, void *ctx) {
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\nX-Filler: "))
        return;
    while (fake_sends(c, "0123456789012345678901234567890123456789"))
        continue;
}
static void interim_without_end(struct fake_conn *c, void *ctx) {
    if (!fake_request(c))
        return;
    while (fake_sends(c, "HTTP/1.1 102 Processing\r\n\r\n"))
        continue;
}
static void answers_html(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "200 OK", "Content-Type: Text/HTML; charset=utf-8\r\n", "<html>"))
        continue;
}
static void redirects(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "302 Found", "Location: http://u:pw@login.test/x?token=secret\r\n", ""))
        continue;
}
static void redirects_to_itself(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "301 Moved Permanently", "Location: /metrics\r\n", "moved"))
        continue;
}
static void fails_500(struct fake_conn *c, void *ctx) {
    while (fake_request(c) &&
           fake_answer(c, "500 Internal Server Error", "", "engine\r\nis \x1b[31mdead\xff"))
        continue;
}
static void fails_500_at_length(struct fake_conn *c, void *ctx) {
    static const char block[16384] = "no";
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 500 No\r\n\r\n"))
        return;
    while (fake_send(c, block, sizeof(block)))
        continue;
}
// libcurl takes any number behind "HTTP/2", a negative one too.
static void status_below_zero(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/2 -2\r\n\r\n");
}
static void status_of_many_digits(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/2 22201502215\r\n\r\nqueue 3\n");
}
static void no_content(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.1 204 No Content\r\n\r\n");
}
static void cut_by_length(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvllm:num_requests_waiting 12");
}
static void cut_in_chunk(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nqueue 12");
}
static void cut_before_last_chunk(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nqueue 1\n\r\n");
}
static void cut_in_head(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.1 200 OK\r\nContent-Le");
}
static void closes_at_once(struct fake_conn *c, void *ctx) {
    fake_request(c);
}
static void resets(struct fake_conn *c, void *ctx) {
    struct linger now = {.l_onoff = 1};
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"))
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    int null = socket(AF_INET, SOCK_STREAM, 0);
    dup2(null, c->fd); // closes the connection with RST
    close(null);
}
static void garbage(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_send(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
}
static void bad_chunk(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(
            c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nqueue 1\n\r\n0\r\n\r\n");
}
static void bad_gzip(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_answer(c, "200 OK", "Content-Encoding: gzip\r\n", "not gzip"))
        continue;
}
static void drips(struct fake_conn *c, void *ctx) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (!fake_request(c) || !fake_sends(c, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"))
        return;
    while (fake_sends(c, "#") && poll(&p, 1, 50) == 0)
        continue;
}
// 64 MiB of zeros are some 64 KiB of gzip.
static void gzip_bomb(struct fake_conn *c, void *ctx) {
    z_stream z = {0};
    static unsigned char zeros[65536], packed[65536];
    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    bool ok = fake_request(c) &&
              fake_sends(c,
                         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n");
    for (int i = 0; ok && i < 1024; i++) {
        z.next_in = zeros;
        z.avail_in = sizeof(zeros);
        do {
            z.next_out = packed;
            z.avail_out = sizeof(packed);
            deflate(&z, i == 1023 ? Z_FINISH : Z_NO_FLUSH);
            ok = fake_send(c, packed, sizeof(packed) - z.avail_out);
        } while (ok && z.avail_out == 0);
    }
    deflateEnd(&z);
}

static const struct bad_case bad_cases[] = {
    {"never answers", never_answers, FETCH_TIMEOUT, "no answer in 1s"},
    {"2 GiB by length", answers_2_gib_by_length, FETCH_TOO_LARGE, "larger than 65536 bytes"},
    {"no end", answers_without_end, FETCH_TOO_LARGE, "larger than 65536 bytes"},
    {"chunks, no end", chunks_without_end, FETCH_TOO_LARGE, "larger than 65536 bytes"},
    {"headers, no end", headers_without_end, FETCH_TOO_LARGE, "head of the answer"},
    {"one header, no end", one_header_without_end, FETCH_TOO_LARGE, "head of the answer"},
    {"1xx, no end", interim_without_end, FETCH_TOO_LARGE, "head of the answer"},
    {"HTML", answers_html, FETCH_HTML, "HTML page"},
    {"redirect", redirects, FETCH_REDIRECT, "http://login.test/x,"},
    {"redirect loop", redirects_to_itself, FETCH_REDIRECT, "a redirect to http://127.0.0.1"},
    {"500", fails_500, FETCH_STATUS, "answered status 500: \"engine  is  [31mdead\""},
    {"500, no end", fails_500_at_length, FETCH_STATUS, "answered status 500"},
    {"204", no_content, FETCH_STATUS, "answered status 204"},
    {"length not reached", cut_by_length, FETCH_TRUNCATED, "after 28 bytes"},
    {"cut in a chunk", cut_in_chunk, FETCH_TRUNCATED, "after 8 bytes"},
    {"no last chunk", cut_before_last_chunk, FETCH_TRUNCATED, "after 8 bytes"},
    {"cut in the head", cut_in_head, FETCH_TRUNCATED, ""},
    {"no answer", closes_at_once, FETCH_TRUNCATED, "without an answer"},
    {"reset", resets, FETCH_TRUNCATED, "the connection ended"},
    {"status below zero", status_below_zero, FETCH_PROTOCOL, "not a sound HTTP answer"},
    {"status of many digits", status_of_many_digits, FETCH_PROTOCOL, "not a sound HTTP answer"},
    {"not HTTP", garbage, FETCH_PROTOCOL, "not a sound HTTP answer"},
    {"broken chunk", bad_chunk, FETCH_PROTOCOL, "not a sound HTTP answer"},
    {"broken gzip", bad_gzip, FETCH_PROTOCOL, "not a sound HTTP answer"},
    {"slow drip", drips, FETCH_TIMEOUT, "did not end in 1s"},
    {"gzip bomb", gzip_bomb, FETCH_TOO_LARGE, "larger than 65536 bytes"},
};

static void every_bad_answer_has_its_reason_and_sentence(void **state) {
    for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++)
        expect_bad(*state, &bad_cases[i]);
    struct world *w = *state;
    struct fetch_pool_stats stats = fetch_pool_stats(w->pool);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.sockets, 0);
    assert_int_equal(stats.finished, sizeof(bad_cases) / sizeof(bad_cases[0]));
    assert_int_equal(stats.failures[FETCH_OK], 0);
}

static void good(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_answer(c, "200 OK", "Content-Type: text/plain\r\n", "queue 3\n"))
        continue;
}
static void good_chunked(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_sends(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                            "3\r\nque\r\n5\r\nue 3\n\r\n0\r\n\r\n"))
        continue;
}
static void good_until_close(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_sends(c, "HTTP/1.0 200 OK\r\n\r\nqueue 3\n");
}
static void good_gzip(struct fake_conn *c, void *ctx) {
    unsigned char packed[256];
    z_stream z = {.next_out = packed, .avail_out = sizeof(packed)};
    unsigned char text[] = "queue 3\n";
    z.next_in = text;
    z.avail_in = 8;
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    deflate(&z, Z_FINISH);
    size_t n = sizeof(packed) - z.avail_out;
    deflateEnd(&z);
    char head[128];
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", n);
    while (fake_request(c)) {
        assert_non_null(strstr(c->request, "Accept-Encoding: gzip\r\n"));
        if (!fake_sends(c, head) || !fake_send(c, packed, n))
            return;
    }
}

static void good_answers_come_whole_and_say_whether_their_end_is_proved(void **state) {
    static const struct {
        void (*serve)(struct fake_conn *, void *);
        bool complete;
    } cases[] = {{good, true}, {good_chunked, true}, {good_until_close, false}, {good_gzip, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_http *s = fake_http_start(cases[i].serve, NULL, NULL);
        static struct got g;
        fetch_from(*state, s, &g);
        assert_string_equal(g.result.err.msg, "");
        assert_int_equal(g.result.failure, FETCH_OK);
        assert_int_equal(g.result.status, 200);
        assert_string_equal(g.body, "queue 3\n");
        assert_int_equal(g.result.complete, cases[i].complete);
        assert_int_equal(g.result.body_bytes, 8);
        assert_true(g.result.took_ns > 0 && g.result.started_ns > 0);
        fake_http_stop(s);
    }
}

static void a_connection_is_used_again(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(good, NULL, NULL);
    static struct got g;
    for (int i = 0; i < 10; i++) {
        fetch_from(w, s, &g);
        assert_int_equal(g.result.failure, FETCH_OK);
    }
    assert_int_equal(s->connections, 1);
    assert_int_equal(s->requests, 10);
    assert_int_equal(fetch_pool_stats(w->pool).connects, 1);
    fake_http_stop(s);
}

// uvicorn closes an idle connection after 5 s, just when the next scrape comes.
static void serve_one(struct fake_conn *c, void *ctx) {
    if (fake_request(c))
        fake_answer(c, "200 OK", "", "queue 3\n");
}
static void a_connection_that_the_server_closed_is_replaced_without_a_failure(void **state) {
    struct fake_http *s = fake_http_start(serve_one, NULL, NULL);
    static struct got g;
    for (int i = 0; i < 10; i++) {
        fetch_from(*state, s, &g);
        assert_string_equal(g.result.err.msg, "");
    }
    assert_int_equal(s->connections, 10);
    fake_http_stop(s);
}

static void a_closed_port_is_a_connect_failure(void **state) {
    static struct got g;
    struct fake_http *s = fake_http_start(good, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    fake_http_stop(s);
    struct fetch_options o = options_of(url, &g);
    fetch_with(*state, &o, &g);
    assert_int_equal(g.result.failure, FETCH_CONNECT);
    assert_non_null(strstr(g.result.err.msg, "Connection refused"));
}

static void a_full_listen_queue_is_a_connect_failure_after_the_connect_time(void **state) {
    // A listening socket that nobody accepts from, with its queue filled, drops further SYNs.
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[8];
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    for (int i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(filler[i], (struct sockaddr *)&in, sizeof(in));
    }
    static struct got g;
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(in.sin_port));
    struct fetch_options o = options_of(url, &g);
    o.connect_ms = 200;
    fetch_with(*state, &o, &g);
    assert_int_equal(g.result.failure, FETCH_CONNECT);
    assert_non_null(strstr(g.result.err.msg, "not connected in 200ms"));
    for (int i = 0; i < 8; i++)
        close(filler[i]);
    close(fd);
}

static void the_environments_proxy_is_not_used(void **state) {
    struct fake_http *s = fake_http_start(good, NULL, NULL);
    static struct got g;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    fetch_from(*state, s, &g);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    assert_int_equal(g.result.failure, FETCH_OK);
    fake_http_stop(s);
}

static void a_receiver_may_refuse(void **state) {
    struct fake_http *s = fake_http_start(good, NULL, NULL);
    static struct got g;
    g.refuse = true;
    fetch_from(*state, s, &g);
    assert_int_equal(g.result.failure, FETCH_REFUSED);
    g.refuse = false;
    fake_http_stop(s);
}

static void a_cancelled_fetch_tells_nothing(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(never_answers, NULL, NULL);
    struct fake_http *other = fake_http_start(good, NULL, NULL);
    static struct got g, after;
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    struct fetch_options o = options_of(url, &g);
    struct fetch *f;
    struct err e = {0};
    assert_int_equal(fetch_start(&f, w->pool, &o, &e), 0);
    fetch_from(w, other, &after);
    fetch_cancel(f);
    fetch_from(w, other, &after);
    assert_false(g.done);
    assert_int_equal(fetch_pool_stats(w->pool).running, 0);
    fake_http_stop(s);
    fake_http_stop(other);
}

struct freeing {
    struct fetch_pool *pool;
    int told;
};
static void free_pool(void *ctx, const struct fetch_result *r) {
    struct freeing *x = ctx;
    x->told++;
    x->pool = fetch_pool_free(x->pool);
}
static bool freed(void *ctx) {
    return ((struct freeing *)ctx)->told > 0;
}
static void a_pool_may_be_freed_inside_done(void **state) {
    struct fake_http *s = fake_http_start(good, NULL, NULL);
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct freeing x = {0};
    struct err e = {0};
    assert_int_equal(fetch_pool_new(&x.pool, &loop, &e), 0);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    struct fetch_options o = options_of(url, NULL);
    o.body = NULL;
    o.done = free_pool;
    o.ctx = &x;
    struct fetch *f;
    for (int i = 0; i < 5; i++)
        assert_int_equal(fetch_start(&f, x.pool, &o, &e), 0);
    TURN_UNTIL(&loop, freed, &x);
    net_loop_drain_close(&loop);
    assert_int_equal(x.told, 1);
    fake_http_stop(s);
}

enum { MANY = 300 };
struct many {
    struct got *got;
};
static bool all_done(void *ctx) {
    struct many *m = ctx;
    for (int i = 0; i < MANY; i++) {
        if (!m->got[i].done)
            return false;
    }
    return true;
}
static void hundreds_at_once_all_end(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve_one, NULL, NULL);
    struct many m = {calloc(MANY, sizeof(struct got))};
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s->port);
    for (int i = 0; i < MANY; i++) {
        struct fetch_options o = options_of(url, &m.got[i]);
        struct fetch *f;
        struct err e = {0};
        o.total_ms = 20000;
        assert_int_equal(fetch_start(&f, w->pool, &o, &e), 0);
    }
    TURN_UNTIL(&w->loop, all_done, &m);
    for (int i = 0; i < MANY; i++)
        assert_string_equal(m.got[i].body, "queue 3\n");
    free(m.got);
    fake_http_stop(s);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state) {
    struct world *w = *state;
    static struct got g;
    struct fetch_options o = options_of("http://127.0.0.1:1/", &g);
    struct fetch *f;
    for (long i = 1; i < 4; i++) {
        struct err e = {0};
        mem_fail_from(i);
        int r = fetch_start(&f, w->pool, &o, &e);
        mem_fail_never();
        if (r == 0) {
            fetch_cancel(f);
            return;
        }
        assert_int_equal(r, ERR_NOMEM);
    }
    fail();
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(every_bad_answer_has_its_reason_and_sentence),
        T(good_answers_come_whole_and_say_whether_their_end_is_proved),
        T(a_connection_is_used_again),
        T(a_connection_that_the_server_closed_is_replaced_without_a_failure),
        T(a_closed_port_is_a_connect_failure),
        T(a_full_listen_queue_is_a_connect_failure_after_the_connect_time),
        T(the_environments_proxy_is_not_used),
        T(a_receiver_may_refuse),
        T(a_cancelled_fetch_tells_nothing),
        T(a_pool_may_be_freed_inside_done),
        T(hundreds_at_once_all_end),
        T(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
