// SPDX-License-Identifier: Apache-2.0
/*
 * The server of the metrics API: whose word counts, who asks, and may they. Like the extension
 * servers of Kubernetes: a certificate of the front proxy's authority, with an allowed common name,
 * vouches for the user in the headers; without one a bearer token is reviewed; nobody else is
 * known. The rights are the API server's to know, save that system:masters may do anything.
 */
#include "scaler/metrics_api.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/metrics/prom_write.h"
#include "kube/informer.h"
#include "kube/labels.h"
#include "net/addr.h"
#include "scaler/io.h"
#include "scaler/metrics_api_internal.h"
#include "scaler/refused.h"

enum { GRACE_MS = 2000, USER_BYTES = LIMIT_ACCESS_USER_BYTES + (16 << 10), ROUTES_MAX = 16 };

struct metrics_api {
    struct io *io;
    struct net_tls *tls;
    struct http_server *server;
    struct http_route routes[ROUTES_MAX];
    struct kube_informer *informer;       // NULL: the configuration says whose word counts
    const struct kube_front_proxy *proxy; // NULL: not known (yet)
    struct kube_front_proxy configured;
};

// One request on its way to its answer.
struct asking {
    struct metrics_api *api;
    struct http_request *request;
    struct arena memory;
    struct access_user user;
    bool is_value;
    struct metrics_api_place place;
};

static void asking_free(struct asking *a) {
    arena_done(&a->memory);
    mem_free(a);
}

// ---- may they?

static void answer(struct asking *a) {
    if (a->is_value)
        metrics_api_answer_value(a->request, a->api->io, &a->place);
    else
        metrics_api_answer_document(a->request);
    asking_free(a);
}

static void forbid(struct asking *a, const char *reason) {
    const char *sep = reason[0] != '\0' ? ": " : "";
    if (a->is_value)
        metrics_api_fail(
            a->request, 403,
            "%s." METRICS_API_GROUP " is forbidden: User \"%s\" cannot list resource "
            "\"%s\" in API group \"" METRICS_API_GROUP "\" in the namespace \"%s\"%s%s",
            a->place.metric, a->user.name, a->place.metric, a->place.namespace_, sep, reason);
    else
        metrics_api_fail(a->request, 403,
                         "forbidden: User \"%s\" cannot get path \"" STR_FMT "\"%s%s", a->user.name,
                         STR_ARG(http_request_path(a->request)), sep, reason);
    asking_free(a);
}

static void on_checked(void *ctx, enum access_answer verdict, const char *reason) {
    struct asking *a = ctx;
    if (verdict == ACCESS_ALLOWED) {
        answer(a);
    } else if (verdict == ACCESS_DENIED) {
        forbid(a, reason);
    } else {
        metrics_api_fail(a->request, 503, "%s", reason);
        asking_free(a);
    }
}

static bool is_master(const struct access_user *u) {
    for (size_t i = 0; i < u->n_groups; i++)
        if (strcmp(u->groups[i], "system:masters") == 0)
            return true;
    return false;
}

static void authorize(struct asking *a) {
    char path[METRICS_API_NAME_MAX];
    struct kube_access what = {.verb = "get", .path = path};
    if (is_master(&a->user)) { // as in Kubernetes, whatever the API server can be asked now
        answer(a);
        return;
    }
    if (a->is_value)
        what = (struct kube_access){.verb = "list",
                                    .group = METRICS_API_GROUP,
                                    .resource = a->place.metric,
                                    .namespace_ = a->place.namespace_};
    else
        (void)str_copy(path, sizeof(path), http_request_path(a->request)); // one of the routes
    if (a->api->io->access == NULL)
        on_checked(a, ACCESS_UNKNOWN, "the scaler ends");
    else
        access_check(a->api->io->access, &a->user, &what, on_checked, a);
}

// ---- who asks?

static void unknown_user(struct asking *a, const char *why) {
    metrics_api_fail(a->request, 401, "%s", why);
    asking_free(a);
}

static void on_token(void *ctx, const struct access_user *user, const struct err *why) {
    struct asking *a = ctx;
    if (user == NULL && why->code == ERR_UNAVAILABLE) {
        metrics_api_fail(a->request, 503, "%s", why->msg);
        asking_free(a);
    } else if (user == NULL) {
        unknown_user(a, why->msg);
    } else if (access_user_copy(&a->user, &a->memory, user) < 0) {
        metrics_api_fail(a->request, 503, "the user does not fit (LIMIT_ACCESS_USER_BYTES)");
        asking_free(a);
    } else {
        authorize(a);
    }
}

static bool is_front_proxy(const struct metrics_api *api, const char *name) {
    if (api->proxy == NULL || name[0] == '\0')
        return false;
    const struct kube_texts *allowed = &api->proxy->allowed_names;
    for (size_t i = 0; i < allowed->n; i++)
        if (strcmp(allowed->items[i], name) == 0)
            return true;
    return allowed->n == 0;
}

static void authenticate(struct asking *a) {
    struct str token = http_request_header(a->request, "Authorization");
    const char *name = http_request_peer_name(a->request);
    if (is_front_proxy(a->api, name)) {
        int rc = metrics_api_user(&a->user, &a->memory, http_request_http1(a->request),
                                  a->api->proxy);
        if (rc == 0) {
            authorize(a);
            return;
        }
        if (rc != ERR_NOTFOUND) {
            metrics_api_fail(a->request, 503,
                             "the user does not fit (LIMIT_ACCESS_USER_BYTES), or no memory");
            asking_free(a);
            return;
        }
    }
    if (a->api->io->access != NULL && str_eq_nocase(str_cut(&token, ' '), STR("bearer")) &&
        token.n > 0)
        access_token(a->api->io->access, str_trim(token), on_token, a);
    else if (name[0] != '\0' && !is_front_proxy(a->api, name))
        unknown_user(a, "the certificate's common name is none that the front proxy may have "
                        "(requestheader-allowed-names)");
    else
        unknown_user(a,
                     a->api->proxy == NULL
                         ? "the scaler does not know yet whose certificate the front proxy has; "
                           "and no bearer token is given"
                         : "neither the front proxy's certificate and a user (X-Remote-User) nor "
                           "a bearer token is given");
}

static void begin(struct http_request *r, struct metrics_api *api,
                  const struct metrics_api_place *place) {
    struct asking *a = mem_zalloc(sizeof(*a));
    if (a == NULL) {
        metrics_api_fail(r, 503, "no memory for a request");
        return;
    }
    a->api = api;
    a->request = r;
    arena_init(&a->memory, USER_BYTES);
    if (place != NULL) {
        a->is_value = true;
        a->place = *place;
    }
    authenticate(a);
}

// ---- routes

static void handle_document(struct http_request *r, void *ctx) {
    begin(r, ctx, NULL);
}

static void handle_value(struct http_request *r, void *ctx) {
    struct metrics_api_place place;
    if (metrics_api_place(http_request_path(r), &place) < 0)
        metrics_api_fail(r, 404,
                         "the server could not find the requested resource: " METRICS_API_PATH
                         "/namespaces/NAMESPACE/" METRICS_API_METRIC);
    else
        begin(r, ctx, &place);
}

static void handle_alive(struct http_request *r, void *ctx) {
    http_request_answer_text(r, 200, "ok");
}

static void handle_ready(struct http_request *r, void *ctx) {
    const struct metrics_api *api = ctx;
    if (api->proxy == NULL)
        http_request_answer_text(r, 503, "the front proxy's authority is not known yet");
    else if (!io_ready(api->io, clock_mono_ns(), NULL))
        http_request_answer_text(r, 503, "the scaler is not ready");
    else
        http_request_answer_text(r, 200, "ok");
}

static void make_routes(struct metrics_api *api) {
    static const struct http_route others[] = {
        {"GET", METRICS_API_PATH "/", handle_value},
        {"GET", "/healthz", handle_alive},
        {"GET", "/livez", handle_alive},
        {"GET", "/readyz", handle_ready},
    };
    size_t n = 0;
    for (size_t i = 0; metrics_api_documents[i] != NULL; i++)
        api->routes[n++] = (struct http_route){"GET", metrics_api_documents[i], handle_document};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        api->routes[n++] = others[i];
    api->routes[n] = (struct http_route){0};
}

// ---- whose word counts

// The ConfigMap's version, or NULL. Who was let in by another authority comes anew.
static void believe(struct metrics_api *api, const struct kube_front_proxy *proxy) {
    struct err e = {0};
    const char *before = api->proxy != NULL ? api->proxy->ca : "";
    const char *ca = proxy != NULL ? proxy->ca : "";
    bool same = strcmp(before, ca) == 0;
    if (ca[0] == '\0')
        proxy = NULL;
    if (!same && net_tls_ask_clients(api->tls, str_from(ca), &e) < 0) {
        log_error("metrics API: the front proxy's authority is not taken, nobody is believed",
                  LOG_ERR(&e));
        (void)net_tls_ask_clients(api->tls, (struct str){0}, &e);
        proxy = NULL;
    }
    if (!same)
        http_server_renew(api->server);
    if ((proxy == NULL) != (api->proxy == NULL) || !same)
        log_info("metrics API: front proxy", LOG_BOOL("known", proxy != NULL));
    api->proxy = proxy;
}

static void on_changed(void *ctx, enum kube_change change, const struct kube_object *now,
                       const struct kube_object *was) {
    believe(ctx, (const struct kube_front_proxy *)now);
}

static void on_state(void *ctx, enum kube_fault fault, const struct err *e) {
    if (fault != KUBE_OK)
        log_warn("metrics API: how the front proxy is known cannot be read (RoleBinding to "
                 "extension-apiserver-authentication-reader in kube-system?)",
                 LOG_ERR(e));
}

static int follow(struct metrics_api *api, struct err *e) {
    struct kube_informer_options o = {
        .client = api->io->kube,
        .reflector = {.kind = &kube_front_proxies,
                      .namespace_ = "kube-system",
                      .field_selector = "metadata.name=extension-apiserver-authentication",
                      .seed = api->io->seed + 7,
                      .changed = on_changed,
                      .ctx = api},
        .state = on_state,
    };
    return kube_informer_new(&api->informer, &o, e);
}

static void configure(struct metrics_api *api) {
    static const char *user[] = {"X-Remote-User"}, *uid[] = {"X-Remote-Uid"},
                      *group[] = {"X-Remote-Group"}, *extra[] = {"X-Remote-Extra-"};
    const struct scaler_config *c = api->io->config;
    api->configured = (struct kube_front_proxy){
        .ca = c->metrics_api.request_header.ca,
        .allowed_names = {c->metrics_api.request_header.allowed_names.items,
                          c->metrics_api.request_header.allowed_names.n},
        .user_headers = {user, 1},
        .uid_headers = {uid, 1},
        .group_headers = {group, 1},
        .extra_prefixes = {extra, 1},
    };
    api->proxy = &api->configured;
}

// ---- life

static void refused(void *ctx, const struct net_addr *peer, const struct err *why) {
    scaler_log_refused("metrics-api", peer, why);
}

static int listen_on(struct metrics_api *api, struct err *e) {
    const struct scaler_config *c = api->io->config;
    bool own = c->metrics_api.tls.cert != NULL;
    struct net_tls_files files = {.cert = own ? c->metrics_api.tls.cert : c->http.tls.cert,
                                  .key = own ? c->metrics_api.tls.key : c->http.tls.key,
                                  .ca = c->metrics_api.request_header.ca,
                                  .ca_optional = true};
    int rc = net_tls_new(&api->tls, NET_TLS_SERVER, NET_TLS_ALPN_HTTP1, &files, e);
    if (rc < 0)
        return err_wrap(e, "metricsAPI.tls");
    make_routes(api);
    struct http_server_options o = {.listen = c->metrics_api.listen,
                                    .tls = api->tls,
                                    .max_connections = LIMIT_HTTP_CONNECTIONS,
                                    .routes = api->routes,
                                    .refusals = &metrics_api_refusals,
                                    .ctx = api,
                                    .refused = refused};
    rc = http_server_open(&api->server, &api->io->loop, &o, e);
    if (rc < 0)
        return err_wrap(e, "metricsAPI.listen");
    char address[128];
    net_addr_format(http_server_addr(api->server), address, sizeof(address));
    log_info("listening", LOG_STR("server", "metrics-api"), LOG_STR("addr", address),
             LOG_STR("tls", "on"));
    return 0;
}

int io_metrics_api_start(struct io *io, struct err *e) {
    if (!io->config->metrics_api.enabled)
        return 0;
    struct metrics_api *api = mem_zalloc(sizeof(*api));
    if (api == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    api->io = io;
    io->metrics_api = api;
    int rc = listen_on(api, e);
    if (rc == 0 && io->config->metrics_api.request_header.ca != NULL)
        configure(api);
    else if (rc == 0)
        rc = follow(api, e);
    return rc;
}

void io_metrics_api_reload(struct io *io) {
    struct metrics_api *api = io->metrics_api;
    struct err e = {0};
    int rc = api != NULL ? net_tls_reload_if_changed(api->tls, &e) : 0;
    if (rc > 0) {
        http_server_renew(api->server); // the authority may be among what changed
        log_info("metrics API: certificates re-read");
    }
    if (rc < 0) {
        io->count.tls_reload_failures++;
        log_error("metrics API: certificates not re-read, the old ones stay", LOG_ERR(&e));
    }
}

int64_t io_metrics_api_not_after_s(const struct io *io) {
    return io->metrics_api ? net_tls_not_after_s(io->metrics_api->tls) : 0;
}

void io_metrics_api_families(const struct io *io, struct prom_writer *w) {
    const struct metrics_api *api = io->metrics_api;
    if (api == NULL)
        return;
    struct http_server_stats s = http_server_stats(api->server);
    prom_family(w, "gpuscale_metrics_api_requests_total", PROM_COUNTER,
                "Requests to external.metrics.k8s.io.");
    prom_sample_u64(w, NULL, 0, s.requests);
    prom_family(w, "gpuscale_metrics_api_certificates_refused_total", PROM_COUNTER,
                "Clients whose certificate the front proxy's authority did not sign.");
    prom_sample_u64(w, NULL, 0, s.certificates_refused);
    prom_family(w, "gpuscale_metrics_api_front_proxy_known", PROM_GAUGE,
                "1: it is known whose word about the user counts.");
    prom_sample(w, NULL, 0, api->proxy != NULL);
}

static void on_closed(void *ctx) {
    struct metrics_api *api = ctx;
    net_tls_free(api->tls);
    mem_free(api);
}

void io_metrics_api_stop(struct io *io) {
    struct metrics_api *api = io->metrics_api;
    if (api == NULL)
        return;
    io->metrics_api = NULL;
    kube_informer_free(api->informer);
    api->proxy = NULL; // it was the informer's
    if (api->server != NULL)
        http_server_close(api->server, GRACE_MS, on_closed, api);
    else
        on_closed(api);
}
