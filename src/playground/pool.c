// SPDX-License-Identifier: Apache-2.0
/* Engine processes of the roster's pods; see pool.h. */
#include "playground/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "net/loop.h"
#include "playground/child.h"

#define CHECK_NS (200 * NS_PER_MS)
#define KILL_GRACE_NS (2 * NS_PER_S) // beyond the engine's own drain timeout
enum { UNREADY_ENDS_MAX = 3 };       // engines in a row that end before they are ready

struct replica { // of one pod; the roster's `user`
    struct pool *pool;
    struct child *child;
    struct gateway_replica *behind; // NULL: not behind the gateway
    char name[ROSTER_NAME_LEN];
    char addr[CHILD_ADDR_LEN];
    int64_t ended_ns; // when it was asked to end; 0: not
    bool ready;
};

struct pool {
    uv_loop_t *loop;
    struct pool_options options;
    struct roster roster;
    struct net_timer *check;
    int64_t busy_ns; // of replicas that have gone
    unsigned spawned, unready_ends;
    bool failed, ending;
    void (*done)(void *ctx);
    void *done_ctx;
};

static void reconcile(struct pool *p);

static void tell(struct pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct pool *p, const char *fmt, ...) {
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    p->options.told(p->options.ctx, text);
}

static void pool_free_if_over(struct pool *p) {
    if (!p->ending || p->roster.n)
        return;
    void (*done)(void *) = p->done;
    void *ctx = p->done_ctx;
    net_timer_stop(&p->check);
    mem_free(p);
    done(ctx);
}

static void engine_listening(void *ctx, const char *server, const char *addr) {
    struct replica *x = ctx;
    if (!str_eqc(STR("http"), server))
        return;
    (void)str_copy(x->addr, sizeof(x->addr), str_from(addr));
    x->pool->options.changed(x->pool->options.ctx);
}

static void engine_ready(void *ctx) {
    struct replica *x = ctx;
    struct pool *p = x->pool;
    struct roster_pod *pod = roster_find(&p->roster, x);
    struct err e = {0};
    if (x->ready || x->ended_ns || pod->state != ROSTER_STARTING)
        return;
    if (gateway_add(p->options.gateway, pod->name, x->addr, &x->behind, &e) < 0) {
        tell(p, "%s: %s", pod->name, e.msg);
        child_kill(x->child);
        return;
    }
    x->ready = true;
    p->unready_ends = 0;
    roster_ready(&p->roster, pod, clock_mono_ns());
    p->options.changed(p->options.ctx);
}

// Another is started in its place by reconcile().
static void tell_death(struct pool *p, const struct replica *x, int status, int signal) {
    if (signal)
        tell(p, "%s was killed by signal %d (%s) and is replaced", x->name, signal,
             strsignal(signal));
    else
        tell(p, "%s ended with status %d and is replaced", x->name, status);
    if (x->ready || p->failed || ++p->unready_ends < UNREADY_ENDS_MAX)
        return;
    struct err e = {0};
    p->failed = true;
    (void)err_set(&e, ERR_CLOSED, "engines end before they are ready: see %s/%s.log",
                  p->options.folder, x->name);
    p->options.failed(p->options.ctx, &e);
}

static void engine_exited(void *ctx, int status, int signal) {
    struct replica *x = ctx;
    struct pool *p = x->pool;
    int64_t now_ns = clock_mono_ns();
    struct roster_pod *pod = roster_find(&p->roster, x);
    if (x->behind) {
        p->busy_ns += gateway_replica_busy_ns(x->behind, now_ns);
        gateway_remove(x->behind);
    }
    if (pod->state != ROSTER_TERMINATING && !p->ending)
        tell_death(p, x, status, signal);
    if (p->failed || p->ending)
        p->roster.spec = 0;
    roster_gone(&p->roster, pod, now_ns);
    mem_free(x);
    reconcile(p);
    p->options.changed(p->options.ctx);
    pool_free_if_over(p);
}

static int spawn(struct pool *p, struct roster_pod *pod, struct err *e) {
    static const struct child_callbacks callbacks = {
        .listening = engine_listening, .ready = engine_ready, .exited = engine_exited};
    const struct pool_options *o = &p->options;
    char load_time[32], drain[32], queue[16], seed[24], gpu[16], log[512];
    bool warm = p->spawned < (unsigned)o->warm;
    units_format_duration(warm ? 0 : o->load_time_ns, load_time, sizeof(load_time));
    units_format_duration(o->drain_ns, drain, sizeof(drain));
    (void)snprintf(queue, sizeof(queue), "%d", o->max_queue);
    (void)snprintf(seed, sizeof(seed), "%" PRIu64, o->seed + p->spawned);
    (void)snprintf(gpu, sizeof(gpu), "%d", pod->gpu);
    (void)snprintf(log, sizeof(log), "%s/%s.log", o->folder, pod->name);
    const char *argv[CHILD_ARGS_MAX + 1] = {
        o->program,      "engine",      "--listen",        "127.0.0.1:0", "--profile",   o->profile,
        "--model",       o->prefix,     "--load-time",     load_time,     "--seed",      seed,
        "--gpu",         gpu,           "--drain-timeout", drain,         "--max-queue", queue,
        "--load-socket", o->load_socket};
    size_t n = 0;
    while (argv[n])
        n++;
    for (size_t i = 0; o->settings && o->settings[i] && n + 2 <= CHILD_ARGS_MAX; i++) {
        argv[n++] = "--set";
        argv[n++] = o->settings[i];
    }
    struct replica *x = mem_zalloc(sizeof(*x));
    if (!x)
        return err_set(e, ERR_NOMEM, "no memory for a replica");
    x->pool = p;
    (void)str_copy(x->name, sizeof(x->name), str_from(pod->name));
    struct child_callbacks mine = callbacks;
    mine.ctx = x;
    int r = child_spawn(&x->child, p->loop, argv, log, &mine, e);
    if (r < 0) {
        mem_free(x);
        return r;
    }
    p->spawned++;
    pod->user = x;
    return 0;
}

static void end_replica(struct pool *p, struct replica *x) {
    if (x->behind)
        gateway_drain(x->behind);
    x->ended_ns = clock_mono_ns();
    child_terminate(x->child);
}

// No engine is started any more: pods that have none go, as nothing would ever end them.
static void give_up(struct pool *p, const struct err *why) {
    struct roster_pod *pod;
    p->failed = true;
    p->roster.spec = 0;
    while ((pod = roster_find(&p->roster, NULL)))
        roster_gone(&p->roster, pod, clock_mono_ns());
    p->options.failed(p->options.ctx, why);
}

// Makes the processes what the roster says.
static void reconcile(struct pool *p) {
    struct err e = {0};
    for (size_t i = 0; i < p->roster.n && !p->failed; i++) {
        struct roster_pod *pod = &p->roster.pods[i];
        struct replica *x = pod->user;
        if (pod->state == ROSTER_STARTING && !x && spawn(p, pod, &e) < 0) {
            give_up(p, &e);
            return;
        }
        if (pod->state == ROSTER_TERMINATING && !x->ended_ns)
            end_replica(p, x);
    }
}

static void check_due(void *ctx) {
    struct pool *p = ctx;
    int64_t now_ns = clock_mono_ns();
    for (size_t i = 0; i < p->roster.n; i++) {
        struct replica *x = p->roster.pods[i].user;
        if (x && x->ended_ns && now_ns - x->ended_ns > p->options.drain_ns + KILL_GRACE_NS)
            child_kill(x->child);
    }
    pool_free_if_over(p);
}

int pool_new(struct pool **ret, uv_loop_t *loop, const struct pool_options *options,
             struct err *e) {
    struct pool *p = mem_zalloc(sizeof(*p));
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for the replicas");
    p->loop = loop;
    p->options = *options;
    roster_init(&p->roster, options->prefix, options->gpus);
    int r = net_timer_start(&p->check, loop, CHECK_NS, CHECK_NS, check_due, p, e);
    if (r < 0) {
        mem_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void pool_scale(struct pool *p, int replicas) {
    if (p->ending || p->failed)
        return;
    int pending = roster_count(&p->roster, ROSTER_PENDING);
    roster_scale(&p->roster, replicas, clock_mono_ns());
    reconcile(p);
    int waiting = roster_count(&p->roster, ROSTER_PENDING);
    if (waiting > pending)
        tell(p, "no free GPU for %d of %d replicas: all %d are held", waiting, replicas,
             p->options.gpus);
    p->options.changed(p->options.ctx);
}

const struct roster *pool_roster(const struct pool *p) {
    return &p->roster;
}

struct pool_pod pool_at(const struct pool *p, size_t i) {
    const struct roster_pod *pod = &p->roster.pods[i];
    const struct replica *x = pod->user;
    return (struct pool_pod){.pod = pod,
                             .pid = x ? child_pid(x->child) : 0,
                             .addr = x ? x->addr : "",
                             .requests = x && x->behind ? gateway_replica_requests(x->behind) : 0};
}

void pool_gpu_time(const struct pool *p, int64_t now_ns, int64_t *ret_held_ns,
                   int64_t *ret_busy_ns) {
    int64_t busy_ns = p->busy_ns;
    for (size_t i = 0; i < p->roster.n; i++) {
        const struct replica *x = p->roster.pods[i].user;
        if (x && x->behind)
            busy_ns += gateway_replica_busy_ns(x->behind, now_ns);
    }
    *ret_held_ns = roster_held_ns(&p->roster, now_ns);
    *ret_busy_ns = busy_ns;
}

void pool_kill(struct pool *p) {
    for (size_t i = 0; i < p->roster.n; i++) {
        struct replica *x = p->roster.pods[i].user;
        if (x)
            child_kill(x->child);
    }
}

void pool_end(struct pool *p, void (*done)(void *ctx), void *ctx) {
    p->ending = true;
    p->done = done;
    p->done_ctx = ctx;
    roster_scale(&p->roster, 0, clock_mono_ns());
    for (size_t i = 0; i < p->roster.n; i++) {
        struct replica *x = p->roster.pods[i].user;
        if (x && !x->ended_ns)
            end_replica(p, x);
    }
    if (!p->roster.n)
        net_timer_again(p->check, 0);
}
