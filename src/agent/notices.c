// SPDX-License-Identifier: Apache-2.0
/* What the log says of GPUs: once when it happens, the rest is in the metrics. */
#include "agent/agent_internal.h"
#include "base/log.h"

static void tell_list(struct agent *a) {
    uint32_t n = a->state.n_gpus;
    if (n == a->gpus_told)
        return;
    if (a->gpus_told != UINT32_MAX)
        log_info("the list of GPUs changed", LOG_I64("gpus", n), LOG_I64("before", a->gpus_told));
    a->gpus_told = n;
}

static void tell_loss(struct agent_gpu *g) {
    if (g->lost == g->lost_told)
        return;
    g->lost_told = g->lost;
    if (g->lost)
        log_warn("a GPU is lost", LOG_I64("gpu", g->info.index), LOG_STR("uuid", g->info.uuid));
    else
        log_info("a GPU is back", LOG_I64("gpu", g->info.index), LOG_STR("uuid", g->info.uuid));
}

static void tell_xid(struct agent_gpu *g) {
    double xid;
    if (!g->has_reading || !gpu_reading_get(&g->reading, GPU_XID_LAST, &xid) || xid == g->xid_told)
        return;
    g->xid_told = xid;
    if (xid > 0)
        log_warn("a GPU reports an XID error", LOG_I64("gpu", g->info.index),
                 LOG_STR("uuid", g->info.uuid), LOG_I64("xid", (int64_t)xid));
}

void agent_tell_gpus(struct agent *a) {
    tell_list(a);
    for (uint32_t i = 0; i < a->state.n_gpus; i++) {
        tell_loss(&a->state.gpus[i]);
        tell_xid(&a->state.gpus[i]);
    }
}
