// SPDX-License-Identifier: Apache-2.0
/*
 * KEDA's five methods. Each finds its object in the table, or binds the metadata of a new one, and
 * answers with what lies ready.
 */
#include "base/clock.h"
#include "base/log.h"
#include "core/signal/reading.h"
#include "externalscaler.desc.h"
#include "externalscaler.pb-c.h"
#include "scaler/rpc_internal.h"

typedef Externalscaler__ScaledObjectRef ref_message;

int64_t rpc_age_ns(const struct rpc *r, int64_t now_ns) {
    return r->decided_ns == 0 ? INT64_MAX : now_ns - r->decided_ns;
}

void rpc_answer_call(struct grpc_call *call, const struct rpc_answer *a) {
    if (a->status == GRPC_OK)
        grpc_call_reply_packed(call, a->packed, a->n);
    else
        grpc_call_finish(call, a->status, "%s", a->message);
}

const char *rpc_leader(const struct rpc *r) {
    return r->tell == NULL || r->role.leads ? NULL : r->role.leader;
}

void rpc_register(struct rpc *r, struct rpc_object *o) {
    struct to_io *m = mem_zalloc(sizeof(*m));
    struct object_hash h;
    object_ref_hash(&o->key->ref, &h);
    if (m == NULL || (m->key = object_key_new(&o->key->ref, &h)) == NULL) {
        to_io_free(m);
        return;
    }
    m->kind = TO_IO_REGISTER;
    m->id = o->id;
    o->registered = queue_push(r->to_io, m);
    if (!o->registered) {
        r->stats.messages_lost++;
        to_io_free(m);
    }
}

// The message as a reference; finishes the call when it is not one.
static int take_ref(struct grpc_call *call, const ref_message *m, struct object_pair *pairs,
                    struct object_ref *ret) {
    if (m == NULL || m->name == NULL || m->namespace_ == NULL || m->name[0] == '\0' ||
        m->namespace_[0] == '\0') {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
                         "scaledObjectRef needs a name and a namespace");
        return ERR_INVALID;
    }
    if (strlen(m->name) >= KUBE_NAME_MAX || strlen(m->namespace_) >= KUBE_NAME_MAX) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
                         "scaledObjectRef: name and namespace have at most %d characters",
                         KUBE_NAME_MAX - 1);
        return ERR_INVALID;
    }
    if (m->n_scalermetadata > LIMIT_METADATA_KEYS) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
                         "ScaledObject %s/%s: the trigger's metadata has %zu keys, at most %d are "
                         "allowed (LIMIT_METADATA_KEYS)",
                         m->namespace_, m->name, m->n_scalermetadata, LIMIT_METADATA_KEYS);
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < m->n_scalermetadata; i++) {
        const Externalscaler__ScaledObjectRef__MetadataEntry *p = m->scalermetadata[i];
        pairs[i] = (struct object_pair){str_from(p->key ? p->key : ""),
                                        str_from(p->value ? p->value : "")};
    }
    *ret = (struct object_ref){str_from(m->namespace_), str_from(m->name), pairs,
                               m->n_scalermetadata};
    return 0;
}

// Binds the metadata of an object not seen before. The trigger itself is the io thread's matter:
// here only its errors count.
static int add_object(struct rpc *r, struct grpc_call *call, const struct object_ref *ref,
                      const struct object_hash *h, struct rpc_object **ret) {
    struct err bad = {0}, e = {0};
    struct trigger *t = NULL;
    bool valid = binder_bind(r->binder, ref, &t, &bad) == 0;
    trigger_free(t);
    if (bad.code == ERR_NOMEM) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "%s", bad.msg);
        return ERR_NOMEM;
    }
    int rc = rpc_table_add(&r->table, ref, h, valid ? NULL : bad.msg, clock_mono_ns(), ret, &e);
    if (rc == 0) {
        if (!valid)
            log_warn("trigger refused", LOG_ERR(&bad));
        return 0;
    }
    r->stats.objects_refused++;
    if (!valid) // its own fault is what its owner can mend
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", bad.msg);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "%s", e.msg);
    log_warn("ScaledObject not accepted", LOG_VIEW("namespace", ref->namespace_),
             LOG_VIEW("name", ref->name), LOG_ERR(&e));
    return rc;
}

bool rpc_take_followed(void *rpc, const struct object_ref *ref) {
    struct rpc *r = rpc;
    struct object_hash h;
    object_ref_hash(ref, &h);
    struct rpc_object *o = rpc_table_find(&r->table, ref, &h);
    int64_t now_ns = clock_mono_ns();
    if (o == NULL) {
        struct trigger *t = NULL;
        bool valid = binder_bind(r->binder, ref, &t, NULL) == 0;
        trigger_free(t);
        if (!valid || rpc_table_add(&r->table, ref, &h, NULL, now_ns, &o, NULL) < 0)
            return false;
    }
    o->called_ns = now_ns;
    if (o->invalid == NULL && !o->registered)
        rpc_register(r, o);
    return o->invalid == NULL;
}

// The object that a call is about, valid and registered; NULL: the call is finished.
static struct rpc_object *take_object(struct rpc *r, struct grpc_call *call, const ref_message *m) {
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref ref;
    struct object_hash h;
    if (take_ref(call, m, pairs, &ref) < 0)
        return NULL;
    object_ref_hash(&ref, &h);
    struct rpc_object *o = rpc_table_find(&r->table, &ref, &h);
    if (o == NULL && add_object(r, call, &ref, &h, &o) < 0)
        return NULL;
    o->called_ns = clock_mono_ns();
    if (o->invalid != NULL) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", o->invalid);
        return NULL;
    }
    if (!o->registered)
        rpc_register(r, o);
    return o;
}

static void handle_spec(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    if (take_object(ctx, call, (const void *)request) == NULL)
        return;
    struct rpc_answer a;
    rpc_spec(&a);
    rpc_answer_call(call, &a);
}

static void handle_metrics(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    struct rpc *r = ctx;
    const Externalscaler__GetMetricsRequest *m = (const void *)request;
    struct rpc_object *o = take_object(r, call, m->scaledobjectref);
    if (o == NULL)
        return;
    // The external metrics API lower-cases names, which ours is already.
    if (m->metricname == NULL || strcmp(m->metricname, RPC_METRIC_NAME) != 0) {
        grpc_call_finish(
            call, GRPC_INVALID_ARGUMENT,
            "ScaledObject %s/%s: there is no metric \"%.128s\", the only one is \"%s\"",
            o->key->ref.namespace_.p, o->key->ref.name.p, m->metricname ? m->metricname : "",
            RPC_METRIC_NAME);
        return;
    }
    if (!o->decided) {
        rpc_call_open(r, o, call, CALL_WAITS_METRICS);
        return;
    }
    struct rpc_answer a;
    int64_t age_ns = rpc_age_ns(r, o->called_ns);
    rpc_object_metrics(o, age_ns, rpc_leader(r), &a);
    r->stats.stale_answers += rpc_decision_stale(age_ns);
    rpc_answer_call(call, &a);
}

static void handle_active(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    struct rpc *r = ctx;
    struct rpc_object *o = take_object(r, call, (const void *)request);
    if (o == NULL)
        return;
    if (!o->decided) {
        rpc_call_open(r, o, call, CALL_WAITS_ACTIVE);
        return;
    }
    struct rpc_answer a;
    rpc_object_active(o, rpc_age_ns(r, o->called_ns), &a);
    rpc_answer_call(call, &a);
}

static void handle_stream_active(struct grpc_call *call, const ProtobufCMessage *request,
                                 void *ctx) {
    struct rpc *r = ctx;
    struct rpc_object *o = take_object(r, call, (const void *)request);
    struct rpc_call *c = o ? rpc_call_open(r, o, call, CALL_STREAM_ACTIVE) : NULL;
    if (c != NULL)
        rpc_call_push(c, clock_mono_ns());
}

static void handle_stream_spec(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    struct rpc *r = ctx;
    struct rpc_object *o = take_object(r, call, (const void *)request);
    if (o == NULL || rpc_call_open(r, o, call, CALL_STREAM_SPEC) == NULL)
        return;
    struct rpc_answer a;
    rpc_spec(&a);
    // The first message of a stream always fits; a peer that is gone is told by on_end.
    (void)grpc_call_send_packed(call, a.packed, a.n);
}

void rpc_service_init(struct rpc *r) {
#define REF &externalscaler__scaled_object_ref__descriptor
    static const struct grpc_method methods[] = {
        {.name = "IsActive", .request = REF, .handle = handle_active},
        {.name = "StreamIsActive", .request = REF, .streams = true, .handle = handle_stream_active},
        {.name = "GetMetricSpec", .request = REF, .handle = handle_spec},
        {.name = "GetMetrics",
         .request = &externalscaler__get_metrics_request__descriptor,
         .handle = handle_metrics},
        {.name = "StreamMetricSpec", .request = REF, .streams = true, .handle = handle_stream_spec},
    };
#undef REF
    r->service = (struct grpc_service){
        .name = "externalscaler.ExternalScaler",
        .methods = methods,
        .n_methods = COUNT_OF(methods),
        .ctx = r,
        .descriptor_set = externalscaler_desc,
        .descriptor_set_len = sizeof(externalscaler_desc),
    };
    r->services[0] = &r->service;
    r->services[1] = NULL;
}
