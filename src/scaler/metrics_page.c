// SPDX-License-Identifier: Apache-2.0
/* Families of /metrics. What is not known is absent, never 0. */
#include "scaler/metrics_page.h"

#include <math.h>

#include "base/clock.h"
#include "net/grpc_status.h"
#include "scaler/cluster.h"
#include "scaler/gate.h"
#include "scaler/io.h"
#include "scaler/metrics_api.h"
#include "scaler/replicas.h"

#define LABEL(n, v) ((struct prom_label){STR(n), str_from(v)})

static void one(struct prom_writer *w, const char *name, enum prom_type type, const char *help,
                double value) {
    prom_family(w, name, type, help);
    prom_sample(w, NULL, 0, value);
}

static void counter(struct prom_writer *w, const char *name, const char *help, uint64_t value) {
    prom_family(w, name, PROM_COUNTER, help);
    prom_sample_u64(w, NULL, 0, value);
}

static void gauge(struct prom_writer *w, const char *name, const char *help, double value) {
    one(w, name, PROM_GAUGE, help, value);
}

static void labelled(struct prom_writer *w, const char *label, const char *text, double value) {
    struct prom_label l = {str_from(label), str_from(text)};
    prom_sample(w, &l, 1, value);
}

static void rpc_calls(struct prom_writer *w, const struct rpc_stats *s) {
    prom_family(w, "gpuscale_grpc_requests_total", PROM_COUNTER,
                "Calls that ended, by method and status code.");
    for (int m = 0; m < RPC_METHOD_MAX; m++)
        for (int c = 0; c < RPC_CODES; c++)
            if (s->ended[m][c] > 0)
                prom_sample_u64(w,
                                (struct prom_label[]){LABEL("method", rpc_method_names[m]),
                                                      LABEL("code", grpc_status_name(c))},
                                2, s->ended[m][c]);
    prom_family(w, "gpuscale_grpc_request_duration_seconds", PROM_HISTOGRAM,
                "Time from a unary call's headers to its trailers.");
    for (int m = 0; m <= RPC_GET_METRIC_SPEC; m++)
        prom_sample_histogram(w, &LABEL("method", rpc_method_names[m]), 1, &s->latency_s[m]);
    prom_family(w, "gpuscale_grpc_streams", PROM_GAUGE, "Open streams.");
    labelled(w, "method", "StreamIsActive", (double)s->streams_active);
    labelled(w, "method", "StreamMetricSpec", (double)s->streams_spec);
}

static void rpc_rest(struct prom_writer *w, const struct rpc_stats *s) {
    gauge(w, "gpuscale_grpc_connections", "Open connections.", (double)s->connections);
    counter(w, "gpuscale_grpc_connections_refused_total", "Connections over the limit.",
            s->connections_refused);
    counter(w, "gpuscale_grpc_handshake_failures_total", "TLS or HTTP/2 handshakes that failed.",
            s->handshake_failures);
    counter(w, "gpuscale_grpc_certificates_refused_total",
            "Handshakes that failed for a certificate: the client's is missing or refused, or it "
            "refuses ours.",
            s->certificates_refused);
    counter(w, "gpuscale_grpc_protocol_errors_total", "Connections ended for breaking HTTP/2.",
            s->protocol_errors);
    counter(w, "gpuscale_pushes_total", "Activations sent on StreamIsActive.", s->pushes);
    counter(w, "gpuscale_pushes_blocked_total", "Activations not sent: the peer does not read.",
            s->pushes_blocked);
    counter(w, "gpuscale_stale_answers_total",
            "GetMetrics asked while decisions were older than the limit.", s->stale_answers);
    counter(w, "gpuscale_objects_refused_total", "Triggers beyond a limit.", s->objects_refused);
    gauge(w, "gpuscale_objects_invalid", "Triggers whose metadata does not bind.",
          (double)s->objects_invalid);
    gauge(w, "gpuscale_calls_waiting", "First calls that wait for a decision.", (double)s->waiting);
}

// By namespace, name, workload: so that several triggers of one ScaledObject become one series.
static int by_identity(const void *a, const void *b) {
    const struct object *x = *(const struct object *const *)a;
    const struct object *y = *(const struct object *const *)b;
    int c = strcmp(x->key->ref.namespace_.p, y->key->ref.namespace_.p);
    if (c == 0)
        c = strcmp(x->key->ref.name.p, y->key->ref.name.p);
    return c != 0 ? c : strcmp(x->feed->workload->target, y->feed->workload->target);
}

static void object_family(struct prom_writer *w, const struct object **all, size_t n,
                          const char *name, const char *help,
                          double (*value)(const struct object *)) {
    prom_family(w, name, PROM_GAUGE, help);
    for (size_t i = 0, end; i < n; i = end) {
        double most = NAN; // of several triggers KEDA's HPA takes the largest
        for (end = i; end < n && by_identity(&all[i], &all[end]) == 0; end++)
            most = fmax(most, value(all[end]));
        const struct object_ref *r = &all[i]->key->ref;
        struct prom_label labels[] = {{STR("namespace"), r->namespace_},
                                      LABEL("workload", all[i]->feed->workload->target),
                                      {r->rule ? STR("rule") : STR("scaledobject"), r->name}};
        prom_sample(w, labels, COUNT_OF(labels), most);
    }
}

static double desired_of(const struct object *o) {
    return o->last.state == DECISION_OK ? o->last.desired : NAN;
}

static double active_of(const struct object *o) {
    return o->last.active;
}

static double specified_of(const struct object *o) {
    return o->last.spec >= 0 ? o->last.spec : NAN;
}

static int object_families(struct prom_writer *w, const struct io *io) {
    const struct object **all = mem_array(HASH_COUNT(io->objects) + 1, sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    size_t n = 0;
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next)
        if (o->feed != NULL && o->decided)
            all[n++] = o;
    qsort(all, n, sizeof(*all), by_identity);
    object_family(w, all, n, "gpuscale_desired_replicas",
                  "The decision; absent while it is unavailable. A prometheus trigger on it takes "
                  "threshold 1.",
                  desired_of);
    object_family(w, all, n, "gpuscale_active", "1: KEDA is told that the workload is in use.",
                  active_of);
    object_family(w, all, n, "gpuscale_specified_replicas", "spec.replicas of the workload.",
                  specified_of);
    mem_free(all);
    return 0;
}

static const struct {
    uint32_t bit;
    const char *name;
} notice_names[] = {
    {NOTICE_GUARD_GATED, "guard_gated"},
    {NOTICE_SATURATING, "saturating"},
    {NOTICE_HOT_POD, "hot_pod"},
    {NOTICE_TOLERANCE, "tolerance"},
    {NOTICE_ZERO_UNKNOWN, "zero_unknown"},
    {NOTICE_SHARED_GPU, "shared_gpu"},
    {NOTICE_ASLEEP, "asleep"},
    {NOTICE_UNSCHEDULABLE, "unschedulable"},
    {NOTICE_RIVAL, "rival"},
    {NOTICE_SECOND_HPA, "second_hpa"},
    {NOTICE_PAUSED, "paused"},
    {NOTICE_UNSEEN, "unseen"},
    {NOTICE_UNASKED, "unasked"},
};

static void decision_families(struct prom_writer *w, const struct io *io) {
    // Of all queries together: their names are the tenants'.
    uint64_t unknown[SIGNAL_PROMETHEUS + 1] = {0}, partial[SIGNAL_PROMETHEUS + 1] = {0};
    uint64_t notices[COUNT_OF(notice_names)] = {0};
    size_t unavailable = 0, no_workload = 0;
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next) {
        no_workload += o->feed == NULL && io_leads(io);
        if (o->feed == NULL || !o->decided)
            continue;
        unavailable += o->last.state != DECISION_OK;
        for (size_t i = 0; i < COUNT_OF(notice_names); i++)
            notices[i] += (o->last.notices & notice_names[i].bit) != 0;
        for (uint32_t i = 0; i < o->last.signal_n; i++) {
            const struct record_signal *s = &o->last.signals[i];
            enum signal of = s->signal < SIGNAL_PROMETHEUS ? s->signal : SIGNAL_PROMETHEUS;
            unknown[of] += s->known == 0;
            partial[of] += s->known > 0 && s->known < s->pods;
        }
    }
    gauge(w, "gpuscale_objects", "Triggers that are decided.", HASH_COUNT(io->objects));
    gauge(w, "gpuscale_objects_unavailable", "Triggers whose signals are unknown for too long.",
          (double)unavailable);
    gauge(w, "gpuscale_objects_without_workload", "Triggers whose workload is not known.",
          (double)no_workload);
    prom_family(w, "gpuscale_unknown_signals", PROM_GAUGE,
                "Signals of rules of which nothing is known now.");
    for (int s = 0; s <= SIGNAL_PROMETHEUS; s++)
        labelled(w, "signal", signals[s].name, (double)unknown[s]);
    prom_family(w, "gpuscale_partial_signals", PROM_GAUGE,
                "Signals of rules that are known of some ready pods only.");
    for (int s = 0; s <= SIGNAL_PROMETHEUS; s++)
        labelled(w, "signal", signals[s].name, (double)partial[s]);
    prom_family(w, "gpuscale_notices", PROM_GAUGE,
                "Triggers of whose last decision a person should be told (explain says why).");
    for (size_t i = 0; i < COUNT_OF(notice_names); i++)
        labelled(w, "notice", notice_names[i].name, (double)notices[i]);
    counter(w, "gpuscale_decisions_total", "Decisions made.", io->count.decisions);
    counter(w, "gpuscale_decision_changes_total", "Decisions that differed from the one before.",
            io->count.changes);
    prom_family(w, "gpuscale_tick_duration_seconds", PROM_HISTOGRAM,
                "Time that a tick of decisions took.");
    prom_sample_histogram(w, NULL, 0, &io->tick_s);
    gauge(w, "gpuscale_tick_age_seconds", "Since the last tick.",
          io->ticked_ns ? (double)(clock_mono_ns() - io->ticked_ns) / NS_PER_S : NAN);
}

struct scrape_ages {
    int64_t now_ns, oldest_ns;
    size_t good, never;
};

static void take_age(void *ctx, const struct scrape_status *s) {
    struct scrape_ages *x = ctx;
    if (s->good_at_ns == 0) {
        x->never++;
        return;
    }
    x->good++;
    if (x->good == 1 || s->good_at_ns < x->oldest_ns)
        x->oldest_ns = s->good_at_ns;
}

static void scrape_counts(struct prom_writer *w, const char *source, const struct scrape_stats *s) {
    for (int f = 0; f < SCRAPE_FAILURE_MAX; f++)
        if (f == FETCH_OK || s->failures[f] > 0)
            prom_sample_u64(w,
                            (struct prom_label[]){LABEL("source", source),
                                                  LABEL("result", scrape_failure_name(f))},
                            2, s->failures[f]);
}

static void take_exporter_age(void *ctx, const struct exporters_page *page) {
    take_age(ctx, page->scrape);
}

// One kind of pages.
struct scraped {
    const char *source;
    struct scrape_stats stats;
    struct scrape_ages ages;
};

enum { SCRAPED = 3 };

static void scrape_gauges(struct prom_writer *w, const struct scraped s[SCRAPED]) {
    prom_family(w, "gpuscale_scrape_targets", PROM_GAUGE, "Pages to read.");
    for (int i = 0; i < SCRAPED; i++)
        labelled(w, "source", s[i].source, (double)s[i].stats.targets);
    prom_family(w, "gpuscale_scrape_targets_failing", PROM_GAUGE, "Pages whose last read failed.");
    for (int i = 0; i < SCRAPED; i++)
        labelled(w, "source", s[i].source, (double)s[i].stats.failing);
    prom_family(w, "gpuscale_scrape_targets_never_read", PROM_GAUGE,
                "Pages that were never read well.");
    for (int i = 0; i < SCRAPED; i++)
        labelled(w, "source", s[i].source, (double)s[i].ages.never);
    prom_family(w, "gpuscale_scrape_age_seconds", PROM_GAUGE,
                "Age of the oldest of the last good reads.");
    for (int i = 0; i < SCRAPED; i++) {
        const struct scrape_ages *a = &s[i].ages;
        labelled(w, "source", s[i].source,
                 a->good ? (double)(a->now_ns - a->oldest_ns) / NS_PER_S : NAN);
    }
}

static void scrape_families(struct prom_writer *w, const struct io *io) {
    struct scrape_ages none = {.now_ns = clock_mono_ns()};
    struct scraped s[SCRAPED] = {
        {"engine", engines_stats(io->engines), none},
        {"demand", demand_stats(io->demand), none},
        {"exporter", exporters_stats(io->exporters).scrape, none},
    };
    engines_each(io->engines, take_age, &s[0].ages);
    demand_each(io->demand, take_age, &s[1].ages);
    exporters_each(io->exporters, take_exporter_age, &s[2].ages);
    prom_family(w, "gpuscale_scrapes_total", PROM_COUNTER, "Pages read, by result.");
    for (int i = 0; i < SCRAPED; i++)
        scrape_counts(w, s[i].source, &s[i].stats);
    scrape_gauges(w, s);
}

static void exporter_families(struct prom_writer *w, const struct io *io) {
    struct exporters_stats x = exporters_stats(io->exporters);
    gauge(w, "gpuscale_exporters_stuck", "GPU exporters that answer and read their GPUs no more.",
          (double)x.stuck);
    counter(w, "gpuscale_exporter_values_bad_total", "Blank or impossible values: unknown.",
            x.bad_values);
    counter(w, "gpuscale_exporter_values_differing_total",
            "Values that one page told twice and differently: unknown.", x.differing);
    counter(w, "gpuscale_exporter_duplicates_total",
            "GPUs on a page of one exporter that another tells.", x.duplicates);
    counter(w, "gpuscale_exporter_resolve_failures_total", "Names not looked up.",
            x.resolve_failures);
    counter(w, "gpuscale_exporter_over_limit_total", "Addresses beyond a limit.", x.over_limit);
}

static void agent_families(struct prom_writer *w, const struct io *io) {
    struct agents_stats a = agents_stats(io->agents);
    gauge(w, "gpuscale_agents", "Addresses of agents.", (double)a.addresses);
    gauge(w, "gpuscale_agents_connected", "Agents that stream.", (double)a.connected);
    prom_family(w, "gpuscale_gpus", PROM_GAUGE,
                "GPUs and MIG instances known, by the source whose word counts.");
    for (int i = 0; i < GPU_SOURCES; i++)
        labelled(w, "source", gpu_source_names[i], (double)io->gpus.counted[i]);
    counter(w, "gpuscale_gpu_source_changes_total",
            "GPUs that one source took over from the other.", io->gpus.changes);
    counter(w, "gpuscale_agent_messages_total", "Messages of agents.", a.messages);
    counter(w, "gpuscale_agent_messages_bad_total", "Messages refused.", a.bad_messages);
    counter(w, "gpuscale_agent_values_bad_total", "Values taken as unknown.", a.bad_values);
    counter(w, "gpuscale_agent_losses_total", "Streams that were lost.", a.losses);
    counter(w, "gpuscale_agent_heartbeats_missed_total", "Streams restarted for silence.",
            a.heartbeats_missed);
    counter(w, "gpuscale_agent_resolve_failures_total", "Names not looked up.", a.resolve_failures);
    counter(w, "gpuscale_agent_over_limit_total", "Addresses or GPUs beyond a limit.",
            a.over_limit);
    counter(w, "gpuscale_gpu_updates_total", "Readings, owners and ages taken.",
            io->count.gpu_updates);
    counter(w, "gpuscale_gpu_refused_total", "GPUs that could not be joined to pods.",
            io->count.gpu_refused);
}

static void certificate(struct prom_writer *w, const char *server, int64_t not_after_s) {
    labelled(w, "server", server, not_after_s > 0 ? (double)not_after_s : NAN);
}

static void program_families(struct prom_writer *w, const struct io *io) {
    struct http_server_stats h = http_server_stats(io->http);
    prom_family(w, "gpuscale_build_info", PROM_INFO, "1; the version is a label.");
    labelled(w, "version", GPUSCALE_VERSION, 1);
    gauge(w, "gpuscale_uptime_seconds", "Since the start.",
          (double)(clock_mono_ns() - io->started_ns) / NS_PER_S);
    one(w, "process_cpu_seconds_total", PROM_COUNTER, "CPU time of all threads.",
        (double)clock_process_cpu_ns() / NS_PER_S);
    gauge(w, "gpuscale_ready", "1: /readyz says ok.", io_ready(io, clock_mono_ns(), NULL));
    gauge(w, "gpuscale_workloads", "Workloads that are known.", (double)io->workloads->list.n);
    prom_family(w, "gpuscale_queue_depth", PROM_GAUGE, "Messages between the threads.");
    labelled(w, "queue", "to_io", (double)queue_len(io->to_io));
    labelled(w, "queue", "to_rpc", (double)queue_len(io->to_rpc));
    prom_family(w, "gpuscale_messages_lost_total", PROM_COUNTER,
                "Messages that a full queue refused (decisions are sent again).");
    labelled(w, "queue", "to_io", (double)io->rpc_stats.messages_lost);
    labelled(w, "queue", "to_rpc", (double)io->count.messages_lost);
    counter(w, "gpuscale_log_lines_lost_total", "Log lines that could not be written.",
            log_lost_lines());
    prom_family(w, "gpuscale_reloads_total", PROM_COUNTER, "Files read again.");
    labelled(w, "file", "workloads", (double)io->count.workloads_reloads);
    prom_family(w, "gpuscale_reload_failures_total", PROM_COUNTER,
                "Files read again in vain: the version before stays in use.");
    labelled(w, "file", "workloads", (double)io->count.workloads_failures);
    labelled(w, "file", "certificates",
             (double)(io->count.tls_reload_failures + io->rpc_stats.reload_failures));
    prom_family(w, "gpuscale_certificate_expiry_timestamp_seconds", PROM_GAUGE,
                "When the server's certificate ends.");
    certificate(w, "grpc", io->rpc_stats.cert_not_after_s);
    certificate(w, "http", io->http_tls ? net_tls_not_after_s(io->http_tls) : 0);
    certificate(w, "metrics-api", io_metrics_api_not_after_s(io));
    counter(w, "gpuscale_http_requests_total", "HTTP requests.", h.requests);
    counter(w, "gpuscale_http_bad_requests_total", "HTTP requests refused.", h.bad_requests);
    counter(w, "gpuscale_http_handshake_failures_total", "TLS handshakes that failed.",
            h.handshake_failures);
    counter(w, "gpuscale_http_certificates_refused_total",
            "Of those, for a certificate: as on the gRPC port.", h.certificates_refused);
}

int metrics_page_render(const struct io *io, enum prom_format format, struct buf *out) {
    struct prom_writer w;
    prom_writer_init(&w, out, format);
    program_families(&w, io);
    rpc_calls(&w, &io->rpc_stats);
    rpc_rest(&w, &io->rpc_stats);
    decision_families(&w, io);
    int rc = object_families(&w, io);
    scrape_families(&w, io);
    agent_families(&w, io);
    exporter_families(&w, io);
    io_cluster_families(io, &w);
    io_metrics_api_families(io, &w);
    gate_families(io, &w);
    io_replicas_families(io, &w);
    rc = rc < 0 ? rc : io_queries_families(io, &w);
    int end = prom_writer_end(&w);
    return rc < 0 ? rc : end;
}
