// SPDX-License-Identifier: Apache-2.0
/* The scaler's feed over a loopback socket: who is shown, what an object without a workload says,
 * memory. */
#include "io_lab.h"

#include "net/listener.h"
#include "net/stream.h"
#include "scaler/live.h"

static const char workloads[] =
    "workloads:\n"
    "- {namespace: default, target: deployment/llm, scaledObjects: [llm], replicas: 2,\n"
    "   pods: [{name: llm-0, state: ready}, {name: llm-1, state: starting}]}\n"
    "- {namespace: default, target: deployment/none, scaledObjects: [none], replicas: 0}\n";

struct client {
    struct net_stream *stream;
    struct buf got;
    int ready;
};

static void on_ready(void *ctx) {
    ((struct client *)ctx)->ready++;
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    assert_int_equal(buf_add(&((struct client *)ctx)->got, p, n), 0);
}

static void on_nothing(void *ctx) {
}

static void on_closed(void *ctx, const struct err *why) {
    ((struct client *)ctx)->stream = NULL;
}

static const struct net_stream_ops ops = {on_ready, on_data, on_nothing, NULL, on_closed};
static void page(struct http_request *r, void *ctx) {
    live_page(r, ctx, &view_all);
}

static void feed(struct http_request *r, void *ctx) {
    live_feed(r, ctx, &view_all);
}

static const struct http_route routes[] = {{"GET", "/", page}, {"GET", "/api/v1/live", feed}, {0}};

static void tick(void *ctx) {
}

static bool got(const struct client *c, const char *text) {
    return c->got.len > 0 && memmem(c->got.p, c->got.len, text, strlen(text)) != NULL;
}

// Runs until it has `text`; 30 s without it have failed.
static void wait_for(struct io *io, struct client *c, const char *text) {
    struct net_timer *timer = NULL;
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    assert_int_equal(net_timer_start(&timer, &io->loop, 0, 5 * NS_PER_MS, tick, NULL, NULL), 0);
    while (!got(c, text) && clock_mono_ns() < end_ns)
        uv_run(&io->loop, UV_RUN_ONCE);
    net_timer_stop(&timer);
    if (!got(c, text))
        fail_msg("no %s in: %.*s", text, (int)c->got.len, c->got.len > 0 ? c->got.p : "");
}

static void dial(struct io *io, struct http_server *server, struct client *c, const char *path) {
    char request[128];
    buf_init(&c->got, 4 << 20);
    assert_int_equal(net_stream_connect(&io->loop, http_server_addr(server), NULL, NULL, 0, &ops, c,
                                        &c->stream, NULL),
                     0);
    while (!c->ready)
        uv_run(&io->loop, UV_RUN_ONCE);
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    assert_int_equal(net_stream_write(c->stream, request, (size_t)n), 0);
}

static void hang_up(struct io *io, struct client *c) {
    if (c->stream != NULL)
        net_stream_abort(c->stream, NULL);
    while (c->stream != NULL)
        uv_run(&io->loop, UV_RUN_ONCE);
    buf_done(&c->got);
}

static void on_server_closed(void *ctx) {
    *(bool *)ctx = true;
}

static void close_all(struct io *io, struct http_server *server) {
    bool closed = false;
    io_live_stop(io);
    http_server_close(server, 1000, on_server_closed, &closed);
    while (!closed)
        uv_run(&io->loop, UV_RUN_ONCE);
    lab_close(io);
}

static struct io *open_all(struct http_server **server) {
    struct io *io = lab_open(workloads, 64);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = io};
    assert_int_equal(http_server_open(server, &io->loop, &o, NULL), 0);
    assert_int_equal(io_live_start(io, NULL), 0);
    return io;
}

static void who_looks_sees_pods_and_what_is_wrong_and_nothing_that_is_not_known(void **state) {
    struct http_server *server;
    struct io *io = open_all(&server);
    lab_register(io, 7, "llm", "2", "vllm");
    lab_register(io, 8, "lost", "2", "vllm"); // no workload lists it
    struct client c = {0};
    dial(io, server, &c, "/api/v1/live");
    wait_for(io, &c, "{\"id\":\"7\",\"label\":\"default/llm\",\"about\":\"\"}");
    wait_for(io, &c, "\"policy\":\"7\"");
    wait_for(io, &c, "\"spec\":2,\"ready\":1,\"starting\":1}");
    wait_for(
        io, &c,
        "\"rps\":{\"arriving\":null,\"served\":null},\"queue\":{\"engines\":null,\"held\":null}");
    wait_for(io, &c, "\"rule\":{\"text\":\"requestRate sizes\"");
    wait_for(io, &c, "\"policy\":\"8\"");
    wait_for(io, &c,
             "\"replicas\":{\"wanted\":null,\"spec\":null,\"ready\":null,\"starting\":null}");
    wait_for(io, &c, "no workload");
    assert_false(got(&c, "\"arriving\":0"));
    lab_register(io, 9, "none", "2", "vllm"); // no pod: nothing waits in an engine
    wait_for(io, &c, "\"policy\":\"9\"");
    wait_for(io, &c, "\"queue\":{\"engines\":0,\"held\":null}");
    io_drop(io, 9);
    io_drop(io, 8); // the next second shows one
    wait_for(io, &c, "\"policies\":[{\"id\":\"7\",\"label\":\"default/llm\",\"about\":\"\"}]");
    hang_up(io, &c);
    close_all(io, server);
}

static void of_many_objects_the_first_are_shown_and_the_rest_is_told(void **state) {
    struct http_server *server;
    struct io *io = open_all(&server);
    for (uint64_t id = 1; id <= LIMIT_LIVE_POLICIES + 5; id++) {
        char name[16];
        snprintf(name, sizeof(name), "w%llu", (unsigned long long)id);
        lab_register(io, id, name, "2", "vllm");
    }
    struct client c = {0};
    dial(io, server, &c, "/api/v1/live");
    wait_for(io, &c, "16 of 21 ScaledObjects are shown");
    wait_for(io, &c, "\"policy\":\"16\"");
    assert_false(got(&c, "\"policy\":\"17\""));
    hang_up(io, &c);
    close_all(io, server);
}

static size_t count(const struct client *c, const char *text) {
    size_t n = 0, left = c->got.len;
    for (const char *at = c->got.p, *hit;
         left > 0 && (hit = memmem(at, left, text, strlen(text))) != NULL; n++) {
        at = hit + strlen(text);
        left = c->got.len - (size_t)(at - c->got.p);
    }
    return n;
}

static void who_moves_up_when_another_goes_is_told_of_only_once(void **state) {
    struct http_server *server;
    struct io *io = open_all(&server);
    for (uint64_t id = 7; id <= 9; id++) {
        char name[16];
        snprintf(name, sizeof(name), id == 9 ? "llm" : "w%llu", (unsigned long long)id);
        lab_register(io, id, name, "2", "vllm");
    }
    struct client c = {0};
    static const char decision[] = "\"decisions\":[{\"tS\"";
    dial(io, server, &c, "/api/v1/live");
    wait_for(io, &c, "\"policy\":\"9\"");
    size_t told = count(&c, decision);
    assert_true(told > 0);
    io_drop(io, 7);
    wait_for(io, &c, "\"policies\":[{\"id\":\"8\"");
    buf_clear(&c.got);
    wait_for(io, &c, "\"policy\":\"9\"");
    assert_int_equal(count(&c, decision), 0);
    io_drop(io, 8);
    wait_for(io, &c, "\"policies\":[{\"id\":\"9\"");
    wait_for(io, &c, "\"policy\":\"9\"");
    assert_int_equal(count(&c, decision), 0);
    hang_up(io, &c);
    close_all(io, server);
}

static void a_feed_that_ends_late_asks_no_source_that_has_gone(void **state) {
    struct http_server *server;
    struct io *io = open_all(&server);
    lab_register(io, 7, "llm", "2", "vllm");
    struct client a = {0}, b = {0};
    dial(io, server, &a, "/api/v1/live");
    dial(io, server, &b, "/api/v1/live");
    wait_for(io, &a, "\"policy\":\"7\"");
    wait_for(io, &b, "\"policy\":\"7\"");
    usleep(1100 * 1000); // the loop stalls for longer than a frame is young
    io_tick_stop(io);
    io_sources_stop(io);
    io_live_stop(io);
    hang_up(io, &a);
    hang_up(io, &b);
    close_all(io, server);
}

static void a_feed_that_has_ended_refuses_and_the_page_stays(void **state) {
    struct http_server *server;
    struct io *io = open_all(&server);
    io_live_stop(io);
    io_live_stop(io); // again is nothing
    struct client c = {0}, page = {0};
    dial(io, server, &c, "/api/v1/live");
    wait_for(io, &c, "HTTP/1.1 503 ");
    dial(io, server, &page, "/");
    wait_for(io, &page, "</html>");
    assert_true(got(&page, "\r\nContent-Security-Policy: default-src 'none'; "));
    hang_up(io, &c);
    hang_up(io, &page);
    close_all(io, server);
}

static void without_memory_there_is_no_feed(void **state) {
    struct io *io = lab_open(workloads, 64);
    for (long n = 1; n < 5; n++) {
        struct err e = {0};
        mem_fail_from(n);
        int rc = io_live_start(io, &e);
        mem_fail_never();
        assert_int_equal(rc, ERR_NOMEM);
        io_live_stop(io);
        uv_run(&io->loop, UV_RUN_NOWAIT);
    }
    lab_close(io);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_looks_sees_pods_and_what_is_wrong_and_nothing_that_is_not_known),
        cmocka_unit_test(of_many_objects_the_first_are_shown_and_the_rest_is_told),
        cmocka_unit_test(who_moves_up_when_another_goes_is_told_of_only_once),
        cmocka_unit_test(a_feed_that_ends_late_asks_no_source_that_has_gone),
        cmocka_unit_test(a_feed_that_has_ended_refuses_and_the_page_stays),
        cmocka_unit_test(without_memory_there_is_no_feed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
