// SPDX-License-Identifier: Apache-2.0
/*
 * The world of the agents' tests: one loop, servers that play agents on it, a resolver that the
 * test answers, and what the callbacks said.
 */
#pragma once

#include <arpa/inet.h>
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_server.h"
#include "net/loop.h"
#include "source/agents.h"
#include "source/node_message.h"
#include "web/pki.h"
#include "web/turn.h"

enum { TOLD = 16 };

// An agent: a server whose Watch calls the test answers.
struct fake {
    struct grpc_server *server;
    struct grpc_service service;
    struct grpc_method methods[2];
    const struct grpc_service *services[2];
    struct grpc_call *call; // the last one; NULL when it ended
    int watches;
    uint64_t seq;
    const char *boot_id, *uuid;
    double value;
    bool silent; // accepts Watch and says nothing
    bool closed;
};

struct world {
    uv_loop_t loop;
    struct agents *agents;
    struct {
        char uuid[32];
        int calls;
        double value;
        int64_t at_ns;
        bool removed;
    } gpus[TOLD];
    int n_gpus, n_nodes, n_resolve, resolve_failed, n_tls, tls_failed;
    struct {
        char address[64];
        enum agents_node_state state;
        char why[ERR_MSG_MAX]; // the last one told
        int told;
    } nodes[TOLD];
    // The injected resolver.
    struct sockaddr_storage answer[4];
    size_t n_answer;
    bool answer_fails;
    int lookups;
};

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    struct world *w = ctx;
    int i = 0;
    while (i < w->n_gpus && strcmp(w->gpus[i].uuid, g->uuid) != 0)
        i++;
    assert_true(i < TOLD);
    if (i == w->n_gpus)
        w->n_gpus++;
    snprintf(w->gpus[i].uuid, sizeof(w->gpus[i].uuid), "%s", g->uuid);
    w->gpus[i].calls++;
    w->gpus[i].value = -1;
    gpu_reading_get(g->reading, GPU_UTILIZATION_PCT, &w->gpus[i].value);
    w->gpus[i].at_ns = g->reading_at_ns;
    w->gpus[i].removed = false;
}
static void on_gpu_removed(void *ctx, const char *node, const char *uuid, void *user) {
    struct world *w = ctx;
    for (int i = 0; i < w->n_gpus; i++) {
        if (!strcmp(w->gpus[i].uuid, uuid))
            w->gpus[i].removed = true;
    }
}
static void on_node(void *ctx, const struct agents_node *n, const struct err *why) {
    struct world *w = ctx;
    int i = 0;
    while (i < w->n_nodes && strcmp(w->nodes[i].address, n->address) != 0)
        i++;
    assert_true(i < TOLD);
    if (i == w->n_nodes)
        w->n_nodes++;
    snprintf(w->nodes[i].address, sizeof(w->nodes[i].address), "%s", n->address);
    if (why)
        snprintf(w->nodes[i].why, sizeof(w->nodes[i].why), "%s", why->msg);
    w->nodes[i].state = n->state;
    w->nodes[i].told++;
    print_message("# %s %s %s\n", n->address, agents_node_state_name(n->state),
                  why ? why->msg : "");
}
static void on_resolve(void *ctx, const char *target, const struct err *why) {
    struct world *w = ctx;
    w->n_resolve++;
    w->resolve_failed += why != NULL;
}
static void on_tls(void *ctx, const struct err *why) {
    struct world *w = ctx;
    w->n_tls++;
    w->tls_failed += why != NULL;
}
static const struct agents_ops ops = {.gpu = on_gpu,
                                      .gpu_removed = on_gpu_removed,
                                      .node = on_node,
                                      .resolve = on_resolve,
                                      .tls_event = on_tls};

// A resolver whose answers the test sets; answers come from the loop, as they must.
struct lookup {
    struct net_timer *timer;
    struct world *w;
    void (*done)(void *, const struct sockaddr_storage *, size_t, const struct err *);
    void *arg;
};
static void lookup_done(void *ctx) {
    struct lookup *l = ctx;
    struct err why = {0};
    net_timer_stop(&l->timer);
    if (l->w->answer_fails) {
        err_set(&why, ERR_UNAVAILABLE, "no DNS");
        l->done(l->arg, NULL, 0, &why);
    } else {
        l->done(l->arg, l->w->answer, l->w->n_answer, NULL);
    }
    free(l);
}
static int lookup_start(void *ctx, uv_loop_t *loop, const char *host,
                        void (*done)(void *, const struct sockaddr_storage *, size_t,
                                     const struct err *),
                        void *arg, void **ret, struct err *e) {
    struct world *w = ctx;
    assert_string_equal(host, "agents.test");
    struct lookup *l = calloc(1, sizeof(*l));
    *l = (struct lookup){.w = w, .done = done, .arg = arg};
    w->lookups++;
    *ret = l;
    return net_timer_start(&l->timer, loop, 0, 0, lookup_done, l, e);
}
static void lookup_cancel(void *ctx, void *request) {
    struct lookup *l = request;
    net_timer_stop(&l->timer);
    free(l);
}

static void answer_add(struct world *w, const char *address) {
    struct sockaddr_in *in = (struct sockaddr_in *)&w->answer[w->n_answer++];
    *in = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, address, &in->sin_addr), 1);
}

static void world_open(struct world *w, struct agents_options *o) {
    struct agents_resolver resolver = {lookup_start, lookup_cancel, w};
    static struct agents_resolver kept;
    struct err e = {0};
    kept = resolver;
    o->loop = &w->loop;
    o->ops = &ops;
    o->ctx = w;
    o->client = "test";
    o->seed = 1;
    o->resolver = &kept;
    o->backoff_min_ns = 20 * NS_PER_MS;
    o->backoff_max_ns = 100 * NS_PER_MS;
    o->resolve_interval_ns = 100 * NS_PER_MS;
    int r = agents_new(&w->agents, o, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(r, 0);
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    uv_loop_init(&w->loop);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    agents_free(w->agents);
    turn_out(&w->loop);
    net_loop_drain_close(&w->loop);
    free(w);
    return 0;
}

static void on_call_end(struct grpc_call *c, void *ctx) {
    struct fake *f = ctx;
    if (f->call == c)
        f->call = NULL;
}

static void say(struct fake *f, const struct message *x) {
    if (f->call)
        assert_int_equal(grpc_call_send(f->call, &x->m.base), 0);
}

static void say_full(struct fake *f) {
    struct message *x = message(true, f->seq = 1);
    x->m.boot_id = (char *)(uintptr_t)f->boot_id;
    x->m.has_interval_ms = true;
    x->m.interval_ms = 100;
    add_gpu(x, 1, f->uuid, f->value, "pod");
    add_age(x, 1, 0);
    say(f, x);
}

static void on_watch(struct grpc_call *c, const ProtobufCMessage *request, void *ctx) {
    struct fake *f = ctx;
    const Gpuscale__V1__WatchRequest *r = (const Gpuscale__V1__WatchRequest *)request;
    assert_string_equal(r->client, "test");
    f->call = c;
    f->watches++;
    grpc_call_on_end(c, on_call_end, f);
    if (!f->silent)
        say_full(f);
}

// Heartbeats must come by themselves: each 20 ms, from the loop.
struct beat {
    struct net_timer *timer;
    struct fake *f;
    bool paused;
};
static void beat(void *ctx) {
    struct beat *b = ctx;
    if (b->paused || !b->f->call || b->f->silent)
        return;
    struct message *x = message(false, ++b->f->seq);
    x->m.boot_id = (char *)(uintptr_t)b->f->boot_id;
    add_age(x, 1, 0);
    say(b->f, x);
}

static struct fake *fake_try(struct world *w, const char *listen, const char *boot_id,
                             const char *uuid, double value, struct net_tls *tls) {
    struct fake *f = calloc(1, sizeof(*f));
    f->boot_id = boot_id;
    f->uuid = uuid;
    f->value = value;
    f->methods[0] = (struct grpc_method){.name = "Watch",
                                         .request = &gpuscale__v1__watch_request__descriptor,
                                         .streams = true,
                                         .handle = on_watch};
    f->service = (struct grpc_service){
        .name = "gpuscale.v1.Node", .methods = f->methods, .n_methods = 1, .ctx = f};
    f->services[0] = &f->service;
    struct grpc_server_options o = {
        .listen = listen, .tls = tls, .max_connections = 64, .services = f->services};
    struct err e = {0};
    if (grpc_server_open(&f->server, &w->loop, &o, &e) == 0)
        return f;
    print_message("# %s\n", e.msg);
    free(f);
    return NULL;
}

static struct fake *fake_open(struct world *w, const char *listen, const char *boot_id,
                              const char *uuid, double value, struct net_tls *tls) {
    struct fake *f = fake_try(w, listen, boot_id, uuid, value, tls);
    assert_non_null(f);
    return f;
}

static uint16_t port_of(const struct fake *f) {
    return ntohs(grpc_server_addr(f->server)->in.sin_port);
}
static void server_closed(void *ctx) {
    ((struct fake *)ctx)->closed = true;
}
static bool is_closed(void *ctx) {
    return ((struct fake *)ctx)->closed;
}
static void fake_close(struct world *w, struct fake *f) {
    grpc_server_close(f->server, 0, server_closed, f);
    TURN_UNTIL(&w->loop, is_closed, f);
    free(f);
}

static void set_targets(struct world *w, const char *const *targets, size_t n) {
    struct err e = {0};
    int r = agents_set_targets(w->agents, targets, n, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(r, 0);
}
static void set_target(struct world *w, const struct fake *f) {
    char target[64];
    const char *targets[] = {target};
    snprintf(target, sizeof(target), "127.0.0.1:%u", port_of(f));
    set_targets(w, targets, 1);
}

// Conditions.
static bool one_connected(void *ctx) {
    struct world *w = ctx;
    return agents_stats(w->agents).connected == 1 && w->n_gpus > 0;
}
static bool two_connected(void *ctx) {
    return agents_stats(((struct world *)ctx)->agents).connected == 2;
}
static bool none_connected(void *ctx) {
    return agents_stats(((struct world *)ctx)->agents).connected == 0;
}
static bool first_removed(void *ctx) {
    return ((struct world *)ctx)->gpus[0].removed;
}
static bool two_watches(void *ctx) {
    return ((struct fake *)ctx)->watches >= 2;
}
static bool one_watch(void *ctx) {
    return ((struct fake *)ctx)->watches >= 1;
}
