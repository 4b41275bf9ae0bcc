// SPDX-License-Identifier: Apache-2.0
/* Feeds: which pods are known by name, whose page is read, and when something heard leads to a
 * decision. */
#include "io_lab.h"

static const char pods[] = "workloads:\n"
                           "- namespace: default\n"
                           "  target: deployment/llm\n"
                           "  scaledObjects: [llm]\n"
                           "  replicas: 4\n"
                           "  pods:\n"
                           "  - {name: llm-0, state: ready, address: '127.0.0.1:1'}\n"
                           "  - {name: llm-1, state: ready, address: '[::1]:1'}\n"
                           "  - {name: llm-2, state: starting, address: '127.0.0.1:1'}\n"
                           "  - {name: llm-3, state: ready}\n"
                           "  - {name: llm-4, state: terminating, address: '127.0.0.1:1'}\n";

static void only_ready_pods_with_an_address_are_read(void **state) {
    struct io *io = lab_open(pods, 64);
    assert_int_equal(engines_stats(io->engines).targets, 0);
    lab_register(io, 1, "llm", "2", "vllm");
    io_update_targets(io);
    assert_int_equal(engines_stats(io->engines).targets, 2);
    assert_non_null(io_pod_find(io, "default/llm-2")); // its GPU is known by name
    assert_null(io_pod_find(io, "default/llm-9"));
    assert_null(io_pod_find(io, "other/llm-0"));
    io_drop(io, 1);
    io_update_targets(io);
    assert_int_equal(engines_stats(io->engines).targets, 0);
    assert_null(io_pod_find(io, "default/llm-0"));
    lab_close(io);
}

static void one_pod_read_in_two_ways_has_two_keys(void **state) {
    struct io *io = lab_open(pods, 64);
    lab_register(io, 1, "llm", "2", "vllm");
    lab_register(io, 2, "llm", "2", "custom");
    io_update_targets(io);
    assert_int_equal(engines_stats(io->engines).targets, 4);
    struct pod_entry *first = io_pod_find(io, "default/llm-0");
    struct pod_entry *second = io_pod_find(io, "default/llm-0#2");
    assert_non_null(first);
    assert_ptr_equal(first->same, second);
    assert_ptr_not_equal(first->feed, second->feed);
    assert_string_equal(first->name, second->name);
    lab_close(io);
}

static void a_mark_is_decided_once_and_soon(void **state) {
    struct io *io = lab_open(pods, 64);
    lab_register(io, 1, "llm", "2", "vllm");
    struct feed *f = io->feeds;
    uint64_t before = io->count.decisions;
    io_feed_mark(io, f);
    io_feed_mark(io, f);
    assert_ptr_equal(io->dirty, f);
    assert_null(f->next_dirty);
    int64_t end_ns = clock_mono_ns() + 5 * NS_PER_S;
    while (f->dirty && clock_mono_ns() < end_ns)
        uv_run(&io->loop, UV_RUN_ONCE);
    assert_false(f->dirty);
    assert_in_range(io->count.decisions, before + 1, before + 2);
    io_feed_mark(io, f);
    io_drop(io, 1); // a marked feed that goes is no longer in the list
    assert_null(io->dirty);
    lab_close(io);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ready_pods_with_an_address_are_read),
        cmocka_unit_test(one_pod_read_in_two_ways_has_two_keys),
        cmocka_unit_test(a_mark_is_decided_once_and_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
