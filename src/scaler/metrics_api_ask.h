// SPDX-License-Identifier: Apache-2.0
/*
 * What a request to the metrics API says: which metric of which namespace, who asks, and in which
 * form the list of groups is wanted. Pure.
 */
#pragma once

#include "base/arena.h"
#include "kube/kinds.h"
#include "net/http1.h"
#include "scaler/access.h"

#define METRICS_API_GROUP "external.metrics.k8s.io"
#define METRICS_API_PATH "/apis/" METRICS_API_GROUP "/v1beta1"
#define METRICS_API_METRIC "desired-replicas"
#define METRICS_API_RULE_LABEL "gpuscale.io/rule"

enum { METRICS_API_NAME_MAX = 254 };

struct metrics_api_place {
    char namespace_[64], metric[METRICS_API_NAME_MAX];
};
// METRICS_API_PATH/namespaces/NAMESPACE/METRIC, percent-decoded. ERR_NOTFOUND: another path.
int metrics_api_place(struct str path, struct metrics_api_place *ret);

// Does Accept name the aggregated form of discovery (apidiscovery.k8s.io/v2)?
bool metrics_api_wants_aggregated(struct str accept);

// The user that a front proxy speaks for, into the arena; with group system:authenticated, unless
// it says that it is nobody (system:anonymous, system:unauthenticated). ERR_NOTFOUND: it names
// none; ERR_LIMIT or ERR_NOMEM: the arena's.
int metrics_api_user(struct access_user *ret, struct arena *a, const struct http1 *h,
                     const struct kube_front_proxy *names);

// Does the selector choose the rule of this name?
struct kube_selector;
bool metrics_api_selects(const struct kube_selector *s, const char *rule);
