// SPDX-License-Identifier: Apache-2.0
/*
 * Calls that stay open: parked ones, which the first decision about their object answers, and
 * streams, which are told when it becomes active. All on the rpc thread.
 */
#include "base/clock.h"
#include "scaler/rpc_internal.h"

static void unlink_waiter(struct rpc *r, struct rpc_call *c) {
    *(c->wait_prev ? &c->wait_prev->wait_next : &r->wait_first) = c->wait_next;
    *(c->wait_next ? &c->wait_next->wait_prev : &r->wait_last) = c->wait_prev;
    r->n_waiting--;
}

static void link_waiter(struct rpc *r, struct rpc_call *c) {
    c->wait_prev = r->wait_last;
    *(r->wait_last ? &r->wait_last->wait_next : &r->wait_first) = c;
    r->wait_last = c;
    r->n_waiting++;
    if (r->wait_first == c)
        net_timer_again(r->parked, LIMIT_FIRST_DECISION_MS * NS_PER_MS);
}

static size_t *counter(struct rpc *r, enum rpc_call_kind kind) {
    return kind == CALL_STREAM_ACTIVE ? &r->n_streams_active : &r->n_streams_spec;
}

// Forgets the call without touching the wire.
static void call_free(struct rpc_call *c) {
    struct rpc *r = c->rpc;
    if (c->kind == CALL_WAITS_METRICS || c->kind == CALL_WAITS_ACTIVE)
        unlink_waiter(r, c);
    else
        --*counter(r, c->kind);
    *(c->prev ? &c->prev->next : &c->object->calls) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    mem_free(c);
}

static void on_end(struct grpc_call *call, void *ctx) {
    struct rpc_call *c = ctx;
    c->object->called_ns = clock_mono_ns();
    call_free(c);
}

struct rpc_call *rpc_call_open(struct rpc *r, struct rpc_object *o, struct grpc_call *call,
                               enum rpc_call_kind kind) {
    struct rpc_call *c = mem_zalloc(sizeof(*c));
    if (c == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the scaler is out of memory");
        return NULL;
    }
    c->kind = kind;
    c->rpc = r;
    c->call = call;
    c->object = o;
    c->since_ns = clock_mono_ns();
    c->next = o->calls;
    if (o->calls != NULL)
        o->calls->prev = c;
    o->calls = c;
    if (kind == CALL_WAITS_METRICS || kind == CALL_WAITS_ACTIVE)
        link_waiter(r, c);
    else
        ++*counter(r, kind);
    grpc_call_on_end(call, on_end, c);
    return c;
}

static void answer_waiter(struct rpc_call *c, int64_t age_ns) {
    struct grpc_call *call = c->call;
    struct rpc_answer a;
    if (c->kind == CALL_WAITS_METRICS)
        rpc_object_metrics(c->object, age_ns, rpc_leader(c->rpc), &a);
    else
        rpc_object_active(c->object, age_ns, &a);
    call_free(c);
    rpc_answer_call(call, &a);
}

void rpc_call_push(struct rpc_call *c, int64_t now_ns) {
    const struct rpc_object *o = c->object;
    bool active = o->decided && o->last.active && !rpc_decision_stale(rpc_age_ns(c->rpc, now_ns));
    if (!active) {
        c->told = false;
        return;
    }
    bool again = o->last.at_zero && now_ns - c->since_ns >= RPC_REPEAT_MS * NS_PER_MS;
    if (c->told && !again)
        return;
    struct rpc_answer a;
    rpc_activity(true, &a);
    if (grpc_call_send_packed(c->call, a.packed, a.n) < 0) {
        c->rpc->stats.pushes_blocked++; // the peer does not read: tried again each second
        return;
    }
    c->told = true;
    c->since_ns = now_ns;
    c->rpc->stats.pushes++;
}

void rpc_calls_published(struct rpc *r, struct rpc_object *o) {
    int64_t now_ns = clock_mono_ns();
    struct rpc_call *next;
    for (struct rpc_call *c = o->calls; c != NULL; c = next) {
        next = c->next;
        if (c->kind == CALL_STREAM_ACTIVE)
            rpc_call_push(c, now_ns);
        else if (c->kind != CALL_STREAM_SPEC)
            answer_waiter(c, rpc_age_ns(r, now_ns));
    }
}

void rpc_calls_gone(struct rpc *r, struct rpc_object *o) {
    const struct object_ref *ref = &o->key->ref;
    while (o->calls != NULL) {
        struct grpc_call *call = o->calls->call;
        call_free(o->calls);
        grpc_call_finish(call, GRPC_NOT_FOUND,
                         "ScaledObject %s/%s was deleted, or has no such trigger any more",
                         ref->namespace_.p, ref->name.p);
    }
}

void rpc_calls_repeat(struct rpc *r, int64_t now_ns) {
    if (r->n_streams_active == 0)
        return;
    for (struct rpc_object *o = r->table.by_id; o != NULL; o = o->hh_id.next)
        for (struct rpc_call *c = o->calls; c != NULL; c = c->next)
            if (c->kind == CALL_STREAM_ACTIVE)
                rpc_call_push(c, now_ns);
}

// The io thread did not answer in time: it is starting, or stalled.
void rpc_calls_expire(void *rpc) {
    struct rpc *r = rpc;
    int64_t now_ns = clock_mono_ns();
    while (r->wait_first != NULL) {
        struct rpc_call *c = r->wait_first;
        int64_t left_ns = c->since_ns + LIMIT_FIRST_DECISION_MS * NS_PER_MS - now_ns;
        if (left_ns > 0) {
            net_timer_again(r->parked, left_ns);
            return;
        }
        struct grpc_call *call = c->call;
        const struct object_ref *ref = &c->object->key->ref;
        char who[2 * 256];
        (void)snprintf(who, sizeof(who), "%s/%s", ref->namespace_.p, ref->name.p);
        c->object->registered = false; // told again by the next call: the message may be lost
        call_free(c);
        grpc_call_finish(call, GRPC_UNAVAILABLE,
                         "ScaledObject %s is new to this scaler and not decided yet: ask again",
                         who);
    }
}
