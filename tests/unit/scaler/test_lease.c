// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/lease against an API server in the same loop: which requests the election becomes, what
 * its answers become, and what is told of it. Who may take a Lease and when is test_election.c's.
 */
#include "scaler/lease.h"

#include "net/loop.h"
#include "lease_api.h"

struct lab {
    uv_loop_t loop;
    struct lease_api api;
    struct lease *lease;
    int changed, troubles, recovered;
    char why[ERR_MSG_MAX];
};

static void on_changed(void *ctx) {
    struct lab *l = ctx;
    l->changed++;
}

static void on_trouble(void *ctx, const struct err *why) {
    struct lab *l = ctx;
    *(why ? &l->troubles : &l->recovered) += 1;
    if (why != NULL)
        (void)snprintf(l->why, sizeof(l->why), "%s", why->msg);
}

static void open_lab(struct lab *l) {
    struct err e = {0};
    *l = (struct lab){0};
    assert_int_equal(uv_loop_init(&l->loop), 0);
    lease_api_open(&l->api, &l->loop);
    const struct lease_options o = {.kube = l->api.client,
                                    .namespace_ = "default",
                                    .name = "gpuscale",
                                    .identity = "us_1",
                                    .address = "10.0.0.7:9443",
                                    .seed = unit_seed(),
                                    .changed = on_changed,
                                    .trouble = on_trouble,
                                    .ctx = l};
    assert_int_equal(lease_new(&l->lease, &o, &e), 0);
}

static void close_lab(struct lab *l) {
    l->lease = lease_free(l->lease);
    lease_api_close(&l->api);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&l->loop);
}

static bool is_read(void *arg) {
    struct lab *l = arg;
    return l->api.reads > 0 && l->changed > 1; // the timer's, and the answer's
}

static bool leads(void *arg) {
    return lease_leads(((struct lab *)arg)->lease, clock_mono_ns());
}

static void who_does_not_stand_only_reads(void **state) {
    struct lab l;
    open_lab(&l);
    TURN_UNTIL(&l.loop, is_read, &l);
    assert_null(lease_record(l.lease));
    assert_int_equal(l.api.writes, 0);
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, leads, &l);
    assert_int_equal(l.api.writes, 1);
    close_lab(&l);
}

static void a_free_lease_is_taken_with_the_address_in_it(void **state) {
    struct lab l;
    open_lab(&l);
    lease_api_hold(&l.api, "", "");
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, leads, &l);
    assert_true(lease_ours(l.lease));
    const struct election_record *r = lease_record(l.lease);
    assert_string_equal(r->holder, "us_1");
    assert_string_equal(r->address, "10.0.0.7:9443");
    assert_int_equal(r->transitions, 5);
    assert_non_null(strstr(l.api.spec, "\"holderIdentity\":\"us_1\""));
    assert_non_null(strstr(l.api.annotations, "10.0.0.7:9443"));
    assert_int_equal(lease_stats(l.lease).takes, 1);
    close_lab(&l);
}

static void anothers_lease_says_who_leads_and_where(void **state) {
    struct lab l;
    open_lab(&l);
    lease_api_hold(&l.api, "they_1", "10.0.0.8:9443");
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, is_read, &l);
    assert_non_null(lease_record(l.lease));
    assert_string_equal(lease_record(l.lease)->holder, "they_1");
    assert_string_equal(lease_record(l.lease)->address, "10.0.0.8:9443");
    assert_false(lease_ours(l.lease) || leads(&l));
    assert_int_equal(l.api.writes, 0);
    close_lab(&l);
}

static bool is_troubled(void *arg) {
    return ((struct lab *)arg)->troubles > 0;
}

static bool failed_twice(void *arg) {
    return lease_stats(((struct lab *)arg)->lease).failures >= 2;
}

static bool has_recovered(void *arg) {
    return ((struct lab *)arg)->recovered > 0;
}

static void a_refusal_is_told_once_and_so_is_its_end(void **state) {
    struct lab l;
    open_lab(&l);
    l.api.status = 403;
    TURN_UNTIL(&l.loop, is_troubled, &l);
    assert_non_null(strstr(l.why, "leases"));
    lease_hurry(l.lease); // not again in its own time
    TURN_UNTIL(&l.loop, failed_twice, &l);
    assert_int_equal(l.troubles, 1);
    assert_int_equal(l.recovered, 0);
    l.api.status = 0;
    lease_api_hold(&l.api, "they_1", "10.0.0.8:9443");
    lease_hurry(l.lease);
    TURN_UNTIL(&l.loop, has_recovered, &l);
    assert_int_equal(l.troubles, 1);
    assert_int_equal(l.recovered, 1);
    close_lab(&l);
}

static void a_holder_that_is_too_long_is_no_record(void **state) {
    struct lab l;
    char name[ELECTION_NAME_MAX + 1];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    open_lab(&l);
    lease_api_hold(&l.api, name, "10.0.0.8:9443");
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, is_troubled, &l);
    assert_non_null(strstr(l.why, "too long"));
    assert_null(lease_record(l.lease));
    assert_int_equal(l.api.writes, 0);
    close_lab(&l);
}

static bool is_over(void *arg) {
    return lease_over(((struct lab *)arg)->lease);
}

static void who_resigns_gives_the_lease_up(void **state) {
    struct lab l;
    open_lab(&l);
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, leads, &l);
    lease_resign(l.lease);
    assert_false(leads(&l));
    assert_false(lease_over(l.lease));
    TURN_UNTIL(&l.loop, is_over, &l);
    assert_non_null(strstr(l.api.spec, "\"holderIdentity\":\"\""));
    assert_int_equal(l.api.writes, 2);
    close_lab(&l);
}

static bool knows_them(void *arg) {
    const struct election_record *r = lease_record(((struct lab *)arg)->lease);
    return r != NULL && strcmp(r->holder, "they_1") == 0;
}

static void somebody_elses_write_is_read_and_no_trouble(void **state) {
    struct lab l;
    open_lab(&l);
    l.api.overtaken = true;
    lease_stand(l.lease, true);
    TURN_UNTIL(&l.loop, knows_them, &l);
    assert_int_equal(l.api.writes, 1);
    assert_false(leads(&l));
    assert_int_equal(l.troubles, 0);
    assert_int_equal(lease_stats(l.lease).failures, 0);
    close_lab(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_stand_only_reads),
        cmocka_unit_test(a_free_lease_is_taken_with_the_address_in_it),
        cmocka_unit_test(anothers_lease_says_who_leads_and_where),
        cmocka_unit_test(a_refusal_is_told_once_and_so_is_its_end),
        cmocka_unit_test(a_holder_that_is_too_long_is_no_record),
        cmocka_unit_test(who_resigns_gives_the_lease_up),
        cmocka_unit_test(somebody_elses_write_is_read_and_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
