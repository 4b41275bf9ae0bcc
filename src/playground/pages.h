// SPDX-License-Identifier: Apache-2.0
/*
 * The pages that the demo's service shows: one vLLM-named /metrics page for each pod and one of the
 * gateway, each on a port of its own, over the real HTTP server.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "playground/service.h"

struct pages;

// `service` is borrowed and read at each scrape.
int pages_new(struct pages **ret, uv_loop_t *loop, const struct service *service, struct err *e);
struct pages *pages_free(struct pages *p); // the servers close on the loop's next turns
// "127.0.0.1:PORT" of pod i's page, of the gateway's page.
const char *pages_pod_addr(const struct pages *p, int i);
const char *pages_gateway_addr(const struct pages *p);
