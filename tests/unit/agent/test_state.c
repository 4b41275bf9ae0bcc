// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "agent/fixture.h"

static struct agent_state fresh(void) {
    struct agent_state s;
    struct err e = {0};
    assert_int_equal(agent_state_init(&s, NS_PER_S, 100 * NS_PER_S, &e), 0);
    return s;
}

static void test_a_round_brings_gpus_readings_and_times(void **state) {
    struct agent_state s = fresh();
    double v;
    assert_false(s.sampled);
    fixture_apply(&s, fixture_round(3, 101 * NS_PER_S), NULL);
    assert_true(s.sampled);
    assert_int_equal(s.n_gpus, 3);
    assert_true(gpu_reading_get(&s.gpus[2].reading, GPU_UTILIZATION_PCT, &v) && v == 12);
    assert_int_equal(s.gpus[2].read_ns, 101 * NS_PER_S);
    assert_false(s.gpus[2].owners_known); // nobody said
    agent_state_done(&s);
}

static void test_an_equal_reading_is_no_change_but_newer(void **state) {
    struct agent_state s = fresh();
    fixture_apply(&s, fixture_round(1, 101 * NS_PER_S), NULL);
    uint64_t version = s.version;
    fixture_apply(&s, fixture_round(1, 102 * NS_PER_S), NULL);
    assert_int_equal(s.version, version);
    assert_int_equal(s.gpus[0].read_ns, 102 * NS_PER_S);
    struct agent_round *r = fixture_round(1, 103 * NS_PER_S);
    gpu_reading_set(&r->samples[0].reading, GPU_UTILIZATION_PCT, 99);
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[0].changed > version);
    assert_true(s.gpus[0].info_changed <= version);
    agent_state_done(&s);
}

static void test_a_failed_call_leaves_the_reading_to_age(void **state) {
    struct agent_state s = fresh();
    fixture_apply(&s, fixture_round(1, 101 * NS_PER_S), NULL);
    struct agent_round *r = fixture_round(1, 102 * NS_PER_S);
    r->samples[0].state = AGENT_SAMPLE_FAILED;
    r->failed_calls = 1;
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[0].has_reading);
    assert_int_equal(s.gpus[0].read_ns, 101 * NS_PER_S);
    assert_int_equal(s.failed_calls, 1);
    agent_state_done(&s);
}

static void test_a_lost_gpu_has_no_reading_until_it_returns(void **state) {
    struct agent_state s = fresh();
    fixture_apply(&s, fixture_round(2, 101 * NS_PER_S), NULL);
    uint32_t id = s.gpus[1].id;
    uint64_t version = s.version;
    struct agent_round *r = fixture_round(2, 102 * NS_PER_S);
    r->samples[1].state = AGENT_SAMPLE_LOST;
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[1].lost && !s.gpus[1].has_reading);
    assert_true(s.gpus[1].changed > version);
    assert_false(s.gpus[0].lost);
    fixture_apply(&s, fixture_round(2, 103 * NS_PER_S), NULL);
    assert_false(s.gpus[1].lost);
    assert_true(s.gpus[1].has_reading);
    assert_int_equal(s.gpus[1].id, id); // the same GPU
    agent_state_done(&s);
}

static void test_a_gpu_that_is_not_enumerated_is_removed(void **state) {
    struct agent_state s = fresh();
    uint32_t removed[AGENT_REMOVED_MAX];
    fixture_apply(&s, fixture_round(3, 101 * NS_PER_S), NULL);
    uint64_t version = s.version;
    uint32_t gone = s.gpus[2].id;
    fixture_apply(&s, fixture_round(2, 102 * NS_PER_S), NULL);
    assert_int_equal(s.n_gpus, 2);
    assert_int_equal(agent_state_removed_since(&s, version, removed), 1);
    assert_int_equal(removed[0], gone);
    assert_int_equal(agent_state_removed_since(&s, s.version, removed), 0);
    fixture_apply(&s, fixture_round(3, 103 * NS_PER_S), NULL);
    assert_int_not_equal(s.gpus[2].id, gone); // an id is never used again
    agent_state_done(&s);
}

static void test_another_uuid_in_a_slot_is_another_gpu(void **state) {
    struct agent_state s = fresh();
    fixture_apply(&s, fixture_round(1, 101 * NS_PER_S), NULL);
    uint32_t id = s.gpus[0].id;
    struct agent_round *r = fixture_round(1, 102 * NS_PER_S);
    snprintf(r->devices[0].info.uuid, GPU_UUID_MAX, "GPU-new");
    fixture_apply(&s, r, NULL);
    assert_int_equal(s.n_gpus, 1);
    assert_int_not_equal(s.gpus[0].id, id);
    agent_state_done(&s);
}

static void test_removals_that_are_forgotten_ask_for_everything_anew(void **state) {
    struct agent_state s = fresh();
    uint32_t removed[AGENT_REMOVED_MAX];
    fixture_apply(&s, fixture_round(1, 101 * NS_PER_S), NULL);
    uint64_t version = s.version;
    for (int i = 0; i < AGENT_REMOVED_MAX + 1; i++) {
        fixture_apply(&s, fixture_round(2, (102 + i) * NS_PER_S), NULL);
        fixture_apply(&s, fixture_round(1, (102 + i) * NS_PER_S), NULL);
        int n = agent_state_removed_since(&s, version, removed);
        assert_int_equal(n, i < AGENT_REMOVED_MAX ? i + 1 : -1);
    }
    agent_state_done(&s);
}

static void test_blanks_of_a_driver_are_unknown(void **state) {
    static const double blanks[] = {9223372036854775794.0, 2147483632, NAN, INFINITY, -1};
    for (size_t i = 0; i < sizeof blanks / sizeof blanks[0]; i++) {
        struct agent_state s = fresh();
        struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
        double v;
        gpu_reading_set(&r->samples[0].reading, GPU_UTILIZATION_PCT, blanks[i]);
        gpu_reading_set(&r->samples[0].reading, GPU_POWER_W, 70);
        fixture_apply(&s, r, NULL);
        assert_false(gpu_reading_get(&s.gpus[0].reading, GPU_UTILIZATION_PCT, &v));
        assert_true(gpu_reading_get(&s.gpus[0].reading, GPU_POWER_W, &v));
        assert_int_equal(s.discarded_values, 1);
        agent_state_done(&s);
    }
}

static void test_owners_follow_the_list(void **state) {
    struct agent_state s = fresh();
    struct agent_owners o, changed;
    agent_owners_init(&o);
    agent_owners_init(&changed);
    fixture_own(&o, "GPU-1", "a", "");
    fixture_own(&o, "0", "b", "");
    fixture_apply(&s, fixture_round(3, 101 * NS_PER_S), &o);
    assert_string_equal(s.gpus[0].owners[0].pod, "b");
    assert_string_equal(s.gpus[1].owners[0].pod, "a");
    assert_int_equal(s.gpus[2].n_owners, 0);
    assert_true(s.gpus[2].owners_known); // known to be free
    uint64_t version = s.version;
    assert_int_equal(agent_state_set_owners(&s, &o), 0);
    assert_int_equal(s.version, version); // nothing changed
    fixture_own(&changed, "GPU-1", "c", "");
    assert_int_equal(agent_state_set_owners(&s, &changed), 0);
    assert_string_equal(s.gpus[1].owners[0].pod, "c");
    assert_int_equal(s.gpus[0].n_owners, 0);
    assert_true(s.gpus[2].changed <= version);
    agent_owners_done(&o);
    agent_owners_done(&changed);
    agent_state_done(&s);
}

// GPU 0 is held; of the others nobody says anything.
static void assert_free(struct agent_state *s, const struct agent_owners *o, bool known) {
    assert_int_equal(agent_state_set_owners(s, o), 0);
    assert_true(s->gpus[0].owners_known && s->gpus[0].n_owners == 1);
    assert_int_equal(s->gpus[1].n_owners, 0);
    assert_int_equal(s->gpus[1].owners_known, known);
}

static void test_what_may_be_any_gpu_leaves_none_known_to_be_free(void **state) {
    struct agent_state s = fresh();
    struct agent_owners o;
    agent_owners_init(&o);
    fixture_own(&o, "GPU-0", "a", "");
    fixture_apply(&s, fixture_round(2, 101 * NS_PER_S), &o);
    assert_free(&s, &o, true);
    assert_int_equal(s.unmatched_owners, 0);
    fixture_own(&o, "GPU-of-another-node", "b", "");
    assert_free(&s, &o, true); // certainly none of ours
    assert_int_equal(s.unmatched_owners, 1);
    o.list.items[1].device.exact = false;
    assert_free(&s, &o, false);
    assert_false(s.devices.complete);
    o.list.n--;
    o.doubt = true;
    assert_free(&s, &o, false);
    o.doubt = false;
    assert_free(&s, &o, true);
    assert_true(s.devices.complete);
    agent_owners_done(&o);
    agent_state_done(&s);
}

static void test_claimed_devices_are_kept_and_leave_no_gpu_free(void **state) {
    struct agent_state s = fresh();
    struct agent_owners o;
    agent_owners_init(&o);
    fixture_own(&o, "GPU-0", "a", "");
    fixture_claim(&o, "gpu-1", "b");
    fixture_apply(&s, fixture_round(2, 101 * NS_PER_S), &o);
    assert_free(&s, &o, false);
    assert_true(s.devices.complete);
    assert_int_equal(s.devices.n, 1);
    assert_string_equal(s.devices.items[0].device, "gpu-1");
    uint64_t version = s.version, changed = s.devices.changed;
    assert_free(&s, &o, false);
    assert_int_equal(s.version, version); // nothing changed
    snprintf(o.claimed.items[0].owner.pod, KUBE_NAME_MAX, "c");
    assert_free(&s, &o, false);
    assert_true(s.devices.changed > changed);
    assert_string_equal(s.devices.items[0].owner.pod, "c");
    o.claimed.n = 0;
    assert_free(&s, &o, true);
    assert_int_equal(s.devices.n, 0);
    agent_owners_done(&o);
    agent_state_done(&s);
}

static void test_a_gpu_with_too_many_owners_is_unknown(void **state) {
    struct agent_state s = fresh();
    struct agent_owners o;
    agent_owners_init(&o);
    for (int i = 0; i < LIMIT_OWNERS_PER_GPU; i++)
        fixture_own(&o, "GPU-0", "a", "");
    fixture_apply(&s, fixture_round(1, 101 * NS_PER_S), &o);
    assert_int_equal(s.gpus[0].n_owners, LIMIT_OWNERS_PER_GPU);
    fixture_own(&o, "GPU-0", "a", "");
    assert_int_equal(agent_state_set_owners(&s, &o), 0);
    assert_int_equal(s.gpus[0].n_owners, 0);
    assert_false(s.gpus[0].owners_known);
    agent_owners_done(&o);
    agent_state_done(&s);
}

static void test_shares_are_of_the_last_round(void **state) {
    struct agent_state s = fresh();
    struct agent_round *r = fixture_round(2, 101 * NS_PER_S);
    fixture_share(r, 0, 10);
    fixture_share(r, 1, 20);
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[1].shares_known && s.gpus[1].n_shares == 2);
    assert_true(s.gpus[1].shares[0].utilization_pct == 20);
    uint64_t version = s.version;
    r = fixture_round(2, 102 * NS_PER_S);
    fixture_share(r, 1, 20); // in another order
    fixture_share(r, 0, 11);
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[0].changed > version && s.gpus[1].changed <= version);
    r = fixture_round(2, 103 * NS_PER_S);
    r->samples[0].state = AGENT_SAMPLE_FAILED; // what was read before ages
    fixture_share(r, 1, 20);
    r->samples[1].state = AGENT_SAMPLE_LOST;
    r->samples[1].shares_known = false;
    r->samples[1].n_shares = 0;
    fixture_apply(&s, r, NULL);
    assert_true(s.gpus[0].shares_known && s.gpus[0].n_shares == 2);
    assert_true(!s.gpus[1].shares_known && s.gpus[1].n_shares == 0);
    r = fixture_round(2, 104 * NS_PER_S);
    r->enumerated = false;
    fixture_share(r, 1, 20);
    mem_fail_from(1);
    (void)agent_state_apply(&s, r, &(struct agent_owners){0});
    mem_fail_never();
    agent_round_free(r);
    assert_true(!s.gpus[1].shares_known && s.gpus[1].n_shares == 0);
    agent_state_done(&s);
}

static void test_a_stall_is_told_after_half_an_interval(void **state) {
    struct agent_state s = fresh(); // the first round is due at 100 s
    assert_int_equal(agent_state_stalled_ns(&s, 100 * NS_PER_S + NS_PER_S / 2), 0);
    assert_int_equal(agent_state_stalled_ns(&s, 103 * NS_PER_S), 3 * NS_PER_S);
    fixture_apply(&s, fixture_round(1, 103 * NS_PER_S), NULL);
    assert_int_equal(agent_state_stalled_ns(&s, 104 * NS_PER_S), 0);
    assert_int_equal(agent_state_stalled_ns(&s, 109 * NS_PER_S), 5 * NS_PER_S);
    agent_state_done(&s);
}

static void test_no_memory_for_owners_is_an_error_and_made_up_for(void **state) {
    struct agent_state s = fresh();
    struct agent_owners o;
    agent_owners_init(&o);
    fixture_own(&o, "0", "a", "");
    struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
    mem_fail_from(1);
    int code = agent_state_apply(&s, r, &o);
    mem_fail_never();
    assert_int_equal(code, ERR_NOMEM);
    agent_round_free(r);
    fixture_apply(&s, fixture_round(1, 102 * NS_PER_S), &o);
    assert_int_equal(s.gpus[0].n_owners, 1);
    agent_owners_done(&o);
    agent_state_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_brings_gpus_readings_and_times),
        cmocka_unit_test(test_an_equal_reading_is_no_change_but_newer),
        cmocka_unit_test(test_a_failed_call_leaves_the_reading_to_age),
        cmocka_unit_test(test_a_lost_gpu_has_no_reading_until_it_returns),
        cmocka_unit_test(test_a_gpu_that_is_not_enumerated_is_removed),
        cmocka_unit_test(test_another_uuid_in_a_slot_is_another_gpu),
        cmocka_unit_test(test_removals_that_are_forgotten_ask_for_everything_anew),
        cmocka_unit_test(test_blanks_of_a_driver_are_unknown),
        cmocka_unit_test(test_owners_follow_the_list),
        cmocka_unit_test(test_what_may_be_any_gpu_leaves_none_known_to_be_free),
        cmocka_unit_test(test_claimed_devices_are_kept_and_leave_no_gpu_free),
        cmocka_unit_test(test_a_gpu_with_too_many_owners_is_unknown),
        cmocka_unit_test(test_shares_are_of_the_last_round),
        cmocka_unit_test(test_a_stall_is_told_after_half_an_interval),
        cmocka_unit_test(test_no_memory_for_owners_is_an_error_and_made_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
