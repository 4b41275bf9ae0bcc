// SPDX-License-Identifier: Apache-2.0
/*
 * Where something lies in the Kubernetes API, as a path of a URL and as words for people:
 *     {"apps", "v1", "deployments", "ml", "llm", "scale"}
 *     /apis/apps/v1/namespaces/ml/deployments/llm/scale
 *     deployments/scale.apps llm in namespace ml
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct kube_resource {
    const char *group;       // "" (or NULL): the core group
    const char *version;     // "v1"
    const char *resource;    // "pods": plural, lower case; NULL: which there are (discovery)
    const char *namespace_;  // NULL: of no namespace, or all of them
    const char *name;        // NULL: the collection
    const char *subresource; // "scale", "status"; NULL: none
};

// Appends the path; names are escaped. ERR_INVALID for a part that cannot be one ("", ".", "..").
int kube_resource_path(struct buf *out, const struct kube_resource *r, struct err *e);
// Appends the words, cleaned.
void kube_resource_words(struct buf *out, const struct kube_resource *r);
// Foreign text for a message: printable ASCII, one line, cut to fit.
void kube_clean(char *dst, size_t cap, const char *text);
// Appends a value of a query, escaped.
int kube_query_value(struct buf *out, struct str value);
