// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's configuration: what its file and its flags say (conf/conf.h binds both). A loaded
 * configuration is one object with all its strings; a reload makes another one.
 */
#pragma once

#include "agent/owners.h"
#include "agent/page.h"
#include "base/arena.h"
#include "base/log.h"
#include "conf/conf.h"

enum agent_kubelet_mode { AGENT_KUBELET_AUTO, AGENT_KUBELET_ON, AGENT_KUBELET_OFF };
enum agent_dcgm_mode { AGENT_DCGM_AUTO, AGENT_DCGM_ON, AGENT_DCGM_OFF };

struct agent_tls_config {
    const char *cert, *key, *ca;              // NULL: not given
    CONF_LIST_OF(const char *) allowed_names; // of clients' certificates; none: any of the CA
};

struct agent_pod_config {
    const char *gpu, *namespace_, *pod, *container;
};

struct agent_config {
    const char *source;
    const char *record; // NULL: nothing is recorded
    int64_t interval_ns;
    const char *node_name; // "": the host's name
    struct {
        const char *listen;
        struct agent_tls_config tls;
        const char *web_config; // NULL: none
        enum agent_dcgm_mode dcgm;
        const char *dcgm_exporter; // asked by AGENT_DCGM_AUTO
        enum agent_hostname_label hostname_label;
        bool classic, own;
        int64_t stale_after_ns; // 0: five intervals, at least 5 s
    } metrics;
    struct {
        const char *listen;
        struct agent_tls_config tls;
        int64_t max_connection_age_ns;
    } grpc;
    struct {
        const char *listen;
    } health;
    struct {
        enum agent_kubelet_mode mode;
        const char *socket;
        int64_t interval_ns, max_age_ns; // max_age 0: three intervals, at least 30 s
    } pod_resources;
    struct {
        bool on;
        const char *proc;
    } pod_processes;
    CONF_LIST_OF(struct agent_pod_config) pods;
    struct {
        enum log_format format;
        enum log_level level;
    } log;
};

struct agent_config_file {
    struct agent_config config;
    struct arena arena; // of its strings
    const char *path;   // of --config; NULL: there is none
    const char *text;   // of --help and such, to be printed instead of running; or NULL
};

// From a program's arguments. ERR_INVALID etc. as conf_load tells them.
int agent_config_load(struct agent_config_file **ret, int argc, char **argv, struct err *e);
struct agent_config_file *agent_config_free(struct agent_config_file *c);

int64_t agent_config_stale_after_ns(const struct agent_config *c);
// Whether the kubelet is asked who holds the GPUs, and for how long its last answer is believed.
bool agent_config_asks_kubelet(const struct agent_config *c);
int64_t agent_config_owners_max_age_ns(const struct agent_config *c);
// The owners that `pods` names; `known` when the file has such a list, even an empty one.
int agent_config_owners(const struct agent_config *c, struct agent_owners *ret, struct err *e);
// The first key in which `a` and `b` differ and which is read only at start, or NULL.
const char *agent_config_needs_restart(const struct agent_config *a, const struct agent_config *b);
