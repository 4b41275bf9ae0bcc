// SPDX-License-Identifier: Apache-2.0
/*
 * What the demo's three policies make of what they read: the HPA (core/hpa) and, beside it, KEDA's
 * part (core/hpa/keda). Pure: readings come in, a wish and a sentence go out; time is an argument
 * and runs as Kubernetes' does, so that every constant here is Kubernetes' own (who makes the demo
 * faster gives a faster clock).
 *
 *     an HPA sync, every 15 s     driver_brain_sync()
 *     a KEDA poll, every 30 s     driver_brain_poll()
 *     StreamIsActive said true    driver_brain_push()
 */
#pragma once

#include "base/err.h"
#include "core/hpa/hpa.h"
#include "core/hpa/keda.h"
#include "playground/driver_series.h"
#include "playground/driver_usage.h"

enum driver_policy { DRIVER_CPU, DRIVER_CLASSIC, DRIVER_GPUSCALE };

enum {
    DRIVER_PODS_MAX = LIMIT_PLAYGROUND_PODS,
    DRIVER_ADDR_LEN = 64,
    DRIVER_SIGNALS_MAX = 4,
    DRIVER_REASON_LEN = 256,
    DRIVER_TRIGGERS_MAX = 2,
};

enum driver_pod_state {
    DRIVER_POD_STARTING, // Running (or Pending: no process yet), never ready
    DRIVER_POD_READY,
    DRIVER_POD_TERMINATING, // no part of any count
};

struct driver_pod {
    char name[DRIVER_NAME_LEN]; // unique over the run: a new pod has a new name
    enum driver_pod_state state;
    int pid;                    // of its engine process; 0: none
    char addr[DRIVER_ADDR_LEN]; // HOST:PORT of its engine's HTTP; "": not known yet
    uint64_t gpus;              // bit i: holds GPU i (the agent's label gpu="i")
    int64_t started_ns;
    int64_t ready_ns; // READY: since when
};

struct driver_signal {
    char name[DRIVER_NAME_LEN]; // "cpu", "s0-prometheus", "s1-prometheus", "s0-desired-replicas"
    bool known;                 // false: value means nothing
    double value, target;       // in the metric's own unit; CPU: percent of the request
    int64_t at_ns;              // when the value was taken
    int proposal;               // replicas that the HPA made of it last; -1: nothing
};

// What it sees and thinks now, for the page.
struct driver_view {
    const char *rule; // one line
    struct driver_signal signals[DRIVER_SIGNALS_MAX];
    size_t n_signals;
    bool active;                        // KEDA's; of CPU always true
    int desired;                        // of the last sync that decided; -1 before
    char limited_by[DRIVER_REASON_LEN]; // what kept the last sync's wish back, in Kubernetes'
                                        // words, or why it failed; "": nothing did
};

struct driver_brain_options {
    enum driver_policy policy;
    int32_t min_replicas, max_replicas;
    int64_t cpu_request_milli; // CPU: of each pod
    int64_t cooldown_ns;       // 0: KEDA's 300 s
};

struct driver_facts {
    int64_t now_ns;
    int32_t replicas; // spec.replicas
    const struct driver_pod *pods;
    size_t n_pods; // at most DRIVER_PODS_MAX
};

// What one trigger answered, for KEDA's two policies.
struct driver_trigger_reading {
    struct keda_sample sample;
    int64_t at_ns;
    const char *error; // a text for a sample that failed, or NULL
};

struct driver_wish {
    bool any; // set spec.replicas to
    int32_t replicas;
    const char *who;                // "HPA", "KEDA"
    char reason[DRIVER_REASON_LEN]; // a sentence without a full stop
};

struct driver_brain {
    struct driver_brain_options options;
    // KEDA's
    struct keda_trigger triggers[DRIVER_TRIGGERS_MAX];
    struct keda_object object;
    struct keda_state keda;
    // the HPA's
    bool exists; // its metrics are known
    struct hpa_controller controller;
    struct hpa_metric metrics[DRIVER_TRIGGERS_MAX];
    char metric_names[DRIVER_TRIGGERS_MAX][KEDA_METRIC_NAME_LEN];
    char scaler_metric[KEDA_METRIC_NAME_LEN];
    struct hpa_spec spec;
    struct hpa_state hpa;
    struct driver_view view;
};

// ERR_INVALID: an option is out of range, with its name.
int driver_brain_init(struct driver_brain *b, const struct driver_brain_options *options,
                      int64_t now_ns, struct err *e);
// GPUSCALE: the scaler's first metric spec; KEDA makes the HPA of it, and no sync decides before.
// Later ones change nothing (KEDA looks again when the ScaledObject changes).
int driver_brain_metric_spec(struct driver_brain *b, const char *name, double target,
                             struct err *e);
// CLASSIC: what KEDA's two prometheus triggers read of the store now.
void driver_brain_query(const struct driver_brain *b, const struct driver_series_store *series,
                        const struct driver_facts *f, struct driver_trigger_reading *ret);

// False: the next sync asks no metric (no HPA yet, no replicas, or their number is out of bounds).
bool driver_brain_sync_asks(const struct driver_brain *b, int32_t replicas);
// `usage`: of CPU, else NULL; `readings`: one a trigger where the sync asks, else NULL.
void driver_brain_sync(struct driver_brain *b, const struct driver_facts *f,
                       const struct driver_usage_store *usage,
                       const struct driver_trigger_reading *readings, struct driver_wish *ret);
// False: this poll takes what the HPA saw last (v2.21), readings are not looked at.
bool driver_brain_poll_asks(const struct driver_brain *b);
void driver_brain_poll(struct driver_brain *b, const struct driver_facts *f,
                       const struct driver_trigger_reading *readings, struct driver_wish *ret);
void driver_brain_push(struct driver_brain *b, const struct driver_facts *f,
                       struct driver_wish *ret);
// "CPU 70 %", "classic triggers", "gpuscale".
const char *driver_policy_label(enum driver_policy policy);
