// SPDX-License-Identifier: Apache-2.0
/* KEDA's calls and the HPA's arithmetic for the demo; see keda.h. */
#include "playground/keda.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_client.h"

enum { METADATA_MAX = 16, METRIC_NAME_MAX = 128 };

struct keda {
    struct keda_options options;
    uv_loop_t *loop;
    struct grpc_channel *channel;
    struct grpc_client_call *stream; // StreamIsActive
    struct grpc_client_call *call;   // the unary call in flight
    struct net_timer *poll, *reconnect;
    Externalscaler__ScaledObjectRef ref;
    Externalscaler__ScaledObjectRef__MetadataEntry entries[METADATA_MAX];
    Externalscaler__ScaledObjectRef__MetadataEntry *entry_ptrs[METADATA_MAX];
    char metric_name[METRIC_NAME_MAX];
    double target;
    double metric;
    int replicas;
    int64_t active_at_ns; // last time that the scaler said active
};

static void keda_connect(struct keda *k);

static void fail(struct keda *k, const char *message) {
    k->options.answered(k->options.ctx, NAN, false, k->replicas, message);
}

// replica_calculator.go, GetExternalPerPodMetricReplicas with a tolerance of 0, then the bounds.
static int hpa_replicas(const struct keda *k) {
    int wanted = (int)ceil(k->metric / k->target - 1e-9);
    wanted = wanted < 1 ? 1 : wanted;
    return wanted > k->options.max_replicas ? k->options.max_replicas : wanted;
}

static int decide(struct keda *k, bool active) {
    int64_t now = clock_mono_ns();
    if (active)
        k->active_at_ns = now;
    if (k->replicas == 0)
        return active ? 1 : 0;
    if (!active && now - k->active_at_ns > k->options.cooldown_ns)
        return 0;
    return hpa_replicas(k);
}

static int unary(struct keda *k, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response,
                 void (*message)(void *, const ProtobufCMessage *),
                 void (*finished)(void *, int, const char *)) {
    struct grpc_client_call_options o = {.method = method,
                                         .request = request,
                                         .response = response,
                                         .timeout_ms = 3000,
                                         .message = message,
                                         .finished = finished,
                                         .ctx = k};
    struct err e = {0};
    int r = grpc_client_call_start(&k->call, k->channel, &o, &e);
    if (r < 0)
        fail(k, e.msg);
    return r;
}

static bool call_ended(struct keda *k, int status, const char *message) {
    k->call = NULL;
    if (status == GRPC_OK)
        return true;
    char text[ERR_MSG_MAX];
    snprintf(text, sizeof(text), "%s: %s", grpc_status_name(status), message);
    fail(k, text);
    return false;
}

static void active_message(void *ctx, const ProtobufCMessage *m) {
    struct keda *k = ctx;
    const Externalscaler__IsActiveResponse *answer = (const void *)m;
    int wanted = decide(k, answer->has_result && answer->result);
    k->options.answered(k->options.ctx, k->metric, answer->has_result && answer->result, wanted,
                        NULL);
}

static void active_finished(void *ctx, int status, const char *message) {
    call_ended(ctx, status, message);
}

static void metrics_message(void *ctx, const ProtobufCMessage *m) {
    struct keda *k = ctx;
    const Externalscaler__GetMetricsResponse *answer = (const void *)m;
    k->metric = 0;
    for (size_t i = 0; i < answer->n_metricvalues; i++) {
        const Externalscaler__MetricValue *v = answer->metricvalues[i];
        k->metric += v->has_metricvaluefloat && v->metricvaluefloat > 0 ? v->metricvaluefloat
                     : v->has_metricvalue                               ? (double)v->metricvalue
                                                                        : 0;
    }
}

static void metrics_finished(void *ctx, int status, const char *message) {
    struct keda *k = ctx;
    if (call_ended(k, status, message))
        unary(k, "/externalscaler.ExternalScaler/IsActive", &k->ref.base,
              &externalscaler__is_active_response__descriptor, active_message, active_finished);
}

static void spec_message(void *ctx, const ProtobufCMessage *m) {
    struct keda *k = ctx;
    const Externalscaler__GetMetricSpecResponse *answer = (const void *)m;
    if (answer->n_metricspecs != 1)
        return;
    const Externalscaler__MetricSpec *spec = answer->metricspecs[0];
    k->target = spec->has_targetsizefloat && spec->targetsizefloat > 0 ? spec->targetsizefloat
                                                                       : (double)spec->targetsize;
    str_copy(k->metric_name, sizeof(k->metric_name), str_from(spec->metricname));
}

static void spec_finished(void *ctx, int status, const char *message) {
    struct keda *k = ctx;
    if (!call_ended(k, status, message))
        return;
    if (k->metric_name[0] == '\0' || !(k->target > 0)) {
        fail(k, "the scaler gave no metric spec");
        return;
    }
    Externalscaler__GetMetricsRequest request = EXTERNALSCALER__GET_METRICS_REQUEST__INIT;
    request.scaledobjectref = &k->ref;
    request.metricname = k->metric_name;
    unary(k, "/externalscaler.ExternalScaler/GetMetrics", &request.base,
          &externalscaler__get_metrics_response__descriptor, metrics_message, metrics_finished);
}

static void poll_due(void *ctx) {
    struct keda *k = ctx;
    if (!k->channel || k->call)
        return;
    unary(k, "/externalscaler.ExternalScaler/GetMetricSpec", &k->ref.base,
          &externalscaler__get_metric_spec_response__descriptor, spec_message, spec_finished);
}

static void stream_message(void *ctx, const ProtobufCMessage *m) {
    struct keda *k = ctx;
    const Externalscaler__IsActiveResponse *answer = (const void *)m;
    if (answer->has_result && answer->result)
        k->active_at_ns = clock_mono_ns();
    k->options.pushed(k->options.ctx, answer->has_result && answer->result);
}

static void stream_finished(void *ctx, int status, const char *message) {
    struct keda *k = ctx;
    (void)status;
    (void)message;
    k->stream = NULL;
}

static void channel_closed(void *ctx, const struct err *why) {
    struct keda *k = ctx;
    (void)why;
    k->channel = grpc_channel_free(k->channel);
    k->stream = NULL;
    k->call = NULL;
    fail(k, "the scaler is away; connecting again");
    net_timer_again(k->reconnect, NS_PER_S);
}

static void reconnect_due(void *ctx) {
    struct keda *k = ctx;
    if (!k->channel)
        keda_connect(k);
}

static void keda_connect(struct keda *k) {
    struct err e = {0};
    struct grpc_channel_options o = {
        .server_name = "localhost", .connect_ms = 5000, .closed = channel_closed, .ctx = k};
    int r = net_addr_parse(str_from(k->options.addr), &o.to, &e);
    if (r == 0)
        r = grpc_channel_open(&k->channel, k->loop, &o, &e);
    if (r < 0) {
        fail(k, e.msg);
        net_timer_again(k->reconnect, NS_PER_S);
        return;
    }
    struct grpc_client_call_options stream = {
        .method = "/externalscaler.ExternalScaler/StreamIsActive",
        .request = &k->ref.base,
        .response = &externalscaler__is_active_response__descriptor,
        .message = stream_message,
        .finished = stream_finished,
        .ctx = k};
    if (grpc_client_call_start(&k->stream, k->channel, &stream, &e) < 0)
        fail(k, e.msg);
}

static void build_ref(struct keda *k) {
    externalscaler__scaled_object_ref__init(&k->ref);
    k->ref.name = (char *)(uintptr_t)k->options.name;
    k->ref.namespace_ = (char *)(uintptr_t)k->options.namespace_;
    for (size_t i = 0; i < METADATA_MAX && k->options.metadata[i][0]; i++) {
        externalscaler__scaled_object_ref__metadata_entry__init(&k->entries[i]);
        k->entries[i].key = (char *)(uintptr_t)k->options.metadata[i][0];
        k->entries[i].value = (char *)(uintptr_t)k->options.metadata[i][1];
        k->entry_ptrs[i] = &k->entries[i];
        k->ref.n_scalermetadata = i + 1;
    }
    k->ref.scalermetadata = k->entry_ptrs;
}

int keda_new(struct keda **ret, uv_loop_t *loop, const struct keda_options *options,
             struct err *e) {
    struct keda *k = mem_zalloc(sizeof(*k));
    if (!k)
        return err_set(e, ERR_NOMEM, "no memory for KEDA's part");
    k->options = *options;
    k->loop = loop;
    build_ref(k);
    int r = net_timer_start(&k->reconnect, loop, 0, 0, reconnect_due, k, e);
    if (r == 0)
        r = net_timer_start(&k->poll, loop, options->poll_ns, options->poll_ns, poll_due, k, e);
    if (r < 0) {
        keda_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

struct keda *keda_free(struct keda *k) {
    if (!k)
        return NULL;
    net_timer_stop(&k->poll);
    net_timer_stop(&k->reconnect);
    if (k->channel)
        grpc_channel_free(k->channel);
    mem_free(k);
    return NULL;
}

void keda_set_replicas(struct keda *k, int replicas) {
    k->replicas = replicas;
}
