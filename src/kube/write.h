// SPDX-License-Identifier: Apache-2.0
/*
 * What is sent to the API server: Events, Leases, reviews of tokens and of rights, numbers of
 * replicas; and the reviews' answers. Pure: JSON into a buffer. Texts are escaped; 0, ERR_LIMIT or
 * ERR_NOMEM of the buffer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

// core/v1 Event: create on "events" of its namespace. One that happens again is patched
// (kube_event_again_json(), KUBE_MERGE_PATCH) under the same name.
struct kube_event {
    const char *namespace_, *name;                   // a name of its own: "llm.17a3f2c9"
    const char *api, *kind, *object, *uid, *version; // what it is about; uid, version "": not known
    bool warning;                                    // else Normal
    const char *reason;                              // "ReplicasRaised": one word
    const char *message;                             // cut to 1024 bytes, as the API server wants
    const char *component, *instance;                // who says it: "gpuscale-scaler", the pod
    int64_t at_ns;                                   // since 1970
};
int kube_event_json(struct buf *out, const struct kube_event *event);
// It has happened `count` times, the last time at `at_ns`.
int kube_event_again_json(struct buf *out, int64_t count, int64_t at_ns, const char *message);

// coordination.k8s.io/v1 Lease: create, or update with the `version` that was read, so that of two
// who take it one is refused (409).
struct kube_lease_write {
    const char *namespace_, *name, *version; // version "": create
    const char *holder;                      // "": given up
    const char *address;                     // kube/kinds.h: KUBE_LEASE_ADDRESS; NULL or "": none
    int64_t duration_s, acquired_ns, renewed_ns, transitions;
};
int kube_lease_json(struct buf *out, const struct kube_lease_write *lease);

// What an authenticator says besides: "authentication.kubernetes.io/pod-name" and such.
struct kube_extra {
    const char *key;
    const char *const *values;
    size_t n;
};

// authentication.k8s.io/v1 TokenReview: create on "tokenreviews". `audience` NULL: the API
// server's.
int kube_token_review_json(struct buf *out, struct str token, const char *audience);
struct kube_token_review {
    bool authenticated;
    const char *user, *uid; // ""
    const char **groups;
    size_t n_groups;
    struct kube_extra *extra;
    size_t n_extra;
    const char *error; // "": none
};
// Into the arena. An answer with another audience than was asked for is none. ERR_PARSE: not a
// TokenReview; ERR_LIMIT, ERR_NOMEM: the arena's.
int kube_token_review_read(struct kube_token_review *ret, struct arena *a, struct str body,
                           const char *audience, struct err *e);

// authorization.k8s.io/v1 SubjectAccessReview: create on "subjectaccessreviews". May the user do
// `verb` with the resource, or (resource NULL) at the path "/metrics"?
struct kube_access {
    const char *user, *uid;
    const char *const *groups;
    size_t n_groups;
    const struct kube_extra *extra;
    size_t n_extra;
    const char *verb;
    const char *group, *resource, *subresource, *namespace_, *name; // NULL or "": any, none
    const char *path;
};
int kube_access_review_json(struct buf *out, const struct kube_access *access);
// *ret_allowed is set on success only; a denial's reason is appended to `reason` (NULL: not asked).
int kube_access_review_read(bool *ret_allowed, struct buf *reason, struct str body, struct err *e);
