// SPDX-License-Identifier: Apache-2.0
/* See engine.h: start, the model's loading, the drain and the end. */
#include "engine/engine.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "net/descriptors.h"

enum { CLOSE_GRACE_MS = 1000 };

static void on_closed(void *ctx) {
    struct engine *m = ctx;
    m->server = NULL;
    net_signals_stop(&m->signals);
}

// Ends: what is unanswered is dropped.
static void close_all(struct engine *m) {
    if (m->state == ENGINE_CLOSING)
        return;
    m->state = ENGINE_CLOSING;
    engine_gpu_load_stop(m);
    net_timer_stop(&m->step);
    net_timer_stop(&m->loaded);
    net_timer_stop(&m->drain);
    m->worker = engine_worker_stop(m->worker);
    unsigned left = m->n_jobs;
    engine_jobs_drop(m);
    if (left > 0)
        log_warn("requests were left unanswered", LOG_I64("requests", left));
    if (m->server)
        http_server_close(m->server, CLOSE_GRACE_MS, on_closed, m);
    else
        on_closed(m);
}

void engine_job_ended(struct engine *m) {
    // The timer ends it from the loop: nobody above us may find the engine closed.
    if (m->state == ENGINE_DRAINING && m->n_jobs == 0)
        net_timer_again(m->drain, 0);
}

static void on_drained(void *ctx) {
    close_all(ctx);
}

static void on_signal(void *ctx, int number) {
    struct engine *m = ctx;
    struct err e = {0};
    log_info("stopping", LOG_STR("signal", strsignal(number)), LOG_I64("requests", m->n_jobs));
    bool second = m->state == ENGINE_DRAINING;
    if (!second && m->state != ENGINE_CLOSING) {
        m->state = ENGINE_DRAINING;
        net_timer_stop(&m->loaded);
        int64_t wait_ns = m->n_jobs > 0 ? m->drain_timeout_ns : 0;
        if (net_timer_start(&m->drain, &m->loop, wait_ns, 0, on_drained, m, &e) == 0)
            return;
    }
    close_all(m);
}

static void on_step(void *ctx) {
    engine_pump(ctx);
}

static void on_loaded(void *ctx) {
    struct engine *m = ctx;
    m->state = ENGINE_READY;
    m->ready_ns = clock_mono_ns();
    log_info("ready", LOG_STR("profile", m->plan.profile.name), LOG_STR("model", m->plan.model),
             LOG_DUR("loaded_in", m->ready_ns - m->started_ns));
    engine_pump(m);
}

static int start(struct engine *m, const struct engine_config *c, struct err *e) {
    static const int numbers[] = {SIGTERM, SIGINT};
    struct station_config station = m->plan.station;
    station.itl = engine_stats_itl;
    station.itl_ctx = &m->stats;
    int r = station_new(&m->station, &station, m->started_ns, e);
    r = r < 0
            ? r
            : net_signals_start(&m->signals, &m->loop, numbers, COUNT_OF(numbers), on_signal, m, e);
    r = r < 0 ? r : net_timer_start(&m->step, &m->loop, NS_PER_S, 0, on_step, m, e);
    if (r == 0 && m->plan.cpu->request_us > 0)
        r = engine_worker_start(&m->worker, &m->loop, engine_job_burned, e);
    r = r < 0 ? r : engine_serve_start(m, c->listen, e);
    r = r < 0 ? r : engine_gpu_load_start(m, e);
    return r < 0 ? r : net_timer_start(&m->loaded, &m->loop, m->plan.load_ns, 0, on_loaded, m, e);
}

static void say_plan(const struct engine_plan *p) {
    log_info("profile", LOG_STR("name", p->profile.name), LOG_STR("what", p->profile.title),
             LOG_STR("source", p->profile.source), LOG_I64("gpus", p->profile.gpus),
             LOG_DUR("load_time", p->load_ns));
    log_info("cpu", LOG_STR("name", p->cpu->name), LOG_STR("what", p->cpu->title),
             LOG_STR("source", p->cpu->source), LOG_F64("request_us", p->cpu->request_us),
             LOG_F64("stream_us", p->cpu->stream_us),
             LOG_F64("prompt_token_us", p->cpu->prompt_token_us),
             LOG_F64("output_token_us", p->cpu->output_token_us),
             LOG_F64("streamed_token_us", p->cpu->streamed_token_us));
    if (p->cold)
        log_info("cold start", LOG_STR("name", p->cold->name), LOG_STR("what", p->cold->title),
                 LOG_STR("source", p->cold->source),
                 LOG_F64("node_s", p->cold_start_s[COLD_START_NODE]),
                 LOG_F64("image_s", p->cold_start_s[COLD_START_IMAGE]),
                 LOG_F64("container_s", p->cold_start_s[COLD_START_CONTAINER]),
                 LOG_F64("model_s", p->cold_start_s[COLD_START_MODEL]));
}

static void say_end(const struct engine *m) {
    log_info("stopped", LOG_I64("finished", m->stats.finished),
             LOG_I64("aborted", m->stats.aborted),
             LOG_I64("refused", m->stats.refused[ENGINE_REFUSED_LOADING] +
                                    m->stats.refused[ENGINE_REFUSED_QUEUE] +
                                    m->stats.refused[ENGINE_REFUSED_DRAINING]),
             LOG_I64("bad", m->stats.bad), LOG_DUR("cpu", clock_process_cpu_ns()),
             LOG_DUR("cpu_modelled", (int64_t)(m->modelled_s * 1e9)));
}

int engine_run(const struct engine_config *c, struct err *e) {
    struct engine_plan plan;
    int r = engine_plan_make(c, &plan, e);
    if (r < 0)
        return r;
    struct engine *m = mem_zalloc(sizeof(*m));
    if (!m || uv_loop_init(&m->loop) < 0) {
        mem_free(m);
        return err_set(e, ERR_NOMEM, "no memory for the engine");
    }
    log_setup(STDERR_FILENO, (enum log_format)c->log.format, (enum log_level)c->log.level,
              "gpuscale-engine");
    m->plan = plan;
    m->drain_timeout_ns = c->drain_timeout_ns;
    m->load_socket = c->load_socket;
    m->load_fd = -1;
    m->started_ns = clock_mono_ns();
    m->started_real_s = (double)clock_real_ns() * 1e-9;
    engine_stats_init(&m->stats);
    (void)net_descriptors_raise(LIMIT_ENGINE_CONNECTIONS + 64); // fewer are refused at the accept
    say_plan(&plan);
    r = start(m, c, e);
    if (r < 0)
        close_all(m);
    uv_run(&m->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&m->loop);
    if (r == 0)
        say_end(m);
    station_free(m->station);
    mem_free(m);
    return r;
}
