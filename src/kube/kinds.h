// SPDX-License-Identifier: Apache-2.0
/*
 * The kinds that are followed, and what is kept of each. A struct begins with its kube_object:
 * `const struct kube_pod *p = (const struct kube_pod *)o`. Texts are "" where they are absent,
 * numbers -1 where 0 would mean something.
 */
#pragma once

#include "kube/object.h"

// core/v1 Pod
struct kube_pod {
    struct kube_object o; // o.deletion_ns: it is terminating
    const char *phase;    // "Pending", "Running", "Succeeded", "Failed", "Unknown"
    const char *reason;   // of the phase: "Evicted"
    const char *ip, *node;
    bool ready;         // condition Ready is True
    int64_t ready_ns;   // since when it is what it is; 0: not told
    int64_t started_ns; // the kubelet has seen it; 0: not yet
    // Condition PodScheduled False with reason Unschedulable: since when (0: it is not), and why.
    int64_t unschedulable_ns;
    const char *unschedulable; // cut to 256 bytes
    // Requested of nvidia.com/gpu, nvidia.com/gpu.shared and nvidia.com/mig-*, as the scheduler
    // counts: the containers and sidecars together, or the largest init container.
    int64_t gpus;
    struct kube_container {
        const char *name;
        bool ready;
        int64_t restarts;
        int64_t started_ns;  // it runs since; 0: it does not run
        const char *waiting; // why it waits: "ImagePullBackOff"
    } * containers;          // those of status.containerStatuses
    size_t n_containers;
    // The ResourceClaims (DRA) that were made or named for it.
    const char **claims;
    size_t n_claims;
};
extern const struct kube_kind kube_pods;

// core/v1 Node
struct kube_node {
    struct kube_object o;
    const char *ip; // InternalIP
    bool ready, unschedulable;
    int64_t gpus; // allocatable, counted as a pod's
};
extern const struct kube_kind kube_nodes;

// discovery.k8s.io/v1 EndpointSlice
struct kube_endpoint_slice {
    struct kube_object o;
    const char *service; // label kubernetes.io/service-name
    struct kube_port {
        const char *name;
        int64_t port; // -1: all
    } * ports;
    size_t n_ports;
    struct kube_endpoint {
        const char *address; // the first one
        const char *pod;     // targetRef of kind Pod
        const char *node;
        bool ready; // not told: true, as the API says
        bool terminating;
    } * endpoints;
    size_t n_endpoints;
};
extern const struct kube_kind kube_endpoint_slices;

// apps/v1 Deployment, StatefulSet, ReplicaSet; and any object with spec.replicas, for the metadata.
struct kube_workload {
    struct kube_object o;
    int32_t replicas;               // spec; not told: 1
    int32_t status_replicas, ready; // status; not told: 0
    bool current;                   // status speaks of this spec (observedGeneration)
    const char *selector;           // "app=llm,tier in (a,b)"
};
extern const struct kube_kind kube_deployments, kube_stateful_sets, kube_replica_sets;

// autoscaling/v1 Scale: the answer of a scale subresource, of whatever has one.
struct kube_scale {
    struct kube_object o;
    int32_t replicas, status_replicas; // not told: 0, as the API says
    const char *selector;              // "": the target tells none
};
extern const struct kube_kind kube_scales; // not followed: read with kube_object_read()

// keda.sh/v1alpha1 ScaledObject
struct kube_scaled_object {
    struct kube_object o;
    const char *target_api, *target_kind, *target_name; // "apps/v1", "Deployment": KEDA's defaults
    int32_t min_replicas, max_replicas;                 // not told: 0, 100
    int32_t idle_replicas;                              // -1: none
    int32_t polling_s;                                  // not told: 30
    bool paused;                                        // any of KEDA's annotations
    const char *hpa;                                    // status.hpaName
    const char *ready, *active, *fallback;              // conditions: "True", "False", "Unknown"
    struct kube_trigger {
        const char *type, *name, *metric_type;
        struct kube_label *metadata;
        size_t n_metadata;
        const char *auth_kind, *auth_name;
    } * triggers;
    size_t n_triggers;
};
extern const struct kube_kind kube_scaled_objects;

// autoscaling/v2 HorizontalPodAutoscaler
struct kube_hpa {
    struct kube_object o;
    const char *target_api, *target_kind, *target_name;
    int32_t min_replicas, max_replicas;  // not told: 1, 0
    int32_t current, desired;            // status
    const char *able, *active, *limited; // conditions AbleToScale, ScalingActive, ScalingLimited
};
extern const struct kube_kind kube_hpas;

// coordination.k8s.io/v1 Lease
struct kube_lease {
    struct kube_object o;
    const char *holder;
    int64_t duration_s;              // 0: none
    int64_t acquired_ns, renewed_ns; // since 1970; 0: never
    int64_t transitions;
    const char *address; // annotation KUBE_LEASE_ADDRESS; "": none
};
// Where the holder is reached: in the same object, so that both change at once.
#define KUBE_LEASE_ADDRESS "gpuscale/address"
extern const struct kube_kind kube_leases;

// core/v1 ConfigMap extension-apiserver-authentication in kube-system: how the API server's front
// proxy is known, and in which headers it says who asks. The API server writes lists as JSON.
struct kube_front_proxy {
    struct kube_object o;
    const char *ca; // PEM: who signs its certificate; "": not told, or what is told makes no sense
    struct kube_texts {
        const char **items;
        size_t n;
    } allowed_names, // common names; none: any
        user_headers, uid_headers, group_headers, extra_prefixes;
};
extern const struct kube_kind kube_front_proxies; // of any ConfigMap

// resource.k8s.io/v1 ResourceSlice: which devices a driver has on a node.
struct kube_resource_slice {
    struct kube_object o;
    const char *driver, *node, *pool;
    int64_t pool_generation, pool_slices; // slices that the pool has in all
    struct kube_device {
        const char *name, *uuid; // attribute "uuid" (or "DOMAIN/uuid")
    } * devices;
    size_t n_devices;
};
extern const struct kube_kind kube_resource_slices;
