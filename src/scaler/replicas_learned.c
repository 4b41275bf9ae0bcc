// SPDX-License-Identifier: Apache-2.0
/*
 * What is learned of each object across scalers. A follower measures nothing, so of what it hears
 * and what it may know of an earlier term of its own, the leader's word counts, whole: it is newer,
 * it holds the earlier term's lessons where that one was handed over, and a mixture of the two
 * would count lessons twice. It is kept as the bytes in which it came until it is needed. Unlike a
 * decision it does not grow old: lessons keep through a night without traffic, the rest has times.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/learned.h"
#include "scaler/replicas_internal.h"

int replicas_learned_pack(struct buf *out, const struct object *o, int64_t now_ns) {
    struct learned x = {0};
    if (o->feed != NULL && str_copy(x.measured, sizeof(x.measured), str_from(o->feed->key)) == 0)
        signal_learned_of(o->feed->signals, &x.signals);
    decider_learned_of(o->decider, now_ns, &x.decider);
    return learned_pack(out, &x);
}

static void forget(struct known_learned *l) {
    mem_free(l->packed);
    *l = (struct known_learned){0};
}

// The decision that it came with counts all the same.
static void refuse(struct replicas *r, const struct known *k, const struct err *why) {
    r->learned_refused++;
    log_warn("what the leader has learned is refused",
             LOG_VIEW("namespace", k->key->ref.namespace_), LOG_VIEW("name", k->key->ref.name),
             LOG_ERR(why));
}

void replicas_learned_hear(struct replicas *r, struct known *k, const struct decision *d) {
    struct learned x;
    struct err e = {0};
    forget(&k->learned);
    if (d->learned.n == 0)
        return;
    if (learned_unpack(&x, d->learned, d->ahead_ns, clock_mono_ns(), &e) < 0) {
        refuse(r, k, &e);
        return;
    }
    k->learned.packed = mem_alloc(d->learned.n);
    if (k->learned.packed == NULL)
        return; // begun anew should this scaler lead
    memcpy(k->learned.packed, d->learned.p, d->learned.n);
    k->learned.n = d->learned.n;
    k->learned.ahead_ns = d->ahead_ns;
}

static bool unpack(struct learned *ret, const struct known *k, int64_t now_ns) {
    struct err e = {0};
    return k != NULL && k->learned.packed != NULL &&
           learned_unpack(ret, (struct str){k->learned.packed, k->learned.n}, k->learned.ahead_ns,
                          now_ns, &e) == 0;
}

void replicas_learned_restore(struct object *o, const struct known *k, int64_t now_ns) {
    struct learned x;
    if (!unpack(&x, k, now_ns))
        decider_learned_none(&x.decider);
    decider_learned_take(o->decider, &x.decider, now_ns);
}

void io_replicas_teach(struct io *io, struct object *o, int64_t now_ns) {
    struct learned x;
    struct replicas *r = io->replicas;
    struct known *k = r != NULL && r->leads ? replicas_known(r, o) : NULL;
    if (k == NULL || k->learned.taught)
        return;
    k->learned.taught = true; // the next feed of this object begins anew, as a single scaler's
    // The workload may have become another one meanwhile, under the same trigger.
    if (unpack(&x, k, now_ns) && strcmp(x.measured, o->feed->key) == 0)
        (void)signal_learned_take(o->feed->signals, &x.signals);
}
