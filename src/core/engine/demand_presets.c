// SPDX-License-Identifier: Apache-2.0
/* The gateways that gpuscale knows. docs/engines.md is the table for people: keep it in step. */
#include "core/engine/demand_preset.h"

#include <stdio.h>

#include "base/mem.h"

#define KEY(k) (1u << DEMAND_KEY_##k)
#define VALUE(v) (1u << DEMAND_##v)

#define WHERE(...) ((const struct demand_match[]){__VA_ARGS__, {0}})
#define TERMS(...) ((const struct demand_term[]){__VA_ARGS__, {0}})
#define WAYS(...) ((const struct demand_way[]){__VA_ARGS__, {0}})
#define ONE(metric, ...)                                                                           \
    { .add = TERMS({.name = (metric), .where = WHERE(__VA_ARGS__)}) }

// Envoy: its own spelling of the cluster's label, and Istio's. A request to a cluster without hosts
// is answered at once and counted as none_healthy only: at zero replicas it is the demand.
#define ENVOY_REQUESTS(label)                                                                      \
    {                                                                                              \
        .add = TERMS(                                                                              \
            {.name = "envoy_cluster_upstream_rq_total", .where = WHERE({label, "{cluster}"})},     \
            {.name = "envoy_cluster_upstream_cx_none_healthy",                                     \
             .where = WHERE({label, "{cluster}"}),                                                 \
             .optional = true})                                                                    \
    }
#define ENVOY(metric)                                                                              \
    WAYS(ONE(metric, {"envoy_cluster_name", "{cluster}"}),                                         \
         ONE(metric, {"cluster_name", "{cluster}"}))

// Istio counts a request once at each reporter that it passes.
#define ISTIO_CLUSTER(metric)                                                                      \
    WAYS({.add = TERMS(                                                                            \
              {.name = (metric), .where = WHERE({"cluster_name", "outbound|{port}||{service}"})}), \
          .needs = KEY(PORT)})

#define KNATIVE                                                                                    \
    {"k8s_namespace_name", "{namespace}"}, {"kn_service_name", "{service}"}, {                     \
        "kn_revision_name", "{revision}"                                                           \
    }

#define ROUTE                                                                                      \
    {"route_namespace", "{namespace}"}, {                                                          \
        "route_name", "{route}"                                                                    \
    }

// The endpoint picker counts a request when it has chosen its endpoint. With flow control it holds
// requests before; those that found no endpoint at all have an outcome of their own.
#define EPP_TURNED_AWAY(outcome_)                                                                  \
    {                                                                                              \
        .name = "llm_d_epp_flow_control_requests_total",                                           \
        .where = WHERE({"outcome", (outcome_)}, {"inference_pool", "{pool}"}), .optional = true    \
    }
#define HELD(prefix)                                                                               \
    {                                                                                              \
        .add = TERMS({.name = prefix "flow_control_queue_size", .where = WHERE(POOL)}),            \
        .needs = KEY(POOL)                                                                         \
    }
#define NOTHING_HELD(prefix)                                                                       \
    {                                                                                              \
        .add = TERMS({.name = prefix "flow_control_pool_saturation",                               \
                      .where = WHERE({"inference_pool", "{pool}"}),                                \
                      .witness = true}),                                                           \
        .needs = KEY(POOL)                                                                         \
    }
#define MODEL                                                                                      \
    { "model_name", "{model}" }
#define POOL {"inference_pool", "{pool}"}, MODEL

const struct demand_preset demand_presets[] =
    {
        {
            .name = "envoy",
            .title = "Envoy (Envoy Gateway, Contour, a sidecar)",
            .page = ":9901/stats/prometheus",
            .required = KEY(CLUSTER),
            .uncounted = VALUE(WAITING),
            .values =
                {
                    [DEMAND_REQUESTS_TOTAL] = WAYS(ENVOY_REQUESTS("envoy_cluster_name"),
                                                   ENVOY_REQUESTS("cluster_name")),
                    [DEMAND_WAITING] = ENVOY("envoy_cluster_upstream_rq_pending_active"),
                    [DEMAND_INFLIGHT] = ENVOY("envoy_cluster_upstream_rq_active"),
                },
        },
        {
            .name = "istio",
            .title = "Istio (a gateway's page, or a sidecar's)",
            .page = ":15020/stats/prometheus",
            .required = KEY(SERVICE),
            .optional = KEY(PORT) | KEY(REPORTER),
            .defaults = {[DEMAND_KEY_REPORTER] = "source"},
            .uncounted = VALUE(WAITING) | VALUE(INFLIGHT),
            .values =
                {
                    [DEMAND_REQUESTS_TOTAL] = WAYS(ONE("istio_requests_total",
                                                       {"destination_service", "{service}"},
                                                       {"reporter", "{reporter}"})),
                    [DEMAND_WAITING] = ISTIO_CLUSTER("envoy_cluster_upstream_rq_pending_active"),
                    [DEMAND_INFLIGHT] = ISTIO_CLUSTER("envoy_cluster_upstream_rq_active"),
                },
        },
        {
            .name = "ingress-nginx",
            .title = "ingress-nginx",
            .page = ":10254/metrics",
            .required = KEY(NAMESPACE) | KEY(INGRESS),
            .optional = KEY(SERVICE),
            .values =
                {
                    [DEMAND_REQUESTS_TOTAL] = WAYS(
                        ONE("nginx_ingress_controller_requests", {"namespace", "{namespace}"},
                            {"ingress", "{ingress}"}, {"service", "{service}"})),
                },
        },
        {
            // The activator. It had a counter until 1.18 and has none since, so there is none here.
            .name = "knative",
            .title = "Knative (the activator's page)",
            .page = ":9090/metrics",
            .required = KEY(NAMESPACE) | KEY(SERVICE),
            .optional = KEY(REVISION),
            .values =
                {
                    [DEMAND_INFLIGHT] =
                        WAYS({.add = TERMS(
                                  {.name = "kn_revision_request_active", .where = WHERE(KNATIVE)},
                                  {.name = "kn_revision_request_queued",
                                   .where = WHERE(KNATIVE),
                                   .optional = true})},
                             ONE("kn_revision_request_concurrency", KNATIVE),
                             ONE("activator_request_concurrency", {"namespace_name", "{namespace}"},
                                 {"service_name", "{service}"}, {"revision_name", "{revision}"})),
                },
        },
        {
            .name = "epp",
            .title = "the endpoint picker of llm-d and the Gateway API inference extension",
            .page = ":9090/metrics",
            .optional = KEY(POOL) | KEY(MODEL),
            .uncounted = VALUE(WAITING),
            .values =
                {
                    [DEMAND_REQUESTS_TOTAL] =
                        WAYS({.add = TERMS({.name = "llm_d_epp_request_total",
                                            .where = WHERE(MODEL)},
                                           EPP_TURNED_AWAY("RejectedNoEndpoints"),
                                           EPP_TURNED_AWAY("EvictedNoEndpoints"))},
                             ONE("inference_objective_request_total", MODEL),
                             ONE("inference_model_request_total", MODEL)),
                    // the series of a flow goes when it is idle: none is 0 while flow control runs
                    [DEMAND_WAITING] = WAYS(HELD("llm_d_epp_"), NOTHING_HELD("llm_d_epp_"),
                                            HELD("inference_extension_"),
                                            NOTHING_HELD("inference_extension_")),
                    [DEMAND_INFLIGHT] = WAYS(ONE("llm_d_epp_request_running", MODEL),
                                             ONE("inference_objective_running_requests", MODEL),
                                             ONE("inference_model_running_requests", MODEL)),
                },
        },
        {
            // Concurrency has what it holds for a service at zero, too. Older versions label by
            // host:
            // selectors are written for those.
            .name = "http-add-on",
            .title = "KEDA's http-add-on (the interceptor's page)",
            .page = ":2223/metrics",
            .required = KEY(NAMESPACE) | KEY(ROUTE),
            .uncounted = VALUE(INFLIGHT),
            .values =
                {
                    [DEMAND_REQUESTS_TOTAL] = WAYS(ONE("interceptor_request_count_total", ROUTE)),
                    [DEMAND_INFLIGHT] = WAYS(ONE("interceptor_request_concurrency", ROUTE)),
                },
        },
};

const unsigned demand_presets_n = COUNT_OF(demand_presets);

static const struct {
    const char *name, *help;
} keys[DEMAND_KEY_MAX] = {
    [DEMAND_KEY_CLUSTER] = {"cluster", "Envoy's name of the upstream cluster"},
    [DEMAND_KEY_SERVICE] = {"service", "name of the service; for istio with its domain, as in "
                                       "vllm.default.svc.cluster.local"},
    [DEMAND_KEY_NAMESPACE] = {"namespace", "namespace of the service, ingress or route"},
    [DEMAND_KEY_INGRESS] = {"ingress", "name of the Ingress"},
    [DEMAND_KEY_REVISION] = {"revision", "one revision of the service; left out: all"},
    [DEMAND_KEY_ROUTE] = {"route", "name of the InterceptorRoute or HTTPScaledObject"},
    [DEMAND_KEY_POOL] = {"pool", "name of the InferencePool, where flow control is on: then "
                                 "the requests that it holds are read"},
    [DEMAND_KEY_MODEL] = {"model", "model name of the requests; left out: all on the page"},
    [DEMAND_KEY_PORT] = {"port", "port of the service, where the proxy tells Envoy's own gauges"},
    [DEMAND_KEY_REPORTER] = {"reporter", "source (a gateway's page, the default), destination (a "
                                         "sidecar's) or waypoint"},
};

const char *demand_key_name(enum demand_key k) {
    return keys[k].name;
}

const char *demand_key_help(enum demand_key k) {
    return keys[k].help;
}

int demand_preset_find(struct str name, const struct demand_preset **ret, struct err *e) {
    const char *names[COUNT_OF(demand_presets) + 1] = {NULL};
    char list[256] = "";
    size_t at = 0;
    for (unsigned i = 0; i < demand_presets_n; i++) {
        names[i] = demand_presets[i].name;
        if (str_eqc(name, names[i])) {
            *ret = &demand_presets[i];
            return 0;
        }
        int n = snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", names[i]);
        at += n > 0 && (size_t)n < sizeof(list) - at ? (size_t)n : 0;
    }
    const char *nearest = str_nearest(name, names);
    return err_set(e, ERR_NOTFOUND, "no demand preset \"%.*s\"%s%s%s; there are: %s",
                   (int)(name.n < 64 ? name.n : 64), name.p, nearest ? ", did you mean \"" : "",
                   nearest ? nearest : "", nearest ? "\"?" : "", list);
}
