// SPDX-License-Identifier: Apache-2.0
/*
 * The objects that KEDA asks about: registered by the rpc thread, bound to what is measured of
 * their workload, decided, and published when what KEDA is told changes.
 */
#include "base/clock.h"
#include "base/log.h"
#include "net/grpc_status.h"
#include "scaler/io.h"

enum { SENTENCE_MAX = 4096, FAULT_REPEAT_S = 10 };

static struct object *object_free(struct io *io, struct object *o) {
    if (o->feed != NULL)
        io_feed_release(io, o->feed);
    io_queries_detach(io, o);
    decider_free(o->decider);
    trigger_free(o->trigger);
    history_done(&o->history);
    object_key_free(o->key);
    mem_free(o);
    return NULL;
}

static void attach(struct object *o, struct feed *f) {
    o->feed = f;
    o->next = f->objects;
    f->objects = o;
}

static void detach(struct object *o) {
    struct object **at = &o->feed->objects;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    o->next = NULL;
}

// Puts the answer into the outbox. Without memory the object counts as not published, so that the
// next tick tries again.
static void put_out(struct io *io, struct object *o, struct published *p, struct str message) {
    o->published = false;
    if (p->status != GRPC_OK && (p->message = mem_strndup(message.p, message.n)) == NULL)
        return;
    if (vec_push(&io->outbox, *p) < 0) {
        mem_free(p->message);
        return;
    }
    o->sent = *p;
    o->sent.message = NULL;
    o->sent_ns = clock_mono_ns();
    o->published = true;
}

static bool same_answer(const struct object *o, const struct published *p, int64_t now_ns) {
    const struct published *s = &o->sent;
    if (!o->published || s->status != p->status || s->active != p->active ||
        s->at_zero != p->at_zero || s->fails_all != p->fails_all)
        return false;
    if (p->status != GRPC_OK) // the message tells ages: renew it now and then
        return now_ns - o->sent_ns < FAULT_REPEAT_S * NS_PER_S;
    return memcmp(&s->value, &p->value, sizeof(s->value)) == 0;
}

static int fault_status(int code) {
    switch (code) {
    case ERR_NOTFOUND:
        return GRPC_NOT_FOUND;
    case ERR_INVALID:
    case ERR_LIMIT:
        return GRPC_FAILED_PRECONDITION;
    default:
        return GRPC_UNAVAILABLE;
    }
}

// A workload that was at zero when it was lost stays there: a call that fails would wake it through
// KEDA's fallback.
static void publish_zero(struct io *io, struct object *o) {
    struct published p = {.id = o->id, .seq = o->last.sequence, .at_zero = true, .status = GRPC_OK};
    if (!same_answer(o, &p, clock_mono_ns()))
        put_out(io, o, &p, (struct str){0});
}

static void publish_fault(struct io *io, struct object *o) {
    if (o->decided && o->last.spec == 0) {
        publish_zero(io, o);
        return;
    }
    struct published p = {
        .id = o->id,
        .active = false,
        .status = fault_status(o->fault.code),
        .fails_all = true,
    };
    if (!same_answer(o, &p, clock_mono_ns()))
        put_out(io, o, &p, str_from(o->fault.msg));
}

static void publish_record(struct io *io, struct object *o, const struct record *r) {
    struct published p = {
        .id = o->id,
        .seq = r->sequence,
        .value = r->publish,
        .active = r->active,
        .at_zero = r->spec == 0,
        .status = r->state == DECISION_OK ? GRPC_OK : GRPC_UNAVAILABLE,
        .fails_all = r->state != DECISION_OK && r->spec < 0,
    };
    if (same_answer(o, &p, r->now_ns))
        return;
    CLEANUP_BUF struct buf message;
    buf_init(&message, SENTENCE_MAX);
    if (p.status != GRPC_OK) {
        (void)buf_addf(&message, "ScaledObject %s/%s: ", o->key->ref.namespace_.p,
                       o->key->ref.name.p);
        (void)record_sentence(&message, r);
    }
    put_out(io, o, &p, buf_str(&message));
}

// Each object has a rate of its own: one that flaps does not silence the others.
static void log_change(struct object *o, const struct record *r) {
    CLEANUP_BUF struct buf sentence;
    buf_init(&sentence, SENTENCE_MAX);
    if (record_sentence(&sentence, r) < 0)
        return;
    bool told = !o->decided || r->desired != o->last.desired || r->state != o->last.state ||
                r->notices != o->last.notices;
    log_write_(told ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, &o->told, "decision",
               (const struct log_field[]){LOG_VIEW("namespace", o->key->ref.namespace_),
                                          LOG_VIEW("name", o->key->ref.name),
                                          LOG_I64("spec", r->spec),
                                          LOG_I64("desired", r->desired),
                                          LOG_BOOL("active", r->active),
                                          LOG_VIEW("why", buf_str(&sentence)),
                                          {.key = NULL}});
}

static void decide(struct io *io, struct object *o, int64_t now_ns, int64_t real_ns) {
    const struct workload *w = o->feed->workload;
    struct signal_external queries[LIMIT_TRIGGER_QUERIES];
    io_queries_of(o, queries);
    struct decide_input in = {.now_ns = now_ns,
                              .real_ns = real_ns,
                              .spec = (int32_t)w->replicas,
                              .status = w->status,
                              .queries = queries};
    struct record r;
    decider_tick(o->decider, o->feed->signals, &in, &r);
    o->decisions++;
    io->count.decisions++;
    if (!o->decided || record_changed(&r, &o->last)) {
        o->changes++;
        io->count.changes++;
        history_add(&o->history, &r, history_share(HASH_COUNT(io->objects)));
        log_change(o, &r);
    }
    memcpy(&o->last, &r, record_size(&r));
    o->decided = true;
    publish_record(io, o, &r);
}

void io_decide_feed(struct io *io, struct feed *f, int64_t now_ns) {
    int64_t real_ns = clock_real_ns();
    for (struct object *o = f->objects; o != NULL; o = o->next)
        decide(io, o, now_ns, real_ns);
    f->decided_ns = now_ns;
}

// Finds what the object is measured by; sets `fault` when there is nothing.
static void find_feed(struct io *io, struct object *o) {
    struct feed *f = NULL;
    struct err e = {0};
    if (io_feed_get(io, o, &f, &e) == 0) {
        attach(o, f);
        o->fault = (struct err){0};
        return;
    }
    bool again = o->fault.code == e.code && strcmp(o->fault.msg, e.msg) == 0;
    o->fault = e;
    if (!again)
        log_warn("no workload for a trigger", LOG_ERR(&e));
}

static void find_and_decide(struct io *io, struct object *o, int64_t now_ns) {
    find_feed(io, o);
    if (o->feed == NULL)
        publish_fault(io, o);
    else
        decide(io, o, now_ns, clock_real_ns());
}

void io_tend_feedless(struct io *io, int64_t now_ns) {
    for (struct object *o = io->objects; o != NULL; o = o->hh.next)
        if (o->feed == NULL && o->fault.code == ERR_NOMEM)
            find_and_decide(io, o, now_ns);
        else if (o->feed == NULL)
            publish_fault(io, o);
}

static int bind_trigger(struct io *io, struct object *o) {
    int rc = binder_bind(&io->binder, &o->key->ref, &o->trigger, &o->fault);
    if (rc == 0 && (rc = decider_new(&o->decider, o->trigger)) < 0)
        (void)err_set(&o->fault, rc, "out of memory");
    return rc;
}

static void remove_object(struct io *io, struct object *o) {
    HASH_DEL(io->objects, o);
    if (o->feed != NULL)
        detach(o);
    object_free(io, o);
}

void io_register(struct io *io, struct to_io *m) {
    struct object *o;
    HASH_FIND(hh, io->objects, &m->id, sizeof(m->id), o);
    if (o != NULL)
        return; // told again because the first decision was late
    o = mem_zalloc(sizeof(*o));
    if (o == NULL)
        return; // its call ends with "ask again", and then it is told again
    o->id = m->id;
    o->key = TAKE_PTR(m->key);
    HASH_ADD(hh, io->objects, id, sizeof(o->id), o);
    if (map_oom()) {
        object_free(io, o);
        return;
    }
    // The rpc thread has bound the same bytes: only memory can be missing here.
    if (bind_trigger(io, o) < 0) {
        remove_object(io, o);
        return;
    }
    io_queries_attach(io, o);
    find_and_decide(io, o, clock_mono_ns());
}

void io_drop(struct io *io, uint64_t id) {
    struct object *o;
    HASH_FIND(hh, io->objects, &id, sizeof(id), o);
    if (o != NULL)
        remove_object(io, o);
}

void io_rebind_all(struct io *io, int64_t now_ns) {
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        struct feed *before = o->feed;
        if (before != NULL)
            detach(o);
        o->feed = NULL;
        find_and_decide(io, o, now_ns);
        if (before != NULL)
            io_feed_release(io, before);
    }
}

static void unpublish(struct io *io, const struct published *p) {
    struct object *o;
    HASH_FIND(hh, io->objects, &p->id, sizeof(p->id), o);
    if (o != NULL)
        o->published = false;
    mem_free(p->message);
}

void io_flush(struct io *io, int64_t now_ns) {
    size_t n = io->outbox.n;
    struct to_rpc *m = mem_zalloc(sizeof(*m) + n * sizeof(m->items[0]));
    if (m != NULL) {
        m->kind = TO_RPC_BATCH;
        m->at_ns = now_ns;
        m->n_items = n;
        if (n > 0)
            memcpy(m->items, io->outbox.items, n * sizeof(m->items[0]));
        if (queue_push(io->to_rpc, m)) {
            vec_clear(&io->outbox);
            return;
        }
        mem_free(m);
    }
    // The rpc thread is stalled or memory is short: these objects are published by the next tick.
    io->count.messages_lost++;
    for (size_t i = 0; i < n; i++)
        unpublish(io, &io->outbox.items[i]);
    vec_clear(&io->outbox);
}

void io_objects_done(struct io *io) {
    struct object *o, *next;
    HASH_ITER(hh, io->objects, o, next)
    remove_object(io, o);
    for (size_t i = 0; i < io->outbox.n; i++)
        mem_free(io->outbox.items[i].message);
    vec_done(&io->outbox);
}
