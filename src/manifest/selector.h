// SPDX-License-Identifier: Apache-2.0
/*
 * Label selectors: the object form (matchLabels, matchExpressions) of an HPA's metric, as the two
 * texts in which it is met. Nothing is matched here.
 */
#pragma once

#include "manifest/reader.h"

// *ret_go: as Go prints it in conditions (hpa_text_selector); *ret_kubectl: "app=web,tier in
// (a,b)", sorted by key, as labels.Selector has it; "" selects everything. Operators that
// Kubernetes does not know and lists of values that do not fit theirs are errors.
void manifest_selector_read(struct manifest_reader *r, const struct conf_node *n,
                            const char **ret_go, const char **ret_kubectl);
