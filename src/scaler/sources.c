// SPDX-License-Identifier: Apache-2.0
/*
 * What engines and demand sources tell, carried to where it belongs: pages into their pod's
 * windows, demand to every feed that names it (GPUs: gpu_sources.c). Each marks the feeds that it
 * concerns, so that they are decided at once. Nothing here is ever taken for zero: a failure only
 * lets values age.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "scaler/cluster_events.h"
#include "scaler/io.h"

static struct failing_page *find_failing(const struct io *io, const char *key) {
    struct failing_page *f;
    HASH_FIND(hh, io->failing, key, strlen(key), f);
    return f;
}

static void forget_failing(struct io *io, struct failing_page *f) {
    HASH_DEL(io->failing, f);
    mem_free(f->key);
    mem_free(f);
}

// NULL: no memory.
static struct failing_page *remember_failing(struct io *io, const char *key) {
    struct failing_page *f = mem_zalloc(sizeof(*f));
    if (f == NULL)
        return NULL;
    f->key = mem_strdup(key);
    if (f->key != NULL)
        HASH_ADD_KEYPTR(hh, io->failing, f->key, strlen(f->key), f);
    if (f->key == NULL || map_oom()) {
        mem_free(f->key);
        mem_free(f);
        return NULL;
    }
    return f;
}

void io_sources_forget_failures(struct io *io) {
    struct failing_page *f, *next;
    HASH_ITER(hh, io->failing, f, next)
    if (io_pod_find(io, f->key) == NULL)
        forget_failing(io, f);
}

static void on_engine(void *ctx, const char *key, const struct engine_sample *sample,
                      int64_t requested_at_ns) {
    struct io *io = ctx;
    struct pod_entry *p = io_pod_find(io, key);
    if (p == NULL)
        return; // the pod has just left the file
    struct failing_page *bad = find_failing(io, key);
    if (bad != NULL) {
        log_info("engine page is good again", LOG_STR("pod", key));
        forget_failing(io, bad);
    }
    if (signal_workload_engine(p->feed->signals, str_from(p->name), sample, requested_at_ns))
        io_feed_mark(io, p->feed);
}

// Of the feed's objects, the most patient one's.
static int64_t max_age_ns(const struct feed *f) {
    int64_t most_ns = 0;
    for (const struct object *o = f->objects; o != NULL; o = o->next)
        if (o->trigger->max_age_ns > most_ns)
            most_ns = o->trigger->max_age_ns;
    return most_ns;
}

static void on_engine_failure(void *ctx, const char *key, int failure, const struct err *why) {
    struct io *io = ctx;
    struct pod_entry *p = io_pod_find(io, key);
    if (p == NULL)
        return;
    struct failing_page *bad = find_failing(io, key);
    if (bad == NULL)
        bad = remember_failing(io, key);
    struct page_failure forgotten = {0}; // without memory it is merely told again
    enum page_trouble trouble = page_failure_take(bad != NULL ? &bad->failure : &forgotten, failure,
                                                  why->code, clock_mono_ns(), max_age_ns(p->feed));
    if (trouble == PAGE_NOTHING)
        return;
    const char *remedy = page_failure_remedy(failure, why->code);
    struct err e = *why;
    if (*remedy)
        err_wrap(&e, "%s", remedy);
    log_warn(trouble == PAGE_ERRS ? "engine page has failed for longer than maxAge"
                                  : "engine page failed: its values age",
             LOG_STR("pod", key), LOG_STR("reason", scrape_failure_name(failure)), LOG_ERR(&e));
    for (struct object *o = trouble > PAGE_FAILS ? p->feed->objects : NULL; o; o = o->next)
        io_events_page_refused(io, o, key, &e);
}

static void on_engine_gaps(void *ctx, const char *key, uint32_t missing, uint32_t bad,
                           const char *text) {
    if ((missing | bad) != 0)
        log_warn("engine page lacks values: they are unknown", LOG_STR("pod", key),
                 LOG_STR("values", text));
    else
        log_info("engine page is whole again", LOG_STR("pod", key));
}

static struct demand_state *demand_state(struct io *io, const char *name) {
    for (size_t i = 0; i < io->config->demand.n; i++)
        if (strcmp(io->config->demand.items[i].name, name) == 0)
            return &io->demands[i];
    return NULL;
}

static void on_demand(void *ctx, const char *name, const struct demand_sample *sample,
                      int64_t requested_at_ns) {
    struct io *io = ctx;
    struct demand_state *d = demand_state(io, name);
    if (d == NULL)
        return;
    if (d->failing)
        log_info("demand source is good again", LOG_STR("demand", name));
    d->failing = false;
    for (struct feed *f = d->feeds; f != NULL; f = f->next_of_demand)
        if (signal_workload_demand(f->signals, sample, requested_at_ns))
            io_feed_mark(io, f);
}

static void on_demand_failure(void *ctx, const char *name, int failure, const struct err *why) {
    struct demand_state *d = demand_state(ctx, name);
    if (d == NULL || d->failing)
        return;
    d->failing = true;
    log_warn("demand source failed: its values age", LOG_STR("demand", name),
             LOG_STR("reason", scrape_failure_name(failure)), LOG_ERR(why));
}

static void on_demand_gaps(void *ctx, const char *name, uint32_t missing, uint32_t bad,
                           const char *text) {
    if ((missing | bad) != 0)
        log_warn("demand source lacks values: they are unknown", LOG_STR("demand", name),
                 LOG_STR("values", text));
    else
        log_info("demand source is whole again", LOG_STR("demand", name));
}

static int start_engines(struct io *io, struct err *e) {
    struct engines_options o = {
        .loop = &io->loop,
        .seed = io->seed + 1,
        .sample = on_engine,
        .failure = on_engine_failure,
        .gaps = on_engine_gaps,
        .ctx = io,
    };
    int rc = engines_new(&io->engines, &o, e);
    return rc < 0 ? err_wrap(e, "engines") : 0;
}

static int set_demand(struct io *io, struct err *e) {
    const struct scaler_config *c = io->config;
    struct demand_source *sources = mem_array(c->demand.n + 1, sizeof(*sources));
    if (sources == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->demand.n; i++) {
        const struct config_demand *d = &c->demand.items[i];
        sources[i] = (struct demand_source){
            .name = d->name, .url = d->url, .interval_ns = d->interval_ns, .rule = d->rule};
    }
    int rc = demand_set_sources(io->demand, sources, c->demand.n, e);
    mem_free(sources);
    return rc < 0 ? err_wrap(e, "demand") : 0;
}

static int start_demand(struct io *io, struct err *e) {
    io->demands = mem_array(io->config->demand.n + 1, sizeof(*io->demands));
    if (io->demands == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct demand_options o = {
        .loop = &io->loop,
        .seed = io->seed + 2,
        .sample = on_demand,
        .failure = on_demand_failure,
        .gaps = on_demand_gaps,
        .ctx = io,
    };
    int rc = demand_new(&io->demand, &o, e);
    return rc < 0 ? err_wrap(e, "demand") : set_demand(io, e);
}

int io_sources_start(struct io *io, struct err *e) {
    int rc = random_kernel(&io->seed, sizeof(io->seed));
    if (rc < 0)
        return err_set(e, rc, "no random numbers from the kernel");
    if (signal_join_new(&io->join) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    io->gpus.join = io->join;
    rc = io_gpu_sources_start(io, e);
    if (rc == 0)
        rc = start_engines(io, e);
    if (rc == 0)
        rc = start_demand(io, e);
    if (rc == 0)
        rc = io_queries_start(io, e);
    return rc;
}

int io_sources_lead(struct io *io, bool leads, struct err *e) {
    struct err later = {0};
    int rc = io_gpu_sources_lead(io, leads, e);
    int rc2 = leads ? set_demand(io, &later) : demand_set_sources(io->demand, NULL, 0, &later);
    if (rc == 0 && rc2 < 0 && e != NULL)
        *e = later;
    return rc < 0 ? rc : rc2;
}

void io_sources_stop(struct io *io) {
    io_gpu_sources_stop(io);
    io->engines = engines_free(io->engines);
    io->demand = demand_free(io->demand);
    io_queries_stop(io);
    io_feeds_forget_pods(io);
    io_sources_forget_failures(io);
}
