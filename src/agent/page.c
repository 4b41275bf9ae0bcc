// SPDX-License-Identifier: Apache-2.0
/* See page.h: the page's frame, what it says of the agent, its cache and its compression. */
#include "agent/page.h"

#include <zlib.h>

#include "agent/page_gpu.h"
#include "base/clock.h"
#include "base/mem.h"

void agent_page_init(struct agent_page *p, enum prom_format format) {
    *p = (struct agent_page){.format = format};
    buf_init(&p->text, AGENT_PAGE_BYTES_MAX);
    buf_init(&p->gzip, AGENT_PAGE_BYTES_MAX);
    buf_init(&p->labels, AGENT_PAGE_BYTES_MAX);
}

void agent_page_done(struct agent_page *p) {
    buf_done(&p->text);
    buf_done(&p->gzip);
    buf_done(&p->labels);
}

static bool same_options(const struct agent_page_options *a, const struct agent_page_options *b) {
    return a->dcgm == b->dcgm && a->classic == b->classic && a->own == b->own &&
           a->shares == b->shares && a->hostname_label == b->hostname_label &&
           a->stale_after_ns == b->stale_after_ns;
}

bool agent_page_is_fresh(const struct agent_page *p, const struct agent_state *s,
                         const struct agent_page_options *o, int64_t now_ns) {
    return p->rendered && p->version == s->version && p->rounds == s->rounds &&
           now_ns - p->at_ns < s->interval_ns && same_options(&p->options, o);
}

bool agent_page_gpu_is_fresh(const struct agent_page_view *v, const struct agent_gpu *g) {
    return g->has_reading && v->now_ns - g->read_ns <= v->options->stale_after_ns;
}

static void gauge(struct prom_writer *w, const char *name, const char *help, double v) {
    prom_family(w, name, PROM_GAUGE, help);
    prom_sample(w, NULL, 0, v);
}

static void counter(struct prom_writer *w, const char *name, const char *help, uint64_t v) {
    prom_family(w, name, PROM_COUNTER, help);
    prom_sample_u64(w, NULL, 0, v);
}

static void write_sampling(struct prom_writer *w, const struct agent_page_view *v,
                           const struct agent_page_stats *st) {
    const struct agent_state *s = v->state;
    gauge(w, "gpuscale_agent_driver_stalled_seconds",
          "For how long the driver has not answered; 0: it answers.",
          (double)agent_state_stalled_ns(s, v->now_ns) / (double)NS_PER_S);
    gauge(w, "gpuscale_agent_interval_seconds", "Time between two rounds of samples.",
          (double)s->interval_ns / (double)NS_PER_S);
    if (s->sampled)
        gauge(w, "gpuscale_agent_sample_duration_seconds",
              "How long the last round of samples took.",
              (double)s->round_took_ns / (double)NS_PER_S);
    gauge(w, "gpuscale_agent_gpus", "GPUs and MIG instances on the node.", s->n_gpus);
    counter(w, "gpuscale_agent_rounds_total", "Rounds of samples.", s->rounds);
    counter(w, "gpuscale_agent_sample_failures_total", "Calls that the driver failed.",
            s->failed_calls);
    counter(w, "gpuscale_agent_values_discarded_total",
            "Values outside of what is possible, taken as unknown.", s->discarded_values);
    counter(w, "gpuscale_agent_rounds_discarded_total", "Rounds for which there was no memory.",
            st->rounds_discarded);
}

static void write_tls(struct prom_writer *w, const struct agent_page_tls *ports) {
    prom_family(w, "gpuscale_agent_certificate_not_after_seconds", PROM_GAUGE,
                "Time at which the certificate of a port ends, in seconds since 1970.");
    for (int i = 0; i < AGENT_PAGE_TLS_PORTS; i++)
        if (ports[i].not_after_s > 0)
            prom_sample(w, &(struct prom_label){STR("server"), str_from(ports[i].server)}, 1,
                        (double)ports[i].not_after_s);
    prom_family(w, "gpuscale_agent_handshake_failures_total", PROM_COUNTER,
                "TLS handshakes that failed.");
    for (int i = 0; i < AGENT_PAGE_TLS_PORTS; i++)
        if (ports[i].not_after_s > 0)
            prom_sample_u64(w, &(struct prom_label){STR("server"), str_from(ports[i].server)}, 1,
                            ports[i].handshake_failures);
    prom_family(w, "gpuscale_agent_certificates_refused_total", PROM_COUNTER,
                "Of those, for a certificate: the client's is missing or refused, or it refuses "
                "ours.");
    for (int i = 0; i < AGENT_PAGE_TLS_PORTS; i++)
        if (ports[i].not_after_s > 0)
            prom_sample_u64(w, &(struct prom_label){STR("server"), str_from(ports[i].server)}, 1,
                            ports[i].certificates_refused);
}

static void write_serving(struct prom_writer *w, const struct agent_page_stats *st) {
    gauge(w, "gpuscale_agent_streams", "Open Watch streams.", st->streams);
    counter(w, "gpuscale_agent_stream_messages_total", "Messages sent on Watch streams.",
            st->stream_messages);
    counter(w, "gpuscale_agent_stream_skips_total",
            "Messages not made because the client had not read the one before.", st->stream_skips);
    counter(w, "gpuscale_agent_streams_ended_slow_total",
            "Watch streams ended because the client did not read.", st->streams_ended_slow);
    counter(w, "gpuscale_agent_scrapes_total", "Answers of /metrics.", st->scrapes);
    counter(w, "gpuscale_agent_bad_requests_total", "Requests refused as malformed.",
            st->bad_requests);
    gauge(w, "gpuscale_agent_dcgm_exporter_found",
          "1 while a dcgm-exporter answers on the node: its series are left to it.",
          st->dcgm_exporter_found);
    gauge(w, "gpuscale_agent_config_last_reload_successful",
          "1 when the configuration in use is what its file says, 0 when the file is wrong.",
          st->config_ok);
    counter(w, "gpuscale_agent_log_lines_lost_total", "Log lines that could not be written.",
            st->log_lines_lost);
    write_tls(w, st->tls);
}

static void write_pod_resources(struct prom_writer *w, const struct agent_page_view *v,
                                const struct agent_kubelet_stats *k) {
    struct prom_label answered = {STR("result"), STR("answered")},
                      failed = {STR("result"), STR("failed")};
    if (!k->present)
        return;
    gauge(w, "gpuscale_agent_pod_resources_up",
          "1 when the kubelet answered the last question for who holds the GPUs, else 0.", k->up);
    prom_family(w, "gpuscale_agent_pod_resources_lists_total", PROM_COUNTER,
                "Questions to the kubelet, by what came of them.");
    prom_sample_u64(w, &answered, 1, k->answers);
    prom_sample_u64(w, &failed, 1, k->failures);
    if (k->answers == 0)
        return;
    gauge(w, "gpuscale_agent_pod_resources_age_seconds", "Age of the kubelet's last answer.",
          (double)(v->now_ns - k->answered_ns) / (double)NS_PER_S);
    gauge(w, "gpuscale_agent_pod_resources_duration_seconds", "How long it took to come.",
          (double)k->took_ns / (double)NS_PER_S);
    gauge(w, "gpuscale_agent_pod_resources_pods", "Pods in it, with GPUs or without.",
          (double)k->pods);
    gauge(w, "gpuscale_agent_pod_resources_devices",
          "GPUs of device plugins that containers hold in it, replicas apart.", (double)k->holders);
    gauge(w, "gpuscale_agent_pod_resources_claimed_devices",
          "Devices of GPU drivers that containers hold in it through resource claims.",
          (double)k->claimed);
    gauge(w, "gpuscale_agent_pod_resources_unmatched_devices",
          "GPUs held according to it that are none of this node's.", v->state->unmatched_owners);
}

static void write_process(struct prom_writer *w, const struct agent_page_stats *st) {
    struct prom_label l[] = {{STR("version"), STR(GPUSCALE_VERSION)},
                             {STR("source"), str_from(st->source)},
                             {STR("node"), str_from(st->node)}};
    prom_family(w, "gpuscale_agent_build_info", PROM_INFO, "Version and source; always 1.");
    prom_sample(w, l, COUNT_OF(l), 1);
    prom_family(w, "process_cpu_seconds_total", PROM_COUNTER,
                "User and system CPU time of the agent.");
    prom_sample(w, NULL, 0, st->cpu_s);
    if (st->resident_bytes > 0)
        gauge(w, "process_resident_memory_bytes", "Resident memory of the agent.",
              (double)st->resident_bytes);
    gauge(w, "process_start_time_seconds", "When the agent started, in seconds since 1970.",
          st->start_time_s);
}

int agent_page_render(struct agent_page *p, const struct agent_state *s,
                      const struct agent_page_options *o, const struct agent_page_stats *stats,
                      int64_t now_ns) {
    struct agent_page_view v = {
        .state = s, .options = o, .node = stats->node, .now_ns = now_ns, .labels = &p->labels};
    struct prom_writer w;
    int r = 0;
    p->rendered = false;
    buf_clear(&p->text);
    buf_clear(&p->gzip);
    prom_writer_init(&w, &p->text, p->format);
    if (o->dcgm)
        r = agent_page_dcgm(&w, &v);
    if (!r && o->classic)
        r = agent_page_classic(&w, &v);
    if (!r && o->own)
        r = agent_page_own_gpus(&w, &v);
    if (!r && o->own) {
        write_sampling(&w, &v, stats);
        write_serving(&w, stats);
        write_pod_resources(&w, &v, &stats->kubelet);
        write_process(&w, stats);
    }
    int ended = prom_writer_end(&w);
    if (r || ended) {
        buf_clear(&p->text);
        return r ? r : ended;
    }
    p->rendered = true;
    p->version = s->version;
    p->rounds = s->rounds;
    p->at_ns = now_ns;
    p->options = *o;
    return 0;
}

static voidpf zip_alloc(voidpf opaque, uInt items, uInt size) {
    return mem_array(items, size);
}

static void zip_free(voidpf opaque, voidpf address) {
    mem_free(address);
}

int agent_page_gzip(struct agent_page *p, struct str *ret) {
    if (p->gzip.len == 0) {
        z_stream z = {.zalloc = zip_alloc, .zfree = zip_free};
        // 15 + 16: a gzip header. Level 1 and a small window table: the page is made for one
        // scrape.
        if (deflateInit2(&z, 1, Z_DEFLATED, 12 + 16, 5, Z_DEFAULT_STRATEGY) != Z_OK)
            return ERR_NOMEM;
        size_t bound = deflateBound(&z, p->text.len);
        char *into = buf_reserve(&p->gzip, bound);
        if (!into) {
            deflateEnd(&z);
            return ERR_NOMEM;
        }
        z.next_in = (Bytef *)p->text.p;
        z.avail_in = (uInt)p->text.len;
        z.next_out = (Bytef *)into;
        z.avail_out = (uInt)bound;
        int r = deflate(&z, Z_FINISH);
        size_t n = z.total_out;
        deflateEnd(&z);
        if (r != Z_STREAM_END)
            return ERR_NOMEM;
        buf_commit(&p->gzip, n);
    }
    *ret = buf_str(&p->gzip);
    return 0;
}
