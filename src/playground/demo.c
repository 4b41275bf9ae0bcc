// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's run, an explicit sequence: agent up, scaler up, the minute, ending. One loop, one
 * thread. Everything it starts is ended before it returns.
 */
#include "playground/demo.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "playground/child.h"
#include "playground/explain.h"
#include "playground/files.h"
#include "playground/gpus.h"
#include "playground/keda.h"
#include "playground/pages.h"
#include "playground/screen.h"

#define STEP_NS (250 * NS_PER_MS)
#define START_LIMIT_NS (20 * NS_PER_S)
#define END_LIMIT_NS (5 * NS_PER_S)

enum demo_phase {
    DEMO_AGENT,  // waiting for the agent's ports
    DEMO_SCALER, // waiting for the scaler's ports
    DEMO_RUNS,
    DEMO_ENDS, // children are being ended
};

struct demo {
    struct demo_options options;
    uv_loop_t loop;
    uv_signal_t sigint, sigterm;
    enum demo_phase phase;
    int64_t phase_ns, start_ns;
    struct err failure;
    struct files files;
    struct service service;
    struct screen screen;
    struct pages *pages;
    struct child *agent, *scaler;
    struct gpus *gpus;
    struct keda *keda;
    struct net_timer *step;
    char agent_grpc[CHILD_ADDR_LEN], scaler_grpc[CHILD_ADDR_LEN], scaler_http[CHILD_ADDR_LEN];
    double metric;
    bool active;
    char last_error[ERR_MSG_MAX];
    int64_t next_row_ns;
    int ready_seen;
    int explains; // running
    int largest;
};

static const char *const rule[][2] = {
    {"scalerAddress", "in-this-demo"},
    {"engine", "vllm"},
    {"capacity", "2"},     // requests a second that one replica serves within its SLO
    {"demand", "gateway"}, // seen while no pod exists
    {"kvCache", "0.85"},   // guard: more replicas when the KV caches are this full
    {"rateWindow", "10s"}, // a minute's demo: shorter windows than the defaults 60 s and 300 s
    {"downWindow", "10s"},
    {NULL, NULL},
};

static double now_s(const struct demo *d) {
    return (double)(clock_mono_ns() - d->start_ns) / (double)NS_PER_S;
}

static void demo_end(struct demo *d) {
    if (d->phase == DEMO_ENDS)
        return;
    d->phase = DEMO_ENDS;
    d->phase_ns = clock_mono_ns();
    d->keda = keda_free(d->keda);
    d->gpus = gpus_free(d->gpus);
    if (d->agent)
        child_terminate(d->agent);
    if (d->scaler)
        child_terminate(d->scaler);
}

static void demo_fail(struct demo *d, int code) {
    if (d->failure.code == 0)
        d->failure.code = code;
    demo_end(d);
}

static void interrupted(uv_signal_t *s, int signum) {
    (void)signum;
    demo_end(s->data);
}

static void apply_replicas(struct demo *d, int replicas) {
    struct err e = {0};
    int have = service_scale(&d->service, replicas);
    d->largest = have > d->largest ? have : d->largest;
    keda_set_replicas(d->keda, have);
    if (files_write_workloads(&d->files, &d->service, d->pages, &e) < 0)
        screen_event(&d->screen, now_s(d), "demo", "%s", e.msg);
}

static void explained(void *ctx, struct str text) {
    struct demo *d = ctx;
    d->explains--;
    screen_why(&d->screen, text);
}

static void explain(struct demo *d) {
    char url[CHILD_ADDR_LEN + 8];
    struct err e = {0};
    snprintf(url, sizeof(url), "http://%s", d->scaler_http);
    if (explain_run(&d->loop, d->options.scaler, url, "default/demo-llm", explained, d, &e) < 0)
        screen_event(&d->screen, now_s(d), "demo", "%s", e.msg);
    else
        d->explains++;
}

static void keda_answered(void *ctx, double metric, bool active, int replicas, const char *error) {
    struct demo *d = ctx;
    d->metric = metric;
    d->active = active;
    if (error) {
        if (!str_eqc(str_from(error), d->last_error))
            screen_event(&d->screen, now_s(d), "KEDA", "error: %s", error);
        snprintf(d->last_error, sizeof(d->last_error), "%s", error);
        return;
    }
    d->last_error[0] = '\0';
    int have = service_replicas(&d->service);
    if (replicas == have)
        return;
    if (replicas == 0)
        screen_event(&d->screen, now_s(d), "KEDA", "inactive for the cooldown: %d -> 0 replicas",
                     have);
    else
        screen_event(&d->screen, now_s(d), have ? "HPA" : "KEDA",
                     "desired-replicas is %g: %d -> %d replicas", metric, have, replicas);
    explain(d); // first: the new count is a new decision
    apply_replicas(d, replicas);
}

static void keda_pushed(void *ctx, bool active) {
    struct demo *d = ctx;
    if (!active || service_replicas(&d->service) > 0)
        return;
    screen_event(&d->screen, now_s(d), "KEDA", "pushed active by the scaler: 0 -> 1 replica");
    explain(d);
    apply_replicas(d, 1);
}

static void print_row(struct demo *d, double at_s) {
    struct gpu_reading gpus[SERVICE_PODS_MAX];
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        gpus[i] = gpus_reading(d->gpus, i);
    double total_s = (double)d->options.duration_ns / (double)NS_PER_S;
    screen_row(&d->screen, &(struct screen_row){.at_s = at_s,
                                                .rate = service_traffic(at_s, total_s),
                                                .service = &d->service,
                                                .gpus = gpus,
                                                .metric = d->metric,
                                                .active = d->active,
                                                .replicas = service_replicas(&d->service)});
}

static void step_running(struct demo *d, int64_t now_ns) {
    double total_s = (double)d->options.duration_ns / (double)NS_PER_S;
    service_advance(&d->service, service_traffic(now_s(d), total_s), now_ns);
    gpus_play(d->gpus, &d->service);
    int ready = service_pods(&d->service, SERVICE_POD_READY);
    if (ready != d->ready_seen) {
        struct err e = {0};
        if (files_write_workloads(&d->files, &d->service, d->pages, &e) < 0)
            screen_event(&d->screen, now_s(d), "demo", "%s", e.msg);
        d->ready_seen = ready;
    }
    if (now_ns >= d->next_row_ns) {
        d->next_row_ns += NS_PER_S;
        print_row(d, now_s(d));
    }
    if (now_ns - d->start_ns >= d->options.duration_ns)
        demo_end(d);
}

static void step_due(void *ctx) {
    struct demo *d = ctx;
    int64_t now_ns = clock_mono_ns();
    switch (d->phase) {
    case DEMO_AGENT:
    case DEMO_SCALER:
        if (now_ns - d->phase_ns > START_LIMIT_NS)
            demo_fail(d,
                      err_set(&d->failure, ERR_TIMEOUT, "the %s does not listen: see %s",
                              d->phase == DEMO_AGENT ? "agent" : "scaler",
                              d->phase == DEMO_AGENT ? d->files.agent_log : d->files.scaler_log));
        break;
    case DEMO_RUNS:
        step_running(d, now_ns);
        break;
    case DEMO_ENDS:
        if (!d->agent && !d->scaler && !d->explains) {
            net_timer_stop(&d->step);
            d->pages = pages_free(d->pages);
            uv_close((uv_handle_t *)&d->sigint, NULL);
            uv_close((uv_handle_t *)&d->sigterm, NULL);
        } else if (now_ns - d->phase_ns > END_LIMIT_NS) {
            if (d->agent)
                child_kill(d->agent);
            if (d->scaler)
                child_kill(d->scaler);
        }
        break;
    }
}

static void demo_begin(struct demo *d) {
    struct keda_options o = {.addr = d->scaler_grpc,
                             .namespace_ = "default",
                             .name = "demo-llm",
                             .metadata = rule,
                             .max_replicas = SERVICE_PODS_MAX,
                             .poll_ns = 2 * NS_PER_S,
                             .cooldown_ns = 15 * NS_PER_S,
                             .answered = keda_answered,
                             .pushed = keda_pushed,
                             .ctx = d};
    char url[CHILD_ADDR_LEN + 32];
    int r = keda_new(&d->keda, &d->loop, &o, &d->failure);
    if (r == 0)
        r = gpus_new(&d->gpus, &d->loop, d->agent_grpc, d->files.load_socket, &d->failure);
    if (r < 0) {
        demo_fail(d, r);
        return;
    }
    d->phase = DEMO_RUNS;
    d->start_ns = d->next_row_ns = clock_mono_ns();
    d->service.now_ns = d->start_ns;
    snprintf(url, sizeof(url), "http://%s/api/v1/workloads", d->scaler_http);
    screen_intro(&d->screen, d->files.folder, url);
}

static void scaler_listening(void *ctx, const char *server, const char *addr) {
    struct demo *d = ctx;
    if (str_eqc(STR("grpc"), server))
        str_copy(d->scaler_grpc, sizeof(d->scaler_grpc), str_from(addr));
    if (str_eqc(STR("http"), server))
        str_copy(d->scaler_http, sizeof(d->scaler_http), str_from(addr));
    if (d->phase == DEMO_SCALER && d->scaler_grpc[0] && d->scaler_http[0])
        demo_begin(d);
}

static void child_exited(struct demo *d, const char *who, const char *log, int status, int signal) {
    if (d->phase == DEMO_ENDS)
        return;
    demo_fail(d, err_set(&d->failure, ERR_CLOSED, "the %s ended (status %d, signal %d): see %s",
                         who, status, signal, log));
}

static void scaler_exited(void *ctx, int status, int signal) {
    struct demo *d = ctx;
    d->scaler = NULL;
    child_exited(d, "scaler", d->files.scaler_log, status, signal);
}

static void agent_exited(void *ctx, int status, int signal) {
    struct demo *d = ctx;
    d->agent = NULL;
    child_exited(d, "agent", d->files.agent_log, status, signal);
}

static void start_scaler(struct demo *d) {
    const char *argv[] = {d->options.scaler, "scaler", "--config", d->files.scaler_config, NULL};
    struct child_callbacks callbacks = {scaler_listening, scaler_exited, d};
    d->phase = DEMO_SCALER;
    d->phase_ns = clock_mono_ns();
    int r = files_write_scaler(&d->files, d->agent_grpc, d->pages, &d->failure);
    if (r == 0)
        r = files_write_workloads(&d->files, &d->service, d->pages, &d->failure);
    if (r == 0)
        r = child_spawn(&d->scaler, &d->loop, argv, d->files.scaler_log, &callbacks, &d->failure);
    if (r < 0)
        demo_fail(d, r);
}

static void agent_listening(void *ctx, const char *server, const char *addr) {
    struct demo *d = ctx;
    if (d->phase != DEMO_AGENT || !str_eqc(STR("grpc"), server))
        return;
    str_copy(d->agent_grpc, sizeof(d->agent_grpc), str_from(addr));
    start_scaler(d);
}

static int start_agent(struct demo *d, struct err *e) {
    char source[FILES_PATH_MAX + 32];
    snprintf(source, sizeof(source), "sim:%d,idle,load=%s", SERVICE_PODS_MAX, d->files.load_socket);
    const char *argv[] = {d->options.agent,
                          "--source",
                          source,
                          "--node-name",
                          "demo-node",
                          "--listen",
                          "127.0.0.1:0",
                          "--grpc-listen",
                          "127.0.0.1:0",
                          "--health-listen",
                          "127.0.0.1:0",
                          "--config",
                          d->files.agent_config,
                          NULL};
    struct child_callbacks callbacks = {agent_listening, agent_exited, d};
    d->phase = DEMO_AGENT;
    d->phase_ns = clock_mono_ns();
    int r = files_write_agent(&d->files, e);
    if (r == 0)
        r = child_spawn(&d->agent, &d->loop, argv, d->files.agent_log, &callbacks, e);
    return r;
}

static int demo_setup(struct demo *d, struct err *e) {
    int r = files_make(&d->files, e);
    if (r == 0)
        r = pages_new(&d->pages, &d->loop, &d->service, e);
    if (r == 0)
        r = net_timer_start(&d->step, &d->loop, STEP_NS, STEP_NS, step_due, d, e);
    if (r == 0)
        r = start_agent(d, e);
    return r;
}

static void print_summary(struct demo *d) {
    const struct service *s = &d->service;
    double total_s = (double)d->options.duration_ns / (double)NS_PER_S;
    printf("\n%.0f requests arrived; replicas went 0 -> %d -> %d; pods held GPUs for %.0f "
           "GPU-seconds\n(%.0f with work); %d GPUs always on would have been %.0f. Requests waited "
           "%.1f s on average,\ncold starts included.\n",
           s->arrived, d->largest, service_replicas(s), s->gpu_s, s->busy_s, d->largest,
           d->largest * total_s, s->arrived > 0 ? s->waited_s / s->arrived : 0.0);
    printf("Files and logs: %s\n", d->files.folder);
}

int demo_run(const struct demo_options *options, struct err *e) {
    struct demo d = {.options = *options, .screen.color = options->color, .metric = NAN};
    uv_loop_init(&d.loop);
    service_init(&d.service, options->cold_start_ns, clock_mono_ns());
    uv_signal_init(&d.loop, &d.sigint);
    uv_signal_init(&d.loop, &d.sigterm);
    d.sigint.data = d.sigterm.data = &d;
    uv_signal_start(&d.sigint, interrupted, SIGINT);
    uv_signal_start(&d.sigterm, interrupted, SIGTERM);
    int r = demo_setup(&d, &d.failure);
    if (r < 0)
        demo_fail(&d, r);
    if (!d.step) { // nothing was started: nothing to wait for
        d.pages = pages_free(d.pages);
        uv_close((uv_handle_t *)&d.sigint, NULL);
        uv_close((uv_handle_t *)&d.sigterm, NULL);
    }
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_loop_close(&d.loop);
    if (d.failure.code < 0) {
        if (e)
            *e = d.failure;
        return d.failure.code;
    }
    print_summary(&d);
    return 0;
}
