// SPDX-License-Identifier: Apache-2.0
/* The tables that bind the configuration, and what no single field can say. */
#include "scaler/config.h"

#include <arpa/inet.h>

#include "base/mem.h"
#include "core/metrics/selector.h"
#include "net/addr.h"
#include "scaler/config_prometheus.h"
#include "scaler/config_rules.h"
#include "source/agents.h"
#include "source/exporters.h"
#include "web/fetch.h"

static int check_address(const char *value, struct err *e) {
    char host[NET_HOST_MAX];
    uint16_t port;
    if (str_starts(str_from(value), "unix:"))
        return 0;
    return net_addr_split(str_from(value), host, &port, e);
}

static int check_ip(const char *value, struct err *e) {
    unsigned char bytes[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, value, bytes) == 1 || inet_pton(AF_INET6, value, bytes) == 1)
        return 0;
    return err_set(e, ERR_INVALID, "no IP address (10.244.1.7, fd00::7; without port or brackets)");
}

static int check_url(const char *value, struct err *e) {
    return fetch_url_check(value, e);
}

static int check_path(const char *value, struct err *e) {
    if (value[0] == '/' && strpbrk(value, " #") == NULL)
        return 0;
    return err_set(e, ERR_INVALID, "a path begins with '/' and has no blank: /metrics");
}

static int check_selector(const char *value, struct err *e) {
    struct selector *s = NULL;
    int rc = selector_parse(&s, str_from(value), e);
    selector_free(s);
    return rc;
}

// NAMESPACE/NAME, each of them a DNS label.
static int check_service(const char *value, struct err *e) {
    struct str name = str_from(value), parts[2] = {str_cut(&name, '/')};
    parts[1] = name;
    for (size_t i = 0; i < 2; i++) {
        struct str s = parts[i];
        bool good = s.n > 0 && s.n < 64 && s.p[0] != '-' && s.p[s.n - 1] != '-';
        for (size_t k = 0; good && k < s.n; k++)
            good = (s.p[k] >= 'a' && s.p[k] <= 'z') || (s.p[k] >= '0' && s.p[k] <= '9') ||
                   s.p[k] == '-';
        if (!good)
            return err_set(e, ERR_INVALID,
                           "expected NAMESPACE/NAME of a Service, such as gpuscale/gpuscale-agent");
    }
    return 0;
}

static int check_lease(const char *value, struct err *e) {
    if (check_service(value, e) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "expected NAMESPACE/NAME of a Lease: gpuscale/gpuscale-scaler");
}

static int check_literal(const char *value, struct err *e) {
    struct net_addr a;
    if (net_addr_parse(str_from(value), &a, e) == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "expected IP:PORT at which the other scalers reach this one, such as the pod's "
                   "own address (status.podIP) with the port of grpc.listen");
}

static int check_name(const char *value, struct err *e) {
    if (value[0] != '\0' && strpbrk(value, " *") == NULL)
        return 0;
    return err_set(e, ERR_INVALID, "a name is written out, without '*': keda.example.svc");
}

static const struct conf_field server_tls_fields[] = {
    {"cert", CONF_STRING(struct config_tls, cert), .required = true,
     .help = "Certificate chain (PEM), re-read when it changes."},
    {"key", CONF_STRING(struct config_tls, key), .required = true, .help = "Its key (PEM)."},
    {"ca", CONF_STRING(struct config_tls, ca),
     .help = "Authorities of client certificates (PEM): with it, clients must show one."},
    {"allowedNames", CONF_LIST_STRING(struct config_tls, allowed_names), .max = "64",
     .check = check_name,
     .help = "DNS names or URIs, of which a client's certificate must carry one; left out: any "
             "certificate of those authorities will do."},
    {0}};

static const struct conf_field client_tls_fields[] = {
    {"cert", CONF_STRING(struct config_tls, cert),
     .help = "Certificate to show (PEM), re-read when it changes."},
    {"key", CONF_STRING(struct config_tls, key), .help = "Its key (PEM)."},
    {"ca", CONF_STRING(struct config_tls, ca),
     .help = "Authorities of the servers' certificates (PEM); left out: the system's."},
    {"serverName", CONF_STRING(struct config_tls, server_name),
     .help = "Name in the servers' certificates; left out: the target's host."},
    {0}};

typedef struct scaler_config conf;
#define MEMBER(m) typeof(((conf *)0)->m)

static const struct conf_field grpc_fields[] = {
    {"listen", CONF_STRING(MEMBER(grpc), listen), .def = ":9443", .flag = "grpc-listen",
     .arg = "ADDR:PORT", .check = check_address, .help = "Where KEDA asks."},
    {"tls", CONF_STRUCT(MEMBER(grpc), tls, server_tls_fields),
     .help = "TLS, mutual with `ca`; left out: plain."},
    {"maxConnectionAge", CONF_DURATION(MEMBER(grpc), max_connection_age_ns), .def = "10m",
     .min = "0s", .max = "24h",
     .help = "A connection is asked to end after it, so that KEDA finds new replicas; 0: never."},
    {0}};

// By enum config_authorization.
static const char *const authorizations[] = {"auto", "kubernetes", "none", NULL};

static const struct conf_field http_fields[] = {
    {"listen", CONF_STRING(MEMBER(http), listen), .def = ":9444", .flag = "http-listen",
     .arg = "ADDR:PORT", .check = check_address, .help = "/metrics and the status API."},
    {"tls", CONF_STRUCT(MEMBER(http), tls, server_tls_fields), .help = "Left out: plain."},
    {"webConfig", CONF_STRING(MEMBER(http), web_config), .flag = "web-config", .arg = "FILE",
     .help = "In place of `tls`: a web-config file as Prometheus' exporters have (TLS, users with "
             "bcrypt hashes), re-read when it changes."},
    {"authorization", CONF_ENUM(MEMBER(http), authorization, authorizations), .def = "auto",
     .flag = "http-authorization", .arg = "auto|kubernetes|none",
     .help = "kubernetes: who shows a token of the Kubernetes API reads what it may read there. "
             "auto: so with kubernetes.enabled on a port that has TLS and asks for no client "
             "certificates."},
    {0}};

static const struct conf_field health_fields[] = {
    {"listen", CONF_STRING(MEMBER(health), listen), .def = ":8081", .flag = "health-listen",
     .arg = "ADDR:PORT", .check = check_address, .help = "/healthz and /readyz, plain."},
    {0}};

static const struct conf_field agents_fields[] = {
    {"targets", CONF_LIST_STRING(MEMBER(agents), targets), .flag = "agent", .arg = "HOST:PORT",
     .max = "20000", .check = agents_target_check,
     .help = "Agents; a name stands for all its addresses, looked up again."},
    {"tls", CONF_STRUCT(MEMBER(agents), tls, client_tls_fields), .help = "Left out: plain."},
    {0}};

static const struct conf_field exporters_fields[] = {
    {"targets", CONF_LIST_STRING(MEMBER(exporters), targets), .flag = "exporter",
     .arg = "HOST:PORT", .max = "1024", .check = exporters_target_check,
     .help =
         "Pages of dcgm-exporter or nvidia_gpu_exporter, HOST:PORT or URL, where no agent runs; "
         "a name stands for all its addresses, looked up again."},
    {"path", CONF_STRING(MEMBER(exporters), path), .def = "/metrics", .check = check_path,
     .help = "Of targets that give none."},
    {"interval", CONF_DURATION(MEMBER(exporters), interval_ns), .def = "10s", .min = "500ms",
     .max = "5m", .help = "Between two readings of a page; each asks the kubelet there."},
    {"collectInterval", CONF_DURATION(MEMBER(exporters), collect_interval_ns), .def = "30s",
     .min = "1s", .max = "10m",
     .help = "At which the exporters read the driver: their values stand for so long."},
    {"tls", CONF_STRUCT(MEMBER(exporters), tls, client_tls_fields),
     .help = "With it, HOST:PORT is asked by https. Left out: plain, and https:// URLs with the "
             "system's trust."},
    {0}};

static const struct conf_field engines_fields[] = {
    {"interval", CONF_DURATION(MEMBER(engines), interval_ns), .def = "5s", .min = "500ms",
     .max = "5m",
     .help = "Between two readings of an engine's page; rendering it costs the engine."},
    {0}};

// What a preset needs to know of the service.
#define KEY(name_, which, text)                                                                    \
    {                                                                                              \
        name_, CONF_STRING(struct config_demand, rule.key[DEMAND_KEY_##which]),                    \
            .numbers_too = true, .help = text                                                      \
    }

static const struct conf_field demand_fields[] = {
    {"url", CONF_STRING(struct config_demand, url), .required = true, .check = check_url,
     .help = "Page of the source, http:// or https://."},
    {"interval", CONF_DURATION(struct config_demand, interval_ns), .def = "1s", .min = "100ms",
     .max = "5m", .help = "Between two readings of it."},
    {"preset", CONF_STRING(struct config_demand, rule.preset),
     .help = "What the page is: envoy, istio, ingress-nginx, knative, epp or http-add-on; the keys "
             "that it needs say which service (docs/engines.md)."},
    KEY("cluster", CLUSTER, "envoy: name of the upstream cluster."),
    KEY("service", SERVICE,
        "istio: the service with its domain; knative, ingress-nginx: its name."),
    KEY("namespace", NAMESPACE, "ingress-nginx, knative, http-add-on: the service's namespace."),
    KEY("ingress", INGRESS, "ingress-nginx: name of the Ingress."),
    KEY("revision", REVISION, "knative: one revision; left out: all of the service."),
    KEY("route", ROUTE, "http-add-on: name of the InterceptorRoute or HTTPScaledObject."),
    KEY("pool", POOL, "epp, with flow control: name of the InferencePool."),
    KEY("model", MODEL, "epp: model name of the requests; left out: all."),
    KEY("port", PORT, "istio, where the proxy tells Envoy's gauges: port of the service."),
    KEY("reporter", REPORTER,
        "istio: source (the default: a gateway's page), destination or waypoint."),
    {"requestsTotal", CONF_STRING(struct config_demand, rule.selector[DEMAND_REQUESTS_TOTAL]),
     .check = check_selector,
     .help = "Counter of requests that arrived: name{label=\"value\"}; matching series are summed. "
             "With a preset: instead of the preset's, likewise the next two."},
    {"waiting", CONF_STRING(struct config_demand, rule.selector[DEMAND_WAITING]),
     .check = check_selector, .help = "Gauge of requests held at the source."},
    {"inflight", CONF_STRING(struct config_demand, rule.selector[DEMAND_INFLIGHT]),
     .check = check_selector,
     .help = "Gauge of requests that the source has passed on and that are not answered yet."},
    {0}};

#undef KEY

static const struct conf_field kubernetes_agents_fields[] = {
    {"service", CONF_STRING(MEMBER(kubernetes.agents), service), .check = check_service,
     .help = "The agents' Service: its EndpointSlices say where they are. TLS as agents.tls says, "
             "whose serverName is NAME.NAMESPACE.svc where it is left out."},
    {"port", CONF_STRING(MEMBER(kubernetes.agents), port), .def = "grpc", .numbers_too = true,
     .help = "Name or number of its port for gRPC."},
    {0}};

static const struct conf_field kubernetes_fields[] = {
    {"enabled", CONF_BOOL(MEMBER(kubernetes), enabled), .def = "false", .flag = "kubernetes",
     .help = "The workloads, their pods and the agents are what the Kubernetes API says, in place "
             "of `workloads`."},
    {"kubeconfig", CONF_STRING(MEMBER(kubernetes), kubeconfig), .flag = "kubeconfig", .arg = "FILE",
     .help = "Left out: $KUBECONFIG, the pod's service account, or ~/.kube/config."},
    {"events", CONF_BOOL(MEMBER(kubernetes), events), .def = "true",
     .help = "Events are written on ScaledObjects whose decision changes or cannot be met."},
    {"scalerAddresses", CONF_LIST_STRING(MEMBER(kubernetes), scaler_addresses), .max = "16",
     .help =
         "The scalerAddress of triggers that are for this scaler, others from KEDA's first call "
         "on; left out: every external trigger whose metadata it understands."},
    {"kedaSilence", CONF_DURATION(MEMBER(kubernetes), keda_silence_ns), .def = "150s", .min = "0s",
     .max = "24h",
     .help = "A trigger that KEDA has not asked for during this time and three of its polling "
             "intervals is told (Event NotAskedByKEDA). 0s: not. KEDA's client comes back to a "
             "scaler that was away 144 s later at most."},
    {"agents", CONF_STRUCT(MEMBER(kubernetes), agents, kubernetes_agents_fields),
     .help = "Agents found through their Service, beside those of agents.targets."},
    {0}};

static const struct conf_field key_pair_fields[] = {
    {"cert", CONF_STRING(struct config_tls, cert), .required = true,
     .help = "Certificate chain (PEM), re-read when it changes; its name is the Service's: "
             "gpuscale-scaler.gpuscale.svc."},
    {"key", CONF_STRING(struct config_tls, key), .required = true, .help = "Its key (PEM)."},
    {0}};

static const struct conf_field request_header_fields[] = {
    {"ca", CONF_STRING(MEMBER(metrics_api.request_header), ca),
     .help = "Authorities (PEM) of the API server's front proxy. Left out: the ConfigMap "
             "kube-system/extension-apiserver-authentication says everything of this section."},
    {"allowedNames", CONF_LIST_STRING(MEMBER(metrics_api.request_header), allowed_names),
     .max = "64", .help = "Common names that its certificate may have; left out: any."},
    {0}};

static const struct conf_field metrics_api_fields[] = {
    {"enabled", CONF_BOOL(MEMBER(metrics_api), enabled), .def = "false", .flag = "metrics-api",
     .help = "Serve external.metrics.k8s.io/v1beta1, so that HPAs scale on `rules` without KEDA. "
             "A cluster has one such server, and KEDA is one."},
    {"listen", CONF_STRING(MEMBER(metrics_api), listen), .def = ":6443",
     .flag = "metrics-api-listen", .arg = "ADDR:PORT", .check = check_address,
     .help = "Where the API server asks, by https."},
    {"tls", CONF_STRUCT(MEMBER(metrics_api), tls, key_pair_fields),
     .help = "Left out: http.tls. The certificate of http.webConfig is not taken."},
    {"requestHeader", CONF_STRUCT(MEMBER(metrics_api), request_header, request_header_fields),
     .help = "Whose word about the user counts (X-Remote-User)."},
    {0}};

static const struct conf_field replicas_fields[] = {
    {"lease", CONF_STRING(MEMBER(replicas), lease), .flag = "replicas-lease",
     .arg = "NAMESPACE/NAME", .check = check_lease,
     .help = "The Lease whose holder decides; the other scalers answer with its decisions. Left "
             "out: this scaler is the only one."},
    {"identity", CONF_STRING(MEMBER(replicas), identity), .flag = "replicas-identity",
     .arg = "NAME", .help = "Of this scaler, in the Lease; left out: the host's name."},
    {"address", CONF_STRING(MEMBER(replicas), address), .flag = "replicas-address",
     .arg = "IP:PORT", .check = check_literal,
     .help = "At which the others reach this scaler's gRPC port, when it leads. IPv6 stands in "
             "brackets."},
    {"ip", CONF_STRING(MEMBER(replicas), ip), .flag = "replicas-ip", .arg = "IP", .check = check_ip,
     .help = "In place of address: the pod's IP (status.podIP) of either family, without brackets; "
             "the port is that of grpc.listen."},
    {"tls", CONF_STRUCT(MEMBER(replicas), tls, client_tls_fields),
     .help = "With which it asks the leader; left out: plain."},
    {0}};

// By enum log_format and enum log_level.
static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

static const struct conf_field log_fields[] = {
    {"format", CONF_ENUM(MEMBER(log), format, log_formats), .def = "logfmt", .flag = "log-format",
     .help = "Of the log lines."},
    {"level", CONF_ENUM(MEMBER(log), level, log_levels), .def = "info", .flag = "log-level",
     .help = "Lines below it are not written."},
    {0}};

static const struct conf_field fields[] = {
    {"grpc", CONF_STRUCT(conf, grpc, grpc_fields), .help = "The gRPC server."},
    {"http", CONF_STRUCT(conf, http, http_fields), .help = "The HTTP server."},
    {"health", CONF_STRUCT(conf, health, health_fields), .help = "The probes' server."},
    {"agents", CONF_STRUCT(conf, agents, agents_fields), .help = "Who reads the GPUs."},
    {"exporters", CONF_STRUCT(conf, exporters, exporters_fields),
     .help = "GPU exporters of others, in place of agents or beside them."},
    {"engines", CONF_STRUCT(conf, engines, engines_fields), .help = "The pods' metrics pages."},
    {"demand", CONF_MAP_STRUCT(conf, demand, demand_fields), .max = "1000",
     .help = "Places that know of requests while no pod exists, by the name that triggers use."},
    {"prometheus", CONF_MAP_STRUCT(conf, prometheus, config_prometheus_fields), .max = "64",
     .help = "Prometheus servers, by the name that triggers use (prometheus.X: NAME)."},
    {"kubernetes", CONF_STRUCT(conf, kubernetes, kubernetes_fields), .help = "The cluster."},
    {"metricsAPI", CONF_STRUCT(conf, metrics_api, metrics_api_fields),
     .help = "The metrics API for HPAs without KEDA."},
    {"rules", CONF_MAP_STRUCT(conf, rules, config_rule_fields), .max = "10000",
     .place = CONF_PLACE(struct config_rule, place),
     .help =
         "What is decided for HPAs without KEDA, by name: their metric is desired-replicas with "
         "the label gpuscale.io/rule=NAME."},
    {"replicas", CONF_STRUCT(conf, replicas, replicas_fields), .help = "Several scalers."},
    {"workloads", CONF_STRING(conf, workloads), .flag = "workloads", .arg = "FILE",
     .help = "Which pods each workload has, where no Kubernetes API says it; re-read when it "
             "changes."},
    {"tick", CONF_DURATION(conf, tick_ns), .def = "1s", .min = "100ms", .max = "1m", .flag = "tick",
     .help = "Between two decisions about a workload."},
    {"log", CONF_STRUCT(conf, log, log_fields), .help = "Written to standard error."},
    {0}};

static int check_pair(const struct config_tls *t, const char *where, struct err *e) {
    if ((t->cert == NULL) == (t->key == NULL))
        return 0;
    return err_set(e, ERR_INVALID, "%s.tls: cert and key belong together, %s is missing", where,
                   t->cert ? "key" : "cert");
}

static int check_workloads(const struct scaler_config *c, struct err *e) {
    const char *file = c->workloads;
    if (file != NULL && c->kubernetes.enabled)
        return err_set(e, ERR_INVALID,
                       "workloads: %s and kubernetes.enabled exclude each other: either the file "
                       "or the cluster says which pods there are",
                       file);
    if (file == NULL && !c->kubernetes.enabled)
        return err_set(e, ERR_INVALID,
                       "who says which pods there are? kubernetes: {enabled: true} (--kubernetes), "
                       "or workloads: FILE (--workloads)");
    if (!c->kubernetes.enabled && (c->kubernetes.kubeconfig || c->kubernetes.agents.service))
        return err_set(e, ERR_INVALID, "kubernetes.%s needs kubernetes.enabled: true",
                       c->kubernetes.kubeconfig ? "kubeconfig" : "agents.service");
    return 0;
}

static int check_http(const struct scaler_config *c, struct err *e) {
    if (c->http.web_config != NULL && c->http.tls.cert != NULL)
        return err_set(e, ERR_INVALID,
                       "http.tls and http.webConfig exclude each other: write the certificate into "
                       "%s (tls_server_config)",
                       c->http.web_config);
    if (c->http.authorization == CONFIG_AUTHORIZATION_KUBERNETES && !c->kubernetes.enabled)
        return err_set(e, ERR_INVALID,
                       "http.authorization: kubernetes needs kubernetes.enabled: true");
    return 0;
}

int config_replicas_address(const struct scaler_config *c, char *dst, size_t cap, struct err *e) {
    char host[NET_HOST_MAX];
    uint16_t port = 0;
    const char *ip = c->replicas.ip;
    if (ip == NULL)
        return str_copy(dst, cap, str_from(c->replicas.address ? c->replicas.address : ""));
    bool socket = str_starts(str_from(c->grpc.listen), "unix:");
    if (socket || net_addr_split(str_from(c->grpc.listen), host, &port, e) < 0 || port == 0)
        return err_set(e, ERR_INVALID,
                       "replicas.ip: grpc.listen (%s) has no port to be told with it; give "
                       "replicas.address",
                       c->grpc.listen);
    bool v6 = strchr(ip, ':') != NULL;
    int n = snprintf(dst, cap, "%s%s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "", port);
    return n < 0 || (size_t)n >= cap ? err_set(e, ERR_LIMIT, "replicas.ip is too long") : 0;
}

static int check_replicas(const struct scaler_config *c, struct err *e) {
    if (c->replicas.lease == NULL) {
        if (c->replicas.address == NULL && c->replicas.ip == NULL && c->replicas.identity == NULL)
            return 0;
        return err_set(e, ERR_INVALID, "replicas.%s needs replicas.lease",
                       c->replicas.address ? "address"
                       : c->replicas.ip    ? "ip"
                                           : "identity");
    }
    if (!c->kubernetes.enabled)
        return err_set(e, ERR_INVALID, "replicas.lease needs kubernetes.enabled: true");
    if ((c->replicas.address == NULL) == (c->replicas.ip == NULL))
        return err_set(e, ERR_INVALID,
                       "replicas.lease needs replicas.address (IP:PORT at which the other scalers "
                       "reach this one) or replicas.ip, one of the two");
    char address[NET_HOST_MAX + 16];
    if (config_replicas_address(c, address, sizeof(address), e) < 0)
        return e->code;
    return check_pair(&c->replicas.tls, "replicas", e);
}

static int check_allowed(const struct config_tls *t, const char *where, struct err *e) {
    if (t->allowed_names.n == 0 || t->ca != NULL)
        return 0;
    return err_set(e, ERR_INVALID, "%s.tls.allowedNames: no certificate is asked for without ca",
                   where);
}

static int check_metrics_api(const struct scaler_config *c, struct err *e) {
    if (!c->metrics_api.enabled)
        return 0;
    if (!c->kubernetes.enabled)
        return err_set(e, ERR_INVALID,
                       "metricsAPI.enabled needs kubernetes.enabled: the cluster says who may ask");
    if (c->metrics_api.tls.cert == NULL && c->http.web_config != NULL)
        return err_set(e, ERR_INVALID,
                       "metricsAPI.enabled needs metricsAPI.tls: the certificate in %s "
                       "(http.webConfig) is for the http port alone, and the API server speaks "
                       "https only",
                       c->http.web_config);
    if (c->metrics_api.tls.cert == NULL && c->http.tls.cert == NULL)
        return err_set(e, ERR_INVALID,
                       "metricsAPI.enabled needs metricsAPI.tls (or http.tls): the API server "
                       "speaks https only");
    if (c->metrics_api.request_header.ca == NULL && c->metrics_api.request_header.allowed_names.n)
        return err_set(e, ERR_INVALID,
                       "metricsAPI.requestHeader: allowedNames needs its ca: without one the "
                       "cluster's ConfigMap says both");
    return 0;
}

static int check(const void *bound, struct err *e) {
    const struct scaler_config *c = bound;
    if (check_allowed(&c->grpc.tls, "grpc", e) < 0 || check_allowed(&c->http.tls, "http", e) < 0 ||
        check_http(c, e) < 0)
        return ERR_INVALID;
    if (check_replicas(c, e) < 0)
        return ERR_INVALID;
    if (check_workloads(c, e) < 0 || check_pair(&c->agents.tls, "agents", e) < 0 ||
        check_pair(&c->exporters.tls, "exporters", e) < 0)
        return ERR_INVALID;
    for (size_t i = 0; i < c->demand.n; i++) {
        struct demand_rule *rule = NULL;
        int rc = demand_rule_new(&rule, &c->demand.items[i].rule, e);
        demand_rule_free(rule);
        if (rc < 0)
            return err_wrap(e, "demand.%s", c->demand.items[i].name);
    }
    for (size_t i = 0; i < c->prometheus.n; i++)
        if (config_prometheus_check(&c->prometheus.items[i], e) < 0)
            return ERR_INVALID;
    if (check_metrics_api(c, e) < 0)
        return ERR_INVALID;
    return config_rules_check(c, e);
}

const struct conf_spec scaler_config_spec = {
    .program = "gpuscale scaler",
    .about = "KEDA's external scaler (types external and external-push): reads agents, engines "
             "and demand sources, decides how many replicas each workload needs, tells KEDA. "
             "SIGTERM ends gracefully; SIGHUP re-reads the workloads file and the certificates.",
    .fields = fields,
    .size = sizeof(struct scaler_config),
    .check = check,
};

bool config_tls_on(const struct config_tls *t) {
    return t->cert != NULL || t->key != NULL || t->ca != NULL || t->server_name != NULL;
}

struct net_tls_files config_tls_files(const struct config_tls *t) {
    return (struct net_tls_files){.cert = t->cert,
                                  .key = t->key,
                                  .ca = t->ca,
                                  .allowed = t->allowed_names.items,
                                  .n_allowed = t->allowed_names.n};
}
