// SPDX-License-Identifier: Apache-2.0
/* An API server on the test's own loop that keeps one Lease, gpuscale in namespace default. */
#pragma once

#include "base/mem.h"
#include "kube/kinds.h"
#include "kube_lab.h"
#include "web/turn.h"

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/default/leases"

struct lease_api {
    struct http_server *server;
    struct kube_config config;
    struct kube_client *client;
    char annotations[256], spec[512]; // as they were written; spec "": there is none
    int version, reads, writes;
    int status;     // not 0: every request ends so
    bool overtaken; // another takes it just before the next write
};

static inline void lease_api_copy(char *dst, size_t cap, struct str body, const char *from,
                                  const char *to) {
    const char *at = memmem(body.p, body.n, from, strlen(from));
    const char *end = at ? memmem(at, body.n - (size_t)(at - body.p), to, strlen(to)) : NULL;
    if (end != NULL)
        assert_true(str_copy(dst, cap, (struct str){at, (size_t)(end - at) + strlen(to)}) >= 0);
    else
        dst[0] = '\0';
}

static inline void lease_api_show(struct lease_api *a, struct http_request *r, int status) {
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "{\"kind\":\"Lease\",\"metadata\":{\"name\":\"gpuscale\",\"namespace\":"
                     "\"default\",\"resourceVersion\":\"%d\"%s%s},%s}",
                     a->version, a->annotations[0] ? "," : "", a->annotations, a->spec);
    http_request_answer(r, &(struct http_answer){.status = status,
                                                 .content_type = "application/json",
                                                 .body = {text, (size_t)n}});
}

static inline void lease_api_get(struct http_request *r, void *ctx) {
    struct lease_api *a = ctx;
    a->reads++;
    if (a->status != 0 || a->spec[0] == '\0')
        http_request_answer_text(r, a->status ? a->status : 404, "no");
    else
        lease_api_show(a, r, 200);
}

// Another scaler holds it.
static inline void lease_api_hold(struct lease_api *a, const char *holder, const char *address) {
    a->version++;
    (void)snprintf(a->annotations, sizeof(a->annotations), "\"annotations\":{\"%s\":\"%s\"}",
                   KUBE_LEASE_ADDRESS, address);
    (void)snprintf(a->spec, sizeof(a->spec),
                   "\"spec\":{\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":15,"
                   "\"leaseTransitions\":4}",
                   holder);
}

static inline void lease_api_write(struct http_request *r, void *ctx) {
    struct lease_api *a = ctx;
    struct str body = http_request_body(r);
    char version[64], expected[64];
    bool creates = str_eqc(http_request_method(r), "POST");
    a->writes++;
    if (a->overtaken)
        lease_api_hold(a, "they_1", "10.0.0.8:9443");
    a->overtaken = false;
    (void)snprintf(expected, sizeof(expected), "\"resourceVersion\":\"%d\"", a->version);
    lease_api_copy(version, sizeof(version), body, "\"resourceVersion\":", "\"");
    lease_api_copy(version, sizeof(version), body, expected, "\"");
    if (a->status != 0 || (creates ? a->spec[0] != '\0' : version[0] == '\0')) {
        http_request_answer_text(r, a->status ? a->status : 409, "no");
        return;
    }
    a->version++;
    lease_api_copy(a->annotations, sizeof(a->annotations), body, "\"annotations\":{", "}");
    lease_api_copy(a->spec, sizeof(a->spec), body, "\"spec\":{", "}");
    lease_api_show(a, r, creates ? 201 : 200);
}

static const struct http_route lease_api_routes[] = {{"GET", LEASES "/gpuscale", lease_api_get},
                                                     {"POST", LEASES, lease_api_write},
                                                     {"PUT", LEASES "/gpuscale", lease_api_write},
                                                     {0}};

static inline void lease_api_open(struct lease_api *a, uv_loop_t *loop) {
    struct err e = {0};
    *a = (struct lease_api){0};
    const struct http_server_options o = {
        .listen = "127.0.0.1:0", .routes = lease_api_routes, .ctx = a};
    assert_int_equal(http_server_open(&a->server, loop, &o, &e), 0);
    kube_lab_client(loop, a->server, &a->config, &a->client);
}

// The loop must turn out after it.
static inline void lease_api_close(struct lease_api *a) {
    a->client = kube_client_free(a->client);
    http_server_close(a->server, 0, kube_lab_closed, NULL);
    kube_config_done(&a->config);
}
