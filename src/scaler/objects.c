// SPDX-License-Identifier: Apache-2.0
/*
 * The objects that KEDA asks about: registered by the rpc thread, bound to what is measured of
 * their workload, decided, and published when what KEDA is told changes.
 */
#include "base/clock.h"
#include "base/log.h"
#include "net/grpc_status.h"
#include "scaler/cluster.h"
#include "scaler/cluster_events.h"
#include "scaler/io.h"
#include "scaler/replicas.h"

enum {
    SENTENCE_MAX = 4096,
    FAULT_REPEAT_S = 10,
    SEEN_SOON_S = 2, // KEDA may ask before the cluster's watch has told of the ScaledObject
};

static struct object *object_free(struct io *io, struct object *o) {
    io_replicas_forget(io, o);
    if (o->feed != NULL)
        io_feed_release(io, o->feed);
    io_queries_detach(io, o);
    io_events_forget(o);
    io_cluster_forget_job(o);
    decider_free(o->decider);
    trigger_free(o->trigger);
    history_done(&o->history);
    object_key_free(o->key);
    mem_free(o->message);
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

// Does KEDA, or an HPA, ask for it here?
static bool is_asked(const struct object *o) {
    return o->rpc_id != 0 || o->key->ref.rule;
}

// Tells the other scalers, and puts the answer into the outbox where KEDA asks here; a rule's,
// which no rpc thread is asked for, stays with the object. Without memory the object counts as not
// published, so that the next tick tries again.
static void put_out(struct io *io, struct object *o, struct published *p, struct str message) {
    o->published = false;
    io_replicas_tell(io, o, p, message);
    if (is_asked(o) && p->status != GRPC_OK &&
        (p->message = mem_strndup(message.p, message.n)) == NULL)
        return;
    if (o->key->ref.rule) {
        mem_free(o->message);
        o->message = p->message;
    } else if (o->rpc_id != 0 && vec_push(&io->outbox, *p) < 0) {
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
    case ERR_UNSUPPORTED: // a ScaledJob
        return GRPC_INVALID_ARGUMENT;
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
    struct published p = {
        .id = o->rpc_id, .seq = o->last.sequence, .at_zero = true, .status = GRPC_OK};
    if (!same_answer(o, &p, clock_mono_ns()))
        put_out(io, o, &p, (struct str){0});
}

// Does anybody hear of it: who asks here, or the other scalers?
static bool is_told(const struct io *io, const struct object *o) {
    return is_asked(o) || io->replicas != NULL;
}

void io_object_answer(struct io *io, struct object *o, const struct published *from) {
    struct published p = *from;
    p.id = o->rpc_id;
    p.message = NULL;
    if (is_asked(o) && !same_answer(o, &p, clock_mono_ns()))
        put_out(io, o, &p, str_from(from->message));
}

static void publish_fault(struct io *io, struct object *o) {
    bool soon = io->cluster != NULL && clock_mono_ns() - o->since_ns < SEEN_SOON_S * NS_PER_S &&
                o->fault.code != ERR_UNSUPPORTED;
    if (!is_told(io, o) || o->leaving || (soon && !o->key->ref.rule))
        return;
    if (o->decided && o->last.spec == 0 && !o->key->ref.rule) {
        publish_zero(io, o);
        return;
    }
    struct published p = {
        .id = o->rpc_id,
        .active = false,
        .status = fault_status(o->fault.code),
        .fails_all = true,
    };
    if (!same_answer(o, &p, clock_mono_ns()))
        put_out(io, o, &p, str_from(o->fault.msg));
}

// A rule's HPA has no activation beside the number: nothing to wake for is 0. What is not known is
// an error there, which leaves the HPA at zero as 0 would, and is told in its condition.
static void publish_asleep(const struct record *r, struct published *p) {
    p->value = 0;
    if (r->activity == INACTIVE_ZERO_UNKNOWN)
        p->status = GRPC_UNAVAILABLE;
}

static void publish_record(struct io *io, struct object *o, const struct record *r) {
    if (!is_told(io, o))
        return;
    struct published p = {
        .id = o->rpc_id,
        .seq = r->sequence,
        .value = r->publish,
        .active = r->active,
        .at_zero = r->spec == 0,
        .status = r->state == DECISION_OK ? GRPC_OK : GRPC_UNAVAILABLE,
        .fails_all = r->state != DECISION_OK && r->spec < 0,
    };
    if (o->key->ref.rule && r->spec == 0 && !r->active)
        publish_asleep(r, &p);
    if (same_answer(o, &p, r->now_ns))
        return;
    CLEANUP_BUF struct buf message;
    buf_init(&message, SENTENCE_MAX);
    if (p.status != GRPC_OK) {
        (void)buf_addf(&message, "%s %s/%s: ", object_ref_kind(&o->key->ref),
                       o->key->ref.namespace_.p, o->key->ref.name.p);
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
                                          LOG_STR("kind", object_ref_kind(&o->key->ref)),
                                          LOG_I64("spec", r->spec),
                                          LOG_I64("desired", r->desired),
                                          LOG_BOOL("active", r->active),
                                          LOG_VIEW("why", buf_str(&sentence)),
                                          {.key = NULL}});
}

static void decide(struct io *io, struct object *o, int64_t now_ns, int64_t real_ns) {
    if (!io_may_decide(io))
        return;
    const struct workload *w = o->feed->workload;
    struct signal_external queries[LIMIT_TRIGGER_QUERIES];
    struct record_scene scene;
    io_queries_of(o, queries);
    io_cluster_scene(io, o, now_ns, real_ns, &scene);
    struct decide_input in = {
        .now_ns = now_ns,
        .real_ns = real_ns,
        .spec = (int32_t)w->replicas,
        .status = w->status,
        .queries = queries,
        .scene = &scene,
        .settling = io_replicas_settling(io, o->trigger->rate_window_ns, now_ns),
        .stale = scene.unseen_ns > 0};
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
    io_events_decided(io, o, &r, o->decided ? &o->last : NULL);
    memcpy(&o->last, &r, record_size(&r));
    o->decided = true;
    publish_record(io, o, &r);
    io_replicas_tell_again(io, o, now_ns);
}

void io_decide_feed(struct io *io, struct feed *f, int64_t now_ns) {
    int64_t real_ns = clock_real_ns();
    for (struct object *o = f->objects; o != NULL; o = o->next)
        if (!o->leaving)
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
    if (!again && !o->leaving) {
        log_warn("no workload for a trigger", LOG_ERR(&e));
        io_events_no_workload(io, o);
    }
}

void io_object_begin(struct io *io, struct object *o, int64_t now_ns) {
    if (!io_leads(io))
        return; // it has met what is known of it
    find_feed(io, o);
    if (o->feed == NULL) {
        publish_fault(io, o);
    } else {
        io_replicas_teach(io, o, now_ns);
        decide(io, o, now_ns, clock_real_ns());
    }
}

void io_objects_lead(struct io *io, int64_t now_ns) {
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        o->published = false; // the others are to hear all of it
        io_queries_attach(io, o);
        io_object_begin(io, o, now_ns);
    }
}

void io_objects_follow(struct io *io) {
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        struct feed *f = o->feed;
        o->decided = false; // what is decided from now on is another's
        io_queries_detach(io, o);
        if (f != NULL) {
            detach(o);
            o->feed = NULL;
            io_feed_release(io, f);
        }
        (void)err_set(&o->fault, ERR_UNAVAILABLE, "another scaler leads and decides");
    }
}

void io_tend_feedless(struct io *io, int64_t now_ns) {
    if (!io_leads(io))
        return;
    for (struct object *o = io->objects; o != NULL; o = o->hh.next)
        if (o->feed == NULL && o->fault.code == ERR_NOMEM)
            io_object_begin(io, o, now_ns);
        else if (o->feed == NULL)
            publish_fault(io, o);
}

static int bind_trigger(struct io *io, struct object *o) {
    int rc = binder_bind(&io->binder, &o->key->ref, &o->trigger, &o->fault);
    if (rc == 0 && (rc = decider_new(&o->decider, o->trigger)) < 0)
        (void)err_set(&o->fault, rc, "out of memory");
    return rc;
}

static struct object *find_rpc(const struct io *io, uint64_t rpc_id) {
    struct object *o;
    HASH_FIND(hh_rpc, io->by_rpc, &rpc_id, sizeof(rpc_id), o);
    return o;
}

// The rpc thread knows it by this id from now on; 0: no more.
static int set_rpc_id(struct io *io, struct object *o, uint64_t rpc_id) {
    if (o->rpc_id != 0)
        HASH_DELETE(hh_rpc, io->by_rpc, o);
    o->rpc_id = rpc_id;
    o->published = false;
    if (rpc_id == 0)
        return 0;
    o->asked_ns = o->heard_ns = clock_mono_ns();
    io_cluster_heard(io, o);
    HASH_ADD(hh_rpc, io->by_rpc, rpc_id, sizeof(o->rpc_id), o);
    if (map_oom()) {
        o->rpc_id = 0;
        return ERR_NOMEM;
    }
    return 0;
}

struct object *io_object_find(const struct io *io, const struct object_ref *r,
                              const struct object_hash *h) {
    struct object_index_entry *x = object_index_find(io->by_key, r, h);
    return x != NULL ? container_of(x, struct object, indexed) : NULL;
}

static void remove_object(struct io *io, struct object *o) {
    (void)set_rpc_id(io, o, 0);
    object_index_remove(&io->by_key, &o->indexed);
    HASH_DEL(io->objects, o);
    if (o->feed != NULL)
        detach(o);
    object_free(io, o);
}

struct object *io_object_new(struct io *io, uint64_t rpc_id, struct object_key *key) {
    struct object *o = mem_zalloc(sizeof(*o));
    if (o == NULL) {
        object_key_free(key);
        return NULL;
    }
    o->id = rpc_id ? rpc_id : OBJECT_ID_OWN + ++io->next_own_id;
    o->since_ns = o->heard_ns = clock_mono_ns();
    o->key = key;
    HASH_ADD(hh, io->objects, id, sizeof(o->id), o);
    if (map_oom()) {
        object_free(io, o);
        return NULL;
    }
    if (object_index_add(&io->by_key, &o->indexed, o->key) < 0) {
        HASH_DEL(io->objects, o);
        object_free(io, o);
        return NULL;
    }
    if (set_rpc_id(io, o, rpc_id) < 0 || bind_trigger(io, o) < 0) {
        remove_object(io, o);
        return NULL;
    }
    if (io_leads(io))
        io_queries_attach(io, o);
    else
        (void)err_set(&o->fault, ERR_UNAVAILABLE, "another scaler leads and decides");
    io_replicas_meet(io, o);
    return o;
}

void io_object_remove(struct io *io, struct object *o) {
    if (o->rpc_id != 0)
        (void)vec_push(&io->gone, o->rpc_id); // no memory: it is swept when nobody asks
    remove_object(io, o);
}

// KEDA asks about what is decided already.
static void adopt(struct io *io, struct object *o, uint64_t rpc_id) {
    if (set_rpc_id(io, o, rpc_id) < 0)
        return; // its call ends with "ask again", and then it is told again
    if (!io_leads(io))
        io_replicas_meet(io, o);
    else if (o->feed == NULL)
        publish_fault(io, o);
    else if (o->decided)
        publish_record(io, o, &o->last);
}

void io_register(struct io *io, struct to_io *m) {
    struct object *o = find_rpc(io, m->id);
    if (o != NULL) { // told again because the first decision was late
        if (!io_leads(io))
            io_replicas_meet(io, o);
        return;
    }
    struct object_hash h;
    object_ref_hash(&m->key->ref, &h);
    o = io_object_find(io, &m->key->ref, &h);
    if (o != NULL) {
        adopt(io, o, m->id);
        return;
    }
    // The rpc thread has bound the same bytes: only memory can be missing here. Without it the call
    // ends with "ask again", and then it is told again.
    o = io_object_new(io, m->id, TAKE_PTR(m->key));
    if (o != NULL && !io_cluster_meet(io, o))
        io_object_begin(io, o, clock_mono_ns());
}

void io_object_refuse(struct io *io, struct object *o, const struct err *why) {
    o->fault = *why;
    log_warn("no workload for a trigger", LOG_ERR(why));
    publish_fault(io, o);
    io_flush(io, clock_mono_ns());
}

void io_drop(struct io *io, uint64_t rpc_id) {
    struct object *o = find_rpc(io, rpc_id);
    if (o != NULL && o->watched && !o->of_call)
        (void)set_rpc_id(io, o, 0);
    else if (o != NULL)
        remove_object(io, o);
}

void io_called(struct io *io, const struct to_io *m) {
    int64_t now_ns = clock_mono_ns();
    for (size_t i = 0; i < m->n_ids; i++) {
        struct object *o = find_rpc(io, m->ids[i]);
        if (o != NULL)
            o->asked_ns = o->heard_ns = now_ns;
    }
}

void io_rebind_all(struct io *io, int64_t now_ns) {
    if (!io_leads(io))
        return; // there are no feeds
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        struct feed *before = o->feed;
        if (before != NULL)
            detach(o);
        o->feed = NULL;
        find_feed(io, o);
        if (o->feed == NULL)
            publish_fault(io, o);
        else if (o->feed != before)
            o->feed->stirred = true;
        if (o->feed != NULL && before == NULL)
            io_replicas_teach(io, o, now_ns);
        if (before != NULL)
            io_feed_release(io, before);
    }
    for (struct feed *f = io->feeds; f != NULL; f = f->hh.next) {
        if (!f->stirred)
            continue;
        f->stirred = false;
        io->targets_stale = true;
        io_decide_feed(io, f, now_ns);
    }
}

static void unpublish(struct io *io, const struct published *p) {
    struct object *o = find_rpc(io, p->id);
    if (o != NULL)
        o->published = false;
    mem_free(p->message);
}

void io_flush(struct io *io, int64_t now_ns) {
    size_t n = io->outbox.n, gone = io->gone.n;
    struct to_rpc *m = mem_zalloc(sizeof(*m) + (n + gone) * sizeof(m->items[0]));
    if (m != NULL) {
        m->kind = TO_RPC_BATCH;
        m->at_ns = io_replicas_decided_ns(io, now_ns);
        io_replicas_pass(io, m);
        m->n_items = n + gone;
        if (n > 0)
            memcpy(m->items, io->outbox.items, n * sizeof(m->items[0]));
        for (size_t i = 0; i < gone; i++)
            m->items[n + i] = (struct published){.id = io->gone.items[i], .gone = true};
        if (queue_push(io->to_rpc, m)) {
            vec_clear(&io->outbox);
            vec_clear(&io->gone);
            return;
        }
        io_replicas_take_back(io, m);
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
    vec_done(&io->gone);
}
