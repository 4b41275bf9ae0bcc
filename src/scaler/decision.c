// SPDX-License-Identifier: Apache-2.0
/* Messages of proto/decisions.proto to structs and back; see the header. */
#include "scaler/decision.h"

#include <math.h>

#include "base/clock.h"
#include "net/grpc_status.h"

// protobuf-c wants writable strings, and writes none.
static char *writable(const char *s) {
    union {
        const char *in;
        char *out;
    } u = {.in = s ? s : ""};
    return u.out;
}

void decision_fill_reference(struct decision_reference *x, const struct object_ref *r) {
    x->m = (Gpuscale__V1__Reference)GPUSCALE__V1__REFERENCE__INIT;
    x->m.namespace_ = writable(r->namespace_.p);
    x->m.name = writable(r->name.p);
    x->m.has_rule = x->m.rule = r->rule;
    x->m.n_metadata = r->n_pairs;
    x->m.metadata = x->list;
    for (size_t i = 0; i < r->n_pairs; i++) {
        x->pairs[i] = (Gpuscale__V1__Pair)GPUSCALE__V1__PAIR__INIT;
        x->pairs[i].key = writable(r->pairs[i].key.p);
        x->pairs[i].value = writable(r->pairs[i].value.p);
        x->list[i] = &x->pairs[i];
    }
}

static int pack(struct buf *out, const ProtobufCMessage *m) {
    size_t n = protobuf_c_message_get_packed_size(m);
    char *to = buf_reserve(out, n);
    if (to == NULL)
        return out->err;
    buf_commit(out, protobuf_c_message_pack(m, (uint8_t *)to));
    return 0;
}

int decision_pack(struct buf *out, const struct decision *d) {
    struct decision_reference ref;
    Gpuscale__V1__Decision m = GPUSCALE__V1__DECISION__INIT;
    int32_t wants[DECIDER_MEMORY_MAX];
    uint64_t times[DECIDER_MEMORY_MAX];
    const struct published *p = &d->answer;
    decision_fill_reference(&ref, &d->object);
    m.has_id = m.has_sequence = m.has_value = m.has_active = m.has_at_zero = m.has_status =
        m.has_fails_all = 1;
    m.id = d->id;
    m.object = &ref.m;
    m.sequence = d->memory.decided ? d->memory.sequence : p->seq;
    m.value = p->value;
    m.active = p->active;
    m.at_zero = p->at_zero;
    m.status = (uint32_t)p->status;
    m.fails_all = p->fails_all;
    if (p->message != NULL)
        m.message = p->message;
    if (d->memory.decided) {
        m.has_desired = 1;
        m.desired = d->memory.desired;
        m.n_window_want = m.n_window_ms = d->memory.n;
        m.window_want = wants;
        m.window_ms = times;
        for (uint32_t i = 0; i < d->memory.n; i++) {
            int64_t at_ns = d->memory.window[i].at_ns;
            wants[i] = d->memory.window[i].want;
            // From before our clock began: another leader's, whose machine has run for longer.
            times[i] = at_ns > 0 ? (uint64_t)(at_ns / NS_PER_MS) : 0;
        }
    }
    if (d->learned.n > 0) {
        m.has_learned = 1;
        m.learned = (ProtobufCBinaryData){d->learned.n, (uint8_t *)writable(d->learned.p)};
    }
    return pack(out, &m.base);
}

int decision_read_reference(struct object_ref *ret, struct object_pair pairs[LIMIT_METADATA_KEYS],
                            const Gpuscale__V1__Reference *m, struct err *e) {
    if (m == NULL || m->name == NULL || m->namespace_ == NULL || m->name[0] == '\0' ||
        m->namespace_[0] == '\0' || m->n_metadata > LIMIT_METADATA_KEYS)
        return err_set(e, ERR_PARSE, "a decision about nobody, or with too many keys");
    for (size_t i = 0; i < m->n_metadata; i++) {
        const Gpuscale__V1__Pair *p = m->metadata[i];
        pairs[i] = (struct object_pair){str_from(p->key ? p->key : ""),
                                        str_from(p->value ? p->value : "")};
    }
    *ret = (struct object_ref){str_from(m->namespace_), str_from(m->name), pairs, m->n_metadata,
                               m->rule};
    return 0;
}

// Wants that grow, times that lie ahead or fall back, and one without a decision are nobody's
// window.
static int unpack_window(struct decider_memory *ret, const Gpuscale__V1__Decision *m,
                         int64_t ahead_ns, int64_t now_ns) {
    if (m->n_window_want != m->n_window_ms || m->n_window_want > DECIDER_MEMORY_MAX ||
        (m->n_window_want > 0 && !m->has_desired))
        return ERR_PARSE;
    for (size_t i = 0; i < m->n_window_want; i++) {
        if (m->window_ms[i] > INT64_MAX / NS_PER_MS / 2 || m->window_want[i] < 0 ||
            m->window_want[i] > LIMIT_REPLICAS)
            return ERR_PARSE;
        int64_t at_ns = (int64_t)m->window_ms[i] * NS_PER_MS + ahead_ns;
        struct peak_entry x = {at_ns < now_ns ? at_ns : now_ns, m->window_want[i]};
        if (i > 0 && (x.want >= ret->window[i - 1].want || x.at_ns < ret->window[i - 1].at_ns))
            return ERR_PARSE;
        ret->window[ret->n++] = x;
    }
    return 0;
}

int decision_unpack(struct decision *ret, const Gpuscale__V1__Decision *m, int64_t ahead_ns,
                    int64_t now_ns, struct err *e) {
    int rc = decision_read_reference(&ret->object, ret->pairs, m->object, e);
    if (rc < 0)
        return rc;
    ret->id = m->id;
    ret->ahead_ns = ahead_ns;
    ret->learned = m->has_learned ? (struct str){(const char *)m->learned.data, m->learned.len}
                                  : (struct str){0};
    ret->answer = (struct published){
        .seq = m->sequence,
        .value = m->value,
        .active = m->active,
        .at_zero = m->at_zero,
        .status = (int)m->status,
        .fails_all = m->fails_all,
        .message = m->message,
    };
    ret->memory = (struct decider_memory){
        .decided = m->has_desired, .desired = m->desired, .sequence = m->sequence};
    if (!m->has_id || m->status > GRPC_UNAUTHENTICATED || !(m->value >= 0) ||
        m->value > LIMIT_REPLICAS || m->desired < 0 || m->desired > LIMIT_REPLICAS ||
        unpack_window(&ret->memory, m, ahead_ns, now_ns) < 0)
        return err_set(e, ERR_PARSE, "a decision about %s/%s that is none", m->object->namespace_,
                       m->object->name);
    return 0;
}
