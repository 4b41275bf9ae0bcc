// SPDX-License-Identifier: Apache-2.0
/*
 * Whose GPU is it: the readings of all nodes' GPUs, found by the pod that holds the GPU. One join
 * serves all workloads of a scaler; one thread owns it. Who keeps the list of GPUs
 * (source/agents.h, by UUID) holds the handles.
 *
 * What is not known stays unknown. A GPU whose holder the agent cannot tell, that is lost, or that
 * several pods share keeps its place with its pods but shows no value: whole-GPU activity says
 * nothing about one of several pods on it. When a node's stream ends its GPUs stay: their readings
 * age, and every reader has a limit of age.
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

// The pod's GPUs. The handle is counted: one release for each get. 0 or ERR_NOMEM.
struct signal_pod_gpus;
int signal_join_pod_get(struct signal_join *j, struct str namespace_, struct str pod,
                        struct signal_pod_gpus **ret);
void signal_join_pod_release(struct signal_join *j, struct signal_pod_gpus *p); // NULL-safe

struct signal_level {
    uint32_t gpus;     // that the pod holds
    uint32_t known;    // of them with a fresh value of their own
    uint32_t shared;   // of the unknown: shared with another pod
    double sum;        // over the known
    int64_t oldest_ns; // time of the oldest reading among the known; INT64_MIN: none
    int64_t newest_ns;
};
// A GPU signal over the pod's GPUs, readings not older than max_age_ns at now_ns. p may be NULL.
void signal_join_pod_level(const struct signal_pod_gpus *p, enum signal s, int64_t now_ns,
                           int64_t max_age_ns, struct signal_level *ret);

// One GPU's value of a signal, in the signal's unit. Memory is used / (used + free + reserved);
// utilization, where it is not measured (MIG), is the graphics engine's activity. False: unknown.
bool signal_of_reading(const struct gpu_reading *r, enum signal s, double *ret);
