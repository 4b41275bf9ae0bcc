// SPDX-License-Identifier: Apache-2.0
/* One GET against servers that answer, refuse, hang, cut and talk too much. */
#include "net/net_unit.h"

#include "net/loop.h"
#include "playground/fetch_page.h"

// A server that says `text` to whoever connects, as soon as a request came, then does what it does.
enum then { THEN_WAIT, THEN_CLOSE, THEN_RESET };

struct world {
    uv_loop_t loop;
    struct net_listener *listener;
    struct unit_end peer;
    const char *text;
    enum then then;
    int done;
    int code, status; // of the answer
    bool complete;
    char message[ERR_MSG_MAX], body[256];
    struct fetch_page *fetch;
};

static void peer_data(void *ctx, const uint8_t *p, size_t n) {
    struct world *w = ctx;
    assert_int_equal(buf_add(&w->peer.got, p, n), 0);
    if (!str_ends(buf_str(&w->peer.got), "\r\n\r\n"))
        return;
    assert_int_equal(net_stream_write(w->peer.stream, w->text, strlen(w->text)), 0);
    if (w->then == THEN_CLOSE)
        net_stream_close(w->peer.stream);
    else if (w->then == THEN_RESET)
        net_stream_abort(w->peer.stream, NULL);
}

static void peer_ready(void *ctx) {
}

static void peer_closed(void *ctx, const struct err *why) {
    struct world *w = ctx;
    w->peer.stream = NULL;
    w->peer.closed++;
}

static const struct net_stream_ops peer_ops = {
    .ready = peer_ready, .data = peer_data, .closed = peer_closed};

static void on_accept(void *ctx, int fd) {
    struct world *w = ctx;
    assert_int_equal(net_stream_accept(&w->loop, fd, NULL, 0, &peer_ops, w, &w->peer.stream, NULL),
                     0);
}

static void on_done(void *ctx, const struct fetch_page_answer *a) {
    struct world *w = ctx;
    w->done++;
    w->fetch = NULL;
    w->code = a->error ? a->error->code : 0;
    w->status = a->status;
    w->complete = a->complete;
    snprintf(w->message, sizeof(w->message), "%s", a->error ? a->error->msg : "");
    snprintf(w->body, sizeof(w->body), STR_FMT, STR_ARG(a->body));
}

static int start(struct world *w, const char *addr, size_t max_bytes, struct err *e) {
    struct fetch_page_options o = {.addr = addr,
                                   .path = "/metrics",
                                   .timeout_ms = 300,
                                   .max_bytes = max_bytes,
                                   .done = on_done,
                                   .ctx = w};
    return fetch_page_start(&w->fetch, &w->loop, &o, e);
}

static void world_init(struct world *w) {
    *w = (struct world){0};
    uv_loop_init(&w->loop);
    unit_end_init(&w->peer);
    struct net_listener_options o = {
        .listen = "127.0.0.1:0", .max_connections = 4, .accepted = on_accept, .ctx = w};
    assert_int_equal(net_listener_open(&w->listener, &w->loop, &o, NULL), 0);
}

static void world_done(struct world *w) {
    w->listener = net_listener_close(w->listener);
    if (w->peer.stream)
        net_stream_abort(w->peer.stream, NULL);
    unit_turns(&w->loop, 20);
    RUN_UNTIL(&w->loop, !w->peer.stream);
    unit_end_done(&w->peer);
    net_loop_drain_close(&w->loop);
}

static void run(struct world *w, size_t max_bytes) {
    char addr[64];
    net_addr_format(net_listener_addr(w->listener), addr, sizeof(addr));
    assert_int_equal(start(w, addr, max_bytes, NULL), 0);
    assert_int_equal(w->done, 0); // never from inside
    RUN_UNTIL(&w->loop, w->done == 1);
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

static void answers_and_faults_are_told_apart(void **state) {
    static const struct {
        const char *text;
        enum then then;
        int code, status;
        const char *body;
        bool complete;
    } cases[] = {
        {HEAD "a 1\n", THEN_WAIT, 0, 200, "a 1\n", true},
        {HEAD "a 1\n", THEN_CLOSE, 0, 200, "a 1\n", true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n",
         THEN_WAIT, 0, 200, "a 1\n", true},
        {"HTTP/1.0 200 OK\r\n\r\na 1\n", THEN_CLOSE, 0, 200, "a 1\n", false},
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", THEN_WAIT, 0, 503, "",
         true},
        {HEAD "a", THEN_CLOSE, ERR_PROTO, 0, "", false},
        {HEAD "a", THEN_RESET, ERR_IO, 0, "", false},
        {"", THEN_CLOSE, ERR_PROTO, 0, "", false},
        {"", THEN_WAIT, ERR_TIMEOUT, 0, "", false},
        {HEAD "a", THEN_WAIT, ERR_TIMEOUT, 0, "", false},
        {"SSH-2.0-x\r\n", THEN_WAIT, ERR_PROTO, 0, "", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", THEN_WAIT, ERR_LIMIT, 0, "",
         false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        w.text = cases[i].text;
        w.then = cases[i].then;
        run(&w, 8);
        if (w.code != cases[i].code)
            print_message("# case %zu: %s\n", i, w.message);
        assert_int_equal(w.code, cases[i].code);
        assert_int_equal(w.status, cases[i].status);
        assert_string_equal(w.body, cases[i].body);
        assert_int_equal(w.complete, cases[i].complete);
        assert_int_equal(w.message[0] != '\0', cases[i].code != 0);
        world_done(&w);
    }
}

static void the_request_names_path_and_host_and_closes(void **state) {
    struct world w;
    char addr[64], wanted[256];
    world_init(&w);
    w.text = HEAD "a 1\n";
    net_addr_format(net_listener_addr(w.listener), addr, sizeof(addr));
    run(&w, 64);
    snprintf(wanted, sizeof(wanted), "GET /metrics HTTP/1.1\r\nHost: %s\r\n", addr);
    assert_true(str_starts(buf_str(&w.peer.got), wanted));
    assert_non_null(memmem(w.peer.got.p, w.peer.got.len, "Connection: close\r\n", 19));
    world_done(&w);
}

static void a_port_that_nobody_serves_is_told(void **state) {
    struct world w;
    char addr[64];
    struct err e = {0};
    world_init(&w);
    net_addr_format(net_listener_addr(w.listener), addr, sizeof(addr));
    w.listener = net_listener_close(w.listener);
    unit_turns(&w.loop, 5);
    if (start(&w, addr, 64, &e) == 0) {
        RUN_UNTIL(&w.loop, w.done == 1);
        assert_int_equal(w.code, ERR_IO);
    } else {
        assert_int_equal(e.code, ERR_IO);
    }
    assert_int_equal(start(&w, "no-address", 64, &e), ERR_PARSE);
    world_done(&w);
}

static void a_cancelled_fetch_says_nothing(void **state) {
    struct world w;
    char addr[64];
    world_init(&w);
    w.text = "";
    net_addr_format(net_listener_addr(w.listener), addr, sizeof(addr));
    assert_int_equal(start(&w, addr, 64, NULL), 0);
    RUN_UNTIL(&w.loop, w.peer.got.len > 0);
    w.fetch = fetch_page_cancel(w.fetch);
    RUN_UNTIL(&w.loop, w.peer.closed == 1);
    assert_int_equal(w.done, 0);
    assert_null(fetch_page_cancel(NULL));
    world_done(&w);
}

static void every_failed_allocation_is_an_error(void **state) {
    for (long n = 1; n < 100; n++) {
        struct world w;
        char addr[64];
        world_init(&w);
        w.text = HEAD "a 1\n";
        net_addr_format(net_listener_addr(w.listener), addr, sizeof(addr));
        mem_fail_from(n);
        int r = start(&w, addr, 64, NULL);
        mem_fail_never();
        if (r == 0)
            RUN_UNTIL(&w.loop, w.done == 1);
        else
            assert_int_equal(r, ERR_NOMEM);
        world_done(&w);
        if (r == 0)
            return;
    }
    fail_msg("never enough memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_faults_are_told_apart),
        cmocka_unit_test(the_request_names_path_and_host_and_closes),
        cmocka_unit_test(a_port_that_nobody_serves_is_told),
        cmocka_unit_test(a_cancelled_fetch_says_nothing),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
