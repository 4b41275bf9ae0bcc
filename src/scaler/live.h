// SPDX-License-Identifier: Apache-2.0
/*
 * The page of the HTTP port and its feed (docs/page.md): a frame for each of the first
 * LIMIT_LIVE_POLICIES ScaledObjects, once a second while somebody looks, else every ten seconds, in
 * a bounded log. On the io thread; reads what the tick has made and changes nothing of it.
 */
#pragma once

#include "net/http_server.h"

struct io;

int io_live_start(struct io *io, struct err *e); // ERR_NOMEM
void io_live_stop(struct io *io);                // ends the readers' answers; idempotent

// Route handlers; ctx is the struct io.
void live_page(struct http_request *r, void *ctx); // text/plain for who prefers it: what there is
void live_feed(struct http_request *r, void *ctx);
