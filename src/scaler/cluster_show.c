// SPDX-License-Identifier: Apache-2.0
/* What people are told of the caches: /readyz, /metrics. */
#include <math.h>

#include "base/clock.h"
#include "core/metrics/prom_write.h"
#include "scaler/cluster_events.h"
#include "scaler/cluster_internal.h"

bool io_cluster_ready(const struct io *io, struct buf *missing) {
    const struct cluster *c = io->cluster;
    if (c == NULL)
        return true;
    if (missing != NULL && c->built_ns == 0)
        for (int i = 0; i < CLUSTER_REQUIRED; i++) {
            const struct cluster_cache *cache = &c->caches[i];
            const struct kube_reflector *r = cluster_cache_of(c, (enum cluster_cache_kind)i);
            if (r == NULL || kube_reflector_synced(r))
                continue;
            (void)buf_addf(missing, "%s not listed yet%s%s\n", cache->resource,
                           cache->why.code ? ": " : "", cache->why.code ? cache->why.msg : "");
        }
    return c->built_ns != 0;
}

// Since when the collection cannot be followed; 0: it can.
static int64_t failing_since_ns(const struct cluster_cache *cache) {
    bool well = cache->informer == NULL || kube_informer_answered(cache->informer);
    return well ? 0 : cache->failing_since_ns;
}

int64_t io_cluster_stale_ns(const struct io *io, int64_t now_ns) {
    const struct cluster *c = io->cluster;
    int64_t since_ns = c != NULL && c->unbuilt_since_ns != 0 ? c->unbuilt_since_ns : now_ns;
    for (int i = CLUSTER_PODS; c != NULL && i < CLUSTER_REQUIRED; i++) {
        const struct cluster_cache *cache = &c->caches[i];
        const struct kube_reflector *r = cluster_cache_of(c, (enum cluster_cache_kind)i);
        int64_t failing_ns = failing_since_ns(cache);
        if (r != NULL && kube_reflector_stats(r)->over)
            return INT64_MAX; // the rest is never seen
        if (failing_ns != 0 && failing_ns < since_ns)
            since_ns = failing_ns;
    }
    return now_ns - since_ns;
}

int64_t io_cluster_ready_ns(const struct io *io) {
    return io->cluster ? io->cluster->first_ns : io->started_ns;
}

void io_cluster_troubles(const struct io *io, struct buf *out) {
    const struct cluster *c = io->cluster;
    int64_t now_ns = clock_mono_ns();
    for (int i = 0; c != NULL && i < CLUSTER_CACHES; i++) {
        const struct cluster_cache *cache = &c->caches[i];
        int64_t since_ns = failing_since_ns(cache);
        if (since_ns != 0)
            (void)buf_addf(out, "%s as it was %lld s ago: %s\n", cache->resource,
                           (long long)((now_ns - since_ns) / NS_PER_S), cache->why.msg);
    }
    if (c != NULL && c->scales != NULL)
        cluster_scales_troubles(c->scales, now_ns, out);
    const struct err *trouble = io->kube ? kube_client_trouble(io->kube) : NULL;
    if (trouble != NULL && trouble->code != 0)
        (void)buf_addf(out, "%s\n", trouble->msg);
}

struct shown {
    const char *resource;
    const struct kube_reflector *reflector;
    const struct cluster_cache *cache;
};

static struct prom_label label(const char *name, const char *value) {
    return (struct prom_label){str_from(name), str_from(value)};
}

static void sample(struct prom_writer *w, const struct shown *s, double value) {
    struct prom_label l = label("resource", s->resource);
    prom_sample(w, &l, 1, value);
}

static void cache_gauges(struct prom_writer *w, const struct shown *s, size_t n) {
    int64_t now_ns = clock_mono_ns();
    prom_family(w, "gpuscale_cluster_objects", PROM_GAUGE, "Objects in the cache.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->objects);
    prom_family(w, "gpuscale_cluster_cache_bytes", PROM_GAUGE, "What is kept of them.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->kept_bytes);
    prom_family(w, "gpuscale_cluster_synced", PROM_GAUGE, "1: there has been a whole list.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], kube_reflector_synced(s[i].reflector));
    prom_family(w, "gpuscale_cluster_contact_age_seconds", PROM_GAUGE,
                "Since the API server's last byte; a quiet watch has one each minute.");
    for (size_t i = 0; i < n; i++) {
        int64_t at_ns = kube_reflector_stats(s[i].reflector)->contact_ns;
        sample(w, &s[i], at_ns == INT64_MIN ? NAN : (double)(now_ns - at_ns) / NS_PER_S);
    }
    prom_family(w, "gpuscale_cluster_failing_seconds", PROM_GAUGE,
                "For so long the collection cannot be followed: its last state stands; 0: it can.");
    for (size_t i = 0; i < n; i++) {
        int64_t since_ns = failing_since_ns(s[i].cache);
        sample(w, &s[i], since_ns ? (double)(now_ns - since_ns) / NS_PER_S : 0);
    }
}

static void cache_counters(struct prom_writer *w, const struct shown *s, size_t n) {
    prom_family(w, "gpuscale_cluster_lists_total", PROM_COUNTER, "Lists begun.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->lists);
    prom_family(w, "gpuscale_cluster_watches_total", PROM_COUNTER, "Watches begun.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->watches);
    prom_family(w, "gpuscale_cluster_events_total", PROM_COUNTER, "Changes that watches told.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->events);
    prom_family(w, "gpuscale_cluster_unread_total", PROM_COUNTER,
                "Objects that could not be read or kept.");
    for (size_t i = 0; i < n; i++)
        sample(w, &s[i], (double)kube_reflector_stats(s[i].reflector)->unread);
    prom_family(w, "gpuscale_cluster_failures_total", PROM_COUNTER,
                "Lists and watches that failed, by kind.");
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < KUBE_FAULT_MAX; f++) {
            struct prom_label labels[] = {label("resource", s[i].resource),
                                          label("fault", kube_fault_name((enum kube_fault)f))};
            if (s[i].cache->failures[f] > 0)
                prom_sample_u64(w, labels, COUNT_OF(labels), s[i].cache->failures[f]);
        }
}

void io_cluster_families(const struct io *io, struct prom_writer *w) {
    const struct cluster *c = io->cluster;
    struct shown shown[CLUSTER_CACHES];
    size_t n = 0;
    if (c == NULL)
        return;
    for (int i = 0; i < CLUSTER_CACHES; i++)
        if (c->caches[i].informer != NULL)
            shown[n++] = (struct shown){c->caches[i].resource,
                                        cluster_cache_of(c, (enum cluster_cache_kind)i),
                                        &c->caches[i]};
    cache_gauges(w, shown, n);
    cache_counters(w, shown, n);
    prom_family(w, "gpuscale_cluster_versions_total", PROM_COUNTER,
                "Versions of the workloads made from the caches.");
    prom_sample_u64(w, NULL, 0, c->versions);
    prom_family(w, "gpuscale_cluster_version_seconds", PROM_GAUGE,
                "Time that making and taking the last version took.");
    prom_sample(w, NULL, 0, c->built_ns ? (double)c->build_took_ns / NS_PER_S : NAN);
    prom_family(w, "gpuscale_cluster_triggers_not_bound", PROM_GAUGE,
                "External triggers whose metadata this scaler does not understand.");
    prom_sample(w, NULL, 0, (double)c->unbound);
    prom_family(w, "gpuscale_claimed_devices", PROM_GAUGE,
                "GPUs and MIG instances that containers hold through resource claims (DRA).");
    prom_sample(w, NULL, 0, (double)io->claims.devices);
    prom_family(w, "gpuscale_claimed_devices_unknown", PROM_GAUGE,
                "Of them those that no ResourceSlice tells the uuid of: whose GPU is not known.");
    prom_sample(w, NULL, 0, (double)io->claims.unknown);
    io_events_families(io, w);
}
