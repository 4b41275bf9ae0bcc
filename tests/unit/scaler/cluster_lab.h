// SPDX-License-Identifier: Apache-2.0
/* Caches of a cluster as one whole list leaves them. */
#pragma once

#include "kube/kinds.h"
#include "kube/reflector.h"
#include "unit.h"

static inline void lab_ignore(void *ctx, enum kube_change change, const struct kube_object *now,
                              const struct kube_object *was) {
}

// One list, whole.
static inline struct kube_reflector *lab_cache(const struct kube_kind *kind, const char *items) {
    struct kube_reflector *r;
    struct err e = {0};
    CLEANUP_BUF struct buf text, query;
    buf_init(&text, 1 << 20);
    buf_init(&query, 4096);
    const struct kube_reflector_options o = {.kind = kind, .changed = lab_ignore};
    assert_int_equal(kube_reflector_new(&r, &o, &e), 0);
    assert_int_equal(kube_reflector_begin(r, 0, &query, &e), 0);
    (void)buf_addf(&text,
                   "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[%s]}",
                   items);
    if (kube_reflector_feed(r, 0, text.p, text.len, &e) < 0)
        fail_msg("%s", e.msg);
    kube_reflector_end(r, 0,
                       &(struct kube_end){.whole = true, .status = 200, .retry_after_ms = -1});
    assert_true(kube_reflector_synced(r));
    return r;
}
