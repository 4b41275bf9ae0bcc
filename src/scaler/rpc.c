// SPDX-License-Identifier: Apache-2.0
/*
 * The rpc thread's life: listen, start, receive publications, keep house each second, end
 * gracefully. The handlers are in rpc_handlers.c, open calls in rpc_calls.c.
 */
#include "scaler/rpc.h"

#include <semaphore.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "scaler/refused.h"
#include "scaler/rpc_internal.h"

enum { SWEEP_MS = 30000, GRACE_MS = 10000 };

static void apply_batch(struct rpc *r, struct to_rpc *m) {
    r->decided_ns = m->at_ns;
    for (size_t i = 0; i < m->n_items; i++) {
        struct rpc_object *o = rpc_table_by_id(&r->table, m->items[i].id);
        if (o == NULL)
            continue; // dropped meanwhile
        if (m->items[i].gone) {
            rpc_calls_gone(r, o);
            rpc_table_remove(&r->table, o);
            continue;
        }
        rpc_object_publish(o, &m->items[i]);
        rpc_calls_published(r, o);
    }
    if (r->tell == NULL)
        return;
    for (size_t i = 0; i < m->n_told; i++)
        tell_decision(r->tell, m->told[i].id, TAKE_PTR(m->told[i].packed), m->told[i].n);
    tell_flush(r->tell, m->at_ns);
}

static void apply_role(struct rpc *r, const struct rpc_role *role) {
    bool led = r->role.leads;
    r->role = *role;
    if (r->tell == NULL)
        return;
    if (role->leads)
        tell_lead(r->tell, role->leader, role->term);
    else if (led || role->resigned)
        tell_yield(r->tell, "this scaler leads no more", role->resigned);
}

static void reload_tls(struct rpc *r, int64_t now_ns) {
    r->tls_checked_ns = now_ns;
    if (r->tls == NULL)
        return;
    struct err e = {0};
    int rc = net_tls_reload_if_changed(r->tls, &e);
    if (rc > 0)
        log_info("gRPC certificate re-read");
    if (rc < 0) {
        r->stats.reload_failures++;
        log_error("gRPC certificate not re-read, the old one stays", LOG_ERR(&e));
    }
}

static void on_stopped(void *ctx) {
    struct rpc *r = ctx;
    r->server = NULL;
    net_watch_stop(&r->watch);
    net_timer_stop(&r->second);
    net_timer_stop(&r->parked);
    if (r->tell != NULL)
        tell_stop(r->tell);
}

static void stop(struct rpc *r) {
    if (r->stopping)
        return;
    r->stopping = true;
    grpc_server_close(r->server, GRACE_MS, on_stopped, r);
}

static void receive(struct rpc *r, struct to_rpc *m) {
    switch (m->kind) {
    case TO_RPC_BATCH:
        apply_batch(r, m);
        break;
    case TO_RPC_ROLE:
        apply_role(r, m->role);
        break;
    case TO_RPC_SERVING:
        if (!r->stopping) {
            grpc_server_set_serving(r->server, "", m->serving);
            grpc_server_set_serving(r->server, r->service.name, m->serving);
        }
        break;
    case TO_RPC_RELOAD:
        reload_tls(r, clock_mono_ns());
        break;
    case TO_RPC_STOP:
        stop(r);
        break;
    }
    to_rpc_free(m);
}

static void on_messages(void *ctx) {
    struct rpc *r = ctx;
    queue_wake_clear(r->to_rpc);
    struct to_rpc *m;
    while ((m = queue_pop(r->to_rpc)) != NULL)
        receive(r, m);
}

// Copies the counters for the io thread.
static void send_stats(struct rpc *r) {
    struct to_io *m = mem_zalloc(sizeof(*m));
    if (m == NULL || (m->stats = mem_alloc(sizeof(*m->stats))) == NULL) {
        to_io_free(m);
        return;
    }
    m->kind = TO_IO_STATS;
    struct rpc_stats *s = m->stats;
    *s = r->stats;
    s->objects = r->table.n;
    s->objects_invalid = r->table.n_invalid;
    s->waiting = r->n_waiting;
    s->streams_active = r->n_streams_active;
    s->streams_spec = r->n_streams_spec;
    if (r->tell != NULL) {
        struct tell_stats t = tell_stats(r->tell);
        s->followers = t.followers;
        s->followers_slow = t.slow;
    }
    s->cert_not_after_s = r->tls ? net_tls_not_after_s(r->tls) : 0;
    if (r->server != NULL) {
        struct grpc_server_stats g = grpc_server_stats(r->server);
        s->connections = g.connections;
        s->calls_open = g.streams;
        s->handshake_failures = g.handshake_failures;
        s->certificates_refused = g.certificates_refused;
        s->connections_refused = g.connections_refused;
        s->protocol_errors = g.protocol_errors;
    }
    if (!queue_push(r->to_io, m)) {
        r->stats.messages_lost++;
        to_io_free(m);
    }
}

// Which objects are asked for; a stream that is open counts.
static void tell_called(struct rpc *r, int64_t now_ns) {
    struct to_io *m = mem_zalloc(sizeof(*m));
    if (m == NULL || (m->ids = mem_array(r->table.n + 1, sizeof(*m->ids))) == NULL) {
        to_io_free(m);
        return; // the next second tells
    }
    m->kind = TO_IO_CALLED;
    for (const struct rpc_object *o = r->table.by_id; o != NULL; o = o->hh_id.next)
        if (o->registered && (o->calls != NULL || o->called_ns >= r->called_told_ns))
            m->ids[m->n_ids++] = o->id;
    if (!queue_push(r->to_io, m)) {
        r->stats.messages_lost++;
        to_io_free(m);
        return;
    }
    r->called_told_ns = now_ns;
}

// Forgets objects that nobody asks for: an edited or deleted ScaledObject, or KEDA gone.
static void sweep(struct rpc *r, int64_t now_ns) {
    r->swept_ns = now_ns;
    struct rpc_object *o, *next;
    HASH_ITER(hh_id, r->table.by_id, o, next) {
        if (o->calls != NULL || now_ns - o->called_ns < LIMIT_OBJECT_IDLE_MS * NS_PER_MS)
            continue;
        if (o->invalid == NULL) { // the io thread may know it
            struct to_io *m = mem_zalloc(sizeof(*m));
            if (m == NULL)
                return;
            *m = (struct to_io){.kind = TO_IO_DROP, .id = o->id};
            if (!queue_push(r->to_io, m)) {
                r->stats.messages_lost++;
                to_io_free(m);
                return; // the next sweep tries again
            }
        }
        rpc_table_remove(&r->table, o);
    }
}

static void on_second(void *ctx) {
    struct rpc *r = ctx;
    int64_t now_ns = clock_mono_ns();
    send_stats(r);
    rpc_calls_repeat(r, now_ns);
    if (now_ns - r->called_told_ns >= RPC_CALLED_MS * NS_PER_MS)
        tell_called(r, now_ns);
    if (now_ns - r->swept_ns >= SWEEP_MS * NS_PER_MS)
        sweep(r, now_ns);
    if (now_ns - r->tls_checked_ns >= RPC_TLS_CHECK_MS * NS_PER_MS)
        reload_tls(r, now_ns);
}

static void observe(void *ctx, const char *method, int status, int64_t took_ns) {
    struct rpc *r = ctx;
    rpc_stats_observe(&r->stats, method, status, took_ns);
}

static void refused(void *ctx, const struct net_addr *peer, const struct err *why) {
    scaler_log_refused("grpc", peer, why);
}

static int open_server(struct rpc *r, const struct rpc_options *o, struct err *e) {
    int rc;
    if (o->tls.cert != NULL) {
        rc = net_tls_new(&r->tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &o->tls, e);
        if (rc < 0)
            return err_wrap(e, "grpc.tls");
    }
    rpc_service_init(r);
    if (o->replicas) {
        struct tell_options t = {.loop = &r->loop, .registered = rpc_take_followed, .ctx = r};
        rc = tell_new(&r->tell, &t, e);
        if (rc < 0)
            return rc;
        r->services[1] = tell_service(r->tell);
    }
    struct grpc_server_options options = {
        .listen = o->listen,
        .tls = r->tls,
        .max_connections = LIMIT_GRPC_CONNECTIONS,
        .services = r->services,
        .max_connection_age_ms = o->max_connection_age_ms,
        .observe = observe,
        .observe_ctx = r,
        .refused = refused,
    };
    rc = grpc_server_open(&r->server, &r->loop, &options, e);
    if (rc < 0)
        return err_wrap(e, "grpc.listen");
    net_addr_format(grpc_server_addr(r->server), r->address, sizeof(r->address));
    // Not before the io thread says so.
    grpc_server_set_serving(r->server, "", false);
    grpc_server_set_serving(r->server, r->service.name, false);
    rc = net_watch_start(&r->watch, &r->loop, queue_wake_fd(r->to_rpc), on_messages, r, e);
    if (rc == 0)
        rc = net_timer_start(&r->second, &r->loop, NS_PER_S, NS_PER_S, on_second, r, e);
    if (rc == 0)
        rc = net_timer_start(&r->parked, &r->loop, LIMIT_FIRST_DECISION_MS * NS_PER_MS, 0,
                             rpc_calls_expire, r, e);
    return rc;
}

// Until everything on the loop has ended.
static void run_loop(struct rpc *r) {
    uv_run(&r->loop, UV_RUN_DEFAULT);
    r->tell = tell_free(r->tell);
    rpc_table_done(&r->table);
    r->tls = net_tls_free(r->tls);
    net_loop_drain_close(&r->loop);
}

// A loop and what is on it belong to one thread, from the first call to the last.
static int open_loop(struct rpc *r, const struct rpc_options *options, struct err *e) {
    int rc = uv_loop_init(&r->loop);
    if (rc < 0)
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(rc));
    rc = open_server(r, options, e);
    if (rc == 0)
        return 0;
    if (r->server != NULL)
        grpc_server_close(r->server, 0, on_stopped, r);
    else
        on_stopped(r);
    run_loop(r);
    return rc;
}

static void say_stopped(struct rpc *r) {
    struct to_io *m = mem_zalloc(sizeof(*m));
    if (m == NULL)
        return; // the io thread ends by its deadline
    m->kind = TO_IO_STOPPED;
    if (!queue_push(r->to_io, m))
        to_io_free(m);
}

struct start {
    struct rpc *rpc;
    const struct rpc_options *options;
    struct err err;
    int rc;
    sem_t done;
};

static void *thread_main(void *ctx) {
    struct start *start = ctx;
    struct rpc *r = start->rpc;
    (void)pthread_setname_np(pthread_self(), "rpc");
    sigset_t all; // signals are for the io thread
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    int rc = open_loop(r, start->options, &start->err);
    start->rc = rc;
    sem_post(&start->done); // `start` is the other thread's again
    if (rc == 0) {
        run_loop(r);
        say_stopped(r);
    }
    return NULL;
}

int rpc_start(struct rpc **ret, const struct rpc_options *options, struct err *e) {
    struct rpc *r = mem_zalloc(sizeof(*r));
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->to_io = options->to_io;
    r->to_rpc = options->to_rpc;
    r->binder = options->binder;
    rpc_stats_init(&r->stats);
    r->swept_ns = r->tls_checked_ns = r->called_told_ns = clock_mono_ns();
    struct start start = {.rpc = r, .options = options};
    (void)sem_init(&start.done, 0, 0);
    int failed = pthread_create(&r->thread, NULL, thread_main, &start);
    if (failed != 0) {
        mem_free(r);
        return err_errno(e, failed, "cannot start the rpc thread");
    }
    while (sem_wait(&start.done) < 0) { // interrupted by a signal
    }
    (void)sem_destroy(&start.done);
    if (start.rc < 0) {
        pthread_join(r->thread, NULL);
        mem_free(r);
        if (e != NULL)
            *e = start.err;
        return start.rc;
    }
    *ret = r;
    return 0;
}

void rpc_address(const struct rpc *r, char *dst, size_t cap) {
    // Written before rpc_start() returned, never after.
    if (str_copy(dst, cap, str_from(r->address)) < 0)
        dst[0] = '\0';
}

struct rpc *rpc_join(struct rpc *r) {
    if (r != NULL) {
        pthread_join(r->thread, NULL);
        mem_free(r);
    }
    return NULL;
}
