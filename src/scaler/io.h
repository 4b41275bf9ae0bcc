// SPDX-License-Identifier: Apache-2.0
/*
 * The io thread's state: what is configured, which objects KEDA has asked about, what is known of
 * their workloads, and the sources that tell it. One thread owns all of it; the rpc thread is
 * reached by two queues (messages.h).
 *
 *     object  one trigger: {namespace, ScaledObject, metadata}, or a rule of the configuration; a
 *             decider; its last decisions
 *     feed    what is measured of one workload in one way (engine, port, path, demand source);
 *             objects that measure alike share it
 */
#pragma once

#include <uv.h>

#include "base/map.h"
#include "base/queue.h"
#include "base/vec.h"
#include "core/policy/decide.h"
#include "kube/client.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "net/signals.h"
#include "scaler/access.h"
#include "scaler/bind.h"
#include "scaler/claims.h"
#include "scaler/config.h"
#include "scaler/gpus.h"
#include "scaler/history.h"
#include "scaler/messages.h"
#include "scaler/object_index.h"
#include "scaler/page_failure.h"
#include "scaler/rpc.h"
#include "scaler/workloads.h"
#include "source/agents.h"
#include "source/demand.h"
#include "source/engines.h"
#include "source/exporters.h"

#define OBJECT_ID_OWN (UINT64_C(1) << 52) // ids above are given here; a page's number holds them

enum {
    IO_SOON_MS = 50,        // after something is heard, its objects are decided
    IO_SPACING_MS = 150,    // but not more often than this
    IO_SOON_BUDGET_MS = 20, // of computing in one such turn: the rest waits for the next
    IO_PODS_ARENA_BYTES = 128 << 20,
};

struct feed {
    char *key;                       // "prod/deployment/llm vllm 8000 /metrics gateway"
    const struct workload *workload; // of the present version; set while it has objects
    struct signal_workload *signals;
    const struct engine_preset *preset;
    uint16_t port; // 0: the preset's
    char *path;    // NULL: the preset's
    char *demand;  // NULL: none
    struct object *objects;
    int64_t history_ns; // longest rate window of its objects
    int64_t fresh_ns;   // shortest maxAge of its objects
    int64_t decided_ns; // the last decision of its objects
    bool dirty;         // something was heard since
    bool stirred;       // its pods or replicas have changed: io_rebind_all() decides
    struct feed *next_dirty;
    struct demand_state *demand_state; // NULL: names none
    struct feed *next_of_demand;
    UT_hash_handle hh;
};

// Who wants to know a query's value.
struct query_use {
    struct query *query; // NULL: none (no memory: it is unknown)
    struct object *object;
    struct query_use *next; // of the query
};

struct object {
    uint64_t id;
    uint64_t rpc_id;  // the rpc thread's; 0: KEDA has not asked about it
    bool watched;     // it is an external trigger of a ScaledObject in the cluster
    unsigned pass;    // over those, in which it was last seen to be one
    bool of_call;     // KEDA's call alone says so: it goes when KEDA asks no more
    bool leaving;     // it was, and is no more: removed once its successor has its feed
    int64_t since_ns; // it is known
    int64_t asked_ns; // KEDA asked for it last, here or at another scaler; 0: never
    int64_t heard_ns; // the same, or when it need not ask
    struct object_key *key;
    struct trigger *trigger;
    struct decider *decider;
    struct feed *feed;   // NULL: no workload
    struct err fault;    // why there is no feed
    struct object *next; // of the feed
    struct record last;  // valid when decided
    bool decided;
    bool published;        // `sent` is what the rpc thread has or will get
    struct published sent; // without the message
    char *message;         // of a rule's last answer that is an error; else NULL
    int64_t sent_ns;
    int64_t told_window_ns;  // the down-window as the other scalers were told it last
    int64_t told_learned_ns; // when they were told what is learned, or it was found unchanged,
    uint64_t told_learned;   // and its hash
    uint64_t decisions, changes;
    struct query_use queries[LIMIT_TRIGGER_QUERIES]; // the trigger's, in its order
    struct log_site told;                            // its own rate of log lines
    struct history history;
    struct kube_call *job_call; // is it a ScaledJob? Asked once (cluster_jobs.c)
    struct job_question *job_question;
    bool job_asked;
    struct object_events *events;      // cluster_events.c; NULL: none yet
    struct object_index_entry indexed; // in by_key
    UT_hash_handle hh, hh_rpc;
};

// A pod that is known by name: whose GPU or whose page it is.
struct pod_entry {
    const char *key;  // "prod/llm-0"; of a second feed of the same pod "prod/llm-0#2"
    const char *name; // "llm-0"
    struct feed *feed;
    struct pod_entry *same; // the next feed of the same pod
    UT_hash_handle hh;
};

// An engine page that fails; outlives the entries, which are made anew.
struct failing_page {
    char *key;
    struct page_failure failure;
    UT_hash_handle hh;
};

// One configured demand source.
struct demand_state {
    struct feed *feeds; // that name it
    bool failing;       // said once
};

struct io_counters {
    uint64_t ticks, early_ticks, decisions, changes;
    uint64_t decide_ns, tick_ns_max;
    uint64_t messages_lost; // to the rpc thread
    uint64_t workloads_reloads, workloads_failures, tls_reload_failures;
    uint64_t gpu_updates, gpu_refused;
};

struct io {
    uv_loop_t loop;
    const struct scaler_config *config;
    struct binder binder;
    struct queue *to_io, *to_rpc;
    struct rpc *rpc;
    struct net_watch *watch;

    struct workloads *workloads;
    struct conf_stamp stamp;  // of the workloads file, as last looked at
    struct err workloads_bad; // why the newest version is not in use

    struct object *objects;            // by id
    struct object **rules;             // by index of config.rules; NULL: not yet
    struct object *by_rpc;             // by rpc_id
    struct object_index_entry *by_key; // by what is asked about
    uint64_t next_own_id;
    struct VEC(uint64_t) gone; // rpc_id of objects that are no more: the rpc thread is to know
    struct feed *feeds;        // by key
    struct feed *dirty;
    struct pod_entry *pods;       // by name
    struct arena pods_arena;      // what they are made of
    struct failing_page *failing; // by key of pod_entry: said once
    bool targets_stale;           // pods or feeds changed since the engines were told

    struct signal_join *join;
    uint64_t seed;    // of the sources' phases and jitter
    struct gpus gpus; // of agents and exporters
    struct claims claims;
    struct agents *agents;
    struct exporters *exporters;
    struct engines *engines;
    struct demand *demand;
    struct demand_state *demands; // by index of config.demand
    struct queries *queries;      // on Prometheus servers

    struct kube_client *kube;        // NULL: no cluster is configured. Gone in io_cluster_stop()
    struct access *access;           // who may read; NULL as `kube`. Goes before it
    struct cluster *cluster;         // cluster.c
    struct metrics_api *metrics_api; // NULL: not enabled

    struct gate *gate;        // who may read the HTTP port
    struct net_tls *http_tls; // http.tls, or the gate's
    struct http_server *http, *health;
    struct scaler_live *live;             // the page's feed (live.h); NULL: none any more
    struct net_timer *tick, *soon, *last; // last: the end's deadline
    struct net_signals stop_signals;

    struct replicas *replicas; // the other scalers (replicas.h); NULL: this one is alone

    struct VEC(struct published) outbox; // changed decisions of this turn
    struct VEC(struct told_item) told;   // the same for the other scalers
    struct io_counters count;
    struct histogram tick_s;
    struct rpc_stats rpc_stats;
    int64_t rpc_heard_ns; // the rpc thread's last statistics
    int64_t started_ns, ticked_ns, http_tls_checked_ns;
    bool serving; // what gRPC health says
    bool stopping, rpc_stopped, rpc_overdue;
};

// objects.c: registry and decisions
void io_register(struct io *io, struct to_io *m);
void io_drop(struct io *io, uint64_t rpc_id); // KEDA asks no more
void io_called(struct io *io, const struct to_io *m);
// For the cluster, which knows objects before KEDA asks. NULL: not there.
struct object *io_object_find(const struct io *io, const struct object_ref *r,
                              const struct object_hash *h);
// Not decided yet. NULL: no memory, or its metadata does not bind.
struct object *io_object_new(struct io *io, uint64_t rpc_id, struct object_key *key);
// Finds what it is measured by, and decides.
void io_object_begin(struct io *io, struct object *o, int64_t now_ns);
void io_object_remove(struct io *io, struct object *o); // the rpc thread is told
// It has no feed, and this is why: published at once.
void io_object_refuse(struct io *io, struct object *o, const struct err *why);
// What another scaler has decided.
void io_object_answer(struct io *io, struct object *o, const struct published *from);
// Finds what all objects are measured by and decides them; and no more of it.
void io_objects_lead(struct io *io, int64_t now_ns);
void io_objects_follow(struct io *io);
// Decides every object of the feed.
void io_decide_feed(struct io *io, struct feed *f, int64_t now_ns);
// Objects without a feed: publishes why, and looks again where only memory was missing.
void io_tend_feedless(struct io *io, int64_t now_ns);
void io_flush(struct io *io, int64_t now_ns); // hands the outbox to the rpc thread
// Finds the workloads of all objects anew, after the file changed.
void io_rebind_all(struct io *io, int64_t now_ns);
void io_objects_done(struct io *io);

// rules.c: the configuration's rules as objects, for HPAs without KEDA
int io_rules_start(struct io *io, struct err *e); // fills io->rules
void io_rules_done(struct io *io);

// feeds.c: what is measured
// The feed of a trigger's workload, made when it is new. ERR_NOTFOUND, ERR_INVALID, ERR_NOMEM.
int io_feed_get(struct io *io, struct object *o, struct feed **ret, struct err *e);
void io_feed_release(struct io *io, struct feed *f); // frees it when no object is left
void io_feed_mark(struct io *io, struct feed *f);    // something was heard: decide soon
// Before what they point at goes.
void io_feeds_forget_pods(struct io *io);
// Tells the engines which pages to read, after pods or feeds changed.
void io_update_targets(struct io *io);
// By "prod/llm-0"; NULL: none.
struct pod_entry *io_pod_find(const struct io *io, const char *key);

// scaler.c: the rpc thread is told to end, and with it all
void io_end(struct io *io);

// gpu_sources.c: agents, exporters
int io_gpu_sources_start(struct io *io, struct err *e);
void io_gpu_sources_stop(struct io *io);
void io_gpu_sources_claims(struct io *io); // whose GPUs the claims say, after the slices changed
int io_gpu_sources_lead(struct io *io, bool leads, struct err *e);

// sources.c: engines, demand, and the start of all
// Forgets told failures of pods that are no longer read.
void io_sources_forget_failures(struct io *io);
int io_sources_start(struct io *io, struct err *e);
// Whether agents, exporters and demand sources are followed. The first failure's reason; what can
// be followed is.
int io_sources_lead(struct io *io, bool leads, struct err *e);
void io_sources_stop(struct io *io);

// queries.c: what Prometheus servers are asked
int io_queries_start(struct io *io, struct err *e);
void io_queries_stop(struct io *io);
// Joins the object to the queries of its trigger, and leaves them.
void io_queries_attach(struct io *io, struct object *o);
void io_queries_detach(struct io *io, struct object *o);
// Tells the source what to ask, after objects came or went.
void io_update_queries(struct io *io);
// What the object's queries said last.
void io_queries_of(const struct object *o, struct signal_external ret[LIMIT_TRIGGER_QUERIES]);
// queries_show.c
struct api_page;
void io_queries_show(const struct io *io, struct api_page *p);
struct prom_writer;
int io_queries_families(const struct io *io, struct prom_writer *w); // 0 or ERR_NOMEM

// tick.c: timers
int io_tick_start(struct io *io, struct err *e);
void io_tick_stop(struct io *io);

// reload.c: the workloads file. Without one: an empty version, and nothing to check.
int io_workloads_first(struct io *io, struct err *e);
// Takes another version in place of the present one, which goes.
void io_workloads_take(struct io *io, struct workloads *fresh);
void io_workloads_check(struct io *io, bool force);

// api.c, metrics_page.c, health.c: what HTTP shows
int io_http_start(struct io *io, struct err *e);
void io_http_reload(struct io *io); // certificates, when they changed
// Every line of what is missing for readiness; true: ready.
bool io_ready(const struct io *io, int64_t now_ns, struct buf *missing);
