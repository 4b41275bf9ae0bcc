// SPDX-License-Identifier: Apache-2.0
/* From the caches to a version; see the header. */
#include "scaler/cluster_build.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/vec.h"
#include "kube/labels.h"
#include "scaler/workloads_internal.h"

enum { ID_MAX = 1024 };

// A workload and how its pods are found.
struct entry {
    struct workload *workload;
    const char *key; // "prod/deployment/llm"; of a selector with its ScaledObject
    const char *uid; // of the target: its pods' owner, or their ReplicaSet's
    bool by_labels;  // else by owners
    struct kube_selector selector;
    struct entry *same_label; // the next whose selector asks for the same pair first
    const struct err *why;    // it is not there
    UT_hash_handle hh;
};

// Selectors by the first KEY=VALUE that they ask for: a pod need not be held against all of them.
struct label_entry {
    const char *key; // "prod app=llm"; "prod" of those that ask for none
    struct entry *entries;
    UT_hash_handle hh;
};

struct cluster_index {
    struct entry *entries; // by key: all that triggers mean, there or not
    struct label_entry *labels;
};

// A pod of an entry.
struct membership {
    struct entry *entry;
    const struct kube_pod *pod;
};

struct builder {
    const struct cluster_view *view;
    struct workloads *w;
    size_t max;
    struct VEC(struct membership) members;
};

struct str cluster_trigger_value(const struct kube_trigger *t, const char *key) {
    for (size_t i = 0; i < t->n_metadata; i++)
        if (strcmp(t->metadata[i].key, key) == 0)
            return str_trim(str_from(t->metadata[i].value));
    return (struct str){0};
}

bool cluster_address_is_ours(const struct cluster_view *view, struct str scaler_address) {
    if (view->addresses == NULL)
        return true;
    for (size_t i = 0; view->addresses[i] != NULL; i++)
        if (str_eqc(str_trim(scaler_address), view->addresses[i]))
            return true;
    return false;
}

bool cluster_trigger_is_ours(const struct cluster_view *view, const struct kube_scaled_object *so,
                             const struct kube_trigger *t) {
    if (strcmp(t->type, "external") != 0 && strcmp(t->type, "external-push") != 0)
        return false;
    return cluster_address_is_ours(view, cluster_trigger_value(t, "scalerAddress")) ||
           (view->asked != NULL && view->asked(view->ctx, so, t));
}

static void lower(char *dst, size_t cap, const char *s) {
    size_t n = 0;
    for (; s[n] != '\0' && n + 1 < cap; n++)
        dst[n] = s[n] >= 'A' && s[n] <= 'Z' ? (char)(s[n] - 'A' + 'a') : s[n];
    dst[n] = '\0';
}

static struct entry *find_entry(const struct cluster_index *x, const char *key) {
    struct entry *e;
    HASH_FIND(hh, x->entries, key, strlen(key), e);
    return e;
}

static struct entry *new_entry(struct builder *b, const char *key) {
    struct entry *x = arena_zalloc(&b->w->arena, sizeof(*x));
    if (x == NULL)
        return NULL;
    x->key = arena_strdup(&b->w->arena, str_from(key));
    if (x->key == NULL)
        return NULL;
    HASH_ADD_KEYPTR(hh, b->w->cluster->entries, x->key, strlen(x->key), x);
    return map_oom() ? NULL : x;
}

static int keep_why(struct builder *b, struct entry *x, const struct err *why) {
    struct err *copy = arena_alloc(&b->w->arena, sizeof(*copy));
    if (copy == NULL)
        return ERR_NOMEM;
    *copy = *why;
    x->why = copy;
    return 0;
}

// What a target tells of itself.
struct scale {
    int32_t replicas, status;
    const char *selector; // "": by owners
    const char *uid;
};

static const struct kube_reflector *apps_of(const struct cluster_view *v, const char *kind) {
    return strcmp(kind, "deployment") == 0    ? v->deployments
           : strcmp(kind, "statefulset") == 0 ? v->stateful_sets
           : strcmp(kind, "replicaset") == 0  ? v->replica_sets
                                              : NULL;
}

static int find_apps(struct builder *b, const char *kind, const char *ns, const char *name,
                     struct scale *ret, struct err *e) {
    const struct kube_workload *w = (const void *)kube_reflector_find(apps_of(b->view, kind), ns,
                                                                      name);
    if (w == NULL)
        return err_set(e, ERR_NOTFOUND,
                       "namespace %s has no %s/%s, and only what lies in its own namespace can be "
                       "meant",
                       ns, kind, name);
    *ret = (struct scale){w->replicas, w->status_replicas, "", w->o.uid};
    return 0;
}

static bool is_apps(const struct kube_scaled_object *so) {
    return str_starts(str_from(so->target_api), "apps/");
}

// "deployment", "rollout.argoproj.io".
static void kind_of(const char *api, const char *kind, char *dst, size_t cap) {
    struct str version = str_from(api), group = str_cut(&version, '/');
    lower(dst, cap, kind);
    size_t n = strlen(dst);
    if (!str_eqc(group, "apps") && version.n > 0)
        (void)snprintf(dst + n, cap - n, "." STR_FMT, STR_ARG(group));
}

// The ScaledObject's own target.
static int find_own(struct builder *b, const struct kube_scaled_object *so, const char *kind,
                    struct scale *ret, struct err *e) {
    const struct kube_scale *s;
    if (is_apps(so) && apps_of(b->view, kind) != NULL)
        return find_apps(b, kind, so->o.namespace_, so->target_name, ret, e);
    int rc = b->view->scale(b->view->ctx, so, &s, e);
    if (rc == 0)
        *ret = (struct scale){s->replicas, s->status_replicas, s->selector, s->o.uid};
    return rc;
}

static int index_labels(struct builder *b, struct entry *x) {
    char key[ID_MAX];
    const char *ns = x->workload->namespace_;
    int n = snprintf(key, sizeof(key), "%s", ns);
    for (size_t i = 0; i < x->selector.n; i++) {
        const struct kube_requirement *q = &x->selector.terms[i];
        if (q->op == KUBE_LABEL_IN && q->n_values == 1) {
            n = snprintf(key, sizeof(key), "%s %s=%s", ns, q->key, q->values[0]);
            break;
        }
    }
    if (n < 0 || (size_t)n >= sizeof(key))
        return ERR_LIMIT;
    struct label_entry *l;
    HASH_FIND(hh, b->w->cluster->labels, key, (size_t)n, l);
    if (l == NULL) {
        l = arena_zalloc(&b->w->arena, sizeof(*l));
        if (l == NULL || (l->key = arena_strdup(&b->w->arena, str_from(key))) == NULL)
            return ERR_NOMEM;
        HASH_ADD_KEYPTR(hh, b->w->cluster->labels, l->key, strlen(l->key), l);
        if (map_oom())
            return ERR_NOMEM;
    }
    x->same_label = l->entries;
    l->entries = x;
    return 0;
}

static int add_workload(struct builder *b, struct entry *x, const char *ns, const char *target,
                        const struct scale *s, struct err *e) {
    struct arena *a = &b->w->arena;
    struct workload *w = &b->w->list.items[b->w->list.n];
    w->namespace_ = arena_strdup(a, str_from(ns));
    w->target = arena_strdup(a, str_from(target));
    w->id = x->key;
    x->uid = arena_strdup(a, str_from(s->uid));
    if (w->namespace_ == NULL || w->target == NULL || x->uid == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->of_cluster = true;
    w->replicas = s->replicas;
    w->status = s->status;
    x->by_labels = *s->selector != '\0';
    if (x->by_labels) {
        int rc = kube_selector_parse(&x->selector, a, str_from(s->selector), e);
        if (rc < 0)
            return rc;
    }
    x->workload = w;
    if (x->by_labels && index_labels(b, x) < 0) {
        x->workload = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (workloads_add_target(b->w, w) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    b->w->list.n++;
    return 0;
}

// The entry of "KIND/NAME" (own NULL), or of the ScaledObject's target.
static int get_target(struct builder *b, const struct kube_scaled_object *so, bool own,
                      const char *kind, const char *name, struct entry **ret) {
    char key[ID_MAX];
    struct scale s;
    struct err why = {0};
    const char *ns = so->o.namespace_;
    int n = snprintf(key, sizeof(key), "%s/%s/%s", ns, kind, name);
    if (n < 0 || (size_t)n >= sizeof(key))
        return ERR_LIMIT;
    *ret = find_entry(b->w->cluster, key);
    if (*ret != NULL)
        return 0;
    *ret = new_entry(b, key);
    if (*ret == NULL)
        return ERR_NOMEM;
    int rc = own ? find_own(b, so, kind, &s, &why) : find_apps(b, kind, ns, name, &s, &why);
    if (rc == 0 && own && *s.selector == '\0' && apps_of(b->view, kind) == NULL)
        rc = err_set(&why, ERR_INVALID,
                     "the scale of %s/%s tells no selector: say which its pods are (metadata "
                     "workload: selector:LABELS)",
                     kind, name);
    if (rc == 0)
        rc = add_workload(b, *ret, ns, key + strlen(ns) + 1, &s, &why);
    if (rc == ERR_NOMEM)
        return rc;
    return rc < 0 ? keep_why(b, *ret, &why) : 0;
}

// Pods by their labels, replicas by the ScaledObject's own target.
static int get_selected(struct builder *b, const struct kube_scaled_object *so, const char *kind,
                        const char *selector, struct entry **ret) {
    char key[ID_MAX];
    struct scale s;
    struct err why = {0};
    const char *ns = so->o.namespace_;
    int n = snprintf(key, sizeof(key), "%s/%s/selector:%s", ns, so->o.name, selector);
    if (n < 0 || (size_t)n >= sizeof(key))
        return ERR_LIMIT;
    *ret = find_entry(b->w->cluster, key);
    if (*ret != NULL)
        return 0;
    *ret = new_entry(b, key);
    if (*ret == NULL)
        return ERR_NOMEM;
    int rc = find_own(b, so, kind, &s, &why);
    if (rc == 0) {
        s.selector = selector;
        rc = add_workload(b, *ret, ns, key + strlen(ns) + 1 + strlen(so->o.name) + 1, &s, &why);
    }
    if (rc == ERR_NOMEM)
        return rc;
    return rc < 0 ? keep_why(b, *ret, &why) : 0;
}

// "deployment/ llm" as the trigger's binding reads it: "deployment/llm". False: it means nothing,
// which the binding refuses.
static bool clean_means(struct str value, char *dst, size_t cap) {
    static const char *const prefixes[] = {"deployment/", "statefulset/", "selector:"};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        size_t skip = strlen(prefixes[i]);
        if (!str_starts(value, prefixes[i]))
            continue;
        struct str rest = str_trim((struct str){value.p + skip, value.n - skip});
        int n = snprintf(dst, cap, "%s" STR_FMT, prefixes[i], STR_ARG(rest));
        return n > 0 && (size_t)n < cap;
    }
    return false;
}

static int add_trigger(struct builder *b, const struct kube_scaled_object *so,
                       const struct kube_trigger *t) {
    char kind[320], means[ID_MAX] = "";
    struct entry *x = NULL;
    struct err why = {0};
    struct str value = cluster_trigger_value(t, "workload");
    kind_of(so->target_api, so->target_kind, kind, sizeof(kind));
    int rc;
    if (value.n == 0) {
        rc = get_target(b, so, true, kind, so->target_name, &x);
    } else if (!clean_means(value, means, sizeof(means))) {
        return 0;
    } else if (str_starts(str_from(means), "selector:")) {
        rc = get_selected(b, so, kind, means + strlen("selector:"), &x);
    } else {
        char *slash = strchr(means, '/');
        *slash = '\0';
        rc = get_target(b, so, false, means, slash + 1, &x);
        *slash = '/';
    }
    if (rc == ERR_LIMIT)
        (void)err_set(&why, ERR_LIMIT, "the names of its workload are too long");
    else if (rc < 0)
        return rc;
    return workloads_add_trigger(b->w, so->o.namespace_, so->o.name, means, x ? x->workload : NULL,
                                 x && x->why ? x->why : &why);
}

static int add_triggers(struct builder *b) {
    const struct kube_reflector *all = b->view->scaled_objects;
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(all, o)) != NULL;) {
        const struct kube_scaled_object *so = (const void *)o;
        for (size_t i = 0; i < so->n_triggers; i++) {
            if (!cluster_trigger_is_ours(b->view, so, &so->triggers[i]))
                continue;
            int rc = b->w->list.n < b->max ? add_trigger(b, so, &so->triggers[i]) : ERR_LIMIT;
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int add_rule(struct builder *b, const struct config_rule *rule) {
    // A rule means what a ScaledObject of its name and namespace would with `workload`.
    const struct kube_scaled_object so = {
        .o = {.namespace_ = rule->namespace_, .name = rule->name}};
    char means[ID_MAX];
    struct entry *x = NULL;
    struct err why = {0};
    if (!clean_means(str_from(rule->target), means, sizeof(means)))
        return ERR_LIMIT; // the configuration was checked: too long
    char *slash = strchr(means, '/');
    *slash = '\0';
    int rc = get_target(b, &so, false, means, slash + 1, &x);
    *slash = '/';
    if (rc == ERR_LIMIT)
        (void)err_set(&why, ERR_LIMIT, "the name of its workload is too long");
    else if (rc < 0)
        return rc;
    return workloads_add_trigger(b->w, rule->namespace_, rule->name, means, x ? x->workload : NULL,
                                 x && x->why ? x->why : &why);
}

static int add_rules(struct builder *b) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->view->n_rules; i++)
        rc = add_rule(b, &b->view->rules[i]);
    return rc;
}

static size_t count_triggers(const struct cluster_view *v) {
    size_t n = v->n_rules;
    for (const struct kube_object *o = NULL;
         (o = kube_reflector_next(v->scaled_objects, o)) != NULL;) {
        const struct kube_scaled_object *so = (const void *)o;
        for (size_t i = 0; i < so->n_triggers; i++)
            n += cluster_trigger_is_ours(v, so, &so->triggers[i]);
    }
    return n;
}

// The workload that owns the pod, itself or through a ReplicaSet of its own.
static struct entry *owner_of(const struct cluster_index *x, const struct cluster_view *v,
                              const struct kube_pod *p) {
    char kind[64], key[ID_MAX];
    const char *owner_kind = p->o.owner_kind, *name = p->o.owner_name, *uid = p->o.owner_uid;
    if (*owner_kind == '\0')
        return NULL;
    if (strcmp(owner_kind, "ReplicaSet") == 0) {
        const struct kube_object *set = kube_reflector_find(v->replica_sets, p->o.namespace_, name);
        if (set != NULL && strcmp(set->uid, uid) == 0 && *set->owner_kind != '\0') {
            owner_kind = set->owner_kind;
            name = set->owner_name;
            uid = set->owner_uid;
        }
    }
    lower(kind, sizeof(kind), owner_kind);
    int n = snprintf(key, sizeof(key), "%s/%s/%s", p->o.namespace_, kind, name);
    struct entry *e = n > 0 && (size_t)n < sizeof(key) ? find_entry(x, key) : NULL;
    if (e == NULL || e->by_labels || (e->uid && *e->uid != '\0' && strcmp(e->uid, uid) != 0))
        return NULL;
    return e;
}

// Tells each entry whose pod it is. `take` returns a negative code to end.
static int each_entry_of(const struct cluster_index *x, const struct cluster_view *v,
                         const struct kube_pod *p, int (*take)(void *ctx, struct entry *e),
                         void *ctx) {
    char key[ID_MAX];
    struct label_entry *l;
    struct entry *owner = owner_of(x, v, p);
    int rc = owner ? take(ctx, owner) : 0;
    if (x->labels == NULL)
        return rc;
    for (size_t i = 0; rc == 0 && i <= p->o.n_labels; i++) {
        int n = i == p->o.n_labels ? snprintf(key, sizeof(key), "%s", p->o.namespace_)
                                   : snprintf(key, sizeof(key), "%s %s=%s", p->o.namespace_,
                                              p->o.labels[i].key, p->o.labels[i].value);
        if (n < 0 || (size_t)n >= sizeof(key))
            continue;
        HASH_FIND(hh, x->labels, key, (size_t)n, l);
        for (struct entry *e = l ? l->entries : NULL; rc == 0 && e != NULL; e = e->same_label)
            if (kube_selector_matches(&e->selector, &p->o))
                rc = take(ctx, e);
    }
    return rc;
}

static int say_yes(void *ctx, struct entry *e) {
    *(bool *)ctx = true;
    return ERR_EXISTS;
}

bool cluster_pod_counts(const struct workloads *w, const struct cluster_view *view,
                        const struct kube_pod *pod) {
    bool yes = false;
    (void)each_entry_of(w->cluster, view, pod, say_yes, &yes);
    return yes;
}

bool cluster_target_counts(const struct workloads *w, const char *kind, const char *namespace_,
                           const char *name) {
    char key[ID_MAX];
    int n = snprintf(key, sizeof(key), "%s/%s/%s", namespace_, kind, name);
    return n > 0 && (size_t)n < sizeof(key) && find_entry(w->cluster, key) != NULL;
}

struct taking {
    struct builder *b;
    const struct kube_pod *pod;
};

// A pod that finds no place: the first of them gives the words.
static int note_unschedulable(struct arena *a, struct workload *w, const struct kube_pod *p) {
    if (p->unschedulable_ns == 0 || p->o.deletion_ns != 0)
        return 0;
    if (w->unschedulable++ == 0 || p->unschedulable_ns < w->unschedulable_real_ns) {
        w->unschedulable_real_ns = p->unschedulable_ns;
        w->unschedulable_why = arena_strdup(a, str_from(p->unschedulable));
    }
    return w->unschedulable_why ? 0 : ERR_NOMEM;
}

static int take_member(void *ctx, struct entry *e) {
    const struct taking *t = ctx;
    if (e->workload == NULL)
        return 0;
    if (note_unschedulable(&t->b->w->arena, e->workload, t->pod) < 0)
        return ERR_NOMEM;
    e->workload->pods.n++;
    struct membership m = {e, t->pod};
    return vec_push(&t->b->members, m);
}

// The entry of a target, whoever names it; NULL: no trigger means it.
static struct entry *entry_of_target(const struct builder *b, const char *ns, const char *api,
                                     const char *kind, const char *name) {
    char lowered[320], key[ID_MAX];
    kind_of(api, kind, lowered, sizeof(lowered));
    int n = snprintf(key, sizeof(key), "%s/%s/%s", ns, lowered, name);
    struct entry *e = n > 0 && (size_t)n < sizeof(key) ? find_entry(b->w->cluster, key) : NULL;
    return e != NULL && e->workload != NULL ? e : NULL;
}

static struct entry *target_of(const struct builder *b, const struct kube_object *o) {
    const struct kube_scaled_object *so = (const void *)o;
    return entry_of_target(b, so->o.namespace_, so->target_api, so->target_kind, so->target_name);
}

// Who scales each workload: every ScaledObject, whatever its triggers.
static int add_scalers(struct builder *b) {
    const struct kube_reflector *all = b->view->scaled_objects;
    struct arena *a = &b->w->arena;
    struct entry *e;
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(all, o)) != NULL;)
        if ((e = target_of(b, o)) != NULL)
            e->workload->scaled_objects.n++;
    for (size_t i = 0; i < b->w->list.n; i++) {
        struct workload *w = &b->w->list.items[i];
        w->scaled_objects.items = arena_array(a, w->scaled_objects.n + 1,
                                              sizeof(*w->scaled_objects.items));
        if (w->scaled_objects.items == NULL)
            return ERR_NOMEM;
        w->scaled_objects.n = 0;
    }
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(all, o)) != NULL;) {
        if ((e = target_of(b, o)) == NULL)
            continue;
        const char *name = arena_strdup(a, str_from(o->name));
        if (name == NULL)
            return ERR_NOMEM;
        e->workload->scaled_objects.items[e->workload->scaled_objects.n++] = name;
    }
    return 0;
}

// HPAs that are not KEDA's own.
static int add_hpas(struct builder *b) {
    const struct kube_reflector *all = b->view->hpas;
    for (const struct kube_object *o = NULL;
         all != NULL && (o = kube_reflector_next(all, o)) != NULL;) {
        const struct kube_hpa *h = (const void *)o;
        if (strcmp(o->owner_kind, "ScaledObject") == 0)
            continue;
        struct entry *e = entry_of_target(b, o->namespace_, h->target_api, h->target_kind,
                                          h->target_name);
        if (e == NULL)
            continue;
        e->workload->hpa = arena_strdup(&b->w->arena, str_from(o->name));
        e->workload->hpa_desired = h->desired;
        if (e->workload->hpa == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static bool has_ended(const struct kube_pod *p) {
    return strcmp(p->phase, "Succeeded") == 0 || strcmp(p->phase, "Failed") == 0;
}

// Condition Ready tells of its last change: of the first only while nothing was restarted.
static int64_t first_ready_ns(const struct kube_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i].restarts > 0)
            return 0;
    return p->ready ? p->ready_ns : 0;
}

static int fill_pod(struct arena *a, struct workload_pod *ret, const struct kube_pod *p) {
    bool serves = p->ready && *p->ip != '\0';
    ret->name = arena_strdup(a, str_from(p->o.name));
    ret->uid = arena_strdup(a, str_from(p->o.uid));
    ret->state = p->o.deletion_ns != 0 ? POD_TERMINATING : serves ? POD_READY : POD_STARTING;
    ret->started_real_ns = p->o.created_ns;
    ret->ready_real_ns = first_ready_ns(p);
    if (*p->ip != '\0') {
        ret->ip = ret->address = arena_strdup(a, str_from(p->ip));
        if (ret->ip == NULL)
            return ERR_NOMEM;
    }
    return ret->name && ret->uid ? 0 : ERR_NOMEM;
}

static int add_pods(struct builder *b) {
    const struct kube_reflector *all = b->view->pods;
    struct arena *a = &b->w->arena;
    int rc = 0;
    for (const struct kube_object *o = NULL;
         rc == 0 && (o = kube_reflector_next(all, o)) != NULL;) {
        struct taking t = {b, (const void *)o};
        if (!has_ended(t.pod))
            rc = each_entry_of(b->w->cluster, b->view, t.pod, take_member, &t);
    }
    for (size_t i = 0; rc == 0 && i < b->w->list.n; i++) {
        struct workload *w = &b->w->list.items[i];
        w->pods.items = arena_array(a, w->pods.n + 1, sizeof(*w->pods.items));
        w->pods.n = 0;
        rc = w->pods.items ? 0 : ERR_NOMEM;
    }
    for (size_t i = 0; rc == 0 && i < b->members.n; i++) {
        struct workload *w = b->members.items[i].entry->workload;
        rc = fill_pod(a, &w->pods.items[w->pods.n], b->members.items[i].pod);
        w->pods.n++;
    }
    for (size_t i = 0; rc == 0 && i < b->w->list.n; i++)
        workload_digest(&b->w->list.items[i]);
    return rc;
}

void cluster_index_done(struct workloads *w) {
    if (w->cluster != NULL) {
        HASH_CLEAR(hh, w->cluster->entries); // the entries are the arena's
        HASH_CLEAR(hh, w->cluster->labels);
    }
}

int cluster_build(struct workloads **ret, const struct cluster_view *view, struct err *e) {
    struct builder b = {.view = view, .max = count_triggers(view)};
    int rc = workloads_new(&b.w, e);
    if (rc < 0)
        return rc;
    vec_init(&b.members, LIMIT_KUBE_OBJECTS * 2);
    b.w->cluster = arena_zalloc(&b.w->arena, sizeof(*b.w->cluster));
    b.w->list.items = arena_array(&b.w->arena, b.max + 1, sizeof(*b.w->list.items));
    rc = b.w->cluster == NULL || b.w->list.items == NULL ? ERR_NOMEM
         : b.max > LIMIT_WORKLOADS                       ? ERR_LIMIT
                                                         : add_triggers(&b);
    rc = rc < 0 ? rc : add_rules(&b);
    rc = rc < 0 ? rc : add_scalers(&b);
    rc = rc < 0 ? rc : add_hpas(&b);
    rc = rc < 0 ? rc : add_pods(&b);
    vec_done(&b.members);
    if (rc < 0) {
        workloads_free(b.w);
        return rc == ERR_LIMIT
                   ? err_set(e, rc,
                             "%zu triggers or their pods are more than the scaler keeps "
                             "(LIMIT_WORKLOADS, LIMIT_KUBE_OBJECTS)",
                             b.max)
                   : err_set(e, rc, "out of memory");
    }
    *ret = b.w;
    return 0;
}
