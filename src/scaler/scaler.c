// SPDX-License-Identifier: Apache-2.0
/*
 * Start and end of the scaler. The rpc thread is started last and stopped first: KEDA is answered
 * from the last decisions until its connections have ended, and only then do the sources go.
 */
#include "scaler/scaler.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/descriptors.h"
#include "scaler/cluster.h"
#include "scaler/gate.h"
#include "scaler/io.h"
#include "scaler/live.h"
#include "scaler/metrics_api.h"
#include "scaler/replicas.h"

enum { QUEUE_ITEMS = LIMIT_QUEUE_ITEMS, HTTP_GRACE_MS = 2000, RPC_END_MS = 20000 };

static void tell_rpc(struct io *io, enum to_rpc_kind kind) {
    struct to_rpc *m = mem_zalloc(sizeof(*m));
    if (m == NULL)
        return;
    m->kind = kind;
    if (!queue_push(io->to_rpc, m)) {
        io->count.messages_lost++;
        mem_free(m);
    }
}

void io_end(struct io *io) {
    tell_rpc(io, TO_RPC_STOP);
}

static void http_closed(void *ctx) {
    (void)ctx;
}

// The gRPC side has ended: the rest goes.
static void stop_io(struct io *io) {
    if (io->rpc_stopped)
        return;
    io->rpc_stopped = true;
    io_tick_stop(io);
    net_timer_stop(&io->last);
    net_watch_stop(&io->watch);
    io_live_stop(io); // reads the sources
    io_sources_stop(io);
    if (io->http != NULL)
        http_server_close(io->http, HTTP_GRACE_MS, http_closed, io);
    if (io->health != NULL)
        http_server_close(io->health, HTTP_GRACE_MS, http_closed, io);
    io->http = io->health = NULL;
    io_metrics_api_stop(io);
    gate_stop(io);
    io_replicas_stop(io);
    io_cluster_stop(io);
    net_signals_stop(&io->stop_signals);
}

static void on_overdue(void *ctx) {
    struct io *io = ctx;
    io->rpc_overdue = true;
    stop_io(io);
}

static void on_term(struct io *io, int number) {
    if (io->stopping)
        return;
    io->stopping = true;
    log_info("stopping", LOG_STR("signal", strsignal(number)));
    net_timer_again(io->last, RPC_END_MS * NS_PER_MS);
    if (!io_replicas_resign(io)) // else it ends us when the Lease is given up
        io_end(io);
}

static void on_hup(struct io *io, int number) {
    log_info("re-reading files", LOG_STR("signal", strsignal(number)));
    io_workloads_check(io, true);
    io_http_reload(io);
    tell_rpc(io, TO_RPC_RELOAD);
}

static void on_signal(void *ctx, int number) {
    if (number == SIGHUP)
        on_hup(ctx, number);
    else
        on_term(ctx, number);
}

static void receive(struct io *io, struct to_io *m) {
    switch (m->kind) {
    case TO_IO_REGISTER:
        io_cluster_freshen(io);
        io_register(io, m);
        break;
    case TO_IO_DROP:
        io_drop(io, m->id);
        break;
    case TO_IO_CALLED:
        io_called(io, m);
        break;
    case TO_IO_STATS:
        io->rpc_stats = *m->stats;
        io->rpc_heard_ns = clock_mono_ns();
        break;
    case TO_IO_STOPPED:
        break; // below: it must be the last thing done
    }
}

static void on_messages(void *ctx) {
    struct io *io = ctx;
    queue_wake_clear(io->to_io);
    struct to_io *m;
    bool stopped = false;
    while ((m = queue_pop(io->to_io)) != NULL) {
        stopped |= m->kind == TO_IO_STOPPED;
        receive(io, m);
        to_io_free(m);
    }
    if (stopped) {
        stop_io(io);
        return;
    }
    if (io->outbox.n > 0)
        io_flush(io, clock_mono_ns());
}

static int start_signals(struct io *io, struct err *e) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    return net_signals_start(&io->stop_signals, &io->loop, numbers, COUNT_OF(numbers), on_signal,
                             io, e);
}

static int start_rpc(struct io *io, struct err *e) {
    const struct scaler_config *c = io->config;
    struct rpc_options o = {
        .listen = c->grpc.listen,
        .tls = config_tls_files(&c->grpc.tls),
        .max_connection_age_ms = (uint32_t)(c->grpc.max_connection_age_ns / NS_PER_MS),
        .to_io = io->to_io,
        .to_rpc = io->to_rpc,
        .binder = &io->binder,
        .replicas = io->replicas != NULL,
    };
    int rc = rpc_start(&io->rpc, &o, e);
    if (rc < 0)
        return rc;
    char address[128];
    rpc_address(io->rpc, address, sizeof(address));
    log_info("listening", LOG_STR("server", "grpc"), LOG_STR("addr", address),
             LOG_STR("tls", c->grpc.tls.ca     ? "mutual"
                            : c->grpc.tls.cert ? "on"
                                               : "off"));
    return 0;
}

// As many connections as the limits allow need more descriptors than the usual soft limit of 1024.
static void raise_descriptor_limit(void) {
    const uint64_t served = LIMIT_GRPC_CONNECTIONS + 2 * LIMIT_HTTP_CONNECTIONS;
    uint64_t allowed = net_descriptors_raise(served + LIMIT_NODES);
    if (allowed < served)
        log_warn("few descriptors (ulimit -n): connections beyond them are refused",
                 LOG_I64("descriptors", allowed), LOG_I64("wanted", served));
}

static int start(struct io *io, struct err *e) {
    raise_descriptor_limit();
    io->started_ns = io->rpc_heard_ns = clock_mono_ns();
    vec_init(&io->outbox, LIMIT_SCALED_OBJECTS * 2);
    vec_init(&io->gone, LIMIT_SCALED_OBJECTS * 2);
    arena_init(&io->pods_arena, IO_PODS_ARENA_BYTES);
    histogram_init(&io->tick_s, histogram_latency_s, histogram_latency_s_n);
    rpc_stats_init(&io->rpc_stats);
    int rc = binder_of_config(&io->binder, io->config, e);
    if (rc == 0)
        rc = queue_new(&io->to_io, QUEUE_ITEMS, e);
    if (rc == 0)
        rc = queue_new(&io->to_rpc, QUEUE_ITEMS, e);
    if (rc == 0)
        rc = io_workloads_first(io, e);
    if (rc == 0)
        rc = io_tick_start(io, e);
    if (rc == 0) // armed by the signal; the first arming is far away
        rc = net_timer_start(&io->last, &io->loop, INT64_MAX / 4, 0, on_overdue, io, e);
    if (rc == 0)
        rc = start_signals(io, e);
    if (rc == 0)
        rc = io_sources_start(io, e);
    if (rc == 0)
        rc = io_cluster_start(io, e);
    if (rc == 0)
        rc = io_replicas_start(io, e);
    if (rc == 0)
        rc = io_rules_start(io, e);
    if (rc == 0)
        rc = gate_open(io, e);
    if (rc == 0)
        rc = io_live_start(io, e);
    if (rc == 0)
        rc = io_http_start(io, e);
    if (rc == 0)
        rc = io_metrics_api_start(io, e);
    if (rc == 0)
        rc = net_watch_start(&io->watch, &io->loop, queue_wake_fd(io->to_io), on_messages, io, e);
    if (rc == 0)
        rc = start_rpc(io, e);
    return rc;
}

static void drain(struct io *io) {
    struct to_io *m;
    while (io->to_io != NULL && (m = queue_pop(io->to_io)) != NULL)
        to_io_free(m);
    struct to_rpc *n;
    while (io->to_rpc != NULL && (n = queue_pop(io->to_rpc)) != NULL)
        to_rpc_free(n);
    io->to_io = queue_free(io->to_io);
    io->to_rpc = queue_free(io->to_rpc);
}

// Everything that io holds, in the order in which it hangs together.
static void io_free(struct io *io) {
    stop_io(io);
    uv_run(&io->loop, UV_RUN_DEFAULT); // closes run out
    io->rpc = rpc_join(io->rpc);
    drain(io);
    io_objects_done(io);
    io_rules_done(io);
    io_replicas_done(io);
    signal_join_free(io->join);
    workloads_free(io->workloads);
    arena_done(&io->pods_arena);
    if (io->config->http.web_config == NULL)
        net_tls_free(io->http_tls);
    gate_free(io);
    io_cluster_done(io);
    mem_free(io->demands);
    binder_done(&io->binder);
    net_loop_drain_close(&io->loop);
    mem_free(io);
}

int scaler_run(const struct scaler_config *config, struct err *e) {
    log_setup(STDERR_FILENO, config->log.format, config->log.level, "gpuscale-scaler");
    struct io *io = mem_zalloc(sizeof(*io));
    if (io == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = uv_loop_init(&io->loop);
    if (rc < 0) {
        mem_free(io);
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(rc));
    }
    io->config = config;
    rc = start(io, e);
    if (rc == 0) {
        log_info("started", LOG_STR("version", GPUSCALE_VERSION), LOG_DUR("tick", config->tick_ns),
                 LOG_I64("agents", config->agents.targets.n), LOG_I64("demand", config->demand.n));
        uv_run(&io->loop, UV_RUN_DEFAULT);
        // A thread that hangs still uses what is shared: the process ends with it.
        if (io->rpc_overdue)
            return err_set(e, ERR_TIMEOUT, "the rpc thread did not end within %d s",
                           RPC_END_MS / 1000);
        log_info("stopped");
    }
    io_free(io);
    return rc;
}
