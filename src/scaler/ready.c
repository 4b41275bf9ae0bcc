// SPDX-License-Identifier: Apache-2.0
/*
 * Readiness: the cluster's caches are there, where there is a cluster. Of several scalers one that
 * follows has the leader's decisions, and one that went on from another's has them. Else every
 * agent target, GPU exporter, demand source and engine page was heard of once (a failure counts:
 * what is broken is not waited for), and rates have had two pages to be made from. Once it was so,
 * or beyond READY_AFTER_S, nothing is waited for any more: a scaler that holds decisions is better
 * than none, and what is missing is in the log and in /metrics.
 */
#include "base/clock.h"
#include "scaler/cluster.h"
#include "scaler/io.h"
#include "scaler/replicas.h"

enum { READY_AFTER_S = 30 };

struct silence {
    size_t n, total;
};

static void count_page(void *ctx, const struct scrape_status *s) {
    struct silence *x = ctx;
    x->total++;
    x->n += s->good_at_ns == 0 && s->failed == 0;
}

static void count_exporter(void *ctx, const struct exporters_page *page) {
    count_page(ctx, page->scrape);
}

static void count_node(void *ctx, const struct agents_node *n) {
    struct silence *x = ctx;
    x->total++;
    x->n += n->state == AGENTS_CONNECTING && n->failed == 0;
}

static void tell(struct buf *missing, const struct silence *x, const char *what) {
    if (missing != NULL && x->n > 0)
        (void)buf_addf(missing, "%zu of %zu %s\n", x->n, x->total, what);
}

bool io_ready(const struct io *io, int64_t now_ns, struct buf *missing) {
    int64_t up_ns = now_ns - io->started_ns;
    if (io->stopping) {
        if (missing != NULL)
            (void)buf_addc(missing, "stopping\n");
        return false;
    }
    if (io->count.ticks == 0) {
        if (missing != NULL)
            (void)buf_addc(missing, "no decisions have been made yet\n");
        return false;
    }
    if (!io_cluster_ready(io, missing))
        return false; // nothing can be decided: no time makes up for it
    if (!io_replicas_ready(io, missing))
        return false;
    if (!io_leads(io) || io_replicas_inherited(io))
        return true; // decisions are here, and KEDA may have nobody else to ask
    up_ns = now_ns - io_cluster_ready_ns(io);
    if (now_ns - io_replicas_led_ns(io) < up_ns)
        up_ns = now_ns - io_replicas_led_ns(io);
    if (up_ns > READY_AFTER_S * NS_PER_S || io->serving)
        return true; // who comes later is not waited for
    struct silence agents = {0}, exporters = {0}, pages = {0}, demand = {0};
    agents_each_node(io->agents, count_node, &agents);
    exporters_each(io->exporters, count_exporter, &exporters);
    engines_each(io->engines, count_page, &pages);
    demand_each(io->demand, count_page, &demand);
    if (io->config->agents.targets.n > 0 && agents.total == 0)
        agents.n = agents.total = io->config->agents.targets.n; // names not resolved yet
    if (io->config->exporters.targets.n > 0 && exporters.total == 0)
        exporters.n = exporters.total = io->config->exporters.targets.n;
    tell(missing, &agents, "agents not heard yet");
    tell(missing, &exporters, "GPU exporters not read yet");
    tell(missing, &pages, "engine pages not read yet");
    tell(missing, &demand, "demand sources not read yet");
    // Two pages of each engine make its first rate.
    int64_t window_ns = pages.total > 0    ? 2 * io->config->engines.interval_ns
                        : demand.total > 0 ? 2 * DEMAND_INTERVAL_NS
                                           : 0;
    bool windows = up_ns >= window_ns;
    if (!windows && missing != NULL)
        (void)buf_addf(missing, "rates need two pages: %d of %d s\n", (int)(up_ns / NS_PER_S),
                       (int)(window_ns / NS_PER_S));
    return windows && agents.n + exporters.n + pages.n + demand.n == 0;
}
