// SPDX-License-Identifier: Apache-2.0
/*
 * Targets that are none of apps/v1's (LeaderWorkerSet, Argo Rollouts): what resource a kind is,
 * from the API's own list, and its scale, asked again each few seconds, because a subresource
 * cannot be watched. The last answer stands while the server is away. io thread.
 */
#pragma once

#include "kube/client.h"
#include "kube/kinds.h"

struct cluster_scales;

// `changed`: something that get() tells is another now.
int cluster_scales_new(struct cluster_scales **ret, struct kube_client *kube,
                       void (*changed)(void *ctx), void *ctx, struct err *e);
struct cluster_scales *cluster_scales_free(struct cluster_scales *s); // before its client
// The scale of the ScaledObject's target; asked for from now on, for as long as get() names it
// between two sweeps. ERR_UNAVAILABLE: not known yet; else why it cannot be known.
int cluster_scales_get(struct cluster_scales *s, const struct kube_scaled_object *so,
                       const struct kube_scale **ret, struct err *e);
// For so long its scale, read before, could not be read (refused, the server away): the last one
// stands. 0: it can.
int64_t cluster_scales_stale_ns(const struct cluster_scales *s, const struct kube_scaled_object *so,
                                int64_t now_ns);
// A line for each such target of which the server says something, a few at most and how many more:
// a server that is away is the caches' to tell.
void cluster_scales_troubles(const struct cluster_scales *s, int64_t now_ns, struct buf *out);
void cluster_scales_sweep(struct cluster_scales *s); // forgets what was not named since the last
