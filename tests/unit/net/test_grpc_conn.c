// SPDX-License-Identifier: Apache-2.0
/*
 * net/grpc_conn and grpc_host: the server's checklist (docs/grpc.md) about a connection: its first
 * frame, its limits, its times and its graceful end.
 */
#include "grpc_conn_unit.h"

/* 1: SETTINGS */

static void settings_come_first_and_wait_for_nothing(void **state) {
    collect();
    assert_int_equal(peer.n_frames, 1);
    const struct h2_frame *f = peer_find(&peer, SETTINGS, 0, 0);
    assert_int_equal(f->flags, 0);
    assert_int_equal(f->n, 12);
    assert_int_equal(f->body[1], 3); // MAX_CONCURRENT_STREAMS
    assert_int_equal(frame_u32(f, 2), LIMIT_GRPC_STREAMS);
    assert_int_equal(f->body[7], 6); // MAX_HEADER_LIST_SIZE
    assert_int_equal(frame_u32(f, 8), 8192);
}

static void a_silent_connection_has_no_http2_session(void **state) {
    struct grpc_conn *silent;
    mem_fail_never();
    assert_int_equal(grpc_conn_new(&silent, host, NULL, NULL, "", NULL), 0);
    assert_true(mem_fail_count() <= 2); // itself, and room among the deadlines
    grpc_conn_free(silent);
}

static void settings_are_sent_once(void **state) {
    hello();
    exchange();
    call(1, "/t.S/Now");
    exchange();
    size_t ours = 0;
    for (size_t i = 0; i < peer.n_frames; i++)
        ours += peer.frames[i].type == SETTINGS && peer.frames[i].flags == 0;
    assert_int_equal(ours, 1);
    assert_string_equal(peer_story(&peer, 1), "HDH+");
}

/* 7: streams */

static void one_stream_over_the_limit_is_refused(void **state) {
    greet();
    for (uint32_t i = 0; i < LIMIT_GRPC_STREAMS + 1; i++) {
        headers(1 + 2 * i, 0, "/t.S/Later");
        if (i % 512 == 511) {
            exchange();
            peer_clear(&peer);
        }
    }
    assert_int_equal(exchange(), 0);
    assert_int_equal(grpc_host_stats(host).streams, LIMIT_GRPC_STREAMS);
    assert_string_equal(peer_story(&peer, 2 * LIMIT_GRPC_STREAMS + 1), "R7");
}

/* 8: pings */

static void pings_are_answered_and_never_struck(void **state) {
    greet();
    for (uint32_t i = 0; i < 3000; i++) {
        peer_frame(&peer, PING, 0, 0, "abcdefgh", 8);
        call(1 + 2 * i, "/t.S/Now");
        assert_int_equal(exchange(), 0);
        const struct h2_frame *f = peer_find(&peer, PING, 0, 0);
        assert_int_equal(f->flags, ACK);
        assert_memory_equal(f->body, "abcdefgh", 8);
        peer_clear(&peer);
    }
}

static void a_flood_of_control_frames_is_told_to_calm_down(void **state) {
    static const struct {
        int type;
        uint32_t stream;
        const char *body;
        size_t n;
    } floods[] = {{PING, 0, "12345678", 8},
                  {SETTINGS, 0, "", 0},
                  {PRIORITY, 1, "\0\0\0\0\1", 5},
                  {WINDOW_UPDATE, 0, "\0\0\0\1", 4},
                  {DATA, 1, "", 0}};
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        greet();
        headers(1, 0, "/t.S/Later");
        exchange();
        int err = 0;
        for (int k = 0; k < 30 && err == 0; k++) {
            for (int m = 0; m < 50; m++)
                peer_frame(&peer, floods[i].type, 0, floods[i].stream, floods[i].body, floods[i].n);
            err = exchange();
            if (err == 0)
                peer_clear(&peer);
        }
        assert_int_equal(err, ERR_PROTO);
        assert_non_null(grpc_conn_over(conn));
        collect();
        assert_non_null(strstr(peer_story(&peer, 0), "/11")); // ENHANCE_YOUR_CALM
        assert_int_equal(grpc_host_stats(host).protocol_errors, 1);
        teardown(NULL);
        setup(NULL);
    }
}

static void rapid_reset_is_cut(void **state) {
    greet();
    int err = 0;
    for (uint32_t i = 0; i < 20000 && err == 0; i++) {
        headers(1 + 2 * i, 0, "/t.S/Now");
        peer_u32_frame(&peer, RST_STREAM, 1 + 2 * i, 8);
        if (i % 100 == 99) {
            err = exchange();
            collect();
            if (grpc_conn_over(conn))
                err = ERR_PROTO;
            peer_clear(&peer);
        }
    }
    assert_int_equal(err, ERR_PROTO);
    assert_int_equal(grpc_host_stats(host).streams, 0);
}

static void a_continuation_flood_is_cut(void **state) {
    greet();
    peer_frame(&peer, HEADERS, 0, 1, "", 0);
    for (int i = 0; i < 100; i++)
        peer_frame(&peer, CONT, 0, 1, "", 0);
    exchange();
    collect();
    assert_non_null(grpc_conn_over(conn));
}

/* 9: GOAWAY twice, age */

static void shutdown_says_goaway_twice_with_a_round_trip_between(void **state) {
    greet();
    call(1, "/t.S/Stream");
    exchange();
    struct grpc_call *stream = held;
    grpc_call_send_packed(stream, "x", 1);
    headers(3, 0, "/t.S/Later");
    exchange();
    peer_clear(&peer);
    grpc_conn_shutdown(conn);
    collect();
    assert_string_equal(peer_story(&peer, 0), "G2147483647/0I");
    call(5, "/t.S/Now"); // was on its way: answered
    peer_message(&peer, 3, END_STREAM, "", 0);
    exchange();
    assert_status(5, GRPC_OK);
    assert_int_equal(ended, 0);
    const struct h2_frame *ping = peer_find(&peer, PING, 0, 0);
    peer_frame(&peer, PING, ACK, 0, ping->body, 8);
    exchange();
    assert_string_equal(peer_story(&peer, 0), "G2147483647/0IG5/0");
    assert_string_equal(peer_story(&peer, 1), "H+"); // the stream's trailers: OK
    assert_status(1, GRPC_OK);
    assert_int_equal(ended, 1);
    call(7, "/t.S/Now"); // beyond the last id: not answered
    exchange();
    assert_string_equal(peer_story(&peer, 7), "");
    grpc_call_reply_packed(held, "", 0); // a unary call may finish
    collect();
    assert_status(3, GRPC_OK);
    assert_null(grpc_conn_over(conn));
    pass(NS_PER_S); // the client had its chance to close first
    assert_non_null(grpc_conn_over(conn));
    assert_int_equal(grpc_conn_over(conn)->code, ERR_CLOSED);
}

static void a_stream_whose_request_ends_while_draining_ends_with_ok(void **state) {
    greet();
    headers(1, 0, "/t.S/Stream");
    headers(3, 0, "/t.S/Now");
    exchange();
    grpc_conn_shutdown(conn);
    collect();
    pass(NS_PER_S);
    peer_message(&peer, 1, END_STREAM, "", 0);
    peer_message(&peer, 3, END_STREAM, "", 0);
    exchange();
    assert_status(1, GRPC_OK);
    assert_status(3, GRPC_OK);
    assert_int_equal(ended, 1);
    pass(NS_PER_S);
    assert_int_equal(grpc_conn_over(conn)->code, ERR_CLOSED);
}

static void the_second_goaway_waits_a_second_at_most(void **state) {
    greet();
    grpc_conn_shutdown(conn);
    collect();
    pass(NS_PER_S - 1);
    assert_string_equal(peer_story(&peer, 0), "G2147483647/0I");
    pass(1);
    assert_string_equal(peer_story(&peer, 0), "G2147483647/0IG0/0");
    pass(NS_PER_S);
    assert_int_equal(grpc_conn_over(conn)->code, ERR_CLOSED);
}

static void calls_that_never_end_do_not_hold_a_drained_connection(void **state) {
    greet();
    call(1, "/t.S/Later");
    exchange();
    grpc_conn_shutdown(conn);
    collect();
    pass(NS_PER_S);
    for (int i = 0; i < LIMIT_GRPC_DRAIN_MS / 1000; i++) {
        assert_null(grpc_conn_over(conn));
        pass(NS_PER_S);
    }
    assert_int_equal(grpc_conn_over(conn)->code, ERR_TIMEOUT);
}

static void connections_end_by_age_with_jitter(void **state) {
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 200; i++) {
        teardown(NULL);
        now_ns = 0;
        peer_init(&peer);
        open_host(100000);
        for (int skip = 0; skip < i; skip++) { // the host's random numbers go on
            struct grpc_conn *other;
            assert_int_equal(grpc_conn_new(&other, host, NULL, NULL, "", NULL), 0);
            grpc_conn_free(other);
        }
        now_ns = 1000 * NS_PER_S;
        assert_int_equal(grpc_conn_new(&conn, host, &conn, NULL, "", NULL), 0);
        greet();
        int64_t born = now_ns;
        while (peer.n_frames == 0 || strncmp(peer_story(&peer, 0), "G", 1) != 0) {
            peer_clear(&peer);
            peer_frame(&peer, PING, ACK, 0, "anything", 8); // alive
            exchange();
            pass(NS_PER_S / 2);
            assert_true(now_ns - born < 200 * NS_PER_S);
        }
        int64_t age = now_ns - born;
        least = age < least ? age : least;
        most = age > most ? age : most;
    }
    assert_true(least >= 90 * NS_PER_S && least < 92 * NS_PER_S);
    assert_true(most <= 111 * NS_PER_S && most > 108 * NS_PER_S);
}

/* 10, 11: limits and times */

static void headers_over_8_kib_are_resource_exhausted(void **state) {
    static char value[9000];
    memset(value, 'v', sizeof(value) - 1);
    greet();
    headers_with(1, 0, "/t.S/Now", "k", value);
    exchange();
    assert_status(1, GRPC_RESOURCE_EXHAUSTED);
    value[7000] = '\0';
    headers_with(3, 0, "/t.S/Now", "k", value);
    peer_message(&peer, 3, END_STREAM, "", 0);
    exchange();
    assert_status(3, GRPC_OK);
}

static void a_client_without_preface_is_closed_after_10_s(void **state) {
    for (int bytes = 0; bytes <= 24; bytes += 24) {
        if (bytes > 0)
            buf_addc(&peer.out, PREFACE); // and no SETTINGS
        exchange();
        pass(LIMIT_GRPC_HANDSHAKE_MS * NS_PER_MS - 1);
        assert_null(grpc_conn_over(conn));
        pass(1);
        assert_int_equal(grpc_conn_over(conn)->code, ERR_TIMEOUT);
        assert_true(outputs > 0); // the shell was told
        teardown(NULL);
        setup(NULL);
    }
}

static void an_idle_connection_is_sent_away_and_a_busy_one_is_not(void **state) {
    greet();
    for (int64_t s = 0; s < LIMIT_GRPC_IDLE_MS / 1000 - 30; s += 30) {
        peer_frame(&peer, PING, ACK, 0, "anything", 8);
        exchange();
        pass(30 * NS_PER_S);
    }
    assert_string_equal(peer_story(&peer, 0), "");
    peer_frame(&peer, PING, ACK, 0, "anything", 8);
    exchange();
    pass(31 * NS_PER_S);
    pass(31 * NS_PER_S);
    assert_non_null(strstr(peer_story(&peer, 0), "G2147483647/0"));
    teardown(NULL);
    setup(NULL);
    greet();
    call(1, "/t.S/Stream");
    exchange();
    for (int64_t s = 0; s < 2 * LIMIT_GRPC_IDLE_MS / 1000; s += 30) {
        peer_frame(&peer, PING, ACK, 0, "anything", 8);
        exchange();
        pass(30 * NS_PER_S);
    }
    assert_null(strstr(peer_story(&peer, 0), "G"));
}

static void a_silent_client_is_pinged_and_then_cut(void **state) {
    greet();
    call(1, "/t.S/Stream");
    exchange();
    pass(LIMIT_GRPC_KEEPALIVE_MS * NS_PER_MS);
    assert_string_equal(peer_story(&peer, 0), "I");
    pass(10 * NS_PER_S);
    peer_frame(&peer, PING, ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    exchange();
    pass(30 * NS_PER_S);
    assert_null(grpc_conn_over(conn)); // it answered
    pass(40 * NS_PER_S);
    assert_string_equal(peer_story(&peer, 0), "II");
    pass(LIMIT_GRPC_KEEPALIVE_TIMEOUT_MS * NS_PER_MS);
    assert_int_equal(grpc_conn_over(conn)->code, ERR_TIMEOUT);
}

static void unfinished_requests_are_bounded_by_connection(void **state) {
    static char body[60000];
    greet();
    // 60,000 bytes each, never finished. The receive window opens as bytes are taken.
    unsigned refused = 0;
    for (uint32_t i = 0; i < 700; i++) {
        headers(1 + 2 * i, 0, "/t.S/Now");
        peer_frame(&peer, DATA, 0, 1 + 2 * i, "\0\0\0\xff\xff", 5);
        for (int k = 0; k < 4; k++)
            peer_frame(&peer, DATA, 0, 1 + 2 * i, body, 15000);
        assert_int_equal(exchange(), 0);
        refused += strcmp(peer_header(&peer, 1 + 2 * i, "grpc-status"), "8") == 0;
        peer_clear(&peer);
        assert_true(grpc_host_stats(host).request_bytes <=
                    LIMIT_GRPC_CONN_REQUEST_BYTES + sizeof(body));
    }
    assert_true(refused > 100);
}

static void running_requests_are_bounded_by_connection(void **state) {
    static char body[16000]; // in one frame
    greet();
    body[0] = '\x0a'; // {name: "aaa..."}
    body[1] = (char)((sizeof(body) - 4) | 0x80);
    body[2] = (char)((sizeof(body) - 4) >> 7 | 0x80);
    body[3] = (char)((sizeof(body) - 4) >> 14);
    memset(body + 4, 'a', sizeof(body) - 4);
    unsigned refused = 0;
    for (uint32_t i = 0; i < 2500; i++) {
        headers(1 + 2 * i, 0, "/t.S/Stream");
        peer_message(&peer, 1 + 2 * i, END_STREAM, body, sizeof(body));
        assert_int_equal(exchange(), 0);
        refused += strcmp(peer_header(&peer, 1 + 2 * i, "grpc-status"), "8") == 0;
        peer_clear(&peer);
    }
    assert_true(refused > 300 && refused < 500);
}

static void garbage_is_told_and_closed(void **state) {
    static const char *const garbage[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n........",
                                          "PRI * HTTP/1.0\r\n\r\nSM\r\n\r\n........"};
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        buf_addc(&peer.out, garbage[i]);
        assert_true(exchange() < 0);
        assert_int_equal(grpc_conn_over(conn)->code, ERR_PROTO);
        assert_true(grpc_conn_recv(conn, (const uint8_t *)"more", 4, NULL) < 0);
        teardown(NULL);
        setup(NULL);
    }
}

/* Whatever comes */

static void every_allocation_failing_breaks_no_more_than_the_connection(void **state) {
    for (long i = 1; i < 400; i++) {
        hello();
        call(1, "/t.S/Now");
        call(3, "/t.S/Fail");
        call(5, "/t.S/Stream");
        size_t n = peer.out.len;
        uint8_t *copy = malloc(n);
        memcpy(copy, peer.out.p, n);
        mem_fail_from(i);
        grpc_conn_recv(conn, copy, n, NULL);
        if (held)
            grpc_call_send_packed(held, "x", 1);
        const uint8_t *p;
        while (grpc_conn_send(conn, &p) > 0) {
        }
        mem_fail_never();
        free(copy);
        teardown(NULL);
        setup(NULL);
    }
}

static void random_frames_break_nothing(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int round = 0; round < 400; round++) {
        hello();
        for (uint32_t i = 0; i < 30; i++) {
            uint8_t body[64];
            size_t n = random_below(&rnd, sizeof(body));
            uint32_t stream = 1 + 2 * (uint32_t)random_below(&rnd, 6);
            for (size_t k = 0; k < n; k++)
                body[k] = (uint8_t)random_below(&rnd, random_below(&rnd, 2) ? 4 : 256);
            switch (random_below(&rnd, 6)) {
            case 0:
                call(2 * i + 1, random_below(&rnd, 2) ? "/t.S/Stream" : "/t.S/Now");
                break;
            case 1:
                headers(2 * i + 1, (int)random_below(&rnd, 2), "/t.S/Bidi");
                break;
            case 2:
                peer_frame(&peer, DATA, (int)random_below(&rnd, 2), stream, body, n);
                break;
            case 3:
                peer_message(&peer, stream, 0, body, n);
                break;
            case 4:
                peer_u32_frame(&peer, RST_STREAM, stream, 8);
                break;
            default:
                if (random_below(&rnd, 4) == 0)
                    peer_frame(&peer, (int)random_below(&rnd, 12), (int)random_below(&rnd, 64),
                               stream & 3, body, n);
                break;
            }
        }
        exchange_in(1 + random_below(&rnd, 300));
        if (held && random_below(&rnd, 2))
            grpc_call_send_packed(held, "x", 1);
        collect();
        teardown(NULL);
        setup(NULL);
    }
}

static void a_method_twice_is_an_error(void **state) {
    static const struct grpc_service *const twice[] = {&service, &service, NULL};
    struct grpc_host_options o = {.services = twice, .output = on_output};
    struct grpc_host *h;
    struct err e;
    assert_int_equal(grpc_host_new(&h, &o, &e), ERR_EXISTS);
    assert_non_null(strstr(e.msg, "/t.S/Now"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(settings_come_first_and_wait_for_nothing),
        T(a_silent_connection_has_no_http2_session),
        T(settings_are_sent_once),
        T(one_stream_over_the_limit_is_refused),
        T(pings_are_answered_and_never_struck),
        T(a_flood_of_control_frames_is_told_to_calm_down),
        T(rapid_reset_is_cut),
        T(a_continuation_flood_is_cut),
        T(shutdown_says_goaway_twice_with_a_round_trip_between),
        T(a_stream_whose_request_ends_while_draining_ends_with_ok),
        T(the_second_goaway_waits_a_second_at_most),
        T(calls_that_never_end_do_not_hold_a_drained_connection),
        T(connections_end_by_age_with_jitter),
        T(headers_over_8_kib_are_resource_exhausted),
        T(a_client_without_preface_is_closed_after_10_s),
        T(an_idle_connection_is_sent_away_and_a_busy_one_is_not),
        T(a_silent_client_is_pinged_and_then_cut),
        T(unfinished_requests_are_bounded_by_connection),
        T(running_requests_are_bounded_by_connection),
        T(garbage_is_told_and_closed),
        T(every_allocation_failing_breaks_no_more_than_the_connection),
        T(random_frames_break_nothing),
        T(a_method_twice_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
