// SPDX-License-Identifier: Apache-2.0
/*
 * The gRPC server on a loop: sockets, one timer, and the graceful end, around the connections of
 * grpc_conn.h. What a connection has to send is pumped at the end of the loop turn.
 */
#include "net/grpc_server.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/grpc_conn.h"
#include "net/grpc_health.h"
#include "net/grpc_reflection.h"
#include "net/hub.h"

struct server_conn {
    struct server_conn *next, *prev;
    struct grpc_server *server;
    struct net_stream *stream;
    struct grpc_conn *conn;   // NULL: the TLS handshake goes on
    struct net_hub_item pump; // output, at the end of the turn
    bool paused;              // not reading: the client does not take what we wrote
    bool closing;
};

struct grpc_server {
    uv_loop_t *loop;
    struct net_hub *hub;
    struct net_tls *tls;
    struct grpc_host *host;
    struct grpc_health *health;
    struct grpc_reflection reflection;
    const struct grpc_service **services; // with health and reflection; ends with NULL
    struct net_listener *listener;
    struct net_addr addr;
    struct server_conn *conns;
    unsigned n_conns;
    struct net_timer *timer; // for the host's next deadline
    int64_t armed_ns;
    uint64_t handshake_failures, certificates_refused, refused;
    void (*tell_refused)(void *ctx, const struct net_addr *peer, const struct err *why);
    void *tell_ctx;
    bool closing;
    struct net_timer *grace;
    struct net_hub_item end; // frees the server
    void (*done)(void *);
    void *done_ctx;
};

/* Time */

static void arm(struct grpc_server *s) {
    int64_t next = deadline_next(grpc_host_deadlines(s->host));
    if (next >= s->armed_ns || !s->timer)
        return;
    int64_t after = next - clock_mono_ns();
    s->armed_ns = next;
    net_timer_again(s->timer, after > 0 ? after + NS_PER_MS : 0); // libuv counts whole ms
}

static void on_timer(void *ctx) {
    struct grpc_server *s = ctx;
    s->armed_ns = INT64_MAX;
    deadline_run(grpc_host_deadlines(s->host), clock_mono_ns());
    arm(s);
}

/* Connections */

static void conn_close(struct server_conn *sc) {
    if (sc->closing)
        return;
    sc->closing = true;
    net_stream_close(sc->stream);
}

static void conn_pump(struct server_conn *sc) {
    const uint8_t *p;
    size_t n = 0;
    if (!sc->conn || sc->closing)
        return;
    while (net_stream_queued(sc->stream) < LIMIT_GRPC_OUTPUT_HIGH_BYTES &&
           (n = grpc_conn_send(sc->conn, &p)) > 0)
        if (net_stream_write(sc->stream, p, n) < 0)
            break;
    if (!sc->paused && net_stream_queued(sc->stream) >= LIMIT_GRPC_OUTPUT_HIGH_BYTES) {
        sc->paused = true;
        net_stream_pause(sc->stream);
    }
    if (grpc_conn_over(sc->conn))
        conn_close(sc);
    arm(sc->server);
}

static void on_pump(struct net_hub_item *item) {
    conn_pump(container_of(item, struct server_conn, pump));
}

static void on_output(void *shell) {
    struct server_conn *sc = shell;
    net_hub_post(sc->server->hub, &sc->pump);
}

static void on_ready(void *ctx) {
    struct server_conn *sc = ctx;
    struct err e = {0};
    int err = ERR_CLOSED;
    if (!sc->server->closing)
        err = grpc_conn_new(&sc->conn, sc->server->host, sc, net_stream_peer(sc->stream),
                            net_stream_peer_name(sc->stream), &e);
    if (err < 0)
        conn_close(sc);
    else
        conn_pump(sc);
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    struct server_conn *sc = ctx;
    if (!sc->conn || sc->closing)
        return;
    grpc_conn_recv(sc->conn, p, n, NULL); // what is wrong is in grpc_conn_over()
    conn_pump(sc);
}

static void on_drained(void *ctx) {
    struct server_conn *sc = ctx;
    if (!sc->conn || sc->closing)
        return;
    grpc_conn_progress(sc->conn);
    if (sc->paused) {
        sc->paused = false;
        net_stream_resume(sc->stream);
    }
    conn_pump(sc);
}

static void maybe_end(struct grpc_server *s) {
    if (s->closing && s->n_conns == 0)
        net_hub_post(s->hub, &s->end);
}

static void conn_drop(struct server_conn *sc) {
    struct grpc_server *s = sc->server;
    net_hub_drop(&sc->pump);
    sc->conn = grpc_conn_free(sc->conn);
    net_hub_drop(&sc->pump); // calls that ended may have asked for output
    if (sc->next)
        sc->next->prev = sc->prev;
    if (sc->prev)
        sc->prev->next = sc->next;
    else
        s->conns = sc->next;
    s->n_conns--;
    if (s->listener)
        net_listener_released(s->listener);
    mem_free(sc);
    maybe_end(s);
}

static void on_closed(void *ctx, const struct err *why) {
    struct server_conn *sc = ctx;
    struct grpc_server *s = sc->server;
    if (!sc->conn && !sc->closing) {
        s->handshake_failures++;
        s->certificates_refused += why->code == ERR_AUTH;
        if (s->tell_refused)
            s->tell_refused(s->tell_ctx, net_stream_peer(sc->stream), why);
    }
    conn_drop(sc);
}

static const struct net_stream_ops stream_ops = {
    .ready = on_ready,
    .data = on_data,
    .drained = on_drained,
    .closed = on_closed,
};

static void on_accepted(void *ctx, int fd) {
    struct grpc_server *s = ctx;
    struct server_conn *sc = mem_zalloc(sizeof(*sc));
    if (!sc) {
        close(fd);
        net_listener_released(s->listener);
        return;
    }
    sc->server = s;
    sc->pump.run = on_pump;
    sc->next = s->conns;
    if (sc->next)
        sc->next->prev = sc;
    s->conns = sc;
    s->n_conns++;
    if (net_stream_accept(s->loop, fd, s->tls, LIMIT_GRPC_HANDSHAKE_MS, &stream_ops, sc,
                          &sc->stream, NULL) < 0) {
        s->handshake_failures++;
        conn_drop(sc);
    }
}

/* The server */

static void server_free(struct grpc_server *s) {
    net_timer_stop(&s->timer);
    net_timer_stop(&s->grace);
    net_listener_close(s->listener);
    grpc_host_free(s->host);
    grpc_health_free(s->health);
    mem_free(s->services);
    if (s->hub) {
        net_hub_drop(&s->end);
        net_hub_unref(s->hub);
    }
    mem_free(s);
}

static void on_end(struct net_hub_item *item) {
    struct grpc_server *s = container_of(item, struct grpc_server, end);
    void (*done)(void *) = s->done;
    void *ctx = s->done_ctx;
    server_free(s);
    if (done)
        done(ctx);
}

// The user's services, then health, then reflection.
static int make_services(struct grpc_server *s, const struct grpc_service *const *own,
                         struct err *e) {
    size_t n = 0;
    while (own[n])
        n++;
    int err = grpc_health_new(&s->health, own, e);
    if (err < 0)
        return err;
    s->services = mem_array(n + 1 + GRPC_REFLECTION_SERVICES + 1, sizeof(*s->services));
    if (!s->services)
        return err_set(e, ERR_NOMEM, "no memory for the list of services");
    memcpy(s->services, own, n * sizeof(*own));
    s->services[n++] = grpc_health_service(s->health);
    grpc_reflection_init(&s->reflection, s->services);
    for (size_t i = 0; i < GRPC_REFLECTION_SERVICES; i++)
        s->services[n++] = &s->reflection.own[i];
    return 0;
}

static int server_open(struct grpc_server *s, const struct grpc_server_options *o, struct err *e) {
    struct grpc_host_options host = {
        .max_connection_age_ms = o->max_connection_age_ms,
        .observe = o->observe,
        .observe_ctx = o->observe_ctx,
        .output = on_output,
    };
    struct net_listener_options listener = {
        .listen = o->listen,
        .max_connections = o->max_connections,
        .accepted = on_accepted,
        .ctx = s,
    };
    int err = random_kernel(&host.seed, sizeof(host.seed));
    if (err < 0)
        return err_set(e, err, "no randomness from the kernel");
    s->hub = net_hub_ref(s->loop);
    if (!s->hub)
        return err_set(e, ERR_NOMEM, "no memory for a gRPC server");
    if ((err = make_services(s, o->services, e)) < 0)
        return err;
    host.services = s->services;
    if ((err = grpc_host_new(&s->host, &host, e)) < 0 ||
        (err = net_timer_start(&s->timer, s->loop, NS_PER_S, 0, on_timer, s, e)) < 0)
        return err;
    return net_listener_open(&s->listener, s->loop, &listener, e);
}

int grpc_server_open(struct grpc_server **ret, uv_loop_t *loop,
                     const struct grpc_server_options *options, struct err *e) {
    struct grpc_server *s = mem_zalloc(sizeof(*s));
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for a gRPC server");
    s->loop = loop;
    s->tls = options->tls;
    s->tell_refused = options->refused;
    s->tell_ctx = options->observe_ctx;
    s->armed_ns = INT64_MAX;
    s->end.run = on_end;
    int err = server_open(s, options, e);
    if (err < 0) {
        server_free(s);
        return err;
    }
    s->addr = *net_listener_addr(s->listener);
    *ret = s;
    return 0;
}

static void on_grace(void *ctx) {
    struct grpc_server *s = ctx;
    for (struct server_conn *sc = s->conns; sc; sc = sc->next) {
        sc->closing = true;
        net_stream_abort(sc->stream, NULL);
    }
}

void grpc_server_close(struct grpc_server *s, uint32_t grace_ms, void (*done)(void *), void *ctx) {
    s->closing = true;
    s->done = done;
    s->done_ctx = ctx;
    s->refused = net_listener_refused(s->listener);
    s->listener = net_listener_close(s->listener);
    for (struct server_conn *sc = s->conns; sc; sc = sc->next) {
        if (sc->conn)
            grpc_conn_shutdown(sc->conn);
        else
            conn_close(sc);
    }
    if (s->n_conns > 0 &&
        net_timer_start(&s->grace, s->loop, grace_ms * NS_PER_MS, 0, on_grace, s, NULL) < 0)
        on_grace(s); // no memory for a timer: at once
    arm(s);
    maybe_end(s);
}

const struct net_addr *grpc_server_addr(const struct grpc_server *s) {
    return &s->addr;
}

struct grpc_server_stats grpc_server_stats(const struct grpc_server *s) {
    struct grpc_host_stats h = grpc_host_stats(s->host);
    return (struct grpc_server_stats){
        .connections = s->n_conns,
        .streams = h.streams,
        .calls = h.calls,
        .handshake_failures = s->handshake_failures,
        .certificates_refused = s->certificates_refused,
        .connections_refused = s->listener ? net_listener_refused(s->listener) : s->refused,
        .protocol_errors = h.protocol_errors,
    };
}

void grpc_server_set_serving(struct grpc_server *s, const char *service, bool serving) {
    grpc_health_set(s->health, service, serving);
}
