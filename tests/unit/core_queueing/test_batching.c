// SPDX-License-Identifier: Apache-2.0
/* Batches: the batcher's rules, and where a queue has a closed form, that it comes out. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "core/queueing/station.h"

static struct station_config config(uint32_t instances, uint32_t queue, double service_s,
                                    enum station_draw draw) {
    return (struct station_config){
        .kind = STATION_BATCHES,
        .max_queue = queue,
        .seed = 7,
        .batching = {.instances = instances,
                     .max_batch = 1,
                     .points = {{1, service_s}},
                     .n_points = 1,
                     .draw = draw},
    };
}

struct outcome {
    double wait_s;    // mean time in the queue of those accepted
    double blocked;   // share of those that were refused
    double busy;      // mean of busy instances
    double inside;    // mean number inside: Little's law has two ways to it
    double stay_rate; // arrivals accepted a second x mean stay
};

struct sums {
    double wait_s, stay_s, inside_s;
    int64_t at_ns;
    uint64_t finished;
};

static void take(struct station *s, int64_t until_ns, struct sums *m) {
    struct station_event ev;
    struct station_reading r;
    for (bool more = true; more;) {
        station_read(s, &r);
        uint32_t inside = r.waiting + r.running;
        more = station_step(s, until_ns, &ev);
        station_read(s, &r);
        m->inside_s += (double)inside * (double)(r.now_ns - m->at_ns) / 1e9;
        m->at_ns = r.now_ns;
        if (more && ev.kind == STATION_FINISHED) {
            m->wait_s += (double)(ev.admitted_ns - ev.arrived_ns) / 1e9;
            m->stay_s += (double)(ev.at_ns - ev.arrived_ns) / 1e9;
            m->finished++;
        }
    }
}

// Poisson arrivals until n have come, then all are served.
static struct outcome run(const struct station_config *c, double rate, int n) {
    struct station *s;
    struct station_reading r;
    struct random random;
    struct sums m = {0};
    double at_s = 0;
    uint64_t ticket;
    random_init(&random, 11);
    assert_int_equal(station_new(&s, c, 0, NULL), 0);
    for (int i = 0; i < n; i++) {
        at_s += random_exponential(&random, 1 / rate);
        int64_t now_ns = (int64_t)(at_s * 1e9);
        take(s, now_ns, &m);
        int rc = station_offer(s, now_ns, &(struct station_request){0}, &ticket);
        assert_true(rc == 0 || rc == ERR_LIMIT);
    }
    station_read(s, &r);
    double busy = r.busy_s / at_s, inside = m.inside_s / at_s;
    while (!station_empty(s))
        take(s, station_next_ns(s), &m);
    station_read(s, &r);
    assert_int_equal(r.offered, (uint64_t)n);
    assert_int_equal(r.finished + r.rejected, (uint64_t)n);
    assert_int_equal(m.finished, r.finished);
    station_free(s);
    return (struct outcome){m.wait_s / (double)r.finished, (double)r.rejected / n, busy, inside,
                            m.stay_s / at_s};
}

#define assert_near(got, want, relative)                                                           \
    do {                                                                                           \
        double got_ = (got), want_ = (want);                                                       \
        if (fabs(got_ - want_) > (relative)*fabs(want_))                                           \
            fail_msg("%s: %g, wanted %g within %g %%", #got, got_, want_, 100 * (relative));       \
    } while (0)

static void one_exponential_server_waits_as_m_m_1(void **state) {
    (void)state;
    struct station_config c = config(1, 100000, 0.1, STATION_EXPONENTIAL);
    struct outcome o = run(&c, 7, 400000); // rho 0.7: W = rho / (mu - lambda)
    assert_near(o.wait_s, 0.7 / 3, 0.04);
    assert_near(o.busy, 0.7, 0.01);
    assert_near(o.inside, o.stay_rate, 0.001);
}

static void a_constant_server_waits_half_as_long(void **state) {
    (void)state;
    struct station_config c = config(1, 100000, 0.1, STATION_CONSTANT);
    assert_near(run(&c, 7, 400000).wait_s, 0.5 * 0.7 / 3, 0.04); // M/D/1
}

static void a_lognormal_server_waits_as_pollaczek_and_khinchine_say(void **state) {
    (void)state;
    struct station_config c = config(1, 100000, 0.1, STATION_LOGNORMAL);
    c.batching.cv = 0.8;
    assert_near(run(&c, 7, 400000).wait_s, (1 + 0.64) / 2 * 0.7 / 3, 0.05); // M/G/1
}

static double erlang_b(int servers, double load) {
    double b = 1;
    for (int i = 1; i <= servers; i++)
        b = load * b / (i + load * b);
    return b;
}

static void without_a_queue_requests_are_lost_as_erlang_b_says(void **state) {
    (void)state;
    struct station_config c = config(5, 0, 1, STATION_EXPONENTIAL);
    assert_near(run(&c, 4, 400000).blocked, erlang_b(5, 4), 0.02);
    // Erlang's loss does not depend on the law of the service times.
    c.batching.draw = STATION_CONSTANT;
    assert_near(run(&c, 4, 400000).blocked, erlang_b(5, 4), 0.02);
}

static void several_servers_wait_as_erlang_c_says(void **state) {
    (void)state;
    struct station_config c = config(5, 100000, 1, STATION_EXPONENTIAL);
    double b = erlang_b(5, 4), wait = 5 * b / (5 - 4 * (1 - b));
    assert_near(run(&c, 4, 400000).wait_s, wait / (5 - 4), 0.04); // C / (c mu - lambda)
}

static void a_bounded_queue_refuses_as_m_m_1_k(void **state) {
    (void)state;
    struct station_config c = config(1, 4, 1, STATION_EXPONENTIAL); // K = 5
    double rho = 0.9, p = (1 - rho) * pow(rho, 5) / (1 - pow(rho, 6));
    assert_near(run(&c, rho, 400000).blocked, p, 0.03);
}

static struct station *batcher(void) {
    struct station_config c = config(1, 100, 0.010, STATION_CONSTANT);
    c.batching.max_batch = 4;
    c.batching.max_delay_ns = 5 * NS_PER_MS;
    c.batching.points[1].size = 4;
    c.batching.points[1].s = 0.016;
    c.batching.n_points = 2;
    struct station *s;
    assert_int_equal(station_new(&s, &c, 0, NULL), 0);
    return s;
}

static uint64_t offer(struct station *s, int64_t now_ns) {
    uint64_t ticket;
    assert_int_equal(station_offer(s, now_ns, &(struct station_request){0}, &ticket), 0);
    return ticket;
}

static void expect(struct station *s, uint64_t ticket, enum station_event_kind kind, int64_t ns) {
    struct station_event ev;
    assert_true(station_step(s, NS_PER_S, &ev));
    assert_int_equal(ev.ticket, ticket);
    assert_int_equal(ev.kind, kind);
    assert_int_equal(ev.at_ns, ns);
}

static void a_full_batch_starts_at_once_and_ends_together(void **state) {
    (void)state;
    struct station *s = batcher();
    uint64_t t[4];
    for (int i = 0; i < 4; i++)
        t[i] = offer(s, NS_PER_MS);
    assert_int_equal(station_next_ns(s), NS_PER_MS);
    for (int i = 0; i < 4; i++)
        expect(s, t[i], STATION_ADMITTED, NS_PER_MS);
    for (int i = 0; i < 4; i++)
        expect(s, t[i], STATION_FINISHED, 17 * NS_PER_MS);
    assert_true(station_empty(s));
    station_free(s);
}

static void a_small_batch_waits_for_its_oldest_ones_delay(void **state) {
    (void)state;
    struct station *s = batcher();
    uint64_t first = offer(s, 0), second = offer(s, 3 * NS_PER_MS);
    assert_int_equal(station_next_ns(s), 5 * NS_PER_MS);
    expect(s, first, STATION_ADMITTED, 5 * NS_PER_MS);
    expect(s, second, STATION_ADMITTED, 5 * NS_PER_MS);
    expect(s, first, STATION_FINISHED, 17 * NS_PER_MS); // two: 12 ms, on the line from 10 to 16
    expect(s, second, STATION_FINISHED, 17 * NS_PER_MS);
    station_free(s);
}

static void who_has_gone_is_told_nothing_and_holds_no_place(void **state) {
    (void)state;
    struct station *s = batcher();
    struct station_event ev;
    struct station_reading r;
    uint64_t waits = offer(s, 0);
    assert_true(station_abort(s, 0, waits));
    assert_false(station_abort(s, 0, waits));
    assert_true(station_empty(s));
    uint64_t gone = offer(s, 0), stays = offer(s, 0);
    expect(s, gone, STATION_ADMITTED, 5 * NS_PER_MS);
    expect(s, stays, STATION_ADMITTED, 5 * NS_PER_MS);
    assert_true(station_abort(s, 5 * NS_PER_MS, gone));
    expect(s, stays, STATION_FINISHED, 17 * NS_PER_MS);
    assert_false(station_step(s, NS_PER_S, &ev));
    station_read(s, &r);
    assert_int_equal(r.aborted, 2);
    assert_int_equal(r.finished, 1);
    assert_true(station_empty(s));
    station_drain(s);
    uint64_t ticket;
    assert_int_equal(station_offer(s, NS_PER_S, &(struct station_request){0}, &ticket), ERR_CLOSED);
    station_free(s);
}

static void a_request_may_bring_its_own_time(void **state) {
    (void)state;
    struct station_config c = config(1, 4, 1, STATION_CONSTANT);
    struct station *s;
    uint64_t ticket;
    assert_int_equal(station_new(&s, &c, 0, NULL), 0);
    struct station_request r = {.service_ns = 123};
    assert_int_equal(station_offer(s, 1000, &r, &ticket), 0);
    expect(s, ticket, STATION_ADMITTED, 1000);
    expect(s, ticket, STATION_FINISHED, 1123);
    station_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_exponential_server_waits_as_m_m_1),
        cmocka_unit_test(a_constant_server_waits_half_as_long),
        cmocka_unit_test(a_lognormal_server_waits_as_pollaczek_and_khinchine_say),
        cmocka_unit_test(without_a_queue_requests_are_lost_as_erlang_b_says),
        cmocka_unit_test(several_servers_wait_as_erlang_c_says),
        cmocka_unit_test(a_bounded_queue_refuses_as_m_m_1_k),
        cmocka_unit_test(a_full_batch_starts_at_once_and_ends_together),
        cmocka_unit_test(a_small_batch_waits_for_its_oldest_ones_delay),
        cmocka_unit_test(who_has_gone_is_told_nothing_and_holds_no_place),
        cmocka_unit_test(a_request_may_bring_its_own_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
