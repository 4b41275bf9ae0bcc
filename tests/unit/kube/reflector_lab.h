// SPDX-License-Identifier: Apache-2.0
/* One reflector against the model of a server, request by request, on a clock of its own. */
#pragma once

#include "kube/reflector.h"

#include "base/limits.h"
#include "kube/model.h"

struct lab {
    struct model *m;
    struct shadow s;
    struct kube_reflector *r;
    int64_t now;
    char query[4096];
};

static inline void lab_open(struct lab *l, uint32_t page, size_t max_objects, uint64_t seed) {
    struct err e = {0};
    *l = (struct lab){.m = malloc(sizeof(*l->m)), .now = 1000 * NS_PER_S};
    model_init(l->m);
    const struct kube_reflector_options o = {.kind = &thing_kind,
                                             .page = page,
                                             .max_objects = max_objects,
                                             .seed = seed,
                                             .changed = shadow_changed,
                                             .synced = shadow_synced,
                                             .problem = shadow_problem,
                                             .ctx = &l->s};
    assert_int_equal(kube_reflector_new(&l->r, &o, &e), 0);
}

static inline void lab_close(struct lab *l) {
    kube_reflector_free(l->r);
    free(l->m);
}

static inline void begin(struct lab *l) {
    CLEANUP_BUF struct buf q;
    struct err e = {0};
    buf_init(&q, sizeof(l->query) - 1);
    if (kube_reflector_due_ns(l->r) > l->now)
        l->now = kube_reflector_due_ns(l->r);
    assert_int_equal(kube_reflector_begin(l->r, l->now, &q, &e), 0);
    snprintf(l->query, sizeof(l->query), STR_FMT, STR_ARG(buf_str(&q)));
}

static inline int feed(struct lab *l, const char *text, struct err *e) {
    return kube_reflector_feed(l->r, l->now, text, strlen(text), e);
}

static inline void end_whole(struct lab *l) {
    kube_reflector_end(l->r, l->now,
                       &(struct kube_end){.whole = true, .status = 200, .retry_after_ms = -1});
}
static inline void end_status(struct lab *l, int status, int64_t retry_after_ms) {
    struct err e = {0};
    (void)err_set(&e, ERR_PROTO, "answered status %d", status);
    kube_reflector_end(
        l->r, l->now,
        &(struct kube_end){.status = status, .retry_after_ms = retry_after_ms, .error = &e});
}
static inline void end_cut(struct lab *l, int status) {
    struct err e = {0};
    (void)err_set(&e, ERR_CLOSED, "the connection ended");
    kube_reflector_end(l->r, l->now,
                       &(struct kube_end){.status = status, .retry_after_ms = -1, .error = &e});
}

static inline void list_page(struct lab *l) {
    static char text[MODEL_TEXT];
    struct err e = {0};
    begin(l);
    assert_true(model_page(l->m, l->query, text, sizeof(text)));
    assert_int_equal(feed(l, text, &e), 0);
    end_whole(l);
}
static inline void list_all(struct lab *l) {
    do
        list_page(l);
    while (kube_reflector_phase(l->r) == KUBE_LIST_DUE);
}
static inline void feed_events(struct lab *l, int *at) {
    static char text[MODEL_TEXT];
    struct err e = {0};
    model_events(l->m, at, text, sizeof(text));
    assert_int_equal(feed(l, text, &e), 0);
}
