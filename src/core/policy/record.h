// SPDX-License-Identifier: Apache-2.0
/*
 * One decision, with all that it was made of: plain storage without pointers, copyable
 * (record_size bytes hold it whole), and the ways to tell it: a sentence and JSON.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/policy/expr.h"
#include "core/policy/trigger.h"
#include "core/signal/signal.h"

enum decision_state {
    DECISION_OK,          // desired and publish hold
    DECISION_UNAVAILABLE, // GetMetrics fails with the sentence; IsActive still answers `active`,
                          // unless spec is unknown (-1): then it fails too
};

enum decision_reason {
    REASON_FIRST,         // nothing decided before: spec.replicas
    REASON_RAISE,         // a signal proves that more are needed than there are
    REASON_SIZE,          // the capacity signals' own number, no window in the way
    REASON_WINDOW,        // a lower number is wanted; the down-window holds a higher one
    REASON_GUARD,         // lowering withheld: a guard is breached
    REASON_GUARD_UNKNOWN, // lowering withheld: it is not known whether a guard is breached
    REASON_UNKNOWN,       // not enough is known to say another number: the last decision stands
    REASON_NO_POD_READY,  // pods start, nothing to measure yet: the last decision stands
    REASON_BURST,         // burstMemory
    REASON_ZERO,          // at zero, and no demand is known, or known to be none
    REASON_ACTIVE,        // no replica is needed by size, but the service is active: one
};
const char *decision_reason_name(enum decision_reason r);

enum active_reason {
    ACTIVE_DEMAND,         // at zero: demand above activation
    ACTIVE_STARTING,       // a pod has been starting for less than twice the cold start
    ACTIVE_BUSY,           // queue, running, arrivals or demand above activation
    ACTIVE_UNKNOWN,        // not known to be idle
    INACTIVE_IDLE,         // all known and not above activation
    INACTIVE_ZERO_IDLE,    // at zero: demand known, not above activation
    INACTIVE_ZERO_UNKNOWN, // at zero: demand unknown, or no demand source
};
const char *active_reason_name(enum active_reason r);

// Things a person should be told; each is said in the sentence and counted by the scaler.
enum record_notice {
    NOTICE_GUARD_GATED = 1 << 0, // a guard breached for 2 minutes while `when` is false
    NOTICE_SATURATING =
        1 << 1,              // a saturating signal above its target for 2 minutes: it does not size
    NOTICE_HOT_POD = 1 << 2, // one pod above a guard's target, the workload not: routing
    NOTICE_TOLERANCE = 1 << 3,     // the HPA's default tolerance would swallow this raise
    NOTICE_ZERO_UNKNOWN = 1 << 4,  // at zero and demand unknown: nothing can wake it
    NOTICE_SHARED_GPU = 1 << 5,    // GPU signals unknown: pods share GPUs, their parts are unknown
    NOTICE_ASLEEP = 1 << 6,        // engines of ready pods sleep: replicas that serve nothing
    NOTICE_UNSCHEDULABLE = 1 << 7, // pods that have found no place for 2 minutes
    NOTICE_RIVAL = 1 << 8,         // another ScaledObject scales the same workload
    NOTICE_SECOND_HPA = 1 << 9,    // an HPA that is not KEDA's scales it
    NOTICE_PAUSED = 1 << 10,       // KEDA's annotation: nothing follows from the decision
    NOTICE_UNSEEN = 1 << 11,       // pods and workloads are not followed: nothing is lowered
    NOTICE_UNASKED = 1 << 12,      // KEDA does not ask for it: nothing follows from the decision
};

enum { RECORD_POD_MAX = 64, RECORD_WORDS_MAX = 160 };

// What surrounds the workload in its cluster; zeroed where nothing is known or worth a word.
struct record_scene {
    bool paused;
    uint32_t unschedulable;                   // pods
    int64_t unschedulable_ns;                 // the first of them, for so long
    char unschedulable_why[RECORD_WORDS_MAX]; // the scheduler's words
    char rival[RECORD_POD_MAX];               // another ScaledObject on the same workload
    char hpa[RECORD_POD_MAX];                 // an HPA that is not KEDA's, and what it wants
    int32_t hpa_desired;
    int64_t unseen_ns;            // nothing is known of pods for so long; INT64_MAX: not of all
    int64_t unasked_ns;           // nobody has asked for so long, though KEDA ought to
    char address[RECORD_POD_MAX]; // and where it is told to ask
};

struct record_signal {
    uint8_t signal, role, sizing; // enum signal, trigger_role, trigger_sizing
    uint8_t breached;             // enum tri
    uint8_t query;                // enum external_state, of the trigger's queries
    bool gated, raise_only;
    // The total's interval, of rates and of gauges that size over the rate window; a replica's
    // share.
    double lower, upper, target;
    double need_lower, need_upper; // the same in replicas, as fractions; upper may be INFINITY
    double max;                    // the fullest pod
    uint32_t pods, known, never, shared;
    uint32_t parts;             // of the known: by their own processes' part of shared GPUs
    uint32_t gaps;              // why the shared are unknown (enum signal_part_gap)
    int64_t age_ns;             // of the oldest value used; -1: none
    int32_t want_up, want_down; // replicas by this signal alone; -1: none
};

enum capacity_source {
    CAPACITY_NONE,    // the rule does not size by work
    CAPACITY_GIVEN,   // a number in the metadata
    CAPACITY_UNKNOWN, // no lesson yet
    CAPACITY_GUESSED, // from the lightest lesson and a careful prior
    CAPACITY_LEARNED,
};
const char *capacity_source_name(enum capacity_source s);

enum trim_state {
    TRIM_UNKNOWN,    // no share within the SLO is known: rho is the cold start's own
    TRIM_SLOW_START, // the cold start is above 120 s or not known: likewise (misses could not be
                     // cured in time)
    TRIM_SHORT,      // it stands: less than half of what was decided is ready
    TRIM_ON,
};
const char *trim_state_name(enum trim_state s);

// How the capacity of a replica and rho came about (core/policy/capacity.h).
struct record_capacity {
    uint8_t source, trim; // enum capacity_source, trim_state
    bool slo_tight;       // `itl` is below what the engine's bare step allows: sized by 1.25 of it
    uint32_t lessons;     // ever
    double weight;        // of the lessons that count now
    double per_replica;   // tokens a second; 0: unknown
    double bare_step_s;   // a decode step of the idle engine, as the lessons say
    double work_per_request; // tokens; 0: unknown
    double done_per_s;       // tokens that the engines did over the last minute; -1: unknown
    double rho;
    double edge_s[2]; // bucket edges for ttft and itl; 0: unknown
    double misses;    // share in the trim's last step, both latencies added up; -1: none yet
};

struct record {
    uint64_t sequence; // of the decider, from 1
    int64_t now_ns, real_ns;
    enum decision_state state;
    enum decision_reason reason;
    enum active_reason activity;
    bool active;
    bool observe;         // told the present count; `desired` is what would have been
    enum tri when;        // TRI_TRUE where there is no `when`
    uint32_t notices;     // enum record_notice
    int32_t spec, status; // replicas; -1: unknown
    uint32_t ready, starting, terminating;
    uint32_t asleep; // of the ready
    int32_t want;    // this tick's number before the window; -1: none
    int32_t desired; // the decision
    double publish;  // what KEDA is told with target 1
    int32_t last;    // the decision before; -1: none
    int64_t down_window_ns;
    int64_t held_ns;              // REASON_WINDOW: for so long at most (from now_ns)
    int64_t unseen_ns;            // since the newest value of any capacity signal
    uint32_t missing;             // bit s: capacity signal s that is unknown (UNAVAILABLE, UNKNOWN)
    char hot_pod[RECORD_POD_MAX]; // NOTICE_HOT_POD: whose
    uint8_t hot_signal;
    char queries[LIMIT_TRIGGER_QUERIES][TRIGGER_SIGNAL_NAME_MAX]; // names of the trigger's
    struct record_capacity capacity;
    struct record_scene scene;
    uint32_t signal_n;
    struct record_signal signals[SIGNAL_MAX]; // those of the rule, in its order
};

static inline size_t record_size(const struct record *r) {
    return offsetof(struct record, signals) + r->signal_n * sizeof(r->signals[0]);
}
// "requestRate", "prometheus.tokens"
const char *record_signal_name(const struct record *r, enum signal s);
// Would a person call it a different decision? (desired, publish, state, reason, activity, notices;
// not the signals' values)
bool record_changed(const struct record *a, const struct record *b);

// One sentence or a few that a platform engineer can check at 3 a.m., without a newline:
//   "9 replicas: requestRate 18.2/s at 2/s each needs 10; queue 0 at 10 each is quiet; ..."
// For DECISION_UNAVAILABLE it is the RPC's error message. 0, ERR_LIMIT, ERR_NOMEM.
int record_sentence(struct buf *b, const struct record *r);
// What its notices say of the scene alone, a blank before each: " Pods ...". As record_sentence().
int record_scene_sentence(struct buf *b, const struct record *r);
// A JSON object with everything above and the sentence.
int record_json(struct buf *b, const struct record *r);
