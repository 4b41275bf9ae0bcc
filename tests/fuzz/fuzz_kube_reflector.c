// SPDX-License-Identifier: Apache-2.0
/*
 * Lists and watches of the Kubernetes API: any bytes. Byte 0: a list or a watch; byte 1: in which
 * pieces. Pieces change nothing; what jansson takes for a list is cut into exactly its items; the
 * cache counts what it holds; messages are one line of text.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "fuzz.h"
#include "kube/reflector.h"
#include "kube/split.h"

struct told {
    size_t n, bytes;
    uint64_t sum;
};

static int on_object(void *ctx, struct str object, struct err *e) {
    struct told *t = ctx;
    require(object.p && object.n >= 2 && object.p[0] == '{');
    t->n++;
    t->bytes += object.n;
    for (size_t i = 0; i < object.n; i++)
        t->sum = t->sum * 31 + (unsigned char)object.p[i];
    return 0;
}

static int split(enum kube_split_form form, const char *p, size_t n, size_t piece,
                 struct told *told) {
    struct kube_split s;
    struct err e = {0};
    int r = 0;
    *told = (struct told){0};
    kube_split_init(&s, form, LIMIT_KUBE_OBJECT_BYTES, on_object, told);
    for (size_t at = 0; at < n && r == 0; at += piece)
        r = kube_split_feed(&s, p + at, piece < n - at ? piece : n - at, &e);
    r = r ? r : kube_split_end(&s, &e);
    if (r < 0)
        require_message(&e);
    require(kube_split_rest(&s).n + told->bytes <= n);
    kube_split_done(&s);
    return r;
}

static void judge_list(const char *p, size_t n, int r, const struct told *told) {
    json_t *all = json_loadb(p, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL), *item;
    json_t *items = json_object_get(all, "items");
    bool objects = json_is_array(items) && memmem(p, n, "\"items\"", 7);
    size_t i;
    json_array_foreach(items, i, item) objects &= json_is_object(item);
    if (all && objects && r != ERR_LIMIT) {
        require(r == 0);
        require(told->n == json_array_size(items));
    }
    json_decref(all);
}

static void on_changed(void *ctx, enum kube_change change, const struct kube_object *now,
                       const struct kube_object *was) {
    long *n = ctx;
    *n += (change == KUBE_ADDED) - (change == KUBE_DELETED);
    require((now != NULL) == (change != KUBE_DELETED) && (was != NULL) == (change != KUBE_ADDED));
}

static void on_problem(void *ctx, const struct err *e) {
    require_message(e);
}

// One answer; the reflector takes it as a list (its first request) or a watch.
static void answer(struct kube_reflector *r, const char *p, size_t n, size_t piece) {
    CLEANUP_BUF struct buf query;
    struct err e = {0};
    int rc = 0;
    buf_init(&query, 4096);
    int64_t now = kube_reflector_due_ns(r) == INT64_MIN ? 0 : kube_reflector_due_ns(r);
    require(kube_reflector_begin(r, now, &query, &e) == 0);
    for (size_t at = 0; at < n && rc == 0; at += piece)
        rc = kube_reflector_feed(r, now, p + at, piece < n - at ? piece : n - at, &e);
    if (rc < 0)
        require_message(&e);
    kube_reflector_end(
        r, now + 5 * NS_PER_S,
        &(struct kube_end){
            .whole = rc == 0, .status = 200, .retry_after_ms = -1, .error = rc < 0 ? &e : NULL});
    if (kube_reflector_stats(r)->last_error.code)
        require_message(&kube_reflector_stats(r)->last_error);
}

static void reflect(bool watch, const char *p, size_t n, size_t piece) {
    static const char list[] = "{\"kind\":\"XList\",\"metadata\":{\"resourceVersion\":\"5\"},"
                               "\"items\":[{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}]}";
    static const struct kube_kind kind = {
        .version = "v1", .resource = "things", .size = sizeof(struct kube_object)};
    struct kube_reflector *r;
    struct err e = {0};
    long objects = 0;
    size_t held = 0;
    const struct kube_reflector_options o = {
        .kind = &kind, .changed = on_changed, .problem = on_problem, .ctx = &objects};
    require(kube_reflector_new(&r, &o, &e) == 0);
    if (watch)
        answer(r, list, sizeof(list) - 1, sizeof(list));
    require(!watch || kube_reflector_phase(r) == KUBE_WATCH_DUE);
    answer(r, p, n, piece);
    for (const struct kube_object *at = NULL; (at = kube_reflector_next(r, at)); held++)
        require(kube_reflector_find(r, at->namespace_, at->name) == at);
    require(held == kube_reflector_stats(r)->objects && (long)held == objects);
    kube_reflector_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    bool watch = data[0] & 1;
    size_t piece = (size_t)data[1] + 1, n = size - 2;
    const char *p = (const char *)data + 2;
    struct told whole, pieces;
    enum kube_split_form form = watch ? KUBE_SPLIT_STREAM : KUBE_SPLIT_LIST;
    int a = split(form, p, n, n ? n : 1, &whole), b = split(form, p, n, piece, &pieces);
    require(a == b && whole.n == pieces.n && whole.sum == pieces.sum);
    if (!watch)
        judge_list(p, n, a, &whole);
    reflect(watch, p, n, piece);
    return 0;
}
