// SPDX-License-Identifier: Apache-2.0
/* An io thread's state without its thread: tests call what the loop would, and play the rpc thread.
 */
#pragma once

#include <unistd.h>

#include "base/clock.h"
#include "scaler/io.h"
#include "unit.h"

static struct scaler_config lab_config;
static char lab_file[64];

static inline void lab_write(const char *text) {
    FILE *f = fopen(lab_file, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline struct io *lab_open(const char *workloads, size_t queue_items) {
    static const char *no_demand[] = {NULL};
    struct err e = {0};
    struct io *io = mem_zalloc(sizeof(*io));
    assert_non_null(io);
    (void)snprintf(lab_file, sizeof(lab_file), "/tmp/io-lab-%d.yaml", (int)getpid());
    lab_write(workloads);
    lab_config = (struct scaler_config){.workloads = lab_file, .tick_ns = NS_PER_S};
    lab_config.engines.interval_ns = 5 * NS_PER_S;
    io->config = &lab_config;
    assert_int_equal(uv_loop_init(&io->loop), 0);
    binder_init(&io->binder, no_demand, NULL);
    vec_init(&io->outbox, LIMIT_SCALED_OBJECTS);
    vec_init(&io->gone, LIMIT_SCALED_OBJECTS);
    arena_init(&io->pods_arena, IO_PODS_ARENA_BYTES);
    histogram_init(&io->tick_s, histogram_latency_s, histogram_latency_s_n);
    rpc_stats_init(&io->rpc_stats);
    assert_int_equal(queue_new(&io->to_io, queue_items, &e), 0);
    assert_int_equal(queue_new(&io->to_rpc, queue_items, &e), 0);
    assert_int_equal(io_workloads_first(io, &e), 0);
    assert_int_equal(io_tick_start(io, &e), 0);
    assert_int_equal(io_sources_start(io, &e), 0);
    return io;
}

static inline void lab_close(struct io *io) {
    struct to_rpc *m;
    io_tick_stop(io);
    io_sources_stop(io);
    uv_run(&io->loop, UV_RUN_DEFAULT);
    while ((m = queue_pop(io->to_rpc)) != NULL)
        to_rpc_free(m);
    queue_free(io->to_io);
    queue_free(io->to_rpc);
    io_objects_done(io);
    signal_join_free(io->join);
    workloads_free(io->workloads);
    arena_done(&io->pods_arena);
    mem_free(io->demands);
    net_loop_drain_close(&io->loop);
    mem_free(io);
    unlink(lab_file);
}

// What the rpc thread says when KEDA first asks.
static inline void lab_register(struct io *io, uint64_t id, const char *name, const char *capacity,
                                const char *engine) {
    struct object_pair pairs[] = {{STR("capacity"), str_from(capacity)},
                                  {STR("engine"), str_from(engine)}};
    struct object_ref r = {STR("default"), str_from(name), pairs, 2};
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct to_io m = {.kind = TO_IO_REGISTER, .id = id, .key = object_key_new(&r, &h)};
    io_register(io, &m);
    object_key_free(m.key); // NULL unless the object was known
}

// The next batch; NULL: none.
static inline struct to_rpc *lab_batch(struct io *io) {
    struct to_rpc *m;
    while ((m = queue_pop(io->to_rpc)) != NULL && m->kind != TO_RPC_BATCH)
        to_rpc_free(m);
    return m;
}
