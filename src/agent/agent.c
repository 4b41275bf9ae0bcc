// SPDX-License-Identifier: Apache-2.0
/* See agent.h: start, the loop, what a round does, and the end. */
#include "agent/agent.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "agent/agent_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

static const int64_t upkeep_every_ns = 2 * NS_PER_S;
static const int64_t open_wait_ns = NS_PER_S;    // a source that opens at once fails at once
static const int64_t sampler_wait_ns = NS_PER_S; // then a hung driver's thread is left behind
static const int64_t heartbeat_slack_ns = 20 * NS_PER_MS;

static void stop(struct agent *a, int status) {
    if (a->stopping)
        return;
    a->stopping = true;
    a->status = status;
    net_signals_stop(&a->signals);
    net_timer_stop(&a->upkeep);
    net_timer_stop(&a->heartbeat);
    net_watch_stop(&a->rounds);
    a->probe = agent_dcgm_probe_stop(a->probe);
    a->kubelet = agent_kubelet_stop(a->kubelet);
    agent_serve_stop(a);
}

static void schedule_heartbeat(struct agent *a, int64_t due_ns, int64_t now_ns) {
    int64_t wait_ns = due_ns == INT64_MAX ? a->state.interval_ns : due_ns - now_ns;
    net_timer_again(a->heartbeat, wait_ns + heartbeat_slack_ns);
}

static void on_heartbeat(void *ctx) {
    struct agent *a = ctx;
    int64_t now_ns = clock_mono_ns();
    schedule_heartbeat(a, agent_watch_heartbeat(a->watch, now_ns), now_ns);
}

static void take_sampled(struct agent *a, const struct agent_round *round) {
    if (round->failed_calls > 0)
        log_warn("the GPU driver failed calls", LOG_I64("calls", round->failed_calls),
                 LOG_ERR(&round->failure));
    if (round->text[0])
        log_error("the recording ended", LOG_STR("error", round->text));
    if (agent_state_apply(&a->state, round, &a->owners)) {
        a->rounds_discarded++;
        log_error("a round was not taken over whole", LOG_STR("reason", "no memory"));
    }
    if (a->kubelet)
        agent_kubelet_look(a->kubelet, &a->state, clock_mono_ns());
    agent_tell_gpus(a);
    agent_watch_stall(a, clock_mono_ns());
    agent_watch_tell(a->watch);
}

static void take_round(struct agent *a, const struct agent_round *round) {
    switch (round->kind) {
    case AGENT_ROUND_OPENED:
        a->source_open = true;
        log_info("GPU source open", LOG_STR("source", a->config->config.source),
                 LOG_STR("what", round->text));
        break;
    case AGENT_ROUND_SAMPLED:
        take_sampled(a, round);
        break;
    case AGENT_ROUND_FAILED:
        log_error("the GPU source failed for good", LOG_ERR(&round->failure));
        stop(a, 1);
        break;
    }
}

static void on_rounds(void *ctx) {
    struct agent *a = ctx;
    struct agent_round *round;
    agent_sampler_wake_clear(a->sampler);
    while (!a->stopping && (round = agent_sampler_take(a->sampler))) {
        take_round(a, round);
        agent_round_free(round);
    }
    if (!a->stopping) {
        int64_t now_ns = clock_mono_ns();
        schedule_heartbeat(a, agent_watch_heartbeat(a->watch, now_ns), now_ns);
    }
}

static void on_signal(void *ctx, int number) {
    struct agent *a = ctx;
    if (number == SIGHUP) {
        log_info("reloading", LOG_STR("signal", "SIGHUP"));
        agent_reload(a);
        return;
    }
    log_info("stopping", LOG_STR("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
    stop(a, 0);
}

static int watch_signals(struct agent *a, struct err *e) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error of write()
    return net_signals_start(&a->signals, &a->loop, numbers, COUNT_OF(numbers), on_signal, a, e);
}

static int name_node(struct agent *a, struct err *e) {
    uint8_t id[16];
    if (str_copy(a->node_name, sizeof a->node_name, str_from(a->config->config.node_name)))
        return err_set(e, ERR_INVALID, "the node's name is too long");
    if (!a->node_name[0] && gethostname(a->node_name, sizeof a->node_name - 1))
        return err_set(e, ERR_INVALID, "the host has no name; give --node-name");
    a->node.name = a->node_name;
    struct str source = str_from(a->config->config.source);
    if (str_copy(a->source_name, sizeof a->source_name, str_cut(&source, ':')))
        return err_set(e, ERR_INVALID, "the source's name is too long");
    if (random_kernel(id, sizeof id))
        return err_set(e, ERR_IO, "the kernel gives no random numbers");
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(a->node.boot_id + 2 * i, 3, "%02x", id[i]);
    return 0;
}

// Opens the source before the ports: a wrong one is told like a wrong flag. One that takes long, or
// hangs, is waited for by the loop.
static int start_sampler(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    struct agent_sampler_options o = {
        .source = c->source,
        .interval_ns = c->interval_ns,
        .record = c->record,
        .shares_proc = c->pod_processes.on ? c->pod_processes.proc : NULL,
    };
    int r = agent_sampler_start(&a->sampler, &o, e);
    if (r)
        return r;
    struct pollfd p = {.fd = agent_sampler_wake_fd(a->sampler), .events = POLLIN};
    poll(&p, 1, (int)(open_wait_ns / NS_PER_MS));
    struct agent_round *first = agent_sampler_take(a->sampler);
    if (!first)
        return 0;
    if (first->kind == AGENT_ROUND_FAILED) {
        *e = first->failure;
        r = e->code;
    } else {
        take_round(a, first);
    }
    agent_round_free(first);
    return r;
}

static int start_loop(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    int r = watch_signals(a, e);
    if (!r)
        r = net_watch_start(&a->rounds, &a->loop, agent_sampler_wake_fd(a->sampler), on_rounds, a,
                            e);
    if (!r)
        r = net_timer_start(&a->upkeep, &a->loop, upkeep_every_ns, upkeep_every_ns, agent_upkeep, a,
                            e);
    if (!r)
        r = net_timer_start(&a->heartbeat, &a->loop, c->interval_ns, 0, on_heartbeat, a, e);
    if (!r)
        r = agent_probe_restart(a, e);
    if (!r)
        r = agent_kubelet_restart(a, e);
    if (r)
        return r;
    agent_page_options_update(a);
    on_rounds(a); // what came before the loop was there
    return 0;
}

static int start(struct agent *a, struct err *e) {
    const struct agent_config *c = &a->config->config;
    int r = name_node(a, e);
    if (!r)
        r = agent_config_owners(c, &a->owners, e);
    if (!r)
        r = agent_state_init(&a->state, c->interval_ns, clock_mono_ns(), e);
    if (!r)
        r = agent_watch_new(&a->watch, &a->state, &a->node, e);
    if (!r)
        r = start_sampler(a, e);
    if (!r)
        r = agent_serve_start(a, e);
    return r ? r : start_loop(a, e);
}

// True: the sampler thread is left behind.
static bool free_agent(struct agent *a) {
    bool held = a->sampler && !agent_sampler_stop(a->sampler, sampler_wait_ns);
    if (held)
        log_warn("the GPU driver still holds its thread; ending without it");
    agent_watch_free(a->watch);
    for (int f = 0; f < PROM_FORMAT_MAX; f++)
        agent_page_done(&a->pages[f]);
    agent_state_done(&a->state);
    agent_owners_done(&a->owners);
    if (a->web)
        web_auth_free(a->web);
    else
        net_tls_free(a->metrics_tls);
    net_tls_free(a->grpc_tls);
    agent_config_free(a->config);
    mem_free(a);
    return held;
}

int agent_run(struct agent_config_file *config, int argc, char **argv, bool *ret_thread_held,
              struct err *e) {
    *ret_thread_held = false;
    struct agent *a = mem_zalloc(sizeof *a);
    if (!a || uv_loop_init(&a->loop)) {
        mem_free(a);
        agent_config_free(config);
        err_set(e, ERR_NOMEM, "no memory for the agent");
        return 1;
    }
    a->config = config;
    a->config_ok = true;
    a->gpus_told = UINT32_MAX;
    a->argc = argc;
    a->argv = argv;
    a->started_real_ns = clock_real_ns();
    agent_owners_init(&a->owners);
    for (int f = 0; f < PROM_FORMAT_MAX; f++)
        agent_page_init(&a->pages[f], (enum prom_format)f);
    if (config->path)
        conf_file_changed(config->path, &a->config_stamp);
    int r = start(a, e);
    if (r)
        stop(a, 2);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&a->loop);
    int status = a->status;
    *ret_thread_held = free_agent(a);
    if (status == 0)
        log_info("stopped");
    return status;
}
