// SPDX-License-Identifier: Apache-2.0
/* One target after the other, each by discovery and then by its scale; see the header. */
#include "scaler/cluster_scale.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "kube/discovery.h"
#include "net/loop.h"

enum {
    PERIOD_MS = 2000, // between two askings of a target
    TURN_MS = 100,    // one look at who is due
    TURN_MAX = 10,    // requests that begin in one turn: many targets are asked less often
    KEY_MAX = 1024,
    SHOWN_MAX = 5, // troubles that are told one by one
};

struct target {
    char *key; // "ml argoproj.io/v1alpha1 Rollout llm"
    char *namespace_, *group, *version, *kind, *name;
    char plural[KUBE_PLURAL_MAX]; // "": not known yet
    struct kube_object *scale;    // of kube_scales; NULL: none yet
    struct err why;               // there is no scale, or it is not read any more (`failing`)
    bool failing;
    bool unreachable; // of the failing: nobody answered
    int64_t read_ns;  // the scale was, last
    struct kube_call *call;
    struct cluster_scales *all;
    int64_t asked_ns; // INT64_MIN: never
    unsigned generation;
    UT_hash_handle hh;
};

struct cluster_scales {
    struct kube_client *kube;
    struct net_timer *timer;
    struct target *targets;
    unsigned generation;
    void (*changed)(void *ctx);
    void *ctx;
};

static struct target *target_free(struct target *t) {
    if (t->call != NULL)
        kube_call_cancel(t->call);
    kube_object_free(t->scale);
    mem_free(t->key);
    mem_free(t->namespace_);
    mem_free(t->group);
    mem_free(t->version);
    mem_free(t->kind);
    mem_free(t->name);
    mem_free(t);
    return NULL;
}

static void take_plural(struct target *t, const struct kube_answer *a) {
    struct err e = a->err;
    if (a->fault == KUBE_OK && kube_discovery_scalable(t->plural, a->body, t->kind, &e) == 0) {
        t->asked_ns = INT64_MIN; // its scale, at once
        return;
    }
    if (t->why.code == e.code && strcmp(t->why.msg, e.msg) == 0)
        return;
    t->why = e;
    t->all->changed(t->all->ctx);
}

static bool same_scale(const struct kube_object *a, const struct kube_object *b) {
    const struct kube_scale *x = (const void *)a, *y = (const void *)b;
    return x->replicas == y->replicas && x->status_replicas == y->status_replicas &&
           strcmp(x->selector, y->selector) == 0 && strcmp(x->o.uid, y->o.uid) == 0;
}

static void recovers(struct target *t) {
    t->read_ns = clock_mono_ns();
    if (t->failing)
        log_info("the scale of a target is read again", LOG_STR("namespace", t->namespace_),
                 LOG_STR("kind", t->kind), LOG_STR("name", t->name));
    t->failing = false;
}

// A server that is away is the caches' to tell, not each target's.
static void fails(struct target *t, enum kube_fault fault, const struct err *why) {
    bool again = t->failing && strcmp(t->why.msg, why->msg) == 0;
    if (!again && fault != KUBE_UNREACHABLE)
        log_warn("the scale of a target cannot be read: its last state stands",
                 LOG_STR("namespace", t->namespace_), LOG_STR("kind", t->kind),
                 LOG_STR("name", t->name), LOG_ERR(why));
    t->failing = true;
    t->unreachable = fault == KUBE_UNREACHABLE;
}

static void take_scale(struct target *t, const struct kube_answer *a) {
    struct err e = a->err;
    struct kube_object *fresh = NULL;
    bool had = t->scale != NULL;
    if (a->fault == KUBE_OK && kube_object_parse(&fresh, &kube_scales, a->body, &e) == 0) {
        bool same = t->scale != NULL && same_scale(t->scale, fresh);
        kube_object_free(t->scale);
        t->scale = fresh;
        recovers(t);
        if (!same)
            t->all->changed(t->all->ctx);
        return;
    }
    if (a->fault == KUBE_NOT_FOUND) { // it is gone; or its kind is, and is looked for anew
        t->scale = kube_object_free(t->scale);
        t->plural[0] = '\0';
        t->failing = false;
        e.code = ERR_NOTFOUND;
    }
    if (t->scale != NULL)
        fails(t, a->fault, &e);
    bool again = !had && t->why.code == e.code && strcmp(t->why.msg, e.msg) == 0;
    t->why = e;
    if (t->scale == NULL && !again)
        t->all->changed(t->all->ctx);
}

static void on_answer(void *ctx, const struct kube_answer *a) {
    struct target *t = ctx;
    t->call = NULL;
    if (t->plural[0] == '\0')
        take_plural(t, a);
    else
        take_scale(t, a);
}

static void ask(struct target *t) {
    bool known = t->plural[0] != '\0';
    struct kube_request q = {
        .verb = "get",
        .at = {.group = t->group, .version = t->version},
        .done = on_answer,
        .ctx = t,
    };
    if (known) {
        q.at.resource = t->plural;
        q.at.namespace_ = t->namespace_;
        q.at.name = t->name;
        q.at.subresource = "scale";
    }
    if (kube_client_ask(&t->call, t->all->kube, &q, &t->why) < 0)
        t->call = NULL;
}

static void on_turn(void *ctx) {
    struct cluster_scales *s = ctx;
    int64_t now_ns = clock_mono_ns();
    for (int i = 0; i < TURN_MAX; i++) {
        struct target *oldest = NULL;
        for (struct target *t = s->targets; t != NULL; t = t->hh.next)
            if (t->call == NULL &&
                (t->asked_ns == INT64_MIN || now_ns - t->asked_ns >= PERIOD_MS * NS_PER_MS) &&
                (oldest == NULL || t->asked_ns < oldest->asked_ns))
                oldest = t;
        if (oldest == NULL)
            return;
        oldest->asked_ns = now_ns;
        ask(oldest);
    }
}

int cluster_scales_new(struct cluster_scales **ret, struct kube_client *kube,
                       void (*changed)(void *ctx), void *ctx, struct err *e) {
    struct cluster_scales *s = mem_zalloc(sizeof(*s));
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->kube = kube;
    s->changed = changed;
    s->ctx = ctx;
    int rc = net_timer_start(&s->timer, kube_client_loop(kube), TURN_MS * NS_PER_MS,
                             TURN_MS * NS_PER_MS, on_turn, s, e);
    if (rc < 0)
        mem_free(s);
    else
        *ret = s;
    return rc;
}

struct cluster_scales *cluster_scales_free(struct cluster_scales *s) {
    struct target *t, *next;
    if (s == NULL)
        return NULL;
    net_timer_stop(&s->timer);
    HASH_ITER(hh, s->targets, t, next) {
        HASH_DEL(s->targets, t);
        target_free(t);
    }
    mem_free(s);
    return NULL;
}

static int target_new(struct cluster_scales *s, const struct kube_scaled_object *so,
                      const char *key, struct target **ret) {
    struct str version = str_from(so->target_api), group = {0};
    if (strchr(so->target_api, '/') != NULL)
        group = str_cut(&version, '/');
    struct target *t = mem_zalloc(sizeof(*t));
    if (t == NULL)
        return ERR_NOMEM;
    t->key = mem_strdup(key);
    t->namespace_ = mem_strdup(so->o.namespace_);
    t->group = mem_strndup(group.p, group.n);
    t->version = mem_strndup(version.p, version.n);
    t->kind = mem_strdup(so->target_kind);
    t->name = mem_strdup(so->target_name);
    t->all = s;
    t->asked_ns = INT64_MIN;
    (void)err_set(&t->why, ERR_UNAVAILABLE, "its scale was not read yet");
    if (!t->key || !t->namespace_ || !t->group || !t->version || !t->kind || !t->name) {
        target_free(t);
        return ERR_NOMEM;
    }
    HASH_ADD_KEYPTR(hh, s->targets, t->key, strlen(t->key), t);
    if (map_oom()) {
        target_free(t);
        return ERR_NOMEM;
    }
    *ret = t;
    return 0;
}

// False: the names are too long. *ret NULL: it is not asked for.
static bool find(const struct cluster_scales *s, const struct kube_scaled_object *so,
                 char key[KEY_MAX], struct target **ret) {
    int n = snprintf(key, KEY_MAX, "%s %s %s %s", so->o.namespace_, so->target_api, so->target_kind,
                     so->target_name);
    if (n < 0 || n >= KEY_MAX)
        return false;
    HASH_FIND(hh, s->targets, key, (size_t)n, *ret);
    return true;
}

int64_t cluster_scales_stale_ns(const struct cluster_scales *s, const struct kube_scaled_object *so,
                                int64_t now_ns) {
    char key[KEY_MAX];
    struct target *t = NULL;
    return find(s, so, key, &t) && t != NULL && t->failing ? now_ns - t->read_ns : 0;
}

void cluster_scales_troubles(const struct cluster_scales *s, int64_t now_ns, struct buf *out) {
    size_t n = 0;
    for (const struct target *t = s->targets; t != NULL; t = t->hh.next)
        if (t->failing && !t->unreachable && n++ < SHOWN_MAX)
            (void)buf_addf(out, "scale of %s/%s/%s as it was %lld s ago: %s\n", t->namespace_,
                           t->kind, t->name, (long long)((now_ns - t->read_ns) / NS_PER_S),
                           t->why.msg);
    if (n > SHOWN_MAX)
        (void)buf_addf(out, "scales of %zu more targets as they were\n", n - SHOWN_MAX);
}

int cluster_scales_get(struct cluster_scales *s, const struct kube_scaled_object *so,
                       const struct kube_scale **ret, struct err *e) {
    char key[KEY_MAX];
    struct target *t;
    if (!find(s, so, key, &t))
        return err_set(e, ERR_LIMIT, "the names of its target are too long");
    if (t == NULL && target_new(s, so, key, &t) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->generation = s->generation;
    if (t->scale != NULL) {
        *ret = (const struct kube_scale *)(const void *)t->scale;
        return 0;
    }
    *e = t->why;
    return err_wrap(e, "target %s/%s", so->target_kind, so->target_name);
}

void cluster_scales_sweep(struct cluster_scales *s) {
    struct target *t, *next;
    HASH_ITER(hh, s->targets, t, next) {
        if (t->generation == s->generation)
            continue;
        HASH_DEL(s->targets, t);
        target_free(t);
    }
    s->generation++;
}
