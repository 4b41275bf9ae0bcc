// SPDX-License-Identifier: Apache-2.0
/* grpc.health.v1: Check and Watch. */
#include "net/grpc_health.h"

#include "base/map.h"
#include "health.desc.h"
#include "health.pb-c.h"

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus status_code;

struct name {
    status_code status;
    UT_hash_handle hh;
    char text[];
};

struct watcher {
    struct watcher *next, *prev;
    struct grpc_health *health;
    struct grpc_call *call;
    const char *service; // in the request, which lives as long as the call
    status_code told;
};

struct grpc_health {
    struct grpc_service service;
    struct name *names;
    struct watcher *watchers;
};

static status_code status_of(const struct grpc_health *h, const char *service) {
    struct name *n;
    HASH_FIND(hh, h->names, service, strlen(service), n);
    return n ? n->status : SERVICE_UNKNOWN;
}

static const char *service_of(const ProtobufCMessage *request) {
    const Grpc__Health__V1__HealthCheckRequest *r =
        (const Grpc__Health__V1__HealthCheckRequest *)request;
    return r->service ? r->service : "";
}

static void check(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    Grpc__Health__V1__HealthCheckResponse answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    const char *service = service_of(request);
    answer.has_status = true;
    answer.status = status_of(ctx, service);
    if (answer.status == SERVICE_UNKNOWN)
        grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service %s", service);
    else
        grpc_call_reply(call, &answer.base);
}

static void unwatch(struct watcher *w) {
    if (w->next)
        w->next->prev = w->prev;
    if (w->prev)
        w->prev->next = w->next;
    else
        w->health->watchers = w->next;
    mem_free(w);
}

static void watch_ended(struct grpc_call *call, void *ctx) {
    unwatch(ctx);
}

// False: the watcher does not read, its call was ended and it is gone.
static bool tell(struct watcher *w, status_code status) {
    Grpc__Health__V1__HealthCheckResponse answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    answer.has_status = true;
    answer.status = w->told = status;
    if (grpc_call_send(w->call, &answer.base) == 0)
        return true;
    grpc_call_finish(w->call, GRPC_RESOURCE_EXHAUSTED, "the watcher does not read");
    unwatch(w);
    return false;
}

static void watch(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    struct grpc_health *h = ctx;
    struct watcher *w = mem_zalloc(sizeof(*w));
    if (!w) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory for a watcher");
        return;
    }
    w->health = h;
    w->call = call;
    w->service = service_of(request);
    w->next = h->watchers;
    if (w->next)
        w->next->prev = w;
    h->watchers = w;
    grpc_call_on_end(call, watch_ended, w);
    tell(w, status_of(h, w->service));
}

int grpc_health_set(struct grpc_health *h, const char *service, bool serving) {
    size_t n = strlen(service);
    struct name *name;
    HASH_FIND(hh, h->names, service, n, name);
    if (!name) {
        name = mem_zalloc(sizeof(*name) + n + 1);
        if (!name)
            return ERR_NOMEM;
        memcpy(name->text, service, n);
        HASH_ADD_KEYPTR(hh, h->names, name->text, n, name);
        if (map_oom()) {
            mem_free(name);
            return ERR_NOMEM;
        }
    }
    name->status = serving ? SERVING : NOT_SERVING;
    for (struct watcher *w = h->watchers, *next; w; w = next) {
        next = w->next;
        if (w->told != name->status && strcmp(w->service, service) == 0)
            tell(w, name->status);
    }
    return 0;
}

static const struct grpc_method methods[] = {
    {.name = "Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .handle = check},
    {.name = "Watch",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .streams = true,
     .handle = watch},
};

int grpc_health_new(struct grpc_health **ret, const struct grpc_service *const *services,
                    struct err *e) {
    struct grpc_health *h = mem_zalloc(sizeof(*h));
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for the health service");
    h->service = (struct grpc_service){
        .name = "grpc.health.v1.Health",
        .methods = methods,
        .n_methods = COUNT_OF(methods),
        .ctx = h,
        .descriptor_set = health_desc,
        .descriptor_set_len = sizeof(health_desc),
    };
    int err = grpc_health_set(h, "", true);
    for (; err == 0 && *services; services++)
        err = grpc_health_set(h, (*services)->name, true);
    if (err < 0) {
        grpc_health_free(h);
        return err_set(e, err, "no memory for the health service");
    }
    *ret = h;
    return 0;
}

struct grpc_health *grpc_health_free(struct grpc_health *h) {
    if (!h)
        return NULL;
    struct name *n, *next;
    HASH_ITER(hh, h->names, n, next) {
        HASH_DEL(h->names, n);
        mem_free(n);
    }
    mem_free(h);
    return NULL;
}

const struct grpc_service *grpc_health_service(const struct grpc_health *h) {
    return &h->service;
}
