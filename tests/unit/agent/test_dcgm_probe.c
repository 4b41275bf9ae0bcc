// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "agent/dcgm_probe.h"
#include "base/clock.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"

static const char exporter_page[] = "HTTP/1.0 200 OK\r\n\r\n# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
                                    "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-1\"} 97\n";
static const char agents_page[] = "HTTP/1.0 200 OK\r\n\r\nDCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 97\n"
                                  "gpuscale_agent_build_info{version=\"0.1.0\"} 1\n"
                                  "DCGM_FI_DEV_FB_USED{gpu=\"0\"} 97\n";

static void test_a_page_is_told_apart(void **state) {
    static const char other[] = "# HELP up is it\nup 1\n";
    assert_int_equal(agent_dcgm_page_is_exporter(exporter_page, sizeof exporter_page - 1), 1);
    assert_int_equal(agent_dcgm_page_is_exporter(agents_page, sizeof agents_page - 1), -1);
    assert_int_equal(agent_dcgm_page_is_exporter(other, sizeof other - 1), 0);
    assert_int_equal(agent_dcgm_page_is_exporter(NULL, 0), 0);
}

struct peer {
    uv_loop_t loop;
    struct net_listener *listener;
    struct net_stream *stream;
    const char *answer;
    struct net_timer *deadline;
    int answers; // of the probe
    enum agent_dcgm_answer last;
    bool late;
};

static void peer_data(void *ctx, const uint8_t *p, size_t n) {
    struct peer *s = ctx;
    net_stream_write(s->stream, s->answer, strlen(s->answer));
    net_stream_close(s->stream);
}

static void peer_ready(void *ctx) {
}

static void peer_closed(void *ctx, const struct err *why) {
    struct peer *s = ctx;
    s->stream = NULL;
}

static const struct net_stream_ops peer_ops = {
    .ready = peer_ready, .data = peer_data, .closed = peer_closed};

static void peer_accepted(void *ctx, int fd) {
    struct peer *s = ctx;
    assert_int_equal(net_stream_accept(&s->loop, fd, NULL, 2000, &peer_ops, s, &s->stream, NULL),
                     0);
}

static void on_answer(void *ctx, enum agent_dcgm_answer answer) {
    struct peer *s = ctx;
    s->answers++;
    s->last = answer;
}

static void on_deadline(void *ctx) {
    struct peer *s = ctx;
    s->late = true;
}

// What the probe says of a peer that answers so; NULL: nobody listens.
static enum agent_dcgm_answer ask(const char *answer) {
    struct peer s = {.answer = answer};
    struct agent_dcgm_probe *p = NULL;
    struct err e = {0};
    char addr[128];
    uv_loop_init(&s.loop);
    struct net_listener_options o = {
        .listen = "127.0.0.1:0", .max_connections = 8, .accepted = peer_accepted, .ctx = &s};
    assert_int_equal(net_listener_open(&s.listener, &s.loop, &o, &e), 0);
    net_addr_format(net_listener_addr(s.listener), addr, sizeof addr);
    if (!answer)
        s.listener = net_listener_close(s.listener);
    assert_int_equal(net_timer_start(&s.deadline, &s.loop, 20 * NS_PER_S, 0, on_deadline, &s, &e),
                     0);
    if (agent_dcgm_probe_start(&p, &s.loop, addr, on_answer, &s, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(agent_dcgm_probe_answer(p), AGENT_DCGM_ASKING);
    while (s.answers == 0 && !s.late)
        uv_run(&s.loop, UV_RUN_ONCE);
    assert_false(s.late);
    agent_dcgm_probe_stop(p);
    net_timer_stop(&s.deadline);
    if (s.listener)
        net_listener_close(s.listener);
    if (s.stream)
        net_stream_abort(s.stream, NULL);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&s.loop);
    return s.last;
}

static void test_an_exporter_is_found(void **state) {
    assert_int_equal(ask(exporter_page), AGENT_DCGM_FOUND);
}

static void test_an_agent_a_stranger_and_nobody_are_none(void **state) {
    assert_int_equal(ask(agents_page), AGENT_DCGM_NONE);
    assert_int_equal(ask("HTTP/1.0 404 Not Found\r\n\r\nnothing\n"), AGENT_DCGM_NONE);
    assert_int_equal(ask("\x15\x03\x01\x02"), AGENT_DCGM_NONE); // a TLS alert
    assert_int_equal(ask(NULL), AGENT_DCGM_NONE);
}

static void test_an_address_without_host_or_port_is_refused(void **state) {
    static const char *const bad[] = {"", ":9400", "host", "host:0", "host:99999"};
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct agent_dcgm_probe *p = NULL;
        struct err e = {0};
        assert_int_not_equal(agent_dcgm_probe_start(&p, &loop, bad[i], on_answer, NULL, &e), 0);
        assert_null(p);
        assert_true(e.msg[0]);
    }
    net_loop_drain_close(&loop);
}

static void test_stopping_while_it_asks_is_silent(void **state) {
    struct peer s = {.answer = exporter_page};
    struct agent_dcgm_probe *p = NULL;
    struct err e = {0};
    uv_loop_init(&s.loop);
    assert_int_equal(agent_dcgm_probe_start(&p, &s.loop, "localhost:1", on_answer, &s, &e), 0);
    agent_dcgm_probe_stop(p);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&s.loop);
    assert_int_equal(s.answers, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_page_is_told_apart),
        cmocka_unit_test(test_an_exporter_is_found),
        cmocka_unit_test(test_an_agent_a_stranger_and_nobody_are_none),
        cmocka_unit_test(test_an_address_without_host_or_port_is_refused),
        cmocka_unit_test(test_stopping_while_it_asks_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
