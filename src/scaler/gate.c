// SPDX-License-Identifier: Apache-2.0
/*
 * A request's way in: what it shows (a password, a token in a header or a cookie), whose it is,
 * and what he may see. Each step may wait for an answer; a visit holds the request meanwhile.
 */
#include "scaler/gate.h"

#include <stdlib.h>

#include "core/metrics/prom_write.h"
#include "net/web_auth.h"
#include "scaler/io.h"
#include "scaler/login.h"

enum { ASKED_AT_ONCE = 8, VISIT_BYTES_MAX = 1 << 20 };

#define BEARER_CHALLENGE "WWW-Authenticate: Bearer realm=\"gpuscale\"\r\n"

struct gate {
    struct io *io;
    struct web_auth *web; // NULL: no web-config
    bool kubernetes;      // tokens count
    bool tls;
    uint64_t refused[3]; // 401, 403, 503
};

struct visit;
struct asked {
    struct visit *visit;
    const char *name;
    bool allowed;
};

struct visit {
    struct http_request *request;
    struct io *io;
    gate_handler handle;
    bool metrics; // else the status API
    bool login;   // the form was posted: a token becomes a cookie
    struct arena arena;
    struct access_user user;
    struct asked *asked; // namespaces, sorted
    size_t n, next;
    unsigned running;
    bool pumping, unknown;
    char token[LOGIN_TOKEN_MAX + 1]; // of the form
};

// ---- refusals

static void count(struct gate *g, int status) {
    g->refused[status == 401 ? 0 : status == 403 ? 1 : 2]++;
}

static const char *challenge(const struct gate *g) {
    bool users = g->web != NULL && web_auth_has_users(g->web);
    return users && g->kubernetes ? WEB_AUTH_CHALLENGE BEARER_CHALLENGE
           : users                ? WEB_AUTH_CHALLENGE
                                  : BEARER_CHALLENGE;
}

static void answer_401(struct gate *g, struct http_request *r, const char *why) {
    count(g, 401);
    if (g->kubernetes && login_wants_html(r)) {
        login_answer_form(r, 401, why, challenge(g));
        return;
    }
    char text[ERR_MSG_MAX + 128];
    const char *wanted = g->kubernetes ? "a token of the Kubernetes API is wanted (Authorization: "
                                         "Bearer)"
                                       : "a user's name and password are wanted (Basic)";
    int n = snprintf(text, sizeof(text), "%s\n", why != NULL ? why : wanted);
    http_request_answer(r, &(struct http_answer){.status = 401,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .extra_headers = challenge(g),
                                                 .body = {text, (size_t)n}});
}

static void answer_unknown(struct gate *g, struct http_request *r, const char *why) {
    char text[ERR_MSG_MAX + 8];
    count(g, 503);
    int n = snprintf(text, sizeof(text), "%s\n", why);
    http_request_answer(r, &(struct http_answer){.status = 503,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .extra_headers = "Retry-After: 5\r\n",
                                                 .body = {text, (size_t)n}});
}

static void answer_403(struct gate *g, struct http_request *r, const char *user, const char *what) {
    char shown[KUBE_NAME_MAX * 2];
    count(g, 403);
    if (g->kubernetes && login_wants_html(r) && str_eqc(http_request_path(r), "/")) {
        login_answer_form(r, 403,
                          "That token may not list scaledobjects.keda.sh in any namespace that is "
                          "shown here.",
                          NULL);
        return;
    }
    kube_clean(shown, sizeof(shown), user);
    http_request_answer_text(r, 403, "%s %s", shown, what);
}

// ---- visits

static void visit_free(struct visit *v) {
    arena_done(&v->arena);
    explicit_bzero(v->token, sizeof(v->token));
    mem_free(v);
}

static void pass(struct visit *v, const struct view *view) {
    v->handle(v->request, v->io, view);
    visit_free(v);
}

static void fail(struct visit *v, const char *why) {
    answer_unknown(v->io->gate, v->request, why);
    visit_free(v);
}

static void check(struct visit *v, const char *namespace_, access_check_done done, void *ctx) {
    const struct kube_access what = {
        .verb = "list", .group = "keda.sh", .resource = "scaledobjects", .namespace_ = namespace_};
    access_check(v->io->access, &v->user, &what, done, ctx);
}

static void finish_namespaces(struct visit *v) {
    const char **names = arena_array(&v->arena, v->n, sizeof(*names));
    if (names == NULL || v->unknown) {
        fail(v, "what you may read is not known now: the Kubernetes API cannot be asked");
        return;
    }
    struct view view = {.names = names};
    for (size_t i = 0; i < v->n; i++)
        if (v->asked[i].allowed)
            names[view.n++] = v->asked[i].name;
    if (view.n == 0 && v->n > 0) {
        answer_403(v->io->gate, v->request, v->user.name,
                   "may not list scaledobjects.keda.sh in any namespace that is asked for");
        visit_free(v);
        return;
    }
    pass(v, &view);
}

static void on_namespace(void *ctx, enum access_answer answer, const char *reason);

static void pump(struct visit *v) {
    v->pumping = true;
    while (v->next < v->n && v->running < ASKED_AT_ONCE && !v->unknown) {
        struct asked *a = &v->asked[v->next++];
        v->running++;
        check(v, a->name, on_namespace, a);
    }
    v->pumping = false;
    if (v->running == 0)
        finish_namespaces(v);
}

static void on_namespace(void *ctx, enum access_answer answer, const char *reason) {
    struct asked *a = ctx;
    struct visit *v = a->visit;
    v->running--;
    a->allowed = answer == ACCESS_ALLOWED;
    v->unknown |= answer == ACCESS_UNKNOWN;
    if (!v->pumping)
        pump(v);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct asked *)a)->name, ((const struct asked *)b)->name);
}

// Every namespace that the scaler knows of, each once. False: more than may be asked about.
static bool gather(struct visit *v, struct err *e) {
    const struct io *io = v->io;
    size_t most = HASH_COUNT(io->objects) + io->workloads->list.n, n = 0;
    struct asked *all = mem_array(most + 1, sizeof(*all));
    if (all == NULL)
        return err_set(e, ERR_NOMEM, "memory is short") == 0;
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next)
        all[n++].name = o->key->ref.namespace_.p;
    for (size_t i = 0; i < io->workloads->list.n; i++)
        all[n++].name = io->workloads->list.items[i].namespace_;
    qsort(all, n, sizeof(*all), by_name);
    size_t each = 0;
    for (size_t i = 0; i < n; i++)
        if (each == 0 || strcmp(all[each - 1].name, all[i].name) != 0)
            all[each++] = all[i];
    v->asked = each <= LIMIT_ACCESS_NAMESPACES ? arena_array(&v->arena, each, sizeof(*all)) : NULL;
    bool good = v->asked != NULL;
    for (size_t i = 0; good && i < each; i++) {
        v->asked[i].visit = v;
        v->asked[i].name = arena_strdup(&v->arena, str_from(all[i].name));
        good = v->asked[i].name != NULL;
    }
    v->n = each;
    mem_free(all);
    return good ||
           err_set(e, ERR_LIMIT, "there are more than %d namespaces: name one with ?namespace=",
                   LIMIT_ACCESS_NAMESPACES) == 0;
}

static void ask_namespaces(struct visit *v) {
    char name[KUBE_NAME_MAX];
    struct err e = {0};
    if (http_request_param(v->request, "namespace", name, sizeof(name)) == 0 && name[0] != '\0') {
        v->asked = arena_array(&v->arena, 1, sizeof(*v->asked));
        const char *copy = arena_strdup(&v->arena, str_from(name));
        if (v->asked == NULL || copy == NULL) {
            fail(v, "memory is short");
            return;
        }
        v->asked[0] = (struct asked){.visit = v, .name = copy};
        v->n = 1;
    } else if (!gather(v, &e)) {
        fail(v, e.msg);
        return;
    }
    pump(v);
}

static void on_all(void *ctx, enum access_answer answer, const char *reason) {
    struct visit *v = ctx;
    if (answer == ACCESS_ALLOWED)
        pass(v, &view_all);
    else if (answer == ACCESS_DENIED)
        ask_namespaces(v);
    else
        fail(v, reason);
}

static void on_metrics(void *ctx, enum access_answer answer, const char *reason) {
    struct visit *v = ctx;
    if (answer == ACCESS_ALLOWED) {
        pass(v, &view_all);
    } else if (answer == ACCESS_DENIED) {
        answer_403(v->io->gate, v->request, v->user.name,
                   "may not get /metrics: its ClusterRole needs nonResourceURLs \"/metrics\", "
                   "verbs \"get\"");
        visit_free(v);
    } else {
        fail(v, reason);
    }
}

static void on_user(void *ctx, const struct access_user *user, const struct err *why) {
    struct visit *v = ctx;
    if (user == NULL && why->code == ERR_AUTH) {
        answer_401(v->io->gate, v->request, why->msg);
        visit_free(v);
    } else if (user == NULL) {
        fail(v, why->msg);
    } else if (v->login) {
        login_answer_cookie(v->request, v->token, v->io->gate->tls);
        visit_free(v);
    } else if (access_user_copy(&v->user, &v->arena, user) < 0) {
        fail(v, "memory is short");
    } else if (v->metrics) {
        const struct kube_access what = {.verb = "get", .path = "/metrics"};
        access_check(v->io->access, &v->user, &what, on_metrics, v);
    } else {
        check(v, "", on_all, v);
    }
}

static void on_password(void *ctx, enum password_verdict verdict) {
    struct visit *v = ctx;
    if (verdict == PASSWORD_RIGHT) {
        pass(v, &view_all);
        return;
    }
    count(v->io->gate, verdict == PASSWORD_BUSY ? 503 : 401);
    if (verdict == PASSWORD_BUSY)
        web_auth_answer_busy(v->request);
    else
        answer_401(v->io->gate, v->request, "there is no such user, or the password is another");
    visit_free(v);
}

// ---- requests

static struct visit *visit_new(struct http_request *r, struct io *io) {
    struct visit *v = mem_zalloc(sizeof(*v));
    if (v == NULL) {
        answer_unknown(io->gate, r, "memory is short");
        return NULL;
    }
    v->request = r;
    v->io = io;
    arena_init(&v->arena, VISIT_BYTES_MAX);
    return v;
}

// The header wins over the cookie. {NULL, 0}: neither.
static struct str token_of(const struct gate *g, const struct http_request *r) {
    struct str value = http_request_header(r, "Authorization"), scheme = str_cut(&value, ' ');
    if (str_eq_nocase(scheme, STR("Bearer")))
        return str_trim(value);
    return scheme.n > 0 ? (struct str){0} : login_cookie(r, g->tls);
}

static void enter(struct http_request *r, struct io *io, gate_handler handle, bool metrics) {
    struct gate *g = io->gate;
    bool users = g->web != NULL && web_auth_has_users(g->web);
    if (!users && !g->kubernetes) {
        handle(r, io, &view_all);
        return;
    }
    bool basic = users && web_auth_is_basic(r);
    struct str token = g->kubernetes && !basic ? token_of(g, r) : (struct str){0};
    if (!basic && token.n == 0) {
        answer_401(g, r, NULL);
        return;
    }
    struct visit *v = visit_new(r, io);
    if (v == NULL)
        return;
    v->handle = handle;
    v->metrics = metrics;
    if (basic)
        web_auth_check(g->web, r, on_password, v);
    else if (io->access == NULL)
        fail(v, "the scaler ends");
    else
        access_token(io->access, token, on_user, v);
}

void gate_metrics(struct http_request *r, struct io *io, gate_handler handle) {
    enter(r, io, handle, true);
}

void gate_status(struct http_request *r, struct io *io, gate_handler handle) {
    enter(r, io, handle, false);
}

static bool has_form(const struct io *io, struct http_request *r) {
    if (io->gate->kubernetes)
        return true;
    http_request_answer_text(r, 404, "no token is asked for here (http.authorization)");
    return false;
}

void gate_login_form(struct http_request *r, void *ctx) {
    if (has_form(ctx, r))
        login_answer_form(r, 200, NULL, NULL);
}

void gate_login(struct http_request *r, void *ctx) {
    struct io *io = ctx;
    struct visit *v = has_form(io, r) ? visit_new(r, io) : NULL;
    if (v == NULL)
        return;
    v->login = true;
    int rc = login_form_token(r, v->token);
    if (rc < 0) {
        count(io->gate, 401);
        login_answer_form(r, 401,
                          rc == ERR_LIMIT ? "That token is too long for a cookie: send it in the "
                                            "header Authorization."
                                          : "That is no token.",
                          challenge(io->gate));
        visit_free(v);
    } else if (io->access == NULL) {
        fail(v, "the scaler ends");
    } else {
        access_token(io->access, str_from(v->token), on_user, v);
    }
}

void gate_logout(struct http_request *r, void *ctx) {
    const struct io *io = ctx;
    if (has_form(io, r))
        login_answer_cookie(r, "", io->gate->tls);
}

// ---- start and end

static void tell(const struct gate *g, bool mutual) {
    bool users = g->web != NULL && web_auth_has_users(g->web);
    log_info("who may read the HTTP port",
             LOG_STR("who", g->kubernetes && users ? "tokens of the Kubernetes API, users"
                            : g->kubernetes        ? "tokens of the Kubernetes API"
                            : users                ? "users"
                            : mutual               ? "who has a certificate"
                                                   : "everybody"));
    if ((g->kubernetes || users) && !g->tls)
        log_warn("passwords and tokens for the HTTP port cross the network readable: no TLS");
    if (!g->kubernetes && !users && !mutual && g->io->kube != NULL)
        log_warn("everybody in the cluster may read /metrics, the status API and the page: give "
                 "http.tls, or http.webConfig");
}

int gate_open(struct io *io, struct err *e) {
    const struct scaler_config *c = io->config;
    struct gate *g = io->gate = mem_zalloc(sizeof(*g));
    if (g == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    g->io = io;
    if (c->http.web_config != NULL) {
        int rc = web_auth_open(&g->web, &io->loop, c->http.web_config, e);
        if (rc < 0)
            return err_wrap(e, "http.webConfig");
    }
    bool mutual = c->http.tls.ca != NULL || (g->web != NULL && web_auth_mutual(g->web));
    g->tls = c->http.tls.cert != NULL || gate_tls(g) != NULL;
    g->kubernetes = c->http.authorization == CONFIG_AUTHORIZATION_KUBERNETES ||
                    (c->http.authorization == CONFIG_AUTHORIZATION_AUTO && io->access != NULL &&
                     g->tls && !mutual);
    tell(g, mutual);
    return 0;
}

void gate_stop(struct io *io) {
    if (io->gate != NULL)
        web_auth_stop(io->gate->web);
}

void gate_free(struct io *io) {
    if (io->gate == NULL)
        return;
    web_auth_free(io->gate->web);
    mem_free(io->gate);
    io->gate = NULL;
}

struct net_tls *gate_tls(const struct gate *g) {
    return g->web != NULL ? web_auth_tls(g->web) : NULL;
}

int gate_reload(struct gate *g, struct err *e) {
    return g->web != NULL ? web_auth_reload(g->web, e) : 0;
}

bool gate_asks(const struct gate *g) {
    return g->kubernetes || (g->web != NULL && web_auth_has_users(g->web));
}

// ---- metrics

void gate_families(const struct io *io, struct prom_writer *w) {
    static const char *const statuses[] = {"401", "403", "503"};
    static const char *const reviews[] = {"token", "right"};
    static const char *const answers[] = {"allowed", "denied", "unknown"};
    prom_family(w, "gpuscale_http_refused_total", PROM_COUNTER,
                "Requests to the HTTP port of who may not read it, or is not known.");
    for (size_t i = 0; io->gate != NULL && i < COUNT_OF(statuses); i++) {
        const struct prom_label l = {STR("status"), str_from(statuses[i])};
        prom_sample_u64(w, &l, 1, io->gate->refused[i]);
    }
    if (io->access == NULL)
        return;
    struct access_stats s = access_stats(io->access);
    prom_family(w, "gpuscale_access_reviews_total", PROM_COUNTER,
                "TokenReviews and SubjectAccessReviews, by the Kubernetes API's answer.");
    for (int r = 0; r < ACCESS_REVIEW_MAX; r++)
        for (int a = 0; a < ACCESS_ANSWER_MAX; a++) {
            const struct prom_label l[] = {{STR("review"), str_from(reviews[r])},
                                           {STR("answer"), str_from(answers[a])}};
            prom_sample_u64(w, l, 2, s.answers[r][a]);
        }
    prom_family(w, "gpuscale_access_remembered_total", PROM_COUNTER,
                "Questions about tokens and rights that were answered from memory.");
    prom_sample_u64(w, NULL, 0, s.remembered);
}
