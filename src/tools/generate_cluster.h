// SPDX-License-Identifier: Apache-2.0
/* The input of `gpuscale generate KIND/NAME`: one workload and its neighbours, from the API server.
 */
#pragma once

#include "manifest/documents.h"
#include "tools/generate_options.h"

// Is this argument KIND/NAME, of a kind that is known, or KIND.VERSION.GROUP/NAME?
bool generate_is_reference(const char *argument);

// Adds the workload, and the ScaledObjects, HorizontalPodAutoscalers and NetworkPolicies of its
// namespace, to `o`. A neighbour that cannot be read is told on stderr and left out. Blocks.
// *ret_namespace: where it was (in the arena of `o`). ERR_NOTFOUND, ERR_AUTH, ERR_UNAVAILABLE, ...
// with the API server's words.
int generate_fetch(const char *argument, const struct generate_flags *flags,
                   struct manifest_objects *o, const char **ret_namespace, struct err *e);
