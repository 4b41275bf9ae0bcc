// SPDX-License-Identifier: Apache-2.0
/* Pages of the status API, one after the other; see the header. */
#include "tools/top_fetch.h"

#include <stdio.h>

#include "net/loop.h"
#include "tools/top_json.h"
#include "web/fetch.h"

enum { PAGE_ITEMS = 1000, PAGE_BYTES_MAX = 64 << 20, CONNECT_MS = 5000, TOTAL_MS = 20000 };

struct top_fetch {
    uv_loop_t *loop;
    struct top_fetch_options o;
    char server[LIMIT_URL_BYTES];
    struct fetch_pool *pool;
    struct fetch_tls *tls;
    struct fetch_auth *auth; // NULL: none
    struct fetch *running;
    struct net_timer *later; // tells a request that could not be started
    struct err failed;
    struct buf body;
    struct top_snapshot *snapshot;
    enum top_list list;
};

struct top_snapshot *top_snapshot_free(struct top_snapshot *s) {
    if (s != NULL)
        top_snapshot_done(s);
    mem_free(s);
    return NULL;
}

static void fail(struct top_fetch *f, const struct err *why) {
    f->snapshot = top_snapshot_free(f->snapshot);
    buf_done(&f->body);
    f->o.done(f->o.ctx, NULL, why);
}

static void explain_failure(const struct fetch_result *r, struct err *e) {
    switch (r->failure) {
    case FETCH_RESOLVE:
    case FETCH_CONNECT:
    case FETCH_TIMEOUT:
        (void)err_set(e, ERR_UNAVAILABLE,
                      "%s (is the scaler running there? --server names its HTTP port)", r->err.msg);
        return;
    case FETCH_TLS:
        (void)err_set(e, ERR_UNAVAILABLE,
                      "%s (--ca: its certificate's authority, --server-name: the name in it)",
                      r->err.msg);
        return;
    case FETCH_STATUS:
        if (r->status == 401 || r->status == 403) {
            (void)err_set(e, ERR_AUTH,
                          "%s (--token-file: a token of the Kubernetes API that may list "
                          "scaledobjects.keda.sh; --user, --password-file: of its web-config)",
                          r->err.msg);
            return;
        }
        (void)err_set(e, ERR_PROTO, "%s (is this a scaler's HTTP port?)", r->err.msg);
        return;
    case FETCH_HTML:
        (void)err_set(e, ERR_PROTO, "%s (is this a scaler's HTTP port?)", r->err.msg);
        return;
    default:
        *e = r->err;
    }
}

static bool take_body(void *ctx, const char *p, size_t n) {
    struct top_fetch *f = ctx;
    return buf_add(&f->body, p, n) == 0;
}

static void ask(struct top_fetch *f, size_t offset);

static void on_page(void *ctx, const struct fetch_result *r) {
    struct top_fetch *f = ctx;
    struct err e = {0};
    size_t next;
    f->running = NULL;
    if (r->failure != FETCH_OK) {
        explain_failure(r, &e);
        fail(f, &e);
        return;
    }
    if (top_json_take(f->snapshot, f->list, buf_str(&f->body), &next, &e) < 0) {
        fail(f, &e);
        return;
    }
    if (next == 0)
        f->list++;
    if (f->list < TOP_LIST_MAX) {
        ask(f, next);
        return;
    }
    struct top_snapshot *whole = f->snapshot;
    f->snapshot = NULL;
    buf_done(&f->body);
    f->o.done(f->o.ctx, whole, NULL);
}

static void on_later(void *ctx) {
    struct top_fetch *f = ctx;
    net_timer_stop(&f->later);
    fail(f, &f->failed);
}

static void ask(struct top_fetch *f, size_t offset) {
    char url[LIMIT_URL_BYTES + 128];
    (void)snprintf(url, sizeof(url), "%s%s?limit=%d&offset=%zu", f->server, top_list_paths[f->list],
                   PAGE_ITEMS, offset);
    struct fetch_options o = {.url = url,
                              .tls = f->tls,
                              .auth = f->auth,
                              .accept = "application/json",
                              .connect_ms = CONNECT_MS,
                              .total_ms = TOTAL_MS,
                              .max_body_bytes = PAGE_BYTES_MAX,
                              .body = take_body,
                              .done = on_page,
                              .ctx = f};
    buf_clear(&f->body);
    struct err ignored;
    if (fetch_start(&f->running, f->pool, &o, &f->failed) < 0)
        (void)net_timer_start(&f->later, f->loop, 0, 0, on_later, f, &ignored);
}

void top_fetch_start(struct top_fetch *f) {
    struct err ignored;
    f->list = TOP_LIST_GPUS;
    f->snapshot = mem_zalloc(sizeof(*f->snapshot));
    if (f->snapshot == NULL) {
        (void)err_set(&f->failed, ERR_NOMEM, "no memory");
        (void)net_timer_start(&f->later, f->loop, 0, 0, on_later, f, &ignored);
        return;
    }
    top_snapshot_init(f->snapshot);
    ask(f, 0);
}

int top_fetch_new(struct top_fetch **ret, uv_loop_t *loop, const struct top_fetch_options *o,
                  struct err *e) {
    struct str server = str_from(o->server);
    struct top_fetch *f = mem_zalloc(sizeof(*f));
    if (f == NULL)
        return err_set(e, ERR_NOMEM, "no memory");
    f->loop = loop;
    f->o = *o;
    buf_init(&f->body, PAGE_BYTES_MAX);
    while (server.n > 0 && server.p[server.n - 1] == '/')
        server.n--;
    int r = fetch_url_check(o->server, e);
    if (r == 0 && str_copy(f->server, sizeof(f->server), server) < 0)
        r = err_set(e, ERR_LIMIT, "the server's URL is too long");
    if (r == 0 && (o->tls->ca != NULL || o->tls->cert != NULL || o->server_name != NULL))
        r = fetch_tls_new(&f->tls, o->tls, o->server_name, e);
    if (r == 0 && (o->auth->bearer_file || o->auth->username || o->auth->password_file))
        r = fetch_auth_new(&f->auth, o->auth, e);
    if (r == 0)
        r = fetch_pool_new(&f->pool, loop, e);
    if (r < 0)
        f = top_fetch_free(f);
    *ret = f;
    return r;
}

struct top_fetch *top_fetch_free(struct top_fetch *f) {
    if (f == NULL)
        return NULL;
    net_timer_stop(&f->later);
    fetch_pool_free(f->pool);
    fetch_tls_free(f->tls);
    fetch_auth_free(f->auth);
    top_snapshot_free(f->snapshot);
    buf_done(&f->body);
    mem_free(f);
    return NULL;
}
