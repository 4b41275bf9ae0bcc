// SPDX-License-Identifier: Apache-2.0
/*
 * Answers in pieces over loopback sockets: framing, back-pressure, clients that go, closing; and a
 * program's own words for what the server refuses.
 */
#include "net_unit.h"

#include <sys/socket.h>

#include "base/limits.h"
#include "net/http_server.h"

enum { PIECE_BYTES = 32 << 10 };

struct world {
    uv_loop_t loop;
    struct http_server *server;
    struct unit_end client;
    struct http_request *request; // begun, the test goes on with it
    int handled, gone, writable, done;
    bool drop_when_gone, no_memory;
    char piece[PIECE_BYTES];
};

static void on_gone(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->gone++;
    if (w->drop_when_gone) {
        http_request_drop(r);
        w->request = NULL;
    }
}

static void on_writable(struct http_request *r, void *ctx) {
    ((struct world *)ctx)->writable++;
}

static const struct http_watch watch = {on_gone, on_writable};

static void begin(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->handled++;
    w->request = r;
    http_request_watch(r, &watch, w);
    http_request_begin(r,
                       &(struct http_answer){.status = 200, .content_type = "text/event-stream"});
}

static void keep(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->handled++;
    w->request = r;
    http_request_watch(r, &watch, w);
}

static void whole(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->handled++;
    http_request_begin(r, &(struct http_answer){.status = 200});
    int bad = http_request_send(r, STR("one"));
    bad |= http_request_send(r, STR("")); // would end the answer: is left out
    bad |= http_request_send(r, STR("twotwotwotwotwotwo"));
    assert_true(bad == 0 || w->no_memory);
    http_request_end(r);
}

static void hello(struct http_request *r, void *ctx) {
    ((struct world *)ctx)->handled++;
    http_request_answer_text(r, 200, "hello");
}

static const struct http_route routes[] = {
    {"GET", "/begin", begin}, {"GET", "/keep", keep}, {"GET", "/whole", whole},
    {"GET", "/hello", hello}, {NULL, NULL, NULL},
};

static void world_init_with(struct world *w, struct http_server_options o) {
    *w = (struct world){0};
    uv_loop_init(&w->loop);
    unit_end_init(&w->client);
    memset(w->piece, 'p', sizeof(w->piece));
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

static void dial(struct world *w) {
    assert_int_equal(net_stream_connect(&w->loop, http_server_addr(w->server), NULL, NULL, 0,
                                        &unit_ops, &w->client, &w->client.stream, NULL),
                     0);
    RUN_UNTIL(&w->loop, w->client.ready);
}

static void hang_up(struct world *w) {
    if (w->client.stream)
        net_stream_abort(w->client.stream, NULL);
    RUN_UNTIL(&w->loop, !w->client.stream);
    unit_end_done(&w->client);
    unit_end_init(&w->client);
}

static void world_done(struct world *w) {
    hang_up(w);
    unit_end_done(&w->client);
    if (w->server) {
        http_server_close(w->server, 1000, on_done, w);
        RUN_UNTIL(&w->loop, w->done == 1);
    }
    net_loop_drain_close(&w->loop);
}

static void say(struct world *w, const char *text) {
    assert_int_equal(net_stream_write(w->client.stream, text, strlen(text)), 0);
}

static bool got_end(struct world *w, const char *text) {
    return w->client.got.len > 0 && str_ends(buf_str(&w->client.got), text);
}

static bool got(struct world *w, const char *text) {
    return w->client.got.len > 0 &&
           memmem(w->client.got.p, w->client.got.len, text, strlen(text)) != NULL;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void pieces_are_framed_as_the_client_can_read_them(void **state) {
    static const struct {
        const char *request, *head, *end;
        bool closes;
    } cases[] = {
        {GET("/whole"), "\r\nTransfer-Encoding: chunked\r\n",
         "\r\n\r\n3\r\none\r\n12\r\ntwotwotwotwotwotwo\r\n0\r\n\r\n", false},
        {"HEAD /whole HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n",
         "chunked\r\n\r\n", false},
        {"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "\r\nConnection: close\r\n",
         "\r\n0\r\n\r\n", true},
        {"GET /whole HTTP/1.0\r\n\r\n", "\r\nConnection: close\r\n",
         "\r\n\r\nonetwotwotwotwotwotwo", true},
        // 1.0 knows no chunks: the end tells the end, whatever it asked for.
        {"GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: close\r\n",
         "\r\n\r\nonetwotwotwotwotwotwo", true},
        {"HEAD /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: keep-alive\r\n",
         "\r\n\r\n", false},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dial(&w);
        say(&w, cases[i].request);
        RUN_UNTIL(&w.loop, got_end(&w, cases[i].end));
        if (!got(&w, cases[i].head) || got(&w, "Content-Length"))
            fail_msg("case %zu: %.*s", i, (int)w.client.got.len, w.client.got.p);
        if (cases[i].closes) {
            RUN_UNTIL(&w.loop, w.client.closed);
        } else {
            say(&w, GET("/hello"));
            RUN_UNTIL(&w.loop, got_end(&w, "hello\n"));
        }
        hang_up(&w);
    }
    world_done(&w);
}

static void what_is_pipelined_behind_pieces_is_answered_after_them(void **state) {
    struct world w;
    world_init(&w);
    dial(&w);
    say(&w, GET("/begin") "HEAD /whole HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hello"));
    RUN_UNTIL(&w.loop, got(&w, "text/event-stream\r\n"));
    unit_turns(&w.loop, 5);
    assert_int_equal(w.handled, 1);
    assert_int_equal(http_request_send(w.request, STR("data")), 0);
    RUN_UNTIL(&w.loop, got_end(&w, "4\r\ndata\r\n"));
    http_request_end(w.request);
    RUN_UNTIL(&w.loop, got_end(&w, "hello\n"));
    assert_int_equal(w.handled, 3);
    world_done(&w);
}

// A HEAD's pieces write nothing: the connection must go on all the same, when its head has long
// been taken.
static void an_end_that_writes_nothing_moves_the_connection_on(void **state) {
    static const struct {
        const char *request;
        bool closes;
    } cases[] = {{"HEAD /begin HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hello"), false},
                 {"GET /begin HTTP/1.0\r\n\r\n", true}};
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dial(&w);
        say(&w, cases[i].request);
        RUN_UNTIL(&w.loop, got(&w, "text/event-stream\r\n"));
        unit_turns(&w.loop, 20);
        http_request_end(w.request);
        RUN_UNTIL(&w.loop, cases[i].closes ? w.client.closed : got_end(&w, "hello\n"));
        hang_up(&w);
    }
    world_done(&w);
}

static void a_slow_reader_is_told_of_and_waited_for(void **state) {
    struct world w;
    world_init(&w);
    dial(&w);
    say(&w, GET("/begin"));
    RUN_UNTIL(&w.loop, w.request != NULL);
    net_stream_pause(w.client.stream);
    int r = 0, sent = 0;
    while (r == 0) {
        r = http_request_send(w.request, (struct str){w.piece, PIECE_BYTES});
        sent += r == 0;
        unit_turns(&w.loop, 2);
        assert_in_range(sent, 0, 1000); // what two sockets' buffers take and 256 KiB
    }
    assert_int_equal(r, ERR_AGAIN);
    unit_turns(&w.loop, 50);
    assert_int_equal(w.writable, 0);
    w.client.discard = true;
    net_stream_resume(w.client.stream);
    RUN_UNTIL(&w.loop, w.writable == 1);
    assert_int_equal(http_request_send(w.request, STR("rest")), 0);
    http_request_end(w.request);
    size_t all = (size_t)sent * PIECE_BYTES;
    RUN_UNTIL(&w.loop, w.client.got_bytes > all);
    unit_turns(&w.loop, 20);
    assert_int_equal(w.writable, 1); // only where a piece was refused
    assert_int_equal(w.gone, 0);
    assert_int_equal(w.client.closed, 0);
    world_done(&w);
}

static void a_piece_has_a_limit(void **state) {
    struct world w;
    world_init(&w);
    dial(&w);
    say(&w, GET("/begin"));
    RUN_UNTIL(&w.loop, w.request != NULL);
    char *large = calloc(1, LIMIT_HTTP_PIECE_BYTES + 1);
    assert_int_equal(http_request_send(w.request, (struct str){large, LIMIT_HTTP_PIECE_BYTES + 1}),
                     ERR_LIMIT);
    assert_int_equal(http_request_send(w.request, (struct str){large, LIMIT_HTTP_PIECE_BYTES}), 0);
    w.client.discard = true;
    RUN_UNTIL(&w.loop, w.client.got_bytes > LIMIT_HTTP_PIECE_BYTES);
    free(large);
    http_request_end(w.request);
    world_done(&w);
}

static void a_client_that_goes_is_told_of_once(void **state) {
    struct world w;
    world_init(&w);
    static const char *const requests[] = {GET("/begin"), GET("/keep")};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        w.gone = 0;
        w.request = NULL;
        dial(&w);
        say(&w, requests[i]);
        RUN_UNTIL(&w.loop, w.request != NULL);
        unit_turns(&w.loop, 10);
        assert_int_equal(w.gone, 0);
        hang_up(&w);
        RUN_UNTIL(&w.loop, w.gone == 1);
        RUN_UNTIL(&w.loop, http_server_stats(w.server).connections == 0);
        // The answer is still owed, and goes nowhere.
        if (i == 0) {
            assert_int_equal(http_request_send(w.request, STR("x")), ERR_CLOSED);
            http_request_end(w.request);
        } else {
            http_request_answer_text(w.request, 200, "to nobody");
        }
        assert_int_equal(w.gone, 1);
    }
    world_done(&w);
}

// Plain blocking sockets: of our clients none shuts its sending side alone.
static int dial_plain(struct world *w, const char *requests) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct net_addr *to = http_server_addr(w->server);
    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    assert_int_equal(send(fd, requests, strlen(requests), 0), strlen(requests));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    return fd;
}

static void a_client_that_sends_no_more_counts_as_gone_where_somebody_watches(void **state) {
    static const struct {
        const char *requests;
        int handled; // before the watching one
    } cases[] = {{GET("/keep"), 0}, {GET("/begin"), 0}, {GET("/hello") GET("/keep"), 1}};
    struct world w;
    world_init(&w);
    w.drop_when_gone = true;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.gone = w.handled = 0;
        int fd = dial_plain(&w, cases[i].requests);
        RUN_UNTIL(&w.loop, w.gone == 1);
        assert_int_equal(w.handled, cases[i].handled + 1);
        RUN_UNTIL(&w.loop, http_server_stats(w.server).connections == 0);
        close(fd);
    }
    world_done(&w);
}

static void a_dropped_answer_is_seen_as_broken(void **state) {
    static const char *const requests[] = {GET("/begin"), GET("/keep")};
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        w.request = NULL;
        dial(&w);
        say(&w, requests[i]);
        RUN_UNTIL(&w.loop, w.request != NULL);
        http_request_drop(w.request);
        RUN_UNTIL(&w.loop, w.client.closed);
        assert_int_equal(w.client.why.code, ERR_IO); // a reset, not an orderly end
        assert_int_equal(w.gone, 0);                 // who dropped it knows
        hang_up(&w);
    }
    world_done(&w);
}

static void a_close_lets_pieces_finish_within_its_grace(void **state) {
    for (int finishes = 0; finishes < 2; finishes++) {
        struct world w;
        world_init(&w);
        dial(&w);
        say(&w, GET("/begin"));
        RUN_UNTIL(&w.loop, w.request != NULL);
        http_server_close(w.server, finishes ? 20000 : 50, on_done, &w);
        if (finishes) {
            unit_turns(&w.loop, 20);
            assert_int_equal(http_request_send(w.request, STR("last")), 0);
            http_request_end(w.request);
            RUN_UNTIL(&w.loop, w.done == 1 && w.client.closed);
            assert_true(got_end(&w, "4\r\nlast\r\n0\r\n\r\n"));
        } else {
            RUN_UNTIL(&w.loop, w.done == 1 && w.gone == 1);
            http_request_end(w.request); // after the server has gone
        }
        world_done(&w);
    }
}

static size_t word_json(char *dst, size_t cap, int status, const char *why) {
    return (size_t)snprintf(dst, cap, "{\"status\":%d,\"why\":\"%s\"}", status, why);
}

static void refusals_are_worded_by_the_program(void **state) {
    static const struct http_refusals json = {"application/json", word_json};
    static const struct {
        const char *request, *head, *end;
    } cases[] = {
        {GET("/nowhere"), "HTTP/1.1 404 ", "{\"status\":404,\"why\":\"nothing here\"}"},
        {"POST /hello HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nAllow: GET, HEAD\r\n",
         "{\"status\":405,\"why\":\"this path does not know the method\"}"},
        {"BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ",
         "{\"status\":501,\"why\":\"unknown method\"}"},
        {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ",
         "{\"status\":400,\"why\":\"HTTP/1.1 without Host\"}"},
    };
    struct world w;
    world_init_with(&w, (struct http_server_options){.refusals = &json});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dial(&w);
        say(&w, cases[i].request);
        RUN_UNTIL(&w.loop, got_end(&w, cases[i].end));
        assert_true(got(&w, cases[i].head) && got(&w, "Content-Type: application/json\r\n"));
        hang_up(&w);
    }
    world_done(&w);
}

static void every_failing_allocation_ends_the_answer_not_the_server(void **state) {
    bool served = false;
    for (long at = 1; !served; at++) {
        struct world w;
        world_init(&w);
        dial(&w);
        say(&w, GET("/whole"));
        RUN_UNTIL(&w.loop, net_stream_queued(w.client.stream) == 0);
        assert_non_null(buf_reserve(&w.client.got, 4096)); // the client's own memory does not end
        struct net_timer *tick = NULL;
        assert_int_equal(net_timer_start(&tick, &w.loop, 0, NS_PER_MS, unit_tick, NULL, NULL), 0);
        w.no_memory = true;
        mem_fail_from(at);
        for (int i = 0; i < 10; i++)
            uv_run(&w.loop, UV_RUN_ONCE);
        mem_fail_never();
        net_timer_stop(&tick);
        served = !w.client.closed && got_end(&w, "0\r\n\r\n");
        assert_true(at < 100);
        hang_up(&w);
        dial(&w);
        say(&w, GET("/hello"));
        RUN_UNTIL(&w.loop, got_end(&w, "hello\n"));
        world_done(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_framed_as_the_client_can_read_them),
        cmocka_unit_test(what_is_pipelined_behind_pieces_is_answered_after_them),
        cmocka_unit_test(an_end_that_writes_nothing_moves_the_connection_on),
        cmocka_unit_test(a_slow_reader_is_told_of_and_waited_for),
        cmocka_unit_test(a_piece_has_a_limit),
        cmocka_unit_test(a_client_that_goes_is_told_of_once),
        cmocka_unit_test(a_client_that_sends_no_more_counts_as_gone_where_somebody_watches),
        cmocka_unit_test(a_dropped_answer_is_seen_as_broken),
        cmocka_unit_test(a_close_lets_pieces_finish_within_its_grace),
        cmocka_unit_test(refusals_are_worded_by_the_program),
        cmocka_unit_test(every_failing_allocation_ends_the_answer_not_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
