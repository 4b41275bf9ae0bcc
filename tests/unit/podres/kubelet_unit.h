// SPDX-License-Identifier: Apache-2.0
/* A kubelet on a loop of the test, on FOLDER/kubelet.sock: net/grpc_server with one service. */
#pragma once

#include <unistd.h>

#include "base/clock.h"
#include "list_unit.h"
#include "net/grpc_server.h"
#include "net/loop.h"

struct kubelet_unit {
    uv_loop_t loop;
    char folder[64], path[96];
    struct grpc_server *server;
    struct list_unit list;
    int status;            // not 0: what it refuses with
    bool hangs;            // questions are not answered,
    unsigned asked, ended; // but end
    bool closed;
};

static inline void kubelet_ended(struct grpc_call *c, void *ctx) {
    struct kubelet_unit *k = ctx;
    k->ended++;
}

static inline void kubelet_list(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    struct kubelet_unit *k = ctx;
    k->asked++;
    if (k->hangs)
        grpc_call_on_end(c, kubelet_ended, k);
    else if (k->status)
        grpc_call_finish(c, k->status, "refused");
    else
        grpc_call_reply(c, &k->list.m.base);
}

static inline void kubelet_closed(void *ctx) {
    struct kubelet_unit *k = ctx;
    k->closed = true;
}

static inline void kubelet_start(struct kubelet_unit *k) {
    static const struct grpc_method methods[] = {
        {.name = "List",
         .request = &v1__list_pod_resources_request__descriptor,
         .handle = kubelet_list}};
    static struct grpc_service service;
    static const struct grpc_service *const services[] = {&service, NULL};
    struct err e = {0};
    char listen[128];
    service = (struct grpc_service){.name = "v1.PodResourcesLister",
                                    .methods = methods,
                                    .n_methods = COUNT_OF(methods),
                                    .ctx = k};
    snprintf(listen, sizeof listen, "unix:%s", k->path);
    struct grpc_server_options o = {.listen = listen, .max_connections = 8, .services = services};
    if (grpc_server_open(&k->server, &k->loop, &o, &e))
        fail_msg("%s", e.msg);
}

static inline void kubelet_stop(struct kubelet_unit *k) {
    if (!k->server)
        return;
    k->closed = false;
    grpc_server_close(k->server, 0, kubelet_closed, k);
    while (!k->closed)
        uv_run(&k->loop, UV_RUN_ONCE);
    k->server = NULL;
    unlink(k->path);
}

static inline void kubelet_open(struct kubelet_unit *k) {
    *k = (struct kubelet_unit){.folder = "/tmp/gpuscale-unit-XXXXXX"};
    assert_non_null(mkdtemp(k->folder));
    snprintf(k->path, sizeof k->path, "%s/kubelet.sock", k->folder);
    assert_int_equal(uv_loop_init(&k->loop), 0);
    list_init(&k->list);
    kubelet_start(k);
}

static inline void kubelet_close(struct kubelet_unit *k) {
    kubelet_stop(k);
    net_loop_drain_close(&k->loop);
    list_done(&k->list);
    rmdir(k->folder);
}

// Runs the loop until the condition holds; a test that waits 30 s has failed.
#define KUBELET_UNTIL(k, condition)                                                                \
    do {                                                                                           \
        int64_t end_ = clock_mono_ns() + 30 * NS_PER_S;                                            \
        struct net_timer *tick_ = NULL;                                                            \
        assert_int_equal(                                                                          \
            net_timer_start(&tick_, &(k)->loop, 0, 5 * NS_PER_MS, kubelet_tick, NULL, NULL), 0);   \
        while (!(condition)) {                                                                     \
            if (clock_mono_ns() > end_)                                                            \
                fail_msg("not within 30 s: %s", #condition);                                       \
            uv_run(&(k)->loop, UV_RUN_ONCE);                                                       \
        }                                                                                          \
        net_timer_stop(&tick_);                                                                    \
    } while (0)

static inline void kubelet_tick(void *ctx) {
}
