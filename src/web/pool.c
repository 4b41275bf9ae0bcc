// SPDX-License-Identifier: Apache-2.0
/*
 * libcurl's multi interface on a uv loop: libcurl says which sockets it waits for and when it wants
 * to be called, uv does the waiting. Ended requests are collected after each call into libcurl,
 * never inside one, so that `done` may start, cancel and free.
 */
#include "web/pool.h"

#include <pthread.h>

#include "base/mem.h"

struct pool_socket {
    uv_poll_t poll;
    struct fetch_pool *pool;
    curl_socket_t fd;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void curl_start(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void pool_release(struct fetch_pool *pool) {
    if (--pool->open_handles == 0)
        mem_free(pool);
}

static void drain_messages(struct fetch_pool *pool) {
    bool gone = false, *outer = pool->gone;
    pool->gone = &gone;
    int left;
    CURLMsg *m;
    while (!gone && (m = curl_multi_info_read(pool->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct fetch *f = NULL;
        CURLcode code = m->data.result; // m is gone once the handle is removed
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        fetch_finish(f, code);
    }
    if (!gone)
        pool->gone = outer;
    else if (outer)
        *outer = true;
}

static void act(struct fetch_pool *pool, curl_socket_t fd, int events) {
    int running;
    curl_multi_socket_action(pool->multi, fd, events, &running);
    drain_messages(pool);
}

static void on_socket(uv_poll_t *poll, int status, int events) {
    struct pool_socket *s = container_of(poll, struct pool_socket, poll);
    int flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(s->pool, s->fd, flags);
}

static void on_timer(uv_timer_t *timer) {
    act(container_of(timer, struct fetch_pool, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket_closed(uv_handle_t *h) {
    struct pool_socket *s = container_of((uv_poll_t *)h, struct pool_socket, poll);
    struct fetch_pool *pool = s->pool;
    mem_free(s);
    pool_release(pool);
}

static void on_timer_closed(uv_handle_t *h) {
    pool_release(container_of((uv_timer_t *)h, struct fetch_pool, timer));
}

static struct pool_socket *socket_new(struct fetch_pool *pool, curl_socket_t fd) {
    struct pool_socket *s = mem_zalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->pool = pool;
    s->fd = fd;
    if (uv_poll_init_socket(pool->loop, &s->poll, fd) != 0) {
        mem_free(s);
        return NULL;
    }
    pool->open_handles++;
    pool->stats.sockets++;
    curl_multi_assign(pool->multi, fd, s);
    return s;
}

static int wait_for_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    struct fetch_pool *pool = ctx;
    struct pool_socket *s = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, on_socket_closed);
            pool->stats.sockets--;
            curl_multi_assign(pool->multi, fd, NULL);
        }
        return 0;
    }
    if (!s && !(s = socket_new(pool, fd)))
        return -1; // libcurl ends the request with CURLE_ABORTED_BY_CALLBACK
    int events = 0;
    if (what != CURL_POLL_OUT)
        events |= UV_READABLE;
    if (what != CURL_POLL_IN)
        events |= UV_WRITABLE;
    uv_poll_start(&s->poll, events, on_socket);
    return 0;
}

static int wait_for_timer(CURLM *multi, long timeout_ms, void *ctx) {
    struct fetch_pool *pool = ctx;
    if (timeout_ms < 0)
        uv_timer_stop(&pool->timer);
    else
        uv_timer_start(&pool->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

int fetch_pool_new(struct fetch_pool **ret, uv_loop_t *loop, struct err *e) {
    pthread_once(&curl_once, curl_start);
    if (curl_ready != CURLE_OK)
        return err_set(e, ERR_UNSUPPORTED, "libcurl does not start: %s",
                       curl_easy_strerror(curl_ready));
    struct fetch_pool *pool = mem_zalloc(sizeof(*pool));
    if (!pool)
        return err_set(e, ERR_NOMEM, "out of memory");
    pool->loop = loop;
    pool->multi = curl_multi_init();
    if (!pool->multi) {
        mem_free(pool);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, wait_for_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, wait_for_timer);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)LIMIT_FETCH_CONNECTIONS);
    uv_timer_init(loop, &pool->timer);
    pool->open_handles = 1;
    *ret = pool;
    return 0;
}

struct fetch_pool *fetch_pool_free(struct fetch_pool *pool) {
    if (!pool)
        return NULL;
    if (pool->gone)
        *pool->gone = true;
    while (pool->running)
        fetch_discard(pool->running);
    for (unsigned i = 0; i < pool->n_idle; i++)
        curl_easy_cleanup(pool->idle[i]);
    pool->n_idle = 0;
    curl_multi_cleanup(pool->multi); // calls wait_for_socket(REMOVE) for what it still watches
    uv_close((uv_handle_t *)&pool->timer, on_timer_closed);
    return NULL;
}

struct fetch_pool_stats fetch_pool_stats(const struct fetch_pool *pool) {
    return pool->stats;
}

CURL *pool_handle_take(struct fetch_pool *pool) {
    return pool->n_idle ? pool->idle[--pool->n_idle] : curl_easy_init();
}

void pool_handle_give(struct fetch_pool *pool, CURL *easy) {
    if (pool->n_idle == FETCH_IDLE_HANDLES) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    pool->idle[pool->n_idle++] = easy;
}
