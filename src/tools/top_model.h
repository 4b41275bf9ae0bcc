// SPDX-License-Identifier: Apache-2.0
/*
 * What `gpuscale top` knows of one moment: GPUs and workloads, joined, priced and judged. Pure: the
 * time that passed comes with the calls. Unknown is NAN (numbers), -1 (counts) or NULL (names),
 * never 0.
 *
 * A GPU is *idle* only where it is known to do nothing: its last reading is fresh and what it says
 * of activity (utilization, SM activity) is below TOP_IDLE_PCT; or, where the reading says nothing
 * of activity (MIG, a shared one that an exporter tells), its workload's engines are all known to
 * run and queue nothing.
 *
 * A GPU that several pods hold costs each of them an equal part. A pod's part of a busy GPU is idle
 * where its own processes are known to do nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/vec.h"
#include "core/cost/price.h"

#define TOP_IDLE_PCT 0.5
#define TOP_STALE_S 15.0 // an older reading says nothing of the present

enum top_state {
    TOP_BUSY,
    TOP_IDLE,    // a pod holds it, or it is not known who does
    TOP_FREE,    // idle, and known to be held by no pod
    TOP_UNKNOWN, // nothing is known of its activity
    TOP_STALE,
    TOP_LOST, // the driver does not answer for it
    TOP_STATE_MAX,
};
const char *top_state_name(enum top_state s); // "busy", ...

struct top_owner {
    const char *namespace_, *pod;
    long workload;   // index; -1: of none that the scaler knows
    bool part_known; // of a GPU that several pods hold, what this one's processes use:
    double part_pct; // busy for at most so much of the time
};

struct top_gpu {
    const char *uuid, *node, *model, *mig; // mig "": a whole GPU
    long index;
    bool lost, owners_known;
    const struct top_owner *owners; // distinct pods, those that the reader may see
    size_t owners_n, pods;          // pods: all that hold it, at least owners_n
    double util_pct, sm_pct, memory_used_bytes, memory_total_bytes, power_w, age_s;
    enum top_state state;
    double idle_s; // seen doing nothing for so long, without a break
    double usd_per_hour;
};

struct top_total {
    double value; // NAN: unknown
    bool partial; // of some ready pods only: at least this
};

struct top_workload {
    const char *namespace_, *target;
    const char *reason; // of the decision; NULL: none yet
    const char *error;  // NULL: none
    long spec, ready, starting, desired;
    bool unavailable;
    struct top_total rate, queue, running;
    double kv_pct; // of the fullest pod
    unsigned gpus, idle_gpus;
    double usd_per_hour, idle_usd_per_hour; // NAN where a GPU has no price
    const char *const *pods;
    size_t pods_n;
};

struct top_snapshot {
    struct arena arena; // owns all names
    struct VEC(struct top_gpu) gpus;
    struct VEC(struct top_workload) workloads;
    bool holders_partial; // of some GPU it is not known who holds it
    size_t object_at;     // where the last trigger's workload was
};

void top_snapshot_init(struct top_snapshot *s);
void top_snapshot_done(struct top_snapshot *s);

// After everything was added: orders GPUs by UUID (one told twice counts once), joins them to
// workloads, judges and prices them. `before` (NULL: none) is the snapshot of `passed_s` ago, from
// which idle times go on. 0 or ERR_NOMEM.
int top_snapshot_finish(struct top_snapshot *s, const struct top_snapshot *before, double passed_s,
                        const struct price_list *prices);

struct top_sum {
    size_t gpus, held, holder_unknown, idle, free, busy, dark; // dark: unknown, stale or lost
    double usd_per_hour, idle_usd_per_hour; // of those that have a price; idle: and of free ones
    size_t unpriced, idle_unpriced;
};
struct top_sum top_sum(const struct top_snapshot *s);

enum top_view_kind { TOP_GPUS, TOP_WORKLOADS };

// Keys of the orders that rows can have. Unknown values come last, whichever the direction.
enum top_sort {
    TOP_BY_NODE, // node and index; namespace and name
    TOP_BY_STATE,
    TOP_BY_POD,    // workloads: by replicas
    TOP_BY_UTIL,   // workloads: by requests a second
    TOP_BY_MEMORY, // workloads: by queue
    TOP_BY_IDLE,   // workloads: by idle cost
    TOP_BY_PRICE,
    TOP_SORT_MAX,
};
const char *top_sort_name(enum top_view_kind v, enum top_sort s);
int top_sort_by_name(const char *name); // of either view; -1: none

struct top_choice {
    enum top_view_kind view;
    enum top_sort sort;
    bool reverse;
    const char *filter; // a part of namespace, pod, node, model (workloads: name, reason); "": all
};
// Indices of the rows to show, in order, into `ret` (room for all of the view's); how many.
size_t top_choose(const struct top_snapshot *s, const struct top_choice *c, uint32_t *ret);
