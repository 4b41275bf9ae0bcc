// SPDX-License-Identifier: Apache-2.0
/*
 * Whose GPU is it: the readings of all nodes, found by the pod that holds the GPU. One join serves
 * all workloads of a scaler; one thread owns it.
 *
 * What is not known stays unknown. A GPU whose holder the agent cannot tell (owners_known false),
 * that is lost, or that several pods share keeps its place with its pods but shows no value:
 * whole-GPU activity says nothing about one of several pods on it. A node whose stream ends is not
 * forgotten: its readings age, and every reader has a limit of age.
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

int signal_join_new(struct signal_join **ret);
struct signal_join *signal_join_free(struct signal_join *j); // after all its workloads

struct signal_join_owner_name {
    struct str namespace_, pod;
};

// One GPU or MIG instance of a node as its agent says it now.
struct signal_join_gpu {
    struct str node; // the agent's identity
    uint32_t id;     // within node and boot_id
    struct str uuid;
    bool lost;         // enumerated, does not answer
    bool owners_known; // false: the owners before are kept, the values unknown to them
    const struct signal_join_owner_name *owners; // containers of one pod may repeat it
    size_t owner_count;
    const struct gpu_reading *reading; // NULL: none yet
    int64_t at_ns; // when it was read: arrival minus the age that the agent told
};

// 0; ERR_NOMEM; ERR_LIMIT (LIMIT_GPU_ENTITIES_PER_NODE, LIMIT_OWNERS_PER_GPU, LIMIT_NODES): then
// the GPU is unchanged. A reading not newer than the last is ignored, its owners are not.
int signal_join_update(struct signal_join *j, const struct signal_join_gpu *gpu);
// Only the age of an unchanged reading (the stream's heartbeat): it was still so at at_ns.
void signal_join_touch(struct signal_join *j, struct str node, uint32_t id, int64_t at_ns);
void signal_join_remove(struct signal_join *j, struct str node, uint32_t id); // the GPU is gone
// A full message follows: GPUs of the node that are not updated before signal_join_full_end are
// removed.
void signal_join_full_begin(struct signal_join *j, struct str node);
void signal_join_full_end(struct signal_join *j, struct str node);
// The node is no longer ours to read (out of the list, a new boot_id).
void signal_join_remove_node(struct signal_join *j, struct str node);

// The pod's GPUs. The handle is counted: one release for each get.
struct signal_join_pod;
int signal_join_pod_get(struct signal_join *j, struct str namespace_, struct str pod,
                        struct signal_join_pod **ret);
void signal_join_pod_release(struct signal_join *j, struct signal_join_pod *p); // NULL-safe

struct signal_join_level {
    uint32_t gpus;     // GPUs that the pod holds
    uint32_t known;    // of them with a fresh value of their own
    double sum;        // over the known
    int64_t oldest_ns; // oldest reading among the known
    uint32_t shared;   // of the unknown: shared with another pod
};
// A GPU signal over the pod's GPUs, readings not older than max_age_ns at now_ns.
void signal_join_pod_level(const struct signal_join_pod *p, enum signal s, int64_t now_ns,
                           int64_t max_age_ns, struct signal_join_level *ret);

// One GPU's value of a signal, from a reading: memory used / (used + free + reserved) in percent;
// utilization, where it is not measured (MIG), is the graphics engine's activity. False: unknown.
bool signal_of_reading(const struct gpu_reading *r, enum signal s, double *ret);
