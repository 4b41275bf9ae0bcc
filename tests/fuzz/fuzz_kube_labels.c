// SPDX-License-Identifier: Apache-2.0
/* Label selectors of Kubernetes: any text; what is read must match an object made after it. */
#include "base/mem.h"
#include "fuzz.h"
#include "kube/labels.h"

enum { LABELS_MAX = 32 };

// An object that has what the selector asks for. False: it asks for a key twice, or for absence of
// one that it asks for.
static bool make(const struct kube_selector *s, struct kube_label *labels, size_t *ret_n) {
    *ret_n = 0;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->terms[i].key, s->terms[k].key) == 0)
                return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct kube_requirement *q = &s->terms[i];
        if (q->op != KUBE_LABEL_IN && q->op != KUBE_LABEL_EXISTS)
            continue;
        if (*ret_n == LABELS_MAX)
            return false;
        labels[(*ret_n)++] = (struct kube_label){
            q->key, q->op == KUBE_LABEL_IN ? q->values[q->n_values - 1] : "any"};
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_ARENA struct arena a;
    struct kube_selector s = {0};
    struct kube_label labels[LABELS_MAX];
    struct err e = {0};
    arena_init(&a, 1 << 20);
    int r = kube_selector_parse(&s, &a, (struct str){(const char *)data, size}, &e);
    if (r < 0 && e.msg[0] == '\0')
        abort();
    struct kube_object o = {.labels = labels};
    if (r == 0 && make(&s, labels, &o.n_labels) && !kube_selector_matches(&s, &o))
        abort();
    return 0;
}
