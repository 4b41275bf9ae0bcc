// SPDX-License-Identifier: Apache-2.0
/*
 * The scaler's configuration: a YAML file, strictly bound (conf/conf.h), and flags that win over
 * it.
 *
 *     grpc:    {listen: ":9443", tls: {cert: FILE, key: FILE, ca: FILE, allowedNames: [NAME]},
 *              maxConnectionAge: 10m}
 *     http:    {listen: ":9444", tls: {...} or webConfig: FILE,    # /metrics and the status API
 *              authorization: auto | kubernetes | none}
 *     health:  {listen: ":8081"}                   # /healthz and /readyz, nothing else
 *     agents:  {targets: ["HOST:PORT"], tls: {cert, key, ca, serverName}}
 *     exporters: {targets: ["HOST:PORT" or URL], path: /metrics, interval: 10s,
 *                 collectInterval: 30s, tls: {cert, key, ca, serverName}}
 *     engines: {interval: 5s}
 *     demand:
 *       NAME:  {url: URL, preset: PRESET, KEYS...}   # core/engine/demand_preset.h
 *       NAME:  {url: URL, requestsTotal: SELECTOR, waiting: SELECTOR, inflight: SELECTOR}
 *     prometheus:
 *       NAME:  {url: URL, tls: {...}, bearerTokenFile: FILE,
 *               basicAuth: {username: NAME, passwordFile: FILE}, orgID: NAME, headers: {...},
 *               namespaces: [NAME or "*"], enforcedLabel: namespace, interval: 10s, timeout: 10s,
 *               lookback: 0s}
 *     kubernetes: {enabled: false, kubeconfig: FILE, events: true,
 *                  agents: {service: NAMESPACE/NAME, port: grpc},
 *                  scalerAddresses: [HOST:PORT], kedaSilence: 150s}
 *     metricsAPI: {enabled: false, listen: ":6443", tls: {cert, key},
 *                  requestHeader: {ca: FILE, allowedNames: [NAME]}}   # docs/metrics-api.md
 *     rules:
 *       NAME:  {namespace: NAMESPACE, target: deployment/NAME, metadata: {KEYS...}}
 *     replicas: {lease: NAMESPACE/NAME, identity: NAME, address: IP:PORT or ip: IP,
 *                tls: {cert, key, ca, serverName}}   # docs/replicas.md
 *     workloads: FILE                              # workloads.h; where there is no Kubernetes
 *     tick: 1s
 *     log: {format: logfmt, level: info}
 */
#pragma once

#include "base/log.h"
#include "conf/conf.h"
#include "core/engine/demand_rule.h"
#include "net/tls.h"

struct config_tls {
    const char *cert, *key, *ca;              // NULL: not given
    const char *server_name;                  // clients: the name in the server's certificate
    CONF_LIST_OF(const char *) allowed_names; // servers: of clients' certificates; none: any
};

struct config_demand {
    const char *name; // first: the map's key
    const char *url;
    int64_t interval_ns;
    struct demand_rule_spec rule;
};

struct config_prometheus {
    const char *name; // first: the map's key
    const char *url;
    struct config_tls tls;
    const char *bearer_token_file;
    struct {
        const char *username, *password_file;
    } basic_auth;
    const char *org_id; // X-Scope-OrgID
    CONF_MAP_OF(const char *) headers;
    CONF_LIST_OF(const char *) namespaces; // that may use it; "*": all
    const char *enforced_label;            // "": none
    int64_t interval_ns, timeout_ns, lookback_ns;
};

struct config_rule {
    const char *name; // first: the map's key
    const char *namespace_, *target;
    CONF_MAP_OF(const char *) metadata;
    struct conf_place place;
};

enum config_authorization {
    CONFIG_AUTHORIZATION_AUTO,
    CONFIG_AUTHORIZATION_KUBERNETES,
    CONFIG_AUTHORIZATION_NONE,
};

struct scaler_config {
    struct {
        const char *listen;
        struct config_tls tls;
        int64_t max_connection_age_ns; // 0: none
    } grpc;
    struct {
        const char *listen;
        struct config_tls tls;
        const char *web_config; // file; NULL: none
        enum config_authorization authorization;
    } http;
    struct {
        const char *listen;
    } health;
    struct {
        CONF_LIST_OF(const char *) targets; // HOST:PORT
        struct config_tls tls;
    } agents;
    struct {
        CONF_LIST_OF(const char *) targets; // HOST:PORT or URL
        const char *path;
        int64_t interval_ns;
        int64_t collect_interval_ns; // at which they read the driver
        struct config_tls tls;
    } exporters;
    struct {
        int64_t interval_ns;
    } engines;
    CONF_LIST_OF(struct config_demand) demand;
    CONF_LIST_OF(struct config_prometheus) prometheus;
    struct {
        bool enabled, events;
        const char *kubeconfig; // NULL: as kube/config.h looks for one
        struct {
            const char *service, *port; // "NAMESPACE/NAME", or NULL; the port's name or number
        } agents;
        CONF_LIST_OF(const char *) scaler_addresses; // none: any
        int64_t keda_silence_ns;                     // 0: not told
    } kubernetes;
    struct {
        bool enabled;
        const char *listen;
        struct config_tls tls; // cert NULL: http's
        struct {
            const char *ca; // file; NULL: the cluster's ConfigMap says both
            CONF_LIST_OF(const char *) allowed_names;
        } request_header;
    } metrics_api;
    CONF_LIST_OF(struct config_rule) rules;
    struct {
        const char *lease; // "NAMESPACE/NAME"; NULL: this scaler is alone
        const char *identity, *address, *ip;
        struct config_tls tls;
    } replicas;
    const char *workloads; // file; NULL: the cluster tells
    int64_t tick_ns;
    struct {
        enum log_format format;
        enum log_level level;
    } log;
};

// Of conf_load() and conf_read(); its check covers what no single field can say: certificates
// without keys, demand sources without a selector, selectors and URLs that do not parse.
extern const struct conf_spec scaler_config_spec;

// May triggers of the namespace ask this server?
bool config_prometheus_allows(const struct config_prometheus *p, struct str namespace_);
// Where the other scalers reach this one: replicas.address, or replicas.ip with the port of
// grpc.listen. "[fd00::7]:9443". ERR_INVALID: that port is no number to be told, or there is none.
int config_replicas_address(const struct scaler_config *c, char *dst, size_t cap, struct err *e);
bool config_tls_on(const struct config_tls *t); // anything of the section is given
struct net_tls_files config_tls_files(const struct config_tls *t);
