// SPDX-License-Identifier: Apache-2.0
/* The running agent, shared by the files that make it: agent.c, serve.c, upkeep.c. I/O thread. */
#pragma once

#include "agent/agent.h"
#include "agent/dcgm_probe.h"
#include "agent/kubelet.h"
#include "agent/page.h"
#include "agent/sampler.h"
#include "agent/state.h"
#include "agent/watch.h"
#include "net/grpc_server.h"
#include "net/http_server.h"
#include "net/signals.h"
#include "net/tls.h"
#include "net/web_auth.h"

struct agent {
    int argc;
    char **argv;
    struct agent_config_file *config;
    struct conf_stamp config_stamp;
    bool config_ok;

    uv_loop_t loop;
    struct net_signals signals;
    struct net_timer *upkeep, *heartbeat;
    struct net_watch *rounds;
    unsigned upkeeps;

    char node_name[256];
    char source_name[32]; // "sim"
    struct agent_node node;
    struct agent_sampler *sampler;
    struct agent_state state;
    struct agent_owners owners;
    bool source_open;
    bool stall_told;
    uint32_t gpus_told; // how many GPUs the log said there are; UINT32_MAX: nothing yet

    struct agent_page pages[PROM_FORMAT_MAX];
    struct agent_page_options page_options;
    uint64_t scrapes, rounds_discarded;
    int64_t started_real_ns;
    struct agent_watch *watch;
    struct agent_dcgm_probe *probe;
    struct agent_kubelet *kubelet; // NULL: not asked

    struct web_auth *web;                   // who may read /metrics; NULL: no such file
    struct net_tls *metrics_tls, *grpc_tls; // the first is the file's where there is one
    struct http_server *metrics, *health;
    struct grpc_server *grpc;
    const struct grpc_service *services[2];

    bool stopping;
    int status; // of the process
};

// serve.c: the three ports.
int agent_serve_start(struct agent *a, struct err *e);
void agent_serve_stop(struct agent *a);
void agent_page_options_update(struct agent *a); // from the configuration and the probe

// notices.c: GPUs that come, go, are lost, are back, or had an XID, to the log.
void agent_tell_gpus(struct agent *a);

// upkeep.c: what is looked after every two seconds: the configuration file, certificates, a stall.
void agent_upkeep(void *agent);
void agent_reload(struct agent *a);                      // the configuration, now
int agent_probe_restart(struct agent *a, struct err *e); // as the configuration says
int agent_kubelet_restart(struct agent *a, struct err *e);
void agent_watch_stall(struct agent *a, int64_t now_ns);
