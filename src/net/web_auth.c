// SPDX-License-Identifier: Apache-2.0
/* The file, its users, and requests that wait for a check of theirs. */
#include "net/web_auth.h"

#include <openssl/evp.h>

#include "base/limits.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/web_config.h"

enum { BASIC_BYTES_MAX = 2 * LIMIT_PASSWORD_BYTES };

struct web_auth {
    char *path;
    struct conf_stamp stamp;
    struct web_config config;
    struct net_tls *tls; // one object for the server, whatever the file becomes
    struct password_checks *checks;
    int cost;  // of the dearest hash
    bool late; // the newest version is not in use
};

static int highest_cost(const struct web_config *c) {
    int most = 4;
    for (size_t i = 0; i < c->n_users; i++) {
        int cost = password_hash_cost(c->users[i].hash);
        most = cost > most ? cost : most;
    }
    return most;
}

static int load(struct web_auth *w, struct web_config *ret, struct net_tls **ret_tls,
                struct err *e) {
    struct web_config c;
    struct net_tls *tls = NULL;
    int rc = web_config_read(&c, w->path, e);
    if (rc < 0)
        return rc;
    if (c.tls.cert != NULL)
        rc = net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_HTTP1, &c.tls, e);
    if (rc < 0) {
        web_config_done(&c);
        return err_wrap(e, "%s", w->path);
    }
    *ret = c;
    *ret_tls = tls;
    return 0;
}

int web_auth_open(struct web_auth **ret, uv_loop_t *loop, const char *path, struct err *e) {
    struct web_auth *w = mem_zalloc(sizeof(*w));
    int rc = w != NULL && (w->path = mem_strdup(path)) != NULL
                 ? password_checks_new(&w->checks, loop, e)
                 : err_set(e, ERR_NOMEM, "no memory for %s", path);
    if (rc == 0) {
        (void)conf_file_changed(path, &w->stamp);
        rc = load(w, &w->config, &w->tls, e);
    }
    if (rc < 0) {
        web_auth_stop(w);
        web_auth_free(w);
        return rc;
    }
    w->cost = highest_cost(&w->config);
    *ret = w;
    return 0;
}

void web_auth_stop(struct web_auth *w) {
    if (w == NULL)
        return;
    struct password_checks *checks = w->checks;
    w->checks = NULL;
    password_checks_free(checks);
}

struct web_auth *web_auth_free(struct web_auth *w) {
    if (w == NULL)
        return NULL;
    net_tls_free(w->tls);
    web_config_done(&w->config);
    mem_free(w->path);
    mem_free(w);
    return NULL;
}

struct net_tls *web_auth_tls(const struct web_auth *w) {
    return w->tls;
}

bool web_auth_mutual(const struct web_auth *w) {
    return w->config.tls.ca != NULL && !w->config.tls.ca_optional;
}

bool web_auth_has_users(const struct web_auth *w) {
    return w->config.n_users > 0;
}

static int load_again(struct web_auth *w, struct web_config *ret, struct net_tls **ret_tls,
                      struct err *e) {
    int rc = conf_file_check_again(w->path, e);
    if (rc == 0)
        rc = load(w, ret, ret_tls, e);
    if (rc < 0 || !*ret_tls == !w->tls)
        return rc;
    *ret_tls = net_tls_free(*ret_tls);
    web_config_done(ret);
    return err_set(e, ERR_INVALID, "%s: tls_server_config %s: a port becomes %s at a start only",
                   w->path, w->tls ? "is gone" : "is new", w->tls ? "plain" : "TLS");
}

int web_auth_reload(struct web_auth *w, struct err *e) {
    struct web_config fresh;
    struct net_tls *tls = NULL;
    if (!conf_file_changed(w->path, &w->stamp) && !w->late)
        return w->tls != NULL ? net_tls_reload_if_changed(w->tls, e) : 0;
    int rc = load_again(w, &fresh, &tls, e);
    w->late = rc < 0;
    if (rc < 0) { // the old version's certificates are renewed all the same
        if (w->tls != NULL)
            (void)net_tls_reload_if_changed(w->tls, NULL);
        return rc;
    }
    if (tls != NULL)
        net_tls_replace(w->tls, tls);
    web_config_done(&w->config);
    w->config = fresh;
    w->cost = highest_cost(&fresh);
    password_checks_forget(w->checks);
    return 1;
}

// ---- requests

// The scheme's name is case-insensitive (RFC 9110 11.1).
static bool cut_basic(struct str header, struct str *ret) {
    struct str scheme = str_cut(&header, ' ');
    *ret = str_trim(header);
    return str_eq_nocase(scheme, STR("Basic"));
}

bool web_auth_is_basic(const struct http_request *r) {
    struct str rest;
    return cut_basic(http_request_header(r, "Authorization"), &rest);
}

// "user:password" of the base64 in `text`, into dst. False: it is none.
static bool decode(struct str text, unsigned char *dst, size_t cap, struct str *ret) {
    if (text.n == 0 || text.n % 4 != 0 || text.n / 4 * 3 > cap)
        return false;
    int n = EVP_DecodeBlock(dst, (const unsigned char *)text.p, (int)text.n);
    if (n < 0)
        return false;
    for (size_t i = text.n; text.p[i - 1] == '=' && i > text.n - 2; i--)
        n--;
    *ret = (struct str){(const char *)dst, (size_t)n};
    return memchr(dst, ':', ret->n) != NULL;
}

static const char *hash_of(const struct web_auth *w, struct str user) {
    for (size_t i = 0; i < w->config.n_users; i++)
        if (str_eqc(user, w->config.users[i].name))
            return w->config.users[i].hash;
    return NULL;
}

void web_auth_check(struct web_auth *w, const struct http_request *r,
                    void (*done)(void *ctx, enum password_verdict verdict), void *ctx) {
    unsigned char plain[BASIC_BYTES_MAX];
    struct str text, pair;
    if (w->checks == NULL) {
        done(ctx, PASSWORD_BUSY);
        return;
    }
    if (!cut_basic(http_request_header(r, "Authorization"), &text) ||
        !decode(text, plain, sizeof(plain), &pair)) {
        done(ctx, PASSWORD_WRONG);
        return;
    }
    struct password_question q = {.user = str_cut(&pair, ':'), .password = pair, .cost = w->cost};
    q.hash = hash_of(w, q.user);
    password_check(w->checks, &q, done, ctx);
    explicit_bzero(plain, sizeof(plain));
}

void web_auth_answer_busy(struct http_request *r) {
    static const char text[] = "too many passwords wait to be checked: try again\n";
    http_request_answer(r, &(struct http_answer){.status = 503,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .extra_headers = "Retry-After: 5\r\n",
                                                 .body = STR(text)});
}

struct admission {
    struct http_request *request;
    void (*handle)(struct http_request *r, void *ctx);
    void *ctx;
};

static void refuse(struct http_request *r) {
    static const char text[] = "a user's name and password are wanted (Basic)\n";
    http_request_answer(r, &(struct http_answer){.status = 401,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .extra_headers = WEB_AUTH_CHALLENGE,
                                                 .body = STR(text)});
}

static void on_checked(void *ctx, enum password_verdict verdict) {
    struct admission *m = ctx, own = *m;
    mem_free(m);
    if (verdict == PASSWORD_RIGHT)
        own.handle(own.request, own.ctx);
    else if (verdict == PASSWORD_BUSY)
        web_auth_answer_busy(own.request);
    else
        refuse(own.request);
}

void web_auth_admit(struct web_auth *w, struct http_request *r,
                    void (*handle)(struct http_request *r, void *ctx), void *ctx) {
    if (w->config.n_users == 0) {
        handle(r, ctx);
        return;
    }
    struct admission *m = mem_alloc(sizeof(*m));
    if (m == NULL) {
        http_request_answer_text(r, 503, "memory is short");
        return;
    }
    *m = (struct admission){r, handle, ctx};
    web_auth_check(w, r, on_checked, m);
}
