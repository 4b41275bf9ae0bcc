// SPDX-License-Identifier: Apache-2.0
/* The table of flags; see the header. */
#include "tools/generate_options.h"

#include "base/mem.h"

static const char *const style_names[] = {"gpuscale", "prometheus", "managed", "hpa", NULL};
static const char *const policy_names[] = {"auto", "add", "none", NULL};

typedef struct generate_flags flags_t;

#define METADATA_FIELD(member, key_, flag_, arg_, help_)                                           \
    {key_, CONF_STRING(flags_t, member), .flag = flag_, .arg = arg_, .help = help_},

static const struct conf_field fields[] = {
    {"from", CONF_LIST_STRING(flags_t, from), .flag = "from", .arg = "FILE",
     .help = "ScaledObjects or HorizontalPodAutoscalers that scale it now: their triggers are "
             "translated, all else of them is kept."},
    {"style", CONF_ENUM(flags_t, style, style_names), .def = "gpuscale", .flag = "style",
     .arg = "STYLE",
     .help = "gpuscale: KEDA's external scaler. prometheus: without gpuscale, KEDA's prometheus "
             "triggers on the exporter's and the engine's metrics. managed: a KEDA that allows no "
             "external scalers asks Prometheus for gpuscale's decision. hpa: an HPA without KEDA."},
    {"min", CONF_STRING(flags_t, min), .flag = "min", .arg = "N",
     .help = "Fewest replicas; 0 needs a demand source."},
    {"max", CONF_STRING(flags_t, max), .flag = "max", .arg = "N", .help = "Most replicas."},
    {"name", CONF_STRING(flags_t, name), .flag = "name", .arg = "NAME",
     .help = "Of what is written; without: the workload's."},
    {"namespace", CONF_STRING(flags_t, namespace_), .flag = "namespace", .arg = "NAME",
     .help = "Where the workload is, when its file does not say; -n is the same."},
    {"target", CONF_STRING(flags_t, target), .flag = "target", .arg = "KIND/NAME",
     .help = "What is scaled, where it is not the workload itself: rollout/llm, "
             "leaderworkerset/llm, KIND.VERSION.GROUP/NAME."},
    GENERATE_METADATA(METADATA_FIELD){
        "set", CONF_LIST_STRING(flags_t, set), .flag = "set", .arg = "KEY=VALUE",
        .help = "Any other key of the trigger metadata: prometheus.lag=main."},
    {"prometheusServer", CONF_STRING(flags_t, prometheus_server), .flag = "prometheus-server",
     .arg = "NAME",
     .help = "Server of the scaler's configuration that is to be asked the queries of --from that "
             "are no engine's and no GPU's; without: they stay KEDA's triggers."},
    {"kubernetes", CONF_STRING(flags_t, kubernetes), .def = "1.35", .flag = "kubernetes",
     .arg = "VERSION", .help = "Of the cluster. Before 1.35 an HPA has no tolerance of its own."},
    {"scaler", CONF_STRING(flags_t, scaler), .def = "gpuscale-scaler.gpuscale.svc:9443",
     .flag = "scaler", .arg = "HOST:PORT", .help = "Where KEDA finds the scaler."},
    {"scalerNamespace", CONF_STRING(flags_t, scaler_namespace), .def = "gpuscale",
     .flag = "scaler-namespace", .arg = "NAME", .help = "Where the scaler runs, for policies."},
    {"authentication", CONF_STRING(flags_t, authentication), .def = "gpuscale",
     .flag = "authentication", .arg = "NAME",
     .help = "ClusterTriggerAuthentication with KEDA's certificate; \"\": none."},
    {"networkPolicy", CONF_ENUM(flags_t, policies, policy_names), .def = "auto",
     .flag = "network-policy", .arg = "auto|add|none",
     .help = "A NetworkPolicy that lets the scaler read the engine's page: add one, or (auto) "
             "where a policy in the input or the cluster closes the pods."},
    {"prometheus", CONF_STRING(flags_t, prometheus), .def = "http://prometheus.monitoring.svc:9090",
     .flag = "prometheus", .arg = "URL", .help = "For --style prometheus and managed."},
    {"replicasQuery", CONF_STRING(flags_t, replicas_query), .flag = "replicas-query",
     .arg = "QUERY",
     .help = "For --style prometheus: the present number of replicas; without: "
             "kube-state-metrics'."},
    {"adapter", CONF_BOOL(flags_t, adapter), .flag = "adapter",
     .help = "For --style prometheus: an HPA and prometheus-adapter's rules instead of KEDA."},
    {"output", CONF_STRING(flags_t, output), .flag = "output", .arg = "DIR",
     .help = "A file for each object instead of one text on stdout."},
    {"kubeconfig", CONF_STRING(flags_t, kubeconfig), .flag = "kubeconfig", .arg = "FILE",
     .help = "For KIND/NAME; without: $KUBECONFIG, the pod's own, ~/.kube/config."},
    {"context", CONF_STRING(flags_t, context), .flag = "context", .arg = "NAME",
     .help = "Of the kubeconfig."},
    {0}};

const struct conf_spec generate_spec = {
    .program = "gpuscale generate",
    .about =
        "Writes what scales a workload, ready for kubectl apply, with a comment for each choice. "
        "FILE is YAML or JSON with a Deployment, StatefulSet, LeaderWorkerSet, Rollout or anything "
        "else that has a pod template (- or nothing: standard input); KIND/NAME is asked for in "
        "the cluster.\n"
        "  kubectl get deployment llm -o yaml | gpuscale generate --demand gateway\n"
        "  gpuscale generate deployment/llm -n ml --max 8\n"
        "  gpuscale generate --from scaledobject.yaml deployment.yaml",
    .flags_only = true,
    .rest = "FILE | KIND/NAME ...",
    .fields = fields,
    .size = sizeof(flags_t),
};

#define METADATA_KEY(member, key_, flag_, arg_, help_) {key_, offsetof(flags_t, member)},
static const struct {
    const char *key;
    size_t offset;
} keys[] = {GENERATE_METADATA(METADATA_KEY)};

const char *generate_key(unsigned i) {
    return i < COUNT_OF(keys) ? keys[i].key : NULL;
}

const char *generate_flag(const struct generate_flags *flags, const char *key) {
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (strcmp(keys[i].key, key) == 0)
            return *(const char *const *)((const char *)flags + keys[i].offset);
    return NULL;
}
