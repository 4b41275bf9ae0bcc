// SPDX-License-Identifier: Apache-2.0
/*
 * v1 Pods and metrics.k8s.io/v1beta1 PodMetrics, as far as an HPA looks at them: phase, readiness,
 * requests; what their containers use.
 */
#pragma once

#include "core/hpa/hpa.h"
#include "manifest/reader.h"

struct manifest_amount { // of one resource: "cpu", "memory", "nvidia.com/gpu"
    const char *resource;
    int64_t milli;
};

struct manifest_container {
    const char *name;
    bool init, sidecar; // of initContainers; one that restarts always
    struct manifest_amount *requests;
    size_t n_requests;
};

struct manifest_pod {
    const char *name, *namespace_;
    const char *owner_kind, *owner_name; // the controller among its owners; NULL: none
    const char *template_hash;           // label pod-template-hash; NULL: none
    struct hpa_pod state;
    struct manifest_container *containers; // the plain ones first
    size_t n_containers;
    struct manifest_amount *level, *overhead; // spec.resources.requests, spec.overhead
    size_t n_level, n_overhead;
};

// A Pod; missing parts are as the API server has them when they are not set. r->r says whether it
// went well.
void manifest_pod_read(struct manifest_reader *r, const struct conf_node *n,
                       struct manifest_pod *ret);

// What the pod requests of a resource, of one container or (NULL) of all, as the controller counts
// (calculateRequests): 0, or ERR_NOTFOUND with its own words in e ("missing request for cpu in
// container a of Pod b"). `pod_level`: spec.resources of the pod counts (Kubernetes 1.34 on).
int manifest_pod_request(const struct manifest_pod *p, const char *resource, const char *container,
                         bool pod_level, int64_t *ret_milli, struct err *e);

struct manifest_usage {
    const char *name; // of the container
    struct manifest_amount *used;
    size_t n_used;
};

struct manifest_pod_metrics {
    const char *name, *namespace_;
    int64_t at_ns; // HPA_TIME_ZERO: no timestamp
    int64_t window_ns;
    struct manifest_usage *containers;
    size_t n_containers;
};

void manifest_pod_metrics_read(struct manifest_reader *r, const struct conf_node *n,
                               struct manifest_pod_metrics *ret);
// What the metrics client makes of it: the sum over all containers (not known when one has no such
// resource, or there is none), or one container's.
bool manifest_pod_usage(const struct manifest_pod_metrics *m, const char *resource,
                        const char *container, int64_t *ret_milli);
