// SPDX-License-Identifier: Apache-2.0
/*
 * Whose GPU is it: the readings of all nodes' GPUs, found by the pod that holds the GPU. One join
 * serves all workloads of a scaler; one thread owns it. Who keeps the list of GPUs
 * (source/agents.h, by UUID) holds the handles.
 *
 * What is not known stays unknown. A GPU whose holder the agent cannot tell or that is lost keeps
 * its place with its pods but shows no value. When a node's stream ends its GPUs stay: their
 * readings age, and every reader has a limit of age.
 *
 * Of a GPU that several pods hold, the whole GPU's activity says nothing about one of them. A pod's
 * part is what its own processes use, where the agent tells that (signal_gpu_set_shares) and the
 * pod's UID is known (signal_join_pod_set_uid); else it is unknown. A part is an interval: lower is
 * what its processes are seen to use, upper adds what the GPU shows and no pod's process explains
 * (a process that ended between two samples, one of no pod that can be told). Lower parts never sum
 * up to more than the GPU shows: where the processes' samples do, they are scaled down to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "core/signal/reading.h"
#include "core/signal/signal.h"

struct signal_join;
struct signal_gpu; // a GPU or MIG instance

int signal_join_new(struct signal_join **ret);
struct signal_join *signal_join_free(struct signal_join *j); // after all its workloads and GPUs

// A GPU without owners and reading. 0 or ERR_NOMEM.
int signal_gpu_new(struct signal_join *j, struct signal_gpu **ret);
struct signal_gpu *signal_gpu_free(struct signal_join *j, struct signal_gpu *g); // it is gone

struct signal_owner {
    struct str namespace_, pod;
};

// Who holds it, in full. `known` false: nobody can tell now; the owners before keep it, and its
// values are unknown to them. Containers of one pod may repeat it. 0; ERR_NOMEM or ERR_LIMIT (n
// above LIMIT_OWNERS_PER_GPU, none is read): then, too, the owners before keep it without values.
int signal_gpu_set_owners(struct signal_join *j, struct signal_gpu *g, bool known,
                          const struct signal_owner *owners, size_t n);
// What it showed at at_ns (arrival minus the age that the agent told); the same values may be told
// again with a newer time. A reading older than the last is ignored. `lost`: it is enumerated but
// does not answer; the reading is its last and counts as unknown.
void signal_gpu_set_reading(struct signal_gpu *g, const struct gpu_reading *r, int64_t at_ns,
                            bool lost);

// What each pod's processes use of it, in full, as of the reading's time. `known` false: nobody can
// tell. Each UID comes once. ERR_NOMEM: unknown until told again.
int signal_gpu_set_shares(struct signal_gpu *g, bool known, const struct gpu_share *shares,
                          size_t n);

// The pod's GPUs. The handle is counted: one release for each get. 0 or ERR_NOMEM.
struct signal_pod_gpus;
int signal_join_pod_get(struct signal_join *j, struct str namespace_, struct str pod,
                        struct signal_pod_gpus **ret);
void signal_join_pod_release(struct signal_join *j, struct signal_pod_gpus *p); // NULL-safe
// The UID that the API gives the pod now; empty (or longer than POD_UID_MAX - 1): not known.
// NULL-safe.
void signal_join_pod_set_uid(struct signal_pod_gpus *p, struct str uid);

// Why a pod's part of a shared GPU is unknown; bits.
enum signal_part_gap {
    PART_NOT_TOLD = 1 << 0,  // nobody says what each pod's processes use, or not of all whose
    PART_NO_UID = 1 << 1,    // which of them are the pod's is not known
    PART_NOT_SPLIT = 1 << 2, // the driver does not give this value of a process
    PART_GAP_LAST = PART_NOT_SPLIT,
};
const char *signal_part_gap_name(uint32_t gap); // "notTold", for JSON

struct signal_level {
    uint32_t gpus;     // that the pod holds
    uint32_t known;    // of them with a fresh value of their own
    uint32_t parts;    // of the known: shared with another pod, the value is the pod's part
    uint32_t shared;   // of the unknown: shared with another pod
    uint32_t gaps;     // of the shared: why (enum signal_part_gap)
    double sum;        // over the known; of parts the lower ends
    double hidden;     // the parts' upper ends are so much above, together
    int64_t oldest_ns; // time of the oldest reading among the known; INT64_MIN: none
    int64_t newest_ns;
};
// A GPU signal over the pod's GPUs, readings not older than max_age_ns at now_ns. p may be NULL.
void signal_join_pod_level(const struct signal_pod_gpus *p, enum signal s, int64_t now_ns,
                           int64_t max_age_ns, struct signal_level *ret);

struct signal_part {
    double lower, upper;
};
// The pod's part of a signal of a GPU that several hold, whatever its age. 0, or why it is unknown
// (enum signal_part_gap); -1: the GPU's own value is unknown.
int signal_join_part(const struct signal_gpu *g, const struct signal_pod_gpus *p, enum signal s,
                     struct signal_part *ret);
bool signal_gpu_is_shared(const struct signal_gpu *g); // several pods are known to hold it
// The pod, where a GPU or a workload refers to it, not counted; else NULL.
const struct signal_pod_gpus *signal_join_pod_find(const struct signal_join *j,
                                                   struct str namespace_, struct str pod);

// One GPU's value of a signal, in the signal's unit. Memory is used / (used + free + reserved);
// utilization, where it is not measured (MIG), is the graphics engine's activity. False: unknown.
bool signal_of_reading(const struct gpu_reading *r, enum signal s, double *ret);
