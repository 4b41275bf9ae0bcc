// SPDX-License-Identifier: Apache-2.0
/* Objects of the io thread: registered, bound to feeds, decided, published once when they change.
 */
#include "io_lab.h"
#include "net/grpc_status.h"

static const char one[] =
    "workloads:\n"
    "- {namespace: default, target: deployment/llm, scaledObjects: [llm], replicas: 3}\n"
    "- {namespace: default, target: deployment/zero, scaledObjects: [zero], replicas: 0}\n";

static void flush(struct io *io) {
    io_flush(io, clock_mono_ns());
}

static void a_new_object_is_published_at_once(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    lab_register(io, 8, "zero", "2", "vllm");
    flush(io);
    struct to_rpc *m = lab_batch(io);
    assert_int_equal(m->n_items, 2);
    assert_int_equal(m->items[0].id, 7);
    assert_int_equal(m->items[0].status, GRPC_OK);
    assert_true(m->items[0].value == 3);
    assert_true(m->items[0].active); // unknown is not idle
    assert_false(m->items[0].at_zero);
    assert_true(m->items[1].value == 0);
    assert_true(m->items[1].at_zero);
    assert_false(m->items[1].active); // unknown does not wake
    to_rpc_free(m);
    lab_close(io);
}

static void what_does_not_change_is_not_published_again(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    flush(io);
    to_rpc_free(lab_batch(io));
    for (int i = 0; i < 5; i++) {
        io_decide_feed(io, io->feeds, clock_mono_ns());
        flush(io);
        struct to_rpc *m = lab_batch(io);
        assert_non_null(m); // the sign of life
        assert_int_equal(m->n_items, 0);
        to_rpc_free(m);
    }
    assert_int_equal(io->objects->decisions, 6);
    assert_int_equal(io->objects->history.n, io->objects->changes);
    lab_close(io);
}

// A call that fails at zero would wake the service through KEDA's fallback.
static void a_workload_that_vanishes_at_zero_wakes_nothing(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    lab_register(io, 8, "zero", "2", "vllm");
    flush(io);
    to_rpc_free(lab_batch(io));
    lab_write("workloads: []\n");
    io_workloads_check(io, true);
    flush(io);
    struct to_rpc *m = lab_batch(io);
    assert_int_equal(m->n_items, 1); // of the other nothing changes
    assert_int_equal(m->items[0].id, 7);
    assert_int_equal(m->items[0].status, GRPC_NOT_FOUND);
    assert_true(m->items[0].fails_all);
    to_rpc_free(m);
    lab_close(io);
}

// A file's new version is decided by while it is read; the tick that read it comes after that.
static void a_tick_that_reads_the_file_does_not_go_back_in_time(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    struct object *o = io->objects;
    lab_write(
        "workloads:\n"
        "- {namespace: default, target: deployment/llm, scaledObjects: [llm], replicas: 12}\n");
    uint64_t before = io->count.ticks;
    int64_t deadline_ns = clock_mono_ns() + 30 * NS_PER_S;
    while (io->count.ticks < before + 2 && clock_mono_ns() < deadline_ns)
        uv_run(&io->loop, UV_RUN_ONCE);
    assert_int_equal(o->last.spec, 12);
    const struct record *reread = history_at(&o->history, o->history.n - 1u);
    assert_int_equal(reread->spec, 12);
    assert_true(o->last.sequence > reread->sequence && o->last.now_ns >= reread->now_ns);
    lab_close(io);
}

static void a_full_queue_loses_no_decision(void **state) {
    struct io *io = lab_open(one, 1);
    flush(io); // fills it
    lab_register(io, 7, "llm", "2", "vllm");
    flush(io);
    assert_int_equal(io->count.messages_lost, 1);
    assert_false(io->objects->published);
    to_rpc_free(lab_batch(io));
    io_decide_feed(io, io->feeds, clock_mono_ns());
    flush(io);
    struct to_rpc *m = lab_batch(io);
    assert_int_equal(m->n_items, 1);
    assert_int_equal(m->items[0].id, 7);
    to_rpc_free(m);
    lab_close(io);
}

static void no_memory_for_a_batch_loses_no_decision(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    mem_fail_from(1);
    flush(io);
    mem_fail_never();
    assert_null(lab_batch(io));
    io_decide_feed(io, io->feeds, clock_mono_ns());
    flush(io);
    struct to_rpc *m = lab_batch(io);
    assert_int_equal(m->n_items, 1);
    to_rpc_free(m);
    lab_close(io);
}

static void an_unlisted_object_fails_until_the_file_lists_it(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "new", "2", "vllm");
    flush(io);
    struct to_rpc *m = lab_batch(io);
    assert_int_equal(m->items[0].status, GRPC_NOT_FOUND);
    assert_true(m->items[0].fails_all);
    assert_non_null(strstr(m->items[0].message, "scaledObjects"));
    assert_non_null(strstr(m->items[0].message, "default/new"));
    to_rpc_free(m);
    lab_write("workloads:\n- {namespace: default, target: deployment/new, scaledObjects: [new], "
              "replicas: 5}\n");
    io_workloads_check(io, true);
    flush(io);
    m = lab_batch(io);
    assert_int_equal(m->n_items, 1);
    assert_int_equal(m->items[0].status, GRPC_OK);
    assert_true(m->items[0].value == 5);
    to_rpc_free(m);
    lab_write("workloads: []\n");
    io_workloads_check(io, true);
    flush(io);
    m = lab_batch(io);
    assert_int_equal(m->items[0].status, GRPC_NOT_FOUND);
    to_rpc_free(m);
    assert_int_equal(HASH_COUNT(io->feeds), 0);
    lab_close(io);
}

static void a_bad_file_changes_nothing(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 7, "llm", "2", "vllm");
    lab_write("workloads: 5\n");
    io_workloads_check(io, true);
    assert_int_equal(io->count.workloads_failures, 1);
    assert_int_equal(io->workloads->list.n, 2);
    assert_int_equal(HASH_COUNT(io->feeds), 1);
    unlink(lab_file);
    io_workloads_check(io, true);
    assert_int_equal(io->count.workloads_failures, 2);
    assert_int_equal(io->workloads->list.n, 2);
    lab_close(io);
}

static void triggers_that_measure_alike_share_a_feed(void **state) {
    struct io *io = lab_open(one, 64);
    lab_register(io, 1, "llm", "2", "vllm");
    lab_register(io, 2, "llm", "3", "vllm");
    assert_int_equal(HASH_COUNT(io->feeds), 1);
    lab_register(io, 3, "llm", "2", "custom");
    assert_int_equal(HASH_COUNT(io->feeds), 2);
    io_update_targets(io);
    io_drop(io, 1);
    assert_int_equal(HASH_COUNT(io->feeds), 2);
    io_drop(io, 2);
    assert_int_equal(HASH_COUNT(io->feeds), 1);
    io_drop(io, 99); // never was
    io_drop(io, 3);
    assert_int_equal(HASH_COUNT(io->feeds), 0);
    assert_null(io->objects);
    lab_close(io);
}

static void every_failing_allocation_of_a_registration_is_survived(void **state) {
    for (long n = 1; n < 60; n++) {
        struct io *io = lab_open(one, 64);
        struct object_pair pairs[] = {{STR("capacity"), STR("2")}, {STR("engine"), STR("vllm")}};
        struct object_ref r = {STR("default"), STR("llm"), pairs, 2};
        struct object_hash h;
        object_ref_hash(&r, &h);
        struct to_io m = {.kind = TO_IO_REGISTER, .id = 7, .key = object_key_new(&r, &h)};
        mem_fail_from(n);
        io_register(io, &m);
        mem_fail_never();
        object_key_free(m.key);
        // Its call has ended with "ask again"; it is asked again.
        lab_register(io, 7, "llm", "2", "vllm");
        io_tend_feedless(io, clock_mono_ns());
        if (io->feeds != NULL)
            io_decide_feed(io, io->feeds, clock_mono_ns());
        flush(io);
        assert_true(io->objects->published);
        assert_int_equal(io->objects->sent.status, GRPC_OK);
        assert_true(io->objects->sent.value == 3);
        lab_close(io);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_object_is_published_at_once),
        cmocka_unit_test(what_does_not_change_is_not_published_again),
        cmocka_unit_test(a_workload_that_vanishes_at_zero_wakes_nothing),
        cmocka_unit_test(a_tick_that_reads_the_file_does_not_go_back_in_time),
        cmocka_unit_test(a_full_queue_loses_no_decision),
        cmocka_unit_test(no_memory_for_a_batch_loses_no_decision),
        cmocka_unit_test(an_unlisted_object_fails_until_the_file_lists_it),
        cmocka_unit_test(a_bad_file_changes_nothing),
        cmocka_unit_test(triggers_that_measure_alike_share_a_feed),
        cmocka_unit_test(every_failing_allocation_of_a_registration_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
