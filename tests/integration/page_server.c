// SPDX-License-Identifier: Apache-2.0
/*
 * Plays a canned run of three policies to the demo's page, for the tests of the page: a toy of a
 * service, not a measurement. Logs where it listens; SIGTERM ends it.
 *
 *     page_server [--listen ADDR] [--pace-ms N] [--acts N] [--stop-after FRAMES] [--report FILE]
 *                 [--hostile] [--bare] [--cut SECONDS]
 *
 * --acts: how many of the three are played (3). --stop-after: no more frames after so many, until
 * SIGUSR1. --report: writes the report when the run is over. --hostile: names that try to leave
 * their place in the page. --bare: nothing but what must be known is known, and that nobody is held
 * at the gateway. --cut: the last of the played acts is cut short after so long, and those behind
 * it do not run.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/signals.h"
#include "playground/page.h"
#include "report/html.h"

enum { ACTS = 3, ACT_S = 40, GPUS = 8, COLD_S = 3, PER_REPLICA = 6, QUEUE_MAX = 150 };

struct options {
    const char *listen, *report;
    long pace_ms, acts, stop_after, cut_s; // cut_s 0: nothing is cut
    bool hostile, bare;
};

struct act {
    int t, ready, spec, wanted;
    int starting[GPUS]; // seconds until ready, of those that start
    int starting_n, quiet_s, served, errors;
    double waiting, gpu_s, idle_s, worst_ms;
};

struct world {
    struct options o;
    uv_loop_t loop;
    struct net_signals signals;
    struct net_timer *timer;
    struct page *page;
    struct live *live;
    int act_i;
    long frames;
    struct act act, done[ACTS];
};

static const struct frame_policy policies[ACTS] = {
    {"cpu", "CPU 70 %", "the HPA on the replicas' CPU"},
    {"classic", "Classic triggers", "KEDA on GPU utilization or queue length, the larger one"},
    {"gpuscale", "gpuscale", "what the engines serve and queue, and what the GPUs do"}};
static const struct frame_policy hostile[ACTS] = {
    {"cpu", "</script><script>document.title='owned'</script>", "</p><b>"},
    {"classic", "<img src=x onerror=\"document.title='owned'\">", NULL},
    {"gpuscale", "gpuscale \xe2\x80\xa8 \xff <!--<script>", NULL}};
static const char *const notes[] = {
    "A canned run for the tests of the page: nothing in it was measured.",
    "One GPU a replica, a cold start of 3 s."};

static const struct frame_policy *policies_of(const struct world *w) {
    return w->o.hostile ? hostile : policies;
}

static double demand_at(int t) {
    if (t < 10)
        return 2 + 2.2 * t;
    return t < 18 ? 24 : t < 25 ? 44 : 3;
}

static int clamp(int v) {
    return v < 1 ? 1 : v > GPUS ? GPUS : v;
}

static int wanted(const struct world *w, double demand) {
    const struct act *a = &w->act;
    int busy = (int)(demand / PER_REPLICA) + 1;
    if (w->act_i == 0) // sees half of the load, late
        return clamp(a->t % 4 == 0 ? busy / 2 + 1 : a->wanted);
    if (w->act_i == 1) // never lowers
        return clamp(a->waiting > 10 && a->t % 3 == 0 ? a->wanted + 2 : a->wanted);
    return clamp(busy > a->wanted || a->quiet_s > 3 ? busy : a->wanted);
}

static void step(struct world *w, double demand) {
    struct act *a = &w->act;
    a->wanted = wanted(w, demand);
    a->quiet_s = demand < (a->spec - 1) * PER_REPLICA ? a->quiet_s + 1 : 0;
    a->spec = a->wanted;
    int kept = 0;
    for (int i = 0; i < a->starting_n; i++) {
        if (--a->starting[i] <= 0)
            a->ready++;
        else
            a->starting[kept++] = a->starting[i];
    }
    a->starting_n = kept;
    while (a->ready + a->starting_n < a->spec)
        a->starting[a->starting_n++] = COLD_S;
    while (a->ready > a->spec)
        a->ready--;
    double can = a->ready * PER_REPLICA, has = demand + a->waiting;
    double served = has < can ? has : can;
    a->waiting = has - served;
    if (a->waiting > QUEUE_MAX) { // more than the gateway holds
        a->errors += (int)(a->waiting - QUEUE_MAX);
        a->waiting = QUEUE_MAX;
    }
    a->served += (int)served;
    a->gpu_s += a->ready + a->starting_n;
    a->idle_s += a->ready - (int)((served + PER_REPLICA - 1) / PER_REPLICA) + a->starting_n * 0.5;
    a->t++;
}

static size_t fill_gpus(const struct act *a, double demand, struct frame_gpu *gpus,
                        char names[GPUS][16]) {
    int busy = (int)((demand + a->waiting + PER_REPLICA - 1) / PER_REPLICA);
    for (int i = 0; i < GPUS; i++) {
        struct frame_gpu *g = &gpus[i];
        *g = (struct frame_gpu){.index = i, .utilization_pct = 0, .sm_pct = NAN, .memory_pct = 2};
        if (i < a->ready + a->starting_n) {
            (void)snprintf(names[i], sizeof(names[i]), "llm-%d", i);
            g->pod = names[i];
            g->memory_pct = 88;
        }
        if (i < a->ready && i < busy)
            g->state = FRAME_GPU_BUSY, g->utilization_pct = 96 - 3 * i, g->sm_pct = 61;
        else if (i < a->ready)
            g->state = FRAME_GPU_IDLE;
        else
            g->state = i < a->ready + a->starting_n ? FRAME_GPU_STARTING : FRAME_GPU_FREE;
        if (g->state == FRAME_GPU_STARTING)
            g->utilization_pct = NAN;
    }
    return GPUS;
}

static void add_frame(struct world *w, int was) {
    struct act *a = &w->act;
    double demand = demand_at(a->t - 1);
    struct frame f = frame_unknown;
    struct frame_gpu gpus[GPUS];
    char names[GPUS][16], text[128];
    f.policy = policies_of(w)[w->act_i].id;
    f.t_s = a->t;
    f.gpus = gpus;
    f.queue.held = 0;
    if (!w->o.bare) {
        f.gpu_n = fill_gpus(a, demand, gpus, names);
        f.replicas.wanted = a->wanted, f.replicas.spec = a->spec;
        f.replicas.ready = a->ready, f.replicas.starting = a->starting_n;
        f.rps.arriving = demand, f.rps.served = a->ready * PER_REPLICA;
        f.queue.engines = (int32_t)(a->waiting * 0.8), f.queue.held = (int32_t)(a->waiting * 0.2);
        double wait_ms = 1000 * a->waiting / (a->ready * PER_REPLICA);
        f.latency_ms.p50 = 420 + wait_ms * 0.6, f.latency_ms.p95 = 640 + wait_ms;
        f.latency_ms.p99 = 800 + wait_ms * 1.2;
        a->worst_ms = f.latency_ms.p95 > a->worst_ms ? f.latency_ms.p95 : a->worst_ms;
        f.errors = a->errors, f.served = a->served;
        f.money.gpu_s = a->gpu_s, f.money.idle_gpu_s = a->idle_s;
        f.money.burned_usd = a->gpu_s * 4 / 3600, f.money.idle_usd = a->idle_s * 4 / 3600;
    }
    struct frame_signal signals[] = {
        {"requestRate", "/s", demand, NAN, PER_REPLICA, 0.4, FRAME_SIGNAL_SIZES},
        {"queue", "", a->waiting, NAN, 10, 0.4,
         a->waiting > 10 * a->ready ? FRAME_SIGNAL_BREACHED : FRAME_SIGNAL_QUIET},
        {"smActivity", " %", NAN, NAN, 80, NAN, FRAME_SIGNAL_UNKNOWN},
    };
    f.rule.text = "requestRate sizes; queue raises";
    f.rule.signals = signals, f.rule.signal_n = COUNT_OF(signals);
    struct frame_decision d = {a->t, w->act_i < 2 ? "HPA" : "gpuscale", a->wanted, text};
    (void)snprintf(text, sizeof(text), "%d replicas: requestRate %.1f/s at %d/s each needs %d%s.",
                   a->wanted, demand, PER_REPLICA, (int)(demand / PER_REPLICA) + 1,
                   w->o.hostile ? " </script><b>bold</b>" : "");
    if (a->wanted != was)
        f.decisions = &d, f.decision_n = 1;
    if (live_frame(w->live, &f) < 0)
        abort();
    w->frames++;
}

static void write_report(const struct world *w) {
    CLEANUP_BUF struct buf page;
    buf_init(&page, LIMIT_PAGE_HTML_BYTES + LIMIT_LIVE_RUN_BYTES);
    FILE *file = fopen(w->o.report, "w");
    if (html_report(&page, w->live) < 0 || file == NULL ||
        fwrite(page.p, 1, page.len, file) != page.len || fclose(file) != 0)
        abort();
}

static void finish(struct world *w) {
    struct frame_row rows[ACTS];
    for (int i = 0; i < w->o.acts; i++) {
        const struct act *a = &w->done[i];
        rows[i] = (struct frame_row){.policy = policies_of(w)[i].id,
                                     .gpu_s = a->gpu_s,
                                     .idle_gpu_s = a->idle_s,
                                     .usd = a->gpu_s * 4 / 3600,
                                     .p50_ms = 520,
                                     .p95_ms = a->worst_ms * 0.9,
                                     .p99_ms = a->worst_ms,
                                     .errors = w->o.bare ? -1 : a->errors,
                                     .slo_pct = 60 + 19 * i,
                                     .whole = a->t == ACT_S,
                                     .served = a->served,
                                     .scale_events = 4 + i};
    }
    const struct frame_file file = {"report", w->o.report};
    const struct frame_end e = {rows, (size_t)w->o.acts, &file, w->o.report != NULL,
                                "a toy's answer within 3 s"};
    if (live_end(w->live, &e) < 0)
        abort();
    if (w->o.report != NULL)
        write_report(w);
    net_timer_stop(&w->timer);
}

static void on_tick(void *ctx) {
    struct world *w = ctx;
    if (w->frames == w->o.stop_after) {
        return;
    }
    if (w->act.t == 0)
        w->act.ready = w->act.spec = w->act.wanted = 1;
    int was = w->act.t == 0 ? 0 : w->act.wanted;
    step(w, demand_at(w->act.t));
    add_frame(w, was);
    if (w->act.t == ACT_S || (w->act_i == w->o.acts - 1 && w->act.t == w->o.cut_s)) {
        w->done[w->act_i++] = w->act;
        w->act = (struct act){0};
    }
    if (w->act_i == w->o.acts)
        finish(w);
    page_changed(w->page);
}

static void on_signal(void *ctx, int number) {
    struct world *w = ctx;
    if (number == SIGUSR1) {
        w->o.stop_after = -1;
        return;
    }
    net_signals_stop(&w->signals);
    net_timer_stop(&w->timer);
    page_close(w->page, NULL, NULL);
}

static void say_hello(struct world *w) {
    const struct frame_hello h = {
        .run = "canned",
        .title = w->o.hostile ? "</title><script>document.title='owned'</script>"
                              : "the same load, three ways to scale",
        .kind = FRAME_DEMO,
        .policies = policies_of(w),
        .policy_n = w->o.cut_s > 0 ? ACTS : (size_t)w->o.acts,
        .gpus = GPUS,
        .usd_per_gpu_hour = w->o.bare ? NAN : 4,
        .speed = 10,
        .act_s = ACT_S,
        .start_unix_s = NAN,
        .notes = notes,
        .note_n = COUNT_OF(notes),
    };
    if (live_hello(w->live, &h) < 0)
        abort();
}

static struct options read_options(int argc, char **argv) {
    static const struct option longs[] = {
        {"listen", 1, NULL, 'l'},     {"pace-ms", 1, NULL, 'p'}, {"acts", 1, NULL, 'a'},
        {"stop-after", 1, NULL, 's'}, {"report", 1, NULL, 'r'},  {"hostile", 0, NULL, 'h'},
        {"bare", 0, NULL, 'b'},       {"cut", 1, NULL, 'c'},     {0}};
    struct options o = {.listen = "127.0.0.1:0", .pace_ms = 1000, .acts = ACTS, .stop_after = -1};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'l':
            o.listen = optarg;
            break;
        case 'p':
            o.pace_ms = strtol(optarg, NULL, 10);
            break;
        case 'a':
            o.acts = strtol(optarg, NULL, 10);
            break;
        case 's':
            o.stop_after = strtol(optarg, NULL, 10);
            break;
        case 'r':
            o.report = optarg;
            break;
        case 'h':
            o.hostile = true;
            break;
        case 'b':
            o.bare = true;
            break;
        case 'c':
            o.cut_s = strtol(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    return o;
}

int main(int argc, char **argv) {
    struct world w = {.o = read_options(argc, argv)};
    uv_loop_init(&w.loop);
    w.live = live_new(LIMIT_LIVE_RUN_BYTES, LIVE_THIN);
    say_hello(&w);
    static const int numbers[] = {SIGTERM, SIGUSR1};
    struct err e = {0};
    if (net_signals_start(&w.signals, &w.loop, numbers, COUNT_OF(numbers), on_signal, &w, &e) < 0 ||
        page_open(&w.page, &w.loop, w.o.listen, w.live, &e) < 0 ||
        net_timer_start(&w.timer, &w.loop, w.o.pace_ms * NS_PER_MS, w.o.pace_ms * NS_PER_MS,
                        on_tick, &w, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    char address[128];
    net_addr_format(page_addr(w.page), address, sizeof(address));
    log_info("listening", LOG_STR("server", "page"), LOG_STR("addr", address));
    uv_run(&w.loop, UV_RUN_DEFAULT);
    live_free(w.live);
    net_loop_drain_close(&w.loop);
    return 0;
}
