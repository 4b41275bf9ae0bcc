// SPDX-License-Identifier: Apache-2.0
/*
 * What can be scaled and runs containers: Deployment, StatefulSet, ReplicaSet, LeaderWorkerSet,
 * Argo Rollout, and any other kind with a pod template at spec.template. Values of the environment
 * that are secret references are not looked at; literal ones are borrowed and never printed by
 * readers of this struct (they may be secrets that somebody wrote in clear).
 */
#pragma once

#include "manifest/documents.h"
#include "manifest/reader.h"

struct manifest_pair {
    const char *name, *value; // value NULL: not a literal
};

struct manifest_probe {
    bool there;
    const char *path, *port; // of httpGet; NULL: another kind of probe
};

struct manifest_named_port {
    const char *name; // "" without
    int32_t port;
};

struct manifest_gpus {
    const char *resource; // "nvidia.com/gpu"
    int64_t count;
};

struct manifest_program {
    const char *name, *image; // "" without
    const char **words;       // command, then args
    size_t n_words;
    struct manifest_pair *env;
    size_t n_env;
    struct manifest_named_port *ports;
    size_t n_ports;
    struct manifest_gpus *gpus; // limits (or requests) of accelerators
    size_t n_gpus;
    size_t n_claims; // resources.claims: devices by DRA
    struct manifest_probe readiness;
    const struct conf_node *at;
};

struct manifest_scalable {
    const struct manifest_object *object;
    const char *api_version, *kind, *namespace_, *name; // namespace NULL: not told
    int32_t replicas;                                   // not told: 1
    bool replicas_told;
    const struct conf_node *selector; // a LabelSelector; NULL: none is told
    struct manifest_pair *labels;     // of the pods, as the template has them
    size_t n_labels;
    struct manifest_program *programs; // containers of one pod: the one that serves
    size_t n_programs;
    int32_t pods_per_replica; // of a LeaderWorkerSet: its size; else 1
    // GPUs of all pods of a replica, DRA claims not counted.
    int64_t gpus;
    const char *gpu_resource;   // of the first container with any; NULL: none
    bool gpu_claims;            // some container has a DRA claim
    const struct conf_node *at; // the object
};

// Has this object a pod template that a count of replicas multiplies? If not, `ret_why` says what
// to do instead (NULL: it is none of our business, as a Service).
bool manifest_is_scalable(const struct manifest_object *o, const char **ret_why);
// Errors go to r.
void manifest_scalable_read(struct manifest_reader *r, const struct manifest_object *o,
                            struct manifest_scalable *ret);
// "deployment/llm": how a person and the scaler's trigger metadata name it.
const char *manifest_scalable_short(const struct manifest_scalable *w, struct arena *a);
