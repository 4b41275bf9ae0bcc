// SPDX-License-Identifier: Apache-2.0
/*
 * Which workload a trigger means: by its target, by the ScaledObject's name, or by labels. Two hash
 * tables over one immutable version of the file; labels are searched within the namespace.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/map.h"
#include "scaler/workloads_internal.h"

struct index_entry {
    const char *key; // "prod/deployment/llm" or "prod llm"
    const struct workload *workload;
    UT_hash_handle hh;
};

// What a trigger of the cluster means.
struct trigger_entry {
    const char *key; // "prod llm deployment/llm"
    const struct workload *workload;
    const struct err *why; // where there is none
    UT_hash_handle hh;
};

struct workloads_index {
    struct index_entry *by_target, *by_object;
    struct trigger_entry *by_trigger;
};

enum { KEY_MAX = 1024, MEANS_MAX = LIMIT_METADATA_VALUE_BYTES + 16 };

static const struct workload *look_up(struct index_entry *table, const char *key) {
    struct index_entry *found;
    HASH_FIND(hh, table, key, strlen(key), found);
    return found ? found->workload : NULL;
}

static int add(struct arena *a, struct index_entry **table, const char *key,
               const struct workload *w) {
    struct index_entry *x = arena_zalloc(a, sizeof(*x));
    if (x == NULL || key == NULL)
        return ERR_NOMEM;
    x->key = key;
    x->workload = w;
    HASH_ADD_KEYPTR(hh, *table, x->key, strlen(x->key), x);
    return map_oom() ? ERR_NOMEM : 0;
}

static int index_workload(struct workloads *all, const struct workload *w, struct err *e) {
    struct workloads_index *x = all->index;
    if (look_up(x->by_target, w->id) != NULL)
        return err_set(e, ERR_INVALID, "%s is listed twice", w->id);
    if (add(&all->arena, &x->by_target, w->id, w) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < w->scaled_objects.n; i++) {
        const char *key = arena_printf(&all->arena, "%s %s", w->namespace_,
                                       w->scaled_objects.items[i]);
        const struct workload *other = key ? look_up(x->by_object, key) : NULL;
        if (other != NULL)
            return err_set(e, ERR_INVALID, "%s: ScaledObject %s is already that of %s", w->id,
                           w->scaled_objects.items[i], other->id);
        if (add(&all->arena, &x->by_object, key, w) < 0)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return 0;
}

int workloads_index_build(struct workloads *w, struct err *e) {
    w->index = arena_zalloc(&w->arena, sizeof(*w->index));
    if (w->index == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < w->list.n; i++) {
        int rc = index_workload(w, &w->list.items[i], e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void workloads_index_done(struct workloads *w) {
    if (w->index != NULL) {
        HASH_CLEAR(hh, w->index->by_target); // the entries are the arena's
        HASH_CLEAR(hh, w->index->by_object);
        HASH_CLEAR(hh, w->index->by_trigger);
    }
}

int workloads_add_target(struct workloads *w, const struct workload *workload) {
    return add(&w->arena, &w->index->by_target, workload->id, workload);
}

int workloads_add_trigger(struct workloads *w, const char *namespace_, const char *scaled_object,
                          const char *means, const struct workload *workload,
                          const struct err *why) {
    struct trigger_entry *x = arena_zalloc(&w->arena, sizeof(*x)), *other;
    if (x == NULL)
        return ERR_NOMEM;
    x->key = arena_printf(&w->arena, "%s %s %s", namespace_, scaled_object, means);
    if (x->key == NULL)
        return ERR_NOMEM;
    HASH_FIND(hh, w->index->by_trigger, x->key, strlen(x->key), other);
    if (other != NULL)
        return 0; // two triggers of one ScaledObject mean the same
    x->workload = workload;
    if (workload == NULL) {
        struct err *copy = arena_alloc(&w->arena, sizeof(*copy));
        if (copy == NULL)
            return ERR_NOMEM;
        *copy = *why;
        x->why = copy;
    }
    HASH_ADD_KEYPTR(hh, w->index->by_trigger, x->key, strlen(x->key), x);
    return map_oom() ? ERR_NOMEM : 0;
}

static int find_of_cluster(const struct workloads *w, struct str ns, struct str so,
                           enum trigger_target target, const char *name,
                           const struct workload **ret, struct err *e) {
    // By enum trigger_target.
    static const char *const prefixes[] = {"", "deployment/", "statefulset/", "selector:"};
    char key[MEANS_MAX + 2 * KEY_MAX];
    int n = snprintf(key, sizeof(key), STR_FMT " " STR_FMT " %s%s", STR_ARG(ns), STR_ARG(so),
                     prefixes[target], name ? name : "");
    struct trigger_entry *x = NULL;
    if (n > 0 && (size_t)n < sizeof(key))
        HASH_FIND(hh, w->index->by_trigger, key, (size_t)n, x);
    if (x == NULL)
        return err_set(e, ERR_NOTFOUND,
                       "the cluster has no ScaledObject of this name in namespace " STR_FMT
                       " with such an external trigger (yet, or any more)",
                       STR_ARG(ns));
    if (x->workload == NULL) {
        if (e != NULL)
            *e = *x->why;
        return x->why->code;
    }
    *ret = x->workload;
    return 0;
}

static bool has_label(const struct workload *w, struct str key, struct str value) {
    for (size_t i = 0; i < w->labels.n; i++)
        if (str_eqc(key, w->labels.items[i].name) && str_eqc(value, w->labels.items[i].value))
            return true;
    return false;
}

// Every "key=value" of the selector is a label of the workload.
static bool selected(const struct workload *w, struct str selector) {
    while (selector.n > 0) {
        struct str term = str_cut(&selector, ',');
        struct str key = str_trim(str_cut(&term, '='));
        if (!has_label(w, key, str_trim(term)))
            return false;
    }
    return true;
}

static int find_selected(const struct workloads *all, struct str ns, struct str selector,
                         const struct workload **ret, struct err *e) {
    const struct workload *found = NULL;
    for (size_t i = 0; i < all->list.n; i++) {
        const struct workload *w = &all->list.items[i];
        if (!str_eqc(ns, w->namespace_) || !selected(w, selector))
            continue;
        if (found != NULL)
            return err_set(e, ERR_INVALID,
                           "workload \"selector:" STR_FMT "\" matches both %s and %s: name one of "
                           "them",
                           STR_ARG(selector), found->id, w->id);
        found = w;
    }
    if (found == NULL)
        return err_set(e, ERR_NOTFOUND,
                       "no workload of namespace " STR_FMT " has the labels \"" STR_FMT
                       "\" (metadata workload)",
                       STR_ARG(ns), STR_ARG(selector));
    *ret = found;
    return 0;
}

static int find_target(const struct workloads *w, struct str ns, const char *kind, const char *name,
                       const struct workload **ret, struct err *e) {
    char key[KEY_MAX];
    int n = snprintf(key, sizeof(key), STR_FMT "/%s/%s", STR_ARG(ns), kind, name);
    *ret = n > 0 && n < KEY_MAX ? look_up(w->index->by_target, key) : NULL;
    if (*ret != NULL)
        return 0;
    return err_set(e, ERR_NOTFOUND,
                   "the workloads file has no %s/%s in namespace " STR_FMT " (metadata workload)",
                   kind, name, STR_ARG(ns));
}

int workloads_find(const struct workloads *w, struct str namespace_, struct str scaled_object,
                   enum trigger_target target, const char *name, const struct workload **ret,
                   struct err *e) {
    if (w->cluster != NULL)
        return find_of_cluster(w, namespace_, scaled_object, target, name, ret, e);
    switch (target) {
    case TARGET_DEPLOYMENT:
        return find_target(w, namespace_, "deployment", name, ret, e);
    case TARGET_STATEFULSET:
        return find_target(w, namespace_, "statefulset", name, ret, e);
    case TARGET_SELECTOR:
        return find_selected(w, namespace_, str_from(name), ret, e);
    case TARGET_SCALED_OBJECT:
        break;
    }
    char key[KEY_MAX];
    int n = snprintf(key, sizeof(key), STR_FMT " " STR_FMT, STR_ARG(namespace_),
                     STR_ARG(scaled_object));
    *ret = n > 0 && n < KEY_MAX ? look_up(w->index->by_object, key) : NULL;
    if (*ret != NULL)
        return 0;
    return err_set(e, ERR_NOTFOUND,
                   "the workloads file lists ScaledObject " STR_FMT " of namespace " STR_FMT
                   " under no workload: add it to scaledObjects of one, or name the workload in "
                   "the trigger's metadata (workload: deployment/NAME)",
                   STR_ARG(scaled_object), STR_ARG(namespace_));
}
