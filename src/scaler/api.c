// SPDX-License-Identifier: Apache-2.0
/* The status API's lists of workloads, objects, GPUs and sources; decisions are in api_decisions.c.
 */
#include "scaler/api.h"

#include <math.h>

#include "base/clock.h"
#include "core/signal/total.h"
#include "net/grpc_status.h"
#include "scaler/api_page.h"
#include "scaler/io.h"
#include "scaler/replicas.h"

static double age_s(int64_t at_ns, int64_t now_ns) {
    return (double)(now_ns - at_ns) / NS_PER_S;
}

static void add_pod(struct buf *b, const struct workload_pod *p) {
    static const char *const states[] = {"starting", "ready", "terminating"};
    (void)buf_addc(b, "{\"name\":");
    (void)buf_add_json(b, str_from(p->name));
    api_text(b, "state", states[p->state]);
    if (p->address != NULL)
        api_text(b, "address", p->address);
    (void)buf_add_byte(b, '}');
}

static void add_workload(struct buf *b, const struct workload *w) {
    (void)buf_addc(b, "{\"namespace\":");
    (void)buf_add_json(b, str_from(w->namespace_));
    api_text(b, "target", w->target);
    if (w->replicas >= 0)
        api_int(b, "replicas", w->replicas);
    if (w->status >= 0)
        api_int(b, "statusReplicas", w->status);
    (void)buf_addc(b, ",\"scaledObjects\":[");
    for (size_t i = 0; i < w->scaled_objects.n; i++) {
        (void)buf_addc(b, i > 0 ? "," : "");
        (void)buf_add_json(b, str_from(w->scaled_objects.items[i]));
    }
    (void)buf_addc(b, "],\"pods\":[");
    for (size_t i = 0; i < w->pods.n; i++) {
        (void)buf_addc(b, i > 0 ? "," : "");
        add_pod(b, &w->pods.items[i]);
    }
    (void)buf_addc(b, "]}");
}

void api_workloads(struct http_request *r, struct io *io, const struct view *view) {
    struct api_page p;
    char ns[KUBE_NAME_MAX];
    if (!api_param(r, "namespace", ns, sizeof(ns)) ||
        !api_page_begin(&p, r, view, API_LIMIT, API_LIMIT_MAX))
        return;
    for (size_t i = 0; i < io->workloads->list.n; i++) {
        const struct workload *w = &io->workloads->list.items[i];
        if ((ns[0] == '\0' || strcmp(ns, w->namespace_) == 0) &&
            view_has(view, str_from(w->namespace_)) && api_page_item(&p))
            add_workload(&p.out, w);
    }
    api_page_end(&p);
}

// What a workload does now, of all ready pods together, whether its rule names it or not.
static void add_signals(struct buf *b, const struct object *o) {
    static const enum signal shown[] = {SIGNAL_REQUEST_RATE, SIGNAL_RUNNING, SIGNAL_QUEUE,
                                        SIGNAL_KV_CACHE};
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        struct signal_total_query q = {.signal = shown[i],
                                       .ceiling = INFINITY,
                                       .window_ns = o->trigger->rate_window_ns,
                                       .max_age_ns = o->trigger->max_age_ns,
                                       .now_ns = clock_mono_ns()};
        struct signal_total t;
        signal_total(o->feed->signals, &q, &t);
        (void)buf_addf(b, "%s\"%s\":{\"pods\":%u,\"known\":%u", i > 0 ? "," : ",\"signals\":{",
                       signals[shown[i]].name, t.pods, t.known);
        if (t.known > 0) {
            api_number(b, "lower", t.lower);
            api_number(b, "upper", t.upper); // null: not bounded
            api_number(b, "max", t.max);
        }
        (void)buf_add_byte(b, '}');
    }
    (void)buf_add_byte(b, '}');
}

static void add_object(struct buf *b, const struct object *o) {
    (void)buf_addc(b, "{\"namespace\":");
    (void)buf_add_json(b, o->key->ref.namespace_);
    api_text(b, "name", o->key->ref.name.p);
    api_text(b, "kind", object_ref_kind(&o->key->ref));
    api_int(b, "id", (int64_t)o->id);
    if (o->feed != NULL) {
        api_text(b, "workload", o->feed->workload->target);
        api_text(b, "engine", o->feed->preset->name);
        add_signals(b, o);
    }
    if (o->feed == NULL)
        api_text(b, "error", o->fault.msg);
    if (o->decided && o->feed != NULL) {
        api_bool(b, "available", o->last.state == DECISION_OK);
        api_bool(b, "active", o->last.active);
        api_bool(b, "observe", o->last.observe);
        api_int(b, "desired", o->last.desired);
        api_number(b, "published", o->last.publish);
        api_text(b, "reason", decision_reason_name(o->last.reason));
    }
    api_int(b, "decisions", (int64_t)o->decisions);
    api_int(b, "changes", (int64_t)o->changes);
    (void)buf_add_byte(b, '}');
}

void api_objects(struct http_request *r, struct io *io, const struct view *view) {
    struct api_page p;
    char ns[KUBE_NAME_MAX];
    if (!api_param(r, "namespace", ns, sizeof(ns)) ||
        !api_page_begin(&p, r, view, API_LIMIT, API_LIMIT_MAX))
        return;
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next)
        if ((ns[0] == '\0' || str_eqc(o->key->ref.namespace_, ns)) &&
            view_has(view, o->key->ref.namespace_) && api_page_item(&p))
            add_object(&p.out, o);
    api_page_end(&p);
}

// Who may not see everything sees the GPUs that pods of his hold.
static bool may_see(const struct view *view, const struct agents_gpu *g) {
    for (size_t i = 0; !view->all && i < g->n_owners; i++)
        if (view_has(view, str_from(g->owners[i].namespace_)))
            return true;
    return view->all;
}

// What a pod's own processes use of a GPU that several hold, or why that is unknown.
static void add_part(struct buf *b, const struct gpus *gpus, const struct agents_gpu *g,
                     const struct agents_owner *o) {
    static const struct {
        enum signal signal;
        const char *lower, *upper;
    } shown[] = {{SIGNAL_GPU_UTILIZATION, "partUtilizationPct", "partUtilizationUpperPct"},
                 {SIGNAL_GPU_MEMORY, "partMemoryPct", "partMemoryUpperPct"}};
    struct signal_part part;
    uint32_t gaps = 0;
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        int gap = gpus_part(gpus, g->user, str_from(o->namespace_), str_from(o->pod),
                            shown[i].signal, &part);
        gaps |= gap > 0 ? (uint32_t)gap : 0;
        if (gap != 0)
            continue;
        api_number(b, shown[i].lower, part.lower);
        api_number(b, shown[i].upper, part.upper);
    }
    (void)buf_addc(b, ",\"partGaps\":[");
    for (uint32_t bit = 1, n = 0; bit <= gaps; bit <<= 1)
        if (gaps & bit)
            (void)buf_addf(b, "%s\"%s\"", n++ > 0 ? "," : "", signal_part_gap_name(bit));
    (void)buf_add_byte(b, ']');
}

static void add_owners(struct buf *b, const struct view *view, const struct gpus *gpus,
                       const struct agents_gpu *g) {
    bool first = true;
    (void)buf_addc(b, ",\"owners\":[");
    for (size_t i = 0; i < g->n_owners; i++) {
        if (!view_has(view, str_from(g->owners[i].namespace_)))
            continue;
        (void)buf_addf(b, "%s{\"namespace\":", first ? "" : ",");
        (void)buf_add_json(b, str_from(g->owners[i].namespace_));
        api_text(b, "pod", g->owners[i].pod);
        api_text(b, "container", g->owners[i].container);
        if (gpus_shared(g->user))
            add_part(b, gpus, g, &g->owners[i]);
        (void)buf_add_byte(b, '}');
        first = false;
    }
    (void)buf_add_byte(b, ']');
}

// One side of a GPU that an agent and an exporter tell: the one whose word counts.
static void add_gpu(struct api_page *p, const struct gpus *gpus, const struct agents_gpu *g,
                    enum gpu_source source, const char *url) {
    if (!gpus_counts(g->user) || !may_see(p->view, g) || !api_page_item(p))
        return;
    struct buf *b = &p->out;
    (void)buf_addc(b, "{\"uuid\":");
    (void)buf_add_json(b, str_from(g->uuid));
    api_text(b, "node", g->node);
    api_text(b, "source", gpu_source_names[source]);
    if (url != NULL)
        api_text(b, "url", url);
    api_text(b, "model", g->model);
    api_int(b, "index", g->index);
    if (g->memory_total_bytes > 0)
        api_int(b, "memoryTotalBytes", (int64_t)g->memory_total_bytes);
    if (g->mig_profile[0] != '\0')
        api_text(b, "migProfile", g->mig_profile);
    api_bool(b, "lost", g->lost);
    api_bool(b, "ownersKnown", g->owners_known);
    api_bool(b, "sharesKnown", g->shares_known);
    if (g->owners_known)
        api_int(b, "pods", (int64_t)gpus_pods(g)); // of other readers' namespaces, too
    add_owners(b, p->view, gpus, g);
    (void)buf_addc(b, ",\"values\":{");
    bool first = true;
    for (int v = 0; v < GPU_VALUE_MAX; v++) {
        double x;
        if (!gpu_reading_get(g->reading, v, &x))
            continue;
        (void)buf_addf(b, "%s\"%s\":", first ? "" : ",", gpu_values[v].name);
        (void)buf_add_double(b, x);
        first = false;
    }
    (void)buf_add_byte(b, '}');
    if (g->reading_at_ns != INT64_MIN)
        api_number(b, "ageSeconds", age_s(g->reading_at_ns, clock_mono_ns()));
    (void)buf_add_byte(b, '}');
}

struct gpus_page {
    struct api_page page;
    const struct io *io;
};

static void add_agent_gpu(void *ctx, const struct agents_gpu *g) {
    struct gpus_page *p = ctx;
    struct agents_owner owners[CLAIMS_OWNERS_MAX];
    struct agents_gpu joined = claims_join(&p->io->claims, g, owners);
    add_gpu(&p->page, &p->io->gpus, &joined, GPU_OF_AGENT, NULL);
}

static void add_exporter_gpu(void *ctx, const struct agents_gpu *g, const char *url) {
    struct gpus_page *p = ctx;
    add_gpu(&p->page, &p->io->gpus, g, GPU_OF_EXPORTER, url);
}

void api_gpus(struct http_request *r, struct io *io, const struct view *view) {
    struct gpus_page p = {.io = io};
    if (!api_page_begin(&p.page, r, view, API_LIMIT, API_LIMIT_MAX))
        return;
    agents_each_gpu(io->agents, add_agent_gpu, &p);
    exporters_each_gpu(io->exporters, add_exporter_gpu, &p);
    api_page_end(&p.page);
}

static void add_node(void *ctx, const struct agents_node *n) {
    struct api_page *p = ctx;
    if (!api_page_item(p))
        return;
    struct buf *b = &p->out;
    (void)buf_addc(b, "{\"kind\":\"agent\"");
    api_text(b, "key", n->address);
    api_text(b, "target", n->target);
    api_text(b, "node", n->node);
    api_text(b, "state", agents_node_state_name(n->state));
    if (n->heard_at_ns != INT64_MIN)
        api_number(b, "ageSeconds", age_s(n->heard_at_ns, clock_mono_ns()));
    api_int(b, "failed", n->failed);
    api_number(b, "driverStalledSeconds", (double)n->driver_stalled_ms / 1000);
    if (n->why[0] != '\0')
        api_text(b, "error", n->why);
    (void)buf_add_byte(b, '}');
}

static const char *scrape_state(const struct scrape_status *s) {
    return s->failed > 0 ? "failing" : s->good_at_ns != 0 ? "good" : "waiting";
}

// Begins the item; the caller closes it.
static void begin_scrape(struct buf *b, const char *kind, const char *state,
                         const struct scrape_status *s) {
    (void)buf_addf(b, "{\"kind\":\"%s\"", kind);
    api_text(b, "key", s->key);
    api_text(b, "url", s->url);
    api_text(b, "state", state);
    if (s->good_at_ns != 0)
        api_number(b, "ageSeconds", age_s(s->good_at_ns, clock_mono_ns()));
    api_number(b, "tookSeconds", (double)s->took_ns / NS_PER_S);
    api_number(b, "intervalSeconds", (double)s->current_ns / NS_PER_S);
    api_int(b, "failed", s->failed);
    if (s->failed > 0) {
        api_text(b, "reason", scrape_failure_name(s->failure));
        api_text(b, "error", s->error);
    }
}

static void add_scrape(struct api_page *p, const char *kind, const struct scrape_status *s) {
    if (!api_page_item(p))
        return;
    begin_scrape(&p->out, kind, scrape_state(s), s);
    (void)buf_add_byte(&p->out, '}');
}

static void add_exporter(void *ctx, const struct exporters_page *x) {
    struct api_page *p = ctx;
    if (!api_page_item(p))
        return;
    struct buf *b = &p->out;
    begin_scrape(b, "exporter", x->stuck ? "stuck" : scrape_state(x->scrape), x->scrape);
    api_text(b, "target", x->target);
    api_text(b, "exporter", x->kind);
    api_text(b, "node", x->node);
    api_int(b, "gpus", (int64_t)x->gpus);
    api_int(b, "duplicates", (int64_t)x->duplicates);
    api_bool(b, "podsNamed", x->pods_named);
    api_bool(b, "collectionSeen", x->alive);
    (void)buf_add_byte(b, '}');
}

static void add_engine(void *ctx, const struct scrape_status *s) {
    const struct api_page *p = ctx;
    struct str key = str_from(s->key); // "prod/llm-0"
    if (view_has(p->view, str_cut(&key, '/')))
        add_scrape(ctx, "engine", s);
}

static void add_demand(void *ctx, const struct scrape_status *s) {
    add_scrape(ctx, "demand", s);
}

void api_sources(struct http_request *r, struct io *io, const struct view *view) {
    struct api_page p;
    if (!api_page_begin(&p, r, view, API_LIMIT, API_LIMIT_MAX))
        return;
    if (view->all) { // no namespace's
        agents_each_node(io->agents, add_node, &p);
        exporters_each(io->exporters, add_exporter, &p);
        demand_each(io->demand, add_demand, &p);
    }
    io_queries_show(io, &p);
    engines_each(io->engines, add_engine, &p);
    api_page_end(&p);
}

void api_replicas(struct http_request *r, struct io *io, const struct view *view) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, API_ITEM_MAX);
    io_replicas_show(io, &out);
    (void)buf_addc(&out, "\n");
    http_request_answer(r, &(struct http_answer){.status = out.err ? 500 : 200,
                                                 .content_type = "application/json",
                                                 .body = buf_str(&out)});
}
