// SPDX-License-Identifier: Apache-2.0
/*
 * Feeds: what is measured of a workload. A feed follows its workload's pods in the present file,
 * tells the engines' scraper which pages to read, and knows which objects to decide when something
 * is heard.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/cluster.h"
#include "scaler/io.h"

enum { KEY_MAX = 2048 };

static int feed_key(const struct workload *w, const struct trigger *t, char key[KEY_MAX]) {
    int n = snprintf(key, KEY_MAX, "%s %s %u %s %s", w->id, t->engine, t->metrics_port,
                     t->metrics_path ? t->metrics_path : "-", t->demand ? t->demand : "-");
    return n > 0 && n < KEY_MAX ? 0 : ERR_LIMIT;
}

// The demand source's list of feeds.
static void link_demand(struct io *io, struct feed *f) {
    for (size_t i = 0; f->demand != NULL && i < io->config->demand.n; i++)
        if (strcmp(io->config->demand.items[i].name, f->demand) == 0) {
            f->demand_state = &io->demands[i];
            f->next_of_demand = f->demand_state->feeds;
            f->demand_state->feeds = f;
            return;
        }
}

static void unlink_demand(struct feed *f) {
    if (f->demand_state == NULL)
        return;
    struct feed **at = &f->demand_state->feeds;
    while (*at != f)
        at = &(*at)->next_of_demand;
    *at = f->next_of_demand;
}

static struct feed *feed_free(struct feed *f) {
    if (f != NULL) {
        signal_workload_free(f->signals);
        mem_free(f->key);
        mem_free(f->path);
        mem_free(f->demand);
        mem_free(f);
    }
    return NULL;
}

static bool copy_optional(char **dst, const char *s) {
    *dst = s ? mem_strdup(s) : NULL;
    return s == NULL || *dst != NULL;
}

static int feed_new(struct io *io, const struct workload *w, const struct trigger *t,
                    const char *key, struct feed **ret, struct err *e) {
    const struct engine_preset *preset;
    int rc = engine_preset_find(str_from(t->engine), &preset, e);
    if (rc < 0)
        return rc;
    struct feed *f = mem_zalloc(sizeof(*f));
    if (f == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct signal_engine engine = {
        .provides = engine_preset_provides(preset),
        .requests_finished = preset->requests == ENGINE_COUNTS_FINISHED,
    };
    f->preset = preset;
    f->port = t->metrics_port;
    if (!copy_optional(&f->key, key) || !copy_optional(&f->path, t->metrics_path) ||
        !copy_optional(&f->demand, t->demand) ||
        signal_workload_new(&f->signals, str_from(w->namespace_), io->join, &engine) < 0) {
        feed_free(f);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    const struct demand_rule *rule = t->demand ? demand_rule_of(io->demand, t->demand) : NULL;
    if (rule != NULL) {
        signal_workload_set_demand(f->signals, rule->provides);
        signal_workload_set_demand_uncounted(f->signals, rule->uncounted);
    }
    *ret = f;
    return 0;
}

// The pods of the present file. Wall-clock starts become monotonic by their age now.
static int set_pods(struct feed *f, const struct workload *w, struct err *e) {
    int64_t now_ns = clock_mono_ns(), real_ns = clock_real_ns();
    struct signal_pod *pods = mem_array(w->pods.n + 1, sizeof(*pods));
    if (pods == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < w->pods.n; i++) {
        const struct workload_pod *p = &w->pods.items[i];
        pods[i] = (struct signal_pod){str_from(p->name), p->state, SIGNAL_TIME_UNKNOWN,
                                      SIGNAL_TIME_UNKNOWN, str_from(p->uid ? p->uid : "")};
        if (p->started_real_ns != 0) {
            int64_t age_ns = real_ns - p->started_real_ns;
            pods[i].started_ns = now_ns - (age_ns > 0 ? age_ns : 0);
            if (p->ready_real_ns > p->started_real_ns)
                pods[i].ready_ns = pods[i].started_ns + (p->ready_real_ns - p->started_real_ns);
        }
    }
    int rc = signal_workload_set_pods(f->signals, pods, w->pods.n, now_ns);
    mem_free(pods);
    if (rc < 0)
        return err_set(e, rc, "the pods of %s: %s", w->id, err_code_name(rc));
    f->workload = w;
    return 0;
}

int io_feed_get(struct io *io, struct object *o, struct feed **ret, struct err *e) {
    const struct object_ref *r = &o->key->ref;
    const struct trigger *t = o->trigger;
    const struct workload *w;
    char key[KEY_MAX];
    if (!io_cluster_ready(io, NULL))
        return err_set(e, ERR_UNAVAILABLE,
                       "%s %s/%s: the cluster is not read yet (/readyz says what is missing)",
                       object_ref_kind(r), r->namespace_.p, r->name.p);
    if (o->job_asked && o->fault.code == ERR_UNSUPPORTED && !io_cluster_has(io, o)) {
        *e = o->fault; // a ScaledJob
        return e->code;
    }
    if (!io_cluster_has(io, o)) {
        io_cluster_ask_job(io, o);
        return err_set(e, ERR_NOTFOUND,
                       "ScaledObject %s/%s: the cluster has no ScaledObject of this name with such "
                       "a trigger (yet, or any more)",
                       r->namespace_.p, r->name.p);
    }
    int rc = workloads_find(io->workloads, r->namespace_, r->name, t->target, t->target_name, &w,
                            e);
    if (rc < 0) {
        (void)err_wrap(e, "%s %s/%s", object_ref_kind(r), r->namespace_.p, r->name.p);
        return rc;
    }
    if (feed_key(w, t, key) < 0)
        return err_set(e, ERR_LIMIT, "%s: engine, path and demand are too long", w->id);
    struct feed *f, *fresh = NULL;
    HASH_FIND(hh, io->feeds, key, strlen(key), f);
    if (f == NULL) {
        rc = feed_new(io, w, t, key, &fresh, e);
        if (rc < 0)
            return rc;
        f = fresh;
    }
    if (f->workload != NULL && f->workload->digest == w->digest) {
        f->workload = w; // of another version, and the same
    } else if ((rc = set_pods(f, w, e)) < 0) {
        feed_free(fresh);
        return rc;
    } else {
        f->stirred = true;
    }
    if (fresh != NULL) {
        HASH_ADD_KEYPTR(hh, io->feeds, f->key, strlen(f->key), f);
        if (map_oom()) {
            feed_free(fresh);
            return err_set(e, ERR_NOMEM, "out of memory");
        }
        link_demand(io, f);
        io->targets_stale = true;
    }
    if (t->rate_window_ns > f->history_ns) {
        f->history_ns = t->rate_window_ns;
        signal_workload_set_history(f->signals, f->history_ns);
    }
    if (f->fresh_ns == 0 || t->max_age_ns < f->fresh_ns) {
        f->fresh_ns = t->max_age_ns;
        io->targets_stale = true;
    }
    *ret = f;
    return 0;
}

static void unlink_dirty(struct io *io, struct feed *f) {
    struct feed **at = &io->dirty;
    while (*at != f)
        at = &(*at)->next_dirty;
    *at = f->next_dirty;
    f->dirty = false;
}

// The pod entries point at their feeds: those of a feed that goes must go with it, at once.
void io_feeds_forget_pods(struct io *io) {
    HASH_CLEAR(hh, io->pods);
    arena_reset(&io->pods_arena);
    io->targets_stale = true;
}

void io_feed_release(struct io *io, struct feed *f) {
    if (f->objects != NULL)
        return;
    if (f->dirty)
        unlink_dirty(io, f);
    unlink_demand(f);
    io_feeds_forget_pods(io);
    HASH_DEL(io->feeds, f);
    feed_free(f);
}

void io_feed_mark(struct io *io, struct feed *f) {
    if (f->dirty)
        return;
    f->dirty = true;
    f->next_dirty = io->dirty;
    if (io->dirty == NULL)
        net_timer_again(io->soon, IO_SOON_MS * NS_PER_MS);
    io->dirty = f;
}

struct pod_entry *io_pod_find(const struct io *io, const char *key) {
    struct pod_entry *p;
    HASH_FIND(hh, io->pods, key, strlen(key), p);
    return p;
}

// Enters the pod; a second feed of the same pod hangs behind the first and has a key of its own.
static struct pod_entry *add_pod(struct io *io, struct feed *f, const struct workload_pod *pod) {
    struct pod_entry *p = arena_zalloc(&io->pods_arena, sizeof(*p)), *first;
    if (p == NULL)
        return NULL;
    p->feed = f;
    p->key = arena_printf(&io->pods_arena, "%s/%s", f->workload->namespace_, pod->name);
    if (p->key == NULL)
        return NULL;
    p->name = p->key + strlen(f->workload->namespace_) + 1;
    HASH_FIND(hh, io->pods, p->key, strlen(p->key), first);
    if (first != NULL) {
        p->name = first->name;
        unsigned n = 2;
        for (struct pod_entry *x = first; x->same != NULL; x = x->same)
            n++;
        p->key = arena_printf(&io->pods_arena, "%s#%u", first->key, n);
        if (p->key == NULL)
            return NULL;
        p->same = first->same;
        first->same = p;
    }
    HASH_ADD_KEYPTR(hh, io->pods, p->key, strlen(p->key), p);
    return map_oom() ? NULL : p;
}

static const char *page_url(struct io *io, const struct feed *f, const struct workload_pod *pod) {
    uint16_t port = f->port ? f->port : pod->port ? pod->port : f->preset->port;
    bool v6 = strchr(pod->ip, ':') != NULL;
    return arena_printf(&io->pods_arena, "http://%s%s%s:%u%s", v6 ? "[" : "", pod->ip,
                        v6 ? "]" : "", port, f->path ? f->path : f->preset->path);
}

struct target_vec VEC(struct engines_target);

static int add_feed_targets(struct io *io, struct feed *f, struct target_vec *targets) {
    for (size_t i = 0; i < f->workload->pods.n; i++) {
        const struct workload_pod *pod = &f->workload->pods.items[i];
        struct pod_entry *p = add_pod(io, f, pod);
        if (p == NULL)
            return ERR_NOMEM;
        if (pod->state != POD_READY || pod->ip == NULL || f->preset->path == NULL)
            continue; // not serving, or an engine without a page
        struct engines_target t = {
            .key = p->key,
            .url = page_url(io, f, pod),
            .preset = f->preset,
            .interval_ns = io->config->engines.interval_ns,
            .fresh_ns = f->fresh_ns,
        };
        if (t.url == NULL || vec_push(targets, t) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

void io_update_targets(struct io *io) {
    if (!io->targets_stale)
        return;
    io_feeds_forget_pods(io);
    struct target_vec targets;
    vec_init(&targets, LIMIT_ENGINE_TARGETS);
    int rc = 0;
    for (struct feed *f = io->feeds; f != NULL && rc == 0; f = f->hh.next)
        rc = add_feed_targets(io, f, &targets);
    struct err e = {0};
    if (rc < 0)
        (void)err_set(&e, rc, "too many pods (LIMIT_ENGINE_TARGETS), or no memory");
    else
        rc = engines_set_targets(io->engines, targets.items, targets.n, &e);
    vec_done(&targets);
    io->targets_stale = rc < 0; // tried again by the next tick
    if (rc < 0)
        log_error("cannot tell which engine pages to read", LOG_ERR(&e));
    else
        io_sources_forget_failures(io);
}
