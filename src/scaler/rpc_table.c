// SPDX-License-Identifier: Apache-2.0
/* The table of objects and their ready answers; one thread. See the header. */
#include "scaler/rpc_table.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/units.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_status.h"

static struct rpc_object *object_free(struct rpc_object *o) {
    object_key_free(o->key);
    mem_free(o->invalid);
    mem_free(o->last.message);
    mem_free(o);
    return NULL;
}

void rpc_table_done(struct rpc_table *t) {
    struct rpc_object *o, *next;
    object_index_clear(&t->by_hash);
    HASH_ITER(hh_id, t->by_id, o, next) {
        HASH_DELETE(hh_id, t->by_id, o);
        object_free(o);
    }
    *t = (struct rpc_table){0};
}

struct rpc_object *rpc_table_find(const struct rpc_table *t, const struct object_ref *r,
                                  const struct object_hash *h) {
    struct object_index_entry *x = object_index_find(t->by_hash, r, h);
    return x != NULL ? container_of(x, struct rpc_object, indexed) : NULL;
}

struct rpc_object *rpc_table_by_id(const struct rpc_table *t, uint64_t id) {
    struct rpc_object *o;
    HASH_FIND(hh_id, t->by_id, &id, sizeof(id), o);
    return o;
}

static int check_limits(const struct rpc_table *t, bool invalid, struct err *e) {
    if (t->n >= LIMIT_SCALED_OBJECTS)
        return err_set(e, ERR_LIMIT,
                       "more than %d ScaledObjects (LIMIT_SCALED_OBJECTS): run another scaler for "
                       "some of the namespaces",
                       LIMIT_SCALED_OBJECTS);
    if (t->key_bytes >= LIMIT_METADATA_TOTAL_BYTES)
        return err_set(e, ERR_LIMIT,
                       "the metadata of all ScaledObjects is over %d MiB "
                       "(LIMIT_METADATA_TOTAL_BYTES)",
                       LIMIT_METADATA_TOTAL_BYTES >> 20);
    if (invalid && t->n_invalid >= LIMIT_INVALID_OBJECTS)
        return err_set(e, ERR_LIMIT, "more than %d ScaledObjects with invalid metadata",
                       LIMIT_INVALID_OBJECTS);
    return 0;
}

int rpc_table_add(struct rpc_table *t, const struct object_ref *r, const struct object_hash *h,
                  const char *invalid, int64_t now_ns, struct rpc_object **ret, struct err *e) {
    int rc = check_limits(t, invalid != NULL, e);
    if (rc < 0)
        return rc;
    struct rpc_object *o = mem_zalloc(sizeof(*o));
    if (o == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->key = object_key_new(r, h);
    o->invalid = invalid ? mem_strdup(invalid) : NULL;
    o->id = ++t->next_id;
    o->called_ns = now_ns;
    if (o->key == NULL || (invalid != NULL && o->invalid == NULL)) {
        object_free(o);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    HASH_ADD(hh_id, t->by_id, id, sizeof(o->id), o);
    if (map_oom()) {
        object_free(o);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (object_index_add(&t->by_hash, &o->indexed, o->key) < 0) {
        HASH_DELETE(hh_id, t->by_id, o);
        object_free(o);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    t->n++;
    t->n_invalid += invalid != NULL;
    t->key_bytes += o->key->bytes;
    *ret = o;
    return 0;
}

void rpc_table_remove(struct rpc_table *t, struct rpc_object *o) {
    object_index_remove(&t->by_hash, &o->indexed);
    HASH_DELETE(hh_id, t->by_id, o);
    t->n--;
    t->n_invalid -= o->invalid != NULL;
    t->key_bytes -= o->key->bytes;
    object_free(o);
}

// float and integer together: KEDA up to 2.16 reads the integer; from 2.17 on the float wins when
// it is above 0 and the integer otherwise, so 0 is 0 in both.
static size_t pack_value(double value, uint8_t dst[RPC_PACKED_MAX]) {
    Externalscaler__MetricValue v = EXTERNALSCALER__METRIC_VALUE__INIT;
    static char name[] = RPC_METRIC_NAME;
    v.metricname = name;
    v.has_metricvalue = v.has_metricvaluefloat = 1;
    v.metricvaluefloat = value > 0 ? fmin(value, LIMIT_REPLICAS) : 0; // NaN: 0
    v.metricvalue = (int64_t)ceil(v.metricvaluefloat);
    Externalscaler__MetricValue *values[] = {&v};
    Externalscaler__GetMetricsResponse m = EXTERNALSCALER__GET_METRICS_RESPONSE__INIT;
    m.n_metricvalues = 1;
    m.metricvalues = values;
    return externalscaler__get_metrics_response__pack(&m, dst);
}

void rpc_object_publish(struct rpc_object *o, struct published *p) {
    mem_free(o->last.message);
    o->last = *p;
    p->message = NULL;
    o->decided = true;
    o->packed_n = pack_value(o->last.value, o->packed);
}

bool rpc_decision_stale(int64_t age_ns) {
    return age_ns > LIMIT_DECISION_AGE_MS * NS_PER_MS;
}

static void fail(struct rpc_answer *a, int status, const char *message) {
    a->status = status;
    a->message = message;
    a->packed = NULL;
    a->n = 0;
}

static void give(struct rpc_answer *a, const uint8_t *p, size_t n) {
    a->status = GRPC_OK;
    a->message = "";
    a->packed = p;
    a->n = n;
}

static void fail_stale(const struct rpc_object *o, int64_t age_ns, const char *leader,
                       struct rpc_answer *a) {
    char age[32];
    units_format_duration(age_ns / NS_PER_S * NS_PER_S, age, sizeof(age));
    if (leader != NULL) {
        (void)snprintf(a->text, sizeof(a->text),
                       "ScaledObject %s/%s: no decision was heard for %s of the scaler that leads "
                       "(%s); see the scalers' logs",
                       o->key->ref.namespace_.p, o->key->ref.name.p, age,
                       leader[0] != '\0' ? leader : "nobody");
        fail(a, GRPC_UNAVAILABLE, a->text);
        return;
    }
    (void)snprintf(a->text, sizeof(a->text),
                   "ScaledObject %s/%s: the scaler has made no decision for %s; see its log",
                   o->key->ref.namespace_.p, o->key->ref.name.p, age);
    fail(a, GRPC_UNAVAILABLE, a->text);
}

void rpc_object_metrics(const struct rpc_object *o, int64_t age_ns, const char *leader,
                        struct rpc_answer *ret) {
    static const uint8_t zero[] = {0x0a, 0x12, 0x0a, 0x10, 'd', 'e', 's', 'i', 'r', 'e',
                                   'd',  '-',  'r',  'e',  'p', 'l', 'i', 'c', 'a', 's'};
    if (rpc_decision_stale(age_ns)) {
        if (o->last.at_zero)
            give(ret, zero, sizeof(zero));
        else
            fail_stale(o, age_ns, leader, ret);
    } else if (o->last.status != GRPC_OK) {
        fail(ret, o->last.status, o->last.message ? o->last.message : "");
    } else {
        give(ret, o->packed, o->packed_n);
    }
}

void rpc_activity(bool active, struct rpc_answer *ret) {
    static const uint8_t yes[] = {0x08, 0x01}, no[] = {0x08, 0x00};
    give(ret, active ? yes : no, sizeof(yes));
}

void rpc_object_active(const struct rpc_object *o, int64_t age_ns, struct rpc_answer *ret) {
    if (rpc_decision_stale(age_ns)) // unknown is active, except at zero
        rpc_activity(!o->last.at_zero, ret);
    else if (o->last.fails_all && o->last.status != GRPC_OK)
        fail(ret, o->last.status, o->last.message ? o->last.message : "");
    else
        rpc_activity(o->last.active, ret);
}

void rpc_spec(struct rpc_answer *ret) {
    // GetMetricSpecResponse{metricSpecs: [{"desired-replicas", targetSize 1, targetSizeFloat 1}]}
    static const uint8_t spec[] = {0x0a, 0x1d, 0x0a, 0x10, 'd', 'e', 's', 'i',  'r', 'e',  'd',
                                   '-',  'r',  'e',  'p',  'l', 'i', 'c', 'a',  's', 0x10, 0x01,
                                   0x19, 0,    0,    0,    0,   0,   0,   0xf0, 0x3f};
    give(ret, spec, sizeof(spec));
}
