// SPDX-License-Identifier: Apache-2.0
/*
 * A model of an API server for the reflector: objects with versions, a log of their changes that
 * gets compacted, pages of a snapshot, watches with bookmarks; and what goes wrong on the way.
 * Virtual time.
 */
#pragma once

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "kube/reflector.h"
#include "unit.h"

enum { MODEL_NAMES = 24, MODEL_LOG = 100000, MODEL_TEXT = 64 << 10 };

struct model_thing {
    bool there;
    int uid, version;
};

struct model {
    struct model_thing things[MODEL_NAMES];
    int version, next_uid;
    struct {
        char type; // A M D
        int name;
        struct model_thing thing;
    } log[MODEL_LOG]; // by version
    int compacted;    // watches and pages from before are gone
    // The snapshot that pages are cut from.
    struct model_thing snapshot[MODEL_NAMES];
    int snapshot_version;
};

// The object as the cache keeps it.
struct thing {
    struct kube_object o;
    int64_t data;
};
static inline void thing_read(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    container_of(o, struct thing, o)->data = kube_read_int(json, "data", -1);
}
static const struct kube_kind thing_kind = {.group = "test",
                                            .version = "v1",
                                            .resource = "things",
                                            .size = sizeof(struct thing),
                                            .read = thing_read};

static inline void model_log(struct model *m, char type, int name) {
    assert_true(m->version < MODEL_LOG);
    m->log[m->version].type = type;
    m->log[m->version].name = name;
    m->log[m->version].thing = m->things[name];
}

static inline void model_init(struct model *m) {
    *m = (struct model){.version = 1, .next_uid = 1};
}

// One change: an object comes, changes or goes.
static inline void model_set(struct model *m, int name, bool there) {
    struct model_thing *t = &m->things[name];
    bool was = t->there;
    if (!was && !there)
        return;
    m->version++;
    if (!was)
        t->uid = m->next_uid++;
    t->there = there;
    t->version = m->version;
    model_log(m, !there ? 'D' : was ? 'M' : 'A', name);
}

static inline size_t model_object(char *p, size_t cap, int name, const struct model_thing *t) {
    return (size_t)snprintf(p, cap,
                            "{\"metadata\":{\"namespace\":\"n\",\"name\":\"x%d\",\"uid\":\"u%d\","
                            "\"resourceVersion\":\"%d\"},\"data\":%d}",
                            name, t->uid, t->version, t->version);
}

// One page of the list; false: its token is too old (410).
static inline bool model_page(struct model *m, const char *query, char *p, size_t cap) {
    int limit = MODEL_NAMES, from = 0, version = 0;
    const char *token = strstr(query, "continue=");
    sscanf(query, "limit=%d", &limit);
    if (limit == 0)
        limit = MODEL_NAMES;
    if (token) {
        assert_int_equal(sscanf(token, "continue=%d.%d", &version, &from), 2);
        if (version != m->snapshot_version || version < m->compacted)
            return false;
    } else {
        memcpy(m->snapshot, m->things, sizeof(m->snapshot));
        m->snapshot_version = m->version;
    }
    size_t n = (size_t)snprintf(p, cap, "{\"kind\":\"ThingList\",\"items\":[");
    int name = from, sent = 0;
    for (; name < MODEL_NAMES && sent < limit; name++) {
        if (!m->snapshot[name].there)
            continue;
        if (sent++)
            p[n++] = ',';
        n += model_object(p + n, cap - n, name, &m->snapshot[name]);
    }
    n += (size_t)snprintf(p + n, cap - n, "],\"metadata\":{\"resourceVersion\":\"%d\"",
                          m->snapshot_version);
    if (name < MODEL_NAMES)
        n += (size_t)snprintf(p + n, cap - n, ",\"continue\":\"%d.%d\"", m->snapshot_version, name);
    snprintf(p + n, cap - n, "}}");
    return true;
}

// What changed behind *at, as events; moves *at.
static inline size_t model_events(const struct model *m, int *at, char *p, size_t cap) {
    size_t n = 0;
    while (*at < m->version && n + 400 < cap) {
        ++*at;
        char type = m->log[*at].type;
        n += (size_t)snprintf(p + n, cap - n, "{\"type\":\"%s\",\"object\":",
                              type == 'A'   ? "ADDED"
                              : type == 'M' ? "MODIFIED"
                                            : "DELETED");
        n += model_object(p + n, cap - n, m->log[*at].name, &m->log[*at].thing);
        n += (size_t)snprintf(p + n, cap - n, "}\n");
    }
    p[n] = '\0';
    return n;
}
static inline size_t model_bookmark(const struct model *m, int at, char *p, size_t cap) {
    return (size_t)snprintf(p, cap,
                            "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Thing\",\"metadata\":{"
                            "\"resourceVersion\":\"%d\"}}}\n",
                            at);
}
static inline size_t model_error(int code, char *p, size_t cap) {
    return (size_t)snprintf(p, cap,
                            "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":%d,"
                            "\"message\":\"too old resource version\"}}\n",
                            code);
}

// The changes that a cache tells, kept beside it: each is checked against the ones before.
struct shadow {
    struct model_thing things[MODEL_NAMES];
    unsigned added, updated, deleted, synced, problems;
    char last_problem[ERR_MSG_MAX];
    struct model *model; // compared with its snapshot at each whole list; NULL: not
};

static inline struct model_thing shadow_thing(const struct kube_object *o, int *ret_name) {
    struct model_thing t = {.there = true};
    assert_int_equal(sscanf(o->name, "x%d", ret_name), 1);
    assert_int_equal(sscanf(o->uid, "u%d", &t.uid), 1);
    assert_int_equal(sscanf(o->version, "%d", &t.version), 1);
    assert_int_equal(((const struct thing *)o)->data, t.version);
    assert_string_equal(o->namespace_, "n");
    return t;
}
static inline void shadow_changed(void *ctx, enum kube_change change, const struct kube_object *now,
                                  const struct kube_object *was) {
    struct shadow *s = ctx;
    int name, before;
    struct model_thing t = shadow_thing(now ? now : was, &name);
    struct model_thing *mine = &s->things[name];
    assert_int_equal(mine->there, change != KUBE_ADDED);
    if (was) {
        struct model_thing w = shadow_thing(was, &before);
        assert_int_equal(before, name);
        assert_int_equal(w.uid, mine->uid);
        assert_int_equal(w.version, mine->version);
        assert_int_equal(t.uid, mine->uid);
    }
    if (change == KUBE_UPDATED)
        assert_int_not_equal(t.version, mine->version); // nothing is repeated
    s->added += change == KUBE_ADDED;
    s->updated += change == KUBE_UPDATED;
    s->deleted += change == KUBE_DELETED;
    *mine = change == KUBE_DELETED ? (struct model_thing){0} : t;
}
static inline void expect_same(const struct model_thing *a, const struct model_thing *b) {
    for (int i = 0; i < MODEL_NAMES; i++) {
        assert_int_equal(a[i].there, b[i].there);
        if (a[i].there) {
            assert_int_equal(a[i].uid, b[i].uid);
            assert_int_equal(a[i].version, b[i].version);
        }
    }
}
static inline void shadow_synced(void *ctx) {
    struct shadow *s = ctx;
    s->synced++;
    if (s->model)
        expect_same(s->things, s->model->snapshot);
}
static inline void shadow_problem(void *ctx, const struct err *e) {
    struct shadow *s = ctx;
    s->problems++;
    snprintf(s->last_problem, sizeof(s->last_problem), "%s", e->msg);
}
// The cache itself holds what it told.
static inline void expect_cache(const struct kube_reflector *r, const struct shadow *s) {
    struct model_thing all[MODEL_NAMES] = {0};
    size_t n = 0;
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(r, o)); n++) {
        int name;
        struct model_thing t = shadow_thing(o, &name);
        all[name] = t;
        assert_ptr_equal(kube_reflector_find(r, "n", o->name), o);
    }
    assert_int_equal(n, kube_reflector_stats(r)->objects);
    expect_same(all, s->things);
}
