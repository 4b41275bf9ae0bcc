// SPDX-License-Identifier: Apache-2.0
/* See stats.h. Names, help texts and buckets are those of vLLM's v1/metrics/loggers.py. */
#include "engine/stats.h"

#include "base/mem.h"

static const double ttft_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                     0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                     20,    40,    80,   160,  640,  2560};
static const double token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                      0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
static const double request_bounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                        30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};

void engine_stats_init(struct engine_stats *s) {
    *s = (struct engine_stats){0};
    histogram_init(&s->ttft, ttft_bounds, COUNT_OF(ttft_bounds));
    histogram_init(&s->itl, token_bounds, COUNT_OF(token_bounds));
    histogram_init(&s->tpot, token_bounds, COUNT_OF(token_bounds));
    struct histogram *const of_requests[] = {&s->e2e, &s->queue, &s->inference, &s->prefill,
                                             &s->decode};
    for (size_t i = 0; i < COUNT_OF(of_requests); i++)
        histogram_init(of_requests[i], request_bounds, COUNT_OF(request_bounds));
}

void engine_stats_itl(void *ctx, const struct station_itl *run) {
    struct engine_stats *s = ctx;
    for (uint32_t i = 0; i < run->iterations; i++)
        histogram_add_n(&s->itl, run->first_s + i * run->step_s, run->sequences);
}

static double seconds(int64_t from_ns, int64_t to_ns) {
    return (double)(to_ns - from_ns) * 1e-9;
}

void engine_stats_finish(struct engine_stats *s, const struct station_event *ev,
                         int64_t arrived_ns) {
    s->finished++;
    histogram_add(&s->e2e, seconds(arrived_ns, ev->at_ns));
    histogram_add(&s->inference, seconds(ev->admitted_ns, ev->at_ns));
    histogram_add(&s->prefill, seconds(ev->admitted_ns, ev->first_token_ns));
    histogram_add(&s->decode, seconds(ev->first_token_ns, ev->at_ns));
    if (ev->output_tokens > 1)
        histogram_add(&s->tpot, seconds(ev->first_token_ns, ev->at_ns) / (ev->output_tokens - 1));
}

#define LABEL(n, v) ((struct prom_label){STR(n), str_from(v)})

struct writer {
    struct prom_writer w;
    struct prom_label labels[3]; // engine, model_name, and one more
};

static void value(struct writer *w, const char *name, enum prom_type type, const char *help,
                  double v) {
    prom_family(&w->w, name, type, help);
    prom_sample(&w->w, w->labels, 2, v);
}

static void counter(struct writer *w, const char *name, const char *help, uint64_t v) {
    prom_family(&w->w, name, PROM_COUNTER, help);
    prom_sample_u64(&w->w, w->labels, 2, v);
}

static void histogram(struct writer *w, const char *name, const char *help,
                      const struct histogram *h) {
    prom_family(&w->w, name, PROM_HISTOGRAM, help);
    prom_sample_histogram(&w->w, w->labels, 2, h);
}

static void labelled(struct writer *w, const char *label, const char *text, uint64_t v) {
    w->labels[2] = (struct prom_label){str_from(label), str_from(text)};
    prom_sample_u64(&w->w, w->labels, 3, v);
}

static void vllm_counts(struct writer *w, const struct engine_page *p) {
    const struct station_reading *r = p->reading;
    value(w, "vllm:num_requests_running", PROM_GAUGE,
          "Number of requests in model execution batches.", r->running);
    value(w, "vllm:num_requests_waiting", PROM_GAUGE, "Number of requests waiting to be processed.",
          r->waiting);
    if (p->kind == STATION_CONTINUOUS)
        value(w, "vllm:kv_cache_usage_perc", PROM_GAUGE,
              "KV-cache usage. 1 means 100 percent usage.",
              (double)r->kv_used_tokens / (double)p->kv_tokens);
    prom_family(&w->w, "vllm:engine_sleep_state", PROM_GAUGE,
                "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is "
                "awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep "
                "level 2.");
    labelled(w, "sleep_state", "awake", 1);
    labelled(w, "sleep_state", "weights_offloaded", 0);
    labelled(w, "sleep_state", "discard_all", 0);
    counter(w, "vllm:num_preemptions_total", "Cumulative number of preemption from the engine.",
            r->preempted);
    counter(w, "vllm:prompt_tokens_total", "Number of prefill tokens processed.", r->prompt_tokens);
    counter(w, "vllm:generation_tokens_total", "Number of generation tokens processed.",
            r->output_tokens);
    prom_family(&w->w, "vllm:request_success_total", PROM_COUNTER,
                "Count of successfully processed requests.");
    labelled(w, "finished_reason", "stop", 0);
    labelled(w, "finished_reason", "length", p->stats->finished);
    labelled(w, "finished_reason", "abort", p->stats->aborted);
    labelled(w, "finished_reason", "error", 0);
}

static void vllm_times(struct writer *w, const struct engine_stats *s) {
    histogram(w, "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.",
              &s->ttft);
    histogram(w, "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.",
              &s->itl);
    histogram(w, "vllm:request_time_per_output_token_seconds",
              "Histogram of time_per_output_token_seconds per request.", &s->tpot);
    histogram(w, "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.",
              &s->e2e);
    histogram(w, "vllm:request_queue_time_seconds",
              "Histogram of time spent in WAITING phase for request.", &s->queue);
    histogram(w, "vllm:request_inference_time_seconds",
              "Histogram of time spent in RUNNING phase for request.", &s->inference);
    histogram(w, "vllm:request_prefill_time_seconds",
              "Histogram of time spent in PREFILL phase for request.", &s->prefill);
    histogram(w, "vllm:request_decode_time_seconds",
              "Histogram of time spent in DECODE phase for request.", &s->decode);
}

// What a server of one's own calls them (preset `custom`).
static void classic(struct writer *w, const struct engine_page *p) {
    const struct station_reading *r = p->reading;
    value(w, "inference_queue_length", PROM_GAUGE, "Requests that wait.", r->waiting);
    value(w, "inference_requests_running", PROM_GAUGE, "Requests being served.", r->running);
    counter(w, "inference_requests_total", "Requests that ended, by their client or by us.",
            p->stats->finished + p->stats->aborted);
}

static void own(struct writer *w, const struct engine_page *p) {
    static const char *const reasons[] = {"loading", "queue", "draining"};
    prom_family(&w->w, "gpuscale_engine_refused_total", PROM_COUNTER, "Requests answered 503.");
    for (int i = 0; i < ENGINE_REFUSED_MAX; i++)
        labelled(w, "reason", reasons[i], p->stats->refused[i]);
    counter(w, "gpuscale_engine_bad_requests_total", "Requests answered 400 or 404.",
            p->stats->bad);
    prom_family(&w->w, "process_cpu_seconds_total", PROM_COUNTER,
                "Total user and system CPU time spent in seconds.");
    prom_sample(&w->w, NULL, 0, p->cpu_s);
    prom_family(&w->w, "process_start_time_seconds", PROM_GAUGE,
                "Start time of the process since unix epoch in seconds.");
    prom_sample(&w->w, NULL, 0, p->started_s);
}

int engine_page_write(const struct engine_page *p, enum prom_format format, struct buf *out) {
    struct writer w = {.labels = {LABEL("engine", "0"), LABEL("model_name", p->model)}};
    prom_writer_init(&w.w, out, format);
    vllm_counts(&w, p);
    vllm_times(&w, p->stats);
    if (p->kind == STATION_BATCHES)
        classic(&w, p);
    own(&w, p);
    return prom_writer_end(&w.w);
}
