// SPDX-License-Identifier: Apache-2.0
/* Queries in the status API and on /metrics. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/metrics/prom_write.h"
#include "scaler/api_page.h"
#include "scaler/queries_internal.h"

struct shown {
    const struct io *io;
    struct api_page *page;
};

static void show(void *ctx, const struct scrape_status *s) {
    const struct shown *x = ctx;
    const struct query *q;
    HASH_FIND(hh, x->io->queries->by_key, s->key, strlen(s->key), q);
    if (q == NULL || !view_has(x->page->view, str_from(q->namespace_)) || !api_page_item(x->page))
        return;
    struct buf *b = &x->page->out;
    bool good = q->last.state == EXTERNAL_GOOD, told = q->last.at_ns != SIGNAL_TIME_UNKNOWN;
    (void)buf_addc(b, "{\"kind\":\"prometheus\"");
    api_text(b, "key", x->io->config->prometheus.items[q->server].name);
    api_text(b, "namespace", q->namespace_);
    api_text(b, "query", q->text);
    api_text(b, "url", s->url);
    api_text(b, "state", good ? "good" : q->last.state == EXTERNAL_WAITING ? "waiting" : "failing");
    if (told) {
        api_number(b, "value", q->last.value);
        api_number(b, "ageSeconds", (double)(clock_mono_ns() - q->last.at_ns) / NS_PER_S);
    }
    api_number(b, "tookSeconds", (double)s->took_ns / NS_PER_S);
    api_number(b, "intervalSeconds", (double)s->current_ns / NS_PER_S);
    api_int(b, "failed", s->failed);
    if (!good && q->last.state != EXTERNAL_WAITING) {
        api_text(b, "reason", external_state_name(q->last.state));
        api_text(b, "error", q->why != NULL ? q->why : "");
    }
    (void)buf_add_byte(b, '}');
}

void io_queries_show(const struct io *io, struct api_page *p) {
    struct shown x = {io, p};
    for (size_t i = 0; i < io->config->prometheus.n; i++)
        prometheus_each(io->queries->source, i, show, &x);
}

static void server_families(const struct io *io, struct prom_writer *w) {
    const struct queries *q = io->queries;
    prom_family(w, "gpuscale_prometheus_queries_total", PROM_COUNTER,
                "Queries answered, by server and what became of them.");
    for (size_t i = 0; i < io->config->prometheus.n; i++)
        for (int s = EXTERNAL_GOOD; s < EXTERNAL_STATE_MAX; s++) {
            struct prom_label labels[] = {
                {STR("server"), str_from(io->config->prometheus.items[i].name)},
                {STR("result"), str_from(external_state_name((enum external_state)s))}};
            if (s == EXTERNAL_GOOD || q->answers[i][s] > 0)
                prom_sample_u64(w, labels, 2, q->answers[i][s]);
        }
    size_t asked[LIMIT_PROMETHEUS_SERVERS] = {0}, failing[LIMIT_PROMETHEUS_SERVERS] = {0};
    for (const struct query *x = q->by_key; x != NULL; x = x->hh.next) {
        asked[x->server]++;
        failing[x->server] += x->failing;
    }
    prom_family(w, "gpuscale_prometheus_queries", PROM_GAUGE, "Queries asked, by server.");
    for (size_t i = 0; i < io->config->prometheus.n; i++) {
        struct prom_label l = {STR("server"), str_from(io->config->prometheus.items[i].name)};
        prom_sample(w, &l, 1, (double)asked[i]);
    }
    prom_family(w, "gpuscale_prometheus_queries_failing", PROM_GAUGE,
                "Queries whose newest answer is no number.");
    for (size_t i = 0; i < io->config->prometheus.n; i++) {
        struct prom_label l = {STR("server"), str_from(io->config->prometheus.items[i].name)};
        prom_sample(w, &l, 1, (double)failing[i]);
    }
}

static double value_of(const struct object *o, uint32_t i, int64_t now_ns) {
    const struct query *q = o->queries[i].query;
    bool fresh = q != NULL && q->last.at_ns != SIGNAL_TIME_UNKNOWN &&
                 q->last.at_ns >= now_ns - o->trigger->max_age_ns;
    return fresh ? q->last.value : NAN;
}

struct use {
    const struct object *object;
    uint32_t i;
};

static const char *name_of(const struct use *u) {
    return u->object->trigger->queries[u->i].name;
}

// By namespace, name and signal: several triggers of one ScaledObject may use the same name.
static int by_identity(const void *a, const void *b) {
    const struct use *x = a, *y = b;
    const struct object_ref *r = &x->object->key->ref, *q = &y->object->key->ref;
    int c = strcmp(r->namespace_.p, q->namespace_.p);
    if (c == 0)
        c = strcmp(r->name.p, q->name.p);
    return c != 0 ? c : strcmp(name_of(x), name_of(y));
}

static void write_values(struct prom_writer *w, const struct use *all, size_t n) {
    int64_t now_ns = clock_mono_ns();
    prom_family(w, "gpuscale_prometheus_value", PROM_GAUGE,
                "What a trigger's query gives; absent while it is unknown.");
    for (size_t i = 0, end; i < n; i = end) {
        double most = NAN; // as of the decision
        for (end = i; end < n && by_identity(&all[i], &all[end]) == 0; end++)
            most = fmax(most, value_of(all[end].object, all[end].i, now_ns));
        const struct object_ref *r = &all[i].object->key->ref;
        struct prom_label labels[] = {{STR("namespace"), r->namespace_},
                                      {STR("scaledobject"), r->name},
                                      {STR("signal"), str_from(name_of(&all[i]))}};
        prom_sample(w, labels, 3, most);
    }
}

int io_queries_families(const struct io *io, struct prom_writer *w) {
    if (io->config->prometheus.n == 0)
        return 0;
    server_families(io, w);
    struct use *all = mem_array(HASH_COUNT(io->objects) + 1, LIMIT_TRIGGER_QUERIES * sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    size_t n = 0;
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next)
        for (uint32_t i = 0; i < o->trigger->query_n; i++)
            all[n++] = (struct use){o, i};
    qsort(all, n, sizeof(*all), by_identity);
    write_values(w, all, n);
    mem_free(all);
    return 0;
}
