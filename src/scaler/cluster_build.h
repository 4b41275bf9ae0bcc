// SPDX-License-Identifier: Apache-2.0
/*
 * A version of the workloads (workloads.h) from the cluster's caches: which workload each external
 * trigger of a ScaledObject means, its replicas, and its pods. Pure but for its memory.
 *
 * Pods of Deployments, StatefulSets and ReplicaSets are those that they own (pod -> ReplicaSet ->
 * Deployment, by uid); pods of other targets, and of `selector:LABELS`, those with the labels.
 * Completed and failed (evicted) pods are none; one that is Ready without an IP starts; one with a
 * deletionTimestamp is terminating. Only what lies in the ScaledObject's namespace is looked at.
 */
#pragma once

#include "kube/kinds.h"
#include "kube/reflector.h"
#include "scaler/config.h"
#include "scaler/workloads.h"

struct cluster_view {
    const struct kube_reflector *scaled_objects, *pods, *deployments, *stateful_sets, *replica_sets;
    const struct kube_reflector *hpas; // may be empty
    // The scale of a target that is none of apps/v1's. ERR_UNAVAILABLE: asked for, not known yet;
    // or why it cannot be known.
    int (*scale)(void *ctx, const struct kube_scaled_object *so, const struct kube_scale **ret,
                 struct err *e);
    void *ctx;
    // Whose scalerAddress is ours, ends with NULL; NULL: any.
    const char *const *addresses;
    // Does KEDA ask here for such a trigger? Then it is ours whatever its address. NULL: no.
    bool (*asked)(void *ctx, const struct kube_scaled_object *so, const struct kube_trigger *t);
    const struct config_rule *rules; // of the configuration: their targets count, too
    size_t n_rules;
};

int cluster_build(struct workloads **ret, const struct cluster_view *view, struct err *e);

// Is it a pod of a workload of this version?
bool cluster_pod_counts(const struct workloads *w, const struct cluster_view *view,
                        const struct kube_pod *pod);
// Is it (by "deployment", namespace, name) a target, or would be if it were there?
bool cluster_target_counts(const struct workloads *w, const char *kind, const char *namespace_,
                           const char *name);

// Is it a trigger for this scaler? By its type, and by its scalerAddress or KEDA's calls.
bool cluster_trigger_is_ours(const struct cluster_view *view, const struct kube_scaled_object *so,
                             const struct kube_trigger *t);
bool cluster_address_is_ours(const struct cluster_view *view, struct str scaler_address);
// Metadata's value, trimmed; p NULL: none.
struct str cluster_trigger_value(const struct kube_trigger *t, const char *key);
