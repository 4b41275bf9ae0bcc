// SPDX-License-Identifier: Apache-2.0
/* The configuration that the tests of conf bind: each kind of field, once each way. */
#pragma once

#include "base/mem.h"
#include "conf/conf.h"
#include "unit.h"

enum sample_level { SAMPLE_DEBUG, SAMPLE_INFO, SAMPLE_WARN };

struct sample_tls {
    const char *cert, *key;
};
struct sample_proxy {
    const char *url, *user;
};
struct sample_grpc {
    const char *listen;
    int64_t max_age_ns;
    struct sample_tls tls;
    struct sample_proxy proxy;
};
struct sample_pod {
    const char *gpu, *namespace;
    CONF_LIST_OF(const char *) containers;
};
struct sample_demand {
    const char *name, *url;
    double weight;
    struct conf_place place;
};
struct sample {
    const char *listen, *note;
    enum sample_level level;
    bool push;
    int64_t replicas, tick_ns;
    double tolerance;
    uint64_t memory;
    struct sample_grpc grpc;
    CONF_LIST_OF(const char *) targets;
    CONF_LIST_OF(double) buckets;
    CONF_LIST_OF(int64_t) ports, waits;
    CONF_LIST_OF(struct sample_pod) pods;
    CONF_MAP_OF(const char *) labels;
    CONF_MAP_OF(double) weights;
    CONF_LIST_OF(struct sample_demand) demand; // a map: the struct begins with its name
};

static const char *const sample_levels[] = {"debug", "info", "warn", NULL};

static int sample_check_url(const char *value, struct err *e) {
    if (strncmp(value, "http://", 7) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "expected a URL such as http://host:port/path");
}

static const struct conf_field sample_tls_fields[] = {
    {"cert", CONF_STRING(struct sample_tls, cert), .required = true, .flag = "grpc-cert",
     .help = "Certificate chain, PEM."},
    {"key", CONF_STRING(struct sample_tls, key), .required = true, .help = "Its key."},
    {0}};
static const struct conf_field sample_proxy_fields[] = {
    {"url", CONF_STRING(struct sample_proxy, url), .arg = "URL", .help = "Which proxy."},
    {"user", CONF_STRING(struct sample_proxy, user)},
    {0}};
static const struct conf_field sample_grpc_fields[] = {
    {"listen", CONF_STRING(struct sample_grpc, listen), .def = ":9443", .flag = "grpc-listen",
     .arg = "HOST:PORT", .help = "Where KEDA asks."},
    {"maxConnectionAge", CONF_DURATION(struct sample_grpc, max_age_ns), .def = "5m",
     .help = "Age at which a connection is asked to go."},
    {"tls", CONF_STRUCT(struct sample_grpc, tls, sample_tls_fields), .help = "TLS."},
    {"proxy", CONF_STRUCT(struct sample_grpc, proxy, sample_proxy_fields)},
    {0}};
static const struct conf_field sample_pod_fields[] = {
    {"gpu", CONF_STRING(struct sample_pod, gpu), .required = true, .numbers_too = true,
     .help = "UUID or index."},
    {"namespace", CONF_STRING(struct sample_pod, namespace), .def = "default"},
    {"containers", CONF_LIST_STRING(struct sample_pod, containers), .max = "2"},
    {0}};
static const struct conf_field sample_demand_fields[] = {
    {"url", CONF_STRING(struct sample_demand, url), .required = true, .check = sample_check_url},
    {"weight", CONF_NUMBER(struct sample_demand, weight), .def = "1", .min = "0"},
    {0}};
static const struct conf_field sample_fields[] = {
    {"listen", CONF_STRING(struct sample, listen), .def = ":9400", .flag = "listen",
     .arg = "HOST:PORT", .min = "1", .max = "20", .help = "Where /metrics is served."},
    {"note", CONF_STRING(struct sample, note), .help = "Says nothing."},
    {"level", CONF_ENUM(struct sample, level, sample_levels), .def = "info", .flag = "log-level",
     .arg = "LEVEL", .help = "What is logged."},
    {"push", CONF_BOOL(struct sample, push), .flag = "push", .help = "Wakes at once."},
    {"replicas", CONF_INT(struct sample, replicas), .def = "3", .min = "1", .max = "1000",
     .flag = "replicas", .help = "How many."},
    {"tick", CONF_DURATION(struct sample, tick_ns), .def = "1s", .min = "100ms", .max = "1m",
     .flag = "tick", .help = "Time between two decisions."},
    {"tolerance", CONF_NUMBER(struct sample, tolerance), .def = "0.1", .max = "1",
     .help = "Dead band."},
    {"memory", CONF_BYTES(struct sample, memory), .def = "64KiB", .max = "1GiB",
     .help = "At most so much."},
    {"grpc", CONF_STRUCT(struct sample, grpc, sample_grpc_fields), .help = "The gRPC server."},
    {"targets", CONF_LIST_STRING(struct sample, targets), .flag = "target", .arg = "HOST:PORT",
     .max = "3", .help = "Agents."},
    {"buckets", CONF_LIST_NUMBER(struct sample, buckets)},
    {"ports", CONF_LIST_INT(struct sample, ports)},
    {"waits", CONF_LIST_DURATION(struct sample, waits)},
    {"pods", CONF_LIST_STRUCT(struct sample, pods, sample_pod_fields), .help = "Who holds GPUs."},
    {"labels", CONF_MAP_STRING(struct sample, labels)},
    {"weights", CONF_MAP_NUMBER(struct sample, weights)},
    {"demand", CONF_MAP_STRUCT(struct sample, demand, sample_demand_fields),
     .place = CONF_PLACE(struct sample_demand, place), .help = "By name."},
    {0}};

static int sample_check(const void *bound, struct err *e) {
    const struct sample *s = bound;
    if (s->push && s->replicas > 100)
        return err_set(e, ERR_INVALID, "push and replicas above 100 do not go together");
    return 0;
}

static const struct conf_spec sample_spec = {
    .program = "sample",
    .about = "Does nothing but to be configured, in every way there is, for the tests of the "
             "configuration's reader.",
    .fields = sample_fields,
    .size = sizeof(struct sample),
    .check = sample_check,
};
