// SPDX-License-Identifier: Apache-2.0
/*
 * Timers and watches on a libuv loop whose owners may free themselves at once: libuv wants a handle
 * to live until its close callback, so the handle is a heap object apart from the owner.
 */
#include "net/loop.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"

struct net_timer {
    uv_timer_t uv;
    net_timer_fn fn;
    void *ctx;
};

static uint64_t ms_ceil(int64_t ns) {
    return ns <= 0 ? 0 : (uint64_t)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void timer_fired(uv_timer_t *uv) {
    struct net_timer *t = uv->data;
    t->fn(t->ctx);
}

static void timer_closed(uv_handle_t *h) {
    mem_free(h->data);
}

int net_timer_start(struct net_timer **timer, uv_loop_t *loop, int64_t after_ns, int64_t every_ns,
                    net_timer_fn fn, void *ctx, struct err *e) {
    struct net_timer *t = mem_zalloc(sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a timer");
    uv_timer_init(loop, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->ctx = ctx;
    // The loop's cached time may be a turn old: a timer that starts from it would be early.
    uv_update_time(loop);
    uv_timer_start(&t->uv, timer_fired, ms_ceil(after_ns), ms_ceil(every_ns));
    *timer = t;
    return 0;
}

void net_timer_again(struct net_timer *t, int64_t after_ns) {
    uv_update_time(t->uv.loop);
    uv_timer_start(&t->uv, timer_fired, ms_ceil(after_ns), uv_timer_get_repeat(&t->uv));
}

void net_timer_stop(struct net_timer **timer) {
    struct net_timer *t = TAKE_PTR(*timer);
    if (t)
        uv_close((uv_handle_t *)&t->uv, timer_closed);
}

struct net_watch {
    uv_poll_t uv;
    net_timer_fn fn;
    void *ctx;
};

static void watch_ready(uv_poll_t *uv, int status, int events) {
    struct net_watch *w = uv->data;
    w->fn(w->ctx);
}

static void watch_closed(uv_handle_t *h) {
    mem_free(h->data);
}

int net_watch_start(struct net_watch **watch, uv_loop_t *loop, int fd, net_timer_fn readable,
                    void *ctx, struct err *e) {
    struct net_watch *w = mem_zalloc(sizeof(*w));
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory to watch descriptor %d", fd);
    int r = uv_poll_init(loop, &w->uv, fd);
    if (r < 0) {
        mem_free(w);
        return err_set(e, ERR_IO, "cannot watch descriptor %d: %s", fd, uv_strerror(r));
    }
    w->uv.data = w;
    w->fn = readable;
    w->ctx = ctx;
    uv_poll_start(&w->uv, UV_READABLE, watch_ready);
    *watch = w;
    return 0;
}

void net_watch_stop(struct net_watch **watch) {
    struct net_watch *w = TAKE_PTR(*watch);
    if (w)
        uv_close((uv_handle_t *)&w->uv, watch_closed);
}

static void assert_closing(uv_handle_t *h, void *ctx) {
    assert(uv_is_closing(h) && "a handle outlived its owner");
}

void net_loop_drain_close(uv_loop_t *loop) {
    // What is closing calls back, and closes what it owned: streams, then what they share.
    for (int i = 0; i < 3; i++)
        uv_run(loop, UV_RUN_NOWAIT);
    uv_walk(loop, assert_closing, NULL);
    uv_run(loop, UV_RUN_DEFAULT); // requests of the thread pool may still run
    int r = uv_loop_close(loop);
    assert(r == 0);
    (void)r;
}
