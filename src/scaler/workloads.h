// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of the workloads: one version is one immutable object, made from the cluster's
 * caches (cluster_build.h) or from the workloads file: which pods a workload has, which are ready,
 * and how many replicas are specified, where no Kubernetes API says so. Strictly bound.
 *
 *     workloads:
 *     - namespace: prod
 *       target: deployment/llm            # KIND/NAME, any kind with a scale
 *       scaledObjects: [llm]              # whose triggers mean this workload by default
 *       labels: {app: llm}                # what `selector:` matches
 *       replicas: 4                       # spec.replicas; left out: unknown
 *       pods:
 *       - {name: llm-0, state: ready, address: "10.0.0.7:8000", startedAt: 2026-11-23T12:00:00Z,
 *          uid: 3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f}
 */
#pragma once

#include "conf/conf.h"
#include "core/policy/trigger.h"
#include "core/signal/workload.h"

struct workload_pod {
    const char *name;
    enum pod_state state;
    const char *address, *started_at; // as written; NULL: not given
    const char *uid;                  // NULL: not known
    // Made from them:
    const char *ip;          // NULL: none
    uint16_t port;           // 0: none given
    int64_t started_real_ns; // since 1970; 0: not given
    int64_t ready_real_ns;   // when it first was ready, where that is known; 0: not
};

struct workload {
    const char *namespace_;
    const char *target; // "deployment/llm"
    CONF_LIST_OF(const char *) scaled_objects;
    CONF_MAP_OF(const char *) labels;
    int64_t replicas; // spec.replicas; -1: unknown
    CONF_LIST_OF(struct workload_pod) pods;
    // Made from them:
    const char *id; // "prod/deployment/llm"
    int status;     // status.replicas: pods that are not terminating; -1: no pods are given
    // Of a cluster alone:
    bool of_cluster;               // scaled_objects are those that scale it, with whatever triggers
    uint32_t unschedulable;        // pods
    int64_t unschedulable_real_ns; // since when the first of them is
    const char *unschedulable_why; // the scheduler's words
    const char *hpa;               // one that is not KEDA's; NULL: none
    int32_t hpa_desired;
    uint64_t digest; // equal: nothing that is decided by has changed
};

struct workloads {
    struct arena arena;
    CONF_LIST_OF(struct workload) list;
    struct workloads_index *index; // workloads_find.c
    struct cluster_index *cluster; // cluster_build.c; NULL: of a file
};

// Reads one version. ERR_IO, ERR_PARSE, ERR_INVALID, ERR_LIMIT with the file's name and the place.
int workloads_load(struct workloads **ret, const char *file, struct err *e);
// One without workloads, for the cluster's builder. ERR_NOMEM.
int workloads_new(struct workloads **ret, struct err *e);
// Enters what the trigger's `workload` means ("deployment/llm", "selector:app=llm"; "": the
// ScaledObject's own target): a workload, or (NULL) why there is none. Strings are borrowed.
// ERR_NOMEM.
int workloads_add_trigger(struct workloads *w, const char *namespace_, const char *scaled_object,
                          const char *means, const struct workload *workload,
                          const struct err *why);
int workloads_add_target(struct workloads *w, const struct workload *workload); // by its id
// Sets the digest from what the workload holds.
void workload_digest(struct workload *w);
struct workloads *workloads_free(struct workloads *w);

// The workload that a trigger means: `name` is a deployment's or statefulset's name or a selector
// ("app=llm,tier=gpu"), or, for TARGET_SCALED_OBJECT, unused: the workload that lists the
// ScaledObject. Only within the namespace. ERR_NOTFOUND or ERR_INVALID with a sentence that says
// what was looked for and what to add.
int workloads_find(const struct workloads *w, struct str namespace_, struct str scaled_object,
                   enum trigger_target target, const char *name, const struct workload **ret,
                   struct err *e);
