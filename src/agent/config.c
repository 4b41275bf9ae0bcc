// SPDX-License-Identifier: Apache-2.0
/* See config.h: the table of keys and flags, and what no single key can say. */
#include "agent/config.h"

#include <sys/un.h>

#include "base/mem.h"

enum { CONFIG_ARENA_BYTES = 16 << 20 };

static int check_gpu(const char *value, struct err *e) {
    if (value[0] == 0 || strlen(value) >= GPU_UUID_MAX)
        return err_set(e, ERR_INVALID, "expected a UUID such as GPU-6f0c..., or an index");
    return 0;
}

static int check_name(const char *value, struct err *e) {
    if (value[0] == 0 || strlen(value) >= KUBE_NAME_MAX)
        return err_set(e, ERR_INVALID, "expected a name of Kubernetes, 1 to %d characters",
                       KUBE_NAME_MAX - 1);
    return 0;
}

static int check_socket(const char *value, struct err *e) {
    enum { ROOM = sizeof(((struct sockaddr_un *)0)->sun_path) };
    if (value[0] != '/' || strlen(value) >= ROOM)
        return err_set(e, ERR_INVALID, "expected the absolute path of a socket, at most %d bytes",
                       ROOM - 1);
    return 0;
}

static int check_allowed_name(const char *value, struct err *e) {
    if (value[0] != '\0' && strpbrk(value, " *") == NULL)
        return 0;
    return err_set(e, ERR_INVALID,
                   "a name is written out, without '*': gpuscale-scaler.example.svc");
}

static const struct conf_field metrics_tls_fields[] = {
    {"cert", CONF_STRING(struct agent_tls_config, cert), .flag = "tls-cert", .arg = "FILE",
     .help = "Certificate chain (PEM); without it the port is plain HTTP."},
    {"key", CONF_STRING(struct agent_tls_config, key), .flag = "tls-key", .arg = "FILE",
     .help = "Its key (PEM)."},
    {"ca", CONF_STRING(struct agent_tls_config, ca), .flag = "tls-ca", .arg = "FILE",
     .help = "Who comes must have a certificate signed by one of these."},
    {"allowedNames", CONF_LIST_STRING(struct agent_tls_config, allowed_names),
     .flag = "tls-allowed-name", .arg = "NAME", .max = "64", .check = check_allowed_name,
     .help = "DNS name or URI, of which who comes must have one in its certificate; left out: any "
             "certificate of those authorities will do."},
    {0}};

static const struct conf_field grpc_tls_fields[] = {
    {"cert", CONF_STRING(struct agent_tls_config, cert), .flag = "grpc-tls-cert", .arg = "FILE",
     .help = "Certificate chain (PEM); without it the port is plain HTTP/2."},
    {"key", CONF_STRING(struct agent_tls_config, key), .flag = "grpc-tls-key", .arg = "FILE",
     .help = "Its key (PEM)."},
    {"ca", CONF_STRING(struct agent_tls_config, ca), .flag = "grpc-tls-ca", .arg = "FILE",
     .help = "Who comes must have a certificate signed by one of these (mutual TLS)."},
    {"allowedNames", CONF_LIST_STRING(struct agent_tls_config, allowed_names),
     .flag = "grpc-tls-allowed-name", .arg = "NAME", .max = "64", .check = check_allowed_name,
     .help = "DNS name or URI, of which who comes must have one in its certificate; left out: any "
             "certificate of those authorities will do."},
    {0}};

static const char *const kubelet_names[] = {"auto", "on", "off", NULL};
static const char *const dcgm_names[] = {"auto", "on", "off", NULL};
static const char *const hostname_names[] = {"Hostname", "hostname", NULL};
static const char *const format_names[] = {"logfmt", "json", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

typedef typeof(((struct agent_config *)0)->metrics) metrics_config;
typedef typeof(((struct agent_config *)0)->grpc) grpc_config;
typedef typeof(((struct agent_config *)0)->health) health_config;
typedef typeof(((struct agent_config *)0)->pod_resources) pod_resources_config;
typedef typeof(((struct agent_config *)0)->pod_processes) pod_processes_config;
typedef typeof(((struct agent_config *)0)->log) log_config;

static const struct conf_field metrics_fields[] = {
    {"listen", CONF_STRING(metrics_config, listen), .def = ":9400", .flag = "listen",
     .arg = "ADDR:PORT", .help = "Where /metrics is served."},
    {"tls", CONF_STRUCT(metrics_config, tls, metrics_tls_fields), .help = "TLS of that port."},
    {"webConfig", CONF_STRING(metrics_config, web_config), .flag = "web-config", .arg = "FILE",
     .help = "In place of `tls`: a web-config file as Prometheus' exporters have (TLS, users with "
             "bcrypt hashes), re-read when it changes."},
    {"dcgm", CONF_ENUM(metrics_config, dcgm, dcgm_names), .def = "auto", .flag = "dcgm",
     .arg = "auto|on|off",
     .help = "Serve dcgm-exporter's series (DCGM_FI_*). auto: while no dcgm-exporter answers at "
             "dcgmExporter, so that no sum doubles."},
    {"dcgmExporter", CONF_STRING(metrics_config, dcgm_exporter), .def = "127.0.0.1:9400",
     .flag = "dcgm-exporter", .arg = "HOST:PORT",
     .help = "Where dcgm: auto looks for this node's dcgm-exporter, once a minute. In a pod "
             "network give its Service (internalTrafficPolicy: Local) or $(HOST_IP):9400."},
    {"hostnameLabel", CONF_ENUM(metrics_config, hostname_label, hostname_names), .def = "Hostname",
     .help = "How DCGM_FI_* series spell the host's label: Hostname (dcgm-exporter up to May 2026, "
             "and dashboards made for it) or hostname (later)."},
    {"classic", CONF_BOOL(metrics_config, classic), .def = "true",
     .help = "Serve gpu_utilization and gpu_memory_used."},
    {"gpuscale", CONF_BOOL(metrics_config, own), .def = "true", .help = "Serve gpuscale_*."},
    {"staleAfter", CONF_DURATION(metrics_config, stale_after_ns), .def = "0", .max = "1h",
     .help = "A reading older than this leaves /metrics (0: five intervals, at least 5s)."},
    {0}};

static const struct conf_field grpc_fields[] = {
    {"listen", CONF_STRING(grpc_config, listen), .def = ":9443", .flag = "grpc-listen",
     .arg = "ADDR:PORT", .help = "Where the scaler comes for readings."},
    {"tls", CONF_STRUCT(grpc_config, tls, grpc_tls_fields), .help = "TLS of that port."},
    {"maxConnectionAge", CONF_DURATION(grpc_config, max_connection_age_ns), .def = "30m",
     .max = "24h", .help = "Connections are renewed after this, with the newest certificate."},
    {0}};

static const struct conf_field health_fields[] = {
    {"listen", CONF_STRING(health_config, listen), .def = ":9401", .flag = "health-listen",
     .arg = "ADDR:PORT", .help = "Where the kubelet asks /healthz and /readyz."},
    {0}};

static const struct conf_field pod_resources_fields[] = {
    {"mode", CONF_ENUM(pod_resources_config, mode, kubelet_names), .def = "auto",
     .flag = "pod-resources", .arg = "auto|on|off",
     .help = "Ask the kubelet which pods hold the GPUs. auto: unless `pods` says it, and where the "
             "kubelet's socket is."},
    {"socket", CONF_STRING(pod_resources_config, socket),
     .def = "/var/lib/kubelet/pod-resources/kubelet.sock", .flag = "pod-resources-socket",
     .arg = "PATH", .check = check_socket,
     .help = "The kubelet's pod-resources socket (root's: the agent runs as user 0). In a pod, "
             "mount its folder, for the socket is replaced when the kubelet restarts."},
    {"interval", CONF_DURATION(pod_resources_config, interval_ns), .def = "10s", .min = "1s",
     .max = "10m", .flag = "pod-resources-interval", .arg = "DURATION",
     .help = "Time between two questions; when processes come and go, or GPU memory changes, the "
             "next one comes at once."},
    {"maxAge", CONF_DURATION(pod_resources_config, max_age_ns), .def = "0", .max = "1h",
     .help = "An answer older than this is no longer believed: who holds the GPUs is then unknown "
             "(0: three intervals, at least 30s)."},
    {0}};

static const struct conf_field pod_processes_fields[] = {
    {"enabled", CONF_BOOL(pod_processes_config, on), .def = "false", .flag = "pod-processes",
     .help = "Tell what each container's processes use of a GPU, by pod UID. Needs the host's PID "
             "namespace (hostPID: true), or its /proc."},
    {"proc", CONF_STRING(pod_processes_config, proc), .def = "/proc", .max = "200", .flag = "proc",
     .arg = "PATH", .help = "Where the host's processes are seen, if /proc shows others."},
    {0}};

static const struct conf_field pod_fields[] = {
    {"gpu", CONF_STRING(struct agent_pod_config, gpu), .required = true, .numbers_too = true,
     .check = check_gpu, .help = "UUID, or index on this node."},
    {"namespace", CONF_STRING(struct agent_pod_config, namespace_), .required = true,
     .check = check_name, .help = "Of the pod."},
    {"pod", CONF_STRING(struct agent_pod_config, pod), .required = true, .check = check_name,
     .help = "Which holds the GPU."},
    {"container", CONF_STRING(struct agent_pod_config, container), .check = check_name,
     .help = "Of the pod."},
    {0}};

static const struct conf_field log_fields[] = {
    {"format", CONF_ENUM(log_config, format, format_names), .def = "logfmt", .flag = "log-format",
     .arg = "logfmt|json", .help = "Of the lines on standard error."},
    {"level", CONF_ENUM(log_config, level, level_names), .def = "info", .flag = "log-level",
     .arg = "LEVEL", .help = "debug, info, warn or error."},
    {0}};

static const struct conf_field agent_fields[] = {
    {"source", CONF_STRING(struct agent_config, source), .def = "auto", .flag = "source",
     .arg = "SOURCE",
     .help = "Where readings come from: auto; nvml[:library=PATH][,pcie] (NVIDIA GPUs; pcie: PCIe "
             "throughput of GPUs older than Hopper too, 40 ms a GPU); "
             "sim:N[,SCENARIO][,KEY=VALUE]... (scenarios idle "
             "steady ramp burst sawtooth flaky lost hang; keys level period after for gpu seed "
             "load); replay:FILE[,end=hold|loop|stop][,speed=X]."},
    {"interval", CONF_DURATION(struct agent_config, interval_ns), .def = "1s", .min = "100ms",
     .max = "1m", .flag = "interval", .arg = "DURATION", .help = "Time between two readings."},
    {"nodeName", CONF_STRING(struct agent_config, node_name), .def = "", .max = "253",
     .flag = "node-name", .arg = "NAME",
     .help = "What Kubernetes calls this node; empty: the host's name."},
    {"record", CONF_STRING(struct agent_config, record), .flag = "record", .arg = "FILE",
     .help = "Write what is read to this file, for replay:FILE."},
    {"metrics", CONF_STRUCT(struct agent_config, metrics, metrics_fields),
     .help = "The port for Prometheus."},
    {"grpc", CONF_STRUCT(struct agent_config, grpc, grpc_fields), .help = "The port for scalers."},
    {"health", CONF_STRUCT(struct agent_config, health, health_fields),
     .help = "The port for the kubelet."},
    {"podResources", CONF_STRUCT(struct agent_config, pod_resources, pod_resources_fields),
     .help = "Which pods hold the GPUs, from the kubelet."},
    {"podProcesses", CONF_STRUCT(struct agent_config, pod_processes, pod_processes_fields),
     .help = "What each pod uses of a GPU that several share."},
    {"pods", CONF_LIST_STRUCT(struct agent_config, pods, pod_fields), .max = "4096",
     .help = "Which pods hold the GPUs, instead of the kubelet's word; a GPU that this list does "
             "not name is nobody's."},
    {"log", CONF_STRUCT(struct agent_config, log, log_fields), .help = "The log."},
    {0}};

static int check_tls(const char *where, const struct agent_tls_config *t, struct err *e) {
    if (!t->cert != !t->key)
        return err_set(e, ERR_INVALID, "%s.tls.%s is missing beside %s.tls.%s", where,
                       t->cert ? "key" : "cert", where, t->cert ? "cert" : "key");
    if (t->ca && !t->cert)
        return err_set(e, ERR_INVALID, "%s.tls.ca needs %s.tls.cert and %s.tls.key", where, where,
                       where);
    if (t->allowed_names.n > 0 && !t->ca)
        return err_set(e, ERR_INVALID,
                       "%s.tls.allowedNames: no certificate is asked for without %s.tls.ca", where,
                       where);
    return 0;
}

static int check_pods(const struct agent_config *c, struct err *e) {
    for (size_t i = 0; i < c->pods.n; i++) {
        unsigned same = 0;
        for (size_t k = 0; k < c->pods.n; k++)
            same += strcmp(c->pods.items[i].gpu, c->pods.items[k].gpu) == 0;
        if (same > LIMIT_OWNERS_PER_GPU)
            return err_set(e, ERR_INVALID, "pods: GPU %s is held %u times, at most %d are kept",
                           c->pods.items[i].gpu, same, LIMIT_OWNERS_PER_GPU);
    }
    return 0;
}

static int check_config(const void *bound, struct err *e) {
    const struct agent_config *c = bound;
    int r = check_tls("metrics", &c->metrics.tls, e);
    if (!r && c->metrics.web_config && c->metrics.tls.cert)
        r = err_set(e, ERR_INVALID,
                    "metrics.tls and metrics.webConfig exclude each other: write the certificate "
                    "into %s (tls_server_config)",
                    c->metrics.web_config);
    if (!r)
        r = check_tls("grpc", &c->grpc.tls, e);
    if (!r && c->pods.items && c->pod_resources.mode == AGENT_KUBELET_ON)
        r = err_set(e, ERR_INVALID,
                    "pods and podResources.mode: on both say who holds the GPUs; remove one");
    return r ? r : check_pods(c, e);
}

static const struct conf_spec spec = {
    .program = "gpuscale-agent",
    .about = "Reads this node's GPUs and serves them to Prometheus and to gpuscale scalers.",
    .fields = agent_fields,
    .size = sizeof(struct agent_config),
    .check = check_config,
};

int agent_config_load(struct agent_config_file **ret, int argc, char **argv, struct err *e) {
    struct conf_outcome outcome;
    struct agent_config_file *c = mem_zalloc(sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for the configuration");
    arena_init(&c->arena, CONFIG_ARENA_BYTES);
    int r = conf_load(&spec, argc, argv, &c->config, &c->arena, &outcome, e);
    if (r) {
        agent_config_free(c);
        return r;
    }
    c->path = outcome.path;
    c->text = outcome.text;
    *ret = c;
    return 0;
}

struct agent_config_file *agent_config_free(struct agent_config_file *c) {
    if (c) {
        arena_done(&c->arena);
        mem_free(c);
    }
    return NULL;
}

int64_t agent_config_stale_after_ns(const struct agent_config *c) {
    if (c->metrics.stale_after_ns > 0)
        return c->metrics.stale_after_ns;
    const int64_t least_ns = 5 * INT64_C(1000000000);
    return 5 * c->interval_ns > least_ns ? 5 * c->interval_ns : least_ns;
}

bool agent_config_asks_kubelet(const struct agent_config *c) {
    return c->pod_resources.mode != AGENT_KUBELET_OFF && !c->pods.items;
}

int64_t agent_config_owners_max_age_ns(const struct agent_config *c) {
    if (c->pod_resources.max_age_ns > 0)
        return c->pod_resources.max_age_ns;
    const int64_t least_ns = 30 * INT64_C(1000000000);
    int64_t three_ns = 3 * c->pod_resources.interval_ns;
    return three_ns > least_ns ? three_ns : least_ns;
}

int agent_config_owners(const struct agent_config *c, struct agent_owners *ret, struct err *e) {
    struct agent_owners o;
    agent_owners_init(&o);
    o.known = c->pods.items != NULL;
    for (size_t i = 0; i < c->pods.n; i++) {
        const struct agent_pod_config *p = &c->pods.items[i];
        struct agent_owner owner = {.device = {.gpu_instance = -1, .exact = true}};
        // The lengths were checked when the file was bound.
        str_copy(owner.device.gpu, sizeof owner.device.gpu, str_from(p->gpu));
        str_copy(owner.owner.namespace_, sizeof owner.owner.namespace_, str_from(p->namespace_));
        str_copy(owner.owner.pod, sizeof owner.owner.pod, str_from(p->pod));
        if (p->container)
            str_copy(owner.owner.container, sizeof owner.owner.container, str_from(p->container));
        int r = vec_push(&o.list, owner);
        if (r) {
            agent_owners_done(&o);
            return err_set(e, r, "no room for %zu pods", c->pods.n);
        }
    }
    *ret = o;
    return 0;
}

static bool differs(const char *a, const char *b) {
    return !a != !b || (a && strcmp(a, b) != 0);
}

static bool tls_differs(const struct agent_tls_config *a, const struct agent_tls_config *b) {
    if (a->allowed_names.n != b->allowed_names.n)
        return true;
    for (size_t i = 0; i < a->allowed_names.n; i++)
        if (differs(a->allowed_names.items[i], b->allowed_names.items[i]))
            return true;
    return differs(a->cert, b->cert) || differs(a->key, b->key) || differs(a->ca, b->ca);
}

const char *agent_config_needs_restart(const struct agent_config *a, const struct agent_config *b) {
    if (differs(a->source, b->source))
        return "source";
    if (a->interval_ns != b->interval_ns)
        return "interval";
    if (differs(a->node_name, b->node_name))
        return "nodeName";
    if (differs(a->record, b->record))
        return "record";
    if (a->pod_processes.on != b->pod_processes.on ||
        differs(a->pod_processes.proc, b->pod_processes.proc))
        return "podProcesses";
    if (differs(a->metrics.listen, b->metrics.listen))
        return "metrics.listen";
    if (tls_differs(&a->metrics.tls, &b->metrics.tls))
        return "metrics.tls";
    if (differs(a->metrics.web_config, b->metrics.web_config))
        return "metrics.webConfig";
    if (differs(a->grpc.listen, b->grpc.listen))
        return "grpc.listen";
    if (tls_differs(&a->grpc.tls, &b->grpc.tls))
        return "grpc.tls";
    if (a->grpc.max_connection_age_ns != b->grpc.max_connection_age_ns)
        return "grpc.maxConnectionAge";
    return differs(a->health.listen, b->health.listen) ? "health.listen" : NULL;
}
