// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/tell: what a follower's stream says first and afterwards, in how many messages, and who is
 * refused. The followers are calls on one connection of the same loop.
 */
#include "scaler/tell.h"

#include "base/mem.h"
#include "net/grpc_client.h"
#include "net/loop.h"
#include "scaler/decision.h"
#include "unit.h"
#include "web/turn.h"

enum { LARGE = 200 << 10, MESSAGES = 16 };

struct heard { // one message, as far as it matters
    uint64_t seq, term, ids[8], removed[8];
    size_t n, n_removed;
    bool full, complete, resigned;
    char leader[32];
};

struct lab {
    uv_loop_t loop;
    struct tell *tell;
    struct grpc_server *server;
    struct grpc_channel *channel;
    struct heard heard[MESSAGES];
    int n, ended, status;
    char why[256];
    uint32_t refused;
    int enrolled; // what `registered` was asked
};

static bool on_registered(void *ctx, const struct object_ref *r) {
    struct lab *l = ctx;
    l->enrolled++;
    return !str_eqc(r->name, "unbound");
}

static void on_channel_closed(void *ctx, const struct err *why) {
    fail_msg("%s", why->msg);
}

static void open_lab(struct lab *l) {
    static const struct grpc_service *services[2];
    struct err e = {0};
    *l = (struct lab){.status = -1};
    assert_int_equal(uv_loop_init(&l->loop), 0);
    const struct tell_options o = {.loop = &l->loop, .registered = on_registered, .ctx = l};
    assert_int_equal(tell_new(&l->tell, &o, &e), 0);
    services[0] = tell_service(l->tell);
    const struct grpc_server_options s = {
        .listen = "127.0.0.1:0", .services = services, .max_connections = 1};
    assert_int_equal(grpc_server_open(&l->server, &l->loop, &s, &e), 0);
    const struct grpc_channel_options c = {.to = *grpc_server_addr(l->server),
                                           .server_name = "leader",
                                           .connect_ms = 10000,
                                           .closed = on_channel_closed,
                                           .ctx = l};
    assert_int_equal(grpc_channel_open(&l->channel, &l->loop, &c, &e), 0);
}

static void on_closed(void *ctx) {
}

static void close_lab(struct lab *l) {
    tell_stop(l->tell);
    grpc_channel_free(l->channel);
    grpc_server_close(l->server, 0, on_closed, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    tell_free(l->tell);
    net_loop_drain_close(&l->loop);
}

static void on_message(void *ctx, const ProtobufCMessage *message) {
    struct lab *l = ctx;
    const Gpuscale__V1__DecisionsUpdate *m = (const void *)message;
    bool empty = m->n_decisions == 0 && m->n_removed == 0 && !m->full && !m->resigned;
    if (empty && m->seq > 1)
        return; // a heartbeat
    assert_true(l->n < MESSAGES);
    struct heard *h = &l->heard[l->n++];
    *h = (struct heard){.seq = m->seq,
                        .term = m->term,
                        .full = m->full,
                        .complete = m->complete,
                        .resigned = m->resigned};
    (void)snprintf(h->leader, sizeof(h->leader), "%s", m->leader);
    for (size_t i = 0; i < m->n_decisions && i < COUNT_OF(h->ids); i++)
        h->ids[i] = m->decisions[i]->id;
    for (size_t i = 0; i < m->n_removed && i < COUNT_OF(h->removed); i++)
        h->removed[i] = m->removed[i];
    h->n = m->n_decisions;
    h->n_removed = m->n_removed;
}

static void on_finished(void *ctx, int status, const char *message) {
    struct lab *l = ctx;
    l->ended++;
    l->status = status;
    (void)snprintf(l->why, sizeof(l->why), "%s", message);
}

static void follow(struct lab *l) {
    struct grpc_client_call *call;
    struct err e = {0};
    Gpuscale__V1__FollowRequest request = GPUSCALE__V1__FOLLOW_REQUEST__INIT;
    char name[] = "follower";
    request.follower = name;
    const struct grpc_client_call_options o = {
        .method = "/gpuscale.v1.Decisions/Follow",
        .request = &request.base,
        .response = &gpuscale__v1__decisions_update__descriptor,
        .message = on_message,
        .finished = on_finished,
        .ctx = l};
    assert_int_equal(grpc_client_call_start(&call, l->channel, &o, &e), 0);
}

static void on_answer(void *ctx, const ProtobufCMessage *message) {
    ((struct lab *)ctx)->refused =
        ((const Gpuscale__V1__EnrollResponse *)(const void *)message)->refused;
}

static void enroll(struct lab *l, const struct object_ref *refs, size_t n) {
    struct grpc_client_call *call;
    struct decision_reference x[4];
    Gpuscale__V1__Reference *list[4];
    Gpuscale__V1__EnrollRequest request = GPUSCALE__V1__ENROLL_REQUEST__INIT;
    struct err e = {0};
    assert_true(n <= COUNT_OF(x));
    for (size_t i = 0; i < n; i++) {
        decision_fill_reference(&x[i], &refs[i]);
        list[i] = &x[i].m;
    }
    request.n_objects = n;
    request.objects = list;
    const struct grpc_client_call_options o = {
        .method = "/gpuscale.v1.Decisions/Enroll",
        .request = &request.base,
        .response = &gpuscale__v1__enroll_response__descriptor,
        .message = on_answer,
        .finished = on_finished,
        .ctx = l};
    assert_int_equal(grpc_client_call_start(&call, l->channel, &o, &e), 0);
}

// A decision of at least so many bytes.
static void say(struct lab *l, uint64_t id, size_t bytes) {
    char *message = mem_zalloc(bytes + 1);
    memset(message, 'm', bytes);
    const struct decision d = {.id = id,
                               .object = {STR("default"), STR("llm"), NULL, 0},
                               .answer = {.seq = 1, .value = 3, .message = message}};
    struct buf b;
    buf_init(&b, bytes + 4096);
    assert_int_equal(decision_pack(&b, &d), 0);
    char *packed = mem_alloc(b.len);
    memcpy(packed, b.p, b.len);
    tell_decision(l->tell, id, packed, b.len);
    buf_done(&b);
    mem_free(message);
}

static int wanted;
static bool heard_all(void *arg) {
    return ((struct lab *)arg)->n >= wanted;
}
static void hear(struct lab *l, int n) {
    wanted = n;
    TURN_UNTIL(&l->loop, heard_all, l);
    assert_int_equal(l->n, n);
}
static bool ended_all(void *arg) {
    return ((struct lab *)arg)->ended >= wanted;
}
static void end(struct lab *l, int n) {
    wanted = n;
    TURN_UNTIL(&l->loop, ended_all, l);
}

static void a_follower_is_told_all_first_and_then_what_changes(void **state) {
    struct lab l;
    open_lab(&l);
    tell_lead(l.tell, "us_1", 7);
    say(&l, 1, 10);
    say(&l, 2, 10);
    say(&l, 3, 10);
    tell_decision(l.tell, 2, NULL, 0); // before anybody follows
    assert_int_equal(tell_stats(l.tell).objects, 2);
    follow(&l);
    hear(&l, 1);
    const struct heard *h = &l.heard[0];
    assert_true(h->seq == 1 && h->term == 7 && h->full && h->complete && !h->resigned);
    assert_string_equal(h->leader, "us_1");
    assert_true(h->n == 2 && h->ids[0] == 1 && h->ids[1] == 3 && h->n_removed == 0);
    say(&l, 1, 10);
    tell_decision(l.tell, 3, NULL, 0);
    tell_decision(l.tell, 99, NULL, 0); // nobody knows it
    tell_flush(l.tell, clock_mono_ns());
    hear(&l, 2);
    h = &l.heard[1];
    assert_true(!h->full && h->complete && h->n == 1 && h->ids[0] == 1);
    assert_true(h->n_removed == 1 && h->removed[0] == 3);
    close_lab(&l);
}

static void what_does_not_fit_into_a_message_goes_on_in_the_next(void **state) {
    struct lab l;
    open_lab(&l);
    tell_lead(l.tell, "us_1", 7);
    for (uint64_t id = 1; id <= 3; id++)
        say(&l, id, LARGE);
    follow(&l);
    hear(&l, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(l.heard[i].seq, i + 1);
        assert_int_equal(l.heard[i].full, i == 0);
        assert_int_equal(l.heard[i].complete, i == 2);
        assert_true(l.heard[i].n == 1 && l.heard[i].ids[0] == (uint64_t)i + 1);
    }
    close_lab(&l);
}

static void who_does_not_lead_refuses_followers_and_objects(void **state) {
    static const struct object_ref one = {STR("default"), STR("llm"), NULL, 0};
    struct lab l;
    open_lab(&l);
    follow(&l);
    end(&l, 1);
    assert_int_equal(l.status, GRPC_UNAVAILABLE);
    assert_string_equal(l.why, "this scaler does not lead");
    enroll(&l, &one, 1);
    end(&l, 2);
    assert_int_equal(l.status, GRPC_UNAVAILABLE);
    assert_int_equal(l.enrolled, 0);
    close_lab(&l);
}

static void one_follower_too_many_is_refused(void **state) {
    struct lab l;
    open_lab(&l);
    tell_lead(l.tell, "us_1", 7);
    for (int i = 0; i <= TELL_FOLLOWERS_MAX; i++)
        follow(&l);
    end(&l, 1);
    assert_int_equal(l.status, GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(tell_stats(l.tell).followers, TELL_FOLLOWERS_MAX);
    close_lab(&l);
}

static void who_yields_ends_the_streams_and_says_whether_the_lease_is_free(void **state) {
    for (int resigned = 0; resigned < 2; resigned++) {
        struct lab l;
        open_lab(&l);
        tell_lead(l.tell, "us_1", 7);
        say(&l, 1, 10);
        follow(&l);
        hear(&l, 1);
        say(&l, 1, 10); // told before the end, where the end is ours to choose
        tell_yield(l.tell, "another leads", resigned);
        end(&l, 1);
        assert_int_equal(l.status, GRPC_UNAVAILABLE);
        assert_string_equal(l.why, "another leads");
        assert_int_equal(l.n, resigned ? 3 : 1);
        if (resigned) {
            assert_int_equal(l.heard[1].ids[0], 1);
            assert_true(l.heard[2].resigned && l.heard[2].n == 0);
        }
        assert_int_equal(tell_stats(l.tell).followers, 0);
        assert_int_equal(tell_stats(l.tell).objects, 0); // of the next term nothing is known
        close_lab(&l);
    }
}

static bool is_complete(void *arg) {
    const struct lab *l = arg;
    return l->n > 0 && l->heard[l->n - 1].complete;
}

static void more_ends_than_are_remembered_are_told_by_telling_all_again(void **state) {
    struct lab l;
    open_lab(&l);
    tell_lead(l.tell, "us_1", 7);
    for (uint64_t id = 1; id <= 5000; id++)
        say(&l, id, 1);
    follow(&l);
    TURN_UNTIL(&l.loop, is_complete, &l);
    l.n = 0;
    for (uint64_t id = 2; id <= 5000; id++)
        tell_decision(l.tell, id, NULL, 0);
    tell_flush(l.tell, clock_mono_ns());
    hear(&l, 1);
    assert_true(l.heard[0].full && l.heard[0].complete);
    assert_true(l.heard[0].n == 1 && l.heard[0].ids[0] == 1 && l.heard[0].n_removed == 0);
    close_lab(&l);
}

static void objects_that_cannot_be_decided_are_counted_as_refused(void **state) {
    static const struct object_ref refs[] = {{STR("default"), STR("llm"), NULL, 0},
                                             {STR("default"), STR("unbound"), NULL, 0},
                                             {STR("default"), STR("rule"), NULL, 0, .rule = true},
                                             {STR("default"), STR(""), NULL, 0}};
    struct lab l;
    open_lab(&l);
    tell_lead(l.tell, "us_1", 7);
    enroll(&l, refs, COUNT_OF(refs));
    end(&l, 1);
    assert_int_equal(l.status, GRPC_OK);
    assert_int_equal(l.refused, 3);
    assert_int_equal(l.enrolled, 2); // a rule is of the configuration, a name is needed
    assert_int_equal(tell_stats(l.tell).registered, 1);
    assert_int_equal(tell_stats(l.tell).refused, 3);
    close_lab(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_is_told_all_first_and_then_what_changes),
        cmocka_unit_test(what_does_not_fit_into_a_message_goes_on_in_the_next),
        cmocka_unit_test(who_does_not_lead_refuses_followers_and_objects),
        cmocka_unit_test(one_follower_too_many_is_refused),
        cmocka_unit_test(who_yields_ends_the_streams_and_says_whether_the_lease_is_free),
        cmocka_unit_test(more_ends_than_are_remembered_are_told_by_telling_all_again),
        cmocka_unit_test(objects_that_cannot_be_decided_are_counted_as_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
