// SPDX-License-Identifier: Apache-2.0
/*
 * The server: accepts, keeps the list of connections, looks at their deadlines with one timer
 * (which rests while there is none), and closes gracefully.
 */
#include "net/http_server.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/http_internal.h"

static const int64_t rest_ns = 365 * 86400 * NS_PER_S;

static int64_t sweep_period_ns(const struct http_server *s) {
    uint32_t shortest = s->timeouts.head_ms;
    const uint32_t others[] = {s->timeouts.body_ms, s->timeouts.idle_ms, s->timeouts.stall_ms};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (others[i] < shortest)
            shortest = others[i];
    uint32_t period = shortest / 4;
    return (period < 10 ? 10 : period > 1000 ? 1000 : period) * NS_PER_MS;
}

void http_server_add(struct http_server *s, struct http_conn *c) {
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->stats.connections++;
    if (!s->sweeping) {
        s->sweeping = true;
        net_timer_again(s->timer, sweep_period_ns(s));
    }
}

void http_server_remove(struct http_server *s, struct http_conn *c) {
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->stats.connections--;
    net_listener_released(s->listener);
    if (s->closing && !s->conns)
        net_timer_again(s->timer, 0); // finishes outside of this callback
}

const char *http_server_date(struct http_server *s) {
    int64_t now_s = clock_real_ns() / NS_PER_S;
    if (now_s == s->date_s)
        return s->date;
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)now_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(s->date, sizeof(s->date), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
             days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    s->date_s = now_s;
    return s->date;
}

static void on_accepted(void *ctx, int fd) {
    struct http_server *s = ctx;
    if (http_conn_new(s, fd) < 0) {
        s->stats.connections_refused++;
        net_listener_released(s->listener);
    }
}

static void server_free(struct http_server *s) {
    net_timer_stop(&s->timer);
    net_listener_close(s->listener);
    mem_free(s);
}

static void on_timer(void *ctx) {
    struct http_server *s = ctx;
    uint64_t now_ms = uv_now(s->loop);
    if (s->closing && !s->conns) {
        void (*done)(void *) = s->done;
        void *done_ctx = s->done_ctx;
        server_free(s);
        if (done)
            done(done_ctx);
        return;
    }
    for (struct http_conn *c = s->conns; c; c = c->next) {
        if (s->closing && now_ms >= s->grace_ms)
            net_stream_abort(c->stream, NULL);
        else
            http_conn_check(c, now_ms);
    }
    s->sweeping = s->conns != NULL;
    int64_t next_ns = s->sweeping ? sweep_period_ns(s) : rest_ns;
    if (s->closing && s->grace_ms > now_ms && (int64_t)(s->grace_ms - now_ms) * NS_PER_MS < next_ns)
        next_ns = (int64_t)(s->grace_ms - now_ms) * NS_PER_MS;
    net_timer_again(s->timer, next_ns);
}

static uint32_t or_default(uint32_t given, uint32_t fallback) {
    return given ? given : fallback;
}

int http_server_open(struct http_server **ret, uv_loop_t *loop,
                     const struct http_server_options *options, struct err *e) {
    struct http_server *s = mem_zalloc(sizeof(*s));
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for an HTTP server");
    const struct http_timeouts *t = &options->timeouts;
    s->loop = loop;
    s->tls = options->tls;
    s->routes = options->routes;
    s->refusals = options->refusals;
    s->refused = options->refused;
    s->ctx = options->ctx;
    s->timeouts = (struct http_timeouts){
        .head_ms = or_default(t->head_ms, LIMIT_HTTP_HEAD_MS),
        .body_ms = or_default(t->body_ms, LIMIT_HTTP_BODY_MS),
        .idle_ms = or_default(t->idle_ms, LIMIT_HTTP_IDLE_MS),
        .stall_ms = or_default(t->stall_ms, LIMIT_HTTP_WRITE_STALL_MS),
    };
    struct net_listener_options listen = {
        .listen = options->listen,
        .max_connections = or_default(options->max_connections, LIMIT_HTTP_CONNECTIONS),
        .accepted = on_accepted,
        .ctx = s,
    };
    int r = net_timer_start(&s->timer, loop, rest_ns, 0, on_timer, s, e);
    if (r == 0)
        r = net_listener_open(&s->listener, loop, &listen, e);
    if (r < 0) {
        server_free(s);
        return r;
    }
    s->addr = *net_listener_addr(s->listener);
    *ret = s;
    return 0;
}

void http_server_close(struct http_server *s, uint32_t grace_ms, void (*done)(void *), void *ctx) {
    s->closing = true;
    s->done = done;
    s->done_ctx = ctx;
    s->stats.connections_refused += net_listener_refused(s->listener);
    s->listener = net_listener_close(s->listener);
    uv_update_time(s->loop);
    s->grace_ms = uv_now(s->loop) + grace_ms;
    for (struct http_conn *c = s->conns; c; c = c->next)
        http_conn_end(c);
    net_timer_again(s->timer, s->conns ? 10 * NS_PER_MS : 0);
}

void http_server_renew(struct http_server *s) {
    for (struct http_conn *c = s->conns; c; c = c->next)
        http_conn_renew(c);
}

const struct net_addr *http_server_addr(const struct http_server *s) {
    return &s->addr;
}

struct http_server_stats http_server_stats(const struct http_server *s) {
    struct http_server_stats stats = s->stats;
    if (s->listener)
        stats.connections_refused += net_listener_refused(s->listener);
    return stats;
}
