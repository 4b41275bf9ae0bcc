// SPDX-License-Identifier: Apache-2.0
/* An external scaler that says what the test wants, on a real socket. */
#pragma once

#include "net/net_unit.h"

#include "externalscaler.pb-c.h"
#include "net/grpc_server.h"

struct fake_scaler {
    struct grpc_server *server;
    char addr[64];
    // what it answers
    int64_t value;
    double value_float, target;
    bool has_float, no_value, no_spec, active;
    int fail_specs, fail_metrics, fail_actives; // so many more calls fail
    bool hang;                                  // GetMetrics is never answered
    // what it saw
    int specs, metrics, actives, streams;
    char metric_name[64], name[64], namespace_[64], key[64], text[64];
    struct grpc_call *stream, *hung;
    int closed;
};

static inline void fake_gone(struct grpc_call *c, void *ctx) {
    struct fake_scaler *f = ctx;
    if (f->stream == c)
        f->stream = NULL;
    if (f->hung == c)
        f->hung = NULL;
}

static inline bool fake_fails(struct grpc_call *c, int *left) {
    if (*left == 0)
        return false;
    (*left)--;
    grpc_call_finish(c, GRPC_UNAVAILABLE, "not now");
    return true;
}

static inline void fake_spec(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    struct fake_scaler *f = ctx;
    const Externalscaler__ScaledObjectRef *ref = (const void *)m;
    f->specs++;
    snprintf(f->name, sizeof(f->name), "%s", ref->name);
    snprintf(f->namespace_, sizeof(f->namespace_), "%s", ref->namespace_);
    if (ref->n_scalermetadata) {
        snprintf(f->key, sizeof(f->key), "%s", ref->scalermetadata[0]->key);
        snprintf(f->text, sizeof(f->text), "%s", ref->scalermetadata[0]->value);
    }
    if (fake_fails(c, &f->fail_specs))
        return;
    Externalscaler__MetricSpec spec = EXTERNALSCALER__METRIC_SPEC__INIT, *specs = &spec;
    char name[] = "desired-replicas";
    spec.metricname = name;
    spec.has_targetsizefloat = true;
    spec.targetsizefloat = f->target;
    Externalscaler__GetMetricSpecResponse r = EXTERNALSCALER__GET_METRIC_SPEC_RESPONSE__INIT;
    r.n_metricspecs = f->no_spec ? 0 : 1;
    r.metricspecs = &specs;
    grpc_call_reply(c, &r.base);
}

static inline void fake_metrics(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    struct fake_scaler *f = ctx;
    const Externalscaler__GetMetricsRequest *request = (const void *)m;
    f->metrics++;
    snprintf(f->metric_name, sizeof(f->metric_name), "%s", request->metricname);
    if (fake_fails(c, &f->fail_metrics))
        return;
    if (f->hang) {
        f->hung = c;
        grpc_call_on_end(c, fake_gone, f);
        return;
    }
    Externalscaler__MetricValue value = EXTERNALSCALER__METRIC_VALUE__INIT, *values = &value;
    char name[] = "x";
    value.metricname = name;
    value.has_metricvalue = true;
    value.metricvalue = f->value;
    value.has_metricvaluefloat = f->has_float;
    value.metricvaluefloat = f->value_float;
    Externalscaler__GetMetricsResponse r = EXTERNALSCALER__GET_METRICS_RESPONSE__INIT;
    r.n_metricvalues = f->no_value ? 0 : 1;
    r.metricvalues = &values;
    grpc_call_reply(c, &r.base);
}

static inline void fake_active(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    struct fake_scaler *f = ctx;
    f->actives++;
    if (fake_fails(c, &f->fail_actives))
        return;
    Externalscaler__IsActiveResponse r = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    r.has_result = true;
    r.result = f->active;
    grpc_call_reply(c, &r.base);
}

static inline void fake_stream(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    struct fake_scaler *f = ctx;
    f->streams++;
    f->stream = c;
    grpc_call_on_end(c, fake_gone, f);
}

static inline void fake_push(struct fake_scaler *f, bool active) {
    Externalscaler__IsActiveResponse r = EXTERNALSCALER__IS_ACTIVE_RESPONSE__INIT;
    r.has_result = true;
    r.result = active;
    assert_int_equal(grpc_call_send(f->stream, &r.base), 0);
}

// `listen`: "127.0.0.1:0" or where it was before.
static inline void fake_open(struct fake_scaler *f, uv_loop_t *loop, const char *listen) {
    static const struct grpc_method methods[] = {
        {.name = "GetMetricSpec",
         .request = &externalscaler__scaled_object_ref__descriptor,
         .handle = fake_spec},
        {.name = "GetMetrics",
         .request = &externalscaler__get_metrics_request__descriptor,
         .handle = fake_metrics},
        {.name = "IsActive",
         .request = &externalscaler__scaled_object_ref__descriptor,
         .handle = fake_active},
        {.name = "StreamIsActive",
         .request = &externalscaler__scaled_object_ref__descriptor,
         .streams = true,
         .handle = fake_stream},
    };
    static struct grpc_service service = {.name = "externalscaler.ExternalScaler",
                                          .methods = methods,
                                          .n_methods = COUNT_OF(methods)};
    static const struct grpc_service *const services[] = {&service, NULL};
    service.ctx = f;
    struct grpc_server_options o = {.listen = listen, .max_connections = 10, .services = services};
    assert_int_equal(grpc_server_open(&f->server, loop, &o, NULL), 0);
    net_addr_format(grpc_server_addr(f->server), f->addr, sizeof(f->addr));
}

static inline void fake_on_closed(void *ctx) {
    ((struct fake_scaler *)ctx)->closed++;
}

static inline void fake_close(struct fake_scaler *f, uv_loop_t *loop) {
    if (!f->server)
        return;
    int before = f->closed;
    grpc_server_close(f->server, 50, fake_on_closed, f);
    f->server = NULL;
    RUN_UNTIL(loop, f->closed == before + 1);
}
