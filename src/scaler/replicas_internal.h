// SPDX-License-Identifier: Apache-2.0
/* What the files of the replicas share: the part this scaler has, and what it knows of others'. */
#pragma once

#include "scaler/follow.h"
#include "scaler/lease.h"
#include "scaler/replicas.h"

// What another scaler last told of an object, or what we decided when we led last.
struct known {
    struct object_key *key;
    uint64_t leader_id;      // the leader's; 0: it does not tell of it
    struct published answer; // its message is ours
    struct decider_memory memory;
    struct known_learned {
        char *packed; // as learned.h; NULL: nothing. It was checked
        size_t n;
        int64_t ahead_ns; // our clock is ahead of the one it was packed by
        bool taught;      // its feed has it, or was another's
    } learned;
    int64_t told_ns, gone_ns; // gone: the leader tells no more of it since; 0: it does
    unsigned pass;            // over a full state, in which it was told
    struct object *object;    // NULL: nobody has asked us about it
    UT_hash_handle hh, hh_leader;
};

struct replicas {
    struct io *io;
    struct lease *lease;
    struct follow *follow;
    char identity[ELECTION_NAME_MAX];   // NAME_RUN
    char address[ELECTION_ADDRESS_MAX]; // where the others reach us
    bool leads, inherited;
    bool complete;      // all that the leader has decided is here
    bool syncing;       // a full state is coming
    unsigned pass;      // over full states
    int64_t led_ns;     // since when we lead; 0: never did
    int64_t decided_ns; // when the leader last decided, by our clock
    int64_t asked_ns;   // when the leader was last told of all our objects
    uint64_t term;      // of the leader that is heard, or ours
    uint64_t terms_begun, terms_ended;
    uint64_t learned_refused;    // that nobody can have learned
    struct known *known;         // by hash of their key
    struct known *by_leader;     // by leader_id
    struct net_timer *resigning; // the time that giving up may take; NULL: not begun
    bool resigned;
    bool role_untold; // the rpc thread does not know it yet: told again each tick
    char lost[sizeof(((struct err *)0)->msg)]; // why the leader was lost last, as it was told
    char unusable[ELECTION_ADDRESS_MAX];       // the leader's address that was told to be none
};

// replicas.c: to the rpc thread, which tells followers who leads, and whom it heard
void replicas_tell_role(struct replicas *r, bool resigned);

// replicas_known.c
struct known *replicas_known(const struct replicas *r, const struct object *o); // NULL: none
void replicas_hear(struct follow_options *o);                                   // its callbacks
void replicas_restore(struct replicas *r, int64_t now_ns); // deciders go on where the leader was
void replicas_remember(struct replicas *r);                // what we decided last
// The leader tells no more of objects that we are asked about: beyond the age of decisions that is
// said.
void replicas_tend_gone(struct replicas *r, int64_t now_ns);
void replicas_forget_all(struct replicas *r);

// replicas_learned.c
struct learned;
// Appends what is learned of the object. ERR_LIMIT, ERR_NOMEM.
int replicas_learned_pack(struct buf *out, const struct object *o, int64_t now_ns);
// Keeps what came with the leader's decision in place of what was kept, or nothing.
void replicas_learned_hear(struct replicas *r, struct known *k, const struct decision *d);
// The object's decider goes on with it; k NULL: as a new one.
void replicas_learned_restore(struct object *o, const struct known *k, int64_t now_ns);
