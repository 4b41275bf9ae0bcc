// SPDX-License-Identifier: Apache-2.0
/*
 * The agents' streams: one gpuscale.v1.Node/Watch a resolved address of each HOST:PORT target (a
 * name of a headless Service gives all its addresses, looked up again at an interval and whenever a
 * stream is lost). Merges full states and changes into one table of GPUs, keyed by UUID over all
 * streams: a GPU seen through two addresses, or through an agent and its next run, counts once.
 *
 * Nothing of this guesses: a reading's time is the arrival of the message that told its age, minus
 * that age, so an agent that sends only old values gives only old readings; a lost stream leaves
 * the last readings with their times. A GPU is removed when its agent says so, or when nothing was
 * heard of its agent for `forget_ns`. One thread, callbacks on the loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/err.h"
#include "core/signal/reading.h"
#include "net/tls.h"

struct agents;

struct agents_owner {
    const char *namespace_, *pod, *container, *replica; // never NULL
};

// A device that a container holds through a resource claim (DRA): the kubelet knows it by name
// only, a ResourceSlice says which GPU it is.
struct agents_device {
    const char *driver, *pool, *device; // "gpu.nvidia.com", "node-a", "gpu-0"
    struct agents_owner owner;
};

// What changed since the last call of `gpu` for it.
enum {
    AGENTS_NEW = 1, // first time: all of it
    AGENTS_INFO = 2,
    AGENTS_OWNERS = 4,
    AGENTS_READING = 8, // values
    AGENTS_LOST = 16,   // `lost` turned on or off
    AGENTS_AGE = 32,    // reading_at_ns: the same values, read again
    AGENTS_SHARES = 64, // what pods' processes use of it
};

// A GPU (or MIG instance) as the table holds it. Pointers live until the callback returns.
struct agents_gpu {
    const char *node; // the name that the agent gives itself
    const char *uuid, *model, *pci_bus_id, *driver_version, *parent_uuid, *mig_profile;
    uint32_t index, gpu_instance_id;
    uint64_t memory_total_bytes; // 0: unknown
    bool owners_known;           // false: n_owners is 0 and means nothing
    bool lost;                   // the driver does not answer for it: the reading is its last
    const struct agents_owner *owners;
    size_t n_owners;
    bool shares_known; // false: what each pod's processes use of it is unknown, n_shares is 0
    const struct gpu_share *shares; // as of the reading; each UID once
    size_t n_shares;
    const struct gpu_reading *reading; // valid = 0: none yet, or all unknown
    int64_t reading_at_ns;             // monotonic; INT64_MIN: never read
    void *user;                        // the caller's, kept with the GPU; NULL at first
};

enum agents_node_state {
    AGENTS_CONNECTING,
    AGENTS_CONNECTED,   // the full state is here
    AGENTS_LOST_STREAM, // will be tried again; `why` says what happened
    AGENTS_DUPLICATE,   // the same run of the same agent as another address: left alone while that
                        // lives
    AGENTS_GONE,        // its address is no longer given, or its target was taken away
};
const char *agents_node_state_name(enum agents_node_state s); // "connecting", ...

struct agents_node {
    const char *address;              // "10.0.0.7:9443"
    const char *target;               // the configured HOST:PORT that gave it
    const char *node, *agent_version; // "" until connected once
    enum agents_node_state state;
    int64_t heard_at_ns; // last message; INT64_MIN: never
    uint64_t driver_stalled_ms;
    uint32_t interval_ms;
    unsigned failed; // attempts in a row
    const char *why; // of the last loss, ""
};

struct agents_ops {
    // Told for every GPU of every message that says anything about it. The callee may set *user.
    void (*gpu)(void *ctx, const struct agents_gpu *gpu, unsigned changed, void **user);
    void (*gpu_removed)(void *ctx, const char *node, const char *uuid, void *user);
    // What the node's containers hold through resource claims, whole, whenever it was told; n 0
    // when the node is gone. `complete`: once all are joined to their GPUs, a GPU without an owner
    // is nobody's. Before the GPUs of the same message. May be NULL.
    void (*devices)(void *ctx, const char *node, bool complete, const struct agents_device *devices,
                    size_t n);
    // On a change of state that a person would want to know: connected, lost (and again when the
    // reason is another one; not each attempt in between), duplicate, gone. `why` is set for
    // LOST_STREAM and DUPLICATE, else NULL. May be NULL.
    void (*node)(void *ctx, const struct agents_node *node, const struct err *why);
    // A target's name could not be looked up (addresses found before stay in use), or could again
    // (why NULL). May be NULL.
    void (*resolve)(void *ctx, const char *target, const struct err *why);
    // The TLS files were re-read (why NULL) or could not be (the old ones stay). May be NULL.
    void (*tls_event)(void *ctx, const struct err *why);
};

struct agents_resolver; // below

struct agents_options {
    uv_loop_t *loop;
    const struct agents_ops *ops; // borrowed
    void *ctx;
    const char *client;              // told to the agents, for their logs
    const struct net_tls_files *tls; // NULL: plain. Mutual when it has a certificate
    const char *server_name;     // the name in the agents' certificates; NULL: the target's host
    int64_t resolve_interval_ns; // 0: 30 s
    int64_t forget_ns;           // 0: 10 min
    int64_t backoff_min_ns, backoff_max_ns; // 0: 250 ms, 15 s; jittered
    // The TLS files are looked at each tls_check_ns (0: 10 s); after a change the streams are made
    // anew, spread over tls_renew_ns (0: 10 min).
    int64_t tls_check_ns, tls_renew_ns;
    uint64_t seed;                          // of the jitter
    const struct agents_resolver *resolver; // NULL: uv_getaddrinfo
};

// Is it HOST:PORT or unix:PATH of an agent? For configurations: ERR_INVALID, ERR_PARSE, ERR_LIMIT.
int agents_target_check(const char *text, struct err *e);

int agents_new(struct agents **ret, const struct agents_options *options, struct err *e);
struct agents *
agents_free(struct agents *a); // tells nothing more; NULL-safe; not inside a callback
// The whole list; gone targets' streams end and their GPUs are removed. ERR_INVALID with the entry
// and the reason: the old list stays. Not inside a callback.
int agents_set_targets(struct agents *a, const char *const *targets, size_t n, struct err *e);

struct agents_stats {
    size_t targets, addresses, connected, gpus; // now
    uint64_t messages, bad_messages;            // bad: refused and the stream restarted
    uint64_t bad_values;               // taken as unknown: NaN, out of range, a count that differs
    uint64_t connects, losses;         // losses: streams that ended after they were connected
    uint64_t heartbeats_missed;        // streams restarted for silence
    uint64_t sequence_holes, restarts; // restarts: a boot_id changed
    uint64_t duplicates;               // GPUs told by two streams at once
    uint64_t resolves, resolve_failures;
    uint64_t over_limit; // addresses or GPUs beyond LIMIT_NODES, LIMIT_GPU_ENTITIES_PER_NODE
};
struct agents_stats agents_stats(const struct agents *a);
void agents_each_node(const struct agents *a, void (*fn)(void *ctx, const struct agents_node *n),
                      void *ctx);
void agents_each_gpu(const struct agents *a, void (*fn)(void *ctx, const struct agents_gpu *gpu),
                     void *ctx);

// How names become addresses; tests put their own. `start` looks `host` up and calls `done` once,
// from the loop, later, with the addresses (a port is set by the caller) or an error. Literal
// addresses never come here.
struct agents_resolver {
    int (*start)(void *ctx, uv_loop_t *loop, const char *host,
                 void (*done)(void *arg, const struct sockaddr_storage *addresses, size_t n,
                              const struct err *why),
                 void *arg, void **ret_request, struct err *e);
    void (*cancel)(void *ctx, void *request); // `done` must not be called any more
    void *ctx;
};
