// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/clock.h"
#include "playground/service.h"

static void advance(struct service *s, double rate, double seconds) {
    for (int i = 0; i < (int)(seconds * 4); i++)
        service_advance(s, rate, s->now_ns + NS_PER_S / 4);
}

static double inflight(const struct service *s) {
    double n = s->held;
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        n += s->pods[i].arrived - s->pods[i].finished;
    return n;
}

static double finished(const struct service *s) {
    double n = 0;
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        n += s->pods[i].finished;
    return n;
}

static void requests_are_held_while_no_pod_is_ready(void **state) {
    (void)state;
    struct service s;
    service_init(&s, 5 * NS_PER_S, 0);
    advance(&s, 2, 10);
    assert_true(s.held > 19.9 && s.held < 20.1);
    assert_int_equal(service_scale(&s, 1), 1);
    advance(&s, 0, 4);
    assert_int_equal(service_pods(&s, SERVICE_POD_STARTING), 1);
    assert_true(s.held > 19.9);
    advance(&s, 0, 2);
    assert_int_equal(service_pods(&s, SERVICE_POD_READY), 1);
    assert_true(s.held < 0.01);
}

static void no_request_is_lost_or_made(void **state) {
    (void)state;
    struct service s;
    service_init(&s, NS_PER_S, 0);
    static const int replicas[] = {1, 4, 2, 3, 1, 4, 1};
    double ended = 0; // counters of pods that are gone
    for (unsigned i = 0; i < sizeof(replicas) / sizeof(replicas[0]); i++) {
        double before = finished(&s);
        service_scale(&s, replicas[i]);
        ended += before - finished(&s);
        advance(&s, 3, 7);
        double accounted = ended + finished(&s) + inflight(&s);
        assert_true(accounted > s.arrived - 0.01 && accounted < s.arrived + 0.01);
    }
}

static void a_pod_sustains_its_rate_and_no_more(void **state) {
    (void)state;
    struct service s;
    service_init(&s, 0, 0);
    service_scale(&s, 1);
    advance(&s, 2, 120);
    double backlog_below = inflight(&s);
    assert_true(backlog_below < 12);
    advance(&s, 3, 60);
    assert_true(inflight(&s) > backlog_below + 40);
    assert_true(service_pod_load(&s.pods[0]).waiting > 30);
}

static void a_busy_gpu_is_not_a_loaded_one(void **state) {
    (void)state;
    struct service_pod p = {.state = SERVICE_POD_READY, .arrived = 3};
    assert_true(service_pod_load(&p).gpu_busy_ratio > 0.9);
    assert_true(service_pod_load(&p).sm_active_ratio < 0.5);
}

static void scaling_stops_at_the_gpus_there_are(void **state) {
    (void)state;
    struct service s;
    service_init(&s, 0, 0);
    assert_int_equal(service_scale(&s, 9), SERVICE_PODS_MAX);
    assert_int_equal(service_scale(&s, 0), 0);
}

static void the_traffic_is_quiet_at_first_and_bursts_once(void **state) {
    (void)state;
    assert_true(service_traffic(0, 70) == 0);
    assert_true(service_traffic(3, 70) == 0);
    assert_true(service_traffic(35, 70) == 6);
    assert_true(service_traffic(69, 70) < 1);
    assert_true(service_traffic(700, 70) < 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_held_while_no_pod_is_ready),
        cmocka_unit_test(no_request_is_lost_or_made),
        cmocka_unit_test(a_pod_sustains_its_rate_and_no_more),
        cmocka_unit_test(a_busy_gpu_is_not_a_loaded_one),
        cmocka_unit_test(scaling_stops_at_the_gpus_there_are),
        cmocka_unit_test(the_traffic_is_quiet_at_first_and_bursts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
