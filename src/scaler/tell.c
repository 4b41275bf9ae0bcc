// SPDX-License-Identifier: Apache-2.0
/* Streams over an ordered list of packed decisions; see the header. */
#include "scaler/tell.h"

#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "decisions.desc.h"
#include "net/loop.h"
#include "scaler/decision.h"

enum {
    CHUNK_BYTES = 256 << 10,  // of decisions in a message
    QUEUED_BYTES = 512 << 10, // unsent ones: no more is packed
    MESSAGE_BYTES = 1 << 20,
    CATCH_UP_MS = 20,
    STALLED_S = 10,
    REMOVED_MAX = 4096, // remembered: beyond it everything is told again
    NAME_MAX_BYTES = 512,
};

struct item {
    uint64_t id, change;
    char *packed;
    size_t n;
    TAILQ_ENTRY(item) order; // by change
    UT_hash_handle hh;
};

struct removed {
    uint64_t id, change;
};

struct follower {
    struct tell *tell;
    struct grpc_call *call;
    char name[128];
    uint64_t change; // told up to here
    uint64_t seq;
    bool begun;                  // its first message was sent
    int64_t sent_ns, blocked_ns; // blocked: since when the peer has not read; 0: it reads
    struct follower *next, **prev;
};

TAILQ_HEAD(item_order, item);

struct tell {
    struct tell_options options;
    struct grpc_service service;
    struct net_timer *beat, *catch_up;
    bool leads;
    char leader[NAME_MAX_BYTES];
    uint64_t term, change;
    int64_t decided_ns;
    struct item *items; // by id
    struct item_order order;
    struct VEC(struct removed) removed;
    struct follower *followers;
    struct buf message;
    struct tell_stats stats;
};

static void follower_drop(struct follower *f) {
    *f->prev = f->next;
    if (f->next)
        f->next->prev = f->prev;
    f->tell->stats.followers--;
    mem_free(f);
}

static void follower_ended(struct grpc_call *call, void *ctx) {
    struct follower *f = ctx;
    log_info("follower gone", LOG_STR("follower", f->name));
    follower_drop(f);
}

// The first decision that the follower has not been told; NULL: it knows all.
static const struct item *next_untold(const struct tell *t, uint64_t change) {
    const struct item *first = NULL;
    struct item *i;
    TAILQ_FOREACH_REVERSE(i, &t->order, item_order, order) {
        if (i->change <= change)
            break;
        first = i;
    }
    return first;
}

// Begins the message that follows with what every one has; decisions are put behind it.
static int add_head(struct follower *f, int64_t now_ns, bool complete, bool resigned) {
    struct tell *t = f->tell;
    uint64_t removed[REMOVED_MAX];
    Gpuscale__V1__DecisionsUpdate m = GPUSCALE__V1__DECISIONS_UPDATE__INIT;
    m.leader = t->leader;
    m.has_term = m.has_seq = m.has_interval_ms = m.has_complete = m.has_now_ms = m.has_decided_ms =
        1;
    m.term = t->term;
    m.seq = f->seq + 1;
    m.interval_ms = TELL_INTERVAL_MS;
    m.has_full = m.full = !f->begun;
    m.complete = complete;
    m.now_ms = (uint64_t)(now_ns / NS_PER_MS);
    m.decided_ms = (uint64_t)(t->decided_ns / NS_PER_MS);
    m.has_resigned = m.resigned = resigned;
    m.removed = removed;
    for (size_t i = 0; f->begun && i < t->removed.n; i++)
        if (t->removed.items[i].change > f->change)
            removed[m.n_removed++] = t->removed.items[i].id;
    size_t n = gpuscale__v1__decisions_update__get_packed_size(&m);
    buf_clear(&t->message);
    char *to = buf_reserve(&t->message, n);
    if (to == NULL)
        return t->message.err;
    buf_commit(&t->message, gpuscale__v1__decisions_update__pack(&m, (uint8_t *)to));
    return 0;
}

// Field 9 of DecisionsUpdate, length-delimited.
static void add_item(struct buf *b, const struct item *i) {
    (void)buf_add_byte(b, 9 << 3 | 2);
    size_t n = i->n;
    for (; n >= 0x80; n >>= 7)
        (void)buf_add_byte(b, (char)(n | 0x80));
    (void)buf_add_byte(b, (char)n);
    (void)buf_add(b, i->packed, i->n);
}

// How far a message of CHUNK_BYTES reaches; what is behind it is NULL when all is told.
static const struct item *chunk_end(const struct item *from) {
    size_t bytes = 0;
    const struct item *i = from;
    while (i != NULL && (bytes == 0 || bytes + i->n <= CHUNK_BYTES)) {
        bytes += i->n;
        i = TAILQ_NEXT(i, order);
    }
    return i;
}

static int send_one(struct follower *f, int64_t now_ns, bool resigned) {
    struct tell *t = f->tell;
    const struct item *from = next_untold(t, f->change), *end = chunk_end(from);
    int rc = add_head(f, now_ns, end == NULL, resigned);
    uint64_t change = t->change;
    for (const struct item *i = from; rc == 0 && i != end; i = TAILQ_NEXT(i, order)) {
        add_item(&t->message, i);
        change = i->change;
    }
    if (end == NULL)
        change = t->change;
    if (rc == 0)
        rc = t->message.err;
    if (rc == 0)
        rc = grpc_call_send_packed(f->call, t->message.p, t->message.len);
    if (rc < 0)
        return rc;
    f->seq++;
    f->begun = true;
    f->change = change;
    f->sent_ns = now_ns;
    t->stats.messages++;
    return 0;
}

// The peer does not read: ended after a while, so that it comes anew.
static void wait_for(struct follower *f, int64_t now_ns) {
    if (f->blocked_ns == 0)
        f->blocked_ns = now_ns;
    if (now_ns - f->blocked_ns < STALLED_S * NS_PER_S)
        return;
    log_warn("follower ended: it does not read", LOG_STR("follower", f->name),
             LOG_DUR("blocked", now_ns - f->blocked_ns));
    f->tell->stats.slow++;
    struct grpc_call *call = f->call;
    follower_drop(f);
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the follower reads too slowly");
}

// All that fits into the peer's queue. May drop the follower.
static void bring_up(struct follower *f, int64_t now_ns) {
    struct tell *t = f->tell;
    do {
        if (grpc_call_queued(f->call) > QUEUED_BYTES) {
            wait_for(f, now_ns);
            net_timer_again(t->catch_up, CATCH_UP_MS * NS_PER_MS);
            return;
        }
        f->blocked_ns = 0;
        if (send_one(f, now_ns, false) < 0) { // tried again with the next heartbeat
            log_warn("decisions not sent", LOG_STR("follower", f->name));
            return;
        }
    } while (f->change < t->change);
}

static void on_catch_up(void *ctx) {
    struct tell *t = ctx;
    int64_t now_ns = clock_mono_ns();
    for (struct follower *f = t->followers, *next; f != NULL; f = next) {
        next = f->next;
        if (f->change < t->change)
            bring_up(f, now_ns);
    }
}

static void on_beat(void *ctx) {
    struct tell *t = ctx;
    int64_t now_ns = clock_mono_ns();
    for (struct follower *f = t->followers, *next; f != NULL; f = next) {
        next = f->next;
        if (f->change < t->change || now_ns - f->sent_ns >= TELL_INTERVAL_MS * NS_PER_MS / 2)
            bring_up(f, now_ns);
    }
}

void tell_flush(struct tell *t, int64_t decided_ns) {
    if (decided_ns > t->decided_ns)
        t->decided_ns = decided_ns;
    on_catch_up(t);
}

static void handle_follow(struct grpc_call *call, const ProtobufCMessage *message, void *ctx) {
    struct tell *t = ctx;
    const Gpuscale__V1__FollowRequest *m = (const void *)message;
    if (!t->leads || t->stats.followers >= TELL_FOLLOWERS_MAX) {
        if (!t->leads)
            grpc_call_finish(call, GRPC_UNAVAILABLE, "this scaler does not lead");
        else
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "%d scalers follow already",
                             TELL_FOLLOWERS_MAX);
        return;
    }
    struct follower *f = mem_zalloc(sizeof(*f));
    if (f == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the scaler is out of memory");
        return;
    }
    char peer[128];
    struct str name = str_from(m->follower ? m->follower : "");
    if (name.n >= sizeof(f->name))
        name.n = sizeof(f->name) - 1;
    (void)str_copy(f->name, sizeof(f->name), name);
    f->tell = t;
    f->call = call;
    f->next = t->followers;
    f->prev = &t->followers;
    if (f->next)
        f->next->prev = &f->next;
    t->followers = f;
    t->stats.followers++;
    grpc_call_on_end(call, follower_ended, f);
    net_addr_format(grpc_call_peer(call), peer, sizeof(peer));
    log_info("follower", LOG_STR("follower", f->name), LOG_STR("peer", peer),
             LOG_STR("certificate", grpc_call_peer_name(call)));
    bring_up(f, clock_mono_ns());
}

static void handle_enroll(struct grpc_call *call, const ProtobufCMessage *message, void *ctx) {
    struct tell *t = ctx;
    const Gpuscale__V1__EnrollRequest *m = (const void *)message;
    Gpuscale__V1__EnrollResponse answer = GPUSCALE__V1__ENROLL_RESPONSE__INIT;
    if (!t->leads) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "this scaler does not lead");
        return;
    }
    answer.has_refused = 1;
    for (size_t i = 0; i < m->n_objects; i++) {
        struct object_pair pairs[LIMIT_METADATA_KEYS];
        struct object_ref r;
        if (decision_read_reference(&r, pairs, m->objects[i], NULL) < 0 || r.rule ||
            !t->options.registered(t->options.ctx, &r))
            answer.refused++;
    }
    t->stats.registered += m->n_objects - answer.refused;
    t->stats.refused += answer.refused;
    grpc_call_reply(call, &answer.base);
}

int tell_new(struct tell **ret, const struct tell_options *options, struct err *e) {
    static const struct grpc_method methods[] = {
        {.name = "Follow",
         .request = &gpuscale__v1__follow_request__descriptor,
         .streams = true,
         .handle = handle_follow},
        {.name = "Enroll",
         .request = &gpuscale__v1__enroll_request__descriptor,
         .handle = handle_enroll},
    };
    struct tell *t = mem_zalloc(sizeof(*t));
    if (t == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->options = *options;
    t->service = (struct grpc_service){.name = "gpuscale.v1.Decisions",
                                       .methods = methods,
                                       .n_methods = COUNT_OF(methods),
                                       .ctx = t,
                                       .descriptor_set = decisions_desc,
                                       .descriptor_set_len = sizeof(decisions_desc)};
    TAILQ_INIT(&t->order);
    vec_init(&t->removed, REMOVED_MAX);
    buf_init(&t->message, MESSAGE_BYTES);
    int rc = net_timer_start(&t->beat, options->loop, TELL_INTERVAL_MS * NS_PER_MS,
                             TELL_INTERVAL_MS * NS_PER_MS, on_beat, t, e);
    if (rc == 0) // armed when somebody is behind
        rc = net_timer_start(&t->catch_up, options->loop, INT64_MAX / 4, 0, on_catch_up, t, e);
    *ret = t;
    if (rc < 0) {
        tell_stop(t);
        *ret = tell_free(t);
    }
    return rc;
}

void tell_stop(struct tell *t) {
    net_timer_stop(&t->beat);
    net_timer_stop(&t->catch_up);
}

static void item_free(struct tell *t, struct item *i) {
    TAILQ_REMOVE(&t->order, i, order);
    HASH_DEL(t->items, i);
    mem_free(i->packed);
    mem_free(i);
    t->stats.objects--;
}

static void forget_all(struct tell *t) {
    struct item *i, *next;
    HASH_ITER(hh, t->items, i, next)
    item_free(t, i);
    vec_clear(&t->removed);
}

struct tell *tell_free(struct tell *t) {
    if (t != NULL) {
        while (t->followers != NULL)
            follower_drop(t->followers);
        forget_all(t);
        vec_done(&t->removed);
        buf_done(&t->message);
        mem_free(t);
    }
    return NULL;
}

const struct grpc_service *tell_service(const struct tell *t) {
    return &t->service;
}

void tell_lead(struct tell *t, const char *leader, uint64_t term) {
    forget_all(t);
    t->leads = true;
    t->term = term;
    (void)str_copy(t->leader, sizeof(t->leader), str_from(leader));
}

void tell_yield(struct tell *t, const char *why, bool resigned) {
    t->leads = false;
    while (t->followers != NULL) {
        struct follower *f = t->followers;
        struct grpc_call *call = f->call;
        int64_t now_ns = clock_mono_ns();
        int rc = 0;
        while (resigned && rc == 0 && f->change < t->change)
            rc = send_one(f, now_ns, false);
        if (resigned && rc == 0) // what does not fit any more is as a crash would leave it
            (void)send_one(f, now_ns, true);
        follower_drop(f);
        grpc_call_finish(call, GRPC_UNAVAILABLE, "%s", why);
    }
    forget_all(t);
}

// Beyond what is remembered everything is told again.
static void remember_removed(struct tell *t, uint64_t id) {
    struct removed r = {id, ++t->change};
    if (vec_push(&t->removed, r) == 0)
        return;
    vec_clear(&t->removed);
    for (struct follower *f = t->followers; f != NULL; f = f->next) {
        f->begun = false;
        f->change = 0;
    }
}

void tell_decision(struct tell *t, uint64_t id, char *packed, size_t n) {
    struct item *i;
    HASH_FIND(hh, t->items, &id, sizeof(id), i);
    if (n == 0) {
        mem_free(packed);
        if (i == NULL)
            return;
        item_free(t, i);
        remember_removed(t, id);
        return;
    }
    if (i == NULL) {
        i = mem_zalloc(sizeof(*i));
        if (i == NULL) {
            mem_free(packed);
            return; // told again when it changes, and in a while
        }
        i->id = id;
        HASH_ADD(hh, t->items, id, sizeof(i->id), i);
        if (map_oom()) {
            mem_free(i);
            mem_free(packed);
            return;
        }
        t->stats.objects++;
    } else {
        TAILQ_REMOVE(&t->order, i, order);
        mem_free(i->packed);
    }
    i->packed = packed;
    i->n = n;
    i->change = ++t->change;
    TAILQ_INSERT_TAIL(&t->order, i, order);
}

struct tell_stats tell_stats(const struct tell *t) {
    return t->stats;
}
