// SPDX-License-Identifier: Apache-2.0
/*
 * A gRPC channel on a loop: one socket and, while a call has a timeout, one timer, around the
 * connection of grpc_link.h.
 */
#include "net/grpc_client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_link.h"
#include "net/hub.h"

struct grpc_channel {
    uv_loop_t *loop;
    struct net_hub *hub;
    struct grpc_channel_options options;
    struct grpc_link *link;
    struct net_stream *stream; // NULL: closed
    struct net_hub_item pump;
    struct net_timer *timer; // for the link's next deadline; NULL until one was needed
    int64_t armed_ns;
    bool connected, closing;
    bool freed;   // by its owner: nothing is told any more
    bool telling; // inside on_closed, which deletes what was freed
    struct err why;
};

static void on_timer(void *ctx);

static void arm(struct grpc_channel *ch) {
    int64_t next = deadline_next(grpc_link_deadlines(ch->link));
    if (next >= ch->armed_ns || ch->freed)
        return;
    int64_t after = next - clock_mono_ns();
    after = after > 0 ? after + NS_PER_MS : 0; // libuv counts whole ms
    ch->armed_ns = next;
    if (ch->timer)
        net_timer_again(ch->timer, after);
    else if (net_timer_start(&ch->timer, ch->loop, after, 0, on_timer, ch, NULL) < 0)
        ch->armed_ns = INT64_MAX; // without memory the next event tries again
}

static void begin_close(struct grpc_channel *ch, const struct err *why) {
    if (ch->closing || !ch->stream)
        return;
    ch->closing = true;
    ch->why = *why;
    if (why->code == ERR_CLOSED)
        net_stream_close(ch->stream);
    else
        net_stream_abort(ch->stream, why);
}

static void pump(struct grpc_channel *ch) {
    const uint8_t *p;
    size_t n;
    if (!ch->connected || ch->closing || ch->freed) {
        if (!ch->freed)
            arm(ch);
        return;
    }
    while (net_stream_queued(ch->stream) < LIMIT_GRPC_OUTPUT_HIGH_BYTES &&
           (n = grpc_link_send(ch->link, &p)) > 0)
        if (net_stream_write(ch->stream, p, n) < 0)
            break;
    if (grpc_link_over(ch->link))
        begin_close(ch, grpc_link_over(ch->link));
    arm(ch);
}

static void on_pump(struct net_hub_item *item) {
    struct grpc_channel *ch = container_of(item, struct grpc_channel, pump);
    if (grpc_link_over(ch->link))
        begin_close(ch, grpc_link_over(ch->link)); // also before it is connected
    pump(ch);
}

static void on_output(void *shell) {
    struct grpc_channel *ch = shell;
    if (!ch->freed)
        net_hub_post(ch->hub, &ch->pump);
}

static void on_timer(void *ctx) {
    struct grpc_channel *ch = ctx;
    ch->armed_ns = INT64_MAX;
    deadline_run(grpc_link_deadlines(ch->link), clock_mono_ns());
    if (!ch->freed)
        arm(ch);
}

static void on_link_ready(void *shell) {
    struct grpc_channel *ch = shell;
    if (ch->options.ready && !ch->freed)
        ch->options.ready(ch->options.ctx);
}

static void on_stream_ready(void *ctx) {
    struct grpc_channel *ch = ctx;
    ch->connected = true;
    pump(ch);
}

static void on_data(void *ctx, const uint8_t *p, size_t n) {
    struct grpc_channel *ch = ctx;
    if (ch->closing || ch->freed)
        return;
    // First what waits to be sent: nghttp2 would put the answer to a PING before it, and a server
    // that goes away takes nothing that comes after that answer.
    pump(ch);
    grpc_link_recv(ch->link, p, n, NULL); // what is wrong is in grpc_link_over()
    pump(ch);
}

static void on_drained(void *ctx) {
    pump(ctx);
}

static void channel_delete(struct grpc_channel *ch) {
    net_timer_stop(&ch->timer);
    if (ch->hub) {
        net_hub_drop(&ch->pump);
        net_hub_unref(ch->hub);
    }
    grpc_link_free(ch->link);
    mem_free(ch);
}

static void on_closed(void *ctx, const struct err *why) {
    struct grpc_channel *ch = ctx;
    ch->stream = NULL;
    if (!ch->freed) {
        struct err reason = ch->closing ? ch->why : *why;
        ch->closing = ch->telling = true;
        grpc_link_lost(ch->link, &reason);
        if (!ch->freed && ch->options.closed)
            ch->options.closed(ch->options.ctx, &reason);
        ch->telling = false;
        if (!ch->freed)
            return; // its owner frees it later
    }
    channel_delete(ch);
}

static const struct net_stream_ops stream_ops = {
    .ready = on_stream_ready,
    .data = on_data,
    .drained = on_drained,
    .closed = on_closed,
};

int grpc_channel_open(struct grpc_channel **ret, uv_loop_t *loop,
                      const struct grpc_channel_options *options, struct err *e) {
    struct grpc_channel *ch = mem_zalloc(sizeof(*ch));
    if (!ch)
        return err_set(e, ERR_NOMEM, "no memory for a gRPC channel");
    char authority[sizeof(options->to.un.sun_path) + 16];
    net_addr_format(&options->to, authority, sizeof(authority));
    ch->loop = loop;
    ch->options = *options;
    ch->options.server_name = NULL; // the caller's
    ch->armed_ns = INT64_MAX;
    ch->pump.run = on_pump;
    struct grpc_link_options link = {
        .tls = options->tls != NULL,
        .authority = options->server_name                  ? options->server_name
                     : options->to.sa.sa_family == AF_UNIX ? "localhost"
                                                           : authority,
        .settings_ms = options->connect_ms,
        .output = on_output,
        .ready = on_link_ready,
        .shell = ch,
    };
    ch->hub = net_hub_ref(loop);
    int err = ch->hub ? grpc_link_new(&ch->link, &link, e)
                      : err_set(e, ERR_NOMEM, "no memory for a gRPC channel");
    if (err == 0)
        err = net_stream_connect(loop, &options->to, options->tls, options->server_name,
                                 options->connect_ms, &stream_ops, ch, &ch->stream, e);
    if (err < 0) {
        channel_delete(ch);
        return err;
    }
    arm(ch);
    *ret = ch;
    return 0;
}

struct grpc_channel *grpc_channel_free(struct grpc_channel *ch) {
    if (!ch)
        return NULL;
    ch->freed = true;
    grpc_link_mute(ch->link);
    net_hub_drop(&ch->pump);
    net_timer_stop(&ch->timer);
    if (ch->stream)
        net_stream_abort(ch->stream, NULL); // `closed` deletes
    else if (!ch->telling)
        channel_delete(ch);
    return NULL;
}

int grpc_client_call_start(struct grpc_client_call **ret, struct grpc_channel *ch,
                           const struct grpc_client_call_options *options, struct err *e) {
    return grpc_link_start(ret, ch->link, options, e);
}
