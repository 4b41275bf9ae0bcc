// SPDX-License-Identifier: Apache-2.0
/* Which resource a kind is: "Rollout" of argoproj.io/v1alpha1 lies under "rollouts". */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { KUBE_PLURAL_MAX = 64 };

// In an APIResourceList (GET /apis/GROUP/VERSION). ERR_NOTFOUND: no such kind, or it has no scale
// subresource (with a sentence); ERR_PARSE: not such a list.
int kube_discovery_scalable(char ret_plural[KUBE_PLURAL_MAX], struct str body, const char *kind,
                            struct err *e);
