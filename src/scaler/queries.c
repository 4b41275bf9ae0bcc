// SPDX-License-Identifier: Apache-2.0
/*
 * Queries on Prometheus servers: objects that ask the same server the same for the same namespace
 * share one. An answer marks their feeds, so that they are decided at once; a failure lets the
 * value before it age, and is told once until a number comes again.
 */
#include "base/log.h"
#include "scaler/queries_internal.h"

static struct query *query_free(struct query *q) {
    if (q != NULL) {
        mem_free(q->key);
        mem_free(q->namespace_);
        mem_free(q->text);
        mem_free(q->why);
        mem_free(q);
    }
    return NULL;
}

static const char *server_name(const struct io *io, const struct query *q) {
    return io->config->prometheus.items[q->server].name;
}

static void say_change(const struct io *io, struct query *q, const char *why) {
    bool good = q->last.state == EXTERNAL_GOOD;
    if (good && q->failing)
        log_info("query gives a number again", LOG_STR("server", server_name(io, q)),
                 LOG_STR("namespace", q->namespace_), LOG_STR("query", q->text));
    else if (!good && !q->failing)
        log_warn("query gives no number: its value ages", LOG_STR("server", server_name(io, q)),
                 LOG_STR("namespace", q->namespace_), LOG_STR("query", q->text),
                 LOG_STR("reason", external_state_name(q->last.state)), LOG_STR("error", why));
    q->failing = !good;
}

static void on_told(void *ctx, const char *key, const struct signal_external *x, const char *why) {
    struct io *io = ctx;
    struct query *q;
    HASH_FIND(hh, io->queries->by_key, key, strlen(key), q);
    if (q == NULL)
        return; // nobody asks any more
    io->queries->answers[q->server][x->state]++;
    bool good = x->state == EXTERNAL_GOOD;
    bool news = good || q->last.state != x->state;
    if (good)
        q->last = *x;
    q->last.state = x->state;
    mem_free(q->why);
    q->why = good ? NULL : mem_strdup(why); // no memory: shown without its reason
    say_change(io, q, why);
    for (struct query_use *use = q->uses; news && use != NULL; use = use->next)
        if (use->object->feed != NULL)
            io_feed_mark(io, use->object->feed);
}

static void on_tls_event(void *ctx, const char *server, const struct err *why) {
    struct io *io = ctx;
    if (why == NULL) {
        log_info("certificates re-read", LOG_STR("of", server));
        return;
    }
    io->count.tls_reload_failures++;
    log_error("certificates not re-read, the old ones stay", LOG_STR("of", server), LOG_ERR(why));
}

// "Name: value" of each header, NULL at the end.
static const char *const *make_headers(struct queries *q, const struct config_prometheus *c) {
    const char **lines = arena_array(&q->strings, c->headers.n + 2, sizeof(*lines));
    size_t n = 0;
    if (lines == NULL)
        return NULL;
    if (c->org_id != NULL) {
        lines[n++] = arena_printf(&q->strings, "X-Scope-OrgID: %s", c->org_id);
        if (lines[0] == NULL)
            return NULL;
    }
    for (size_t i = 0; i < c->headers.n; i++, n++) {
        lines[n] = arena_printf(&q->strings, "%s: %s", c->headers.items[i].name,
                                c->headers.items[i].value);
        if (lines[n] == NULL)
            return NULL;
    }
    return lines;
}

static int make_server(struct queries *q, const struct config_prometheus *c,
                       struct net_tls_files *tls, struct prometheus_server *ret, struct err *e) {
    *tls = config_tls_files(&c->tls);
    bool files = tls->cert != NULL || tls->ca != NULL;
    *ret = (struct prometheus_server){
        .name = c->name,
        .url = c->url,
        .tls = files || c->tls.server_name != NULL ? tls : NULL,
        .tls_server_name = c->tls.server_name,
        .auth = {c->bearer_token_file, c->basic_auth.username, c->basic_auth.password_file},
        .headers = make_headers(q, c),
        .interval_ns = c->interval_ns,
        .timeout_ns = c->timeout_ns,
        .lookback_ns = c->lookback_ns,
    };
    return ret->headers != NULL ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int io_queries_start(struct io *io, struct err *e) {
    const struct scaler_config *c = io->config;
    struct prometheus_server servers[LIMIT_PROMETHEUS_SERVERS];
    struct net_tls_files tls[LIMIT_PROMETHEUS_SERVERS];
    struct queries *q = io->queries = mem_zalloc(sizeof(*q));
    if (q == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    arena_init(&q->strings, LIMIT_CONFIG_ARENA_BYTES);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->prometheus.n; i++)
        rc = make_server(q, &c->prometheus.items[i], &tls[i], &servers[i], e);
    struct prometheus_options o = {
        .loop = &io->loop,
        .servers = servers,
        .n_servers = c->prometheus.n,
        .seed = io->seed + 3,
        .told = on_told,
        .tls_event = on_tls_event,
        .ctx = io,
    };
    if (rc == 0)
        rc = prometheus_new(&q->source, &o, e);
    return rc < 0 ? err_wrap(e, "prometheus") : 0;
}

void io_queries_stop(struct io *io) {
    struct queries *q = io->queries;
    if (q == NULL)
        return;
    q->source = prometheus_free(q->source);
    arena_done(&q->strings);
    // Objects still hold their queries: the last to leave ends this.
    if (q->by_key == NULL) {
        mem_free(q);
        io->queries = NULL;
    }
}

static size_t server_index(const struct io *io, const char *name) {
    size_t i = 0;
    while (i < io->config->prometheus.n && strcmp(io->config->prometheus.items[i].name, name) != 0)
        i++;
    return i;
}

static struct query *query_get(struct io *io, const struct trigger_query *t, struct str ns) {
    CLEANUP_BUF struct buf key;
    const char *text = t->enforced != NULL ? t->enforced : t->query;
    struct query *q;
    buf_init(&key, LIMIT_PROMQL_BYTES + LIMIT_METADATA_VALUE_BYTES);
    if (buf_addf(&key, "%s " STR_FMT " %s", t->server, STR_ARG(ns), text) < 0 ||
        buf_add_byte(&key, '\0') < 0)
        return NULL;
    HASH_FIND(hh, io->queries->by_key, key.p, key.len - 1, q);
    if (q != NULL)
        return q;
    q = mem_zalloc(sizeof(*q));
    if (q == NULL)
        return NULL;
    q->server = server_index(io, t->server);
    q->last.at_ns = SIGNAL_TIME_UNKNOWN;
    q->key = mem_strdup(key.p);
    q->namespace_ = mem_strndup(ns.p, ns.n);
    q->text = mem_strdup(text);
    if (q->key == NULL || q->namespace_ == NULL || q->text == NULL)
        return query_free(q);
    HASH_ADD_KEYPTR(hh, io->queries->by_key, q->key, strlen(q->key), q);
    if (map_oom())
        return query_free(q);
    io->queries->stale = true;
    return q;
}

void io_queries_attach(struct io *io, struct object *o) {
    for (uint32_t i = 0; i < o->trigger->query_n; i++) {
        struct query *q = query_get(io, &o->trigger->queries[i], o->key->ref.namespace_);
        if (q == NULL) {
            log_error("query not asked: out of memory", LOG_VIEW("name", o->key->ref.name));
            continue;
        }
        o->queries[i] = (struct query_use){.query = q, .object = o, .next = q->uses};
        q->uses = &o->queries[i];
    }
}

void io_queries_detach(struct io *io, struct object *o) {
    for (size_t i = 0; i < LIMIT_TRIGGER_QUERIES; i++) {
        struct query *q = o->queries[i].query;
        if (q == NULL)
            continue;
        struct query_use **at = &q->uses;
        while (*at != &o->queries[i])
            at = &(*at)->next;
        *at = o->queries[i].next;
        o->queries[i].query = NULL;
        if (q->uses != NULL)
            continue;
        HASH_DEL(io->queries->by_key, q);
        query_free(q);
        io->queries->stale = true;
        if (io->queries->source == NULL)
            io_queries_stop(io);
    }
}

void io_update_queries(struct io *io) {
    struct queries *q = io->queries;
    if (!q->stale)
        return;
    size_t n = 0;
    struct err e = {0};
    struct prometheus_query *all = mem_array(HASH_COUNT(q->by_key) + 1, sizeof(*all));
    for (const struct query *x = q->by_key; all != NULL && x != NULL; x = x->hh.next)
        all[n++] = (struct prometheus_query){.key = x->key, .server = x->server, .text = x->text};
    int rc = all == NULL ? err_set(&e, ERR_NOMEM, "out of memory")
                         : prometheus_set_queries(q->source, all, n, &e);
    mem_free(all);
    q->stale = rc < 0; // tried again by the next tick
    if (rc < 0)
        log_error("cannot tell which queries to ask", LOG_ERR(&e));
}

void io_queries_of(const struct object *o, struct signal_external ret[LIMIT_TRIGGER_QUERIES]) {
    for (size_t i = 0; i < LIMIT_TRIGGER_QUERIES; i++) {
        const struct query *q = o->queries[i].query;
        ret[i] = q != NULL ? q->last : (struct signal_external){.at_ns = SIGNAL_TIME_UNKNOWN};
    }
}
