// SPDX-License-Identifier: Apache-2.0
/*
 * What an answer of the API server means, and the sentence for the person who has to mend it. Pure.
 */
#pragma once

#include "base/buf.h"
#include "kube/resource.h"

enum kube_fault {
    KUBE_OK,
    KUBE_UNREACHABLE,  // no answer: name, connection, TLS, time
    KUBE_UNKNOWN_USER, // 401, or no credential
    KUBE_FORBIDDEN,    // 403
    KUBE_NOT_FOUND,    // 404: the object; or there is no such resource
    KUBE_CONFLICT,     // 409: it exists, or was changed by somebody else
    KUBE_GONE,         // 410
    KUBE_INVALID,      // 400, 405, 413, 415, 422
    KUBE_BUSY,         // 408, 429, 5xx: later
    KUBE_SENSELESS,    // anything else
    KUBE_FAULT_MAX,
};
const char *kube_fault_name(enum kube_fault f); // "ok", "unreachable", ...

// The fault of a status (0: no answer).
enum kube_fault kube_fault_of(int status);
// Sets e: "cannot list pods in namespace ml: ..." with the server's own words out of `body` (a
// Status object, or anything) and what to do. `why`: the transport's words, for no answer. `user`:
// the place that says who we are.
void kube_answer_explain(struct err *e, const char *verb, const struct kube_resource *at,
                         int status, struct str body, const char *why, const char *user);
