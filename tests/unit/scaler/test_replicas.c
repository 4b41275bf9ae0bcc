// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/replicas: from follower to leader and back, by what the Lease says. The API server and
 * the io thread's loop are the test's; nobody listens at another scaler's address.
 */
#include "io_lab.h"
#include "lease_api.h"
#include "scaler/replicas_internal.h"

static const char workloads[] = "workloads:\n"
                                "- {namespace: default, target: deployment/llm, replicas: 3,\n"
                                "   scaledObjects: [llm]}\n";

struct lab {
    struct io *io;
    struct lease_api api;
};

// `holder`: who has the Lease; NULL: there is none.
static void open_lab(struct lab *l, const char *holder) {
    struct err e = {0};
    l->io = lab_open(workloads, 64);
    lease_api_open(&l->api, &l->io->loop);
    if (holder != NULL)
        lease_api_hold(&l->api, holder, "127.0.0.1:1");
    l->io->kube = l->api.client;
    lab_config.replicas.lease = "default/gpuscale";
    lab_config.replicas.identity = "us";
    lab_config.replicas.address = "10.0.0.7:9443";
    assert_int_equal(io_replicas_start(l->io, &e), 0);
}

static void close_lab(struct lab *l) {
    io_replicas_stop(l->io);
    l->io->kube = NULL;
    lease_api_close(&l->api);
    uv_run(&l->io->loop, UV_RUN_NOWAIT);
    io_replicas_done(l->io);
    lab_close(l->io);
}

static bool leads(void *arg) {
    return io_leads(((struct lab *)arg)->io);
}
static bool is_read(void *arg) {
    return ((struct lab *)arg)->io->replicas->lease != NULL &&
           lease_record(((struct lab *)arg)->io->replicas->lease) != NULL;
}

// The next word about who leads; the rest is thrown away. NULL: none.
static struct to_rpc *role(struct io *io) {
    struct to_rpc *m;
    while ((m = queue_pop(io->to_rpc)) != NULL && m->kind != TO_RPC_ROLE)
        to_rpc_free(m);
    return m;
}

static void lead(struct lab *l) {
    io_replicas_tick(l->io, clock_mono_ns()); // it has read the cluster: it stands
    TURN_UNTIL(&l->io->loop, leads, l);
}

static void one_scaler_alone_leads(void **state) {
    struct io *io = lab_open(workloads, 64);
    assert_true(io_leads(io) && io_may_decide(io));
    assert_false(io_replicas_inherited(io) || io_replicas_resign(io));
    assert_false(io_replicas_settling(io, NS_PER_S, clock_mono_ns()));
    lab_close(io);
}

static void who_holds_no_lease_decides_nothing(void **state) {
    struct lab l;
    open_lab(&l, "they_1");
    TURN_UNTIL(&l.io->loop, is_read, &l);
    assert_false(io_leads(l.io) || io_may_decide(l.io));
    lab_register(l.io, 1, "llm", "2", "vllm");
    assert_int_equal(l.io->objects->decisions, 0);
    assert_string_equal(l.io->replicas->unusable, "");
    assert_int_equal(follow_state(l.io->replicas->follow), FOLLOW_CONNECTING);
    close_lab(&l);
}

static void the_holder_decides_and_tells_the_rpc_thread(void **state) {
    struct lab l;
    open_lab(&l, NULL);
    lab_register(l.io, 1, "llm", "2", "vllm");
    lead(&l);
    assert_true(io_may_decide(l.io));
    assert_false(io_replicas_inherited(l.io)); // nobody was heard before
    assert_int_equal(l.io->objects->decisions, 1);
    assert_int_equal(follow_state(l.io->replicas->follow), FOLLOW_NOBODY);
    struct to_rpc *m = role(l.io);
    assert_non_null(m);
    assert_true(m->role->leads && !m->role->resigned);
    assert_string_equal(m->role->leader, l.io->replicas->identity);
    assert_true(str_starts(str_from(m->role->leader), "us_")); // and this run's own number
    to_rpc_free(m);
    close_lab(&l);
}

static bool has_another(void *arg) {
    struct lab *l = arg;
    return !io_leads(l->io) && is_read(l);
}

static void who_loses_the_lease_follows_its_holder(void **state) {
    struct lab l;
    open_lab(&l, NULL);
    lab_register(l.io, 1, "llm", "2", "vllm");
    lead(&l);
    to_rpc_free(role(l.io));
    lease_api_hold(&l.api, "they_1", "127.0.0.1:1"); // somebody took it, whatever the rules say
    lease_hurry(l.io->replicas->lease);
    TURN_UNTIL(&l.io->loop, has_another, &l);
    assert_false(io_may_decide(l.io));
    assert_int_equal(l.io->replicas->terms_ended, 1);
    struct to_rpc *m = role(l.io);
    assert_non_null(m);
    assert_true(!m->role->leads && !m->role->resigned);
    to_rpc_free(m);
    close_lab(&l);
}

static bool is_resigned(void *arg) {
    return ((struct lab *)arg)->io->replicas->resigned;
}

static void who_ends_gives_the_lease_up_and_says_so_to_its_followers(void **state) {
    struct lab l;
    open_lab(&l, NULL);
    lead(&l);
    to_rpc_free(role(l.io));
    assert_true(io_replicas_resign(l.io));
    assert_false(io_replicas_resign(l.io)); // once
    assert_false(io_leads(l.io));
    assert_null(role(l.io)); // followers go on with us until it is free
    TURN_UNTIL(&l.io->loop, is_resigned, &l);
    assert_non_null(strstr(l.api.spec, "\"holderIdentity\":\"\""));
    struct to_rpc *m = role(l.io);
    assert_non_null(m);
    assert_true(!m->role->leads && m->role->resigned);
    to_rpc_free(m);
    close_lab(&l);
}

static void an_address_that_is_none_is_said_once_and_not_followed(void **state) {
    struct lab l;
    open_lab(&l, NULL);
    lease_api_hold(&l.api, "they_1", "leader.example");
    TURN_UNTIL(&l.io->loop, is_read, &l);
    assert_string_equal(l.io->replicas->unusable, "leader.example");
    assert_int_equal(follow_state(l.io->replicas->follow), FOLLOW_NOBODY);
    close_lab(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_scaler_alone_leads),
        cmocka_unit_test(who_holds_no_lease_decides_nothing),
        cmocka_unit_test(the_holder_decides_and_tells_the_rpc_thread),
        cmocka_unit_test(who_loses_the_lease_follows_its_holder),
        cmocka_unit_test(who_ends_gives_the_lease_up_and_says_so_to_its_followers),
        cmocka_unit_test(an_address_that_is_none_is_said_once_and_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
