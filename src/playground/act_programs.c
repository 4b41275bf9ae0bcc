// SPDX-License-Identifier: Apache-2.0
/* The programs of an act: how they are called, and what becomes of them when they die. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "playground/act_internal.h"

#define RESTART_NS (200 * NS_PER_MS)
#define SHORT_LIFE_NS (5 * NS_PER_S)
enum { DEATHS_MAX = 5 };

static struct act_server *other(struct act *a, struct act_server *s) {
    return s == &a->agent ? &a->scaler : &a->agent;
}

static void server_listening(void *ctx, const char *server, const char *addr) {
    struct act_server *s = ctx;
    if (str_eqc(STR("grpc"), server)) {
        s->heard_grpc = true;
        (void)str_copy(s->grpc, sizeof(s->grpc), str_from(addr));
    } else if (str_eqc(STR("http"), server) || str_eqc(STR("metrics"), server)) {
        s->heard_http = true;
        (void)str_copy(s->http, sizeof(s->http), str_from(addr));
    }
    if (s->up || !s->heard_grpc || !s->heard_http)
        return;
    s->up = true;
    act_server_up(s->act, s);
}

static void server_exited(void *ctx, int status, int signal) {
    struct act_server *s = ctx;
    struct act *a = s->act;
    int64_t now_ns = clock_mono_ns();
    s->child = NULL;
    s->up = false;
    if (a->phase == ACT_ENDS)
        return;
    s->deaths = now_ns - s->spawned_ns < SHORT_LIFE_NS ? s->deaths + 1 : 1;
    const char *log = s == &a->agent ? a->files.agent_log : a->files.scaler_log;
    if (a->phase < ACT_WARMS || s->deaths > DEATHS_MAX) {
        act_fail(a, err_set(&a->failure, ERR_CLOSED, "the %s ended (status %d, signal %d): see %s",
                            s->who, status, signal, log));
        return;
    }
    if (signal)
        act_tell(a, "demo", -1, "the %s was killed by signal %d (%s) and is started again", s->who,
                 signal, strsignal(signal));
    else
        act_tell(a, "demo", -1, "the %s ended with status %d and is started again", s->who, status);
    s->restart_ns = now_ns + RESTART_NS;
}

static int spawn_agent(struct act_server *s, const struct child_callbacks *callbacks,
                       struct err *e) {
    struct act *a = s->act;
    char source[FILES_PATH_MAX + 32], interval[32];
    int64_t every_ns = (int64_t)((double)NS_PER_S / a->plan->speed);
    units_format_duration(every_ns < 100 * NS_PER_MS ? 100 * NS_PER_MS : every_ns, interval,
                          sizeof(interval));
    (void)snprintf(source, sizeof(source), "sim:%d,idle,load=%s", a->plan->gpus,
                   a->files.load_socket);
    const char *argv[] = {a->options.agent,
                          "--source",
                          source,
                          "--node-name",
                          "demo-node",
                          "--interval",
                          interval,
                          "--listen",
                          s->http[0] ? s->http : "127.0.0.1:0",
                          "--grpc-listen",
                          s->grpc[0] ? s->grpc : "127.0.0.1:0",
                          "--health-listen",
                          "127.0.0.1:0",
                          "--config",
                          a->files.agent_config,
                          NULL};
    int r = files_write_agent(&a->files, a->pool, e);
    return r < 0 ? r : child_spawn(&s->child, a->loop, argv, a->files.agent_log, callbacks, e);
}

static int spawn_scaler(struct act_server *s, const struct child_callbacks *callbacks,
                        struct err *e) {
    struct act *a = s->act;
    const char *argv[] = {a->options.program, "scaler", "--config", a->files.scaler_config, NULL};
    struct files_ports ports = {.grpc = s->grpc[0] ? s->grpc : "127.0.0.1:0",
                                .http = s->http[0] ? s->http : "127.0.0.1:0",
                                .agent = other(a, s)->grpc,
                                .gateway = gateway_addr(a->gateway)};
    int r = files_write_scaler(&a->files, &ports, a->plan->speed, e);
    if (r == 0)
        r = files_write_workloads(&a->files, a->pool, e);
    return r < 0 ? r : child_spawn(&s->child, a->loop, argv, a->files.scaler_log, callbacks, e);
}

int act_start_server(struct act_server *s, struct err *e) {
    const struct child_callbacks callbacks = {
        .listening = server_listening, .exited = server_exited, .ctx = s};
    s->restart_ns = 0;
    s->heard_grpc = s->heard_http = false;
    s->spawned_ns = clock_mono_ns();
    return s == &s->act->agent ? spawn_agent(s, &callbacks, e) : spawn_scaler(s, &callbacks, e);
}

void act_restart_servers(struct act *a, int64_t now_ns) {
    struct act_server *both[] = {&a->agent, &a->scaler};
    for (int i = 0; i < 2 && a->phase != ACT_ENDS; i++) {
        struct act_server *s = both[i];
        if (!s->restart_ns || now_ns < s->restart_ns)
            continue;
        int r = act_start_server(s, &a->failure);
        if (r < 0)
            act_fail(a, r);
    }
}

static void load_listening(void *ctx, const char *server, const char *addr) {
    (void)ctx;
    (void)server;
    (void)addr;
}

static void load_line(void *ctx, struct str line) {
    struct act *a = ctx;
    struct progress p;
    struct err e = {0};
    if (!str_starts(line, "{"))
        return;
    if (progress_parse(&p, line, &e) < 0) {
        act_tell(a, "demo", -1, "%s", e.msg);
        return;
    }
    a->progress = p;
    a->has_progress = true;
}

static void load_exited(void *ctx, int status, int signal) {
    struct act *a = ctx;
    a->load = NULL;
    act_load_over(a, status, signal);
}

int act_start_load(struct act *a, struct err *e) {
    const struct child_callbacks callbacks = {
        .listening = load_listening, .line = load_line, .exited = load_exited, .ctx = a};
    const struct plan *p = a->plan;
    char target[CHILD_ADDR_LEN + 32], seed[24], timeout[32];
    CLEANUP_BUF struct buf rate;
    buf_init(&rate, 1024);
    int r = plan_shape(&rate, p);
    if (r == 0)
        r = buf_add_byte(&rate, '\0');
    if (r < 0)
        return err_set(e, r, "the load's shape does not fit");
    (void)snprintf(target, sizeof(target), "http://%s%s", gateway_addr(a->gateway),
                   p->classic ? "/predict" : "/v1/completions");
    (void)snprintf(seed, sizeof(seed), "%" PRIu64, p->seed);
    units_format_duration(p->timeout_ns, timeout, sizeof(timeout));
    const char *argv[] = {a->options.program,
                          "load",
                          "--target",
                          target,
                          "--rate",
                          rate.p,
                          "--seed",
                          seed,
                          "--model",
                          "llm",
                          "--timeout",
                          timeout,
                          "--progress",
                          "json",
                          "--interval",
                          "1s",
                          "--json",
                          a->files.load_json,
                          p->classic ? "--body" : "--openai",
                          p->classic ? "{\"input\":\"demo\"}" : p->tokens,
                          NULL};
    return child_spawn(&a->load, a->loop, argv, a->files.load_log, &callbacks, e);
}
