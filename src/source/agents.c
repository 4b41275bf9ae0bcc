// SPDX-License-Identifier: Apache-2.0
/*
 * Agents: the configured targets, the addresses that their names give now, and the life of the
 * whole. Streams are agent_stream.c's, GPUs agent_gpus.c's.
 */
#include "source/agents.h"

#include "base/clock.h"
#include "source/agent_names.h"
#include "source/agent_stream.h"

struct agent_target {
    UT_hash_handle hh;
    struct agents *agents;
    char *text;
    struct target_name name;
    bool wanted, fresh;
    struct VEC(struct agent_stream *) streams;
};

const char *agents_node_state_name(enum agents_node_state s) {
    static const char *const names[] = {
        [AGENTS_CONNECTING] = "connecting",
        [AGENTS_CONNECTED] = "connected",
        [AGENTS_LOST_STREAM] = "lost",
        [AGENTS_DUPLICATE] = "duplicate",
        [AGENTS_GONE] = "gone",
    };
    return (unsigned)s < COUNT_OF(names) ? names[s] : "unknown";
}

static void stream_unref(struct agent_stream *s, bool forget) {
    if (--s->refs > 0)
        return;
    agent_stream_retire(s);
    if (forget)
        agent_stream_free(s);
}

// One address that the target gives. One over the limit, or without memory for it, is left out and
// taken up by a later lookup.
static void target_add(struct agent_target *t, const struct net_addr *addr) {
    struct agents *a = t->agents;
    struct agent_stream *s = agent_stream_get(a, addr, t->text, t->name.host);
    if (!s || s->mark == a->mark)
        return; // the latter: given twice by one answer
    if (vec_push(&t->streams, s) < 0) {
        if (s->refs == 0)
            agent_stream_free(s);
        return;
    }
    s->mark = a->mark;
    s->refs++;
}

static void target_take(struct target_name *name, const struct net_addr *addresses, size_t n) {
    struct agent_target *t = container_of(name, struct agent_target, name);
    typeof(t->streams) before = t->streams;
    vec_init(&t->streams, LIMIT_NODES);
    t->agents->mark++;
    for (size_t i = 0; i < n; i++)
        target_add(t, &addresses[i]);
    for (size_t i = 0; i < before.n; i++)
        stream_unref(before.items[i], false);
    vec_done(&before);
}

static void target_told(struct target_name *name, const struct err *why) {
    struct agent_target *t = container_of(name, struct agent_target, name);
    if (t->agents->o.ops->resolve)
        t->agents->o.ops->resolve(t->agents->o.ctx, t->text, why);
}

void agents_look_again(struct agents *a, const char *target) {
    struct agent_target *t;
    HASH_FIND_STR(a->targets, target, t);
    if (t)
        target_name_look_again(&t->name);
}

static void sweep(void *ctx) {
    struct agents *a = ctx;
    int64_t now = clock_mono_ns();
    struct agent_target *t, *tt;
    struct agent_stream *s, *ts;
    HASH_ITER(hh, a->targets, t, tt)
    target_name_sweep(&t->name, now);
    HASH_ITER(hh, a->streams, s, ts)
    agent_stream_sweep(s, now);
}

static void check_tls(void *ctx) {
    struct agents *a = ctx;
    struct err e = {0};
    int r = net_tls_reload_if_changed(a->tls, &e);
    if (r == 0)
        return;
    int64_t now = clock_mono_ns();
    for (struct agent_stream *s = a->streams; r > 0 && s; s = s->hh.next)
        s->renew_at_ns = now + (int64_t)((double)a->o.tls_renew_ns * random_unit(&a->names.random));
    if (a->o.ops->tls_event)
        a->o.ops->tls_event(a->o.ctx, r < 0 ? &e : NULL);
}

static int64_t or_else(int64_t given, int64_t otherwise) {
    return given ? given : otherwise;
}

static int options_copy(struct agents *a, const struct agents_options *options) {
    a->o = *options;
    a->o.client = options->client ? mem_strdup(options->client) : NULL;
    a->o.server_name = options->server_name ? mem_strdup(options->server_name) : NULL;
    a->o.tls = NULL;
    a->o.resolve_interval_ns = or_else(options->resolve_interval_ns, 30 * NS_PER_S);
    a->o.forget_ns = or_else(options->forget_ns, 600 * NS_PER_S);
    a->o.backoff_min_ns = or_else(options->backoff_min_ns, 250 * NS_PER_MS);
    a->o.backoff_max_ns = or_else(options->backoff_max_ns, 15 * NS_PER_S);
    a->o.tls_check_ns = or_else(options->tls_check_ns, 10 * NS_PER_S);
    a->o.tls_renew_ns = or_else(options->tls_renew_ns, 600 * NS_PER_S);
    if (!a->o.resolver)
        a->o.resolver = &agent_names_resolver;
    bool copied = (a->o.client || !options->client) && (a->o.server_name || !options->server_name);
    return copied ? 0 : ERR_NOMEM;
}

int agents_new(struct agents **ret, const struct agents_options *options, struct err *e) {
    struct agents *a = mem_zalloc(sizeof(*a));
    if (!a)
        return err_set(e, ERR_NOMEM, "out of memory");
    TAILQ_INIT(&a->queue);
    random_init(&a->names.random, options->seed);
    agent_gpus_init(&a->gpus, options->ops, options->ctx);
    a->gpus.orphaned = agent_stream_orphaned;
    a->gpus.orphaned_ctx = a;
    int r = 0;
    if (options_copy(a, options) < 0)
        r = err_set(e, ERR_NOMEM, "out of memory");
    a->names.loop = a->o.loop;
    a->names.resolver = a->o.resolver;
    a->names.interval_ns = a->o.resolve_interval_ns;
    a->names.found = target_take;
    a->names.told = target_told;
    if (r == 0 && options->tls)
        r = net_tls_new(&a->tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, options->tls, e);
    if (r == 0 && a->tls)
        r = net_timer_start(&a->tls_timer, a->o.loop, a->o.tls_check_ns, a->o.tls_check_ns,
                            check_tls, a, e);
    if (r == 0)
        r = net_timer_start(&a->sweep_timer, a->o.loop, NS_PER_S, NS_PER_S, sweep, a, e);
    if (r < 0) {
        agents_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

static void target_free(struct agent_target *t) {
    if (!t)
        return;
    target_name_stop(&t->name);
    for (size_t i = 0; i < t->streams.n; i++)
        stream_unref(t->streams.items[i], true);
    vec_done(&t->streams);
    mem_free(t->text);
    mem_free(t);
}

struct agents *agents_free(struct agents *a) {
    static const struct agents_ops silent;
    if (!a)
        return NULL;
    a->o.ops = a->gpus.ops = &silent;
    a->gpus.orphaned = NULL;
    struct agent_target *t, *tt;
    struct agent_stream *s, *ts;
    HASH_ITER(hh, a->targets, t, tt) {
        HASH_DEL(a->targets, t);
        target_free(t);
    }
    HASH_ITER(hh, a->streams, s, ts)
    agent_stream_free(s);
    agent_gpus_done(&a->gpus);
    net_timer_stop(&a->tls_timer);
    net_timer_stop(&a->sweep_timer);
    net_tls_free(a->tls);
    mem_free((void *)(uintptr_t)a->o.client);
    mem_free((void *)(uintptr_t)a->o.server_name);
    mem_free(a);
    return NULL;
}

int agents_target_check(const char *text, struct err *e) {
    struct target_name t = {0};
    return target_name_parse(&t, text, e);
}

static int target_new(struct agent_target **ret, struct agents *a, const char *text,
                      struct err *e) {
    struct agent_target *t = mem_zalloc(sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->agents = a;
    vec_init(&t->streams, LIMIT_NODES);
    t->text = mem_strdup(text);
    int r = t->text ? target_name_parse(&t->name, text, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (r < 0) {
        target_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

// Makes the targets that are not there yet and marks all that are asked for.
static int targets_add(struct agents *a, const char *const *targets, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        struct agent_target *t;
        HASH_FIND_STR(a->targets, targets[i], t);
        if (!t) {
            int r = target_new(&t, a, targets[i], e);
            if (r < 0)
                return r;
            map_oom();
            HASH_ADD_KEYPTR(hh, a->targets, t->text, strlen(t->text), t);
            if (map_oom()) {
                target_free(t);
                return err_set(e, ERR_NOMEM, "out of memory");
            }
            t->fresh = true;
        }
        t->wanted = true;
    }
    return 0;
}

int agents_set_targets(struct agents *a, const char *const *targets, size_t n, struct err *e) {
    if (n > LIMIT_AGENT_TARGETS)
        return err_set(e, ERR_LIMIT, "%zu agent targets, at most %d", n, LIMIT_AGENT_TARGETS);
    int r = targets_add(a, targets, n, e);
    struct agent_target *t, *tmp;
    HASH_ITER(hh, a->targets, t, tmp) {
        bool wanted = t->wanted, fresh = t->fresh;
        t->wanted = t->fresh = false;
        if (r < 0 ? fresh : !wanted) {
            HASH_DEL(a->targets, t);
            target_free(t);
        } else if (fresh) {
            target_name_start(&t->name, &a->names);
        }
    }
    return r;
}

struct agents_stats agents_stats(const struct agents *a) {
    struct agents_stats stats = a->stats;
    stats.targets = HASH_COUNT(a->targets);
    stats.resolves = a->names.lookups;
    stats.resolve_failures = a->names.failures;
    stats.addresses = a->n_streams;
    stats.gpus = a->gpus.n;
    stats.bad_values = a->gpus.bad_values;
    stats.duplicates = a->gpus.duplicates;
    return stats;
}

void agents_each_node(const struct agents *a, void (*fn)(void *, const struct agents_node *),
                      void *ctx) {
    for (const struct agent_stream *s = a->streams; s; s = s->hh.next) {
        struct agents_node view;
        agent_stream_view(s, &view);
        fn(ctx, &view);
    }
}

void agents_each_gpu(const struct agents *a, void (*fn)(void *, const struct agents_gpu *),
                     void *ctx) {
    for (const struct agent_gpu *g = a->gpus.by_uuid; g; g = g->hh.next) {
        struct agents_gpu view;
        agent_gpu_view(g, &view);
        fn(ctx, &view);
    }
}
