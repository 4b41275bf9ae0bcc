// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of each object across scalers: heard from the leader and handed to KEDA, kept for
 * the day on which this scaler leads, and told to the others while it does.
 */
#include "base/clock.h"
#include "base/log.h"
#include "net/grpc_status.h"
#include "scaler/cluster.h"
#include "scaler/replicas_internal.h"

enum {
    DECISION_BYTES = 256 << 10,
    TELL_LEARNED_S = 15, // as often as a lesson, a step of the trim and a want come
};

static struct known *find_known(const struct replicas *r, const struct object_ref *ref) {
    struct object_hash h;
    struct known *k;
    object_ref_hash(ref, &h);
    HASH_FIND(hh, r->known, &h.all, sizeof(h.all), k);
    // Of two keys with one (seeded, 64-bit) hash the second goes without.
    return k != NULL && object_key_matches(k->key, ref, &h) ? k : NULL;
}

struct known *replicas_known(const struct replicas *r, const struct object *o) {
    return find_known(r, &o->key->ref);
}

static void known_free(struct replicas *r, struct known *k) {
    if (k->leader_id != 0)
        HASH_DELETE(hh_leader, r->by_leader, k);
    HASH_DELETE(hh, r->known, k);
    object_key_free(k->key);
    mem_free(k->answer.message);
    mem_free(k->learned.packed);
    mem_free(k);
}

void replicas_forget_all(struct replicas *r) {
    struct known *k, *next;
    HASH_ITER(hh, r->known, k, next)
    known_free(r, k);
}

static struct known *make_known(struct replicas *r, const struct object_ref *ref) {
    struct object_hash h;
    struct known *k = find_known(r, ref), *same;
    if (k != NULL)
        return k;
    object_ref_hash(ref, &h);
    HASH_FIND(hh, r->known, &h.all, sizeof(h.all), same);
    if (same != NULL || HASH_COUNT(r->known) >= 2 * LIMIT_SCALED_OBJECTS ||
        (k = mem_zalloc(sizeof(*k))) == NULL)
        return NULL;
    k->key = object_key_new(ref, &h);
    if (k->key != NULL)
        HASH_ADD_KEYPTR(hh, r->known, &k->key->hash, sizeof(k->key->hash), k);
    if (k->key == NULL || map_oom()) {
        object_key_free(k->key);
        mem_free(k);
        return NULL;
    }
    return k;
}

static void set_answer(struct known *k, const struct published *p) {
    mem_free(k->answer.message);
    k->answer = *p;
    if (p->message != NULL)
        k->answer.message = mem_strdup(p->message); // no memory: an error without its reason
}

static void set_leader_id(struct replicas *r, struct known *k, uint64_t id) {
    if (k->leader_id == id)
        return;
    if (k->leader_id != 0)
        HASH_DELETE(hh_leader, r->by_leader, k);
    k->leader_id = id;
    if (id == 0)
        return;
    struct known *other;
    HASH_FIND(hh_leader, r->by_leader, &id, sizeof(id), other);
    if (other != NULL) { // ids are given once: this one is of a leader before
        HASH_DELETE(hh_leader, r->by_leader, other);
        other->leader_id = 0;
    }
    HASH_ADD(hh_leader, r->by_leader, leader_id, sizeof(k->leader_id), k);
    if (map_oom())
        k->leader_id = 0; // its end goes unheard until the next full state
}

static void gone(struct replicas *r, struct known *k) {
    set_leader_id(r, k, 0);
    if (k->object == NULL)
        known_free(r, k);
    else if (k->gone_ns == 0)
        k->gone_ns = clock_mono_ns();
}

// Those that KEDA has asked for here since then.
static void ask_about(struct replicas *r, int64_t since_ns) {
    r->asked_ns = clock_mono_ns();
    for (const struct object *o = r->io->objects; o != NULL; o = o->hh.next)
        if (o->rpc_id != 0 && o->heard_ns >= since_ns)
            follow_register(r->follow, &o->key->ref);
}

static void on_connected(void *ctx) {
    struct replicas *r = ctx;
    const struct election_record *rec = lease_record(r->lease);
    log_info("following the leader", LOG_STR("leader", rec ? rec->holder : ""),
             LOG_STR("address", rec ? rec->address : ""));
    r->lost[0] = '\0';
    ask_about(r, INT64_MIN);
}

static void on_began(void *ctx, const struct follow_update *u) {
    struct replicas *r = ctx;
    r->term = u->term;
    if (u->full) {
        r->pass++;
        r->syncing = true;
    }
}

static void on_decision(void *ctx, const struct decision *d) {
    struct replicas *r = ctx;
    struct known *k = make_known(r, &d->object);
    if (k == NULL)
        return; // its calls end with "ask again"
    set_leader_id(r, k, d->id);
    set_answer(k, &d->answer);
    k->memory = d->memory;
    replicas_learned_hear(r, k, d);
    k->told_ns = clock_mono_ns();
    k->gone_ns = 0;
    k->pass = r->pass;
    if (k->object != NULL)
        io_object_answer(r->io, k->object, &k->answer);
}

static void on_removed(void *ctx, uint64_t id) {
    struct replicas *r = ctx;
    struct known *k;
    HASH_FIND(hh_leader, r->by_leader, &id, sizeof(id), k);
    if (k != NULL)
        gone(r, k);
}

static void on_ended(void *ctx, const struct follow_update *u) {
    struct replicas *r = ctx;
    struct known *k, *next;
    if (u->complete && r->syncing) {
        r->syncing = false;
        r->complete = true;
        HASH_ITER(hh, r->known, k, next)
        if (k->pass != r->pass)
            gone(r, k);
        log_info("the leader's decisions are here", LOG_STR("leader", u->leader),
                 LOG_I64("term", (int64_t)u->term),
                 LOG_I64("objects", HASH_CNT(hh_leader, r->by_leader)));
    }
    r->decided_ns = u->decided_ns;
    io_flush(r->io, u->decided_ns);
    if (u->resigned) {
        log_info("the leader has given the Lease up", LOG_STR("leader", u->leader));
        lease_hurry(r->lease);
    }
}

static void on_lost(void *ctx, const struct err *why) {
    struct replicas *r = ctx;
    bool again = strcmp(r->lost, why->msg) == 0;
    (void)str_copy(r->lost, sizeof(r->lost), str_from(why->msg));
    if (!again) // each attempt fails the same way
        log_warn("the leader is not heard: its last decisions stand", LOG_ERR(why));
}

static void on_tls_event(void *ctx, const struct err *why) {
    struct replicas *r = ctx;
    if (why == NULL) {
        log_info("certificates re-read", LOG_STR("of", "replicas"));
        return;
    }
    r->io->count.tls_reload_failures++;
    log_error("certificates not re-read, the old ones stay", LOG_STR("of", "replicas"),
              LOG_ERR(why));
}

void replicas_hear(struct follow_options *o) {
    o->connected = on_connected;
    o->began = on_began;
    o->decision = on_decision;
    o->removed = on_removed;
    o->ended = on_ended;
    o->lost = on_lost;
    o->tls_event = on_tls_event;
}

bool io_replicas_ready(const struct io *io, struct buf *missing) {
    const struct replicas *r = io->replicas;
    if (r == NULL || r->leads)
        return true;
    const struct election_record *rec = lease_record(r->lease);
    int64_t age_ns = clock_mono_ns() - r->decided_ns;
    if (r->complete && age_ns <= LIMIT_DECISION_AGE_MS * NS_PER_MS)
        return true;
    if (missing == NULL)
        return false;
    if (rec == NULL)
        (void)buf_addf(missing, "the Lease %s has not been read yet\n", io->config->replicas.lease);
    else if (rec->holder[0] == '\0' || lease_ours(r->lease))
        (void)buf_addc(missing, "no scaler leads\n");
    else if (!r->complete)
        (void)buf_addf(missing, "the decisions of the leader %s are not here yet\n", rec->holder);
    else
        (void)buf_addf(missing, "no decision of the leader %s was heard of for %d s\n", rec->holder,
                       (int)(age_ns / NS_PER_S));
    return false;
}

// Goes on with the decision that was made last, by whomever. What its decider knows of a term of
// our own, before another led, is none: where nothing newer is known it begins from what there is.
static void restore(struct object *o, const struct known *k, int64_t now_ns) {
    struct decider_memory own, last = {0};
    decider_remember(o->decider, &own);
    if (k != NULL)
        last = k->memory;
    if (!last.decided) {
        decider_forget(o->decider, last.sequence);
    } else if (!own.decided || own.sequence != last.sequence) {
        if (last.sequence < own.sequence) // the other began to count anew
            last.sequence = own.sequence;
        decider_restore(o->decider, &last, now_ns);
    }
    replicas_learned_restore(o, k, now_ns);
}

void replicas_restore(struct replicas *r, int64_t now_ns) {
    for (struct known *k = r->known; k != NULL; k = k->hh.next) {
        bool of_another = r->syncing && k->pass != r->pass; // who led before the one that is heard
        set_leader_id(r, k, 0);
        k->memory.decided &= r->inherited && k->gone_ns == 0 && !of_another;
    }
    for (struct object *o = r->io->objects; o != NULL; o = o->hh.next)
        restore(o, find_known(r, &o->key->ref), now_ns);
}

static void remember_learned(struct replicas *r, struct known *k, const struct object *o) {
    CLEANUP_BUF struct buf packed;
    struct decision d = {0};
    buf_init(&packed, LIMIT_LEARNED_BYTES);
    if (replicas_learned_pack(&packed, o, clock_mono_ns()) == 0)
        d.learned = buf_str(&packed);
    replicas_learned_hear(r, k, &d);
}

void replicas_remember(struct replicas *r) {
    for (struct object *o = r->io->objects; o != NULL; o = o->hh.next) {
        struct known *k = make_known(r, &o->key->ref);
        if (k == NULL)
            continue;
        set_answer(k, &o->sent);
        decider_remember(o->decider, &k->memory);
        remember_learned(r, k, o);
        k->told_ns = o->sent_ns != 0 ? clock_mono_ns() : 0; // 0: nothing was ever said of it
        k->gone_ns = 0;
        k->object = o;
    }
}

void io_replicas_meet(struct io *io, struct object *o) {
    struct replicas *r = io->replicas;
    if (r == NULL)
        return;
    struct known *k = r->leads ? find_known(r, &o->key->ref) : make_known(r, &o->key->ref);
    if (k != NULL)
        k->object = o;
    if (r->leads) {
        if (k != NULL)
            restore(o, k, clock_mono_ns());
        return;
    }
    if (k != NULL && k->told_ns != 0)
        io_object_answer(io, o, &k->answer);
    if (o->rpc_id != 0 && (k == NULL || k->leader_id == 0))
        follow_register(r->follow, &o->key->ref);
}

void io_replicas_forget(struct io *io, struct object *o) {
    struct replicas *r = io->replicas;
    if (r == NULL)
        return;
    struct known *k = find_known(r, &o->key->ref);
    if (k != NULL && k->object == o) {
        k->object = NULL;
        if (k->leader_id == 0)
            known_free(r, k);
    }
    if (r->leads) // no memory: it goes with our term
        (void)vec_push(&io->told, ((struct told_item){.id = o->id}));
}

void io_replicas_tell(struct io *io, struct object *o, const struct published *p,
                      struct str message) {
    struct replicas *r = io->replicas;
    int64_t now_ns = clock_mono_ns();
    if (r == NULL || !r->leads)
        return;
    CLEANUP_BUF struct buf packed, text, learned;
    struct decision d = {.id = o->id, .object = o->key->ref, .answer = *p};
    buf_init(&packed, DECISION_BYTES);
    buf_init(&text, DECISION_BYTES);
    buf_init(&learned, LIMIT_LEARNED_BYTES);
    d.answer.message = NULL;
    if (p->status != GRPC_OK && buf_add_str(&text, message) == 0 && buf_add_byte(&text, '\0') == 0)
        d.answer.message = text.p;
    decider_remember(o->decider, &d.memory);
    if (replicas_learned_pack(&learned, o, now_ns) == 0)
        d.learned = buf_str(&learned);
    struct told_item t = {.id = o->id};
    if (decision_pack(&packed, &d) < 0 || (t.packed = mem_alloc(packed.len)) == NULL)
        return; // told again in a while
    memcpy(t.packed, packed.p, packed.len);
    t.n = packed.len;
    if (vec_push(&io->told, t) < 0) {
        mem_free(t.packed);
        return;
    }
    o->told_window_ns = decider_window_ns(o->decider);
    o->told_learned_ns = now_ns;
    o->told_learned = map_hash(d.learned.p, d.learned.n);
}

// Was something learned since the others were told? Asked now and then.
static bool learned_since(struct object *o, int64_t now_ns) {
    if (now_ns - o->told_learned_ns < TELL_LEARNED_S * NS_PER_S)
        return false;
    o->told_learned_ns = now_ns;
    CLEANUP_BUF struct buf learned;
    buf_init(&learned, LIMIT_LEARNED_BYTES);
    return replicas_learned_pack(&learned, o, now_ns) == 0 &&
           map_hash(learned.p, learned.len) != o->told_learned;
}

void io_replicas_tell_again(struct io *io, struct object *o, int64_t now_ns) {
    const struct replicas *r = io->replicas;
    if (r == NULL || !r->leads || o->sent.status != GRPC_OK)
        return; // an error is told anew by itself, with its message
    bool moved = o->trigger->down_window_ns > 0 &&
                 decider_window_ns(o->decider) != o->told_window_ns;
    if (moved || learned_since(o, now_ns))
        io_replicas_tell(io, o, &o->sent, (struct str){0});
}

int64_t io_replicas_decided_ns(const struct io *io, int64_t now_ns) {
    const struct replicas *r = io->replicas;
    return r == NULL || r->leads ? now_ns : r->decided_ns;
}

void io_replicas_pass(struct io *io, struct to_rpc *m) {
    m->told = TAKE_PTR(io->told.items);
    m->n_told = io->told.n;
    io->told.n = io->told.cap = 0;
}

void io_replicas_take_back(struct io *io, struct to_rpc *m) {
    for (size_t i = 0; i < m->n_told; i++) {
        struct object *o;
        HASH_FIND(hh, io->objects, &m->told[i].id, sizeof(m->told[i].id), o);
        if (o != NULL)
            o->told_window_ns = INT64_MAX, o->told_learned = o->told_learned_ns = 0; // again
        mem_free(m->told[i].packed);
    }
    mem_free(m->told);
}

void replicas_tend_gone(struct replicas *r, int64_t now_ns) {
    for (struct known *k = r->known; k != NULL; k = k->hh.next) {
        if (k->object == NULL || k->gone_ns == 0 ||
            now_ns - k->gone_ns < LIMIT_DECISION_AGE_MS * NS_PER_MS)
            continue;
        char text[] = "the scaler that leads does not decide about it; see its log";
        struct published p = {.seq = k->answer.seq, .status = GRPC_UNAVAILABLE, .message = text};
        if (k->answer.at_zero && !k->key->ref.rule) // an HPA does not wake for an error
            p = (struct published){.seq = k->answer.seq, .at_zero = true, .status = GRPC_OK};
        else
            p.active = true;
        io_object_answer(r->io, k->object, &p);
    }
}

void io_replicas_tick(struct io *io, int64_t now_ns) {
    struct replicas *r = io->replicas;
    if (r != NULL && r->role_untold)
        replicas_tell_role(r, false);
    if (r == NULL || r->lease == NULL)
        return;
    lease_stand(r->lease, io_cluster_ready(io, NULL)); // who has not read the cluster cannot decide
    if (r->leads) { // objects that nobody asked about since are not asked about
        if (r->known != NULL && now_ns - r->led_ns > LIMIT_OBJECT_IDLE_MS * NS_PER_MS)
            replicas_forget_all(r);
        return;
    }
    replicas_tend_gone(r, now_ns);
    if (follow_state(r->follow) == FOLLOW_LIVE &&
        now_ns - r->asked_ns > REPLICAS_ENROLL_S * NS_PER_S)
        ask_about(r, r->asked_ns - 2 * RPC_CALLED_MS * NS_PER_MS);
}
