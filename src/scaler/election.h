// SPDX-License-Identifier: Apache-2.0
/*
 * Who of several scalers leads: the state machine behind one Lease (coordination.k8s.io/v1), with
 * the rules and the times of client-go's tools/leaderelection. Pure: time is an argument, the
 * caller carries requests and answers (replicas.c).
 *
 *     while (election_next(&e, now, real, &write) != ELECTION_WAIT) ...ask the API server...
 *     election_read(), election_wrote() or election_failed(): what came of it
 *     election_leads(&e, now): may a decision be made now?
 *
 * No clocks of two machines are compared: somebody else's Lease has expired when the record has
 * been seen unchanged for its duration on our own monotonic clock. A leader counts its time from
 * the moment at which it sent the renewal, and stops by itself rules.deadline_ns later, which is
 * shorter than the Lease: so two never lead at a time, as long as their clocks do not run at rates
 * that differ by half (15 s against 10 s).
 *
 * One step beyond client-go: who has seen a valid Lease that is then deleted waits until it would
 * have expired before making a new one, because its holder may not know yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

enum { ELECTION_NAME_MAX = 320, ELECTION_ADDRESS_MAX = 280, ELECTION_VERSION_MAX = 64 };

// client-go's defaults are 15 s, 10 s and 2 s.
struct election_rules {
    int64_t lease_ns;    // whoever sees no renewal for so long may take it
    int64_t deadline_ns; // a leader that could not renew for so long has stopped; < lease_ns
    int64_t retry_ns;    // between two tries; who does not lead adds up to 1.2 of it
};
extern const struct election_rules election_rules_default;

// What the Lease says.
struct election_record {
    char holder[ELECTION_NAME_MAX];     // "": given up
    char address[ELECTION_ADDRESS_MAX]; // at which the holder's decisions are had
    char version[ELECTION_VERSION_MAX]; // resourceVersion; of a write: "" creates it
    int64_t duration_s;                 // 0: not told
    int64_t acquired_ns, renewed_ns;    // wall clock, for people
    int64_t transitions;                // grows with each change of holder: a leader's term
};

enum election_act { ELECTION_WAIT, ELECTION_READ, ELECTION_WRITE };

struct election {
    struct election_rules rules;
    char identity[ELECTION_NAME_MAX], address[ELECTION_ADDRESS_MAX];
    struct random random;
    enum election_act running;     // the request that has no answer yet
    struct election_record record; // as last read or written
    bool exists;                   // there is one (record is good)
    bool fresh;                    // record.version may be written over
    int64_t observed_ns;           // when the record was first seen as it is; INT64_MIN: never
    int64_t sent_ns;               // of the running or last write
    int64_t led_until_ns;          // leads before it; INT64_MIN: does not
    int64_t due_ns;                // of the next act
    bool stands;                   // else it reads and does not take: the caller cannot decide yet
    bool hurried, resigning, over;
    uint64_t takes, losses;
};

// `identity` is this run's alone: a restarted process must have another one. Cut to fit.
void election_init(struct election *e, const struct election_rules *rules, const char *identity,
                   const char *address, uint64_t seed, int64_t now_ns);
// What to do now. After READ or WRITE exactly one of the three answers must follow; until then WAIT
// is returned. `ret_write` is set for WRITE.
enum election_act election_next(struct election *e, int64_t now_ns, int64_t real_ns,
                                struct election_record *ret_write);
// When election_next() is to be called again; INT64_MAX: after an answer, or never.
int64_t election_due_ns(const struct election *e);
void election_read(struct election *e, int64_t now_ns,
                   const struct election_record *r); // NULL: none
void election_wrote(struct election *e, int64_t now_ns, const char *version);
// `conflict`: somebody else wrote (409), or what was read is gone (404): read again at once.
void election_failed(struct election *e, int64_t now_ns, bool conflict);

// Holds only for this very moment: to be asked before each decision.
bool election_leads(const struct election *e, int64_t now_ns);
// Something says that the Lease has been given up: read it at once.
void election_hurry(struct election *e, int64_t now_ns);
// Leads no more from now on, gives the Lease up if it is ours, and tries no more.
void election_resign(struct election *e, int64_t now_ns);
bool election_over(const struct election *e); // after election_resign(): all is written
