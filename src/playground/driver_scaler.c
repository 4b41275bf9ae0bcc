// SPDX-License-Identifier: Apache-2.0
/* Calls to the external scaler; see driver_scaler.h. */
#include "playground/driver_scaler.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_client.h"

// Of the API server, above the HPA's questions; KEDA's own loop would wait without end.
#define CALL_S 60.0
#define CONNECT_S 20.0 // grpc-go's
#define BACKOFF_FIRST_S 1.0
#define BACKOFF_FACTOR 1.6
#define BACKOFF_MAX_S 120.0
#define STREAM_RETRY_FIRST_S 2.0
#define STREAM_RETRY_MAX_S 60.0
#define SERVICE "/externalscaler.ExternalScaler/"

enum { ADDR_MAX = 128 };

enum step { STEP_IDLE, STEP_SPEC, STEP_METRICS, STEP_ACTIVE };

struct ask {
    struct driver_scaler *owner;
    enum step step;
    bool came;    // the step's answer
    bool retried; // this half
    bool waits;   // to be tried again on the next turn
    double target;
    struct keda_sample sample;
    char metric_name[KEDA_METRIC_NAME_LEN];
    char error[ERR_MSG_MAX];
    void (*answered)(void *ctx, const struct driver_scaler_answer *answer);
    void *ctx;
};

struct driver_scaler {
    struct driver_scaler_options options;
    char addr[ADDR_MAX];
    uv_loop_t *loop;
    struct grpc_channel *channel;
    bool was_ready;        // the channel
    int64_t connect_at_ns; // not before
    double backoff_s;
    struct grpc_client_call *stream;
    double stream_retry_s;
    struct net_timer *stream_timer, *again;
    struct ask asks[DRIVER_ASKERS];
    Externalscaler__ScaledObjectRef ref;
    Externalscaler__ScaledObjectRef__MetadataEntry entries[LIMIT_METADATA_KEYS];
    Externalscaler__ScaledObjectRef__MetadataEntry *entry_ptrs[LIMIT_METADATA_KEYS];
};

static int64_t scaled_ns(const struct driver_scaler *s, double seconds) {
    return (int64_t)(seconds * (double)NS_PER_S / s->options.speed);
}

static uint32_t scaled_ms(const struct driver_scaler *s, double seconds) {
    double ms = seconds * 1000 / s->options.speed;
    return ms > 1 ? (uint32_t)ms : 1;
}

// ---- The connection ------------------------------------------------------------------------

static void on_channel_ready(void *ctx) {
    struct driver_scaler *s = ctx;
    s->was_ready = true;
    s->backoff_s = BACKOFF_FIRST_S;
}

static void back_off(struct driver_scaler *s) {
    s->connect_at_ns = clock_mono_ns() + scaled_ns(s, s->backoff_s);
    s->backoff_s *= BACKOFF_FACTOR;
    if (s->backoff_s > BACKOFF_MAX_S)
        s->backoff_s = BACKOFF_MAX_S;
}

static void on_channel_closed(void *ctx, const struct err *why) {
    struct driver_scaler *s = ctx;
    (void)why; // the calls were told
    s->channel = grpc_channel_free(s->channel);
    if (!s->was_ready)
        back_off(s);
}

static int connect_channel(struct driver_scaler *s, struct err *e) {
    if (s->channel)
        return 0;
    if (clock_mono_ns() < s->connect_at_ns)
        return err_set(e, ERR_UNAVAILABLE, "the scaler at %s cannot be reached", s->addr);
    struct grpc_channel_options o = {.connect_ms = scaled_ms(s, CONNECT_S),
                                     .closed = on_channel_closed,
                                     .ready = on_channel_ready,
                                     .ctx = s};
    int r = net_addr_parse(str_from(s->addr), &o.to, e);
    s->was_ready = false;
    if (r == 0)
        r = grpc_channel_open(&s->channel, s->loop, &o, e);
    if (r < 0)
        back_off(s);
    return r;
}

// ---- One question: GetMetricSpec, then GetMetrics and IsActive -----------------------------

static void answer(struct ask *a) {
    struct driver_scaler_answer out = {.sample = a->sample,
                                       .target = a->sample.spec_failed ? 0 : a->target,
                                       .metric_name = a->sample.spec_failed ? "" : a->metric_name,
                                       .error = a->error[0] ? a->error : NULL};
    a->step = STEP_IDLE;
    a->answered(a->ctx, &out);
}

static void step_start(struct ask *a);

static void step_failed(struct ask *a, const char *what) {
    if (!a->retried) {
        a->retried = a->waits = true;
        a->step = a->step == STEP_SPEC ? STEP_SPEC : STEP_METRICS;
        net_timer_again(a->owner->again, 0);
        return;
    }
    snprintf(a->error, sizeof(a->error), "%s", what);
    a->sample.spec_failed = a->step == STEP_SPEC;
    a->sample.failed = true;
    a->sample.active = false;
    answer(a);
}

static void step_finished(void *ctx, int status, const char *message) {
    struct ask *a = ctx;
    if (status != GRPC_OK || !a->came) {
        char what[ERR_MSG_MAX];
        snprintf(what, sizeof(what), "%s: %s",
                 status == GRPC_OK ? "no metric spec" : grpc_status_name(status), message);
        step_failed(a, what);
        return;
    }
    if (a->step == STEP_ACTIVE) {
        answer(a);
        return;
    }
    if (a->step == STEP_SPEC)
        a->retried = false;
    a->step = a->step == STEP_SPEC ? STEP_METRICS : STEP_ACTIVE;
    step_start(a);
}

static void on_spec(void *ctx, const ProtobufCMessage *m) {
    struct ask *a = ctx;
    const Externalscaler__GetMetricSpecResponse *r = (const void *)m;
    if (r->n_metricspecs == 0)
        return;
    const Externalscaler__MetricSpec *spec = r->metricspecs[0];
    bool is_float = spec->has_targetsizefloat && spec->targetsizefloat > 0;
    a->target = is_float ? spec->targetsizefloat : (double)spec->targetsize;
    a->came = str_copy(a->metric_name, sizeof(a->metric_name), str_from(spec->metricname)) == 0 &&
              a->metric_name[0] && a->target > 0;
}

static void on_metrics(void *ctx, const ProtobufCMessage *m) {
    struct ask *a = ctx;
    const Externalscaler__GetMetricsResponse *r = (const void *)m;
    a->came = true;
    a->sample.empty = r->n_metricvalues == 0;
    a->sample.value = 0;
    for (size_t i = 0; i < r->n_metricvalues; i++) { // the HPA adds them up
        const Externalscaler__MetricValue *v = r->metricvalues[i];
        bool is_float = v->has_metricvaluefloat && v->metricvaluefloat > 0;
        a->sample.value += is_float ? v->metricvaluefloat : (double)v->metricvalue;
    }
}

static void on_active(void *ctx, const ProtobufCMessage *m) {
    struct ask *a = ctx;
    const Externalscaler__IsActiveResponse *r = (const void *)m;
    a->came = true;
    a->sample.active = r->has_result && r->result;
}

static void step_start(struct ask *a) {
    struct driver_scaler *s = a->owner;
    Externalscaler__GetMetricsRequest metrics = EXTERNALSCALER__GET_METRICS_REQUEST__INIT;
    metrics.scaledobjectref = &s->ref;
    metrics.metricname = a->metric_name;
    const struct {
        const char *method;
        const ProtobufCMessage *request;
        const ProtobufCMessageDescriptor *response;
        void (*message)(void *, const ProtobufCMessage *);
    } steps[] = {
        [STEP_SPEC] = {SERVICE "GetMetricSpec", &s->ref.base,
                       &externalscaler__get_metric_spec_response__descriptor, on_spec},
        [STEP_METRICS] = {SERVICE "GetMetrics", &metrics.base,
                          &externalscaler__get_metrics_response__descriptor, on_metrics},
        [STEP_ACTIVE] = {SERVICE "IsActive", &s->ref.base,
                         &externalscaler__is_active_response__descriptor, on_active},
    };
    struct grpc_client_call_options o = {.method = steps[a->step].method,
                                         .request = steps[a->step].request,
                                         .response = steps[a->step].response,
                                         .timeout_ms = scaled_ms(s, CALL_S),
                                         .message = steps[a->step].message,
                                         .finished = step_finished,
                                         .ctx = a};
    struct grpc_client_call *call;
    struct err e = {0};
    a->came = false;
    int r = connect_channel(s, &e);
    if (r == 0)
        r = grpc_client_call_start(&call, s->channel, &o, &e);
    if (r < 0)
        step_failed(a, e.msg);
}

static void on_again(void *ctx) {
    struct driver_scaler *s = ctx;
    for (int i = 0; i < DRIVER_ASKERS; i++)
        if (s->asks[i].waits) {
            s->asks[i].waits = false;
            step_start(&s->asks[i]);
        }
}

bool driver_scaler_ask(struct driver_scaler *s, enum driver_asker asker,
                       void (*answered)(void *ctx, const struct driver_scaler_answer *answer),
                       void *ctx) {
    struct ask *a = &s->asks[asker];
    if (a->step != STEP_IDLE)
        return false;
    *a = (struct ask){
        .owner = s, .step = STEP_SPEC, .waits = true, .answered = answered, .ctx = ctx};
    net_timer_again(s->again, 0); // so that `answered` never comes from inside
    return true;
}

// ---- StreamIsActive ----------------------------------------------------------------------

static void stream_retry(struct driver_scaler *s, bool orderly) {
    if (orderly)
        s->stream_retry_s = STREAM_RETRY_FIRST_S;
    net_timer_again(s->stream_timer, scaled_ns(s, s->stream_retry_s));
    s->stream_retry_s *= 2;
    if (s->stream_retry_s > STREAM_RETRY_MAX_S)
        s->stream_retry_s = STREAM_RETRY_MAX_S;
}

static void stream_message(void *ctx, const ProtobufCMessage *m) {
    struct driver_scaler *s = ctx;
    const Externalscaler__IsActiveResponse *r = (const void *)m;
    if (r->has_result && r->result)
        s->options.pushed(s->options.ctx);
}

static void stream_finished(void *ctx, int status, const char *message) {
    struct driver_scaler *s = ctx;
    (void)message;
    s->stream = NULL;
    stream_retry(s, status == GRPC_OK);
}

static void stream_due(void *ctx) {
    struct driver_scaler *s = ctx;
    struct grpc_client_call_options o = {
        .method = SERVICE "StreamIsActive",
        .request = &s->ref.base,
        .response = &externalscaler__is_active_response__descriptor,
        .message = stream_message,
        .finished = stream_finished,
        .ctx = s};
    if (s->stream)
        return;
    if (connect_channel(s, NULL) < 0 ||
        grpc_client_call_start(&s->stream, s->channel, &o, NULL) < 0) {
        s->stream = NULL;
        stream_retry(s, false);
    }
}

// ---- Life ----------------------------------------------------------------------------------

static int build_ref(struct driver_scaler *s, const struct driver_scaler_options *o,
                     struct err *e) {
    externalscaler__scaled_object_ref__init(&s->ref);
    s->ref.name = (char *)(uintptr_t)o->name;
    s->ref.namespace_ = (char *)(uintptr_t)o->namespace_;
    for (size_t i = 0; o->metadata[i][0]; i++) {
        if (i == LIMIT_METADATA_KEYS)
            return err_set(e, ERR_INVALID, "more than %d keys in the trigger's metadata",
                           LIMIT_METADATA_KEYS);
        externalscaler__scaled_object_ref__metadata_entry__init(&s->entries[i]);
        s->entries[i].key = (char *)(uintptr_t)o->metadata[i][0];
        s->entries[i].value = (char *)(uintptr_t)o->metadata[i][1];
        s->entry_ptrs[i] = &s->entries[i];
        s->ref.n_scalermetadata = i + 1;
    }
    s->ref.scalermetadata = s->entry_ptrs;
    return 0;
}

int driver_scaler_new(struct driver_scaler **ret, uv_loop_t *loop,
                      const struct driver_scaler_options *options, struct err *e) {
    struct driver_scaler *s = mem_zalloc(sizeof(*s));
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for KEDA's client");
    s->options = *options;
    s->loop = loop;
    s->backoff_s = BACKOFF_FIRST_S;
    s->stream_retry_s = STREAM_RETRY_FIRST_S;
    int r = build_ref(s, options, e);
    if (r == 0)
        r = str_copy(s->addr, sizeof(s->addr), str_from(options->addr));
    if (r == 0)
        r = net_timer_start(&s->again, loop, 0, 0, on_again, s, e);
    if (r == 0)
        r = net_timer_start(&s->stream_timer, loop, 0, 0, stream_due, s, e);
    if (r < 0) {
        driver_scaler_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct driver_scaler *driver_scaler_free(struct driver_scaler *s) {
    if (!s)
        return NULL;
    net_timer_stop(&s->again);
    net_timer_stop(&s->stream_timer);
    grpc_channel_free(s->channel);
    mem_free(s);
    return NULL;
}

// The channel's calls go with it untold.
void driver_scaler_set_addr(struct driver_scaler *s, const char *addr) {
    s->channel = grpc_channel_free(s->channel);
    str_copy(s->addr, sizeof(s->addr), str_from(addr));
    s->backoff_s = BACKOFF_FIRST_S;
    s->connect_at_ns = 0;
    if (s->stream) {
        s->stream = NULL;
        stream_retry(s, false);
    }
    for (int i = 0; i < DRIVER_ASKERS; i++)
        if (s->asks[i].step != STEP_IDLE && !s->asks[i].waits)
            step_failed(&s->asks[i], "the scaler has gone");
}
