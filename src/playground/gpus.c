// SPDX-License-Identifier: Apache-2.0
/* The demo's view of the GPUs; see gpus.h. */
#include "playground/gpus.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_client.h"
#include "node.pb-c.h"

struct gpus {
    uv_loop_t *loop;
    struct net_addr agent;
    struct grpc_channel *channel;
    struct grpc_client_call *watch;
    struct net_timer *reconnect;
    struct gpu_reading readings[LIMIT_PLAYGROUND_GPUS];
};

static void reading_take(struct gpus *g, const Gpuscale__V1__Gpu *gpu) {
    // The simulated GPUs are numbered from 0, and the stream's ids follow them.
    if (!gpu->has_id || gpu->id >= LIMIT_PLAYGROUND_GPUS || !gpu->has_valid)
        return;
    struct gpu_reading r = {0};
    size_t next = 0;
    for (int i = 0; i < GPU_VALUE_MAX; i++) {
        if ((gpu->valid >> i & 1) && next < gpu->n_values)
            gpu_reading_set(&r, (enum gpu_value)i, gpu->values[next++]);
    }
    g->readings[gpu->id] = r;
}

static void watch_message(void *ctx, const ProtobufCMessage *m) {
    struct gpus *g = ctx;
    const Gpuscale__V1__NodeState *state = (const void *)m;
    for (size_t i = 0; i < state->n_gpus; i++)
        reading_take(g, state->gpus[i]);
}

static void watch_finished(void *ctx, int status, const char *message) {
    struct gpus *g = ctx;
    (void)status;
    (void)message;
    g->watch = NULL;
    memset(g->readings, 0, sizeof(g->readings));
}

static void channel_closed(void *ctx, const struct err *why) {
    struct gpus *g = ctx;
    (void)why;
    g->channel = grpc_channel_free(g->channel);
    g->watch = NULL;
    memset(g->readings, 0, sizeof(g->readings));
    net_timer_again(g->reconnect, NS_PER_S);
}

static void connect_due(void *ctx) {
    struct gpus *g = ctx;
    struct err e = {0};
    if (g->channel)
        return;
    struct grpc_channel_options o = {.to = g->agent,
                                     .server_name = "localhost",
                                     .connect_ms = 5000,
                                     .closed = channel_closed,
                                     .ctx = g};
    if (grpc_channel_open(&g->channel, g->loop, &o, &e) < 0) {
        net_timer_again(g->reconnect, NS_PER_S);
        return;
    }
    Gpuscale__V1__WatchRequest request = GPUSCALE__V1__WATCH_REQUEST__INIT;
    request.client = (char *)(uintptr_t) "gpuscale demo";
    struct grpc_client_call_options call = {.method = "/gpuscale.v1.Node/Watch",
                                            .request = &request.base,
                                            .response = &gpuscale__v1__node_state__descriptor,
                                            .message = watch_message,
                                            .finished = watch_finished,
                                            .ctx = g};
    if (grpc_client_call_start(&g->watch, g->channel, &call, &e) < 0) {
        g->channel = grpc_channel_free(g->channel);
        net_timer_again(g->reconnect, NS_PER_S);
    }
}

int gpus_new(struct gpus **ret, uv_loop_t *loop, const char *agent_addr, struct err *e) {
    struct gpus *g = mem_zalloc(sizeof(*g));
    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for the GPUs' view");
    g->loop = loop;
    int r = net_addr_parse(str_from(agent_addr), &g->agent, e);
    if (r == 0)
        r = net_timer_start(&g->reconnect, loop, 0, 0, connect_due, g, e);
    if (r < 0) {
        gpus_free(g);
        return r;
    }
    *ret = g;
    return 0;
}

struct gpus *gpus_free(struct gpus *g) {
    if (!g)
        return NULL;
    net_timer_stop(&g->reconnect);
    if (g->channel)
        grpc_channel_free(g->channel);
    mem_free(g);
    return NULL;
}

struct gpu_reading gpus_reading(const struct gpus *g, int i) {
    return g->readings[i];
}
