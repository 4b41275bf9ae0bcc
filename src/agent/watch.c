// SPDX-License-Identifier: Apache-2.0
/* See watch.h. */
#include "agent/watch.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "node.desc.h"
#include "node.pb-c.h"

enum {
    STALL_INTERVALS = 10,
    MESSAGE_BYTES_MAX = LIMIT_GRPC_MESSAGE_BYTES, // what its client takes
    ARENA_BYTES_MAX = 8 << 20,                    // 256 GPUs with 64 owners each need 3
};
static const int64_t stall_min_ns = 10 * NS_PER_S;

struct stream {
    struct agent_watch *watch;
    struct grpc_call *call;
    struct agent_cursor cursor;
    int64_t sent_ns;    // the last message
    int64_t blocked_ns; // since when the last message has not left; 0: it has
    struct stream *next, **prev;
};

struct agent_watch {
    const struct agent_state *state;
    const struct agent_node *node;
    struct grpc_service service;
    struct stream *streams;
    struct buf message;
    struct arena arena;
    struct agent_watch_stats stats;
};

static void stream_drop(struct stream *s) {
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->watch->stats.streams--;
    mem_free(s);
}

static void stream_ended(struct grpc_call *call, void *ctx) {
    stream_drop(ctx);
}

// The last message still waits: nothing is put behind it, its ages would be wrong when it is read.
static void stream_wait(struct stream *s, int64_t now_ns) {
    int64_t patience_ns = STALL_INTERVALS * s->watch->state->interval_ns;
    if (patience_ns < stall_min_ns)
        patience_ns = stall_min_ns;
    if (s->blocked_ns == 0)
        s->blocked_ns = now_ns;
    s->watch->stats.skips++;
    if (now_ns - s->blocked_ns < patience_ns)
        return;
    char peer[128];
    net_addr_format(grpc_call_peer(s->call), peer, sizeof peer);
    log_warn("watch stream ended: its client does not read", LOG_STR("peer", peer),
             LOG_DUR("blocked", now_ns - s->blocked_ns));
    s->watch->stats.ended_slow++;
    struct grpc_call *call = s->call;
    stream_drop(s);
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the client reads too slowly");
}

static void stream_tell(struct stream *s, int64_t now_ns) {
    struct agent_watch *w = s->watch;
    struct agent_cursor next;
    if (grpc_call_queued(s->call) > 0) {
        stream_wait(s, now_ns);
        return;
    }
    s->blocked_ns = 0;
    int r = agent_watch_encode(&w->message, &w->arena, w->state, w->node, &s->cursor, now_ns,
                               &next);
    if (!r)
        r = grpc_call_send_packed(s->call, w->message.p, w->message.len);
    if (r) {
        w->stats.skips++;
        log_warn("watch message not sent", LOG_STR("reason", err_code_name(r)));
        return;
    }
    s->cursor = next;
    s->sent_ns = now_ns;
    w->stats.messages++;
}

static void handle_watch(struct grpc_call *call, const ProtobufCMessage *message, void *ctx) {
    struct agent_watch *w = ctx;
    const Gpuscale__V1__WatchRequest *request = (const Gpuscale__V1__WatchRequest *)message;
    char peer[128];
    if (w->stats.streams >= LIMIT_AGENT_STREAMS) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "%d streams are open already",
                         LIMIT_AGENT_STREAMS);
        return;
    }
    struct stream *s = mem_zalloc(sizeof *s);
    if (!s) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory for a stream");
        return;
    }
    s->watch = w;
    s->call = call;
    s->next = w->streams;
    s->prev = &w->streams;
    if (s->next)
        s->next->prev = &s->next;
    w->streams = s;
    w->stats.streams++;
    grpc_call_on_end(call, stream_ended, s);
    net_addr_format(grpc_call_peer(call), peer, sizeof peer);
    log_info("watch stream opened", LOG_STR("peer", peer),
             LOG_STR("client", request->client ? request->client : ""),
             LOG_STR("certificate", grpc_call_peer_name(call)));
    stream_tell(s, clock_mono_ns());
}

int agent_watch_new(struct agent_watch **ret, const struct agent_state *state,
                    const struct agent_node *node, struct err *e) {
    static const struct grpc_method methods[] = {
        {.name = "Watch",
         .request = &gpuscale__v1__watch_request__descriptor,
         .streams = true,
         .handle = handle_watch},
    };
    struct agent_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for the streams");
    w->state = state;
    w->node = node;
    w->service = (struct grpc_service){
        .name = "gpuscale.v1.Node",
        .methods = methods,
        .n_methods = COUNT_OF(methods),
        .ctx = w,
        .descriptor_set = node_desc,
        .descriptor_set_len = sizeof node_desc,
    };
    buf_init(&w->message, MESSAGE_BYTES_MAX);
    arena_init(&w->arena, ARENA_BYTES_MAX);
    *ret = w;
    return 0;
}

struct agent_watch *agent_watch_free(struct agent_watch *w) {
    if (w) {
        while (w->streams)
            stream_drop(w->streams);
        buf_done(&w->message);
        arena_done(&w->arena);
        mem_free(w);
    }
    return NULL;
}

const struct grpc_service *agent_watch_service(const struct agent_watch *w) {
    return &w->service;
}

void agent_watch_tell(struct agent_watch *w) {
    int64_t now_ns = clock_mono_ns();
    for (struct stream *s = w->streams, *next; s; s = next) {
        next = s->next;
        stream_tell(s, now_ns);
    }
}

int64_t agent_watch_heartbeat(struct agent_watch *w, int64_t now_ns) {
    int64_t due_ns = INT64_MAX;
    for (struct stream *s = w->streams, *next; s; s = next) {
        next = s->next;
        int64_t at_ns = s->sent_ns + w->state->interval_ns;
        if (now_ns >= at_ns) {
            at_ns = now_ns + w->state->interval_ns;
            stream_tell(s, now_ns); // may drop it
        }
        if (at_ns < due_ns)
            due_ns = at_ns;
    }
    return due_ns;
}

struct agent_watch_stats agent_watch_stats(const struct agent_watch *w) {
    return w->stats;
}
