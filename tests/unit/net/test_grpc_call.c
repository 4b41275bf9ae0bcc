// SPDX-License-Identifier: Apache-2.0
/*
 * net/grpc_call: the server's checklist (docs/grpc.md) about one call: its request in any pieces,
 * its answer frame by frame, its deadline and its ends.
 */
#include "grpc_conn_unit.h"

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
                 4); // whole, but their streams go on
    peer_message(&peer, 3, 0,
                 "\x0a\x02"
                 "cd",
                 4);
    exchange();
    assert_string_equal(said, "");
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

static void an_answer_on_its_way_has_no_deadline_either(void **state) {
    greet();
    reply_bytes = 100000; // more than the client's window
    headers_with(1, 0, "/t.S/Now", "grpc-timeout", "5S");
    peer_message(&peer, 1, END_STREAM, "", 0);
    exchange();
    pass(10 * NS_PER_S);
    assert_int_equal(observed, 1);
    peer_u32_frame(&peer, WINDOW_UPDATE, 0, 100000);
    peer_u32_frame(&peer, WINDOW_UPDATE, 1, 100000);
    exchange();
    assert_status(1, GRPC_OK);
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

/* Bodies */

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

static void a_connection_that_is_not_read_is_bounded_as_a_whole(void **state) {
    enum { CALLS = 80 };
    static char mib[1 << 20];
    struct grpc_call *calls[CALLS];
    size_t held_mib = 0;
    greet();
    for (uint32_t i = 0; i < CALLS; i++) {
        call(1 + 2 * i, "/t.S/Stream");
        exchange();
        calls[i] = held;
        assert_int_equal(grpc_call_send_packed(calls[i], "", 0), 0);
        collect();
    }
    // One short message first: a stream whose queue is empty may always send one.
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(grpc_call_send_packed(calls[i], mib, 1 << 16), 0);
        collect();
        held_mib += grpc_call_send_packed(calls[i], mib, sizeof(mib) - (1 << 17)) == 0;
    }
    assert_true(held_mib > 60 && held_mib < CALLS);
    assert_int_equal(grpc_call_send_packed(calls[CALLS - 1], mib, 1 << 18), ERR_LIMIT);
    reply_bytes = 1 << 20; // replies are bounded by the same account
    call(2 * CALLS + 1, "/t.S/Now");
    exchange();
    assert_status(2 * CALLS + 1, GRPC_RESOURCE_EXHAUSTED);
    for (uint32_t i = 0; i < 20; i++) // streams that end give their share back
        peer_u32_frame(&peer, RST_STREAM, 1 + 2 * i, 8);
    exchange();
    assert_int_equal(grpc_call_send_packed(calls[CALLS - 1], mib, 1 << 18), 0);
    peer_clear(&peer);
    peer_u32_frame(&peer, WINDOW_UPDATE, 0, 100 << 20); // so do bytes that are sent
    for (uint32_t i = 20; i < CALLS; i++)
        peer_u32_frame(&peer, WINDOW_UPDATE, 1 + 2 * i, 100 << 20);
    peer.discard = true;
    exchange();
    peer.discard = false;
    for (size_t i = 20; i < CALLS; i++) {
        assert_int_equal(grpc_call_queued(calls[i]), 0);
        assert_int_equal(grpc_call_send_packed(calls[i], mib, 1 << 18), 0);
        assert_int_equal(grpc_call_send_packed(calls[i], mib, 1 << 18), 0);
    }
}

static void a_message_over_4_mib_is_not_sent(void **state) {
    char *big = mem_zalloc(LIMIT_GRPC_MESSAGE_BYTES + 1);
    greet();
    call(1, "/t.S/Stream");
    exchange();
    assert_int_equal(grpc_call_send_packed(held, big, LIMIT_GRPC_MESSAGE_BYTES + 1), ERR_LIMIT);
    assert_int_equal(grpc_call_send_packed(held, big, LIMIT_GRPC_MESSAGE_BYTES), 0);
    mem_free(big);
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

int main(void) {
    const struct CMUnitTest tests[] = {
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
        T(an_answer_on_its_way_has_no_deadline_either),
        T(a_malformed_timeout_is_refused),
        T(an_endless_timeout_is_none),
        T(status_before_half_close_resets_with_no_error),
        T(status_after_half_close_does_not_reset),
        T(a_stream_that_is_not_read_is_bounded_and_goes_on_later),
        T(a_connection_that_is_not_read_is_bounded_as_a_whole),
        T(a_message_over_4_mib_is_not_sent),
        T(bodies_of_every_frame_count),
        T(request_bodies_up_to_the_limit),
        T(what_is_not_grpc_gets_an_http_status),
        T(a_reset_by_the_client_tells_the_handler),
        T(a_lost_connection_tells_the_handler),
        T(observers_see_method_status_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
