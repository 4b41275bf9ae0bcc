// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's run: its acts one after the other, a look at the present one each second, and the
 * ending. One loop, one thread. Everything it starts is ended before it returns.
 */
#include "playground/demo.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/signals.h"
#include "playground/act.h"
#include "playground/feed.h"
#include "playground/files.h"
#include "playground/screen.h"

#define SECOND_NS NS_PER_S
enum { ACTS_MAX = 3, PRINT_BYTES = 256 << 10 };

struct demo {
    struct demo_options options;
    const struct plan *plan;
    uv_loop_t loop;
    struct net_signals signals;
    struct net_timer *second, *next;
    char folder[FILES_PATH_MAX];
    struct act *act; // NULL: between two acts
    size_t at;       // which one
    struct table_row rows[ACTS_MAX];
    size_t n_rows;
    struct screen screen;
    struct feed *feed;
    struct gateway_stats before; // a second ago
    int64_t before_ns, t0_ns;
    bool begun, stopping;
    struct err failure;
};

static void put(const struct buf *b) {
    (void)fwrite(b->p, 1, b->len, stdout);
    (void)fflush(stdout);
}

static void measure_terminal(struct demo *d) {
    struct winsize w;
    d->screen.columns = 100;
    if (d->options.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20) {
        d->screen.columns = w.ws_col;
        d->screen.rows = w.ws_row;
    }
}

static double act_time_s(const struct demo *d) {
    return d->begun ? (double)(clock_mono_ns() - d->t0_ns) / (double)NS_PER_S : 0;
}

static void show_event(struct demo *d, const char *who, int replicas, const char *text) {
    feed_event(d->feed, act_time_s(d), who, replicas, text);
    screen_add_event(&d->screen, act_time_s(d), who, text);
    if (d->options.terminal)
        return;
    CLEANUP_BUF struct buf b;
    buf_init(&b, PRINT_BYTES);
    if (screen_event_line(&b, act_time_s(d), who, text, d->screen.columns) == 0)
        put(&b);
}

static void show_second(struct demo *d) {
    struct act_view v;
    int64_t now_ns = clock_mono_ns();
    act_view(d->act, &v);
    double dt_s = (double)(now_ns - d->before_ns) / (double)NS_PER_S;
    struct screen_frame f = {.label = driver_policy_label(d->options.policies[d->at]),
                             .act = (int)d->at + 1,
                             .acts = (int)d->options.n_policies,
                             .act_s = (double)d->plan->act_ns / (double)NS_PER_S,
                             .speed = d->plan->speed,
                             .usd_per_gpu_hour = d->plan->usd_per_gpu_hour,
                             .arriving = NAN,
                             .served = NAN,
                             .view = &v,
                             .finished = d->rows,
                             .n_finished = d->n_rows,
                             .page = feed_url(d->feed)};
    struct feed_second s = {.policy = d->options.policies[d->at],
                            .view = &v,
                            .arriving = NAN,
                            .served = NAN,
                            .usd_per_gpu_hour = d->plan->usd_per_gpu_hour,
                            .now_ns = now_ns};
    if (v.over)
        return;
    if (d->before_ns && dt_s > 0) {
        s.arriving = f.arriving = (double)(v.gateway.arrived - d->before.arrived) / dt_s;
        s.served = f.served = (double)(v.gateway.answered[2] - d->before.answered[2]) / dt_s;
    }
    d->before = v.gateway;
    d->before_ns = now_ns;
    measure_terminal(d);
    CLEANUP_BUF struct buf b;
    buf_init(&b, PRINT_BYTES);
    if (d->begun) {
        screen_add_second(&d->screen, f.arriving, v.ready + v.starting);
        (void)feed_frame(d->feed, &s);
    }
    if (d->options.terminal ? screen_draw(&d->screen, &b, &f) == 0
                            : d->begun && screen_row(&d->screen, &b, &f) == 0)
        put(&b);
}

static void second_due(void *ctx) {
    struct demo *d = ctx;
    if (d->act)
        show_second(d);
}

static void act_began(void *ctx) {
    struct demo *d = ctx;
    d->begun = true;
    d->t0_ns = clock_mono_ns();
    d->before_ns = 0;
}

static void act_told(void *ctx, const char *who, int replicas, const char *text) {
    struct demo *d = ctx;
    show_event(d, who, replicas, text);
}

static void take_row(struct demo *d, const struct act_result *r) {
    enum driver_policy policy = d->options.policies[d->at];
    bool any = r->load.final && r->load.done > 0;
    d->rows[d->n_rows++] = (struct table_row){.id = plan_policy_id(policy),
                                              .label = driver_policy_label(policy),
                                              .gpu_s = r->gpu_s,
                                              .idle_gpu_s = r->idle_gpu_s,
                                              .usd = r->gpu_s / 3600 * d->plan->usd_per_gpu_hour,
                                              .p50_ms = any ? r->load.p50_ms : NAN,
                                              .p95_ms = any ? r->load.p95_ms : NAN,
                                              .p99_ms = any ? r->load.p99_ms : NAN,
                                              .errors = r->load.errors,
                                              .served = r->load.done,
                                              .scale_events = r->scale_events,
                                              .whole = r->whole};
}

static int write_report(struct demo *d, const char *path, struct err *e) {
    const struct plan *p = d->plan;
    CLEANUP_BUF struct buf b;
    buf_init(&b, PRINT_BYTES);
    (void)buf_addf(
        &b,
        "{\"profile\":\"%s\",\"rate\":%g,\"actSeconds\":%g,\"gpus\":%d,\"coldStartSeconds\""
        ":%g,\"usdPerGpuHour\":%g,\"speed\":%g,\"seed\":%llu,\"capacity\":%g,"
        "\"cpuRequestCores\":%g,\"policies\":",
        p->profile, p->rate, (double)p->act_ns / (double)NS_PER_S, p->gpus,
        (double)p->cold_start_ns / (double)NS_PER_S, p->usd_per_gpu_hour, p->speed,
        (unsigned long long)p->seed, p->capacity, p->cpu_request_cores);
    (void)table_write_json(&b, d->rows, d->n_rows);
    (void)buf_addc(&b, "}\n");
    if (b.err < 0)
        return err_set(e, b.err, "the report does not fit");
    return files_write(path, buf_str(&b), e);
}

static void end_feed(struct demo *d) {
    char json[FILES_PATH_MAX], html[FILES_PATH_MAX];
    struct err e = {0};
    if (d->n_rows && files_join(json, d->folder, "report.json", &e) == 0 &&
        files_join(html, d->folder, "report.html", &e) == 0) {
        const struct feed_file files[] = {
            {"report", html}, {"figures", json}, {"folder", d->folder}};
        (void)feed_end(d->feed, d->rows, d->n_rows, files, COUNT_OF(files));
        if (write_report(d, json, &e) == 0)
            (void)feed_write_report(d->feed, html, &e);
    }
    if (e.code < 0)
        (void)fprintf(stderr, "gpuscale demo: %s\n", e.msg);
    feed_close(d->feed);
    d->feed = NULL;
}

static void demo_over(struct demo *d) {
    if (d->feed)
        end_feed(d);
    net_timer_stop(&d->second);
    net_timer_stop(&d->next);
    net_signals_stop(&d->signals);
}

static void start_act(struct demo *d);

static void next_due(void *ctx) {
    struct demo *d = ctx;
    if (d->stopping || d->failure.code < 0 || d->at == d->options.n_policies)
        demo_over(d);
    else
        start_act(d);
}

static void act_ended(void *ctx, const struct act_result *result, const struct err *why) {
    struct demo *d = ctx;
    if (why && d->failure.code == 0 && !d->stopping)
        d->failure = *why;
    if (d->begun)
        take_row(d, result);
    d->act = NULL;
    d->begun = false;
    d->at++;
    net_timer_again(d->next, 0);
}

static void start_act(struct demo *d) {
    const struct act_callbacks callbacks = {act_began, act_told, act_ended, d};
    struct act_options o = {.policy = d->options.policies[d->at],
                            .plan = d->plan,
                            .agent = d->options.agent,
                            .program = d->options.program,
                            .folder = d->folder};
    screen_begin_act(&d->screen);
    d->before_ns = 0;
    if (!d->options.terminal)
        (void)printf("\nAct %zu of %zu: %s\n", d->at + 1, d->options.n_policies,
                     driver_policy_label(o.policy));
    if (act_start(&d->act, &d->loop, &o, &callbacks, &d->failure) < 0)
        demo_over(d);
}

static void interrupted(void *ctx, int number) {
    struct demo *d = ctx;
    (void)number;
    d->stopping = true;
    if (d->act)
        act_stop(d->act);
}

static void print_intro(struct demo *d) {
    const struct plan *p = d->plan;
    CLEANUP_BUF struct buf shape;
    buf_init(&shape, 1024);
    (void)plan_shape(&shape, p);
    (void)printf(
        "gpuscale demo: %d simulated GPUs, engines with the profile %s, one load under %zu "
        "policies.\nLoad (requests/s@for): " STR_FMT "\n"
        "Clocks of Kubernetes, KEDA and Prometheus run %g times as fast; a model loads in "
        "%.1f s; seed %llu.\nFiles: %s\n",
        p->gpus, p->profile, d->options.n_policies, STR_ARG(buf_str(&shape)), p->speed,
        (double)p->cold_start_ns / (double)NS_PER_S, (unsigned long long)p->seed, d->folder);
    if (feed_url(d->feed))
        (void)printf("Live page: %s\n", feed_url(d->feed));
    (void)fflush(stdout);
}

static int setup(struct demo *d, struct err *e) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    int r = net_signals_start(&d->signals, &d->loop, numbers, COUNT_OF(numbers), interrupted, d, e);
    if (r == 0)
        r = files_make(d->folder, d->options.out, e);
    if (r == 0)
        r = feed_open(&d->feed, &d->loop, d->options.page, e);
    if (r == 0 &&
        (r = feed_hello(d->feed, d->plan, d->options.policies, d->options.n_policies)) < 0)
        r = err_set(e, r, "the page's heading does not fit");
    if (r == 0)
        r = net_timer_start(&d->second, &d->loop, SECOND_NS, SECOND_NS, second_due, d, e);
    if (r == 0)
        r = net_timer_start(&d->next, &d->loop, 0, 0, next_due, d, e);
    return r;
}

static void print_end(struct demo *d) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, PRINT_BYTES);
    (void)buf_add_byte(&b, '\n');
    (void)table_write(&b, d->rows, d->n_rows);
    (void)buf_addf(&b,
                   "\nThe page with this run inside: %s/report.html\nFigures: %s/report.json\n"
                   "Logs, configurations and loads of each act: %s\n",
                   d->folder, d->folder, d->folder);
    put(&b);
}

int demo_run(const struct demo_options *options, struct err *e) {
    struct demo *d = mem_zalloc(sizeof(*d));
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for the demo");
    d->options = *options;
    d->plan = options->plan;
    d->screen.color = options->color;
    uv_loop_init(&d->loop);
    measure_terminal(d);
    int r = setup(d, &d->failure);
    if (r == 0)
        print_intro(d);
    else
        demo_over(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&d->loop);
    if (d->n_rows)
        print_end(d);
    r = d->failure.code;
    if (r < 0 && e)
        *e = d->failure;
    mem_free(d);
    return r;
}
