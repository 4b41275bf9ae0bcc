// SPDX-License-Identifier: Apache-2.0
/* What the files of the cluster share: the caches, and what is to be done about their changes. */
#pragma once

#include "kube/config.h"
#include "kube/informer.h"
#include "scaler/cluster.h"
#include "scaler/cluster_build.h"
#include "scaler/cluster_scale.h"
#include "scaler/io.h"

enum {
    CLUSTER_SOON_MS = 150, // changes are gathered for so long
    CLUSTER_SOON_MAX_MS = 2000,
    CLUSTER_HEARD = 64,
    CLUSTER_SHARE = 10, // a version is not made more often than takes 1/10 of a core
};

enum cluster_cache_kind {
    CLUSTER_SCALED_OBJECTS,
    CLUSTER_PODS,
    CLUSTER_DEPLOYMENTS,
    CLUSTER_STATEFUL_SETS,
    CLUSTER_REPLICA_SETS,
    CLUSTER_REQUIRED,                  // those above: without them nothing is decided
    CLUSTER_AGENTS = CLUSTER_REQUIRED, // EndpointSlices of their Service
    CLUSTER_HPAS,
    CLUSTER_RESOURCE_SLICES, // once they are needed
    CLUSTER_CACHES,
};

// One collection that is followed.
struct cluster_cache {
    struct io *io;
    const char *resource;           // "pods"
    struct kube_informer *informer; // NULL: not followed
    int64_t failing_since_ns;       // 0: it is well
    enum kube_fault fault;
    struct err why;
    uint64_t failures[KUBE_FAULT_MAX];
};

struct cluster {
    struct kube_config config; // outlives io->kube
    struct cluster_cache caches[CLUSTER_CACHES];
    struct cluster_scales *scales;
    struct cluster_view view;
    const char **addresses; // of the view
    struct net_timer *soon; // makes the next version
    bool armed;
    bool pods_stale, objects_stale, agents_stale;
    bool met;                      // KEDA asks for triggers that the last version does not have
    uint64_t heard[CLUSTER_HEARD]; // hashes of the scalerAddresses that led KEDA here
    size_t n_heard;
    int64_t first_ns, built_ns, build_took_ns; // versions: 0: none yet
    uint64_t versions;
    int64_t unbuilt_since_ns;          // since when none could be made; 0: the last was
    char *service, *service_namespace; // of the agents; NULL: none
    unsigned pass;                     // over the ScaledObjects' triggers
    uint64_t events_written, events_failed;
    enum kube_fault events_fault; // of the last that failed; said once
    double events_budget;
    int64_t events_turn_ns;
    size_t unbound; // external triggers whose metadata does not bind
};

const struct kube_reflector *cluster_cache_of(const struct cluster *c, enum cluster_cache_kind k);
// Something changed: a version is made soon.
void cluster_touch(struct io *io);

// cluster_objects.c: each external trigger of a ScaledObject that binds is a decider from the watch
// on; one that is edited or deleted goes at once. Marked before a version is taken (what comes in
// the place of an edited one begins with its decision), and removed after.
void cluster_objects_mark(struct io *io);
void cluster_objects_settle(struct io *io);
// Does KEDA ask here for such a trigger? Of the view; its ctx is the io thread.
bool cluster_objects_asked(void *ctx, const struct kube_scaled_object *so,
                           const struct kube_trigger *t);

// cluster_agents.c
