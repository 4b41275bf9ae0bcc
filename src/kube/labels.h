// SPDX-License-Identifier: Apache-2.0
/*
 * Label selectors as kubectl writes them, and whether labels match: "app=llm,tier in
 * (a,b),!canary". Operators =, ==, !=, in, notin, KEY (exists), !KEY; as labels.Parse of
 * apimachinery reads them: a key that is absent matches != and notin.
 */
#pragma once

#include "kube/object.h"

enum kube_label_op { KUBE_LABEL_IN, KUBE_LABEL_NOT_IN, KUBE_LABEL_EXISTS, KUBE_LABEL_ABSENT };

struct kube_selector {
    struct kube_requirement {
        const char *key;
        enum kube_label_op op;
        const char **values;
        size_t n_values;
    } * terms;
    size_t n;
};

// Into the arena. An empty text selects everything. ERR_PARSE with the place; ERR_NOMEM.
int kube_selector_parse(struct kube_selector *ret, struct arena *a, struct str text, struct err *e);
bool kube_selector_matches(const struct kube_selector *s, const struct kube_object *o);
