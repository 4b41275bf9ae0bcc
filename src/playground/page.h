// SPDX-License-Identifier: Apache-2.0
/*
 * Serves the demo's page: GET / is the page, GET /api/v1/live the feed of its log. One thread: the
 * loop's.
 */
#pragma once

#include <uv.h>

#include "net/addr.h"
#include "report/live.h"

struct page;

// `live` is borrowed and outlives the page. Errors: those of http_server_open(), ERR_NOMEM.
int page_open(struct page **ret, uv_loop_t *loop, const char *listen, const struct live *live,
              struct err *e);
void page_changed(struct page *p); // the log has more
const struct net_addr *page_addr(const struct page *p);
// Ends the readers' answers, frees, and calls `done` (which may be NULL), from the loop.
void page_close(struct page *p, void (*done)(void *ctx), void *ctx);
