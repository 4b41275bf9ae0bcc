// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "agent/fixture.h"
#include "agent/watch_message.h"
#include "node.pb-c.h"

struct fixture {
    struct agent_state state;
    struct agent_owners owners;
    struct agent_node node;
    struct agent_cursor cursor;
    struct buf bytes;
    struct arena arena;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};
    assert_int_equal(agent_state_init(&f->state, NS_PER_S, 100 * NS_PER_S, &e), 0);
    agent_owners_init(&f->owners);
    f->node = (struct agent_node){.name = "node-a", .boot_id = "00112233445566778899aabbccddeeff"};
    buf_init(&f->bytes, 4 << 20);
    arena_init(&f->arena, 8 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    agent_state_done(&f->state);
    agent_owners_done(&f->owners);
    buf_done(&f->bytes);
    arena_done(&f->arena);
    free(f);
    return 0;
}

// The next message of the stream; its cursor moves on.
static Gpuscale__V1__NodeState *next(struct fixture *f, int64_t now_ns) {
    struct agent_cursor c;
    assert_int_equal(
        agent_watch_encode(&f->bytes, &f->arena, &f->state, &f->node, &f->cursor, now_ns, &c), 0);
    f->cursor = c;
    Gpuscale__V1__NodeState *m = gpuscale__v1__node_state__unpack(NULL, f->bytes.len,
                                                                  (const uint8_t *)f->bytes.p);
    assert_non_null(m);
    return m;
}

static void done(Gpuscale__V1__NodeState *m) {
    gpuscale__v1__node_state__free_unpacked(m, NULL);
}

static void test_the_first_message_is_full_and_says_who_is_there(void **state) {
    struct fixture *f = *state;
    fixture_own(&f->owners, "1", "vllm-0", "3");
    fixture_apply(&f->state, fixture_round(2, 101 * NS_PER_S), &f->owners);
    Gpuscale__V1__NodeState *m = next(f, 101 * NS_PER_S + 250 * NS_PER_MS);
    assert_true(m->full);
    assert_int_equal(m->seq, 1);
    assert_string_equal(m->node, "node-a");
    assert_string_equal(m->boot_id, "00112233445566778899aabbccddeeff");
    assert_int_equal(m->interval_ms, 1000);
    assert_int_equal(m->n_gpus, 2);
    assert_string_equal(m->gpus[0]->info->uuid, "GPU-0");
    assert_int_equal(m->gpus[0]->valid, 1 << GPU_UTILIZATION_PCT);
    assert_int_equal(m->gpus[0]->n_values, 1);
    assert_true(m->gpus[0]->values[0] == 10);
    assert_int_equal(m->gpus[1]->n_owners, 1);
    assert_string_equal(m->gpus[1]->owners[0]->pod, "vllm-0");
    assert_string_equal(m->gpus[1]->owners[0]->replica, "3");
    assert_int_equal(m->n_age_id, 2);
    assert_int_equal(m->age_ms[1], 250);
    assert_true(m->has_driver_stalled_ms && m->driver_stalled_ms == 0);
    done(m);
}

static void test_later_messages_hold_what_changed_and_every_age(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(3, 101 * NS_PER_S), NULL);
    done(next(f, 101 * NS_PER_S));
    struct agent_round *r = fixture_round(3, 102 * NS_PER_S);
    gpu_reading_set(&r->samples[1].reading, GPU_UTILIZATION_PCT, 77);
    fixture_apply(&f->state, r, NULL);
    Gpuscale__V1__NodeState *m = next(f, 102 * NS_PER_S);
    assert_false(m->full);
    assert_int_equal(m->seq, 2);
    assert_int_equal(m->n_gpus, 1);
    assert_int_equal(m->gpus[0]->id, f->state.gpus[1].id);
    assert_null(m->gpus[0]->info); // told already
    assert_true(m->gpus[0]->values[0] == 77);
    assert_int_equal(m->n_age_id, 3);
    done(m);
}

static void test_a_heartbeat_holds_ages_and_the_stall(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    done(next(f, 101 * NS_PER_S));
    Gpuscale__V1__NodeState *m = next(f, 106 * NS_PER_S);
    assert_int_equal(m->n_gpus, 0);
    assert_int_equal(m->age_ms[0], 5000);
    assert_int_equal(m->driver_stalled_ms, 4000); // the round due at 102 s has not ended
    done(m);
}

static void test_a_message_that_was_not_sent_is_made_up_for(void **state) {
    struct fixture *f = *state;
    struct agent_cursor unsent;
    fixture_apply(&f->state, fixture_round(2, 101 * NS_PER_S), NULL);
    done(next(f, 101 * NS_PER_S));
    struct agent_round *r = fixture_round(2, 102 * NS_PER_S);
    gpu_reading_set(&r->samples[0].reading, GPU_UTILIZATION_PCT, 50);
    fixture_apply(&f->state, r, NULL);
    assert_int_equal(agent_watch_encode(&f->bytes, &f->arena, &f->state, &f->node, &f->cursor,
                                        102 * NS_PER_S, &unsent),
                     0);
    r = fixture_round(2, 103 * NS_PER_S);
    gpu_reading_set(&r->samples[0].reading, GPU_UTILIZATION_PCT, 50);
    gpu_reading_set(&r->samples[1].reading, GPU_UTILIZATION_PCT, 60);
    fixture_apply(&f->state, r, NULL);
    Gpuscale__V1__NodeState *m = next(f, 103 * NS_PER_S);
    assert_int_equal(m->seq, 2); // no hole
    assert_int_equal(m->n_gpus, 2);
    done(m);
}

static void test_loss_removal_and_return(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(2, 101 * NS_PER_S), NULL);
    done(next(f, 101 * NS_PER_S));
    struct agent_round *r = fixture_round(2, 102 * NS_PER_S);
    r->samples[1].state = AGENT_SAMPLE_LOST;
    fixture_apply(&f->state, r, NULL);
    Gpuscale__V1__NodeState *m = next(f, 102 * NS_PER_S);
    assert_int_equal(m->n_gpus, 1);
    assert_true(m->gpus[0]->lost);
    assert_int_equal(m->gpus[0]->valid, 0);
    assert_int_equal(m->gpus[0]->n_values, 0);
    assert_int_equal(m->n_age_id, 1); // it has no reading, so no age
    done(m);
    uint32_t id = f->state.gpus[1].id;
    fixture_apply(&f->state, fixture_round(1, 103 * NS_PER_S), NULL);
    m = next(f, 103 * NS_PER_S);
    assert_int_equal(m->n_removed, 1);
    assert_int_equal(m->removed[0], id);
    done(m);
    fixture_apply(&f->state, fixture_round(2, 104 * NS_PER_S), NULL);
    m = next(f, 104 * NS_PER_S);
    assert_int_equal(m->n_removed, 0);
    assert_int_equal(m->n_gpus, 1);
    assert_non_null(m->gpus[0]->info); // a new id, told whole
    done(m);
}

static void test_a_stream_that_slept_too_long_is_told_everything(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    done(next(f, 101 * NS_PER_S));
    for (int i = 0; i <= AGENT_REMOVED_MAX; i++) {
        fixture_apply(&f->state, fixture_round(2, 102 * NS_PER_S), NULL);
        fixture_apply(&f->state, fixture_round(1, 102 * NS_PER_S), NULL);
    }
    Gpuscale__V1__NodeState *m = next(f, 103 * NS_PER_S);
    assert_true(m->full);
    assert_int_equal(m->seq, 2);
    assert_int_equal(m->n_removed, 0);
    assert_int_equal(m->n_gpus, 1);
    assert_non_null(m->gpus[0]->info);
    done(m);
}

static void test_a_mig_instance_says_whose_it_is(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
    snprintf(r->devices[0].info.uuid, GPU_UUID_MAX, "MIG-1");
    snprintf(r->devices[0].info.parent_uuid, GPU_UUID_MAX, "GPU-p");
    snprintf(r->devices[0].info.mig_profile, 32, "1g.10gb");
    r->devices[0].info.gpu_instance_id = 13;
    fixture_apply(&f->state, r, NULL);
    Gpuscale__V1__NodeState *m = next(f, 101 * NS_PER_S);
    assert_string_equal(m->gpus[0]->info->parent_uuid, "GPU-p");
    assert_int_equal(m->gpus[0]->info->gpu_instance_id, 13);
    assert_string_equal(m->gpus[0]->info->mig_profile, "1g.10gb");
    done(m);
}

static void test_a_node_without_gpus_is_a_full_message_too(void **state) {
    struct fixture *f = *state;
    Gpuscale__V1__NodeState *m = next(f, 100 * NS_PER_S);
    assert_true(m->full);
    assert_int_equal(m->n_gpus, 0);
    done(m);
    m = next(f, 101 * NS_PER_S);
    assert_false(m->full);
    assert_int_equal(m->seq, 2);
    done(m);
}

static void test_no_memory_is_an_error_at_every_allocation(void **state) {
    struct fixture *f = *state;
    struct agent_cursor c;
    fixture_own(&f->owners, "0", "a", "");
    fixture_claim(&f->owners, "gpu-1", "b");
    struct agent_round *r = fixture_round(8, 101 * NS_PER_S);
    fixture_share(r, 7, 1);
    fixture_apply(&f->state, r, &f->owners);
    for (long n = 1;; n++) {
        arena_done(&f->arena);
        buf_done(&f->bytes);
        arena_init(&f->arena, 8 << 20);
        mem_fail_from(n);
        int code = agent_watch_encode(&f->bytes, &f->arena, &f->state, &f->node, &f->cursor,
                                      101 * NS_PER_S, &c);
        mem_fail_never();
        if (code == 0)
            break;
        assert_true(n < 100);
    }
}

static void test_claimed_devices_are_told_when_they_change(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), &f->owners);
    Gpuscale__V1__NodeState *m = next(f, 101 * NS_PER_S);
    assert_non_null(m->devices); // full
    assert_false(m->devices->complete);
    assert_int_equal(m->devices->n_holders, 0);
    done(m);
    fixture_claim(&f->owners, "gpu-1", "b");
    fixture_claim(&f->owners, "gpu-2", "b");
    snprintf(f->owners.claimed.items[1].share, KUBE_NAME_MAX, "s");
    assert_int_equal(agent_state_set_owners(&f->state, &f->owners), 0);
    m = next(f, 102 * NS_PER_S);
    assert_false(m->has_full && m->full);
    assert_true(m->devices->complete);
    assert_int_equal(m->devices->n_holders, 2);
    assert_string_equal(m->devices->holders[0]->driver, "gpu.nvidia.com");
    assert_string_equal(m->devices->holders[0]->pool, "node-a");
    assert_string_equal(m->devices->holders[0]->device, "gpu-1");
    assert_null(m->devices->holders[0]->share);
    assert_string_equal(m->devices->holders[1]->share, "s");
    assert_string_equal(m->devices->holders[1]->owner->namespace_, "ml");
    assert_string_equal(m->devices->holders[1]->owner->pod, "b");
    done(m);
    m = next(f, 103 * NS_PER_S);
    assert_null(m->devices);
    done(m);
}

static void test_shares_are_told_where_they_are_known(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(2, 101 * NS_PER_S);
    fixture_share(r, 1, 12.5);
    fixture_apply(&f->state, r, &f->owners);
    Gpuscale__V1__NodeState *m = next(f, 101 * NS_PER_S);
    assert_false(m->gpus[0]->shares_known);
    assert_int_equal(m->gpus[0]->n_shares, 0);
    assert_true(m->gpus[1]->shares_known);
    assert_int_equal(m->gpus[1]->n_shares, 2);
    const Gpuscale__V1__Share *a = m->gpus[1]->shares[0], *b = m->gpus[1]->shares[1];
    assert_string_equal(a->pod_uid, "uid-a");
    assert_string_equal(a->container_id, "cid-a");
    assert_int_equal(a->processes, 2);
    assert_true(a->has_memory_used_bytes && a->memory_used_bytes == 4096);
    assert_true(a->has_utilization_pct && a->utilization_pct == 12.5);
    assert_string_equal(b->pod_uid, "uid-b");
    assert_false(b->has_memory_used_bytes || b->has_utilization_pct); // unknown is not 0
    done(m);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(test_the_first_message_is_full_and_says_who_is_there),
        WITH(test_later_messages_hold_what_changed_and_every_age),
        WITH(test_a_heartbeat_holds_ages_and_the_stall),
        WITH(test_a_message_that_was_not_sent_is_made_up_for),
        WITH(test_loss_removal_and_return),
        WITH(test_a_stream_that_slept_too_long_is_told_everything),
        WITH(test_a_mig_instance_says_whose_it_is),
        WITH(test_a_node_without_gpus_is_a_full_message_too),
        WITH(test_claimed_devices_are_told_when_they_change),
        WITH(test_shares_are_told_where_they_are_known),
        WITH(test_no_memory_is_an_error_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
