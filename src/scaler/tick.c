// SPDX-License-Identifier: Apache-2.0
/*
 * When decisions are made: each object once a tick, and soon after something was heard about its
 * workload, so that a changed reading does not wait for the tick. A workload's early decisions keep
 * a distance from each other, and one turn of them has a budget, so that ten thousand talking
 * workloads cost no more than the tick does.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/cluster_events.h"
#include "scaler/io.h"
#include "scaler/replicas.h"

static void tell_serving(struct io *io, int64_t now_ns) {
    bool ready = io_ready(io, now_ns, NULL);
    if (ready == io->serving)
        return;
    struct to_rpc *m = mem_zalloc(sizeof(*m));
    if (m == NULL)
        return; // the next tick tells
    m->kind = TO_RPC_SERVING;
    m->serving = ready;
    if (!queue_push(io->to_rpc, m)) {
        mem_free(m);
        return;
    }
    io->serving = ready;
    log_info(ready ? "ready" : "not ready");
}

static void on_tick(void *ctx) {
    struct io *io = ctx;
    io_replicas_check(io);
    io_workloads_check(io, false); // decides too, at its own time: which is not after ours
    int64_t now_ns = clock_mono_ns();
    // What was decided within half a tick because something was heard has had its decision.
    int64_t recent_ns = now_ns - io->config->tick_ns / 2;
    for (struct feed *f = io->feeds; f != NULL; f = f->hh.next)
        if (f->decided_ns <= recent_ns)
            io_decide_feed(io, f, now_ns);
    io_tend_feedless(io, now_ns);
    io_replicas_tick(io, now_ns);
    io_update_targets(io);
    io_update_queries(io);
    if (now_ns - io->http_tls_checked_ns >= RPC_TLS_CHECK_MS * NS_PER_MS)
        io_http_reload(io);
    tell_serving(io, now_ns);
    io_flush(io, now_ns);
    io_events_turn(io, now_ns);
    io->ticked_ns = now_ns;
    io->count.ticks++;
    histogram_add(&io->tick_s, (double)(clock_mono_ns() - now_ns) / NS_PER_S);
}

static void on_soon(void *ctx) {
    struct io *io = ctx;
    io_replicas_check(io);
    int64_t now_ns = clock_mono_ns();
    struct feed *f = io->dirty, *next;
    io->dirty = NULL;
    bool spent = false;
    for (; f != NULL; f = next) {
        next = f->next_dirty;
        f->dirty = false;
        if (spent || now_ns - f->decided_ns < IO_SPACING_MS * NS_PER_MS) {
            io_feed_mark(io, f);
            continue;
        }
        io_decide_feed(io, f, now_ns);
        spent = clock_mono_ns() - now_ns > IO_SOON_BUDGET_MS * NS_PER_MS;
    }
    io->count.early_ticks++;
    if (io->outbox.n > 0)
        io_flush(io, now_ns);
}

int io_tick_start(struct io *io, struct err *e) {
    int rc = net_timer_start(&io->tick, &io->loop, io->config->tick_ns, io->config->tick_ns,
                             on_tick, io, e);
    if (rc == 0)
        rc = net_timer_start(&io->soon, &io->loop, io->config->tick_ns, 0, on_soon, io, e);
    return rc;
}

void io_tick_stop(struct io *io) {
    net_timer_stop(&io->tick);
    net_timer_stop(&io->soon);
}
