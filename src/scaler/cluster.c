// SPDX-License-Identifier: Apache-2.0
/* The caches, and when a version is made of them; see the header. */
#include "scaler/cluster.h"

#include "base/clock.h"
#include "base/log.h"
#include "scaler/cluster_events.h"
#include "scaler/cluster_internal.h"

// Is it another for the workloads? For each kind of cache.
static bool scaled_object_differs(const struct kube_object *a, const struct kube_object *b) {
    const struct kube_scaled_object *x = (const void *)a, *y = (const void *)b;
    bool same = x->n_triggers == y->n_triggers && x->paused == y->paused &&
                strcmp(x->target_api, y->target_api) == 0 &&
                strcmp(x->target_kind, y->target_kind) == 0 &&
                strcmp(x->target_name, y->target_name) == 0 && strcmp(x->o.uid, y->o.uid) == 0;
    for (size_t i = 0; same && i < x->n_triggers; i++) {
        const struct kube_trigger *t = &x->triggers[i], *u = &y->triggers[i];
        same = t->n_metadata == u->n_metadata && strcmp(t->type, u->type) == 0;
        for (size_t k = 0; same && k < t->n_metadata; k++)
            same = strcmp(t->metadata[k].key, u->metadata[k].key) == 0 &&
                   strcmp(t->metadata[k].value, u->metadata[k].value) == 0;
    }
    return !same;
}

static bool ended(const struct kube_pod *p) {
    return strcmp(p->phase, "Succeeded") == 0 || strcmp(p->phase, "Failed") == 0;
}

static bool labels_differ(const struct kube_object *a, const struct kube_object *b) {
    bool same = a->n_labels == b->n_labels;
    for (size_t i = 0; same && i < a->n_labels; i++) {
        const char *other = kube_object_label(b, a->labels[i].key);
        same = other != NULL && strcmp(other, a->labels[i].value) == 0;
    }
    return !same;
}

static bool pod_differs(const struct kube_object *a, const struct kube_object *b) {
    const struct kube_pod *x = (const void *)a, *y = (const void *)b;
    return x->ready != y->ready || ended(x) != ended(y) || strcmp(x->ip, y->ip) != 0 ||
           (x->o.deletion_ns != 0) != (y->o.deletion_ns != 0) ||
           x->unschedulable_ns != y->unschedulable_ns ||
           strcmp(x->o.owner_uid, y->o.owner_uid) != 0 || strcmp(x->o.uid, y->o.uid) != 0 ||
           labels_differ(a, b);
}

static bool workload_differs(const struct kube_object *a, const struct kube_object *b) {
    const struct kube_workload *x = (const void *)a, *y = (const void *)b;
    return x->replicas != y->replicas || x->status_replicas != y->status_replicas ||
           strcmp(x->o.uid, y->o.uid) != 0;
}

static bool hpa_differs(const struct kube_object *a, const struct kube_object *b) {
    const struct kube_hpa *x = (const void *)a, *y = (const void *)b;
    return x->desired != y->desired || strcmp(x->target_name, y->target_name) != 0 ||
           strcmp(x->target_kind, y->target_kind) != 0;
}

static bool workload_counts(const struct io *io, enum cluster_cache_kind kind,
                            const struct kube_object *o) {
    static const char *const kinds[] = {[CLUSTER_DEPLOYMENTS] = "deployment",
                                        [CLUSTER_STATEFUL_SETS] = "statefulset",
                                        [CLUSTER_REPLICA_SETS] = "replicaset"};
    if (io->workloads->cluster == NULL)
        return false;
    if (cluster_target_counts(io->workloads, kinds[kind], o->namespace_, o->name))
        return true;
    // A ReplicaSet that comes after its pods says whose they are.
    return kind == CLUSTER_REPLICA_SETS && strcmp(o->owner_kind, "Deployment") == 0 &&
           cluster_target_counts(io->workloads, "deployment", o->namespace_, o->owner_name);
}

static bool pod_counts(const struct io *io, const struct kube_object *o) {
    return o != NULL && io->workloads->cluster != NULL &&
           cluster_pod_counts(io->workloads, &io->cluster->view, (const void *)o);
}

static void touch_if(struct io *io, bool *stale, bool yes) {
    if (!yes)
        return;
    *stale = true;
    cluster_touch(io);
}

static void on_changed(void *ctx, enum kube_change change, const struct kube_object *now,
                       const struct kube_object *was) {
    struct cluster_cache *cache = ctx;
    struct io *io = cache->io;
    struct cluster *c = io->cluster;
    enum cluster_cache_kind kind = (enum cluster_cache_kind)(cache - c->caches);
    const struct kube_object *o = now ? now : was;
    bool replaced = now != NULL && was != NULL;
    switch (kind) {
    case CLUSTER_SCALED_OBJECTS:
        touch_if(io, &c->objects_stale, !replaced || scaled_object_differs(now, was));
        break;
    case CLUSTER_PODS:
        touch_if(io, &c->pods_stale,
                 (!replaced || pod_differs(now, was)) &&
                     (pod_counts(io, now) || pod_counts(io, was)));
        break;
    case CLUSTER_DEPLOYMENTS:
    case CLUSTER_STATEFUL_SETS:
    case CLUSTER_REPLICA_SETS:
        touch_if(io, &c->pods_stale,
                 (!replaced || workload_differs(now, was)) && workload_counts(io, kind, o));
        break;
    case CLUSTER_HPAS: // KEDA's own say nothing new
        touch_if(io, &c->pods_stale,
                 strcmp(o->owner_kind, "ScaledObject") != 0 &&
                     (!replaced || hpa_differs(now, was)));
        break;
    case CLUSTER_RESOURCE_SLICES:
        touch_if(io, &io->claims.stale, true);
        break;
    default:
        touch_if(io, &c->agents_stale, true);
        break;
    }
}

// Where KEDA is not installed, the API server knows no ScaledObjects: there are none.
static bool has_no_kind(const struct cluster_cache *cache) {
    return cache->fault == KUBE_NOT_FOUND &&
           cache == &cache->io->cluster->caches[CLUSTER_SCALED_OBJECTS];
}

static bool synced(const struct cluster *c) {
    for (int i = 0; i < CLUSTER_REQUIRED; i++)
        if (!kube_reflector_synced(cluster_cache_of(c, (enum cluster_cache_kind)i)) &&
            !has_no_kind(&c->caches[i]))
            return false;
    return true;
}

static void on_synced(void *ctx) {
    struct cluster_cache *cache = ctx;
    struct cluster *c = cache->io->cluster;
    if (cache == &c->caches[CLUSTER_AGENTS])
        c->agents_stale = true;
    else if (cache == &c->caches[CLUSTER_RESOURCE_SLICES])
        cache->io->claims.stale = true;
    else if (cache < &c->caches[CLUSTER_REQUIRED] && c->built_ns == 0)
        c->objects_stale = true;
    cluster_touch(cache->io);
}

static void on_problem(void *ctx, const struct err *e) {
    const struct cluster_cache *cache = ctx;
    log_warn("an object of the cluster cannot be read: its last good state stands",
             LOG_STR("resource", cache->resource), LOG_ERR(e));
}

static void on_state(void *ctx, enum kube_fault fault, const struct err *e) {
    struct cluster_cache *cache = ctx;
    bool again = cache->fault == fault && strcmp(cache->why.msg, e->msg) == 0;
    bool was_well = cache->failing_since_ns == 0;
    cache->fault = fault;
    cache->why = *e;
    if (e->code == 0) {
        cache->failing_since_ns = 0;
        if (!was_well)
            log_info("the cluster answers again", LOG_STR("resource", cache->resource));
        return;
    }
    cache->failures[fault]++;
    if (has_no_kind(cache))
        on_synced(cache);
    if (was_well)
        cache->failing_since_ns = clock_mono_ns();
    if (!again)
        log_warn("the cluster does not answer: its last state stands",
                 LOG_STR("resource", cache->resource), LOG_STR("fault", kube_fault_name(fault)),
                 LOG_ERR(e));
}

const struct kube_reflector *cluster_cache_of(const struct cluster *c, enum cluster_cache_kind k) {
    return c->caches[k].informer ? kube_informer_reflector(c->caches[k].informer) : NULL;
}

static int follow(struct io *io, enum cluster_cache_kind k, const struct kube_kind *kind,
                  const char *namespace_, const char *label_selector, struct err *e) {
    struct cluster_cache *cache = &io->cluster->caches[k];
    cache->io = io;
    cache->resource = kind->resource;
    struct kube_informer_options o = {
        .client = io->kube,
        .reflector = {.kind = kind,
                      .namespace_ = namespace_,
                      .label_selector = label_selector,
                      .seed = io->seed + 5 + (uint64_t)k,
                      .changed = on_changed,
                      .synced = on_synced,
                      .problem = on_problem,
                      .ctx = cache},
        .state = on_state,
    };
    return kube_informer_new(&cache->informer, &o, e);
}

static int follow_agents(struct io *io, struct err *e) {
    struct cluster *c = io->cluster;
    const char *service = io->config->kubernetes.agents.service;
    if (service == NULL)
        return 0;
    struct str name = str_from(service), ns = str_cut(&name, '/');
    c->service_namespace = mem_strndup(ns.p, ns.n);
    size_t room = strlen("kubernetes.io/service-name=") + name.n + 1;
    c->service = mem_alloc(room);
    if (c->service_namespace == NULL || c->service == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    (void)snprintf(c->service, room, "kubernetes.io/service-name=" STR_FMT, STR_ARG(name));
    return follow(io, CLUSTER_AGENTS, &kube_endpoint_slices, c->service_namespace, c->service, e);
}

static void on_scale_changed(void *ctx) {
    struct io *io = ctx;
    touch_if(io, &io->cluster->pods_stale, true);
}

static int get_scale(void *ctx, const struct kube_scaled_object *so, const struct kube_scale **ret,
                     struct err *e) {
    struct io *io = ctx;
    return cluster_scales_get(io->cluster->scales, so, ret, e);
}

static int follow_all(struct io *io, struct err *e) {
    static const struct kube_kind *const kinds[] = {
        [CLUSTER_SCALED_OBJECTS] = &kube_scaled_objects,
        [CLUSTER_PODS] = &kube_pods,
        [CLUSTER_DEPLOYMENTS] = &kube_deployments,
        [CLUSTER_STATEFUL_SETS] = &kube_stateful_sets,
        [CLUSTER_REPLICA_SETS] = &kube_replica_sets,
    };
    struct cluster *c = io->cluster;
    int rc = cluster_scales_new(&c->scales, io->kube, on_scale_changed, io, e);
    for (size_t k = 0; rc == 0 && k < COUNT_OF(kinds); k++)
        rc = follow(io, (enum cluster_cache_kind)k, kinds[k], NULL, NULL, e);
    rc = rc < 0 ? rc : follow(io, CLUSTER_HPAS, &kube_hpas, NULL, NULL, e);
    rc = rc < 0 ? rc : follow_agents(io, e);
    if (rc < 0)
        return rc;
    c->view = (struct cluster_view){
        .scaled_objects = cluster_cache_of(c, CLUSTER_SCALED_OBJECTS),
        .pods = cluster_cache_of(c, CLUSTER_PODS),
        .deployments = cluster_cache_of(c, CLUSTER_DEPLOYMENTS),
        .stateful_sets = cluster_cache_of(c, CLUSTER_STATEFUL_SETS),
        .replica_sets = cluster_cache_of(c, CLUSTER_REPLICA_SETS),
        .hpas = cluster_cache_of(c, CLUSTER_HPAS),
        .scale = get_scale,
        .asked = cluster_objects_asked,
        .ctx = io,
        .addresses = c->addresses,
        .rules = io->config->rules.items,
        .n_rules = io->config->rules.n,
    };
    return 0;
}

// Makes a version and takes it. Without memory the one before stays, and it is tried again.
static void build(struct io *io) {
    struct cluster *c = io->cluster;
    struct workloads *fresh;
    struct err e = {0};
    int64_t began_ns = clock_mono_ns();
    if (cluster_build(&fresh, &c->view, &e) < 0) {
        io->count.workloads_failures++;
        if (c->unbuilt_since_ns == 0)
            c->unbuilt_since_ns = began_ns;
        if (io->workloads_bad.code != e.code)
            log_error("no version of the workloads made, the one before stays in use", LOG_ERR(&e));
        io->workloads_bad = e;
        cluster_touch(io);
        return;
    }
    io->workloads_bad = (struct err){0};
    c->unbuilt_since_ns = 0;
    bool objects = c->objects_stale, first = c->built_ns == 0;
    if (first) // what is found while it is taken is found
        c->first_ns = c->built_ns = began_ns;
    c->pods_stale = c->objects_stale = false;
    cluster_scales_sweep(c->scales);
    if (objects)
        cluster_objects_mark(io);
    io_workloads_take(io, fresh);
    if (objects)
        cluster_objects_settle(io);
    c->built_ns = clock_mono_ns();
    c->build_took_ns = c->built_ns - began_ns;
    c->versions++;
    io_flush(io, c->built_ns);
    if (first)
        log_info("cluster read", LOG_I64("workloads", fresh->list.n),
                 LOG_I64("pods", kube_reflector_stats(c->view.pods)->objects),
                 LOG_I64("triggers", HASH_COUNT(io->objects)),
                 LOG_DUR("took", c->built_ns - io->started_ns));
}

void io_cluster_follow_slices(struct io *io) {
    struct cluster *c = io->cluster;
    struct err e = {0};
    if (c == NULL || io->kube == NULL || c->caches[CLUSTER_RESOURCE_SLICES].informer != NULL)
        return;
    if (follow(io, CLUSTER_RESOURCE_SLICES, &kube_resource_slices, NULL, NULL, &e) < 0)
        log_error("ResourceSlices are not followed: GPUs of claims have no owner", LOG_ERR(&e));
}

static void resolve_claims(struct io *io) {
    const struct kube_reflector *slices = cluster_cache_of(io->cluster, CLUSTER_RESOURCE_SLICES);
    if (slices == NULL || !kube_reflector_synced(slices) || claims_resolve(&io->claims, slices) < 0)
        return; // without memory: with the next change
    io_gpu_sources_claims(io);
}

static void work_off(struct io *io) {
    struct cluster *c = io->cluster;
    if (c->agents_stale)
        io_cluster_agents_tell(io);
    c->agents_stale = false;
    if (io->claims.stale)
        resolve_claims(io);
    c->objects_stale |= c->met;
    c->met = false;
    if (synced(c) && (c->objects_stale || c->pods_stale))
        build(io);
}

static void on_soon(void *ctx) {
    struct io *io = ctx;
    io->cluster->armed = false;
    work_off(io);
}

void cluster_touch(struct io *io) {
    struct cluster *c = io->cluster;
    if (c->armed)
        return;
    c->armed = true;
    int64_t wait_ns = c->build_took_ns * CLUSTER_SHARE;
    if (wait_ns < CLUSTER_SOON_MS * NS_PER_MS)
        wait_ns = CLUSTER_SOON_MS * NS_PER_MS;
    if (wait_ns > CLUSTER_SOON_MAX_MS * NS_PER_MS)
        wait_ns = CLUSTER_SOON_MAX_MS * NS_PER_MS;
    net_timer_again(c->soon, wait_ns);
}

void io_cluster_freshen(struct io *io) {
    struct cluster *c = io->cluster;
    if (c != NULL && synced(c) && (c->objects_stale || c->pods_stale))
        build(io);
}

static int start_client(struct io *io, struct err *e) {
    struct cluster *c = io->cluster;
    struct kube_environment environment = kube_environment_read();
    int rc = kube_config_load(&c->config, &environment, io->config->kubernetes.kubeconfig, NULL, e);
    if (rc < 0)
        return rc;
    struct kube_client_options o = {.loop = &io->loop, .config = &c->config, .seed = io->seed + 4};
    return kube_client_new(&io->kube, &o, e);
}

static int copy_addresses(struct cluster *c, const struct scaler_config *config, struct err *e) {
    size_t n = config->kubernetes.scaler_addresses.n;
    if (n == 0)
        return 0;
    c->addresses = mem_array(n + 1, sizeof(*c->addresses));
    if (c->addresses == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        c->addresses[i] = config->kubernetes.scaler_addresses.items[i];
    return 0;
}

int io_cluster_start(struct io *io, struct err *e) {
    if (!io->config->kubernetes.enabled)
        return 0;
    struct cluster *c = mem_zalloc(sizeof(*c));
    if (c == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    io->cluster = c;
    int rc = start_client(io, e);
    if (rc == 0)
        rc = copy_addresses(c, io->config, e);
    if (rc == 0)
        rc = net_timer_start(&c->soon, &io->loop, INT64_MAX / 4, 0, on_soon, io, e);
    if (rc == 0)
        rc = follow_all(io, e);
    if (rc < 0)
        return err_wrap(e, "kubernetes");
    rc = access_new(&io->access, &(struct access_options){.kube = io->kube}, e);
    if (rc < 0)
        return rc;
    log_info("cluster", LOG_STR("server", c->config.server), LOG_STR("source", c->config.source));
    return 0;
}

void io_cluster_stop(struct io *io) {
    struct cluster *c = io->cluster;
    io->access = access_free(io->access);
    for (struct object *o = c ? io->objects : NULL; o != NULL; o = o->hh.next) {
        io_events_forget(o); // calls on io->kube
        io_cluster_forget_job(o);
    }
    if (c != NULL) {
        for (int i = 0; i < CLUSTER_CACHES; i++)
            c->caches[i].informer = kube_informer_free(c->caches[i].informer);
        c->scales = cluster_scales_free(c->scales);
        net_timer_stop(&c->soon);
    }
    io->kube = kube_client_free(io->kube);
}

void io_cluster_done(struct io *io) {
    struct cluster *c = io->cluster;
    if (c == NULL)
        return;
    kube_config_done(&c->config);
    mem_free(c->addresses);
    mem_free(c->service);
    mem_free(c->service_namespace);
    mem_free(c);
    io->cluster = NULL;
}
