// SPDX-License-Identifier: Apache-2.0
/* Metadata -> trigger, with the scaler's own presets and demand sources. */
#include "scaler/bind.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "core/metrics/promql_enforce.h"
#include "scaler/config.h"

static uint32_t linear_signals(const struct engine_preset *p) {
    uint32_t bits = 0;
    if (p->linear & ENGINE_LINEAR_GPU_UTILIZATION)
        bits |= 1u << SIGNAL_GPU_UTILIZATION;
    if (p->linear & ENGINE_LINEAR_SM_ACTIVITY)
        bits |= 1u << SIGNAL_SM_ACTIVITY;
    return bits;
}

void binder_init(struct binder *b, const char *const *demand_names,
                 const uint32_t *demand_provides) {
    assert(engine_presets_n <= BINDER_PRESETS_MAX);
    b->demand = demand_names;
    b->demand_provides = demand_provides;
    b->servers = NULL;
    b->n_servers = 0;
    b->names = NULL;
    b->provides = NULL;
    b->n_presets = engine_presets_n;
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        b->presets[i] = (struct trigger_preset){
            .name = p->name,
            .continuous_batching = p->continuous_batching,
            .linear = linear_signals(p),
            .provides = engine_preset_provides(p),
        };
    }
}

static int name_demand(struct binder *b, const struct scaler_config *c, struct err *e) {
    for (size_t i = 0; i < c->demand.n; i++) {
        const struct config_demand *d = &c->demand.items[i];
        struct demand_rule *rule;
        int rc = demand_rule_new(&rule, &d->rule, e);
        if (rc < 0)
            return err_wrap(e, "demand.%s", d->name);
        b->names[i] = d->name;
        b->provides[i] = rule->provides;
        demand_rule_free(rule);
    }
    return 0;
}

int binder_of_config(struct binder *b, const struct scaler_config *c, struct err *e) {
    const char **names = mem_array(c->demand.n + 1, sizeof(*names));
    uint32_t *provides = mem_array(c->demand.n + 1, sizeof(*provides));
    binder_init(b, names, provides);
    b->names = names;
    b->provides = provides;
    binder_set_servers(b, c->prometheus.items, c->prometheus.n);
    if (names == NULL || provides == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return name_demand(b, c, e);
}

void binder_done(struct binder *b) {
    mem_free(b->names);
    mem_free(b->provides);
    b->names = NULL;
    b->provides = NULL;
}

static uint32_t engine_provides(const struct binder *b, const struct trigger *t) {
    for (size_t i = 0; i < b->n_presets; i++)
        if (strcmp(b->presets[i].name, t->engine) == 0)
            return b->presets[i].provides;
    return 0;
}

// A trigger names a demand source, never a URL: it must be one of the scaler's.
static int check_demand(const struct binder *b, struct trigger *t, struct err *e) {
    if (t->demand == NULL)
        return 0;
    CLEANUP_BUF struct buf names;
    buf_init(&names, 300);
    for (size_t i = 0; b->demand[i] != NULL; i++) {
        if (strcmp(b->demand[i], t->demand) == 0)
            return trigger_fit_demand(t, b->demand_provides[i], engine_provides(b, t), e);
        (void)buf_addf(&names, "%s%s", i > 0 ? ", " : "", b->demand[i]);
    }
    if (names.len == 0)
        return err_set(e, ERR_INVALID,
                       "demand \"%s\": the scaler's configuration has no demand sources (demand:)",
                       t->demand);
    return err_set(e, ERR_INVALID,
                   "demand \"%s\": the scaler's configuration has no demand source of this name; "
                   "there are: " STR_FMT,
                   t->demand, STR_ARG(buf_str(&names)));
}

void binder_set_servers(struct binder *b, const struct config_prometheus *servers, size_t n) {
    b->servers = servers;
    b->n_servers = n;
}

// What there is for the namespace: servers that it may not use are not told.
static int no_server(const struct binder *b, const struct trigger_query *q, struct str namespace_,
                     struct err *e) {
    const char *names[LIMIT_PROMETHEUS_SERVERS + 1] = {0};
    size_t n = 0;
    CLEANUP_BUF struct buf list;
    buf_init(&list, 300);
    for (size_t i = 0; i < b->n_servers && n < LIMIT_PROMETHEUS_SERVERS; i++)
        if (config_prometheus_allows(&b->servers[i], namespace_)) {
            (void)buf_addf(&list, "%s%s", n > 0 ? ", " : "", b->servers[i].name);
            names[n++] = b->servers[i].name;
        }
    if (n == 0)
        return err_set(e, ERR_INVALID,
                       "%s: \"%s\": the scaler's configuration has no Prometheus server "
                       "(prometheus:) that namespace " STR_FMT " may use",
                       q->name, q->server, STR_ARG(namespace_));
    const char *near = str_nearest(str_from(q->server), names);
    return err_set(e, ERR_INVALID,
                   "%s: \"%s\" is no Prometheus server that namespace " STR_FMT
                   " may use%s%s%s; there are: " STR_FMT,
                   q->name, q->server, STR_ARG(namespace_), near ? ", did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "", STR_ARG(buf_str(&list)));
}

static int enforce(const struct config_prometheus *server, struct trigger_query *q,
                   struct str namespace_, struct err *e) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, LIMIT_PROMQL_BYTES);
    int r = promql_enforce(&text, str_from(q->query), str_from(server->enforced_label), namespace_,
                           e);
    if (r < 0)
        return err_wrap(e, "query.%s", q->name + strlen("prometheus."));
    q->enforced = mem_strndup(text.p, text.len);
    return q->enforced ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

// A trigger names a server, never a URL, and reads what its namespace may.
static int check_queries(const struct binder *b, struct trigger *t, struct str namespace_,
                         struct err *e) {
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < t->query_n; i++) {
        struct trigger_query *q = &t->queries[i];
        const struct config_prometheus *server = NULL;
        for (size_t s = 0; s < b->n_servers; s++)
            if (strcmp(b->servers[s].name, q->server) == 0)
                server = &b->servers[s];
        if (!server || !config_prometheus_allows(server, namespace_))
            return no_server(b, q, namespace_, e);
        if (server->enforced_label[0] != '\0')
            r = enforce(server, q, namespace_, e);
    }
    return r;
}

int binder_bind(const struct binder *b, const struct object_ref *r, struct trigger **ret,
                struct err *e) {
    struct trigger_kv kv[LIMIT_METADATA_KEYS];
    for (size_t i = 0; i < r->n_pairs; i++)
        kv[i] = (struct trigger_kv){r->pairs[i].key, r->pairs[i].value};
    struct trigger *t = NULL;
    int rc = trigger_bind(&t, kv, r->n_pairs, b->presets, b->n_presets, e);
    if (rc == 0)
        rc = check_demand(b, t, e);
    if (rc == 0)
        rc = check_queries(b, t, r->namespace_, e);
    if (rc < 0) {
        trigger_free(t);
        (void)err_wrap(e, "%s " STR_FMT "/" STR_FMT, object_ref_kind(r), STR_ARG(r->namespace_),
                       STR_ARG(r->name));
        return rc;
    }
    *ret = t;
    return 0;
}
