// SPDX-License-Identifier: Apache-2.0
/*
 * net/grpc_link: the client's side against a server that is written frame by frame, and against
 * the real server's side (grpc_conn), both in memory and in virtual time.
 */
#include "h2_peer.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_conn.h"
#include "net/grpc_link.h"

typedef Externalscaler__ScaledObjectRef ref_t;
typedef Externalscaler__IsActiveResponse active_t;

static int64_t now_ns;
static struct grpc_link *link_;
static struct h2_peer peer;
static unsigned outputs, readies, messages, finished;
static int last_status;
static char last_text[1100];
static bool last_result;
static struct grpc_client_call *cancel_in_message;

static int64_t virtual_clock(void) {
    return now_ns;
}
static void on_output(void *shell) {
    outputs++;
}
static void on_ready(void *shell) {
    readies++;
}
static void on_message(void *ctx, const ProtobufCMessage *m) {
    messages++;
    last_result = ((const active_t *)m)->result;
    if (cancel_in_message) {
        struct grpc_client_call *c = TAKE_PTR(cancel_in_message);
        grpc_client_call_cancel(c);
    }
}
static void on_finished(void *ctx, int status, const char *text) {
    finished++;
    last_status = status;
    snprintf(last_text, sizeof(last_text), "%s", text);
}

static int setup(void **state) {
    struct grpc_link_options o = {.authority = "scaler:9443",
                                  .settings_ms = 5000,
                                  .clock = virtual_clock,
                                  .output = on_output,
                                  .ready = on_ready};
    now_ns = 1000 * NS_PER_S;
    outputs = readies = messages = finished = 0;
    last_status = -1;
    last_text[0] = '\0';
    cancel_in_message = NULL;
    assert_int_equal(grpc_link_new(&link_, &o, NULL), 0);
    peer_init(&peer);
    return 0;
}
static int teardown(void **state) {
    grpc_link_free(link_);
    peer_done(&peer);
    return 0;
}

static void collect(void) {
    const uint8_t *p;
    bool first = peer.n_frames == 0 && peer.in.len == 0;
    for (size_t n; (n = grpc_link_send(link_, &p)) > 0; first = false) {
        if (first && n >= 24 && memcmp(p, PREFACE, 24) == 0) {
            p += 24;
            n -= 24;
        }
        peer_take(&peer, p, n);
    }
}
static int exchange_in(size_t piece) {
    int err = 0;
    collect();
    while (peer.out.len > 0 && err == 0) {
        size_t n = peer.out.len < piece ? peer.out.len : piece;
        uint8_t *copy = mem_alloc(n);
        memcpy(copy, peer.out.p, n);
        buf_consume(&peer.out, n);
        err = grpc_link_recv(link_, copy, n, NULL);
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
    deadline_run(grpc_link_deadlines(link_), now_ns);
    collect();
}
static void greet(void) {
    peer_frame(&peer, SETTINGS, 0, 0, "", 0);
    assert_int_equal(exchange(), 0);
}
static int start(struct grpc_client_call **ret, const char *name, uint32_t timeout_ms) {
    ref_t request = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    char text[64];
    snprintf(text, sizeof(text), "%s", name);
    request.name = text;
    struct grpc_client_call_options o = {
        .method = "/t.S/M",
        .request = &request.base,
        .response = &externalscaler__is_active_response__descriptor,
        .timeout_ms = timeout_ms,
        .message = on_message,
        .finished = on_finished,
    };
    return grpc_link_start(ret, link_, &o, NULL);
}
static struct grpc_client_call *started(const char *name, uint32_t timeout_ms) {
    struct grpc_client_call *c = NULL;
    assert_int_equal(start(&c, name, timeout_ms), 0);
    collect();
    return c;
}
static void answer_headers(uint32_t stream) {
    static const char *const fields[] = {":status", "200", "content-type", "application/grpc",
                                         NULL};
    peer_headers(&peer, stream, 0, fields);
}
static void answer_trailers(uint32_t stream, const char *status, const char *text) {
    const char *const fields[] = {"grpc-status", status, text ? "grpc-message" : NULL, text, NULL};
    peer_headers(&peer, stream, END_STREAM, fields);
}
static const char *yes = "\x08\x01"; // {result: true}

/* Requests */

static void request_is_headers_and_data(void **state) {
    started("ab", 0);
    assert_int_equal(outputs, 1);
    assert_string_equal(peer_story(&peer, 1), "HD+");
    assert_string_equal(peer_find(&peer, HEADERS, 1, 0)->headers,
                        ":method: POST\n:scheme: http\n:path: /t.S/M\n:authority: scaler:9443\n"
                        "content-type: application/grpc\nte: trailers\n"
                        "user-agent: gpuscale/" GPUSCALE_VERSION "\n");
    assert_memory_equal(peer_find(&peer, DATA, 1, 0)->body,
                        "\0\0\0\0\4\x0a\x02"
                        "ab",
                        9);
}

static void timeout_is_sent_and_kept(void **state) {
    greet();
    started("ab", 2500);
    assert_string_equal(peer_header(&peer, 1, "grpc-timeout"), "2500000u");
    pass(2500 * NS_PER_MS - 1);
    assert_int_equal(finished, 0);
    pass(1);
    assert_int_equal(finished, 1);
    assert_int_equal(last_status, GRPC_DEADLINE_EXCEEDED);
    assert_string_equal(peer_story(&peer, 1), "HD+R8");
}

static void a_call_may_start_before_the_server_has_spoken(void **state) {
    started("ab", 0);
    assert_int_equal(readies, 0);
    greet();
    assert_int_equal(readies, 1);
    answer_headers(1);
    peer_message(&peer, 1, 0, yes, 2);
    answer_trailers(1, "0", NULL);
    exchange();
    assert_int_equal(messages, 1);
    assert_int_equal(last_status, GRPC_OK);
}

static void a_server_without_settings_is_given_up(void **state) {
    collect();
    pass(5000 * NS_PER_MS - 1);
    assert_null(grpc_link_over(link_));
    pass(1);
    assert_int_equal(grpc_link_over(link_)->code, ERR_TIMEOUT);
    assert_true(outputs > 0);
}

static void a_server_with_settings_is_not_given_up(void **state) {
    greet();
    pass(3600 * NS_PER_S);
    assert_null(grpc_link_over(link_));
}

static void unfinished_messages_are_bounded_by_connection(void **state) {
    static char body[16000];
    greet();
    unsigned most = 0;
    for (uint32_t i = 0; i < 10; i++) {
        started("ab", 0);
        answer_headers(1 + 2 * i);
        peer_frame(&peer, DATA, 0, 1 + 2 * i, "\0\0\x40\0\0", 5); // 4 MiB, which never come whole
        for (int k = 0; k < 262; k++)
            peer_frame(&peer, DATA, 0, 1 + 2 * i, body, sizeof(body));
        assert_int_equal(exchange_in(32000), 0); // within our window
        peer_clear(&peer);
        most = finished == 0 ? i + 1 : most;
    }
    assert_true(most >= 7 && most < 9);
    assert_int_equal(last_status, GRPC_RESOURCE_EXHAUSTED);
}

static void calls_beyond_the_servers_limit_wait(void **state) {
    greet();
    peer_frame(&peer, SETTINGS, 0, 0, "\0\3\0\0\0\1", 6); // MAX_CONCURRENT_STREAMS 1
    exchange();
    started("a", 0);
    started("b", 0);
    assert_string_equal(peer_story(&peer, 1), "HD+");
    assert_string_equal(peer_story(&peer, 3), "");
    answer_headers(1);
    answer_trailers(1, "0", NULL);
    exchange();
    assert_string_equal(peer_story(&peer, 3), "HD+");
}

static void a_waiting_call_may_be_cancelled(void **state) {
    greet();
    peer_frame(&peer, SETTINGS, 0, 0, "\0\3\0\0\0\1", 6);
    exchange();
    started("a", 0);
    grpc_client_call_cancel(started("b", 0));
    collect();
    answer_headers(1);
    answer_trailers(1, "0", NULL);
    exchange();
    assert_string_equal(peer_story(&peer, 3), "");
    assert_int_equal(finished, 1);
}

/* Answers */

static void every_split_of_an_answer_is_the_same(void **state) {
    for (size_t piece = 1; piece < 120; piece++) {
        started("ab", 0);
        peer_frame(&peer, SETTINGS, 0, 0, "", 0);
        answer_headers(1);
        peer_message(&peer, 1, 0, yes, 2);
        peer_message(&peer, 1, 0, "", 0);
        answer_trailers(1, "5", "no%20such %C3%BC");
        assert_int_equal(exchange_in(piece), 0);
        assert_int_equal(messages, 2);
        assert_int_equal(finished, 1);
        assert_int_equal(last_status, GRPC_NOT_FOUND);
        assert_string_equal(last_text, "no such ü");
        teardown(NULL);
        setup(NULL);
    }
}

static void trailers_only_is_an_answer(void **state) {
    static const char *const fields[] = {
        ":status", "200", "content-type", "application/grpc", "grpc-status", "12", NULL};
    greet();
    started("ab", 0);
    peer_headers(&peer, 1, END_STREAM, fields);
    exchange();
    assert_int_equal(last_status, GRPC_UNIMPLEMENTED);
}

static void answers_that_are_not_grpc_are_mapped(void **state) {
    static const struct {
        const char *http, *type;
        int status;
    } cases[] = {
        {"404", "text/html", GRPC_UNIMPLEMENTED},   {"503", "text/html", GRPC_UNAVAILABLE},
        {"401", "text/html", GRPC_UNAUTHENTICATED}, {"200", "text/html", GRPC_UNKNOWN},
        {"418", "text/html", GRPC_UNKNOWN},
    };
    greet();
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const fields[] = {":status", cases[i].http, "content-type", cases[i].type,
                                      NULL};
        started("ab", 0);
        peer_headers(&peer, 1 + 2 * i, 0, fields);
        peer_frame(&peer, DATA, END_STREAM, 1 + 2 * i, "<html>", 6);
        exchange();
        assert_int_equal(last_status, cases[i].status);
        assert_non_null(strstr(last_text, cases[i].http));
    }
    assert_int_equal(messages, 0);
}

static void resets_are_mapped(void **state) {
    static const uint32_t map[][2] = {{0, GRPC_INTERNAL},
                                      {1, GRPC_INTERNAL},
                                      {7, GRPC_UNAVAILABLE},
                                      {8, GRPC_CANCELLED},
                                      {11, GRPC_RESOURCE_EXHAUSTED},
                                      {12, GRPC_PERMISSION_DENIED}};
    greet();
    for (uint32_t i = 0; i < COUNT_OF(map); i++) {
        started("ab", 0);
        answer_headers(1 + 2 * i);
        peer_u32_frame(&peer, RST_STREAM, 1 + 2 * i, map[i][0]);
        exchange();
        assert_int_equal(finished, i + 1);
        assert_int_equal(last_status, (int)map[i][1]);
    }
}

static void a_reset_with_no_error_after_the_status_is_fine(void **state) {
    greet();
    started("ab", 0);
    answer_headers(1);
    answer_trailers(1, "0", NULL);
    peer_u32_frame(&peer, RST_STREAM, 1, 0);
    exchange();
    assert_int_equal(finished, 1);
    assert_int_equal(last_status, GRPC_OK);
}

static void an_answer_without_status_is_internal(void **state) {
    greet();
    started("ab", 0);
    answer_headers(1);
    peer_frame(&peer, DATA, END_STREAM, 1, "", 0);
    exchange();
    assert_int_equal(last_status, GRPC_INTERNAL);
}

static void a_message_that_is_cut_is_internal(void **state) {
    greet();
    started("ab", 0);
    answer_headers(1);
    peer_frame(&peer, DATA, 0, 1, "\0\0\0\0\5a", 6);
    answer_trailers(1, "0", NULL);
    exchange();
    assert_int_equal(last_status, GRPC_INTERNAL);
}

static void messages_are_capped_and_checked(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        int status;
    } cases[] = {
        {"\0\0\x40\0\1", 5, GRPC_RESOURCE_EXHAUSTED}, // 4 MiB + 1
        {"\1\0\0\0\0", 5, GRPC_INTERNAL},             // compressed, no encoding
        {"\2\0\0\0\0", 5, GRPC_INTERNAL},
        {"\0\0\0\0\1\x08", 6, GRPC_INTERNAL}, // no message
    };
    greet();
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        started("ab", 0);
        answer_headers(1 + 2 * i);
        peer_frame(&peer, DATA, 0, 1 + 2 * i, cases[i].bytes, cases[i].n);
        exchange();
        assert_int_equal(finished, i + 1);
        assert_int_equal(last_status, cases[i].status);
        assert_string_equal(peer_story(&peer, 1 + 2 * i), "HD+R8");
    }
}

static void headers_are_capped(void **state) {
    static char value[9000];
    memset(value, 'v', sizeof(value) - 1);
    const char *const fields[] = {":status", "200", "k", value, NULL};
    greet();
    started("ab", 0);
    peer_headers(&peer, 1, 0, fields);
    exchange();
    assert_int_equal(last_status, GRPC_RESOURCE_EXHAUSTED);
}

static void an_unknown_status_number_is_unknown(void **state) {
    static const char *const numbers[] = {"17", "-1", "x", "", "99999999999999999999"};
    greet();
    for (uint32_t i = 0; i < COUNT_OF(numbers); i++) {
        started("ab", 0);
        answer_headers(1 + 2 * i);
        answer_trailers(1 + 2 * i, numbers[i], NULL);
        exchange();
        assert_int_equal(last_status, GRPC_UNKNOWN);
    }
}

/* Ends */

static void cancel_resets_and_tells_nothing(void **state) {
    greet();
    struct grpc_client_call *c = started("ab", 0);
    grpc_client_call_cancel(c);
    collect();
    assert_string_equal(peer_story(&peer, 1), "HD+R8");
    answer_headers(1); // was on its way
    peer_message(&peer, 1, 0, yes, 2);
    assert_int_equal(exchange(), 0);
    assert_int_equal(finished + messages, 0);
}

static void cancel_from_inside_a_message(void **state) {
    greet();
    cancel_in_message = started("ab", 0);
    answer_headers(1);
    peer_message(&peer, 1, 0, yes, 2);
    peer_message(&peer, 1, 0, yes, 2);
    exchange();
    assert_int_equal(messages, 1);
    assert_int_equal(finished, 0);
}

static void goaway_lets_running_calls_finish_and_refuses_new_ones(void **state) {
    struct grpc_client_call *c;
    greet();
    started("a", 0);
    started("b", 0);
    peer_frame(&peer, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8); // 1 was seen, 3 was not
    exchange();
    assert_int_equal(finished, 1);
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
    assert_int_equal(start(&c, "c", 0), ERR_UNAVAILABLE);
    assert_null(grpc_link_over(link_));
    answer_headers(1);
    answer_trailers(1, "0", NULL);
    exchange();
    assert_int_equal(last_status, GRPC_OK);
    assert_int_equal(grpc_link_over(link_)->code, ERR_CLOSED);
}

static void a_lost_connection_is_unavailable_with_its_reason(void **state) {
    struct err why;
    greet();
    started("a", 0);
    started("b", 5000);
    grpc_client_call_cancel(started("c", 0));
    err_set(&why, ERR_IO, "connection reset by peer");
    grpc_link_lost(link_, &why);
    assert_int_equal(finished, 2);
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
    assert_string_equal(last_text, "connection reset by peer");
    struct grpc_client_call *c;
    assert_int_equal(start(&c, "c", 0), ERR_UNAVAILABLE);
    pass(100 * NS_PER_S);
    assert_int_equal(finished, 2);
}

static void a_muted_link_tells_nothing(void **state) {
    struct err why;
    greet();
    started("a", 10);
    grpc_link_mute(link_);
    err_set(&why, ERR_IO, "lost");
    grpc_link_lost(link_, &why);
    pass(100 * NS_PER_S);
    assert_int_equal(finished, 0);
}

static void a_server_that_floods_is_left(void **state) {
    greet();
    for (int i = 0; i < 3000; i++)
        peer_frame(&peer, PING, 0, 0, "12345678", 8);
    assert_int_equal(exchange(), ERR_PROTO);
    assert_int_equal(grpc_link_over(link_)->code, ERR_PROTO);
}

static void garbage_from_a_server_is_an_error(void **state) {
    buf_addc(&peer.out, "HTTP/1.1 400 Bad Request\r\n\r\n");
    exchange();
    assert_int_equal(grpc_link_over(link_)->code, ERR_PROTO);
}

static void too_many_calls_are_refused_here(void **state) {
    struct grpc_client_call *c;
    for (int i = 0; i < LIMIT_GRPC_STREAMS; i++)
        assert_int_equal(start(&c, "a", 0), 0);
    assert_int_equal(start(&c, "a", 0), ERR_LIMIT);
}

static void every_allocation_failing_is_an_error(void **state) {
    struct grpc_link_options o = {.authority = "x", .settings_ms = 1, .output = on_output};
    struct grpc_link *l;
    long i = 1;
    for (;; i++) {
        mem_fail_from(i);
        int err = grpc_link_new(&l, &o, NULL);
        mem_fail_never();
        if (err == 0)
            break;
        assert_int_equal(err, ERR_NOMEM);
    }
    grpc_link_free(l);
    for (long k = 1; k < 60; k++) {
        struct grpc_client_call *c;
        mem_fail_from(k);
        start(&c, "ab", 100);
        const uint8_t *p;
        while (grpc_link_send(link_, &p) > 0) {
        }
        mem_fail_never();
        teardown(NULL);
        setup(NULL);
    }
}

/* Against the real server's side */

static struct grpc_call *server_call;

static void serve_active(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    const ref_t *r = (const ref_t *)m;
    active_t a = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    a.has_result = true;
    a.result = r->name && r->name[0] == 'y';
    if (strcmp(r->name, "hold") == 0)
        server_call = c;
    else
        grpc_call_reply(c, &a.base);
}

static void both_sides_understand_each_other(void **state) {
    static const struct grpc_method method[] = {
        {.name = "M",
         .request = &externalscaler__scaled_object_ref__descriptor,
         .handle = serve_active}};
    static const struct grpc_service service = {.name = "t.S", .methods = method, .n_methods = 1};
    static const struct grpc_service *const services[] = {&service, NULL};
    struct grpc_host_options o = {
        .services = services, .clock = virtual_clock, .output = on_output};
    struct grpc_host *host;
    struct grpc_conn *conn;
    struct random rnd;
    struct buf to_server, to_client;
    unsigned started_calls = 0, yeses = 0, seen = 0;
    random_init(&rnd, unit_seed());
    buf_init(&to_server, 64 << 20);
    buf_init(&to_client, 64 << 20);
    assert_int_equal(grpc_host_new(&host, &o, NULL), 0);
    assert_int_equal(grpc_conn_new(&conn, host, NULL, NULL, "", NULL), 0);
    for (int round = 0; round < 20000 || finished < started_calls; round++) {
        const uint8_t *p;
        size_t n;
        if (round < 20000 && random_below(&rnd, 4) == 0) {
            struct grpc_client_call *c;
            bool want = random_below(&rnd, 2);
            assert_int_equal(start(&c, want ? "yes" : "no", 0), 0);
            started_calls++;
            yeses += want;
        }
        while ((n = grpc_link_send(link_, &p)) > 0)
            assert_int_equal(buf_add(&to_server, p, n), 0);
        while ((n = grpc_conn_send(conn, &p)) > 0)
            assert_int_equal(buf_add(&to_client, p, n), 0);
        n = random_below(&rnd, 400);
        n = n < to_server.len ? n : to_server.len;
        assert_int_equal(grpc_conn_recv(conn, (const uint8_t *)to_server.p, n, NULL), 0);
        buf_consume(&to_server, n);
        n = random_below(&rnd, 400);
        n = n < to_client.len ? n : to_client.len;
        unsigned before = messages;
        assert_int_equal(grpc_link_recv(link_, (const uint8_t *)to_client.p, n, NULL), 0);
        buf_consume(&to_client, n);
        if (messages == before + 1)
            seen += last_result;
        assert_true(messages - before <= 40);
        assert_true(round < 200000);
    }
    assert_int_equal(messages, started_calls);
    assert_true(seen <= yeses);
    assert_int_equal(last_status, GRPC_OK);
    grpc_conn_free(conn);
    grpc_host_free(host);
    buf_done(&to_server);
    buf_done(&to_client);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(request_is_headers_and_data),
        T(timeout_is_sent_and_kept),
        T(a_call_may_start_before_the_server_has_spoken),
        T(a_server_without_settings_is_given_up),
        T(a_server_with_settings_is_not_given_up),
        T(unfinished_messages_are_bounded_by_connection),
        T(calls_beyond_the_servers_limit_wait),
        T(a_waiting_call_may_be_cancelled),
        T(every_split_of_an_answer_is_the_same),
        T(trailers_only_is_an_answer),
        T(answers_that_are_not_grpc_are_mapped),
        T(resets_are_mapped),
        T(a_reset_with_no_error_after_the_status_is_fine),
        T(an_answer_without_status_is_internal),
        T(a_message_that_is_cut_is_internal),
        T(messages_are_capped_and_checked),
        T(headers_are_capped),
        T(an_unknown_status_number_is_unknown),
        T(cancel_resets_and_tells_nothing),
        T(cancel_from_inside_a_message),
        T(goaway_lets_running_calls_finish_and_refuses_new_ones),
        T(a_lost_connection_is_unavailable_with_its_reason),
        T(a_muted_link_tells_nothing),
        T(a_server_that_floods_is_left),
        T(garbage_from_a_server_is_an_error),
        T(too_many_calls_are_refused_here),
        T(every_allocation_failing_is_an_error),
        T(both_sides_understand_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
