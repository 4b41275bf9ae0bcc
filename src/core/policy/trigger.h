// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata of one KEDA trigger, bound and checked (DESIGN 6.3). Pure: the rpc thread binds it
 * to answer GetMetricSpec, the io thread to decide.
 *
 * KEDA does not trim values; we do (white space at both ends means nothing in any key), so a quoted
 * " 2.0 " in YAML works. A key that ends in FromEnv arrives with its value resolved:
 * `capacityFromEnv` binds `capacity`, unless that is given too, which is an error; one whose stem
 * is not ours (`passwordFromEnv`) is KEDA's business and ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "core/policy/expr.h"
#include "core/signal/signal.h"

struct trigger_kv {
    struct str key, value;
};

// What the policy must know of an engine preset; the caller makes the table from core/engine's
// rows.
struct trigger_preset {
    const char *name;
    bool continuous_batching;
    uint32_t linear;   // bit s: signal s grows with the load up to capacity (GPU and SM activity of
                       // an engine that does one request at a time), so it sizes; other GPU signals
                       // saturate
    uint32_t provides; // bit i: its page has engine_value i (core/signal/sample.h)
};

enum trigger_role {
    ROLE_CAPACITY,   // linear in the load: sizes, up and down
    ROLE_GUARD,      // raises, never lowers
    ROLE_SATURATING, // may confirm another signal in `when`, nothing else
};
const char *trigger_role_name(enum trigger_role r); // "capacity", "guard", "saturating"

// How a capacity signal's need becomes replicas.
enum trigger_sizing {
    SIZE_NONE,    // guards and saturating signals
    SIZE_STAFFED, // by `capacity`: square-root staffing
    SIZE_TARGET,  // by a target that a person named: tolerance and downMargin
};

struct trigger_signal {
    enum signal signal;
    enum trigger_role role;
    enum trigger_sizing sizing;
    bool raise_only; // a second measure of what another capacity signal sizes downward
    bool gated;      // named by `when`: raises only while it is true
    double target;   // a replica's share; 0: learned
};

enum trigger_target {
    TARGET_SCALED_OBJECT,
    TARGET_DEPLOYMENT,
    TARGET_STATEFULSET,
    TARGET_SELECTOR
};
enum trigger_mode { MODE_SCALE, MODE_OBSERVE };

enum { TRIGGER_NAME_MAX = 254, TRIGGER_SIGNAL_NAME_MAX = 44 };

// A query on a Prometheus server of the scaler's configuration: SIGNAL_PROMETHEUS + its place.
struct trigger_query {
    char name[TRIGGER_SIGNAL_NAME_MAX]; // as people know it: "prometheus.tokens"
    char *server, *query;
    char *enforced; // what the server is asked instead, where a label is enforced; NULL: `query`.
                    // Filled in by who knows the servers, freed with the trigger
};

struct trigger {
    enum trigger_target target;
    char *target_name; // NULL for TARGET_SCALED_OBJECT
    char engine[64];   // the preset's name
    bool continuous_batching;
    uint16_t metrics_port; // 0: the preset's
    char *metrics_path;    // NULL: the preset's
    char *demand;          // name of a demand source of the scaler's configuration, NULL
    double capacity;       // requests a second a replica, or work with `work`; 0: none given
    bool learns;           // the rule sizes by work with a learned capacity (its target is 0)
    struct trigger_query queries[LIMIT_TRIGGER_QUERIES]; // by name
    uint32_t query_n;
    struct trigger_signal rule[SIGNAL_MAX];
    uint32_t rule_n;
    struct expr when; // when.n == 0: each raises by itself
    char *when_text;  // as a person reads it: "queue and gpuUtilization", NULL
    double activation;
    double safety;
    int64_t rate_window_ns, down_window_ns, max_age_ns;
    int64_t cold_start_ns;   // 0: learned
    int64_t burst_memory_ns; // 0: off
    double tolerance, down_margin;
    int64_t ttft_ns, itl_ns; // the SLO: what the capacity is learned for and rho is trimmed by
    double slo_goal;
    enum trigger_mode mode;
};

// `presets[0..n)`: those that exist; the default is "custom", which must be among them.
// 0; ERR_INVALID with one sentence that names key, value, what is allowed and, for a mistyped name,
// the nearest; ERR_LIMIT (LIMIT_METADATA_KEYS, LIMIT_METADATA_VALUE_BYTES); ERR_NOMEM. *ret is set
// only on success.
int trigger_bind(struct trigger **ret, const struct trigger_kv *kv, size_t n,
                 const struct trigger_preset *presets, size_t preset_n, struct err *e);
struct trigger *trigger_free(struct trigger *t);

// Of a bound trigger that names a demand source which tells the values `demand` (bits of enum
// demand_value; its engine tells `engine`): without a counter of requests there, arrivals are sized
// by at the engines alone. ERR_INVALID: they tell none either, or nobody tells the queue.
int trigger_fit_demand(struct trigger *t, uint32_t demand, uint32_t engine, struct err *e);

const struct trigger_signal *trigger_rule_of(const struct trigger *t,
                                             enum signal s); // NULL: not in it
// "requestRate", "prometheus.tokens"
const char *trigger_signal_name(const struct trigger *t, enum signal s);
uint32_t
trigger_gpu_signals(const struct trigger *t); // bits of the rule's GPU signals: 0: needs no agent

// Appends a canonical form of the metadata: the same bytes for every order of the same pairs, keys
// of KEDA's own transport (scalerAddress, enableTLS, unsafeSsl) left out. Two triggers with equal
// forms are one decision. 0, ERR_LIMIT, ERR_NOMEM.
int trigger_canonical(struct buf *b, const struct trigger_kv *kv, size_t n);
