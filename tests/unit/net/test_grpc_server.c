// SPDX-License-Identifier: Apache-2.0
/*
 * net/grpc_server and net/grpc_client over real sockets on one loop: what their cores cannot show.
 * Health and reflection through them.
 */
#include "net_unit.h"

#include <sys/socket.h>

#include "externalscaler.pb-c.h"
#include "health.pb-c.h"
#include "net/grpc_client.h"
#include "net/grpc_reflection.h"
#include "net/grpc_server.h"

typedef Externalscaler__ScaledObjectRef ref_t;
typedef Externalscaler__IsActiveResponse active_t;
typedef Grpc__Health__V1__HealthCheckResponse health_t;

static uv_loop_t loop;
static struct grpc_server *server;
static struct grpc_channel *channel;
static struct grpc_call *held;
static unsigned ended, messages, finished, done, closed, ready;
static int last_status, last_health;
static char last_text[1100];
static struct err closed_why;
static bool free_in_finished, free_in_closed;

static void on_end(struct grpc_call *c, void *ctx) {
    ended++;
    held = NULL;
}
static void handle_now(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    active_t a = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    a.has_result = a.result = true;
    grpc_call_reply(c, &a.base);
}
static void handle_hold(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    held = c;
    grpc_call_on_end(c, on_end, NULL);
}

static const struct grpc_method methods[] = {
    {.name = "Now",
     .request = &externalscaler__scaled_object_ref__descriptor,
     .handle = handle_now},
    {.name = "Later",
     .request = &externalscaler__scaled_object_ref__descriptor,
     .handle = handle_hold},
    {.name = "Stream",
     .request = &externalscaler__scaled_object_ref__descriptor,
     .streams = true,
     .handle = handle_hold},
};
static const struct grpc_service service = {
    .name = "t.S", .methods = methods, .n_methods = COUNT_OF(methods)};
static const struct grpc_service *const services[] = {&service, NULL};

static void on_message(void *ctx, const ProtobufCMessage *m) {
    messages++;
    if (m->descriptor == &grpc__health__v1__health_check_response__descriptor)
        last_health = (int)((const health_t *)m)->status;
}
static void on_finished(void *ctx, int status, const char *text) {
    finished++;
    last_status = status;
    snprintf(last_text, sizeof(last_text), "%s", text);
    if (free_in_finished)
        channel = grpc_channel_free(channel);
}
static void on_ready(void *ctx) {
    ready++;
}
static void on_closed(void *ctx, const struct err *why) {
    closed++;
    closed_why = *why;
    if (free_in_closed)
        channel = grpc_channel_free(channel);
}
static void on_done(void *ctx) {
    done++;
    server = NULL;
}

static void open_server(unsigned max_connections, uint32_t age_ms) {
    struct grpc_server_options o = {.listen = "127.0.0.1:0",
                                    .max_connections = max_connections,
                                    .services = services,
                                    .max_connection_age_ms = age_ms};
    assert_int_equal(grpc_server_open(&server, &loop, &o, NULL), 0);
}
static struct grpc_channel *open_channel(void) {
    struct grpc_channel_options o = {.to = *grpc_server_addr(server),
                                     .connect_ms = 20000,
                                     .closed = on_closed,
                                     .ready = on_ready};
    struct grpc_channel *ch;
    assert_int_equal(grpc_channel_open(&ch, &loop, &o, NULL), 0);
    return ch;
}

static int setup(void **state) {
    uv_loop_init(&loop);
    ended = messages = finished = done = closed = ready = 0;
    last_status = last_health = -1;
    held = NULL;
    free_in_finished = free_in_closed = false;
    open_server(100, 0);
    channel = open_channel();
    return 0;
}
static int teardown(void **state) {
    channel = grpc_channel_free(channel);
    if (server) {
        grpc_server_close(server, 100, on_done, NULL);
        RUN_UNTIL(&loop, done == 1);
    }
    net_loop_drain_close(&loop);
    return 0;
}

static int start_on(struct grpc_channel *ch, struct grpc_client_call **ret, const char *method,
                    uint32_t timeout_ms) {
    ref_t q = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    struct grpc_client_call_options o = {
        .method = method,
        .request = &q.base,
        .response = &externalscaler__is_active_response__descriptor,
        .timeout_ms = timeout_ms,
        .message = on_message,
        .finished = on_finished,
    };
    return grpc_client_call_start(ret, ch, &o, NULL);
}
static struct grpc_client_call *start(const char *method) {
    struct grpc_client_call *c;
    assert_int_equal(start_on(channel, &c, method, 0), 0);
    assert_int_equal(finished, 0);
    return c;
}

static void calls_wait_for_the_connection(void **state) {
    start("/t.S/Now");
    start("/t.S/Now");
    RUN_UNTIL(&loop, finished == 2);
    assert_int_equal(messages, 2);
    assert_int_equal(ready, 1);
    assert_int_equal(last_status, GRPC_OK);
    assert_int_equal(grpc_server_stats(server).calls, 2);
    assert_int_equal(grpc_server_stats(server).connections, 1);
}

static void a_timeout_ends_a_call_on_both_sides(void **state) {
    struct grpc_client_call *c;
    assert_int_equal(start_on(channel, &c, "/t.S/Later", 50), 0);
    RUN_UNTIL(&loop, finished == 1 && ended == 1);
    assert_int_equal(last_status, GRPC_DEADLINE_EXCEEDED);
    RUN_UNTIL(&loop, grpc_server_stats(server).streams == 0);
}

static void cancelling_tells_the_servers_handler(void **state) {
    struct grpc_client_call *c = start("/t.S/Stream");
    RUN_UNTIL(&loop, held);
    grpc_client_call_cancel(c);
    RUN_UNTIL(&loop, ended == 1);
    assert_int_equal(finished, 0);
}

static void closing_the_server_ends_streams_with_ok_and_waits_for_unary_calls(void **state) {
    start("/t.S/Stream");
    RUN_UNTIL(&loop, held);
    struct grpc_call *stream = held;
    start("/t.S/Later");
    RUN_UNTIL(&loop, held != stream);
    struct grpc_call *later = held;
    grpc_server_close(server, 20000, on_done, NULL);
    assert_int_equal(done, 0); // never from inside
    RUN_UNTIL(&loop, finished == 1);
    assert_int_equal(last_status, GRPC_OK);
    assert_int_equal(ended, 1);
    active_t a = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    grpc_call_reply(later, &a.base);
    RUN_UNTIL(&loop, done == 1);
    assert_int_equal(finished, 2);
    assert_int_equal(last_status, GRPC_OK);
    RUN_UNTIL(&loop, closed == 1);
    assert_int_equal(closed_why.code, ERR_CLOSED);
    struct grpc_client_call *c;
    assert_int_equal(start_on(channel, &c, "/t.S/Now", 0), ERR_UNAVAILABLE);
}

static void the_grace_time_cuts_what_does_not_end(void **state) {
    start("/t.S/Later");
    RUN_UNTIL(&loop, held);
    grpc_server_close(server, 50, on_done, NULL);
    RUN_UNTIL(&loop, done == 1);
    assert_int_equal(ended, 1);
    RUN_UNTIL(&loop, finished == 1);
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
}

static void closing_a_server_without_connections_is_done_at_once(void **state) {
    channel = grpc_channel_free(channel);
    RUN_UNTIL(&loop, grpc_server_stats(server).connections == 0);
    grpc_server_close(server, 20000, on_done, NULL);
    RUN_UNTIL(&loop, done == 1);
}

static void a_channel_may_be_freed_in_its_own_callback(void **state) {
    free_in_finished = true;
    start("/t.S/Now");
    start("/t.S/Later");
    RUN_UNTIL(&loop, finished == 1);
    RUN_UNTIL(&loop, grpc_server_stats(server).connections == 0);
    assert_int_equal(finished, 1); // the other one was dropped in silence
    assert_int_equal(closed, 0);
}

static void a_channel_may_be_freed_when_it_is_told_of_its_end(void **state) {
    free_in_closed = true;
    start("/t.S/Later");
    RUN_UNTIL(&loop, held);
    grpc_server_close(server, 0, on_done, NULL);
    RUN_UNTIL(&loop, done == 1 && closed == 1);
    assert_int_equal(finished, 1);
    assert_null(channel);
}

static void a_channel_may_be_freed_while_it_connects(void **state) {
    start("/t.S/Now");
    channel = grpc_channel_free(channel);
    unit_turns(&loop, 20);
    assert_int_equal(finished + closed, 0);
}

static void more_connections_than_allowed_are_refused_and_counted(void **state) {
    struct grpc_channel *more[3];
    channel = grpc_channel_free(channel);
    grpc_server_close(server, 100, on_done, NULL);
    RUN_UNTIL(&loop, done == 1);
    done = closed = ready = 0;
    open_server(2, 0);
    for (int i = 0; i < 3; i++)
        more[i] = open_channel();
    RUN_UNTIL(&loop, ready == 2 && closed == 1);
    assert_int_equal(grpc_server_stats(server).connections, 2);
    assert_int_equal(grpc_server_stats(server).connections_refused, 1);
    for (int i = 0; i < 3; i++)
        grpc_channel_free(more[i]);
    RUN_UNTIL(&loop, grpc_server_stats(server).connections == 0);
}

static void an_old_connection_is_replaced_without_a_failed_call(void **state) {
    channel = grpc_channel_free(channel);
    grpc_server_close(server, 100, on_done, NULL);
    RUN_UNTIL(&loop, done == 1);
    done = closed = 0;
    open_server(10, 50);
    channel = open_channel();
    start("/t.S/Later");
    RUN_UNTIL(&loop, held);
    struct grpc_client_call *c = NULL;
    // Until GOAWAY came, calls start and succeed; then the owner opens another channel.
    int64_t until = clock_mono_ns() + 30 * NS_PER_S;
    while (start_on(channel, &c, "/t.S/Now", 0) == 0 && clock_mono_ns() < until)
        uv_run(&loop, UV_RUN_ONCE);
    active_t a = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    grpc_call_reply(held, &a.base);
    RUN_UNTIL(&loop, closed == 1);
    assert_int_equal(closed_why.code, ERR_CLOSED);
    assert_int_equal(messages, finished);
    assert_int_equal(last_status, GRPC_OK);
}

static void nothing_listens_is_unavailable(void **state) {
    struct grpc_channel_options o = {
        .to = *grpc_server_addr(server), .connect_ms = 20000, .closed = on_closed};
    channel = grpc_channel_free(channel);
    grpc_server_close(server, 100, on_done, NULL);
    RUN_UNTIL(&loop, done == 1);
    int err = grpc_channel_open(&channel, &loop, &o, NULL);
    if (err < 0) { // the kernel said so at once
        channel = NULL;
        return;
    }
    start("/t.S/Now");
    RUN_UNTIL(&loop, closed == 1);
    assert_int_equal(finished, 1);
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
    assert_true(last_text[0] != '\0');
}

/* Health */

static void ask_health(const char *method, char *name) {
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct grpc_client_call *c;
    q.service = name;
    struct grpc_client_call_options o = {
        .method = method,
        .request = &q.base,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .message = on_message,
        .finished = on_finished,
    };
    assert_int_equal(grpc_client_call_start(&c, channel, &o, NULL), 0);
}

static void health_check_knows_services(void **state) {
    char known[] = "t.S", unknown[] = "no.such";
    ask_health("/grpc.health.v1.Health/Check", known);
    RUN_UNTIL(&loop, finished == 1);
    assert_int_equal(last_health, 1);
    ask_health("/grpc.health.v1.Health/Check", NULL);
    RUN_UNTIL(&loop, finished == 2);
    assert_int_equal(last_status, GRPC_OK);
    ask_health("/grpc.health.v1.Health/Check", unknown);
    RUN_UNTIL(&loop, finished == 3);
    assert_int_equal(last_status, GRPC_NOT_FOUND);
    grpc_server_set_serving(server, "t.S", false);
    ask_health("/grpc.health.v1.Health/Check", known);
    RUN_UNTIL(&loop, finished == 4);
    assert_int_equal(last_health, 2);
}

static void health_watch_tells_changes_only(void **state) {
    char known[] = "t.S";
    ask_health("/grpc.health.v1.Health/Watch", known);
    RUN_UNTIL(&loop, messages == 1);
    assert_int_equal(last_health, 1);
    grpc_server_set_serving(server, "t.S", true); // no change
    grpc_server_set_serving(server, "", false);   // another's
    grpc_server_set_serving(server, "t.S", false);
    RUN_UNTIL(&loop, messages == 2);
    assert_int_equal(last_health, 2);
}

static void health_watch_of_an_unknown_service_stays_open(void **state) {
    char unknown[] = "new.Service";
    ask_health("/grpc.health.v1.Health/Watch", unknown);
    RUN_UNTIL(&loop, messages == 1);
    assert_int_equal(last_health, 3);
    grpc_server_set_serving(server, "new.Service", true);
    RUN_UNTIL(&loop, messages == 2);
    assert_int_equal(last_health, 1);
    assert_int_equal(finished, 0);
}

/* Reflection (its messages are tested with python3-grpcio) */

static void reflection_finds_names_whole(void **state) {
    static const struct {
        const char *name;
        bool by_symbol, found;
    } cases[] = {
        {"reflection.proto", false, true},
        {"reflection", false, false},
        {"", false, false},
        {"grpc.reflection.v1.ServerReflection", true, true},
        {"grpc.reflection.v1.ServerReflection.ServerReflectionInfo", true, true},
        {"grpc.reflection.v1.ErrorResponse.error_code", true, true},
        {"grpc.reflection.v1.ErrorRespons", true, false},
        {"grpc.reflection.v1.ErrorResponse.error_cod", true, false},
        {"grpc.reflection.v1", true, false},
        {"grpc.reflection.v1.", true, false},
        {"ErrorResponse", true, false},
        {"", true, false},
    };
    static const struct grpc_service *list[3];
    struct grpc_reflection r;
    grpc_reflection_init(&r, list);
    list[0] = &r.own[0];
    list[1] = &r.own[1];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str f = grpc_reflection_find(&r, str_from(cases[i].name), cases[i].by_symbol);
        assert_int_equal(f.p != NULL, cases[i].found);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(calls_wait_for_the_connection),
        T(a_timeout_ends_a_call_on_both_sides),
        T(cancelling_tells_the_servers_handler),
        T(closing_the_server_ends_streams_with_ok_and_waits_for_unary_calls),
        T(the_grace_time_cuts_what_does_not_end),
        T(closing_a_server_without_connections_is_done_at_once),
        T(a_channel_may_be_freed_in_its_own_callback),
        T(a_channel_may_be_freed_when_it_is_told_of_its_end),
        T(a_channel_may_be_freed_while_it_connects),
        T(more_connections_than_allowed_are_refused_and_counted),
        T(an_old_connection_is_replaced_without_a_failed_call),
        T(nothing_listens_is_unavailable),
        T(health_check_knows_services),
        T(health_watch_tells_changes_only),
        T(health_watch_of_an_unknown_service_stays_open),
        cmocka_unit_test(reflection_finds_names_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
