// SPDX-License-Identifier: Apache-2.0
/* A feed of server-sent events over loopback sockets: late readers, slow ones, ones that go. */
#include "net_unit.h"

#include "net/http_server.h"
#include "net/sse.h"

enum { EVENT_BYTES = 32 << 10, MAX_READERS = 2 };

struct world {
    uv_loop_t loop;
    struct http_server *server;
    struct sse_feed *feed;
    struct unit_end clients[3];
    uint64_t written; // events of the log: numbers 1..written
    unsigned readers; // as told
    int done;
    char event[EVENT_BYTES];
};

static bool next(void *ctx, uint64_t cursor[2], struct str *ret) {
    struct world *w = ctx;
    if (cursor[0] == w->written)
        return false;
    cursor[0]++;
    cursor[1] = cursor[0] * 2; // is the source's own
    int n = snprintf(w->event, sizeof(w->event), "data: <%llu>", (unsigned long long)cursor[0]);
    memset(w->event + n, ' ', sizeof(w->event) - (size_t)n - 2);
    memcpy(w->event + sizeof(w->event) - 2, "\n\n", 2);
    *ret = (struct str){w->event, sizeof(w->event)};
    return true;
}

static void on_readers(void *ctx, unsigned n) {
    ((struct world *)ctx)->readers = n;
}

static void get_feed(struct http_request *r, void *ctx) {
    sse_feed_join(((struct world *)ctx)->feed, r);
}

static const struct http_route routes[] = {{"GET", "/feed", get_feed}, {NULL, NULL, NULL}};

static void world_init_ending(struct world *w, int64_t end_after_ns) {
    *w = (struct world){0};
    uv_loop_init(&w->loop);
    for (size_t i = 0; i < COUNT_OF(w->clients); i++)
        unit_end_init(&w->clients[i]);
    const struct sse_source source = {next, on_readers, w, end_after_ns};
    w->feed = sse_feed_new(&w->loop, &source, MAX_READERS);
    assert_non_null(w->feed);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = w};
    assert_int_equal(http_server_open(&w->server, &w->loop, &o, NULL), 0);
}

static void world_init(struct world *w) {
    world_init_ending(w, 0);
}

static void on_done(void *ctx) {
    ((struct world *)ctx)->done++;
}

static void dial(struct world *w, int i, const char *request) {
    struct unit_end *c = &w->clients[i];
    assert_int_equal(net_stream_connect(&w->loop, http_server_addr(w->server), NULL, NULL, 0,
                                        &unit_ops, c, &c->stream, NULL),
                     0);
    RUN_UNTIL(&w->loop, c->ready);
    assert_int_equal(net_stream_write(c->stream, request, strlen(request)), 0);
}

static bool got(const struct unit_end *c, const char *text) {
    return c->got.len > 0 && memmem(c->got.p, c->got.len, text, strlen(text)) != NULL;
}

static void hang_up(struct world *w, int i) {
    if (w->clients[i].stream)
        net_stream_abort(w->clients[i].stream, NULL);
    RUN_UNTIL(&w->loop, !w->clients[i].stream);
    unit_end_done(&w->clients[i]);
}

static void world_done(struct world *w) {
    w->feed = sse_feed_free(w->feed);
    for (int i = 0; i < (int)COUNT_OF(w->clients); i++)
        hang_up(w, i);
    http_server_close(w->server, 1000, on_done, w);
    RUN_UNTIL(&w->loop, w->done == 1);
    net_loop_drain_close(&w->loop);
}

#define GET "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"

static void readers_get_what_was_and_what_comes(void **state) {
    struct world w;
    world_init(&w);
    w.written = 2;
    dial(&w, 0, GET);
    RUN_UNTIL(&w.loop, got(&w.clients[0], "<2>"));
    assert_true(got(&w.clients[0], "Content-Type: text/event-stream\r\n"));
    assert_true(got(&w.clients[0], "<1>"));
    assert_int_equal(w.readers, 1);
    dial(&w, 1, GET);
    w.written = 3;
    RUN_UNTIL(&w.loop, got(&w.clients[1], "<3>")); // joins and reads on
    sse_feed_changed(w.feed);
    RUN_UNTIL(&w.loop, got(&w.clients[0], "<3>"));
    assert_int_equal(sse_feed_readers(w.feed), 2);
    w.feed = sse_feed_free(w.feed); // ends them: the last chunk
    assert_int_equal(w.readers, 2); // its source may be half gone: it hears nothing of it
    RUN_UNTIL(&w.loop, got(&w.clients[0], "\r\n0\r\n\r\n") && got(&w.clients[1], "\r\n0\r\n\r\n"));
    world_done(&w);
}

static void one_reader_too_many_is_told_to_come_back(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, 0, GET);
    dial(&w, 1, GET);
    RUN_UNTIL(&w.loop, w.readers == 2);
    dial(&w, 2, GET);
    RUN_UNTIL(&w.loop, got(&w.clients[2], "too many readers"));
    assert_true(got(&w.clients[2], "HTTP/1.1 503 "));
    assert_true(got(&w.clients[2], "Retry-After: 5\r\n"));
    hang_up(&w, 0);
    unit_end_init(&w.clients[0]);
    RUN_UNTIL(&w.loop, w.readers == 1);
    assert_int_equal(sse_feed_readers(w.feed), 1);
    world_done(&w);
}

static void a_slow_reader_holds_nothing_back_and_goes_on_where_it_was(void **state) {
    struct world w;
    world_init(&w);
    dial(&w, 0, GET);
    dial(&w, 1, GET);
    RUN_UNTIL(&w.loop, w.readers == 2);
    net_stream_pause(w.clients[0].stream);
    w.clients[1].discard = true;
    w.clients[0].discard = true;
    size_t before = w.clients[0].got_bytes;
    enum { EVENTS = 1000 }; // 32 MB: more than sockets hold
    for (int i = 0; i < EVENTS; i++) {
        w.written++;
        sse_feed_changed(w.feed);
        size_t want = w.written * EVENT_BYTES;
        RUN_UNTIL(&w.loop, w.clients[1].got_bytes >= want);
    }
    assert_int_equal(w.readers, 2);
    assert_true(w.clients[0].got_bytes < before + EVENTS * EVENT_BYTES / 2);
    net_stream_resume(w.clients[0].stream);
    RUN_UNTIL(&w.loop, w.clients[0].got_bytes >= w.written * EVENT_BYTES);
    world_done(&w);
}

static void a_head_is_answered_at_once_and_is_no_reader(void **state) {
    struct world w;
    world_init(&w);
    w.written = 1;
    dial(&w, 0, "HEAD /feed HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    RUN_UNTIL(&w.loop, got(&w.clients[0], "<1>")); // the GET behind it
    assert_int_equal(w.readers, 1);
    world_done(&w);
}

static void an_old_answer_ends_whole_and_its_reader_comes_again(void **state) {
    struct world w;
    world_init_ending(&w, 30 * NS_PER_MS);
    w.written = 1;
    dial(&w, 0, GET);
    RUN_UNTIL(&w.loop, got(&w.clients[0], "\r\n0\r\n\r\n"));
    assert_true(got(&w.clients[0], "<1>"));
    assert_true(got(&w.clients[0], "retry: 100\n\n"));
    assert_int_equal(w.readers, 0);
    assert_int_equal(net_stream_write(w.clients[0].stream, GET, strlen(GET)), 0);
    RUN_UNTIL(&w.loop, w.readers == 1); // on the same connection
    world_done(&w);
}

static void without_memory_there_is_no_feed_and_no_reader(void **state) {
    struct world w;
    world_init(&w);
    const struct sse_source source = {next, NULL, &w};
    for (long n = 1; n < 4; n++) {
        mem_fail_from(n);
        struct sse_feed *f = sse_feed_new(&w.loop, &source, 1);
        mem_fail_never();
        sse_feed_free(f);
    }
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_get_what_was_and_what_comes),
        cmocka_unit_test(one_reader_too_many_is_told_to_come_back),
        cmocka_unit_test(a_slow_reader_holds_nothing_back_and_goes_on_where_it_was),
        cmocka_unit_test(a_head_is_answered_at_once_and_is_no_reader),
        cmocka_unit_test(an_old_answer_ends_whole_and_its_reader_comes_again),
        cmocka_unit_test(without_memory_there_is_no_feed_and_no_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
