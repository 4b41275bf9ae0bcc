// SPDX-License-Identifier: Apache-2.0
/* A client of an API server that the test plays on its own loop. */
#pragma once

#include <stdio.h>

#include "base/clock.h"
#include "kube/client.h"
#include "net/addr.h"
#include "net/http_server.h"
#include "unit.h"

static inline void kube_lab_client(uv_loop_t *loop, const struct http_server *server,
                                   struct kube_config *config, struct kube_client **ret) {
    char text[600], addr[128];
    struct err e = {0};
    net_addr_format(http_server_addr(server), addr, sizeof(addr));
    (void)snprintf(text, sizeof(text),
                   "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, "
                   "context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: "
                   "\"http://%s\"}}], users: [{name: u, user: {token: ours}}]}",
                   addr);
    if (kube_config_parse(config, str_from(text), "config", NULL, &e) < 0)
        fail_msg("%s", e.msg);
    const struct kube_client_options k = {.loop = loop,
                                          .config = config,
                                          .backoff_min_ns = 1 * NS_PER_MS,
                                          .backoff_max_ns = 2 * NS_PER_MS};
    assert_int_equal(kube_client_new(ret, &k, &e), 0);
}

static inline void kube_lab_closed(void *ctx) { // of the server: nobody waits for it
}
