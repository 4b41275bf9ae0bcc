// SPDX-License-Identifier: Apache-2.0
/* One GET on a loop of its own; see the header. */
#include "scaler/explain.h"

#include "base/mem.h"
#include "core/signal/reading.h"
#include "net/loop.h"
#include "web/fetch.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 20000, URL_MAX = 2048 };

struct request {
    struct buf *out;
    struct fetch_result result;
    bool done;
};

static bool take_body(void *ctx, const char *p, size_t n) {
    struct request *r = ctx;
    return buf_add(r->out, p, n) == 0;
}

static void finished(void *ctx, const struct fetch_result *result) {
    struct request *r = ctx;
    r->result = *result;
    r->done = true;
}

static bool is_kube_name(struct str s) {
    if (s.n == 0 || s.n >= KUBE_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", s.p[i]) == NULL || s.p[i] == '\0')
            return false;
    return true;
}

static int make_url(const struct explain_options *o, char url[URL_MAX], struct err *e) {
    struct str server = str_from(o->server ? o->server : EXPLAIN_SERVER);
    while (server.n > 0 && server.p[server.n - 1] == '/')
        server.n--;
    int n = snprintf(url, URL_MAX, STR_FMT "/api/v1/decisions?limit=%u", STR_ARG(server), o->last);
    if (o->object != NULL && n < URL_MAX) {
        struct str name = str_from(o->object), ns = str_cut(&name, '/');
        if (!is_kube_name(ns) || !is_kube_name(name))
            return err_set(e, ERR_INVALID,
                           "\"%s\" is not NAMESPACE/NAME of a ScaledObject, like prod/llm",
                           o->object);
        n += snprintf(url + n, URL_MAX - (size_t)n, "&namespace=" STR_FMT "&name=" STR_FMT,
                      STR_ARG(ns), STR_ARG(name));
    }
    return n < URL_MAX ? 0 : err_set(e, ERR_LIMIT, "the server's URL is too long");
}

static int judge(const struct request *r, const char *object, struct err *e) {
    const char *why = r->result.err.msg;
    switch (r->result.failure) {
    case FETCH_OK:
        return 0;
    case FETCH_RESOLVE:
    case FETCH_CONNECT:
        return err_set(
            e, ERR_UNAVAILABLE,
            "%s: is the scaler running there? Its log has a line `msg=listening "
            "server=http addr=HOST:PORT`; from outside a cluster forward the port "
            "(kubectl port-forward service/gpuscale-scaler 9444) and name it with --server",
            why);
    case FETCH_TLS:
        return err_set(e, ERR_UNAVAILABLE,
                       "%s: --ca FILE names the authority of the scaler's certificate, "
                       "--server-name the name in it",
                       why);
    case FETCH_STATUS:
        if (r->result.status == 401)
            return err_set(e, ERR_AUTH,
                           "%s: the scaler asks who you are: --token-file FILE names a token of "
                           "the Kubernetes API (kubectl create token), --user and --password-file "
                           "a user of its web-config",
                           why);
        if (r->result.status == 403)
            return err_set(e, ERR_AUTH,
                           "%s: the token may not list scaledobjects.keda.sh in the namespaces "
                           "that are asked for",
                           why);
        if (r->result.status == 404 && object != NULL)
            return err_set(e, ERR_NOTFOUND,
                           "the scaler knows no such ScaledObject: it learns of one from the "
                           "cluster's watch, or, without a cluster, when KEDA first asks "
                           "(`gpuscale explain` without a name lists all)");
        return err_set(e, ERR_PROTO, "%s: is this a scaler's HTTP port?", why);
    default:
        return err_set(e, ERR_PROTO, "%s", why);
    }
}

static int fetch_one(uv_loop_t *loop, const char *url, const struct explain_options *o,
                     struct request *r, struct err *e) {
    struct fetch_pool *pool = NULL;
    struct fetch_tls *tls = NULL;
    struct fetch_auth *auth = NULL;
    struct fetch *f = NULL;
    int rc = 0;
    if (o->tls.ca != NULL || o->tls.cert != NULL || o->server_name != NULL)
        rc = fetch_tls_new(&tls, &o->tls, o->server_name, e);
    if (rc == 0 && (o->auth.bearer_file || o->auth.username || o->auth.password_file))
        rc = fetch_auth_new(&auth, &o->auth, e);
    if (rc == 0)
        rc = fetch_pool_new(&pool, loop, e);
    if (rc == 0) {
        struct fetch_options options = {
            .url = url,
            .tls = tls,
            .auth = auth,
            .accept = o->json ? "application/json" : "text/plain",
            .connect_ms = CONNECT_MS,
            .total_ms = TOTAL_MS,
            .max_body_bytes = r->out->max,
            .body = take_body,
            .done = finished,
            .ctx = r,
        };
        rc = fetch_start(&f, pool, &options, e);
    }
    while (rc == 0 && !r->done && uv_run(loop, UV_RUN_ONCE) != 0) {
    }
    if (rc == 0)
        rc = judge(r, o->object, e);
    fetch_pool_free(pool);
    fetch_tls_free(tls);
    fetch_auth_free(auth);
    return rc;
}

int explain_fetch(const struct explain_options *o, struct buf *out, struct err *e) {
    char url[URL_MAX];
    int rc = make_url(o, url, e);
    if (rc < 0)
        return rc;
    uv_loop_t loop;
    rc = uv_loop_init(&loop);
    if (rc < 0)
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(rc));
    struct request r = {.out = out};
    rc = fetch_one(&loop, url, o, &r, e);
    net_loop_drain_close(&loop);
    return rc;
}
