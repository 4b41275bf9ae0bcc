// SPDX-License-Identifier: Apache-2.0
/* The gateway's server, its replicas and the choice among them; see gateway.h. */
#include "playground/gateway.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "playground/gateway_internal.h"

#define SWEEP_NS (50 * NS_PER_MS)

static const struct http_route routes[] = {
    {"GET", "/metrics", gateway_page},     {"GET", "/health", gateway_health},
    {"GET", "/v1/", exchange_handle},      {"POST", "/v1/", exchange_handle},
    {"POST", "/predict", exchange_handle}, {NULL, NULL, NULL},
};

static void replica_free(struct gateway_replica *r) {
    struct gateway *g = r->g;
    for (unsigned i = 0; i < g->n_replicas; i++) {
        if (g->replicas[i] == r) {
            g->replicas[i] = g->replicas[--g->n_replicas];
            break;
        }
    }
    mem_free(r);
}

struct gateway_replica *gateway_choose(struct gateway *g, uint64_t avoid, int64_t now_ns) {
    struct gateway_replica *best = NULL;
    g->turn++;
    for (unsigned k = 0; k < g->n_replicas; k++) {
        struct gateway_replica *r = g->replicas[(g->turn + k) % g->n_replicas];
        if (r->up && r->id != avoid && r->avoid_until_ns <= now_ns &&
            r->requests < LIMIT_UPSTREAM_CONNECTIONS && (!best || r->requests < best->requests))
            best = r;
    }
    return best;
}

void gateway_replica_begin(struct gateway_replica *r, int64_t now_ns) {
    if (r->requests++ == 0)
        r->busy_since_ns = now_ns;
}

void gateway_replica_end(struct gateway_replica *r, int64_t now_ns) {
    assert(r->requests > 0);
    if (--r->requests > 0)
        return;
    r->busy_ns += now_ns - r->busy_since_ns;
    if (r->removed)
        replica_free(r);
}

static void sweep_due(void *ctx) {
    struct gateway *g = ctx;
    exchange_sweep(g, clock_mono_ns());
    exchange_dispatch_held(g);
}

int gateway_open(struct gateway **ret, uv_loop_t *loop, const struct gateway_options *options,
                 struct err *e) {
    struct gateway *g = mem_zalloc(sizeof(*g));
    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for a gateway");
    g->loop = loop;
    g->options = *options;
    g->options.max_held = options->max_held ? options->max_held : LIMIT_GATEWAY_HELD;
    g->options.max_head = options->max_head ? options->max_head : LIMIT_GATEWAY_FIELDS_BYTES;
    g->options.hold_ns = options->hold_ns ? options->hold_ns : 60 * NS_PER_S;
    g->options.answer_ns = options->answer_ns ? options->answer_ns : 120 * NS_PER_S;
    histogram_init(&g->stats.seconds, histogram_latency_s, histogram_latency_s_n);
    struct http_server_options server = {.listen = options->listen,
                                         .max_connections = LIMIT_GATEWAY_CONNECTIONS,
                                         .routes = routes,
                                         .refusals = &gateway_refusals,
                                         .ctx = g};
    int r = str_copy(g->service, sizeof(g->service), str_from(options->service));
    if (r < 0)
        r = err_set(e, ERR_LIMIT, "the service's name has more than %d bytes", GATEWAY_NAME_LEN);
    if (r == 0)
        r = net_timer_start(&g->sweep, loop, SWEEP_NS, SWEEP_NS, sweep_due, g, e);
    if (r == 0 && (r = http_server_open(&g->server, loop, &server, e)) < 0)
        (void)err_wrap(e, "gateway");
    if (r < 0) {
        net_timer_stop(&g->sweep);
        mem_free(g);
        return r;
    }
    net_addr_format(http_server_addr(g->server), g->addr, sizeof(g->addr));
    *ret = g;
    return 0;
}

static void server_closed(void *ctx) {
    struct gateway *g = ctx;
    void (*done)(void *) = g->done;
    void *done_ctx = g->done_ctx;
    assert(g->held.n + g->flying.n == 0);
    while (g->n_replicas)
        gateway_remove(g->replicas[0]);
    net_timer_stop(&g->sweep);
    mem_free(g);
    if (done)
        done(done_ctx);
}

void gateway_close(struct gateway *g, uint32_t grace_ms, void (*done)(void *), void *ctx) {
    g->closing = true;
    g->done = done;
    g->done_ctx = ctx;
    exchange_refuse_held(g);
    http_server_close(g->server, grace_ms, server_closed, g);
}

const char *gateway_addr(const struct gateway *g) {
    return g->addr;
}

int gateway_add(struct gateway *g, const char *name, const char *addr, struct gateway_replica **ret,
                struct err *e) {
    struct net_addr parsed;
    if (g->n_replicas == LIMIT_GATEWAY_REPLICAS)
        return err_set(e, ERR_LIMIT, "a gateway has at most %d replicas", LIMIT_GATEWAY_REPLICAS);
    int rc = net_addr_parse(str_from(addr), &parsed, e);
    if (rc < 0)
        return rc;
    struct gateway_replica *r = mem_zalloc(sizeof(*r));
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for a replica");
    r->g = g;
    r->id = ++g->next_id;
    if (str_copy(r->name, sizeof(r->name), str_from(name)) < 0 ||
        str_copy(r->host, sizeof(r->host), str_from(addr)) < 0)
        rc = err_set(e, ERR_LIMIT, "%s at %s: more than %d bytes", name, addr, GATEWAY_NAME_LEN);
    if (rc == 0)
        rc = upstream_new(&r->up, g->loop, &parsed, e);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    g->replicas[g->n_replicas++] = r;
    *ret = r;
    exchange_dispatch_held(g);
    return 0;
}

void gateway_drain(struct gateway_replica *r) {
    if (r->up)
        upstream_close(r->up);
    r->up = NULL;
}

void gateway_remove(struct gateway_replica *r) {
    gateway_drain(r);
    r->removed = true;
    if (r->requests == 0)
        replica_free(r);
}

unsigned gateway_replica_requests(const struct gateway_replica *r) {
    return r->requests;
}

int64_t gateway_replica_busy_ns(const struct gateway_replica *r, int64_t now_ns) {
    return r->busy_ns + (r->requests ? now_ns - r->busy_since_ns : 0);
}

struct gateway_stats gateway_stats(const struct gateway *g) {
    struct gateway_stats s = g->stats;
    s.held = g->held.n;
    s.in_flight = g->flying.n;
    return s;
}
