// SPDX-License-Identifier: Apache-2.0
/*
 * net/grpc_conn, grpc_call and grpc_host: the server's checklist (docs/grpc.md), line by line,
 * against a client that is written frame by frame, in memory and in virtual time.
 */
#include "h2_peer.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_conn.h"

typedef Externalscaler__ScaledObjectRef ref_t;

static int64_t now_ns;
static struct grpc_host *host;
static struct grpc_conn *conn;
static struct h2_peer peer;
static unsigned outputs, ended, observed;
static int observed_status;
static char observed_method[64];
static int64_t observed_ns;
static struct grpc_call *held; // of Later and Stream
static char said[64];          // the name in the last request
static size_t reply_bytes;

static int64_t virtual_clock(void) {
    return now_ns;
}
static void on_output(void *shell) {
    outputs++;
}
static void on_end(struct grpc_call *c, void *ctx) {
    ended++;
    if (held == c)
        held = NULL;
}
static void on_observe(void *ctx, const char *method, int status, int64_t took_ns) {
    observed++;
    observed_status = status;
    observed_ns = took_ns;
    snprintf(observed_method, sizeof(observed_method), "%s", method);
}

static void note(const ProtobufCMessage *m) {
    const ref_t *r = (const ref_t *)m;
    snprintf(said, sizeof(said), "%.60s", r->name ? r->name : "");
}
static void handle_now(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    note(m);
    char *bytes = mem_zalloc(reply_bytes + 1);
    grpc_call_reply_packed(c, bytes, reply_bytes);
    mem_free(bytes);
}
static void handle_fail(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    grpc_call_finish(c, GRPC_NOT_FOUND, "50 %% ü");
}
static void handle_hold(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    note(m);
    held = c;
    grpc_call_on_end(c, on_end, NULL);
}
static void handle_bidi(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    if (m)
        grpc_call_send(c, m);
    else
        grpc_call_finish(c, GRPC_OK, NULL);
}

#define REF &externalscaler__scaled_object_ref__descriptor
static const struct grpc_method methods[] = {
    {.name = "Now", .request = REF, .handle = handle_now},
    {.name = "Fail", .request = REF, .handle = handle_fail},
    {.name = "Later", .request = REF, .handle = handle_hold},
    {.name = "Stream", .request = REF, .streams = true, .handle = handle_hold},
    {.name = "Bidi",
     .request = REF,
     .streams = true,
     .client_streams = true,
     .handle = handle_bidi},
};
static const struct grpc_service service = {
    .name = "t.S", .methods = methods, .n_methods = COUNT_OF(methods)};
static const struct grpc_service *const services[] = {&service, NULL};

/* Harness */

static void open_host(uint32_t age_ms) {
    struct grpc_host_options o = {.services = services,
                                  .max_connection_age_ms = age_ms,
                                  .seed = 1,
                                  .observe = on_observe,
                                  .clock = virtual_clock,
                                  .output = on_output};
    assert_int_equal(grpc_host_new(&host, &o, NULL), 0);
}

static int setup_with_age(uint32_t age_ms) {
    now_ns = 1000 * NS_PER_S;
    outputs = ended = observed = 0;
    held = NULL;
    said[0] = '\0';
    reply_bytes = 3;
    open_host(age_ms);
    assert_int_equal(grpc_conn_new(&conn, host, &conn, NULL, "", NULL), 0);
    peer_init(&peer);
    return 0;
}
static int setup(void **state) {
    return setup_with_age(0);
}
static int teardown(void **state) {
    grpc_conn_free(conn);
    assert_int_equal(grpc_host_stats(host).streams, 0);
    assert_int_equal(grpc_host_stats(host).request_bytes, 0);
    grpc_host_free(host);
    peer_done(&peer);
    return 0;
}

static void collect(void) {
    const uint8_t *p;
    for (size_t n; (n = grpc_conn_send(conn, &p)) > 0;)
        peer_take(&peer, p, n);
}
// Sends what was written, `piece` bytes at a time, and collects the answer.
static int exchange_in(size_t piece) {
    int err = 0;
    while (peer.out.len > 0 && err == 0) {
        size_t n = peer.out.len < piece ? peer.out.len : piece;
        uint8_t *copy = mem_alloc(n); // AddressSanitizer sees what keeps a pointer into it
        memcpy(copy, peer.out.p, n);
        buf_consume(&peer.out, n);
        err = grpc_conn_recv(conn, copy, n, NULL);
        mem_free(copy);
        collect();
    }
    buf_clear(&peer.out);
    return err;
}
static int exchange(void) {
    return exchange_in(SIZE_MAX);
}
static void pass(int64_t ns) {
    now_ns += ns;
    deadline_run(grpc_host_deadlines(host), now_ns);
    collect();
}
static void hello(void) {
    buf_addc(&peer.out, PREFACE);
    peer_frame(&peer, SETTINGS, 0, 0, "", 0);
}
static void greet(void) {
    hello();
    assert_int_equal(exchange(), 0);
    peer_clear(&peer);
}
static void headers_with(uint32_t stream, int flags, const char *path, const char *name,
                         const char *value) {
    const char *const fields[] = {
        ":method", "POST",       ":scheme", "http",         ":path",
        path,      ":authority", "x",       "content-type", "application/grpc",
        "te",      "trailers",   name,      value,          NULL};
    peer_headers(&peer, stream, flags, fields);
}
static void headers(uint32_t stream, int flags, const char *path) {
    headers_with(stream, flags, path, NULL, NULL);
}
// A whole call with the request {name: "ab"}.
static void call(uint32_t stream, const char *path) {
    headers(stream, 0, path);
    peer_message(&peer, stream, END_STREAM,
                 "\x0a\x02"
                 "ab",
                 4);
}
static void assert_status(uint32_t stream, int status) {
    char text[16];
    snprintf(text, sizeof(text), "%d", status);
    assert_string_equal(peer_header(&peer, stream, "grpc-status"), text);
}

/* 1: SETTINGS */

static void settings_come_first_and_wait_for_nothing(void **state) {
    collect();
    assert_int_equal(peer.n_frames, 1);
    const struct h2_frame *f = peer_find(&peer, SETTINGS, 0, 0);
    assert_int_equal(f->flags, 0);
    assert_int_equal(f->n, 12);
    assert_int_equal(f->body[1], 3); // MAX_CONCURRENT_STREAMS
    assert_int_equal(frame_u32(f, 2), 4096);
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

/* 2, 3: responses */

static void unary_response_is_headers_data_trailers(void **state) {
    greet();
    call(1, "/t.S/Now");
    assert_int_equal(exchange(), 0);
    assert_string_equal(said, "ab");
    assert_string_equal(peer_story(&peer, 1), "HDH+");
    assert_string_equal(peer_find(&peer, HEADERS, 1, 0)->headers,
                        ":status: 200\ncontent-type: application/grpc\n");
    const struct h2_frame *d = peer_find(&peer, DATA, 1, 0);
    assert_int_equal(d->n, 8);
    assert_memory_equal(d->body, "\0\0\0\0\3\0\0\0", 8);
    assert_string_equal(peer_find(&peer, HEADERS, 1, 1)->headers, "grpc-status: 0\n");
    assert_int_equal(outputs, 0); // output follows recv by itself
}

static void trailers_only_has_content_type(void **state) {
    greet();
    call(1, "/t.S/Fail");
    exchange();
    assert_string_equal(peer_story(&peer, 1), "H+");
    assert_string_equal(peer_find(&peer, HEADERS, 1, 0)->headers,
                        ":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\n"
                        "grpc-message: 50 %25 %C3%BC\n");
}

static void a_stream_has_headers_first_and_last_only(void **state) {
    greet();
    call(1, "/t.S/Stream");
    exchange();
    assert_string_equal(peer_story(&peer, 1), "");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(grpc_call_send_packed(held, "xy", 2), 0);
        assert_true(outputs > 0);
        collect();
        assert_int_equal(grpc_call_queued(held), 0);
    }
    grpc_call_finish(held, GRPC_OK, NULL);
    collect();
    assert_string_equal(peer_story(&peer, 1), "HDDDH+");
    assert_int_equal(ended, 0); // the handler ended it itself
}

static void a_stream_may_fail_after_messages(void **state) {
    greet();
    call(1, "/t.S/Stream");
    exchange();
    grpc_call_send_packed(held, "xy", 2);
    grpc_call_finish(held, GRPC_DATA_LOSS, "gone");
    collect();
    assert_string_equal(peer_story(&peer, 1), "HDH+");
    assert_status(1, GRPC_DATA_LOSS);
    assert_string_equal(peer_header(&peer, 1, "grpc-message"), "gone");
}

/* 4: messages */

static void every_split_of_the_bytes_gives_the_same_answer(void **state) {
    for (size_t piece = 1; piece < 200; piece++) {
        hello();
        call(1, "/t.S/Now");
        call(3, "/t.S/Fail");
        assert_int_equal(exchange_in(piece), 0);
        assert_string_equal(said, "ab");
        assert_string_equal(peer_story(&peer, 1), "HDH+");
        assert_string_equal(peer_story(&peer, 3), "H+");
        teardown(NULL);
        setup(NULL);
    }
}

static void prefix_may_straddle_data_frames(void **state) {
    static const uint8_t wire[] = "\0\0\0\0\4\x0a\x02"
                                  "ab";
    for (size_t cut = 0; cut <= 9; cut++) {
        for (int end = 0; end < 2; end++) {
            uint32_t stream = (uint32_t)(1 + 4 * cut + 2 * (size_t)end);
            if (stream == 1)
                greet();
            said[0] = '\0';
            headers(stream, 0, "/t.S/Now");
            peer_frame(&peer, DATA, 0, stream, wire, cut);
            peer_frame(&peer, DATA, end ? 0 : END_STREAM, stream, wire + cut, 9 - cut);
            if (end) { // END_STREAM comes alone, in bytes of its own
                exchange();
                assert_string_equal(said, "");
                peer_frame(&peer, DATA, END_STREAM, stream, "", 0);
            }
            exchange();
            assert_string_equal(said, "ab");
            assert_status(stream, GRPC_OK);
        }
    }
}

static void zero_length_message_is_legal(void **state) {
    greet();
    headers(1, 0, "/t.S/Now");
    peer_message(&peer, 1, END_STREAM, "", 0);
    reply_bytes = 0;
    exchange();
    assert_string_equal(peer_story(&peer, 1), "HDH+");
    assert_int_equal(peer_find(&peer, DATA, 1, 0)->n, 5);
    assert_status(1, GRPC_OK);
}

static void interleaved_requests_do_not_mix(void **state) {
    greet();
    headers(1, 0, "/t.S/Now");
    headers(3, 0, "/t.S/Now");
    peer_message(&peer, 1, 0,
                 "\x0a\x02"
                 "ab",
                 4); // whole, but its stream goes on
    peer_message(&peer, 3, 0,
                 "\x0a\x02"
                 "cd",
                 4);
    peer_frame(&peer, DATA, END_STREAM, 1, "", 0);
    exchange();
    assert_string_equal(said, "ab");
    peer_frame(&peer, DATA, END_STREAM, 3, "", 0);
    exchange();
    assert_string_equal(said, "cd");
}

static void a_message_over_the_limit_is_refused_at_its_prefix(void **state) {
    greet();
    headers(1, 0, "/t.S/Now");
    peer_frame(&peer, DATA, 0, 1, "\0\0\1\0\1", 5); // 65,537
    exchange();
    assert_status(1, GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(peer_story(&peer, 1), "H+R0");
}

static void flag_1_without_encoding_is_internal(void **state) {
    greet();
    headers(1, 0, "/t.S/Now");
    peer_frame(&peer, DATA, END_STREAM, 1, "\1\0\0\0\0", 5);
    exchange();
    assert_status(1, GRPC_INTERNAL);
}

static void unknown_encoding_is_unimplemented_and_says_identity(void **state) {
    greet();
    headers_with(1, 0, "/t.S/Now", "grpc-encoding", "gzip");
    exchange();
    assert_status(1, GRPC_UNIMPLEMENTED);
    assert_string_equal(peer_header(&peer, 1, "grpc-accept-encoding"), "identity");
    headers_with(3, 0, "/t.S/Now", "grpc-encoding", "identity");
    peer_message(&peer, 3, END_STREAM, "", 0);
    exchange();
    assert_status(3, GRPC_OK);
}

static void bad_messages_are_refused_with_their_reason(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        int status;
    } cases[] = {
        {"\x0a\x01\xff", 3, GRPC_INVALID_ARGUMENT},
        {"\x0a\x01\x00", 3, GRPC_INVALID_ARGUMENT},
        {"\x0a\x09", 2, GRPC_INTERNAL},
    };
    greet();
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        headers(1 + 2 * i, 0, "/t.S/Now");
        peer_message(&peer, 1 + 2 * i, END_STREAM, cases[i].bytes, cases[i].n);
        exchange();
        assert_status(1 + 2 * i, cases[i].status);
        assert_non_null(strstr(peer_header(&peer, 1 + 2 * i, "grpc-message"), "ScaledObjectRef"));
    }
    assert_string_equal(said, "");
}

static void one_request_message_no_more_no_less(void **state) {
    greet();
    headers(1, END_STREAM, "/t.S/Now");
    headers(3, 0, "/t.S/Now");
    peer_message(&peer, 3, 0, "", 0);
    peer_message(&peer, 3, END_STREAM, "", 0);
    headers(5, 0, "/t.S/Now");
    peer_frame(&peer, DATA, END_STREAM, 5, "\0\0\0\0\4ab", 7);
    exchange();
    assert_status(1, GRPC_UNIMPLEMENTED);
    assert_status(3, GRPC_UNIMPLEMENTED);
    assert_status(5, GRPC_INTERNAL); // cut
}

static void a_method_may_read_a_stream(void **state) {
    greet();
    headers(1, 0, "/t.S/Bidi");
    peer_message(&peer, 1, 0,
                 "\x0a\x02"
                 "ab",
                 4);
    peer_message(&peer, 1, 0,
                 "\x0a\x02"
                 "cd",
                 4);
    exchange_in(3);
    assert_string_equal(peer_story(&peer, 1), "HDD");
    assert_memory_equal(peer_find(&peer, DATA, 1, 1)->body,
                        "\0\0\0\0\4\x0a\x02"
                        "cd",
                        9);
    peer_frame(&peer, DATA, END_STREAM, 1, "", 0);
    exchange();
    assert_string_equal(peer_story(&peer, 1), "HDDH+");
    headers(3, END_STREAM, "/t.S/Bidi"); // none at all
    exchange();
    assert_status(3, GRPC_OK);
}

/* 5: grpc-timeout */

static void a_deadline_ends_the_call_and_tells_the_handler(void **state) {
    static const struct {
        const char *timeout;
        int64_t ns;
    } cases[] = {{"90n", 90},          {"7u", 7000},          {"2010m", 2010 * NS_PER_MS},
                 {"2S", 2 * NS_PER_S}, {"1M", 60 * NS_PER_S}, {"1H", 3600 * NS_PER_S}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        greet();
        headers_with(1, 0, "/t.S/Later", "grpc-timeout", cases[i].timeout);
        peer_message(&peer, 1, END_STREAM, "", 0);
        exchange();
        assert_non_null(held);
        for (int64_t left = cases[i].ns - 1; left > 0; left -= 50 * NS_PER_S) {
            pass(left < 50 * NS_PER_S ? left : 50 * NS_PER_S); // the client is alive meanwhile
            peer_frame(&peer, PING, 0, 0, "12345678", 8);
            exchange();
        }
        assert_int_equal(ended, 0);
        pass(1);
        assert_int_equal(ended, 1);
        assert_status(1, GRPC_DEADLINE_EXCEEDED);
        assert_int_equal(observed_status, GRPC_DEADLINE_EXCEEDED);
        assert_int_equal(observed_ns, cases[i].ns);
        teardown(NULL);
        setup(NULL);
    }
}

static void a_deadline_ends_a_request_that_never_comes(void **state) {
    greet();
    headers_with(1, 0, "/t.S/Now", "grpc-timeout", "5S");
    exchange();
    pass(5 * NS_PER_S);
    assert_string_equal(peer_story(&peer, 1), "H+R0");
    assert_status(1, GRPC_DEADLINE_EXCEEDED);
}

static void an_answered_call_has_no_deadline_left(void **state) {
    greet();
    headers_with(1, 0, "/t.S/Now", "grpc-timeout", "5S");
    peer_message(&peer, 1, END_STREAM, "", 0);
    exchange();
    peer_clear(&peer);
    pass(10 * NS_PER_S);
    assert_int_equal(peer.n_frames, 0);
}

static void a_malformed_timeout_is_refused(void **state) {
    greet();
    headers_with(1, 0, "/t.S/Now", "grpc-timeout", "123456789S");
    exchange();
    assert_status(1, GRPC_INTERNAL);
}

static void an_endless_timeout_is_none(void **state) {
    greet();
    headers_with(1, 0, "/t.S/Later", "grpc-timeout", "99999999H");
    peer_message(&peer, 1, END_STREAM, "", 0);
    exchange();
    assert_non_null(held);
}

/* 6: status before half-close */

static void status_before_half_close_resets_with_no_error(void **state) {
    greet();
    headers(1, 0, "/no.Such/Method");
    exchange();
    assert_string_equal(peer_story(&peer, 1), "H+R0");
    assert_status(1, GRPC_UNIMPLEMENTED);
    assert_non_null(strstr(peer_header(&peer, 1, "grpc-message"), "/no.Such/Method"));
    peer_message(&peer, 1, END_STREAM, "late", 4); // was on its way: no harm
    call(3, "/t.S/Now");
    assert_int_equal(exchange(), 0);
    assert_status(3, GRPC_OK);
}

static void status_after_half_close_does_not_reset(void **state) {
    greet();
    call(1, "/no.Such/Method");
    exchange();
    assert_string_equal(peer_story(&peer, 1), "H+"); // its end came with the same bytes
    call(3, "/t.S/Fail");
    exchange();
    assert_string_equal(peer_story(&peer, 3), "H+");
}

/* 7: streams */

static void the_4097th_stream_is_refused(void **state) {
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

static void a_stream_that_is_not_read_is_bounded_and_goes_on_later(void **state) {
    static char kib[1024];
    greet();
    call(1, "/t.S/Stream");
    exchange();
    size_t sent = 0;
    while (grpc_call_send_packed(held, kib, sizeof(kib)) == 0) {
        sent++;
        collect();
    }
    assert_true(grpc_call_queued(held) <= LIMIT_GRPC_SEND_QUEUE_BYTES + 2000);
    assert_true(sent > 1000 && sent < 1200); // the client's window of 65,535 and the queue
    assert_int_equal(grpc_call_send_packed(held, kib, sizeof(kib)), ERR_LIMIT);
    size_t data = 0;
    for (size_t i = 0; i < peer.n_frames; i++)
        data += peer.frames[i].type == DATA ? peer.frames[i].n : 0;
    assert_int_equal(data, 65535);
    peer_clear(&peer);
    peer_u32_frame(&peer, WINDOW_UPDATE, 0, 10 << 20);
    peer_u32_frame(&peer, WINDOW_UPDATE, 1, 10 << 20);
    exchange();
    assert_int_equal(grpc_call_queued(held), 0);
    assert_int_equal(grpc_call_send_packed(held, kib, sizeof(kib)), 0);
    grpc_call_finish(held, GRPC_OK, NULL);
    collect();
    assert_status(1, GRPC_OK);
}

static void bodies_of_every_frame_count(void **state) {
    static const size_t sizes[] = {0, 1, 16379, 16380, 16384 * 3 - 5, 16384 * 3 - 4};
    static const char *const stories[] = {"HDH+", "HDH+", "HDH+", "HDDH+", "HDDDH+", "HDDDDH+"};
    greet();
    peer_u32_frame(&peer, WINDOW_UPDATE, 0, 10 << 20);
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        reply_bytes = sizes[i];
        call(1 + 2 * i, "/t.S/Now");
        exchange();
        assert_string_equal(peer_story(&peer, 1 + 2 * i), stories[i]);
    }
}

static void request_bodies_up_to_the_limit(void **state) {
    static const size_t sizes[] = {0, 1, 16379, 16380, 16384 * 3, LIMIT_GRPC_REQUEST_BYTES};
    static char body[LIMIT_GRPC_REQUEST_BYTES];
    greet();
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t n = sizes[i] < 8 ? 0 : sizes[i] - 4, k = 0;
        if (n > 0) { // {name: "aaa..."} of n bytes, with a length of three
            body[k++] = '\x0a';
            body[k++] = (char)(n | 0x80);
            body[k++] = (char)(n >> 7 | 0x80);
            body[k++] = (char)(n >> 14);
            memset(body + k, 'a', n);
        }
        headers(1 + 2 * i, 0, "/t.S/Now");
        peer_message(&peer, 1 + 2 * i, END_STREAM, body, k + n);
        exchange_in(i % 2 ? 1000 : SIZE_MAX);
        assert_status(1 + 2 * i, GRPC_OK);
    }
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

/* Who may come in */

static void what_is_not_grpc_gets_an_http_status(void **state) {
    static const char *const get[] = {":method",  "GET",        ":scheme", "http", ":path",
                                      "/t.S/Now", ":authority", "x",       NULL};
    static const char *const types[][2] = {
        {"application/grpc", "200"},      {"application/grpc+proto", "200"},
        {"application/grpc;x=y", "200"},  {"Application/GRPC", "200"},
        {"application/grpc+json", "415"}, {"application/grpcweb", "415"},
        {"application/json", "415"},      {"", "415"},
    };
    greet();
    peer_headers(&peer, 1, END_STREAM, get);
    exchange();
    assert_string_equal(peer_header(&peer, 1, ":status"), "405");
    assert_string_equal(peer_header(&peer, 1, "allow"), "POST");
    for (uint32_t i = 0; i < COUNT_OF(types); i++) {
        const char *const fields[] = {":method",      "POST",      ":scheme",    "http",
                                      ":path",        "/t.S/Fail", ":authority", "x",
                                      "content-type", types[i][0], NULL};
        peer_headers(&peer, 3 + 2 * i, 0, fields);
        peer_message(&peer, 3 + 2 * i, END_STREAM, "", 0);
        exchange();
        assert_string_equal(peer_header(&peer, 3 + 2 * i, ":status"), types[i][1]);
        assert_true(peer_header(&peer, 3 + 2 * i, "grpc-status")[0] != '\0');
    }
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

/* Ends */

static void a_reset_by_the_client_tells_the_handler(void **state) {
    greet();
    call(1, "/t.S/Stream");
    exchange();
    peer_u32_frame(&peer, RST_STREAM, 1, 8);
    exchange();
    assert_int_equal(ended, 1);
    assert_int_equal(observed_status, GRPC_CANCELLED);
    assert_int_equal(grpc_host_stats(host).streams, 0);
}

static void a_lost_connection_tells_the_handler(void **state) {
    greet();
    call(1, "/t.S/Stream");
    call(3, "/t.S/Later");
    exchange();
    conn = grpc_conn_free(conn);
    assert_int_equal(ended, 2);
    assert_int_equal(observed, 2);
}

static void observers_see_method_status_and_time(void **state) {
    greet();
    call(1, "/t.S/Later");
    exchange();
    now_ns += 5 * NS_PER_MS;
    grpc_call_reply_packed(held, "", 0);
    assert_int_equal(observed, 1);
    assert_string_equal(observed_method, "/t.S/Later");
    assert_int_equal(observed_status, GRPC_OK);
    assert_int_equal(observed_ns, 5 * NS_PER_MS);
    collect();
    call(3, "/x/y");
    exchange();
    assert_string_equal(observed_method, "");
    assert_int_equal(observed_status, GRPC_UNIMPLEMENTED);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(settings_come_first_and_wait_for_nothing),
        T(a_silent_connection_has_no_http2_session),
        T(settings_are_sent_once),
        T(unary_response_is_headers_data_trailers),
        T(trailers_only_has_content_type),
        T(a_stream_has_headers_first_and_last_only),
        T(a_stream_may_fail_after_messages),
        T(every_split_of_the_bytes_gives_the_same_answer),
        T(prefix_may_straddle_data_frames),
        T(zero_length_message_is_legal),
        T(interleaved_requests_do_not_mix),
        T(a_message_over_the_limit_is_refused_at_its_prefix),
        T(flag_1_without_encoding_is_internal),
        T(unknown_encoding_is_unimplemented_and_says_identity),
        T(bad_messages_are_refused_with_their_reason),
        T(one_request_message_no_more_no_less),
        T(a_method_may_read_a_stream),
        T(a_deadline_ends_the_call_and_tells_the_handler),
        T(a_deadline_ends_a_request_that_never_comes),
        T(an_answered_call_has_no_deadline_left),
        T(a_malformed_timeout_is_refused),
        T(an_endless_timeout_is_none),
        T(status_before_half_close_resets_with_no_error),
        T(status_after_half_close_does_not_reset),
        T(the_4097th_stream_is_refused),
        T(pings_are_answered_and_never_struck),
        T(a_flood_of_control_frames_is_told_to_calm_down),
        T(rapid_reset_is_cut),
        T(a_continuation_flood_is_cut),
        T(shutdown_says_goaway_twice_with_a_round_trip_between),
        T(the_second_goaway_waits_a_second_at_most),
        T(calls_that_never_end_do_not_hold_a_drained_connection),
        T(connections_end_by_age_with_jitter),
        T(headers_over_8_kib_are_resource_exhausted),
        T(a_client_without_preface_is_closed_after_10_s),
        T(an_idle_connection_is_sent_away_and_a_busy_one_is_not),
        T(a_silent_client_is_pinged_and_then_cut),
        T(a_stream_that_is_not_read_is_bounded_and_goes_on_later),
        T(bodies_of_every_frame_count),
        T(request_bodies_up_to_the_limit),
        T(unfinished_requests_are_bounded_by_connection),
        T(what_is_not_grpc_gets_an_http_status),
        T(garbage_is_told_and_closed),
        T(a_reset_by_the_client_tells_the_handler),
        T(a_lost_connection_tells_the_handler),
        T(observers_see_method_status_and_time),
        T(every_allocation_failing_breaks_no_more_than_the_connection),
        T(random_frames_break_nothing),
        T(a_method_twice_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
