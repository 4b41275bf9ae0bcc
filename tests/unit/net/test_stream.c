// SPDX-License-Identifier: Apache-2.0
/*
 * Streams over real loopback sockets, both ends on one loop: order of callbacks, flow, limits,
 * closing in every way. The same facts hold plain and over TLS where a table says so.
 */
#include "net_unit.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/limits.h"

enum { HANDSHAKE_MS = 20000 };

struct world {
    uv_loop_t loop;
    struct net_listener *listener;
    struct net_tls *server_tls, *client_tls;
    const struct net_stream_ops *server_ops;
    struct unit_end server, client;
    struct unit_dir dir;
    struct unit_cert ca, leaf;
    bool secure;
};

static void on_accepted(void *ctx, int fd) {
    struct world *w = ctx;
    assert_int_equal(net_stream_accept(&w->loop, fd, w->server_tls, HANDSHAKE_MS, w->server_ops,
                                       &w->server, &w->server.stream, NULL),
                     0);
}

static void make_tls(struct world *w) {
    static const struct unit_cert_spec ca = {.common_name = "ca", .ca = true};
    static const struct unit_cert_spec leaf = {.common_name = "both ends",
                                               .san = "DNS:localhost,IP:127.0.0.1"};
    unit_dir_init(&w->dir);
    w->ca = unit_cert_new(&ca, NULL);
    w->leaf = unit_cert_new(&leaf, &w->ca);
    struct net_tls_files files = {unit_write_cert(&w->dir, "crt", &w->leaf),
                                  unit_write_key(&w->dir, "key", &w->leaf),
                                  unit_write_cert(&w->dir, "ca", &w->ca)};
    assert_int_equal(net_tls_new(&w->server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, NULL), 0);
    assert_int_equal(net_tls_new(&w->client_tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &files, NULL), 0);
}

static void world_init(struct world *w, bool secure) {
    *w = (struct world){.secure = secure, .server_ops = &unit_ops};
    uv_loop_init(&w->loop);
    unit_end_init(&w->server);
    unit_end_init(&w->client);
    if (secure)
        make_tls(w);
    struct net_listener_options o = {"127.0.0.1:0", 10000, on_accepted, w};
    assert_int_equal(net_listener_open(&w->listener, &w->loop, &o, NULL), 0);
}

static void world_connect(struct world *w, const struct net_stream_ops *ops) {
    struct err e = {0};
    int r = net_stream_connect(&w->loop, net_listener_addr(w->listener), w->client_tls, "localhost",
                               HANDSHAKE_MS, ops, &w->client, &w->client.stream, &e);
    if (r < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(w->client.ready, 0); // never from inside the call
    RUN_UNTIL(&w->loop, w->client.ready && w->server.ready);
}

static void world_done(struct world *w) {
    if (w->server.stream)
        net_stream_abort(w->server.stream, NULL);
    if (w->client.stream)
        net_stream_abort(w->client.stream, NULL);
    RUN_UNTIL(&w->loop, !w->server.stream && !w->client.stream);
    net_listener_close(w->listener);
    net_loop_drain_close(&w->loop);
    unit_end_done(&w->server);
    unit_end_done(&w->client);
    net_tls_free(w->server_tls);
    net_tls_free(w->client_tls);
    if (w->secure) {
        unit_cert_free(&w->ca);
        unit_cert_free(&w->leaf);
        unit_dir_done(&w->dir);
    }
}

// Bytes that tell their place.
static char *pattern(size_t n) {
    char *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return p;
}

static void check_pattern(const struct unit_end *u, size_t n) {
    char *p = pattern(n);
    assert_int_equal(u->got.len, n);
    assert_memory_equal(u->got.p, p, n);
    free(p);
}

static void megabytes_arrive_both_ways(bool secure) {
    struct world w;
    enum { N = 3 << 20 };
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    assert_string_equal(net_stream_peer_name(w.server.stream), secure ? "both ends" : "");
    w.server.echo_to = &w.server;
    char *p = pattern(N);
    size_t at = 0;
    while (at < N) { // in uneven pieces, some of them long
        size_t n = at % 7 * 12347 + 1;
        n = n < N - at ? n : N - at;
        assert_int_equal(net_stream_write(w.client.stream, p + at, n), 0);
        at += n;
    }
    assert_int_equal(w.client.drained, 0); // not inside a call
    RUN_UNTIL(&w.loop, w.client.got_bytes == N);
    check_pattern(&w.client, N);
    assert_int_equal(net_stream_queued(w.client.stream), 0);
    assert_true(w.client.drained >= 1);
    free(p);
    world_done(&w);
    assert_int_equal(w.server.closed, 1);
    assert_int_equal(w.client.closed, 1);
}

static void plain_megabytes_arrive_both_ways(void **state) {
    megabytes_arrive_both_ways(false);
}

static void tls_megabytes_arrive_both_ways(void **state) {
    megabytes_arrive_both_ways(true);
}

static void writes_before_ready_are_sent_after_it(bool secure) {
    struct world w;
    world_init(&w, secure);
    assert_int_equal(net_stream_connect(&w.loop, net_listener_addr(w.listener), w.client_tls,
                                        "localhost", HANDSHAKE_MS, &unit_ops, &w.client,
                                        &w.client.stream, NULL),
                     0);
    assert_int_equal(net_stream_write(w.client.stream, "early", 5), 0);
    RUN_UNTIL(&w.loop, w.server.got_bytes == 5);
    world_done(&w);
}

static void plain_writes_before_ready_are_sent_after_it(void **state) {
    writes_before_ready_are_sent_after_it(false);
}

static void tls_writes_before_ready_are_sent_after_it(void **state) {
    writes_before_ready_are_sent_after_it(true);
}

static void a_close_flushes_what_was_queued(bool secure) {
    struct world w;
    enum { N = 2 << 20 };
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    char *p = pattern(N);
    assert_int_equal(net_stream_write(w.server.stream, p, N), 0);
    net_stream_close(w.server.stream);
    assert_int_equal(net_stream_write(w.server.stream, p, 1), ERR_CLOSED);
    net_stream_close(w.server.stream); // again is nothing
    assert_int_equal(w.server.closed, 0);
    RUN_UNTIL(&w.loop, w.server.closed && w.client.closed);
    check_pattern(&w.client, N);
    assert_int_equal(w.server.why.code, ERR_CLOSED);
    assert_int_equal(w.client.why.code, ERR_CLOSED);
    assert_int_equal(w.client.ready + w.client.closed, 2);
    free(p);
    world_done(&w);
}

static void plain_close_flushes_what_was_queued(void **state) {
    a_close_flushes_what_was_queued(false);
}

static void tls_close_flushes_what_was_queued(void **state) {
    a_close_flushes_what_was_queued(true);
}

static void small_writes_wait_for_the_end_of_the_turn_large_ones_do_not(void **state) {
    struct world w;
    world_init(&w, false);
    world_connect(&w, &unit_ops);
    for (int i = 0; i < 100; i++)
        assert_int_equal(net_stream_write(w.client.stream, "0123456789", 10), 0);
    assert_int_equal(net_stream_queued(w.client.stream), 1000);
    RUN_UNTIL(&w.loop, w.client.drained == 1 && w.server.got_bytes == 1000);
    char *p = pattern(LIMIT_STREAM_BATCH_BYTES);
    assert_int_equal(net_stream_write(w.client.stream, p, LIMIT_STREAM_BATCH_BYTES), 0);
    assert_true(net_stream_queued(w.client.stream) < LIMIT_STREAM_BATCH_BYTES);
    assert_int_equal(w.client.drained, 1);
    RUN_UNTIL(&w.loop, w.client.drained == 2);
    free(p);
    world_done(&w);
}

// An answer that refuses a request must survive the rest of the request that still comes in: a
// close(2) with unread bytes would reset the connection and drop it.
static void a_close_with_unread_input_loses_no_output(bool secure) {
    struct world w;
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    net_stream_pause(w.server.stream);
    char *p = pattern(1 << 20);
    assert_int_equal(net_stream_write(w.client.stream, p, 1 << 20), 0);
    unit_turns(&w.loop, 20); // the server's socket fills
    assert_int_equal(net_stream_write(w.server.stream, "too large", 9), 0);
    net_stream_close(w.server.stream);
    RUN_UNTIL(&w.loop, w.client.got_bytes == 9);
    RUN_UNTIL(&w.loop, w.client.closed && w.server.closed);
    assert_int_equal(w.client.why.code, ERR_CLOSED);
    assert_int_equal(w.server.got_bytes, 0);
    free(p);
    world_done(&w);
}

static void plain_close_with_unread_input_loses_no_output(void **state) {
    a_close_with_unread_input_loses_no_output(false);
}

static void tls_close_with_unread_input_loses_no_output(void **state) {
    a_close_with_unread_input_loses_no_output(true);
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

// How often the loop turns in so long when nothing happens: a descriptor that stays ready without
// being read would make it spin.
static int turns_in(uv_loop_t *loop, int64_t ns) {
    bool over = false;
    struct net_timer *t = NULL;
    int turns = 0;
    assert_int_equal(net_timer_start(&t, loop, ns, 0, set_flag, &over, NULL), 0);
    do {
        uv_run(loop, UV_RUN_ONCE);
        turns++;
    } while (!over);
    net_timer_stop(&t);
    return turns;
}

static void a_half_closed_peer_still_gets_its_answer(bool secure) {
    struct world w;
    world_init(&w, secure);
    w.server_ops = &unit_ops_eof;
    world_connect(&w, &unit_ops);
    assert_int_equal(net_stream_write(w.client.stream, "question", 8), 0);
    net_stream_close(w.client.stream); // tells its end, then waits for ours
    RUN_UNTIL(&w.loop, w.server.eof);
    assert_int_equal(w.server.got_bytes, 8);
    assert_int_equal(w.server.closed, 0);
    int drained = w.server.drained;
    assert_int_equal(net_stream_write(w.server.stream, "answer", 6), 0);
    RUN_UNTIL(&w.loop, w.server.drained > drained);
    assert_true(turns_in(&w.loop, 30 * NS_PER_MS) < 15);
    assert_int_equal(w.server.eof, 1); // told once
    net_stream_close(w.server.stream);
    RUN_UNTIL(&w.loop, w.server.closed && w.client.closed);
    world_done(&w);
}

static void plain_half_closed_peer_still_gets_its_answer(void **state) {
    a_half_closed_peer_still_gets_its_answer(false);
}

static void tls_half_closed_peer_still_gets_its_answer(void **state) {
    a_half_closed_peer_still_gets_its_answer(true);
}

static void a_peer_that_does_not_read_is_cut_at_the_limit(bool secure) {
    struct world w;
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    net_stream_pause(w.client.stream);
    char *p = pattern(1 << 20);
    int r = 0;
    size_t written = 0;
    for (int i = 0; i < 100 && r == 0; i++) {
        r = net_stream_write(w.server.stream, p, 1 << 20);
        written += 1 << 20;
        unit_turns(&w.loop, 5);
    }
    assert_int_equal(r, ERR_LIMIT);
    assert_true(written > LIMIT_STREAM_WRITE_BYTES);
    RUN_UNTIL(&w.loop, w.server.closed);
    assert_int_equal(w.server.why.code, ERR_LIMIT);
    assert_non_null(strstr(w.server.why.msg, "does not read"));
    net_stream_resume(w.client.stream);
    RUN_UNTIL(&w.loop, w.client.closed); // by a reset: nothing waits in the kernel
    free(p);
    world_done(&w);
}

static void plain_peer_that_does_not_read_is_cut_at_the_limit(void **state) {
    a_peer_that_does_not_read_is_cut_at_the_limit(false);
}

static void tls_peer_that_does_not_read_is_cut_at_the_limit(void **state) {
    a_peer_that_does_not_read_is_cut_at_the_limit(true);
}

static void a_paused_stream_gets_nothing_and_loses_nothing(bool secure) {
    struct world w;
    enum { N = 200000 };
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    net_stream_pause(w.server.stream);
    char *p = pattern(N);
    assert_int_equal(net_stream_write(w.client.stream, p, N), 0);
    unit_turns(&w.loop, 50);
    assert_int_equal(w.server.got_bytes, 0);
    net_stream_resume(w.server.stream);
    assert_int_equal(w.server.got_bytes, 0); // not inside the call
    RUN_UNTIL(&w.loop, w.server.got_bytes == N);
    check_pattern(&w.server, N);
    free(p);
    world_done(&w);
}

static void plain_paused_stream_gets_nothing_and_loses_nothing(void **state) {
    a_paused_stream_gets_nothing_and_loses_nothing(false);
}

static void tls_paused_stream_gets_nothing_and_loses_nothing(void **state) {
    a_paused_stream_gets_nothing_and_loses_nothing(true);
}

// Pauses itself after each piece: what OpenSSL holds already must not be forgotten.
struct sipper {
    struct unit_end end;
    int sips;
};

static void sip(void *ctx, const uint8_t *p, size_t n) {
    struct sipper *s = ctx;
    unit_on_data(&s->end, p, n);
    s->sips++;
    net_stream_pause(s->end.stream);
}

static void a_reader_that_pauses_in_its_callback_gets_all_in_turn(bool secure) {
    static const struct net_stream_ops ops = {unit_on_ready, sip, NULL, NULL, unit_on_closed};
    struct world w;
    enum { N = 1 << 20 };
    world_init(&w, secure);
    world_connect(&w, &unit_ops);
    struct sipper s = {.end = w.server};
    net_stream_set_ops(w.server.stream, &ops, &s);
    char *p = pattern(N);
    assert_int_equal(net_stream_write(w.client.stream, p, N), 0);
    int sips = 0;
    while (s.end.got_bytes < N) {
        RUN_UNTIL(&w.loop, s.sips == sips + 1);
        unit_turns(&w.loop, 3);
        assert_int_equal(s.sips, sips + 1);
        sips = s.sips;
        net_stream_resume(s.end.stream);
    }
    check_pattern(&s.end, N);
    free(p);
    w.server = s.end;
    net_stream_set_ops(w.server.stream, &unit_ops, &w.server);
    world_done(&w);
}

// Small records pile up inside OpenSSL, where no descriptor tells of them.
static void a_resumed_reader_gets_what_openssl_holds(void **state) {
    static const struct net_stream_ops ops = {unit_on_ready, sip, NULL, NULL, unit_on_closed};
    struct world w;
    enum { RECORD = 1000, N = (64 << 10) / RECORD * RECORD + 5 * RECORD };
    world_init(&w, true);
    world_connect(&w, &unit_ops);
    struct sipper s = {.end = w.server};
    net_stream_set_ops(w.server.stream, &ops, &s);
    net_stream_pause(s.end.stream);
    char *p = pattern(N);
    for (int i = 0; i < N; i += RECORD) {
        assert_int_equal(net_stream_write(w.client.stream, p + i, RECORD), 0);
        RUN_UNTIL(&w.loop, net_stream_queued(w.client.stream) == 0);
    }
    net_stream_resume(s.end.stream);
    RUN_UNTIL(&w.loop, s.sips == 1);
    assert_int_equal(s.end.got_bytes, 64 << 10);
    net_stream_resume(s.end.stream);
    RUN_UNTIL(&w.loop, s.sips == 2);
    check_pattern(&s.end, N);
    free(p);
    w.server = s.end;
    net_stream_set_ops(w.server.stream, &unit_ops, &w.server);
    world_done(&w);
}

static void plain_reader_that_pauses_gets_all_in_turn(void **state) {
    a_reader_that_pauses_in_its_callback_gets_all_in_turn(false);
}

static void tls_reader_that_pauses_gets_all_in_turn(void **state) {
    a_reader_that_pauses_in_its_callback_gets_all_in_turn(true);
}

static void an_abort_is_a_reset_with_its_reason_told_here(void **state) {
    struct world w;
    world_init(&w, false);
    world_connect(&w, &unit_ops);
    struct err why;
    (void)err_set(&why, ERR_PROTO, "broke the protocol");
    net_stream_abort(w.server.stream, &why);
    net_stream_abort(w.server.stream, NULL); // the first reason counts
    assert_int_equal(net_stream_write(w.server.stream, "x", 1), ERR_CLOSED);
    net_stream_pause(w.server.stream);
    net_stream_resume(w.server.stream);
    net_stream_close(w.server.stream);
    assert_int_equal(w.server.closed, 0);
    RUN_UNTIL(&w.loop, w.server.closed && w.client.closed);
    assert_string_equal(w.server.why.msg, "broke the protocol");
    assert_int_equal(w.client.why.code, ERR_IO);
    assert_non_null(strstr(w.client.why.msg, "reset"));
    world_done(&w);
}

static void bytes_before_a_reset_are_delivered(void **state) {
    struct world w;
    world_init(&w, false);
    world_connect(&w, &unit_ops);
    assert_int_equal(net_stream_write(w.server.stream, "last words", 10), 0);
    int drained = w.server.drained;
    net_stream_pause(w.client.stream); // both arrive before it reads
    RUN_UNTIL(&w.loop, w.server.drained > drained);
    net_stream_resume(w.client.stream);
    net_stream_abort(w.server.stream, NULL);
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_int_equal(w.client.got_bytes, 10);
    world_done(&w);
}

static void a_loop_may_be_drained_right_after_an_abort(void **state) {
    struct world w;
    world_init(&w, false);
    world_connect(&w, &unit_ops);
    net_stream_abort(w.server.stream, NULL);
    net_stream_abort(w.client.stream, NULL);
    net_listener_close(w.listener);
    net_loop_drain_close(&w.loop);
    assert_int_equal(w.server.closed + w.client.closed, 2);
    unit_end_done(&w.server);
    unit_end_done(&w.client);
}

static void connects_that_fail_say_why(void **state) {
    struct world w;
    world_init(&w, false);
    struct net_addr gone = *net_listener_addr(w.listener);
    w.listener = net_listener_close(w.listener);
    struct err e = {0};
    assert_int_equal(net_stream_connect(&w.loop, &gone, NULL, NULL, 1000, &unit_ops, &w.client,
                                        &w.client.stream, &e),
                     0);
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_int_equal(w.client.why.code, ERR_IO);
    assert_non_null(strstr(w.client.why.msg, "connecting to 127.0.0.1:"));
    assert_non_null(strstr(w.client.why.msg, "refused"));
    assert_int_equal(w.client.ready, 0);
    struct net_addr nowhere;
    assert_int_equal(net_addr_parse(STR("unix:/nonexistent/sock"), &nowhere, NULL), 0);
    assert_int_equal(net_stream_connect(&w.loop, &nowhere, NULL, NULL, 1000, &unit_ops, &w.client,
                                        &w.client.stream, &e),
                     ERR_IO);
    assert_non_null(strstr(e.msg, "unix:/nonexistent/sock"));
    assert_null(w.client.stream);
    world_done(&w);
}

static void unix_sockets_work_alike(void **state) {
    struct world w;
    world_init(&w, false);
    unit_dir_init(&w.dir);
    char listen_text[128];
    snprintf(listen_text, sizeof(listen_text), "unix:%s", unit_path(&w.dir, "s"));
    net_listener_close(w.listener);
    struct net_listener_options o = {listen_text, 10, on_accepted, &w};
    assert_int_equal(net_listener_open(&w.listener, &w.loop, &o, NULL), 0);
    world_connect(&w, &unit_ops);
    w.server.echo_to = &w.server;
    char peer[NET_HOST_MAX];
    net_addr_format(net_stream_peer(w.client.stream), peer, sizeof(peer));
    assert_string_equal(peer, listen_text);
    assert_int_equal(net_stream_write(w.client.stream, "ping", 4), 0);
    RUN_UNTIL(&w.loop, w.client.got_bytes == 4);
    struct unit_dir dir = w.dir;
    world_done(&w);
    unit_dir_done(&dir);
}

// Closes or aborts its stream inside the callback named by `at`.
struct quitter {
    struct unit_end end;
    int at;
    bool abort;
};

static void quit(struct quitter *q, int at) {
    if (q->at != at)
        return;
    if (q->abort)
        net_stream_abort(q->end.stream, NULL);
    else
        net_stream_close(q->end.stream);
    assert_int_equal(q->end.closed, 0);
}

static void quit_ready(void *ctx) {
    unit_on_ready(ctx);
    (void)net_stream_write(((struct quitter *)ctx)->end.stream, "hello", 5);
    quit(ctx, 0);
}

static void quit_data(void *ctx, const uint8_t *p, size_t n) {
    unit_on_data(ctx, p, n);
    quit(ctx, 1);
}

static void quit_drained(void *ctx) {
    unit_on_drained(ctx);
    quit(ctx, 2);
}

static void quit_eof(void *ctx) {
    unit_on_eof(ctx);
    quit(ctx, 3);
}

static void a_stream_may_end_inside_any_callback(void **state) {
    static const struct net_stream_ops ops = {quit_ready, quit_data, quit_drained, quit_eof,
                                              unit_on_closed};
    for (int i = 0; i < 16; i++) {
        struct world w;
        world_init(&w, i & 1);
        struct quitter q = {.at = i >> 2, .abort = i & 2};
        buf_init(&q.end.got, 1 << 20);
        w.server.echo_to = &w.server;
        assert_int_equal(net_stream_connect(&w.loop, net_listener_addr(w.listener), w.client_tls,
                                            "localhost", HANDSHAKE_MS, &ops, &q, &q.end.stream,
                                            NULL),
                         0);
        if (q.at == 3) { // wait for the echo, then let the server end
            RUN_UNTIL(&w.loop, q.end.got_bytes == 5);
            net_stream_close(w.server.stream);
        }
        RUN_UNTIL(&w.loop, q.end.closed == 1);
        unit_turns(&w.loop, 5);
        assert_int_equal(q.end.closed, 1);
        buf_done(&q.end.got);
        world_done(&w);
    }
}

static void every_failing_allocation_ends_cleanly(bool secure) {
    bool all_good = false;
    for (long at = 1; !all_good; at++) {
        struct world w;
        struct err e = {0};
        world_init(&w, secure);
        w.server.echo_to = &w.server;
        mem_fail_from(at);
        int r = net_stream_connect(&w.loop, net_listener_addr(w.listener), w.client_tls,
                                   "localhost", HANDSHAKE_MS, &unit_ops, &w.client,
                                   &w.client.stream, &e);
        if (r == 0)
            r = net_stream_write(w.client.stream, "ping", 4);
        mem_fail_never();
        if (r == 0) {
            RUN_UNTIL(&w.loop, w.client.got_bytes == 4);
            all_good = true;
        } else {
            assert_int_equal(r, ERR_NOMEM);
            assert_true(at < 20);
        }
        world_done(&w);
    }
}

static void plain_failing_allocations_end_cleanly(void **state) {
    every_failing_allocation_ends_cleanly(false);
}

static void tls_failing_allocations_end_cleanly(void **state) {
    every_failing_allocation_ends_cleanly(true);
}

// Memory ends while the loop runs: both ends are told, nothing hangs or leaks.
static void memory_that_ends_in_flight_ends_the_stream(void **state) {
    for (long at = 1; at < 12; at++) {
        struct world w;
        world_init(&w, true);
        world_connect(&w, &unit_ops);
        w.server.discard = w.client.discard = true;
        w.server.echo_to = &w.server;
        assert_int_equal(net_stream_write(w.client.stream, "ping", 4), 0);
        struct net_timer *tick = NULL;
        assert_int_equal(net_timer_start(&tick, &w.loop, 0, NS_PER_MS, unit_tick, NULL, NULL), 0);
        mem_fail_from(at);
        for (int i = 0; i < 30 && w.client.got_bytes < 4 && !w.server.closed; i++)
            uv_run(&w.loop, UV_RUN_ONCE);
        mem_fail_never();
        net_timer_stop(&tick);
        if (w.server.closed)
            assert_int_equal(w.server.why.code, ERR_NOMEM);
        world_done(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_megabytes_arrive_both_ways),
        cmocka_unit_test(tls_megabytes_arrive_both_ways),
        cmocka_unit_test(plain_writes_before_ready_are_sent_after_it),
        cmocka_unit_test(tls_writes_before_ready_are_sent_after_it),
        cmocka_unit_test(small_writes_wait_for_the_end_of_the_turn_large_ones_do_not),
        cmocka_unit_test(plain_close_flushes_what_was_queued),
        cmocka_unit_test(tls_close_flushes_what_was_queued),
        cmocka_unit_test(plain_close_with_unread_input_loses_no_output),
        cmocka_unit_test(tls_close_with_unread_input_loses_no_output),
        cmocka_unit_test(plain_half_closed_peer_still_gets_its_answer),
        cmocka_unit_test(tls_half_closed_peer_still_gets_its_answer),
        cmocka_unit_test(plain_peer_that_does_not_read_is_cut_at_the_limit),
        cmocka_unit_test(tls_peer_that_does_not_read_is_cut_at_the_limit),
        cmocka_unit_test(plain_paused_stream_gets_nothing_and_loses_nothing),
        cmocka_unit_test(tls_paused_stream_gets_nothing_and_loses_nothing),
        cmocka_unit_test(plain_reader_that_pauses_gets_all_in_turn),
        cmocka_unit_test(tls_reader_that_pauses_gets_all_in_turn),
        cmocka_unit_test(a_resumed_reader_gets_what_openssl_holds),
        cmocka_unit_test(an_abort_is_a_reset_with_its_reason_told_here),
        cmocka_unit_test(bytes_before_a_reset_are_delivered),
        cmocka_unit_test(a_loop_may_be_drained_right_after_an_abort),
        cmocka_unit_test(connects_that_fail_say_why),
        cmocka_unit_test(unix_sockets_work_alike),
        cmocka_unit_test(a_stream_may_end_inside_any_callback),
        cmocka_unit_test(plain_failing_allocations_end_cleanly),
        cmocka_unit_test(tls_failing_allocations_end_cleanly),
        cmocka_unit_test(memory_that_ends_in_flight_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
