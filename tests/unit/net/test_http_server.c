// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP server over loopback sockets: routes, order, limits, time limits, closing, and what
 * 10,000 idle connections cost.
 */
#include "net_unit.h"

#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "net/http1.h"
#include "net/http_server.h"

enum { PAGE_BYTES = 60 << 10, LARGE_BYTES = 7 << 20 };

struct world {
    uv_loop_t loop;
    struct http_server *server;
    struct unit_end client;
    struct http_request *kept[8]; // of GET /keep, answered by the test
    int n_kept, handled, done;
    char *page;
};

static void get_hello(struct http_request *r, void *ctx) {
    ((struct world *)ctx)->handled++;
    char name[8];
    switch (http_request_param(r, "name", name, sizeof(name))) {
    case 0:
        http_request_answer_text(r, 200, "hello %s", name);
        break;
    case ERR_NOTFOUND:
        http_request_answer_text(r, 200, "hello");
        break;
    default:
        http_request_answer_text(r, 400, "what name?");
    }
}

static void get_keep(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    assert_true(w->n_kept < 8);
    w->kept[w->n_kept++] = r;
}

static void get_page(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->handled++;
    http_request_answer(r, &(struct http_answer){.status = 200, .body = {w->page, PAGE_BYTES}});
}

static void get_large(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->handled++;
    http_request_answer(r, &(struct http_answer){.status = 200, .body = {w->page, LARGE_BYTES}});
}

static void get_too_large(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    http_request_answer(r, &(struct http_answer){.status = 200, .body = {w->page, 9 << 20}});
}

static void get_gzip(struct http_request *r, void *ctx) {
    bool gzip = http_request_accepts_gzip(r);
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain",
                                                 .extra_headers = "X-Extra: yes\r\n",
                                                 .body = gzip ? STR("zipped") : STR("plain"),
                                                 .body_gzip = gzip});
}

static void get_nothing(struct http_request *r, void *ctx) {
    http_request_answer(r, &(struct http_answer){.status = 204});
}

static void echo(struct http_request *r, void *ctx) {
    struct str method = http_request_method(r), path = http_request_path(r),
               query = http1_query(http_request_http1(r)), body = http_request_body(r),
               header = http_request_header(r, "x-test");
    http_request_answer_text(r, 200, STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT,
                             STR_ARG(method), STR_ARG(path), STR_ARG(query), STR_ARG(header),
                             STR_ARG(body));
}

static const struct http_route routes[] = {
    {"GET", "/hello", get_hello},
    {"GET", "/keep", get_keep},
    {"GET", "/page", get_page},
    {"GET", "/large", get_large},
    {"GET", "/too-large", get_too_large},
    {"GET", "/gzip", get_gzip},
    {"GET", "/none", get_nothing},
    {"POST", "/echo", echo},
    {"GET", "/echo", echo},
    {"POST", "/below/", echo},
    {"GET", "/below/deeper/", get_nothing},
    {NULL, NULL, NULL},
};

static void world_init_with(struct world *w, struct http_server_options o) {
    *w = (struct world){0};
    uv_loop_init(&w->loop);
    unit_end_init(&w->client);
    w->page = calloc(1, 9 << 20);
    assert_non_null(w->page);
    memset(w->page, 'p', 9 << 20);
    o.listen = "127.0.0.1:0";
    o.routes = routes;
    o.ctx = w;
    assert_int_equal(http_server_open(&w->server, &w->loop, &o, NULL), 0);
}

static void world_init(struct world *w) {
    world_init_with(w, (struct http_server_options){0});
}

static void on_done(void *ctx) {
    struct world *w = ctx;
    w->done++;
    w->server = NULL;
}

static void dial(struct world *w, struct unit_end *u) {
    assert_int_equal(net_stream_connect(&w->loop, http_server_addr(w->server), NULL, NULL, 0,
                                        &unit_ops, u, &u->stream, NULL),
                     0);
    RUN_UNTIL(&w->loop, u->ready);
}

static void hang_up(struct world *w, struct unit_end *u) {
    if (u->stream)
        net_stream_abort(u->stream, NULL);
    RUN_UNTIL(&w->loop, !u->stream);
    unit_end_done(u);
    unit_end_init(u);
}

static void world_done(struct world *w) {
    hang_up(w, &w->client);
    unit_end_done(&w->client);
    if (w->server) {
        http_server_close(w->server, 1000, on_done, w);
        assert_int_equal(w->done, 0); // never inside the call
        RUN_UNTIL(&w->loop, w->done == 1);
    }
    net_loop_drain_close(&w->loop);
    free(w->page);
}

static void say(struct unit_end *u, const char *text) {
    assert_int_equal(net_stream_write(u->stream, text, strlen(text)), 0);
}

static const char *text_of(struct unit_end *u) {
    assert_int_equal(buf_add_byte(&u->got, '\0'), 0);
    buf_truncate(&u->got, u->got.len - 1);
    return u->got.p;
}

static bool got(struct unit_end *u, const char *text) {
    return strstr(text_of(u), text) != NULL;
}

static bool got_end(struct unit_end *u, const char *text) {
    return str_ends(buf_str(&u->got), text);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void requests_get_their_answers(void **state) {
    static const struct {
        const char *request;
        const char *has[3];
        const char *end;
        bool closes;
    } cases[] = {
        {GET("/hello"),
         {"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 6\r\n", "\r\nDate: "},
         "\r\n\r\nhello\n",
         false},
        {GET("/hello?name=a%20b"), {"200 OK", "", ""}, "hello a b\n", false},
        {GET("/hello?name=123456789"), {"400 Bad Request", "", ""}, "what name?\n", false},
        {"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
         {"200 OK", "Content-Length: 6\r\n", ""},
         "\r\n\r\n",
         false},
        {GET("/none"), {"HTTP/1.1 204 No Content\r\n", "", ""}, "\r\n\r\n", false},
        {GET("/nowhere"), {"HTTP/1.1 404 Not Found\r\n", "", ""}, "nothing here\n", false},
        {GET("/hello/"), {"404", "", ""}, "nothing here\n", false},
        {GET("/"), {"404", "", ""}, "nothing here\n", false},
        {"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
         {"405 Method Not Allowed", "\r\nAllow: GET, HEAD\r\n", ""},
         "method\n",
         false},
        {"DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n",
         {"405", "Allow: POST, GET, HEAD\r\n", ""},
         "method\n",
         false},
        {"BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n",
         {"501 Not Implemented", "", ""},
         "unknown method\n",
         false},
        {"POST /echo?q HTTP/1.1\r\nHost: a\r\nX-Test: t\r\nContent-Length: 4\r\n\r\nbody",
         {"200", "", ""},
         "POST /echo q t body\n",
         false},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
         {"200", "", ""},
         "POST /echo   body\n",
         false},
        {"POST /below/x HTTP/1.1\r\nHost: a\r\n\r\n", {"200", "", ""}, "POST /below/x   \n", false},
        {GET("/below/deeper/x"), {"204", "", ""}, "\r\n\r\n", false}, // the longer prefix
        {GET("/below/x"), {"405", "Allow: POST\r\n", ""}, "method\n", false},
        {GET("/gzip"), {"Content-Type: text/plain\r\n", "X-Extra: yes\r\n", ""}, "plain", false},
        {"GET /gzip HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
         {"Content-Encoding: gzip\r\n", "Vary: Accept-Encoding\r\n", ""},
         "zipped",
         false},
        {GET_CLOSE("/hello"), {"200", "Connection: close\r\n", ""}, "hello\n", true},
        {"GET /hello HTTP/1.0\r\n\r\n", {"200", "Connection: close\r\n", ""}, "hello\n", true},
        {"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         {"200", "Connection: keep-alive\r\n", ""},
         "hello\n",
         false},
        {"GET / HTTP/3.0\r\n", {"505", "Connection: close\r\n", ""}, "HTTP/1.1\n", true},
        {"\x16\x03\x01", {"400", "Connection: close\r\n", ""}, "head\n", true},
        {GET("/too-large"), {"500", "", ""}, "too large\n", false},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dial(&w, &w.client);
        say(&w.client, cases[i].request);
        RUN_UNTIL(&w.loop, w.client.got_bytes > 0 && got_end(&w.client, cases[i].end));
        for (int k = 0; k < 3; k++)
            if (!got(&w.client, cases[i].has[k]))
                fail_msg("%s: no \"%s\" in %s", cases[i].request, cases[i].has[k],
                         text_of(&w.client));
        if (cases[i].closes) {
            RUN_UNTIL(&w.loop, w.client.closed);
        } else { // and goes on
            say(&w.client, GET("/hello?name=next"));
            RUN_UNTIL(&w.loop, got_end(&w.client, "hello next\n"));
        }
        hang_up(&w, &w.client);
    }
    struct http_server_stats s = http_server_stats(w.server);
    assert_int_equal(s.bad_requests, 2);
    assert_int_equal(s.requests, COUNT_OF(cases) - 2 + COUNT_OF(cases) - 4);
    world_done(&w);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, &w.client);
    // The second is answered late: the third waits for it.
    say(&w.client, GET("/hello?name=1") GET("/keep") GET("/hello?name=3") GET_CLOSE("/hello"));
    RUN_UNTIL(&w.loop, w.n_kept == 1);
    unit_turns(&w.loop, 5);
    assert_int_equal(w.handled, 1);
    http_request_answer_text(w.kept[0], 200, "kept");
    assert_int_equal(w.handled, 1); // no handler runs inside another's answer
    RUN_UNTIL(&w.loop, w.client.closed);
    const char *all = text_of(&w.client);
    const char *one = strstr(all, "hello 1\n"), *two = strstr(all, "kept\n"),
               *three = strstr(all, "hello 3\n"), *four = strstr(all, "hello\n");
    assert_true(one && two > one && three > two && four > three);
    world_done(&w);
}

static void a_flood_of_pipelined_requests_is_held_back_and_served(void **state) {
    enum { N = 3000 };
    struct world w;
    world_init(&w);
    dial(&w, &w.client);
    net_stream_pause(w.client.stream); // takes no answer
    for (int i = 0; i < N; i++)
        say(&w.client, GET("/page"));
    int before;
    do { // until the server stands still
        before = w.handled;
        unit_turns(&w.loop, 50);
    } while (w.handled > before);
    // 256 KiB of its own and what two sockets' buffers take; not 3,000 x 60 KiB.
    assert_in_range(w.handled, 4, 300);
    w.client.discard = true;
    net_stream_resume(w.client.stream);
    RUN_UNTIL(&w.loop, w.handled == N && w.client.got_bytes > (size_t)N * PAGE_BYTES);
    world_done(&w);
}

static void a_client_that_asks_first_is_answered_first(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, &w.client);
    say(&w.client, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 4\r\n\r\n");
    RUN_UNTIL(&w.loop, got_end(&w.client, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&w.client, "body");
    RUN_UNTIL(&w.loop, got_end(&w.client, "POST /echo   body\n"));
    hang_up(&w, &w.client);
    static const struct {
        const char *request, *status;
    } refused[] = {
        {"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
         "HTTP/1.1 404"},
        {"POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
         "HTTP/1.1 405"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
         "9999999\r\n\r\n",
         "HTTP/1.1 413"},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        dial(&w, &w.client);
        say(&w.client, refused[i].request);
        RUN_UNTIL(&w.loop, w.client.closed);
        assert_true(str_starts(buf_str(&w.client.got), refused[i].status));
        hang_up(&w, &w.client);
    }
    world_done(&w);
}

static void a_refused_body_still_gets_its_answer_through(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, &w.client);
    say(&w.client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    assert_int_equal(net_stream_write(w.client.stream, w.page, 3000000), 0);
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_true(got(&w.client, "HTTP/1.1 413 Content Too Large"));
    assert_true(got_end(&w.client, "too large\n"));
    world_done(&w);
}

static void slow_clients_are_timed_out(void **state) {
    static const struct {
        const char *says;
        const char *answer; // "": the connection ends without one
        int timeouts;
    } cases[] = {
        {"", "", 0},
        {"\r\n", "", 0},
        {"G", "HTTP/1.1 408 Request Timeout", 1},
        {"GET /hello HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 408 Request Timeout", 1},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbod", "HTTP/1.1 408", 1},
        {GET("/hello"), "HTTP/1.1 200", 0}, // then idle
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        world_init_with(&w, (struct http_server_options){.timeouts = {40, 40, 40, 0}});
        dial(&w, &w.client);
        say(&w.client, cases[i].says);
        RUN_UNTIL(&w.loop, w.client.closed);
        if (!str_starts(buf_str(&w.client.got), cases[i].answer) ||
            (cases[i].answer[0] == '\0' && w.client.got_bytes > 0))
            fail_msg("row %zu: %s", i, text_of(&w.client));
        assert_int_equal(http_server_stats(w.server).timeouts, cases[i].timeouts);
        world_done(&w);
    }
}

// Bytes that trickle do not move the deadline.
static void a_trickling_head_is_timed_out(void **state) {
    struct world w;
    world_init_with(&w, (struct http_server_options){.timeouts = {60, 0, 0, 0}});
    dial(&w, &w.client);
    int64_t last = 0, end = clock_mono_ns() + 30 * NS_PER_S;
    say(&w.client, "GET /hello HTTP/1.1\r\nX: ");
    while (w.client.stream && !w.client.closed) {
        if (clock_mono_ns() - last > 5 * NS_PER_MS) {
            (void)net_stream_write(w.client.stream, "x", 1);
            last = clock_mono_ns();
        }
        assert_true(last < end);
        unit_turns(&w.loop, 1);
    }
    assert_true(got(&w.client, "408"));
    world_done(&w);
}

// One piece of at most 64 KiB, then no more.
static void sip(void *ctx, const uint8_t *p, size_t n) {
    unit_on_data(ctx, p, n);
    net_stream_pause(((struct unit_end *)ctx)->stream);
}

static void a_reader_that_stalls_is_cut_one_that_reads_is_not(void **state) {
    struct world w;
    world_init_with(&w, (struct http_server_options){.timeouts = {0, 0, 0, 600}});
    dial(&w, &w.client);
    net_stream_pause(w.client.stream);
    say(&w.client, GET("/large"));
    RUN_UNTIL(&w.loop, http_server_stats(w.server).timeouts == 1);
    net_stream_resume(w.client.stream);
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_true(w.client.got_bytes < LARGE_BYTES);
    hang_up(&w, &w.client);
    // Reads a little at a time, for three times the limit; never all that waits.
    static const struct net_stream_ops sips = {unit_on_ready, sip, NULL, NULL, unit_on_closed};
    dial(&w, &w.client);
    net_stream_set_ops(w.client.stream, &sips, &w.client);
    net_stream_pause(w.client.stream);
    w.client.discard = true;
    say(&w.client, GET("/large") GET("/large"));
    int64_t end = clock_mono_ns() + 1800 * NS_PER_MS, last = 0;
    while (clock_mono_ns() < end) {
        if (clock_mono_ns() - last > 80 * NS_PER_MS) {
            last = clock_mono_ns();
            net_stream_resume(w.client.stream);
        }
        unit_turns(&w.loop, 1);
        assert_int_equal(w.client.closed, 0);
    }
    assert_true(w.client.got_bytes < 2 * LARGE_BYTES);
    assert_int_equal(http_server_stats(w.server).timeouts, 1);
    world_done(&w);
}

static void a_request_outlives_its_connection_and_its_server(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, &w.client);
    say(&w.client, GET("/keep?x=y"));
    RUN_UNTIL(&w.loop, w.n_kept == 1);
    hang_up(&w, &w.client);
    RUN_UNTIL(&w.loop, http_server_stats(w.server).connections == 0);
    assert_true(str_eqc(http1_query(http_request_http1(w.kept[0])), "x=y"));
    http_request_answer_text(w.kept[0], 200, "to nobody");
    dial(&w, &w.client);
    say(&w.client, GET("/keep"));
    RUN_UNTIL(&w.loop, w.n_kept == 2);
    http_server_close(w.server, 0, on_done, &w); // no grace
    RUN_UNTIL(&w.loop, w.done && w.client.closed);
    http_request_answer_text(w.kept[1], 200, "too late");
    assert_int_equal(w.client.got_bytes, 0);
    world_done(&w);
}

static void a_close_lets_running_answers_finish(void **state) {
    struct world w;
    world_init(&w);
    struct unit_end idle, partial;
    unit_end_init(&idle);
    unit_end_init(&partial);
    dial(&w, &w.client);
    dial(&w, &idle);
    dial(&w, &partial);
    say(&w.client, GET("/keep") GET("/hello"));
    say(&idle, GET("/hello"));
    say(&partial, "GET /hel");
    RUN_UNTIL(&w.loop, w.n_kept == 1 && got_end(&idle, "hello\n"));
    http_server_close(w.server, 20000, on_done, &w);
    RUN_UNTIL(&w.loop, idle.closed && partial.closed);
    assert_int_equal(w.done, 0);
    http_request_answer_text(w.kept[0], 200, "finished");
    RUN_UNTIL(&w.loop, w.done == 1 && w.client.closed);
    assert_true(got(&w.client, "Connection: close\r\n"));
    assert_true(got_end(&w.client, "finished\n")); // the one behind it is not begun
    hang_up(&w, &idle);
    hang_up(&w, &partial);
    unit_end_done(&idle);
    unit_end_done(&partial);
    world_done(&w);
}

// A plain blocking socket that shuts its sending side: no client of ours does that.
static void half_closed_client_is_answered(const char *requests, const char *const answers[2]) {
    struct world w;
    world_init(&w);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct net_addr *to = http_server_addr(w.server);
    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    size_t len = strlen(requests);
    assert_int_equal(send(fd, requests, len, 0), len);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    RUN_UNTIL(&w.loop, w.n_kept == 1);
    unit_turns(&w.loop, 5);
    http_request_answer_text(w.kept[0], 200, "kept");
    char answer[2048];
    size_t n = 0;
    ssize_t r = -1;
    RUN_UNTIL(&w.loop, (r = recv(fd, answer + n, sizeof(answer) - 1 - n, MSG_DONTWAIT)) == 0 ||
                           (r > 0 && (n += (size_t)r) == 0));
    answer[n] = '\0';
    for (int i = 0; i < 2; i++)
        assert_non_null(strstr(answer, answers[i]));
    close(fd);
    RUN_UNTIL(&w.loop, http_server_stats(w.server).connections == 0);
    world_done(&w);
}

static void a_renewal_ends_connections_behind_their_answers(void **state) {
    struct world w;
    world_init(&w);
    struct unit_end idle, silent;
    unit_end_init(&idle);
    unit_end_init(&silent);
    dial(&w, &silent); // has not said a word
    dial(&w, &idle);
    say(&idle, GET("/hello"));
    RUN_UNTIL(&w.loop, got(&idle, "hello\n"));
    dial(&w, &w.client);
    say(&w.client, GET("/keep"));
    RUN_UNTIL(&w.loop, w.n_kept == 1);
    http_server_renew(w.server);
    RUN_UNTIL(&w.loop, idle.closed && silent.closed);
    assert_int_equal(idle.why.code, ERR_CLOSED); // in order, not reset
    assert_int_equal(w.client.closed, 0);
    http_request_answer_text(w.kept[0], 200, "late");
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_true(got(&w.client, "Connection: close\r\n") && got_end(&w.client, "late\n"));
    unit_end_done(&idle);
    unit_end_done(&silent);
    hang_up(&w, &w.client);
    dial(&w, &w.client); // new ones are as ever
    say(&w.client, GET("/hello"));
    RUN_UNTIL(&w.loop, got(&w.client, "hello\n"));
    assert_false(got(&w.client, "Connection: close"));
    world_done(&w);
}

static void the_end_of_the_requests_is_not_the_end_of_the_answers(void **state) {
    half_closed_client_is_answered(GET("/keep"), (const char *const[]){"200 OK", "kept\n"});
    half_closed_client_is_answered(GET("/keep") GET("/hello?name=2") "GET /half",
                                   (const char *const[]){"kept\n", "hello 2\n"});
}

static void every_failing_allocation_ends_the_request_not_the_server(void **state) {
    bool served = false;
    for (long at = 1; !served; at++) {
        struct world w;
        world_init(&w);
        dial(&w, &w.client);
        say(&w.client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" //
            GET("/hello"));
        RUN_UNTIL(&w.loop, net_stream_queued(w.client.stream) == 0);
        assert_non_null(buf_reserve(&w.client.got, 4096)); // the client's own memory does not end
        struct net_timer *tick = NULL;
        assert_int_equal(net_timer_start(&tick, &w.loop, 0, NS_PER_MS, unit_tick, NULL, NULL), 0);
        mem_fail_from(at);
        for (int i = 0; i < 10; i++)
            uv_run(&w.loop, UV_RUN_ONCE);
        mem_fail_never();
        net_timer_stop(&tick);
        served = !w.client.closed && w.client.got.len > 0 && got_end(&w.client, "hello\n");
        assert_true(at < 100);
        // Whatever happened to that one: the next is served.
        hang_up(&w, &w.client);
        dial(&w, &w.client);
        say(&w.client, GET("/hello"));
        RUN_UNTIL(&w.loop, w.client.got_bytes > 0 && got_end(&w.client, "hello\n"));
        world_done(&w);
    }
}

static void open_tells_what_failed(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct http_server *s = NULL;
    struct http_server_options o = {.listen = "nonsense", .routes = routes};
    struct err e = {0};
    assert_int_equal(http_server_open(&s, &loop, &o, &e), ERR_PARSE);
    assert_non_null(strstr(e.msg, "nonsense"));
    o.listen = "127.0.0.1:0";
    for (long i = 1; i < 4; i++) {
        mem_fail_from(i);
        assert_int_equal(http_server_open(&s, &loop, &o, &e), ERR_NOMEM);
        mem_fail_never();
    }
    assert_null(s);
    net_loop_drain_close(&loop);
}

// A process of its own (for its own table of descriptors): connects `n` times and says nothing;
// told through `go`, asks on one of the connections. Exit status 0: the answer came.
static pid_t idle_clients(const struct net_addr *to, int n, int ask_on, const int go[2]) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int asking = -1;
    close(go[1]); // the parent's end tells the child's
    for (int i = 0; i < n; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        // Several source addresses, for one has 28,000 ports at most; and ended by a reset, or a
        // run would find the ports of the runs before it in TIME_WAIT.
        struct net_addr from = {.in = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)i / 2000)},
                                .len = sizeof(from.in)};
        struct linger reset = {.l_onoff = 1};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        if (fd < 0 || bind(fd, &from.sa, from.len) < 0 || connect(fd, &to->sa, to->len) < 0)
            _exit(2);
        if (i == ask_on)
            asking = fd;
    }
    char answer[512];
    static const char question[] = GET("/hello");
    if (read(go[0], answer, 1) != 1 || send(asking, question, sizeof(question) - 1, 0) < 0)
        _exit(3);
    ssize_t got_n = recv(asking, answer, sizeof(answer), 0);
    _exit(got_n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0 ? 0 : 4);
}

static void ten_thousand_idle_connections_are_cheap_and_the_next_are_refused(void **state) {
    enum { CAP = 10000, OVER = 50 };
    struct rlimit limit, was;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    limit = was;
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < CAP + OVER + 50) {
        print_message("# RLIMIT_NOFILE is %llu: too small\n", (unsigned long long)limit.rlim_cur);
        return; // said, not skip(): meson takes cmocka's TAP line of it for a failure
    }
    struct world w;
    world_init_with(&w, (struct http_server_options){.max_connections = CAP});
    int go[2], status = -1;
    assert_int_equal(pipe(go), 0);
    size_t before = mallinfo2().uordblks;
    pid_t pid = idle_clients(http_server_addr(w.server), CAP + OVER, CAP / 2, go);
    RUN_UNTIL(&w.loop, http_server_stats(w.server).connections_refused == OVER);
    size_t each = (mallinfo2().uordblks - before) / CAP;
    print_message("# %zu bytes of heap for an idle connection, %d of them\n", each, CAP);
    assert_int_equal(http_server_stats(w.server).connections, CAP);
    assert_true(each < 2048);
    assert_int_equal(write(go[1], "!", 1), 1);
    RUN_UNTIL(&w.loop, waitpid(pid, &status, WNOHANG) == pid);
    assert_int_equal(status, 0);
    RUN_UNTIL(&w.loop, http_server_stats(w.server).connections == 0);
    close(go[0]);
    close(go[1]);
    world_done(&w);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_get_their_answers),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_flood_of_pipelined_requests_is_held_back_and_served),
        cmocka_unit_test(a_client_that_asks_first_is_answered_first),
        cmocka_unit_test(a_refused_body_still_gets_its_answer_through),
        cmocka_unit_test(slow_clients_are_timed_out),
        cmocka_unit_test(a_trickling_head_is_timed_out),
        cmocka_unit_test(a_reader_that_stalls_is_cut_one_that_reads_is_not),
        cmocka_unit_test(a_request_outlives_its_connection_and_its_server),
        cmocka_unit_test(a_close_lets_running_answers_finish),
        cmocka_unit_test(a_renewal_ends_connections_behind_their_answers),
        cmocka_unit_test(the_end_of_the_requests_is_not_the_end_of_the_answers),
        cmocka_unit_test(every_failing_allocation_ends_the_request_not_the_server),
        cmocka_unit_test(open_tells_what_failed),
        cmocka_unit_test(ten_thousand_idle_connections_are_cheap_and_the_next_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
