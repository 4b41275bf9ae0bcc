// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/follow against a leader that the test plays on the same loop: what of its messages is
 * taken, what ends the connection, and what it is told of objects.
 */
#include "scaler/follow.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/grpc_server.h"
#include "net/loop.h"
#include "unit.h"
#include "web/turn.h"

struct lab {
    uv_loop_t loop;
    struct grpc_server *server;
    struct grpc_service service;
    struct grpc_method methods[2];
    const struct grpc_service *services[2];
    struct grpc_call *call; // the stream; NULL: none
    int follows;
    char follower[64];
    char enrolled[256]; // names, a blank behind each
    uint32_t refuse;    // of them
    int enroll_status;
    struct follow *follow;
    char address[64];
    char told[512]; // what the callbacks said, in order
    char why[ERR_MSG_MAX];
    int lost, connected;
    double value;
    struct follow_update update;
};

static void on_call_end(struct grpc_call *call, void *ctx) {
    struct lab *l = ctx;
    if (l->call == call)
        l->call = NULL;
}

static void handle_follow(struct grpc_call *call, const ProtobufCMessage *message, void *ctx) {
    struct lab *l = ctx;
    const Gpuscale__V1__FollowRequest *m = (const void *)message;
    (void)snprintf(l->follower, sizeof(l->follower), "%s", m->follower);
    l->follows++;
    l->call = call;
    grpc_call_on_end(call, on_call_end, l);
}

static void handle_enroll(struct grpc_call *call, const ProtobufCMessage *message, void *ctx) {
    struct lab *l = ctx;
    const Gpuscale__V1__EnrollRequest *m = (const void *)message;
    for (size_t i = 0; i < m->n_objects; i++) {
        size_t n = strlen(l->enrolled);
        (void)snprintf(l->enrolled + n, sizeof(l->enrolled) - n, "%s ", m->objects[i]->name);
    }
    if (l->enroll_status != 0) {
        grpc_call_finish(call, l->enroll_status, "no");
        return;
    }
    Gpuscale__V1__EnrollResponse answer = GPUSCALE__V1__ENROLL_RESPONSE__INIT;
    answer.has_refused = 1;
    answer.refused = l->refuse;
    grpc_call_reply(call, &answer.base);
}

static void tell(struct lab *l, const char *what) {
    size_t n = strlen(l->told);
    (void)snprintf(l->told + n, sizeof(l->told) - n, "%s ", what);
}
static void on_began(void *ctx, const struct follow_update *u) {
    tell(ctx, "began");
    ((struct lab *)ctx)->update = *u;
}
static void on_decision(void *ctx, const struct decision *d) {
    struct lab *l = ctx;
    tell(l, "decision");
    assert_true(str_eqc(d->object.name, "llm"));
    l->value = d->answer.value;
}
static void on_removed(void *ctx, uint64_t id) {
    tell(ctx, id == 8 ? "removed" : "another");
}
static void on_ended(void *ctx, const struct follow_update *u) {
    tell(ctx, "ended");
}
static void on_connected(void *ctx) {
    ((struct lab *)ctx)->connected++;
    tell(ctx, "connected");
}
static void on_lost(void *ctx, const struct err *why) {
    struct lab *l = ctx;
    l->lost++;
    (void)snprintf(l->why, sizeof(l->why), "%s", why->msg);
}

static void open_server(struct lab *l) {
    struct err e = {0};
    const struct grpc_server_options o = {
        .listen = "127.0.0.1:0", .services = l->services, .max_connections = 4};
    assert_int_equal(grpc_server_open(&l->server, &l->loop, &o, &e), 0);
    net_addr_format(grpc_server_addr(l->server), l->address, sizeof(l->address));
}

static void open_lab(struct lab *l) {
    struct err e = {0};
    *l = (struct lab){0};
    assert_int_equal(uv_loop_init(&l->loop), 0);
    l->methods[0] = (struct grpc_method){.name = "Follow",
                                         .request = &gpuscale__v1__follow_request__descriptor,
                                         .streams = true,
                                         .handle = handle_follow};
    l->methods[1] = (struct grpc_method){.name = "Enroll",
                                         .request = &gpuscale__v1__enroll_request__descriptor,
                                         .handle = handle_enroll};
    l->service = (struct grpc_service){
        .name = "gpuscale.v1.Decisions", .methods = l->methods, .n_methods = 2, .ctx = l};
    l->services[0] = &l->service;
    open_server(l);
    const struct follow_options o = {.loop = &l->loop,
                                     .identity = "us_1",
                                     .seed = unit_seed(),
                                     .began = on_began,
                                     .decision = on_decision,
                                     .removed = on_removed,
                                     .ended = on_ended,
                                     .connected = on_connected,
                                     .lost = on_lost,
                                     .ctx = l};
    assert_int_equal(follow_new(&l->follow, &o, &e), 0);
    assert_int_equal(follow_state(l->follow), FOLLOW_NOBODY);
}

static void on_closed(void *ctx) {
}

static void close_lab(struct lab *l) {
    l->follow = follow_free(l->follow);
    grpc_server_close(l->server, 0, on_closed, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&l->loop);
}

static bool is_followed(void *arg) {
    return ((struct lab *)arg)->call != NULL;
}
static void follow(struct lab *l) {
    struct err e = {0};
    assert_int_equal(follow_to(l->follow, "they_1", l->address, &e), 0);
    assert_int_equal(follow_state(l->follow), FOLLOW_CONNECTING);
    TURN_UNTIL(&l->loop, is_followed, l);
}

static Gpuscale__V1__DecisionsUpdate update(uint64_t seq) {
    static char leader[] = "they_1";
    Gpuscale__V1__DecisionsUpdate m = GPUSCALE__V1__DECISIONS_UPDATE__INIT;
    m.leader = leader;
    m.has_term = m.has_seq = m.has_interval_ms = m.has_full = m.has_complete = m.has_now_ms =
        m.has_decided_ms = 1;
    m.term = 7;
    m.seq = seq;
    m.interval_ms = 1000;
    m.full = seq == 1;
    m.complete = 1;
    m.now_ms = 50000;
    m.decided_ms = 48000;
    return m;
}

static bool is_ended(void *arg) {
    return strstr(((struct lab *)arg)->told, "ended") != NULL;
}
static bool is_lost(void *arg) {
    return ((struct lab *)arg)->lost > 0;
}
static bool is_live(void *arg) {
    return follow_state(((struct lab *)arg)->follow) == FOLLOW_LIVE;
}

static void go_live(struct lab *l) {
    follow(l);
    Gpuscale__V1__DecisionsUpdate m = update(1);
    assert_int_equal(grpc_call_send(l->call, &m.base), 0);
    TURN_UNTIL(&l->loop, is_live, l);
}

static void a_message_is_told_in_its_order(void **state) {
    struct lab l;
    char ns[] = "default", name[] = "llm";
    Gpuscale__V1__Reference object = GPUSCALE__V1__REFERENCE__INIT;
    Gpuscale__V1__Decision d = GPUSCALE__V1__DECISION__INIT, *list[] = {&d};
    uint64_t removed[] = {8};
    object.namespace_ = ns;
    object.name = name;
    d.has_id = d.has_value = 1;
    d.id = 9;
    d.object = &object;
    d.value = 3.001;
    open_lab(&l);
    follow(&l);
    assert_string_equal(l.follower, "us_1");
    Gpuscale__V1__DecisionsUpdate m = update(1);
    m.n_decisions = m.n_removed = 1;
    m.decisions = list;
    m.removed = removed;
    int64_t before_ns = clock_mono_ns();
    assert_int_equal(grpc_call_send(l.call, &m.base), 0);
    TURN_UNTIL(&l.loop, is_ended, &l);
    assert_string_equal(l.told, "connected began decision removed ended ");
    assert_true(l.value == 3.001);
    assert_true(l.update.full && l.update.complete && !l.update.resigned && l.update.term == 7);
    // Two seconds before its sending, by the clock of here.
    assert_true(l.update.decided_ns >= before_ns - 2 * NS_PER_S);
    assert_true(l.update.decided_ns <= clock_mono_ns() - 2 * NS_PER_S);
    assert_int_equal(follow_state(l.follow), FOLLOW_LIVE);
    assert_int_equal(follow_stats(l.follow).connects, 1);
    close_lab(&l);
}

static void messages_that_no_leader_sends_end_the_connection(void **state) {
    enum what { HOLE, MIDDLE, ANOTHER, NO_NAME, NO_TERM, FUTURE, HUGE_TIME, NO_OBJECT };
    static const struct {
        enum what what;
        const char *says;
    } cases[] = {
        {HOLE, "message 1 of the leader's is missing"},
        {MIDDLE, "does not begin at its beginning"},
        {ANOTHER, "answers as somebody_2, the Lease says they_1"},
        {NO_NAME, "without leader or time"},
        {NO_TERM, "without leader or time"},
        {FUTURE, "without leader or time"},
        {HUGE_TIME, "without leader or time"},
        {NO_OBJECT, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct lab l;
        char other[] = "somebody_2";
        Gpuscale__V1__Decision d = GPUSCALE__V1__DECISION__INIT, *list[] = {&d};
        open_lab(&l);
        follow(&l);
        Gpuscale__V1__DecisionsUpdate m = update(1);
        m.seq += cases[i].what == HOLE;
        m.full &= cases[i].what != MIDDLE;
        if (cases[i].what == ANOTHER)
            m.leader = other;
        if (cases[i].what == NO_NAME)
            m.leader = NULL;
        m.has_term = cases[i].what != NO_TERM;
        m.decided_ms += cases[i].what == FUTURE ? 10000 : 0;
        if (cases[i].what == HUGE_TIME)
            m.now_ms = m.decided_ms = UINT64_MAX;
        if (cases[i].what == NO_OBJECT) {
            m.n_decisions = 1;
            m.decisions = list;
        }
        assert_int_equal(grpc_call_send(l.call, &m.base), 0);
        TURN_UNTIL(&l.loop, is_lost, &l);
        if (strstr(l.why, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", l.why, cases[i].says);
        assert_int_equal(follow_stats(l.follow).bad_messages, 1);
        assert_int_equal(follow_state(l.follow), FOLLOW_CONNECTING); // it tries again
        close_lab(&l);
    }
}

static bool is_followed_again(void *arg) {
    const struct lab *l = arg;
    return l->follows == 2 && l->call != NULL;
}

static void a_stream_that_ends_is_begun_again_with_its_reason(void **state) {
    struct lab l;
    open_lab(&l);
    go_live(&l);
    struct grpc_call *call = l.call;
    l.call = NULL;
    grpc_call_finish(call, GRPC_UNAVAILABLE, "another leads");
    TURN_UNTIL(&l.loop, is_lost, &l);
    assert_non_null(strstr(l.why, "UNAVAILABLE: another leads"));
    assert_int_equal(follow_stats(l.follow).losses, 1);
    TURN_UNTIL(&l.loop, is_followed_again, &l);
    close_lab(&l);
}

static void who_is_no_more_followed_is_left(void **state) {
    struct lab l;
    struct err e = {0};
    open_lab(&l);
    go_live(&l);
    assert_int_equal(follow_to(l.follow, "they_1", l.address, &e), 0); // the same: nothing
    assert_true(is_live(&l));
    assert_int_equal(follow_to(l.follow, NULL, NULL, &e), 0);
    assert_int_equal(follow_state(l.follow), FOLLOW_NOBODY);
    assert_int_equal(l.lost, 0); // it was our will
    close_lab(&l);
}

static void what_is_no_address_is_not_followed(void **state) {
    static const char *const addresses[] = {"", "10.0.0.7", "leader.example:9443",
                                            "10.0.0.7:99999"};
    struct lab l;
    open_lab(&l);
    go_live(&l);
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct err e = {0};
        if (follow_to(l.follow, "they_2", addresses[i], &e) >= 0 || e.msg[0] == '\0')
            fail_msg("%s", addresses[i]);
        assert_int_equal(follow_state(l.follow), FOLLOW_NOBODY);
    }
    close_lab(&l);
}

static struct object_ref ref(const char *name) {
    return (struct object_ref){STR("default"), str_from(name), NULL, 0};
}

static bool all_answered(void *arg) {
    const struct lab *l = arg;
    struct follow_stats s = follow_stats(l->follow);
    return s.registered + s.refused >= 2;
}

static bool is_enrolled(void *arg) {
    return ((struct lab *)arg)->enrolled[0] != '\0';
}

static void objects_are_told_to_a_leader_that_is_heard(void **state) {
    struct lab l;
    open_lab(&l);
    struct object_ref early = ref("early"), a = ref("a"), b = ref("b");
    follow_register(l.follow, &early); // `connected` names it again
    go_live(&l);
    follow_register(l.follow, &a);
    follow_register(l.follow, &b); // waits for the answer about the first
    TURN_UNTIL(&l.loop, all_answered, &l);
    assert_string_equal(l.enrolled, "a b ");
    assert_int_equal(follow_stats(l.follow).registered, 2);
    close_lab(&l);
}

static void what_the_leader_cannot_take_now_is_told_again(void **state) {
    struct lab l;
    open_lab(&l);
    go_live(&l);
    l.enroll_status = GRPC_UNAVAILABLE;
    struct object_ref a = ref("a");
    follow_register(l.follow, &a);
    TURN_UNTIL(&l.loop, is_enrolled, &l);
    l.enroll_status = GRPC_INVALID_ARGUMENT; // the next answer is its last
    Gpuscale__V1__DecisionsUpdate m = update(2);
    l.told[0] = '\0';
    assert_int_equal(grpc_call_send(l.call, &m.base), 0); // with the next message
    TURN_UNTIL(&l.loop, is_ended, &l);
    struct object_ref b = ref("b");
    follow_register(l.follow, &b);
    TURN_UNTIL(&l.loop, all_answered, &l);
    assert_true(strcmp(l.enrolled, "a a b ") == 0 || strcmp(l.enrolled, "a a a b ") == 0);
    assert_int_equal(follow_stats(l.follow).registered, 0);
    assert_int_equal(follow_stats(l.follow).refused, 2);
    close_lab(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_told_in_its_order),
        cmocka_unit_test(messages_that_no_leader_sends_end_the_connection),
        cmocka_unit_test(a_stream_that_ends_is_begun_again_with_its_reason),
        cmocka_unit_test(who_is_no_more_followed_is_left),
        cmocka_unit_test(what_is_no_address_is_not_followed),
        cmocka_unit_test(objects_are_told_to_a_leader_that_is_heard),
        cmocka_unit_test(what_the_leader_cannot_take_now_is_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
