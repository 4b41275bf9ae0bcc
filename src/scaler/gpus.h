// SPDX-License-Identifier: Apache-2.0
/*
 * Which source's word counts for a GPU that an agent and an exporter tell. A GPU is one by its
 * identity (a UUID; of a MIG instance its parent's UUID and its id), and one source at a time feeds
 * it into the join, reading and holders together:
 *
 *   the agent, which is fresher, while its reading is not older than GPUS_AGENT_FRESH_S,
 *   unless it cannot tell who holds the GPU and the exporter can;
 *   else the exporter.
 *
 * The side that does not count holds its GPU for nobody, so nothing is counted twice.
 */
#pragma once

#include "core/signal/join.h"
#include "source/agents.h"

enum { GPUS_AGENT_FRESH_S = 15 };

enum gpu_source { GPU_OF_AGENT, GPU_OF_EXPORTER, GPU_SOURCES };
extern const char *const gpu_source_names[GPU_SOURCES]; // "agent", "exporter"

struct gpu_identity;
struct gpu_side; // what a source keeps with its GPU (`user`)

struct gpus {
    struct signal_join *join;
    struct gpu_identity *by_key;
    size_t counted[GPU_SOURCES]; // GPUs that each source feeds now
    uint64_t changes;            // of the source of a GPU
};

// What a source tells of a GPU; *user is the source's, NULL at first. 0: taken, *ret_counts says
// whether it was this source's word that counts. ERR_NOMEM, ERR_LIMIT: its holders' values are
// unknown until the source tells again.
int gpus_told(struct gpus *gpus, enum gpu_source source, const struct agents_gpu *gpu,
              unsigned changed, int64_t now_ns, void **user, bool *ret_counts);
void gpus_removed(struct gpus *gpus, void *user); // NULL-safe
// What the pod's own processes use of a GPU (`user` of its source, whose word counts) that several
// pods hold: 0 or why it is unknown, as signal_join_part().
int gpus_part(const struct gpus *gpus, const void *user, struct str namespace_, struct str pod,
              enum signal s, struct signal_part *ret);
bool gpus_shared(const void *user); // several pods hold it
// A GPU has an owner for each container: the first of its pod's, and how many pods there are.
bool gpus_owner_is_first(const struct agents_gpu *gpu, size_t i);
size_t gpus_pods(const struct agents_gpu *gpu);
// Does this source's word count? False also for what was never taken (NULL).
bool gpus_counts(const void *user);
