// SPDX-License-Identifier: Apache-2.0
/*
 * One agent's address: connect, Watch, hear, lose, try again. Everything that goes wrong ends in
 * stream_lose(), which leaves the readings with their times and sets the next attempt.
 */
#include "source/agent_stream.h"

#include "base/clock.h"
#include "base/units.h"

enum {
    CONNECT_MS = 5000,
    HEARTBEATS_MISSED = 3,
    INTERVAL_MIN_MS = 100,
    INTERVAL_MAX_MS = 60000,
    INTERVAL_DEFAULT_MS = 1000,
};
#define FIRST_MESSAGE_NS (10 * NS_PER_S)
#define STEADY_NS (10 * NS_PER_S)    // a stream that lived so long starts its back-off anew
#define DUPLICATE_NS (60 * NS_PER_S) // the address may be another agent's by now
#define SUSPECT_NS (200 * NS_PER_MS)

static void stream_begin(struct agent_stream *s);
static void connect_next(struct agents *a);

static void stream_tell(struct agent_stream *s, enum agents_node_state state,
                        const struct err *why) {
    struct agents *a = s->agents;
    bool same_why = !why || (s->why && !strcmp(why->msg, s->why->msg));
    bool same = s->told && s->told_state == state && same_why;
    if (why) {
        if (!s->why)
            s->why = mem_alloc(sizeof(*s->why));
        if (s->why)
            *s->why = *why;
    }
    s->told = true;
    s->told_state = state;
    if (same || !a->o.ops->node)
        return;
    struct agents_node view;
    agent_stream_view(s, &view);
    a->o.ops->node(a->o.ctx, &view, why);
}

static void stream_timer(struct agent_stream *s, int64_t after_ns) {
    net_timer_again(s->timer, after_ns > 0 ? after_ns : 0);
}

// Leaves whatever the phase holds: its place in the queue or among the connecting, its run.
static void phase_leave(struct agent_stream *s) {
    struct agents *a = s->agents;
    if (s->phase == STREAM_QUEUED)
        TAILQ_REMOVE(&a->queue, s, queued);
    if (s->phase == STREAM_OPENING)
        a->connecting--;
    if (s->phase == STREAM_LIVE)
        a->stats.connected--;
    if (s->phase == STREAM_DUPLICATE)
        a->n_duplicates--;
    if (s->in_boots)
        HASH_DELETE(hh_boot, a->by_boot, s);
    s->in_boots = false;
    s->channel = grpc_channel_free(s->channel);
}

// Those that stood back for this run may try now.
static void wake_duplicates(struct agents *a, const char *boot_id) {
    if (a->n_duplicates == 0)
        return;
    for (struct agent_stream *s = a->streams; s; s = s->hh.next) {
        if (s->phase == STREAM_DUPLICATE && !strcmp(s->boot_of, boot_id))
            stream_timer(s, 0);
    }
}

static void stream_stop(struct agent_stream *s, enum stream_phase next) {
    bool live = s->phase == STREAM_LIVE;
    phase_leave(s);
    s->phase = next;
    s->restart = s->suspect = false;
    s->renew_at_ns = 0;
    if (live) {
        agent_node_disconnect(&s->node);
        wake_duplicates(s->agents, s->node.boot_id);
    }
    connect_next(s->agents);
}

static int64_t backoff(struct agents *a, unsigned failed) {
    int64_t wait = a->o.backoff_min_ns;
    for (unsigned i = 1; i < failed && wait < a->o.backoff_max_ns; i++)
        wait *= 2;
    if (wait > a->o.backoff_max_ns)
        wait = a->o.backoff_max_ns;
    return wait / 2 + (int64_t)((double)wait / 2 * random_unit(&a->names.random));
}

static void stream_lose(struct agent_stream *s, const struct err *why) {
    struct agents *a = s->agents;
    if (s->phase == STREAM_LIVE) {
        a->stats.losses++;
        if (clock_mono_ns() - s->live_since_ns >= STEADY_NS)
            s->failed = 0;
    }
    s->failed++;
    stream_stop(s, STREAM_WAITING);
    stream_timer(s, backoff(a, s->failed));
    agents_look_again(a, s->target);
    stream_tell(s, AGENTS_LOST_STREAM, why);
}

// Asks for the full state again, without a loss: nothing is told unless it fails.
static void stream_restart(struct agent_stream *s) {
    stream_stop(s, STREAM_WAITING);
    stream_begin(s);
}

static void stream_stand_back(struct agent_stream *s, const struct agent_stream *other) {
    struct err why;
    err_set(&why, ERR_EXISTS, "the same agent is heard as %s", other->address);
    stream_stop(s, STREAM_DUPLICATE);
    s->agents->n_duplicates++;
    s->failed = 0;
    str_copy(s->boot_of, sizeof(s->boot_of), str_from(other->node.boot_id));
    stream_timer(s, DUPLICATE_NS);
    stream_tell(s, AGENTS_DUPLICATE, &why);
}

static int64_t silence_ns(const struct agent_stream *s) {
    uint32_t ms = s->node.interval_ms ? s->node.interval_ms : INTERVAL_DEFAULT_MS;
    if (ms < INTERVAL_MIN_MS)
        ms = INTERVAL_MIN_MS;
    if (ms > INTERVAL_MAX_MS)
        ms = INTERVAL_MAX_MS;
    return (int64_t)ms * HEARTBEATS_MISSED * NS_PER_MS;
}

// The first message has been read.
static void stream_live(struct agent_stream *s) {
    struct agents *a = s->agents;
    a->connecting--;
    a->stats.connected++;
    a->stats.connects++;
    a->stats.restarts += s->node.restarted;
    s->phase = STREAM_LIVE;
    s->live_since_ns = s->node.heard_at_ns;
    map_oom();
    HASH_ADD_KEYPTR(hh_boot, a->by_boot, s->node.boot_id, strlen(s->node.boot_id), s);
    s->in_boots = !map_oom(); // without memory for it, a duplicate goes unseen
    stream_timer(s, silence_ns(s));
    stream_tell(s, AGENTS_CONNECTED, NULL);
    connect_next(a);
}

// A stream that never stops would take the loop from all others.
static bool floods(struct agent_stream *s, int64_t now_ns) {
    double earned = (double)(now_ns - s->allowance_at_ns) / NS_PER_S * LIMIT_AGENT_MESSAGES_PER_S;
    s->allowance += earned;
    if (s->allowance > LIMIT_AGENT_MESSAGES_BURST)
        s->allowance = LIMIT_AGENT_MESSAGES_BURST;
    s->allowance_at_ns = now_ns;
    s->allowance -= 1;
    return s->allowance < 0;
}

static int message_merge(struct agent_stream *s, const Gpuscale__V1__NodeState *m, struct err *e) {
    int64_t now = clock_mono_ns();
    if (floods(s, now))
        return err_set(e, ERR_LIMIT, "the agent sends more than %d messages a second",
                       LIMIT_AGENT_MESSAGES_PER_S);
    return agent_node_merge(&s->node, m, now, e);
}

static void on_message(void *ctx, const ProtobufCMessage *message) {
    struct agent_stream *s = ctx;
    struct agents *a = s->agents;
    const Gpuscale__V1__NodeState *m = (const Gpuscale__V1__NodeState *)message;
    bool first = s->phase == STREAM_OPENING;
    struct agent_stream *other = NULL;
    if (first && m->boot_id)
        HASH_FIND(hh_boot, a->by_boot, m->boot_id, strlen(m->boot_id), other);
    if (other && other != s) {
        stream_stand_back(s, other);
        return;
    }
    struct err why = {0};
    a->stats.messages++;
    int r = message_merge(s, m, &why);
    if (r < 0) {
        if (r == ERR_AGAIN)
            a->stats.sequence_holes++;
        else
            a->stats.bad_messages++;
        stream_lose(s, &why);
        return;
    }
    s->suspect = false;
    if (first)
        stream_live(s);
}

static void on_finished(void *ctx, int status, const char *message) {
    struct agent_stream *s = ctx;
    struct err why;
    // The agent ends old connections (and itself) with OK: no loss, unless it cannot be had again.
    if (status == GRPC_OK && s->phase == STREAM_LIVE &&
        clock_mono_ns() - s->live_since_ns >= STEADY_NS) {
        stream_restart(s);
        return;
    }
    if (status == GRPC_UNAVAILABLE && *message)
        err_set(&why, ERR_UNAVAILABLE, "%s", message);
    else
        err_set(&why, ERR_CLOSED, "the agent ended the stream with %s%s%s",
                grpc_status_name(status), *message ? ": " : "", message);
    stream_lose(s, &why);
}

static void on_closed(void *ctx, const struct err *why) {
    stream_lose(ctx, why);
}

static int stream_open(struct agent_stream *s, struct err *e) {
    struct agents *a = s->agents;
    s->allowance = LIMIT_AGENT_MESSAGES_BURST;
    s->allowance_at_ns = clock_mono_ns();
    struct grpc_channel_options co = {
        .to = s->to,
        .tls = a->tls,
        .server_name = a->o.server_name ? a->o.server_name : s->host,
        .connect_ms = CONNECT_MS,
        .closed = on_closed,
        .ctx = s,
    };
    int r = grpc_channel_open(&s->channel, a->o.loop, &co, e);
    if (r < 0)
        return r;
    Gpuscale__V1__WatchRequest request = GPUSCALE__V1__WATCH_REQUEST__INIT;
    char client[128];
    str_copy(client, sizeof(client), str_from(a->o.client ? a->o.client : "gpuscale"));
    request.client = client;
    struct grpc_client_call_options call = {
        .method = "/gpuscale.v1.Node/Watch",
        .request = &request.base,
        .response = &gpuscale__v1__node_state__descriptor,
        .message = on_message,
        .finished = on_finished,
        .ctx = s,
    };
    struct grpc_client_call *started;
    return grpc_client_call_start(&started, s->channel, &call, e);
}

static void connect_next(struct agents *a) {
    if (a->in_connect_next)
        return; // an attempt that failed at once: the loop below goes on
    a->in_connect_next = true;
    while (a->connecting < LIMIT_AGENT_CONNECTING && !TAILQ_EMPTY(&a->queue)) {
        struct agent_stream *s = TAILQ_FIRST(&a->queue);
        TAILQ_REMOVE(&a->queue, s, queued);
        s->phase = STREAM_OPENING;
        a->connecting++;
        stream_timer(s, FIRST_MESSAGE_NS);
        struct err why = {0};
        if (stream_open(s, &why) < 0)
            stream_lose(s, &why);
    }
    a->in_connect_next = false;
}

static void stream_begin(struct agent_stream *s) {
    if (s->phase == STREAM_DUPLICATE)
        s->agents->n_duplicates--;
    s->phase = STREAM_QUEUED;
    TAILQ_INSERT_TAIL(&s->agents->queue, s, queued);
    connect_next(s->agents);
}

// The timer of a live stream is not moved by each message: it looks when it comes.
static void on_silence(struct agent_stream *s) {
    int64_t silent = clock_mono_ns() - s->node.heard_at_ns;
    int64_t limit = silence_ns(s);
    if (s->restart) {
        stream_restart(s);
    } else if (silent < limit) {
        s->suspect = false;
        stream_timer(s, limit - silent);
    } else if (!s->suspect) {
        // If it was us who stood still, messages wait in the socket: let the loop read them first.
        s->suspect = true;
        stream_timer(s, SUSPECT_NS);
    } else {
        struct err why;
        char text[32];
        units_format_duration(silent / NS_PER_MS * NS_PER_MS, text, sizeof(text));
        err_set(&why, ERR_TIMEOUT, "nothing was heard for %s, three intervals are allowed", text);
        s->agents->stats.heartbeats_missed++;
        stream_lose(s, &why);
    }
}

static void on_timer(void *ctx) {
    struct agent_stream *s = ctx;
    struct err why;
    switch (s->phase) {
    case STREAM_WAITING:
    case STREAM_DUPLICATE:
        stream_begin(s);
        break;
    case STREAM_OPENING:
        err_set(&why, ERR_TIMEOUT, "the agent did not send its state in 10s");
        stream_lose(s, &why);
        break;
    case STREAM_LIVE:
        on_silence(s);
        break;
    case STREAM_QUEUED:
    case STREAM_GONE:
        break;
    }
}

static struct agent_stream *stream_new(struct agents *a, const struct net_addr *to,
                                       const char *address, const char *target, const char *host) {
    struct agent_stream *s = mem_zalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->agents = a;
    s->to = *to;
    s->address = mem_strdup(address);
    s->target = mem_strdup(target);
    s->host = mem_strdup(host);
    agent_node_init(&s->node, &a->gpus);
    bool ok = s->address && s->target && s->host &&
              net_timer_start(&s->timer, a->o.loop, 0, 0, on_timer, s, NULL) == 0;
    if (ok) {
        map_oom();
        HASH_ADD_KEYPTR(hh, a->streams, s->address, strlen(s->address), s);
        ok = !map_oom();
    }
    if (!ok) {
        net_timer_stop(&s->timer);
        mem_free(s->address);
        mem_free(s->target);
        mem_free(s->host);
        mem_free(s);
        return NULL;
    }
    a->n_streams++;
    return s;
}

struct agent_stream *agent_stream_get(struct agents *a, const struct net_addr *to,
                                      const char *target, const char *host) {
    char address[128];
    net_addr_format(to, address, sizeof(address));
    struct agent_stream *s;
    HASH_FIND(hh, a->streams, address, strlen(address), s);
    if (!s && a->n_streams >= LIMIT_NODES) {
        a->stats.over_limit++;
        return NULL;
    }
    if (!s)
        return stream_new(a, to, address, target, host); // begins by its timer
    if (s->phase == STREAM_GONE) {
        s->phase = STREAM_WAITING;
        s->failed = 0;
        stream_timer(s, 0);
    }
    return s;
}

void agent_stream_retire(struct agent_stream *s) {
    stream_stop(s, STREAM_GONE);
    stream_tell(s, AGENTS_GONE, NULL);
}

void agent_stream_free(struct agent_stream *s) {
    struct agents *a = s->agents;
    if (s->phase != STREAM_GONE)
        stream_stop(s, STREAM_GONE);
    net_timer_stop(&s->timer);
    HASH_DELETE(hh, a->streams, s);
    a->n_streams--;
    agent_node_done(&s->node);
    mem_free(s->address);
    mem_free(s->target);
    mem_free(s->host);
    mem_free(s->why);
    mem_free(s);
}

void agent_stream_sweep(struct agent_stream *s, int64_t now_ns) {
    if (s->phase == STREAM_LIVE) {
        if (s->renew_at_ns && now_ns >= s->renew_at_ns)
            stream_restart(s);
        return;
    }
    bool heard = s->node.heard_at_ns != INT64_MIN;
    if (heard && now_ns - s->node.heard_at_ns > s->agents->o.forget_ns)
        agent_node_forget(&s->node);
    if (s->phase == STREAM_GONE && s->node.entries.n == 0)
        agent_stream_free(s);
}

static enum agents_node_state stream_state(const struct agent_stream *s) {
    switch (s->phase) {
    case STREAM_LIVE:
        return AGENTS_CONNECTED;
    case STREAM_DUPLICATE:
        return AGENTS_DUPLICATE;
    case STREAM_GONE:
        return AGENTS_GONE;
    default:
        return s->failed > 0 ? AGENTS_LOST_STREAM : AGENTS_CONNECTING;
    }
}

void agent_stream_view(const struct agent_stream *s, struct agents_node *ret) {
    *ret = (struct agents_node){
        .address = s->address,
        .target = s->target,
        .node = s->node.name ? s->node.name : "",
        .agent_version = s->node.version ? s->node.version : "",
        .state = stream_state(s),
        .heard_at_ns = s->node.heard_at_ns,
        .driver_stalled_ms = s->node.driver_stalled_ms,
        .interval_ms = s->node.interval_ms,
        .failed = s->failed,
        .why = s->why ? s->why->msg : "",
    };
}

void agent_stream_orphaned(void *agents, struct agent_gpu *g) {
    struct agents *a = agents;
    for (struct agent_stream *s = a->streams; s; s = s->hh.next) {
        if (s->phase == STREAM_LIVE && g->owner != &s->node && !s->restart &&
            agent_node_lists(&s->node, g)) {
            s->restart = true;
            stream_timer(s, 0);
        }
    }
}
