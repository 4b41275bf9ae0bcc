// SPDX-License-Identifier: Apache-2.0
/*
 * The page of the HTTP port and its feed (docs/page.md): a frame for each of the first
 * LIMIT_LIVE_POLICIES ScaledObjects, once a second while somebody looks, else every ten seconds, in
 * a bounded log. On the io thread; reads what the tick has made and changes nothing of it.
 */
#pragma once

#include "net/http_server.h"
#include "scaler/view.h"

struct io;

int io_live_start(struct io *io, struct err *e); // ERR_NOMEM
void io_live_stop(struct io *io);                // ends the readers' answers; idempotent

// The page; text/plain for who prefers it: what there is.
void live_page(struct http_request *r, struct io *io, const struct view *view);
// The ScaledObjects of the view: each set of namespaces has a feed of its own, for as long as
// somebody reads it; more than LIMIT_ACCESS_VIEWS are answered 503. Who was let in by a token or a
// password is looked at again after LIVE_AGE_S: his feed ends, and he comes anew.
enum { LIVE_AGE_S = 300 };
void live_feed(struct http_request *r, struct io *io, const struct view *view);
